"""State machines as data: a table of transitions, the error for what it does not have, and its picture."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

StateT = TypeVar("StateT", bound=Hashable)
EventT = TypeVar("EventT", bound=Hashable)


class IllegalTransition(Exception):
    """An event that a machine does not accept in its state: the caller broke the protocol, nothing was changed."""

    def __init__(self, machine: str, state: object, event: object) -> None:
        super().__init__(f"{machine}: {event} is not possible in state {_label(state)}")
        self.machine = machine
        self.state = state
        self.event = event


@dataclass(frozen=True, slots=True)
class Table(Generic[StateT, EventT]):
    """A machine: its name, its first state, and where each event leads from each state."""

    name: str
    initial: StateT
    moves: Mapping[tuple[StateT, EventT], StateT]

    def after(self, state: StateT, event: EventT) -> StateT:
        """The state that follows; IllegalTransition if the table does not have the event in this state."""
        try:
            return self.moves[state, event]
        except KeyError:
            raise IllegalTransition(self.name, state, event) from None

    def states(self) -> tuple[StateT, ...]:
        """Every state in the order in which the table first names it, the initial one first."""
        named: dict[StateT, None] = {self.initial: None}
        for (source, _), target in self.moves.items():
            named.setdefault(source)
            named.setdefault(target)
        return tuple(named)

    def is_final(self, state: StateT) -> bool:
        """True if no event leads out of the state."""
        return all(target == state for (source, _), target in self.moves.items() if source == state)


def to_mermaid(table: Table[StateT, EventT]) -> str:
    """The table as the text of a mermaid state diagram; events that share both ends share an arrow.

    The state None, where a machine has it, means that there is nothing yet and is drawn as the start.
    """
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in _arrows(table))]) + "\n"


def _arrows(table: Table[StateT, EventT]) -> Iterator[str]:
    if table.initial is not None:
        yield f"[*] --> {_label(table.initial)}"
    events: dict[tuple[StateT, StateT], list[str]] = {}
    for (source, event), target in table.moves.items():
        events.setdefault((source, target), []).append(str(event))
    for (source, target), names in events.items():
        yield f"{_label(source)} --> {_label(target)}: {', '.join(names)}"
    for state in table.states():
        if table.is_final(state):
            yield f"{_label(state)} --> [*]"


def _label(state: object) -> str:
    return "[*]" if state is None else str(state)

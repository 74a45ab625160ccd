"""Tables of transitions, and the rules that hold for every machine of the domain."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from hansa_control.domain.agent_session import SESSION_TABLE, SessionEvent, SessionState
from hansa_control.domain.federation import FEDERATION_TABLE, FederationEvent
from hansa_control.domain.ledger import CLAIM_TABLE, ClaimEvent
from hansa_control.domain.lifecycle import WORKLOAD_TABLE, WorkloadEvent
from hansa_control.domain.model import ClaimState, FederationState, WorkloadState
from hansa_control.domain.transitions import IllegalTransition, Table, to_mermaid

MACHINES = [
    (CLAIM_TABLE, set(ClaimState), set(ClaimEvent)),
    (SESSION_TABLE, set(SessionState), set(SessionEvent)),
    (FEDERATION_TABLE, {None, *FederationState}, set(FederationEvent)),
    (WORKLOAD_TABLE, set(WorkloadState), set(WorkloadEvent)),
]


class Lamp(StrEnum):
    OFF = "OFF"
    ON = "ON"
    BROKEN = "BROKEN"


LAMP = Table(
    "lamp",
    Lamp.OFF,
    {
        (Lamp.OFF, "press"): Lamp.ON,
        (Lamp.ON, "press"): Lamp.OFF,
        (Lamp.ON, "hit"): Lamp.BROKEN,
        (Lamp.ON, "drop"): Lamp.BROKEN,
        (Lamp.BROKEN, "press"): Lamp.BROKEN,
    },
)


def test_an_event_leads_where_the_table_says() -> None:
    assert LAMP.after(Lamp.ON, "hit") is Lamp.BROKEN


def test_an_event_that_the_table_lacks_names_machine_state_and_event() -> None:
    with pytest.raises(IllegalTransition, match="lamp: hit is not possible in state OFF") as caught:
        LAMP.after(Lamp.OFF, "hit")
    assert (caught.value.machine, caught.value.state, caught.value.event) == ("lamp", Lamp.OFF, "hit")


def test_a_state_is_final_if_only_loops_leave_it() -> None:
    assert [state for state in LAMP.states() if LAMP.is_final(state)] == [Lamp.BROKEN]


def test_the_picture_has_every_arrow_once() -> None:
    assert to_mermaid(LAMP) == (
        "stateDiagram-v2\n"
        "    [*] --> OFF\n"
        "    OFF --> ON: press\n"
        "    ON --> OFF: press\n"
        "    ON --> BROKEN: hit, drop\n"
        "    BROKEN --> BROKEN: press\n"
        "    BROKEN --> [*]\n"
    )


def test_nothing_yet_is_drawn_as_the_start() -> None:
    assert to_mermaid(FEDERATION_TABLE).startswith("stateDiagram-v2\n    [*] --> PROPOSED: PROPOSE\n")


@pytest.mark.parametrize(("table", "states", "events"), MACHINES, ids=lambda value: getattr(value, "name", None))
def test_every_state_is_reachable_and_every_event_used(
    table: Table[Any, Any], states: set[Any], events: set[Any]
) -> None:
    reached: set[Any] = {table.initial}
    before: set[Any] = set()
    while reached != before:
        before = set(reached)
        reached |= {target for (source, _), target in table.moves.items() if source in before}
    assert reached == states
    assert {event for _, event in table.moves} == events


@pytest.mark.parametrize(("table", "states", "events"), MACHINES, ids=lambda value: getattr(value, "name", None))
def test_a_table_cannot_be_changed(table: Table[Any, Any], states: set[Any], events: set[Any]) -> None:
    with pytest.raises(TypeError):
        table.moves[next(iter(states)), next(iter(events))] = table.initial  # type: ignore[index]

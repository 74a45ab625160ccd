"""Whether what was told can be explained by each call having happened at one moment between question and answer.

A history is linearizable if so (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects",
ACM TOPLAS 12(3), 1990, who also show that it may be checked for each object by itself). The search is that of Wing and
Gong ("Testing and verifying concurrent objects", J. Parallel and Distributed Computing 17, 1993): take any call that
began before all others that are left have been answered, see what the object may be after it, go on; with the memory of
configurations that Lowe added ("Testing for linearizability", Concurrency and Computation 29(4), 2017): the same set
of calls taken and the same state is never entered twice.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar

from hansa_sim.history import Call, Outcome

StateT = TypeVar("StateT", bound=Hashable)

CONFIGURATIONS_MAX = 200_000


class Specification(Protocol[StateT]):
    """What an object is when its calls come one after another."""

    def initial(self) -> StateT: ...

    def likeness(self, call: Call) -> Hashable:
        """Equal for calls that do the same, whoever makes them: without an answer, either may stand for the other."""
        ...

    def after(self, state: StateT, call: Call) -> Iterable[StateT]:
        """What the object may be after the call with this answer; nothing if it could not have answered so.

        A call of UNKNOWN outcome that would change nothing is nothing, too: there is no need to take it.
        """
        ...


class TooLarge(Exception):
    """The search was given up: too many calls at the same time are left open."""


def unexplained(specification: Specification[StateT], calls: Sequence[Call]) -> tuple[Call, ...]:
    """Nothing if the calls are linearizable; otherwise calls none of which can come next, however the others are put.

    A call of UNKNOWN outcome may have happened at any time after its question, or never. TooLarge after
    CONFIGURATIONS_MAX steps.
    """
    ordered = sorted(calls, key=lambda call: call.invoked_us)
    before = _alike_before(specification, ordered)
    must = sum(1 << place for place, call in enumerate(ordered) if call.outcome is not Outcome.UNKNOWN)
    seen: set[tuple[int, StateT]] = set()
    open_ends = [(0, specification.initial())]
    furthest, stuck = -1, tuple[Call, ...]()
    while open_ends:
        taken, state = open_ends.pop()
        if taken & must == must:
            return ()
        if (taken, state) in seen:
            continue
        seen.add((taken, state))
        if len(seen) > CONFIGURATIONS_MAX:
            raise TooLarge(f"{len(ordered)} calls, {len(seen)} configurations")
        places = [place for place in _next_places(ordered, taken) if taken & before[place] == before[place]]
        if (taken & must).bit_count() > furthest:
            furthest, stuck = (taken & must).bit_count(), tuple(ordered[place] for place in places)
        # The last is tried first: those that must be taken, the earliest of them before all others.
        for place in sorted(places, key=lambda place: (must >> place & 1, -place)):
            open_ends.extend((taken | 1 << place, after) for after in specification.after(state, ordered[place]))
    return stuck


def _alike_before(specification: Specification[StateT], ordered: Sequence[Call]) -> list[int]:
    """For each call without an answer, as a bit, the one before it that does the same: it may happen whenever this one
    may, so it is taken first; 0 where there is none.
    """
    last: dict[Hashable, int] = {}
    before: list[int] = []
    for place, call in enumerate(ordered):
        is_open = call.outcome is Outcome.UNKNOWN
        before.append(last.get(specification.likeness(call), 0) if is_open else 0)
        if is_open:
            last[specification.likeness(call)] = 1 << place
    return before


def _next_places(ordered: Sequence[Call], taken: int) -> list[int]:
    """Calls that may be the next: they began before any other that is left was answered."""
    left = [place for place in range(len(ordered)) if not taken >> place & 1]
    answered = [at for place in left if (at := ordered[place].answered_us) is not None]
    first_us = min(answered, default=None)
    return [place for place in left if first_us is None or ordered[place].invoked_us <= first_us]

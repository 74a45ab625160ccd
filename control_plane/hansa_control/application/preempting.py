"""Making room for workloads of a higher priority in the operator's own zones.

Whoever is to give way is placed elsewhere first if there is a place; otherwise it stops and waits, and says so. What
becomes free is kept for the workload that it was freed for, for a while. Which are meant to give way is known in memory
alone: after a restart it is worked out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hansa_control.application.journal import Journal
from hansa_control.application.lawbook import LawDesk
from hansa_control.application.ports import Clock
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.batches import LIVE, serving
from hansa_control.domain.model import (
    ClaimState,
    ConstraintResult,
    Placement,
    Reason,
    Rejection,
    Workload,
    WorkloadSpec,
    WorkloadState,
    ZoneId,
)
from hansa_control.domain.preempting import Candidate, Preemption, preemption


@dataclass(frozen=True, slots=True)
class Nomination:
    """Room that is being made in a zone for a workload, and whose parts (claims) are to leave for it."""

    workload: str
    zone: ZoneId
    priority: int
    claims: frozenset[str]
    until_ms: int


class Preempter:
    """Knows who is to give way to whom."""

    def __init__(self, settings: Settings, records: tuple[State, Journal, World], laws: LawDesk, clock: Clock) -> None:
        self._settings = settings
        self._state, self._journal, self._world = records
        self._laws = laws
        self._clock = clock
        self._nominations: dict[str, Nomination] = {}

    def plan(self, name: str, spec: WorkloadSpec) -> Preemption | None:
        """Who would have to give way to a workload that is under the law already; None if that would not help."""
        if spec.zones.maximum > 1 or not any(w.spec.priority < spec.priority for w in self._state.workloads.values()):
            return None
        snapshot, now_ms = self._world.snapshot(), self._clock.wall_ms()
        owned = self._laws.owned(spec)
        return preemption(owned, snapshot, self._candidates(name, spec.priority), now_ms)

    def _candidates(self, name: str, priority: int) -> Iterator[Candidate]:
        for key, workload in self._state.workloads.items():
            if key == name or workload.spec.priority >= priority or not workload.spec.disruption.preemptible:
                continue
            if workload.state is not WorkloadState.DELETING:
                yield from self._parts(workload)

    def _parts(self, workload: Workload) -> Iterator[Candidate]:
        """What a workload has in own zones; a batch that does not answer yet is missed by nobody."""
        batch = serving(workload.placements)
        answering = {part.claim: part.replicas for part in batch.ready} if batch else {}
        spare = max(0, sum(answering.values()) - workload.spec.disruption.min_available)
        for placement in workload.placements:
            claim = self._world.claim(self._settings.operator, placement.claim)
            is_own = placement.zone.operator == self._settings.operator
            if is_own and claim is not None and placement.state in LIVE and claim.state is not ClaimState.RELEASING:
                missed = answering.get(placement.claim, 0)
                yield Candidate(
                    str(workload.id),
                    placement.claim,
                    placement.zone,
                    claim.amount,
                    workload.spec.priority,
                    missed,
                    spare,
                )

    def nominate(self, workload: Workload, planned: Preemption) -> tuple[str, ...]:
        """From now on the victims are to leave; answers their workloads."""
        key = str(workload.id)
        claims = frozenset(one.claim for one in planned.victims)
        until_ms = self._clock.monotonic_ms() + self._settings.nomination_ms
        self._nominations[key] = Nomination(key, planned.zone, workload.spec.priority, claims, until_ms)
        names = ", ".join(sorted({one.workload for one in planned.victims}))
        self._journal.normal(workload.id, "Preempting", f"room is made in {planned.zone}: {names} give way")
        return tuple(sorted({one.workload for one in planned.victims}))

    def is_nominated(self, workload: str) -> bool:
        """Whether room is being made for it."""
        return workload in self._live()

    def settled(self, workload: str) -> None:
        """It has a place, or is no more: nobody gives way to it any longer."""
        self._nominations.pop(workload, None)

    def _live(self) -> dict[str, Nomination]:
        now_ms = self._clock.monotonic_ms()
        for key in [key for key, one in self._nominations.items() if one.until_ms <= now_ms]:
            del self._nominations[key]
        return self._nominations

    def gives_way(self, placement: Placement) -> Nomination | None:
        """For whom a placement is to leave; None if it may stay."""
        return next((one for _, one in sorted(self._live().items()) if placement.claim in one.claims), None)

    def may_stop(self, workload: Workload, yielding: Sequence[Placement]) -> bool:
        """Whether enough replicas go on answering, as things are now, if these parts stop."""
        batch = serving(workload.placements)
        stopping = {part.claim for part in yielding}
        left = sum(part.replicas for part in (batch.ready if batch else ()) if part.claim not in stopping)
        return left >= workload.spec.disruption.min_available

    def kept_for_others(self, workload: Workload) -> dict[ZoneId, Rejection]:
        """Zones in which room is being made for somebody of no lower priority: they are not asked."""
        told: dict[ZoneId, Rejection] = {}
        for key, one in sorted(self._live().items()):
            if key != str(workload.id) and one.priority >= workload.spec.priority:
                result = ConstraintResult(
                    "Preemption", f"room is being made for {one.workload}", "not kept", f"priority {one.priority}"
                )
                told[one.zone] = Rejection(one.zone, Reason.PREEMPTED, result)
        return told

    def waiting_for(self, zone: str) -> tuple[str, ...]:
        """The workloads for which room is being made in an own zone."""
        own = ZoneId(self._settings.operator, zone)
        return tuple(sorted(key for key, one in self._live().items() if one.zone == own))

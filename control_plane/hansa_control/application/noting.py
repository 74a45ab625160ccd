"""Recording what a look at a workload finds: placements, state and conditions, each change as the next revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hansa_control.application.journal import Journal
from hansa_control.application.ports import Clock
from hansa_control.domain import lifecycle
from hansa_control.domain.batches import serving
from hansa_control.domain.conditions import set_condition
from hansa_control.domain.lifecycle import WorkloadEvent
from hansa_control.domain.model import (
    Condition,
    ConditionStatus,
    Placement,
    PlacementState,
    Workload,
    WorkloadState,
)

_CAMEL: Mapping[WorkloadState, str] = {
    WorkloadState.PENDING: "Pending",
    WorkloadState.STARTING: "Starting",
    WorkloadState.RUNNING: "Running",
    WorkloadState.UNPLACEABLE: "Unplaceable",
    WorkloadState.DELETING: "Deleting",
}


class Notes:
    """Writes down what has become of a workload; what is as it was before is not written again.

    What is found together is written together: ``with_`` and ``after`` answer the workload with one more finding and
    write nothing, ``changed`` writes what they have come to, as one revision.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def advance(self, workload: Workload, event: WorkloadEvent) -> Workload:
        """The workload after an event of its life, with its condition Ready."""
        return self.changed(workload, self.after(workload, event))

    def after(self, workload: Workload, event: WorkloadEvent) -> Workload:
        """The same without writing it."""
        state = lifecycle.advance(workload.state, event)
        if state is not workload.state:
            workload = replace(workload, state=state)
        return self._with(workload, ready_condition(workload))

    def condition(self, workload: Workload, kind: str, status: ConditionStatus, reason: str, message: str) -> Workload:
        """A condition as it is now; when it changed is kept where its status is the same."""
        return self.changed(workload, self.with_condition(workload, kind, status, reason, message))

    def with_condition(
        self, workload: Workload, kind: str, status: ConditionStatus, reason: str, message: str
    ) -> Workload:
        """The same without writing it."""
        return self._with(workload, Condition(kind, status, reason, message, workload.generation, 0))

    def _with(self, workload: Workload, condition: Condition) -> Workload:
        former = next((held for held in workload.conditions if held.type == condition.type), None)
        if former is not None and condition == replace(former, changed_at_ms=0):
            return workload  # as most looks find it
        now = replace(condition, changed_at_ms=self._clock.wall_ms())
        return replace(workload, conditions=set_condition(workload.conditions, now))

    def changed(self, before: Workload, after: Workload) -> Workload:
        """What is kept: nothing is written where nothing is other than before."""
        return before if after is before or after == before else self._journal.record(after)


def with_state(workload: Workload, placements: Sequence[Placement], state: PlacementState) -> Workload:
    """The workload with some of its placements in another state; the same one where there are none."""
    if not placements:
        return workload
    claims = {placement.claim for placement in placements}
    after = tuple(replace(p, state=state) if p.claim in claims else p for p in workload.placements)
    return replace(workload, placements=after)


def status_of(workload: Workload, kind: str) -> ConditionStatus | None:
    """The status of a condition; None if the workload has none of that kind."""
    return next((c.status for c in workload.conditions if c.type == kind), None)


def event_of(placements: Sequence[Placement]) -> WorkloadEvent:
    """What placements, taken together, mean for the life of their workload."""
    states = {placement.state for placement in placements}
    if PlacementState.READY in states:
        return WorkloadEvent.READY
    return WorkloadEvent.NOT_READY if PlacementState.STARTING in states else WorkloadEvent.LOST


def ready_condition(workload: Workload) -> Condition:
    """TRUE if all that was planned together answers. While a part of it does, users are served and the workload is
    RUNNING, but not as it was planned: FALSE with reason PartlyReady, and which zones answer.
    """
    batch, state = serving(workload.placements), workload.state
    seen = max((part.generation for part in batch.ready), default=0) if batch else workload.generation
    if state is not WorkloadState.RUNNING or batch is None:
        return Condition("Ready", ConditionStatus.FALSE, _CAMEL[state], "", seen, 0)
    if batch.is_answering:
        return Condition("Ready", ConditionStatus.TRUE, _CAMEL[state], "", seen, 0)
    told = f"{len(batch.ready)} of {batch.planned_count} zones answer: {zones_of(batch.ready)}"
    return Condition("Ready", ConditionStatus.FALSE, "PartlyReady", told, seen, 0)


def zones_of(placements: Sequence[Placement]) -> str:
    """The zones of placements, for people."""
    return ", ".join(str(placement.zone) for placement in placements)

"""What app teams ask: plan, submit, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from hansa_control.application.deciding import Decider
from hansa_control.application.expectations import Expectations
from hansa_control.application.journal import Journal
from hansa_control.application.ports import Clock, IdSource, RefusalError, StoredRequest, Table
from hansa_control.application.preempting import Preempter
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.domain import lifecycle
from hansa_control.domain.batches import LIVE, batches_of
from hansa_control.domain.lifecycle import WorkloadEvent
from hansa_control.domain.model import (
    Decision,
    Placement,
    Reason,
    Workload,
    WorkloadId,
    WorkloadSpec,
    WorkloadState,
)
from hansa_control.domain.overlay import Overlay
from hansa_control.domain.preempting import Candidate
from hansa_control.domain.record import DecisionRecord
from hansa_control.domain.sharing import shares_now


class Current(NamedTuple):
    """Where a workload is: the zone that gets most of the requests, and all zones, sorted; empty if nowhere."""

    zone: str
    zones: tuple[str, ...]


class WhatIf(NamedTuple):
    """The decision in a world that is other than it is, the one in the world as it is, and where the workload runs."""

    decision: Decision
    present: Decision
    current: Current


class Workloads:
    """Accepts workloads durably. Placing them is the reconciler's matter; nothing here waits for it."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, Journal],
        decider: Decider,
        sources: tuple[Clock, IdSource],
    ) -> None:
        self._settings = settings
        self._state, self._journal = records
        self._decider = decider
        self._expectations = Expectations()
        self._clock, self._ids = sources
        self.on_change: Callable[[WorkloadId], None] = lambda workload: None
        self.preempter: Preempter | None = None

    async def plan(self, workload: WorkloadId, spec: WorkloadSpec) -> tuple[Decision, Current]:
        """The decision of this moment, as if the workload's present placements were free; and where it runs."""
        held = self._state.workloads.get(str(workload))
        self._decider.check_carriers(spec)
        decision = self._decided(workload, spec)
        self._expectations.remember(workload, spec, decision)
        return decision, current_of(held)

    def would_preempt(self, workload: WorkloadId, spec: WorkloadSpec, decision: Decision) -> tuple[Candidate, ...]:
        """Who would give way to a workload for which a plan has found no room; nobody if it has, or none would do."""
        if decision.choices or self.preempter is None:
            return ()
        planned = self.preempter.plan(str(workload), self._decider.laws.checked(spec, workload.tenant))
        return planned.victims if planned else ()

    async def plan_under(self, overlay: Overlay, workload: WorkloadId, spec: WorkloadSpec) -> WhatIf:
        """The decision in a world that is other than it is, beside that of this moment. Nothing expects it later."""
        held = self._state.workloads.get(str(workload))
        lawful = self._decider.laws.checked(spec, workload.tenant)
        explicit = self._decider.laws.supposed(overlay, spec)
        self._decider.check_carriers(spec, overlay)
        return WhatIf(
            self._decider.decide_under(explicit, lawful, held), self._decider.decide(lawful, held), current_of(held)
        )

    def _decided(self, workload: WorkloadId, spec: WorkloadSpec) -> Decision:
        held = self._state.workloads.get(str(workload))
        return self._decider.decide(self._decider.laws.checked(spec, workload.tenant), held)

    def record(self, decision: Decision) -> DecisionRecord:
        """The record of a plan that was just made."""
        return self._decider.records.record(decision)

    def expect(self, generation: int, caller: str, request_id: str, workload: WorkloadId, spec: WorkloadSpec) -> None:
        """Refuses with GENERATION_CHANGED if a submit of this would be answered otherwise than its plan was.

        generation is that of the plan, 0 expects nothing. A submit that changes nothing (one that is repeated, or of
        the spec that is kept) was answered already.
        """
        held = self._state.workloads.get(str(workload))
        known = f"{caller}|{request_id}" in self._state.requests or (held is not None and held.spec == spec)
        if generation and not known:
            self._expectations.check(workload, spec, generation, self._decided(workload, spec))

    async def submit(
        self, caller: str, request_id: str, workload: WorkloadId, spec: WorkloadSpec, payload_digest: str
    ) -> Workload:
        """Accepts a workload; durable on return. The same request id with the same payload answers the same again."""
        self._decider.laws.checked(spec, workload.tenant)
        repeated = self._repeated(caller, request_id, payload_digest)
        held = self._state.workloads.get(str(workload))
        if held is not None and (repeated or held.spec == spec) and held.state is not WorkloadState.DELETING:
            self._remember(caller, request_id, payload_digest, workload)
            await self._state.commit()
            return held
        if repeated:
            why = f"{workload} was accepted under this request id and deleted since"
            raise await self._kept(workload, Reason.NOT_FOUND, why)
        if held is not None and held.state is WorkloadState.DELETING:
            why = f"{workload} is being deleted; try again when it is gone"
            raise await self._kept(workload, Reason.ALREADY_EXISTS, why, "name")
        self._decider.check_carriers(spec)
        accepted = self._change(held, spec) if held else self._accept(caller, workload, spec)
        self._remember(caller, request_id, payload_digest, workload)
        await self._state.commit()
        self.on_change(workload)
        return accepted

    def _change(self, held: Workload, spec: WorkloadSpec) -> Workload:
        """Another spec: the workload is placed anew, and moves when the new placement answers."""
        changed = replace(held, spec=spec, generation=held.generation + 1, revision=held.revision + 1)
        self._journal.put(changed)
        self._journal.normal(held.id, "SpecChanged", f"generation {changed.generation}")
        return changed

    def _accept(self, caller: str, workload: WorkloadId, spec: WorkloadSpec) -> Workload:
        if len(self._state.workloads) >= self._settings.workloads_max:
            raise RefusalError(Reason.LIMIT_EXCEEDED, f"more than {self._settings.workloads_max} workloads")
        accepted = Workload(
            id=workload,
            uid=self._ids.new_id(),
            spec=spec,
            generation=1,
            revision=1,
            state=WorkloadState.PENDING,
            placements=(),
            conditions=(),
            created_at_ms=self._clock.wall_ms(),
            client_id=caller,
        )
        self._journal.put(accepted)
        self._journal.normal(workload, "Submitted", f"accepted by {self._settings.operator}")
        return accepted

    async def delete(
        self, caller: str, request_id: str, workload: WorkloadId, etag: str, payload_digest: str
    ) -> Workload:
        """Marks a workload for deletion; durable on return. It is gone when its owners have given the capacity back."""
        repeated = self._repeated(caller, request_id, payload_digest)
        held = self._state.workloads.get(str(workload))
        if held is None:
            raise await self._kept(workload, Reason.NOT_FOUND, f"there is no {workload}", "name")
        if repeated and held.state is not WorkloadState.DELETING:
            raise await self._kept(workload, Reason.NOT_FOUND, f"the {workload} of this request id was deleted", "name")
        if not repeated and etag and etag != str(held.revision):
            why = f"{workload} has changed: etag is {held.revision}"
            raise await self._kept(workload, Reason.ETAG_MISMATCH, why, "etag")
        if held.state is not WorkloadState.DELETING:
            state = lifecycle.advance(held.state, WorkloadEvent.DELETE)
            held = replace(held, state=state, revision=held.revision + 1)
            self._journal.put(held)
            self._journal.normal(workload, "Deleting", f"asked by {caller}")
        self._remember(caller, request_id, payload_digest, workload)
        await self._state.commit()
        self.on_change(workload)
        return held

    async def _kept(self, workload: WorkloadId, reason: Reason, message: str, field: str = "") -> RefusalError:
        """A refusal for what a workload is, once that would survive a crash."""
        await self._journal.kept(workload)
        return RefusalError(reason, message, field)

    def _repeated(self, caller: str, request_id: str, payload_digest: str) -> bool:
        held = self._state.requests.get(f"{caller}|{request_id}")
        if held is not None and held.payload_digest != payload_digest:
            raise RefusalError(
                Reason.REQUEST_ID_REUSED, f"request id {request_id} was used with another payload", "request_id"
            )
        return held is not None

    def _remember(self, caller: str, request_id: str, payload_digest: str, workload: WorkloadId) -> None:
        record = StoredRequest(payload_digest, str(workload), self._clock.wall_ms())
        self._state.put(Table.REQUEST, f"{caller}|{request_id}", record)
        if len(self._state.requests) > self._settings.requests_kept_max:
            self._state.delete(Table.REQUEST, next(iter(self._state.requests)))


def current_of(workload: Workload | None) -> Current:
    """The zones of the newest batch, to which a workload moves if it does not run there yet."""
    batches = batches_of(workload.placements, LIVE) if workload else []
    if workload is None or not batches:
        return Current("", ())
    parts = batches[-1].live
    return Current(most_used(workload.spec, parts), tuple(sorted(str(part.zone) for part in parts)))


def most_used(spec: WorkloadSpec, parts: Sequence[Placement]) -> str:
    """The zone, "operator/zone", that gets most of the requests of those parts; ties by name."""
    if len(parts) == 1:
        return str(parts[0].zone)
    demand = {at.access_point: at.demand_millirps for at in spec.access}
    got = [sum(demand.get(name, 0) * share for name, share in shares.items()) for shares in shares_now(parts)]
    return min((-load, str(part.zone)) for load, part in zip(got, parts, strict=True))[1]

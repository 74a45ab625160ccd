"""Keeping: each workload is looked at whenever something that concerns it has changed, and brought nearer to its spec.

Level-triggered: a look starts from what is, not from what happened, so a lost or doubled wake-up does no harm. Looks
at one workload never overlap; wake-ups meanwhile lead to one more look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from types import coroutine

from hansa_control.application.deciding import Decider
from hansa_control.application.journal import Journal
from hansa_control.application.placing import Placer
from hansa_control.application.ports import Clock, IdSource, Owner, OwnerUnreachable, RefusalError, StoreFailed, Table
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World, offer_key
from hansa_control.domain import lifecycle
from hansa_control.domain.conditions import set_condition
from hansa_control.domain.explain import histogram
from hansa_control.domain.lifecycle import WorkloadEvent
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    Condition,
    ConditionStatus,
    ConstraintResult,
    Decision,
    OnChange,
    Placement,
    PlacementState,
    Reason,
    Rejection,
    Workload,
    WorkloadState,
    ZoneId,
)

_LIVE = frozenset({PlacementState.STARTING, PlacementState.READY})
_PLACEMENT_OF_CLAIM: Mapping[ClaimState, PlacementState] = {
    ClaimState.ALLOCATED: PlacementState.STARTING,
    ClaimState.SERVING: PlacementState.READY,
    ClaimState.LOST: PlacementState.LOST,
    ClaimState.FAILED: PlacementState.RELEASING,
    ClaimState.RELEASING: PlacementState.RELEASING,
    ClaimState.RELEASED: PlacementState.RELEASING,
}


class Reconciler:
    """Looks at workloads, one look a workload at a time, several workloads side by side."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, Journal, World],
        deciding: tuple[Decider, Placer],
        owners: Mapping[str, Owner],
        sources: tuple[Clock, IdSource],
    ) -> None:
        self._settings = settings
        self._state, self._journal, self._world = records
        self._decider, self._placer = deciding
        self._owners = owners
        self._clock, self._ids = sources
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._retry_at_ms: dict[str, int] = {}
        self._retry_count: dict[str, int] = {}
        self._paused_zones: dict[tuple[str, ZoneId], int] = {}
        self._by_claim: dict[str, str] = {}
        self._gone: set[tuple[str, str]] = set()
        self.on_defect: Callable[[str, Exception], None] = lambda workload, defect: None

    # --- waking ---

    def wake(self, workload: str) -> None:
        """Asks for a look; asking again before it happens asks nothing more."""
        if workload in self._busy:
            self._again.add(workload)
        elif workload not in self._queued:
            self._queued.add(workload)
            self._queue.put_nowait(workload)

    def wake_claim(self, claim: str) -> None:
        """The owner said something of a claim of ours."""
        workload = self._by_claim.get(claim)
        if workload is not None:
            self.wake(workload)

    def claim_gone(self, owner: str, claim: str) -> None:
        """The owner no longer knows the claim."""
        if claim in self._by_claim:
            self._gone.add((owner, claim))
            self.wake_claim(claim)

    def wake_waiting(self) -> None:
        """Capacity, facts or network have changed: whoever waits for a zone gets another look."""
        for key, workload in self._state.workloads.items():
            if workload.state in {WorkloadState.PENDING, WorkloadState.UNPLACEABLE}:
                self.wake(key)

    def wake_all(self) -> None:
        for key in self._state.workloads:
            self.wake(key)

    def tick(self) -> None:
        """Wakes what asked to be looked at again by now."""
        now_ms = self._clock.monotonic_ms()
        due = [key for key, at_ms in self._retry_at_ms.items() if at_ms <= now_ms]
        for key in due:
            del self._retry_at_ms[key]
            self.wake(key)
        self._paused_zones = {k: until_ms for k, until_ms in self._paused_zones.items() if until_ms > now_ms}

    def recover(self) -> None:
        """After loading: everything gets a look."""
        for key, workload in self._state.workloads.items():
            for placement in workload.placements:
                self._by_claim[placement.claim] = key
        self.wake_all()

    # --- looking ---

    async def run(self) -> None:
        """Looks at workloads until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.reconcilers):
                group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            key = await self._queue.get()
            self._queued.discard(key)
            self._busy.add(key)
            try:
                await self.look(key)
            except StoreFailed:
                raise
            except Exception as defect:
                self._contain(key, defect)
            finally:
                self._busy.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.wake(key)
            # A look that changes nothing never waits, and many of them in a row would keep everybody else waiting.
            await _give_way()

    def _contain(self, key: str, defect: Exception) -> None:
        """A defect met at one workload is told and tried again later; it must not take all the others with it."""
        self.on_defect(key, defect)
        workload = self._state.workloads.get(key)
        if workload is not None:
            self._journal.warning(workload.id, "Defect", f"{type(defect).__name__}: {defect}")
            self._retry_later(workload, "")

    async def look(self, key: str) -> None:
        """One look at a workload: see what its owners say, give up what is to be given up, place if nowhere."""
        workload = self._state.workloads.get(key)
        if workload is None:
            return
        workload = self._observe(workload)
        workload = await self._release_given_up(workload)
        if workload.state is WorkloadState.DELETING:
            self._forget_if_empty(workload)
        else:
            workload = await self._keep_placed(workload)
            workload = await self._release_given_up(workload)
        await self._state.commit()

    # --- seeing ---

    def _observe(self, workload: Workload) -> Workload:
        seen = tuple(
            placement for before in workload.placements if (placement := self._seen(workload, before)) is not None
        )
        seen = _newest_ready_wins(seen)
        if workload.state is WorkloadState.DELETING:
            seen = tuple(replace(placement, state=PlacementState.RELEASING) for placement in seen)
        workload = self._changed(workload, replace(workload, placements=seen))
        return self._advance(workload, _event_of(seen))

    def _seen(self, workload: Workload, placement: Placement) -> Placement | None:
        """The placement as its owner sees it; None if it is no more."""
        self._by_claim[placement.claim] = str(workload.id)
        gone = (placement.zone.operator, placement.claim)
        if gone in self._gone:
            self._gone.discard(gone)
            if placement.state is not PlacementState.RELEASING:
                self._journal.warning(workload.id, "ClaimGone", f"{placement.zone} no longer knows {placement.claim}")
            return None
        if placement.state is PlacementState.RELEASING:
            return placement
        if placement.state is PlacementState.HELD:
            return replace(placement, state=PlacementState.RELEASING, message="cut off before it was confirmed")
        status = self._world.claim_status(placement.zone.operator, placement.claim)
        if status is None:
            self._unknown(workload, placement)
            return None
        return self._told(workload, placement, status)

    def _unknown(self, workload: Workload, placement: Placement) -> None:
        """A confirmed claim of which nothing is held is gone; a crash may have come between that and this look."""
        self._journal.warning(workload.id, "ClaimGone", f"no claim {placement.claim} in {placement.zone}")

    def _told(self, workload: Workload, placement: Placement, status: ClaimStatus) -> Placement:
        state = _PLACEMENT_OF_CLAIM.get(status.state, placement.state)
        told = replace(placement, state=state, endpoint_urls=status.endpoint_urls, message=status.message)
        if state is placement.state:
            return told
        if state is PlacementState.READY:
            self._journal.normal(workload.id, "Ready", f"answers in {placement.zone}")
        elif state is PlacementState.LOST:
            self._journal.warning(workload.id, "ZoneLost", f"{placement.zone} is lost: {status.message}")
        elif status.state is ClaimState.FAILED:
            self._pause(workload, placement.zone)
            self._journal.warning(workload.id, "InstanceFailed", f"{placement.zone}: {status.message}")
        elif state is PlacementState.STARTING:
            self._journal.normal(workload.id, "NotReady", f"{placement.zone}: {status.message}")
        return told

    def _pause(self, workload: Workload, zone: ZoneId) -> None:
        until_ms = self._clock.monotonic_ms() + self._settings.failed_zone_pause_ms
        self._paused_zones[(str(workload.id), zone)] = until_ms

    # --- giving up ---

    async def _release_given_up(self, workload: Workload) -> Workload:
        for placement in workload.placements:
            if placement.state is PlacementState.RELEASING:
                workload = await self._release(workload, placement)
        return workload

    async def _release(self, workload: Workload, placement: Placement) -> Workload:
        """Tells the owner; once it has taken note, stopping the instances is its duty and the placement is done."""
        owner = self._owners.get(placement.zone.operator)
        try:
            if owner is None:
                raise OwnerUnreachable(f"no way to {placement.zone.operator}")
            deleting = workload.state is WorkloadState.DELETING
            await owner.release(placement.claim, Reason.WORKLOAD_DELETED if deleting else Reason.WORKLOAD_MOVED)
        except (OwnerUnreachable, RefusalError) as failure:
            self._retry_later(workload, f"release of {placement.claim} in {placement.zone}: {failure}")
            return workload
        self._by_claim.pop(placement.claim, None)
        self._forget_if_never_offered(placement)
        self._journal.normal(workload.id, "Released", f"{placement.zone} takes back claim {placement.claim}")
        rest = tuple(p for p in workload.placements if p.claim != placement.claim)
        return self._changed(workload, replace(workload, placements=rest))

    def _forget_if_never_offered(self, placement: Placement) -> None:
        """A claim released before the partner's stream named it would never be taken out of the offers by it."""
        key = offer_key(placement.zone.operator, f"claims/{placement.claim}")
        stored = self._state.offers.get(key)
        if stored is not None and not stored.etag:
            self._state.delete(Table.OFFER, key)

    def _forget_if_empty(self, workload: Workload) -> None:
        if workload.placements:
            return
        self._journal.normal(workload.id, "Deleted", "every owner has taken its capacity back")
        self._journal.forget(workload.id)
        self._retry_at_ms.pop(str(workload.id), None)
        self._retry_count.pop(str(workload.id), None)

    # --- placing ---

    async def _keep_placed(self, workload: Workload) -> Workload:
        live = [placement for placement in workload.placements if placement.state in _LIVE]
        if not live:
            return await self._place(workload, live, ())
        if len({placement.batch for placement in live}) > 1:
            return workload
        if _is_torn(workload, live[0].batch):
            return await self._place(workload, live, ())
        changed = any(placement.generation != workload.generation for placement in live)
        if changed and not any(self._must_leave(workload, placement) for placement in live):
            return await self._place(workload, live, ())
        return await self._keep_lawful(workload, live)

    def _must_leave(self, workload: Workload, placement: Placement) -> bool:
        keeps = workload.spec.residency.on_change is OnChange.KEEP_AND_ALERT
        return not keeps and bool(self._decider.unlawful(workload, placement))

    async def _keep_lawful(self, workload: Workload, live: list[Placement]) -> Workload:
        broken = {p.claim: found for p in live if (found := self._decider.unlawful(workload, p))}
        unlawful = [placement for placement in live if placement.claim in broken]
        zones = ", ".join(str(placement.zone) for placement in unlawful or live)
        if not unlawful:
            workload = self._condition(workload, "Lawful", ConditionStatus.TRUE, "PolicyHolds", zones)
            return self._well_placed(workload, zones)
        rejections = [rejection for found in broken.values() for rejection in found]
        what = "; ".join(f"{r.result.constraint}: {r.result.measured}, {r.result.bound}" for r in rejections)
        if self._status_of(workload, "Lawful") is not ConditionStatus.FALSE:
            self._journal.warning(workload.id, "PolicyBroken", f"{zones}: {what}")
        workload = self._condition(workload, "Lawful", ConditionStatus.FALSE, "PolicyBroken", what)
        on_change = self._decider.laws.enforced(workload.spec, workload.id.tenant).residency.on_change
        if on_change is OnChange.KEEP_AND_ALERT:
            return workload
        if on_change is OnChange.TERMINATE:
            return await self._terminate(workload, live, unlawful)
        return await self._place(workload, live, tuple(placement.zone for placement in unlawful))

    async def _terminate(self, workload: Workload, live: list[Placement], unlawful: list[Placement]) -> Workload:
        """Stops at once where the law is broken, and places what is left without anew."""
        for placement in unlawful:
            workload = self._set_state(workload, placement, PlacementState.RELEASING)
        rest = [placement for placement in live if placement not in unlawful]
        if not rest:
            workload = self._advance(workload, WorkloadEvent.LOST)
        workload = await self._release_given_up(workload)
        return await self._place(workload, rest, ())

    def _well_placed(self, workload: Workload, zones: str) -> Workload:
        """Nothing better is looked for: whatever was wrong has passed, a lost zone is back or its law holds again."""
        if self._status_of(workload, "Stranded") is ConditionStatus.TRUE:
            workload = self._condition(workload, "Stranded", ConditionStatus.FALSE, "Placed", zones)
        if self._status_of(workload, "Placed") is ConditionStatus.FALSE:
            workload = self._condition(workload, "Placed", ConditionStatus.TRUE, "Placed", zones)
        return workload

    async def _place(self, workload: Workload, kept: list[Placement], avoid: tuple[ZoneId, ...]) -> Workload:
        placed = await self._placer.place(workload, self._excluded(workload, avoid))
        workload = placed.workload
        for placement in placed.workload.placements:
            self._by_claim[placement.claim] = str(workload.id)
        if placed.granted:
            return self._after_grant(workload)
        return self._nothing_fits(workload, placed.decision, kept)

    def _excluded(self, workload: Workload, avoid: tuple[ZoneId, ...]) -> Mapping[ZoneId, Rejection]:
        """Zones that are not asked, each with why: it must be left, or the workload failed there a moment ago."""
        told: dict[ZoneId, Rejection] = {}
        for zone in avoid:
            result = ConstraintResult("PolicyHolds", "runs there against the policy", "lawful", "condition Lawful")
            told[zone] = Rejection(zone, Reason.NOT_EVALUATED, result)
        now_ms = self._clock.monotonic_ms()
        for (key, zone), until_ms in self._paused_zones.items():
            if key == str(workload.id):
                rest_s = max(0, until_ms - now_ms) / 1000
                result = ConstraintResult(
                    "ZonePaused", f"failed here, {rest_s:.0f} s left", "no pause", "its last claim"
                )
                told[zone] = Rejection(zone, Reason.INSTANCE_FAILED, result)
        return told

    def _after_grant(self, workload: Workload) -> Workload:
        """Another zone has it: what was lost elsewhere is given up, to be stopped there when it is heard again."""
        for placement in workload.placements:
            if placement.state is PlacementState.LOST:
                workload = self._set_state(workload, placement, PlacementState.RELEASING)
        key = str(workload.id)
        self._retry_count.pop(key, None)
        self._retry_at_ms.pop(key, None)
        newest = workload.placements[-1].batch
        zones = ", ".join(str(placement.zone) for placement in workload.placements if placement.batch == newest)
        workload = self._condition(workload, "Placed", ConditionStatus.TRUE, "Placed", zones)
        workload = self._condition(workload, "Stranded", ConditionStatus.FALSE, "Placed", zones)
        workload = self._advance(workload, WorkloadEvent.GRANTED)
        self.wake(key)
        return workload

    def _nothing_fits(self, workload: Workload, decision: Decision, kept: list[Placement]) -> Workload:
        line = histogram(decision).describe()
        stranded = bool(kept) or any(p.state is PlacementState.LOST for p in workload.placements)
        if workload.state is not WorkloadState.UNPLACEABLE and self._status_of(workload, "Stranded") is not (
            ConditionStatus.TRUE
        ):
            self._journal.warning(workload.id, "NoFeasibleZone", line)
        placed = ConditionStatus.TRUE if kept else ConditionStatus.FALSE
        workload = self._condition(workload, "Placed", placed, "NoFeasibleZone", line)
        if stranded:
            workload = self._condition(workload, "Stranded", ConditionStatus.TRUE, "NoFeasibleZone", line)
        workload = self._advance(workload, WorkloadEvent.NOTHING_FITS)
        self._retry_later(workload, "")
        return workload

    def _retry_later(self, workload: Workload, why: str) -> None:
        key = str(workload.id)
        count = self._retry_count.get(key, 0)
        self._retry_count[key] = min(count + 1, 16)
        bound_ms = min(self._settings.retry_ms_max, self._settings.retry_ms_min * 2**count)
        delay_ms = bound_ms // 2 + int(self._ids.fraction() * bound_ms / 2)
        self._retry_at_ms[key] = self._clock.monotonic_ms() + delay_ms
        if why and count in {0, 4, 8}:
            self._journal.warning(workload.id, "Retrying", why)

    # --- recording ---

    def _set_state(self, workload: Workload, placement: Placement, state: PlacementState) -> Workload:
        placements = tuple(replace(p, state=state) if p.claim == placement.claim else p for p in workload.placements)
        return self._changed(workload, replace(workload, placements=placements))

    def _advance(self, workload: Workload, event: WorkloadEvent) -> Workload:
        state = lifecycle.advance(workload.state, event)
        ready = ConditionStatus.TRUE if state is WorkloadState.RUNNING else ConditionStatus.FALSE
        workload = self._changed(workload, replace(workload, state=state))
        serving = [p.generation for p in workload.placements if p.state is PlacementState.READY]
        seen = max(serving, default=workload.generation)
        return self._with(workload, Condition("Ready", ready, _CAMEL[state], "", seen, 0))

    def _condition(self, workload: Workload, kind: str, status: ConditionStatus, reason: str, message: str) -> Workload:
        return self._with(workload, Condition(kind, status, reason, message, workload.generation, 0))

    def _with(self, workload: Workload, condition: Condition) -> Workload:
        now = replace(condition, changed_at_ms=self._clock.wall_ms())
        return self._changed(workload, replace(workload, conditions=set_condition(workload.conditions, now)))

    def _changed(self, before: Workload, after: Workload) -> Workload:
        return before if after == before else self._journal.record(after)

    @staticmethod
    def _status_of(workload: Workload, kind: str) -> ConditionStatus | None:
        return next((c.status for c in workload.conditions if c.type == kind), None)


_CAMEL: Mapping[WorkloadState, str] = {
    WorkloadState.PENDING: "Pending",
    WorkloadState.STARTING: "Starting",
    WorkloadState.RUNNING: "Running",
    WorkloadState.UNPLACEABLE: "Unplaceable",
    WorkloadState.DELETING: "Deleting",
}


@coroutine
def _give_way() -> Generator[None]:
    """Lets whoever is ready go first."""
    yield


def _event_of(placements: tuple[Placement, ...]) -> WorkloadEvent:
    states = {placement.state for placement in placements}
    if PlacementState.READY in states:
        return WorkloadEvent.READY
    return WorkloadEvent.NOT_READY if PlacementState.STARTING in states else WorkloadEvent.LOST


def _newest_ready_wins(placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
    """Once all of the newest batch answers, older ones are given up, lost ones too: first ready, then stop."""
    newest = max((placement.batch for placement in placements if placement.state in _LIVE), default=0)
    members = [placement for placement in placements if placement.batch == newest]
    if not members or any(placement.state is not PlacementState.READY for placement in members):
        return placements
    return tuple(
        replace(placement, state=PlacementState.RELEASING) if placement.batch < newest else placement
        for placement in placements
    )


def _is_torn(workload: Workload, batch: int) -> bool:
    """Whether a part of a batch, which was placed as a whole, is lost or given up."""
    return any(p.batch == batch and p.state not in _LIVE for p in workload.placements)

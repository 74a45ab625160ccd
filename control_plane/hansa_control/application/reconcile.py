"""Keeping: each workload is looked at whenever something that concerns it has changed, and brought nearer to its spec.

Level-triggered: a look starts from what is, not from what happened, so a lost or doubled wake-up does no harm. Looks
at one workload never overlap; wake-ups meanwhile lead to one more look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from types import coroutine

from hansa_control.application.deciding import Decider
from hansa_control.application.journal import Journal
from hansa_control.application.placing import Placed, Placer
from hansa_control.application.ports import Clock, IdSource, OwnerUnreachable, RefusalError, StoreFailed, Table
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain import lifecycle
from hansa_control.domain.batches import LIVE, batches_of, serving, without_superseded
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
        sources: tuple[Clock, IdSource],
    ) -> None:
        self._settings = settings
        self._state, self._journal, self._world = records
        self._decider, self._placer = deciding
        self._clock, self._ids = sources
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._fresh: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._retry_at_ms: dict[str, int] = {}
        self._retry_count: dict[str, int] = {}
        self._settled_at_ms: dict[str, int] = {}
        self._paused_zones: dict[tuple[str, ZoneId], int] = {}
        self._by_claim: dict[str, str] = {}
        self._gone: set[tuple[str, str]] = set()
        self.on_defect: Callable[[str, Exception], None] = lambda workload, defect: None
        self.turn: Callable[[], Awaitable[None]] = _at_once
        """Awaited before each first placing, for which nobody waits who has not been answered already."""

    # --- waking ---

    def wake(self, workload: str) -> None:
        """Asks for a look; asking again before it happens asks nothing more."""
        if workload in self._busy:
            self._again.add(workload)
        elif workload not in self._queued:
            self._queued.add(workload)
            held = self._state.workloads.get(workload)
            is_fresh = held is not None and held.state is WorkloadState.PENDING and not held.placements
            (self._fresh if is_fresh else self._queue).put_nowait(workload)

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

    def wake_preferring(self) -> None:
        """Whoever has tiers of preferences: whether to go back to a better one is a matter of time."""
        for key, workload in self._state.workloads.items():
            if workload.spec.preferences.ordered:
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
        """Looks at workloads until cancelled. What runs already never waits for what is to be placed first."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.reconcilers):
                group.create_task(self._serve(self._queue, _at_once))
                group.create_task(self._serve(self._fresh, lambda: self.turn()))

    async def _serve(self, queue: asyncio.Queue[str], turn: Callable[[], Awaitable[None]]) -> None:
        while True:
            key = await queue.get()
            # A look that changes nothing never waits, and many of them in a row would keep everybody else waiting.
            await turn()
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
        seen = without_superseded(seen)
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
        told = replace(
            placement,
            state=state,
            endpoint_urls=status.endpoint_urls,
            message=status.message,
            has_answered=placement.has_answered or state is PlacementState.READY,
        )
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
        deleting = workload.state is WorkloadState.DELETING
        try:
            workload = await self._placer.holder.give_back(
                workload, placement, Reason.WORKLOAD_DELETED if deleting else Reason.WORKLOAD_MOVED
            )
        except (OwnerUnreachable, RefusalError) as failure:
            self._retry_later(workload, f"release of {placement.claim} in {placement.zone}: {failure}")
            return workload
        self._by_claim.pop(placement.claim, None)
        return workload

    def _forget_if_empty(self, workload: Workload) -> None:
        if workload.placements:
            return
        self._journal.normal(workload.id, "Deleted", "every owner has taken its capacity back")
        self._journal.forget(workload.id)
        self._retry_at_ms.pop(str(workload.id), None)
        self._retry_count.pop(str(workload.id), None)
        self._settled_at_ms.pop(str(workload.id), None)

    # --- placing ---

    async def _keep_placed(self, workload: Workload) -> Workload:
        """Places a workload that is nowhere, and one that its batch no longer suits: a part of it is lost, the spec is
        another one, the law does not allow it any more. While a whole new batch starts, there is nothing to decide.
        """
        workload = self._without_failed_moves(workload)
        broken = self._broken_laws(workload)
        if broken and self._on_change(workload) is OnChange.TERMINATE:
            workload, broken = await self._terminate(workload, broken), {}
        batches = batches_of(workload.placements, LIVE)
        live = [part for batch in batches for part in batch.live]
        if not batches:
            return await self._place(workload, live, ())
        if len(batches) > 1:
            return workload
        must_leave = bool(broken) and self._on_change(workload) is not OnChange.KEEP_AND_ALERT
        changed = any(part.generation != workload.generation for part in live)
        if changed and not must_leave:
            return await self._place(workload, live, ())
        workload = self._tell_law(workload, live, broken)
        if batches[0].is_torn or must_leave:
            return await self._place(workload, live, tuple(part.zone for part in live if part.claim in broken))
        if broken:
            return workload
        return await self._fail_back(self._well_placed(workload, _zones(live)), live)

    def _without_failed_moves(self, workload: Workload) -> Workload:
        """A batch that loses a part, or the law, before it has taken over is given up; what users have then decides
        whether there is to be another one.
        """
        batches = batches_of(workload.placements, LIVE)
        keeps = self._on_change(workload) is OnChange.KEEP_AND_ALERT
        while len(batches) > 1:
            newest = batches.pop()
            if not newest.is_torn and (keeps or not any(self._decider.unlawful(workload, p) for p in newest.live)):
                break
            for part in newest.parts:
                workload = self._set_state(workload, part, PlacementState.RELEASING)
        return workload

    def _on_change(self, workload: Workload) -> OnChange:
        return self._decider.laws.enforced(workload.spec, workload.id.tenant).residency.on_change

    def _broken_laws(self, workload: Workload) -> dict[str, tuple[Rejection, ...]]:
        """What each live placement fails of the policy, by claim; those that fail nothing are not in it."""
        live = [placement for placement in workload.placements if placement.state in LIVE]
        return {p.claim: found for p in live if (found := self._decider.unlawful(workload, p))}

    def _tell_law(
        self, workload: Workload, live: list[Placement], broken: Mapping[str, tuple[Rejection, ...]]
    ) -> Workload:
        if not broken:
            return self._condition(workload, "Lawful", ConditionStatus.TRUE, "PolicyHolds", _zones(live))
        what = "; ".join(self._law_told(workload, placement, broken) for placement in live if placement.claim in broken)
        if self._status_of(workload, "Lawful") is not ConditionStatus.FALSE:
            zones = _zones([placement for placement in live if placement.claim in broken])
            self._journal.warning(workload.id, "PolicyBroken", f"{zones}: {what}")
        return self._condition(workload, "Lawful", ConditionStatus.FALSE, "PolicyBroken", what)

    def _law_told(self, workload: Workload, placement: Placement, broken: Mapping[str, tuple[Rejection, ...]]) -> str:
        """What a placement fails, what is asked, and by whom: what its users ask first."""
        whose = self._decider.whose(workload, placement)
        return "; ".join(
            f"{result.constraint}: {result.measured}, bound {result.bound}"
            f" ({whose.get(result.constraint, 'the rules together')})"
            for result in (rejection.result for rejection in broken[placement.claim])
        )

    async def _terminate(self, workload: Workload, broken: Mapping[str, tuple[Rejection, ...]]) -> Workload:
        """Stops at once where the law is broken; what that leaves of a batch goes on until it is replaced."""
        unlawful = [placement for placement in workload.placements if placement.claim in broken]
        workload = self._tell_law(workload, unlawful, broken)
        for placement in unlawful:
            workload = self._set_state(workload, placement, PlacementState.RELEASING)
        workload = self._advance(workload, _event_of(workload.placements))
        return await self._release_given_up(workload)

    async def _fail_back(self, workload: Workload, live: list[Placement]) -> Workload:
        """Goes back to a better tier of the preferences that has a place again, once the workload has settled where it
        is, so that a tier that comes and goes does not move it each time. A workload in several zones stays.
        """
        key, now_ms = str(workload.id), self._clock.monotonic_ms()
        settled_ms = self._settled_at_ms.setdefault(key, now_ms)
        is_whole = all(placement.state is PlacementState.READY for placement in live)
        wants = bool(workload.spec.preferences.ordered) and workload.spec.zones.maximum == 1 and is_whole
        if not wants or now_ms - settled_ms < self._settings.fail_back_after_ms:
            return workload
        self._settled_at_ms[key] = now_ms
        better = self._decider.better_zones(workload, self._excluded(workload, ()))
        if not better:
            return workload
        told, explained = self._of_no_better_tier(better), self._state.decisions.get(key)
        placed = await self._placer.place(workload, {**told, **self._excluded(workload, ())})
        if not placed.granted and explained is not None:
            self._state.put(Table.DECISION, key, explained)
        return self._accepted(placed) if placed.granted else placed.workload

    def _of_no_better_tier(self, better: Collection[ZoneId]) -> dict[ZoneId, Rejection]:
        """Why all other zones are not asked."""
        result = ConstraintResult("BetterTier", "of no better tier", "a better tier", "preferences of the request")
        seen = (zone.id for zone in self._world.snapshot().zones if zone.id not in better)
        return {zone: Rejection(zone, Reason.NOT_EVALUATED, result) for zone in seen}

    def _well_placed(self, workload: Workload, zones: str) -> Workload:
        """Whatever was wrong has passed: a lost zone is back or its law holds again."""
        if self._status_of(workload, "Stranded") is ConditionStatus.TRUE:
            workload = self._condition(workload, "Stranded", ConditionStatus.FALSE, "Placed", zones)
        if self._status_of(workload, "Placed") is ConditionStatus.FALSE:
            workload = self._condition(workload, "Placed", ConditionStatus.TRUE, "Placed", zones)
        return workload

    async def _place(self, workload: Workload, kept: list[Placement], avoid: tuple[ZoneId, ...]) -> Workload:
        explained = self._state.decisions.get(str(workload.id))
        placed = await self._placer.place(workload, self._excluded(workload, avoid))
        workload = self._accepted(placed)
        if placed.granted:
            return workload
        if kept and explained is not None:  # it stays where it is, and ``why`` goes on to say why
            self._state.put(Table.DECISION, str(workload.id), explained)
        return self._nothing_fits(workload, placed.decision, kept)

    def _accepted(self, placed: Placed) -> Workload:
        """The workload as placing left it, with its claims known."""
        for placement in placed.workload.placements:
            self._by_claim[placement.claim] = str(placed.workload.id)
        return self._after_grant(placed.workload) if placed.granted else placed.workload

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
        self._settled_at_ms[key] = self._clock.monotonic_ms()
        zones = _zones(batches_of(workload.placements)[-1].parts)
        workload = self._condition(workload, "Placed", ConditionStatus.TRUE, "Placed", zones)
        workload = self._condition(workload, "Stranded", ConditionStatus.FALSE, "Placed", zones)
        workload = self._advance(workload, WorkloadEvent.GRANTED)
        self.wake(key)
        return workload

    def _nothing_fits(self, workload: Workload, decision: Decision, kept: list[Placement]) -> Workload:
        reason, line = _why_nowhere(workload, decision)
        stranded = bool(kept) or any(p.state is PlacementState.LOST for p in workload.placements)
        if workload.state is not WorkloadState.UNPLACEABLE and self._status_of(workload, "Stranded") is not (
            ConditionStatus.TRUE
        ):
            self._journal.warning(workload.id, reason, line)
        whole = any(not batch.is_torn for batch in batches_of(kept))
        if whole:  # it stays where it is: what is wrong with that, Stranded says
            workload = self._condition(workload, "Placed", ConditionStatus.TRUE, "Placed", _zones(kept))
        else:
            workload = self._condition(workload, "Placed", ConditionStatus.FALSE, reason, line)
        if stranded or self._status_of(workload, "Stranded") is not None:
            status = ConditionStatus.TRUE if stranded else ConditionStatus.FALSE
            workload = self._condition(workload, "Stranded", status, reason, line if stranded else "it runs nowhere")
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
        workload = self._changed(workload, replace(workload, state=state))
        return self._with(workload, _ready_condition(workload))

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


async def _at_once() -> None:
    await _give_way()


def _event_of(placements: tuple[Placement, ...]) -> WorkloadEvent:
    states = {placement.state for placement in placements}
    if PlacementState.READY in states:
        return WorkloadEvent.READY
    return WorkloadEvent.NOT_READY if PlacementState.STARTING in states else WorkloadEvent.LOST


def _ready_condition(workload: Workload) -> Condition:
    """TRUE if all that was planned together answers. While a part of it does, users are served and the workload is
    RUNNING, but not as it was planned: FALSE with reason PartlyReady, and which zones answer.
    """
    batch, state = serving(workload.placements), workload.state
    seen = max((part.generation for part in batch.ready), default=0) if batch else workload.generation
    if state is not WorkloadState.RUNNING or batch is None:
        return Condition("Ready", ConditionStatus.FALSE, _CAMEL[state], "", seen, 0)
    if batch.is_answering:
        return Condition("Ready", ConditionStatus.TRUE, _CAMEL[state], "", seen, 0)
    told = f"{len(batch.ready)} of {batch.planned_count} zones answer: {_zones(batch.ready)}"
    return Condition("Ready", ConditionStatus.FALSE, "PartlyReady", told, seen, 0)


def _why_nowhere(workload: Workload, decision: Decision) -> tuple[str, str]:
    """Reason and message of conditions: no zone is feasible, or those that are do not make up a plan."""
    line = histogram(decision).describe()
    if not decision.choices or workload.spec.zones.maximum == 1:
        return "NoFeasibleZone", line
    return "NoFeasiblePlan", f"{decision.nearest_fix}; {line}" if decision.nearest_fix else line


def _zones(placements: Sequence[Placement]) -> str:
    return ", ".join(str(placement.zone) for placement in placements)

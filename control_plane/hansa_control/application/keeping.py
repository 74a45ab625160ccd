"""Keeping a workload placed: where its batch does not suit any more, another one is placed before it is given up."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hansa_control.application.deciding import Decider
from hansa_control.application.journal import Journal
from hansa_control.application.mending import Mender
from hansa_control.application.noting import Notes, event_of, status_of, with_state, zones_of
from hansa_control.application.observing import Observer
from hansa_control.application.placing import Placed, Placer
from hansa_control.application.ports import Clock, Table
from hansa_control.application.preempting import Preempter
from hansa_control.application.releasing import Releaser
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.waking import Wakes
from hansa_control.application.world import World
from hansa_control.domain.batches import LIVE, Batch, batches_of
from hansa_control.domain.explain import histogram
from hansa_control.domain.lifecycle import WorkloadEvent
from hansa_control.domain.model import (
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


class Keeper:
    """Decides what a workload needs, places it, and says in its conditions how it stands."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, Journal, World],
        deciding: tuple[Decider, Placer],
        looking: tuple[Notes, Observer, Wakes, Releaser, Preempter],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._state, self._journal, self._world = records
        self._decider, self._placer = deciding
        self._notes, self._observer, self._wakes, self._releaser, self._preempter = looking
        self._clock = clock
        self._mender = Mender(settings, self._world, (self._decider, self._placer.holder), clock)
        self._settled_at_ms: dict[str, int] = {}

    def forget(self, workload: str) -> None:
        """The workload is no more."""
        self._preempter.settled(workload)
        self._settled_at_ms.pop(workload, None)

    async def keep_placed(self, workload: Workload) -> Workload:
        """Places a workload that is nowhere, and one that its batch no longer suits: a part of it is lost, the spec is
        another one, the law does not allow it any more. While a whole new batch starts, there is nothing to decide.
        """
        workload = self._without_failed_moves(workload)
        broken = self._broken_laws(workload)
        if broken and self._on_change(workload) is OnChange.TERMINATE:
            workload, broken = await self._terminate(workload, broken), {}
        batches = batches_of(workload.placements, LIVE)
        live = [part for batch in batches for part in batch.live]
        if broken or len(batches) > 1:
            workload = self._tell_law(workload, broken)
        if not batches:
            return await self._place(workload, live, ())
        if len(batches) > 1:
            return workload
        is_broken = any(part.claim in broken for part in live)
        must_leave = is_broken and self._on_change(workload) is not OnChange.KEEP_AND_ALERT
        changed = any(part.generation != workload.generation for part in live)
        if changed and not must_leave:
            return await self._place(workload, live, ())
        workload = self._tell_law(workload, broken)
        if yielding := [part for part in live if self._preempter.gives_way(part)]:
            return await self._give_way(workload, live, yielding)
        leaving = self._leaving(workload, live)
        if batches[0].is_torn or must_leave or leaving:
            workload = await self._place(workload, live, tuple(part.zone for part in live if part.claim in broken))
            return workload if must_leave or leaving else await self._mend(workload)
        if is_broken:
            return workload
        return await self._fail_back(self._well_placed(workload, zones_of(live)), live)

    async def _give_way(self, workload: Workload, live: list[Placement], yielding: list[Placement]) -> Workload:
        """Leaves the room that somebody of a higher priority is to have: goes elsewhere first, else stops and waits."""
        nomination = self._preempter.gives_way(yielding[0])
        workload = await self._place(workload, live, (), {part.zone for part in yielding})
        is_moving = len(batches_of(workload.placements, LIVE)) > 1
        if is_moving or nomination is None or not self._preempter.may_stop(workload, yielding):
            return workload
        what = f"gives way to {nomination.workload} of priority {nomination.priority} in {nomination.zone}"
        self._journal.warning(workload.id, "Preempted", what)
        stopped = with_state(workload, yielding, PlacementState.RELEASING)
        stopped = self._notes.with_condition(stopped, "Preempted", ConditionStatus.TRUE, "HigherPriority", what)
        workload = self._notes.changed(workload, self._notes.after(stopped, event_of(stopped.placements)))
        self._wakes.wake(str(workload.id))
        return workload

    def _leaving(self, workload: Workload, live: list[Placement]) -> bool:
        """Whether an owner wants a zone empty in which the workload runs; it is asked to go, and never made to."""
        drained = self._world.drained_zones()
        zones = [p for p in live if p.zone in drained or self._world.is_to_be_left(p.zone.operator)]
        if zones and status_of(workload, "Stranded") is not ConditionStatus.TRUE:
            self._journal.normal(
                workload.id, "ZoneDraining", f"{zones_of(zones)} is to be empty; another place is sought"
            )
        return bool(zones)

    def _without_failed_moves(self, workload: Workload) -> Workload:
        """A batch that loses a part, or the law, before it has taken over, or is of a spec that is not asked for any
        more, is given up; what users have then decides whether there is to be another one.
        """
        batches = batches_of(workload.placements, LIVE)
        while len(batches) > 1:
            newest = batches.pop()
            if not newest.is_torn and self._is_wanted(workload, newest):
                break
            workload = self._notes.changed(workload, with_state(workload, newest.parts, PlacementState.RELEASING))
        return workload

    def _is_wanted(self, workload: Workload, batch: Batch) -> bool:
        """Whether what is starting is of the spec that is asked for, may be where it is, and may stay there."""
        if any(part.generation != workload.generation for part in batch.live):
            return False
        if any(part.zone in self._world.drained_zones() for part in batch.live):
            return False
        keeps = self._on_change(workload) is OnChange.KEEP_AND_ALERT
        return keeps or not any(self._decider.unlawful(workload, part) for part in batch.live)

    def _on_change(self, workload: Workload) -> OnChange:
        return self._decider.laws.enforced(workload.spec, workload.id.tenant).residency.on_change

    def _broken_laws(self, workload: Workload) -> dict[str, tuple[Rejection, ...]]:
        """What each placement that may run fails of the policy, by claim; those that fail nothing are not in it.

        What is lost may run on, and answer again as soon as it is heard.
        """
        return {p.claim: found for p in _may_run(workload) if (found := self._decider.unlawful(workload, p))}

    def _tell_law(self, workload: Workload, broken: Mapping[str, tuple[Rejection, ...]]) -> Workload:
        if not broken:
            live = [placement for placement in workload.placements if placement.state in LIVE]
            return self._notes.condition(workload, "Lawful", ConditionStatus.TRUE, "PolicyHolds", zones_of(live))
        unlawful = [placement for placement in workload.placements if placement.claim in broken]
        what = "; ".join(self._law_told(workload, placement, broken) for placement in unlawful)
        if status_of(workload, "Lawful") is not ConditionStatus.FALSE:
            self._journal.warning(workload.id, "PolicyBroken", f"{zones_of(unlawful)}: {what}")
        return self._notes.condition(workload, "Lawful", ConditionStatus.FALSE, "PolicyBroken", what)

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
        workload = self._tell_law(workload, broken)
        stopped = with_state(workload, unlawful, PlacementState.RELEASING)
        workload = self._notes.changed(workload, self._notes.after(stopped, event_of(stopped.placements)))
        return await self._releaser.release_given_up(workload)

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
        told, explained = self._of_no_better_tier(better), await self._state.decision(key)
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
        if status_of(workload, "Stranded") is ConditionStatus.TRUE:
            workload = self._notes.condition(workload, "Stranded", ConditionStatus.FALSE, "Placed", zones)
        if status_of(workload, "Placed") is ConditionStatus.FALSE:
            workload = self._notes.condition(workload, "Placed", ConditionStatus.TRUE, "Placed", zones)
        return workload

    async def _place(
        self,
        workload: Workload,
        kept: list[Placement],
        avoid: tuple[ZoneId, ...],
        yielded: Collection[ZoneId] = (),
    ) -> Workload:
        # Whoever is kept nowhere has no use for it, and it may have to be read from the store.
        explained = await self._state.decision(str(workload.id)) if kept else None
        excluded = {**self._excluded(workload, avoid), **_yielded(yielded)}
        placed = await self._placer.place(workload, excluded)
        workload = self._accepted(placed)
        if placed.granted:
            return workload
        if not kept:
            self._preempt(workload)
        if explained is not None:  # it stays where it is, and ``why`` goes on to say why
            self._state.put(Table.DECISION, str(workload.id), explained)
        return self._nothing_fits(workload, placed.decision, kept)

    async def _mend(self, workload: Workload) -> Workload:
        """Replaces the one part that a batch has lost, where there is no room for a whole new batch."""
        (batch, *newer) = batches_of(workload.placements, LIVE) or (None,)
        if batch is None or newer or not batch.is_torn:
            return workload
        workload, is_mended = await self._mender.mend(workload, batch, self._excluded(workload, ()))
        self._observer.know(workload)
        if not is_mended:
            return workload
        replaced = [part for part in batch.parts if part.state is PlacementState.LOST]  # its shares are another's now
        return self._after_grant(
            self._notes.changed(workload, with_state(workload, replaced, PlacementState.RELEASING))
        )

    def _preempt(self, workload: Workload) -> None:
        """Nobody has room: those of lower priorities are asked to make some, once, and looked at."""
        key = str(workload.id)
        if self._preempter.is_nominated(key):
            return
        spec = self._decider.laws.enforced(workload.spec, workload.id.tenant)
        planned = self._preempter.plan(key, spec)
        if planned is not None:
            for victim in self._preempter.nominate(workload, planned):
                self._wakes.wake(victim)

    def _accepted(self, placed: Placed) -> Workload:
        """The workload as placing left it, with its claims known."""
        self._observer.know(placed.workload)
        return self._after_grant(placed.workload) if placed.granted else placed.workload

    def _excluded(self, workload: Workload, avoid: tuple[ZoneId, ...]) -> Mapping[ZoneId, Rejection]:
        """Zones that are not asked, each with why: it must be left, or the workload failed there a moment ago."""
        told: dict[ZoneId, Rejection] = {}
        for zone in avoid:
            result = ConstraintResult("PolicyHolds", "runs there against the policy", "lawful", "condition Lawful")
            told[zone] = Rejection(zone, Reason.NOT_EVALUATED, result)
        told |= self._preempter.kept_for_others(workload)
        for zone, rest_ms in self._observer.paused(workload).items():
            rest_s = rest_ms / 1000
            result = ConstraintResult("ZonePaused", f"failed here, {rest_s:.0f} s left", "no pause", "its last claim")
            told[zone] = Rejection(zone, Reason.INSTANCE_FAILED, result)
        return told

    def _after_grant(self, workload: Workload) -> Workload:
        """Another zone has it. What is lost may be heard again and answer before that one does, so it is given up when
        it is superseded and not now; where the workload wants to be replaced, its owner has stopped it.
        """
        lost = [p for p in workload.placements if p.state is PlacementState.LOST]
        stopped = [placement for placement in lost if self._observer.is_cut_off(workload, placement)]
        now = with_state(workload, stopped, PlacementState.RELEASING)
        key = str(workload.id)
        self._wakes.succeeded(key)
        self._preempter.settled(key)
        self._settled_at_ms[key] = self._clock.monotonic_ms()
        zones = zones_of(batches_of(now.placements)[-1].parts)
        now = self._notes.with_condition(now, "Placed", ConditionStatus.TRUE, "Placed", zones)
        now = self._notes.with_condition(now, "Stranded", ConditionStatus.FALSE, "Placed", zones)
        if status_of(now, "Preempted") is ConditionStatus.TRUE:
            now = self._notes.with_condition(now, "Preempted", ConditionStatus.FALSE, "Placed", zones)
        workload = self._notes.changed(workload, self._notes.after(now, WorkloadEvent.GRANTED))
        self._wakes.wake(key)
        return workload

    def _nothing_fits(self, workload: Workload, decision: Decision, kept: list[Placement]) -> Workload:
        reason, line = _why_nowhere(workload, decision)
        stranded = bool(kept) or any(p.state is PlacementState.LOST for p in workload.placements)
        if workload.state is not WorkloadState.UNPLACEABLE and status_of(workload, "Stranded") is not (
            ConditionStatus.TRUE
        ):
            self._journal.warning(workload.id, reason, line)
        whole, now = any(not batch.is_torn for batch in batches_of(kept)), workload
        if whole:  # it stays where it is: what is wrong with that, Stranded says
            now = self._notes.with_condition(now, "Placed", ConditionStatus.TRUE, "Placed", zones_of(kept))
        else:
            now = self._notes.with_condition(now, "Placed", ConditionStatus.FALSE, reason, line)
        if stranded or status_of(now, "Stranded") is not None:
            status = ConditionStatus.TRUE if stranded else ConditionStatus.FALSE
            now = self._notes.with_condition(now, "Stranded", status, reason, line if stranded else "it runs nowhere")
        workload = self._notes.changed(workload, self._notes.after(now, WorkloadEvent.NOTHING_FITS))
        self._wakes.retry_later(str(workload.id))
        return workload


def _may_run(workload: Workload) -> list[Placement]:
    return [one for one in workload.placements if one.state in LIVE or one.state is PlacementState.LOST]


def _yielded(zones: Collection[ZoneId]) -> dict[ZoneId, Rejection]:
    """Zones that are to be left to somebody else, each with why."""
    result = ConstraintResult("Preemption", "a higher priority is to have its room", "not preempted", "its nomination")
    return {zone: Rejection(zone, Reason.PREEMPTED, result) for zone in sorted(zones)}


def _why_nowhere(workload: Workload, decision: Decision) -> tuple[str, str]:
    """Reason and message of conditions: no zone is feasible, or those that are do not make up a plan."""
    line = histogram(decision).describe()
    if not decision.choices or workload.spec.zones.maximum == 1:
        return "NoFeasibleZone", line
    return "NoFeasiblePlan", f"{decision.nearest_fix}; {line}" if decision.nearest_fix else line

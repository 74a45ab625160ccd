"""Seeing a workload as its owners see it: which placements answer, start, are lost, failed, or are no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf

from hansa_control.application.journal import Journal
from hansa_control.application.noting import Notes, event_of
from hansa_control.application.ports import Clock
from hansa_control.application.settings import Settings
from hansa_control.application.waking import Wakes
from hansa_control.application.world import World
from hansa_control.domain.batches import without_superseded
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    OnPartition,
    Placement,
    PlacementState,
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


class Observer:
    """Knows which workload a claim belongs to, and where workloads failed a moment ago."""

    def __init__(self, settings: Settings, records: tuple[Journal, World, Notes], wakes: Wakes, clock: Clock) -> None:
        self._settings = settings
        self._journal, self._world, self._notes = records
        self._wakes = wakes
        self._clock = clock
        self._by_claim: dict[str, str] = {}
        self._gone: set[tuple[str, str]] = set()
        self._paused_zones: dict[tuple[str, ZoneId], int] = {}
        self._linger_until_ms: dict[str, int] = {}
        self._starting_since_ms: dict[str, int] = {}
        self.on_claim_lost: Callable[[ZoneId], None] = lambda zone: None

    def workload_of(self, claim: str) -> str | None:
        """The workload that a claim belongs to."""
        return self._by_claim.get(claim)

    def know(self, workload: Workload) -> None:
        """The claims of a workload are known from now on."""
        for placement in workload.placements:
            self._by_claim[placement.claim] = str(workload.id)

    def forget_claim(self, claim: str) -> None:
        """The claim was given back."""
        self._by_claim.pop(claim, None)
        self._linger_until_ms.pop(claim, None)
        self._starting_since_ms.pop(claim, None)

    def claim_gone(self, owner: str, claim: str) -> None:
        """The owner no longer knows the claim; the next look at its workload takes note."""
        if claim in self._by_claim:
            self._gone.add((owner, claim))

    def tick(self) -> None:
        """Forgets pauses that are over."""
        now_ms = self._clock.monotonic_ms()
        self._paused_zones = {k: until_ms for k, until_ms in self._paused_zones.items() if until_ms > now_ms}

    def paused(self, workload: Workload) -> dict[ZoneId, int]:
        """Zones that the workload failed in a moment ago, each with the milliseconds that it is not asked for yet."""
        now_ms = self._clock.monotonic_ms()
        return {
            zone: max(0, until_ms - now_ms)
            for (key, zone), until_ms in self._paused_zones.items()
            if key == str(workload.id)
        }

    def observe(self, workload: Workload) -> Workload:
        """The workload with its placements as their owners see them; what is superseded is given up."""
        seen = tuple(
            placement for before in workload.placements if (placement := self._seen(workload, before)) is not None
        )
        seen = self._lingering(workload, seen, without_superseded(seen))
        if workload.state is WorkloadState.DELETING:
            seen = tuple(replace(placement, state=PlacementState.RELEASING) for placement in seen)
        after = workload if seen == workload.placements else replace(workload, placements=seen)
        return self._notes.changed(workload, self._notes.after(after, event_of(seen)))

    def _lingering(
        self, workload: Workload, before: tuple[Placement, ...], after: tuple[Placement, ...]
    ) -> tuple[Placement, ...]:
        """What answers goes on doing so for a while after users were told of another place: they have to hear of it."""
        linger_ms, now_ms = self._settings.linger_ms, self._clock.monotonic_ms()
        if not linger_ms or workload.state is WorkloadState.DELETING:
            return after
        kept = []
        for old, new in zip(before, after, strict=True):
            if old.state is PlacementState.READY and new.state is PlacementState.RELEASING:
                until_ms = self._linger_until_ms.setdefault(old.claim, now_ms + linger_ms)
                if now_ms < until_ms:
                    self._wakes.look_in(str(workload.id), until_ms - now_ms)
                    kept.append(old)
                    continue
            self._linger_until_ms.pop(old.claim, None)
            kept.append(new)
        return tuple(kept)

    def _seen(self, workload: Workload, placement: Placement) -> Placement | None:
        """The placement as its owner sees it; None if it is no more."""
        self._by_claim[placement.claim] = str(workload.id)
        gone = (placement.zone.operator, placement.claim)
        if gone in self._gone:
            self._gone.discard(gone)
            if placement.state is not PlacementState.RELEASING:
                self._journal.warning(workload.id, "ClaimGone", f"{placement.zone} no longer knows {placement.claim}")
                self.on_claim_lost(placement.zone)
            return None
        if placement.state is PlacementState.RELEASING:
            return placement
        if placement.state is PlacementState.HELD:
            return replace(placement, state=PlacementState.RELEASING, message="cut off before it was confirmed")
        if (cut_off := self._cut_off(workload, placement)) is not None:
            return cut_off
        status = self._world.claim_status(placement.zone.operator, placement.claim)
        if status is None:
            self._unknown(workload, placement)
            return None
        return self._told(workload, placement, self._in_time(workload, status, placement.claim))

    def _in_time(self, workload: Workload, status: ClaimStatus, claim: str) -> ClaimStatus:
        """A claim's status; failed where its instances have been starting for longer than they may, whatever its owner
        says. A control plane that starts anew counts anew.
        """
        if status.state is not ClaimState.ALLOCATED:
            self._starting_since_ms.pop(claim, None)
            return status
        now_ms, within_ms = self._clock.monotonic_ms(), self._settings.start_within_ms
        left_ms = self._starting_since_ms.setdefault(claim, now_ms) + within_ms - now_ms
        if left_ms > 0:
            self._wakes.look_in(str(workload.id), left_ms)
            return status
        trouble = f": {status.message}" if status.message else ""
        return replace(status, state=ClaimState.FAILED, message=f"not ready within {within_ms // 1_000} s{trouble}")

    def is_cut_off(self, workload: Workload, placement: Placement) -> bool:
        """Whether its owner has been silent for so long that it has stopped the placement by itself."""
        return self._cut_off_in_ms(workload, placement) < 0

    def _cut_off_in_ms(self, workload: Workload, placement: Placement) -> float:
        """After how much more silence of its owner the placement counts as stopped there; below 0 if it does."""
        rule, owner = workload.spec.on_partition, placement.zone.operator
        if rule.action is not OnPartition.REPLACE or owner == self._settings.operator:
            return inf
        # Each operator through whose hands it goes waits for as long before it stops what is behind it.
        origin = self._world.origin_of(placement.zone)
        waits = 1 + (len(origin.handlers) if origin is not None else 0)
        return waits * rule.after_ms + self._settings.offer_ttl_ms - self._world.unheard_ms(owner)

    def _cut_off(self, workload: Workload, placement: Placement) -> Placement | None:
        """The placement as lost, where its owner has been silent for so long that it has stopped it by itself."""
        left_ms, owner = self._cut_off_in_ms(workload, placement), placement.zone.operator
        if left_ms >= 0:
            if left_ms < inf:
                self._wakes.look_in(str(workload.id), int(left_ms) + 1)
            return None
        if placement.state is not PlacementState.LOST:
            silence_s = self._world.unheard_ms(owner) // 1_000
            self._journal.warning(workload.id, "ZoneLost", f"{owner} has not been heard for {silence_s} s")
        return replace(placement, state=PlacementState.LOST, message=f"cut off: {owner} is not heard")

    def _unknown(self, workload: Workload, placement: Placement) -> None:
        """A confirmed claim of which nothing is held is gone; a crash may have come between that and this look."""
        self._journal.warning(workload.id, "ClaimGone", f"no claim {placement.claim} in {placement.zone}")
        self.on_claim_lost(placement.zone)

    def _told(self, workload: Workload, placement: Placement, status: ClaimStatus) -> Placement:
        state = _PLACEMENT_OF_CLAIM.get(status.state, placement.state)
        has_answered = placement.has_answered or state is PlacementState.READY
        seen = (state, status.endpoint_urls, status.message, has_answered)
        if seen == (placement.state, placement.endpoint_urls, placement.message, placement.has_answered):
            return placement
        told = replace(
            placement,
            state=state,
            endpoint_urls=status.endpoint_urls,
            message=status.message,
            has_answered=has_answered,
        )
        if state is placement.state:
            return told
        if state is PlacementState.READY:
            self._journal.normal(workload.id, "Ready", f"answers in {placement.zone}")
        elif state is PlacementState.LOST:
            self._journal.warning(workload.id, "ZoneLost", f"{placement.zone} is lost: {status.message}")
            self.on_claim_lost(placement.zone)
        elif status.state is ClaimState.FAILED:
            self._pause(workload, placement.zone)
            self._journal.warning(workload.id, "InstanceFailed", f"{placement.zone}: {status.message}")
        elif state is PlacementState.STARTING:
            self._journal.normal(workload.id, "NotReady", f"{placement.zone}: {status.message}")
        return told

    def _pause(self, workload: Workload, zone: ZoneId) -> None:
        until_ms = self._clock.monotonic_ms() + self._settings.failed_zone_pause_ms
        self._paused_zones[(str(workload.id), zone)] = until_ms

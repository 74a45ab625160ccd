"""Asking the pure core: a spec, the present snapshot, and what the workload itself already holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hansa_control.application.ports import Clock
from hansa_control.application.settings import Settings
from hansa_control.application.world import World
from hansa_control.domain.capacity import add, amount_for
from hansa_control.domain.feasibility import filter_zone
from hansa_control.domain.model import (
    Decision,
    PlacementState,
    Reason,
    Rejection,
    Workload,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.snapshot import Snapshot

LAW = frozenset(
    {
        Reason.SITE_COUNTRY_DENIED,
        Reason.SITE_COUNTRY_UNKNOWN,
        Reason.LEGAL_CONTROL_DENIED,
        Reason.LEGAL_CONTROL_UNKNOWN,
        Reason.FACT_EXPIRED,
        Reason.TRANSIT_DENIED,
        Reason.TRANSIT_UNKNOWN,
    }
)


class Decider:
    """Decides on the world of the moment, and measures how long deciding took."""

    def __init__(self, settings: Settings, world: World, clock: Clock) -> None:
        self._settings = settings
        self._world = world
        self._clock = clock
        self.decision_count = 0

    def decide(self, spec: WorkloadSpec, held: Workload | None = None, exclude: Collection[ZoneId] = ()) -> Decision:
        """A decision; what ``held`` occupies now counts as free for it."""
        snapshot = self._credited(self._world.snapshot(), held)
        request = PlacementRequest(spec=spec, home=self._settings.operator, exclude=frozenset(exclude))
        started_us = self._clock.elapsed_us()
        decision = decide(request, snapshot, self._clock.wall_ms())
        self.decision_count += 1
        return replace(decision, elapsed_us=self._clock.elapsed_us() - started_us)

    def unlawful(self, spec: WorkloadSpec, zone: ZoneId) -> tuple[Rejection, ...]:
        """Which parts of the residency policy a zone fails now; also when the zone is no longer seen at all."""
        snapshot = self._world.snapshot()
        seen = snapshot.zone(zone)
        if seen is None:
            return ()
        rejections, _, _, _ = filter_zone(spec, snapshot, seen, self._clock.wall_ms())
        return tuple(rejection for rejection in rejections if rejection.reason in LAW)

    def _credited(self, snapshot: Snapshot, held: Workload | None) -> Snapshot:
        amounts = self._held_amounts(snapshot, held)
        if not amounts:
            return snapshot
        return snapshot.with_changed(snapshot.generation, amounts.values(), snapshot.taken_at_ms)

    def _held_amounts(self, snapshot: Snapshot, held: Workload | None) -> dict[ZoneId, Zone]:
        zones: dict[ZoneId, Zone] = {}
        for placement in held.placements if held else ():
            zone = zones.get(placement.zone) or snapshot.zone(placement.zone)
            if zone is None or placement.state not in {PlacementState.STARTING, PlacementState.READY} or held is None:
                continue
            amount = amount_for(held.spec, placement.pool)
            zones[placement.zone] = replace(zone, free=add(zone.free, amount))
        return zones

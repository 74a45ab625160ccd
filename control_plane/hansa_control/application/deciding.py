"""Asking the pure core: a spec, the present snapshot, and what the workload itself already holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hansa_control.application.ports import Clock, RefusalError
from hansa_control.application.records import Records
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
from hansa_control.domain.overlay import Overlay, OverlayInvalid, apply_overlay, spec_under
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.record import DecisionInputs, parts_of
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
        self.records = Records()

    def decide(self, spec: WorkloadSpec, held: Workload | None = None, exclude: Collection[ZoneId] = ()) -> Decision:
        """A decision; what ``held`` occupies now counts as free for it."""
        snapshot = self._credited(self._world.snapshot(), held)
        return self._decide(self._request(spec, exclude), snapshot)

    def decide_under(self, overlay: Overlay, spec: WorkloadSpec, held: Workload | None = None) -> Decision:
        """The decision as it would be in a world that is other than it is; RefusalError if the overlay does not fit."""
        try:
            snapshot = apply_overlay(self._credited(self._world.snapshot(), held), overlay)
        except OverlayInvalid as error:
            raise RefusalError(Reason.INVALID_FIELD, error.message, f"overlay.{error.field}") from error
        return self._decide(self._request(spec_under(overlay, spec)), snapshot, hypothetical=True)

    def _request(self, spec: WorkloadSpec, exclude: Collection[ZoneId] = ()) -> PlacementRequest:
        return PlacementRequest(spec=spec, home=self._settings.operator, exclude=frozenset(exclude))

    def _decide(self, request: PlacementRequest, snapshot: Snapshot, *, hypothetical: bool = False) -> Decision:
        now_ms, started_us = self._clock.wall_ms(), self._clock.elapsed_us()
        decision = decide(request, snapshot, now_ms)
        elapsed_us = self._clock.elapsed_us() - started_us
        self.decision_count += 1
        inputs = DecisionInputs(request, now_ms, parts_of(snapshot), hypothetical)
        return self.records.sealed(inputs, replace(decision, elapsed_us=elapsed_us))

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

"""Asking the pure core: a spec, the present snapshot, and what the workload itself already holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from hansa_control.application.carriers import carriers_of, check_carriers
from hansa_control.application.lawbook import LawDesk
from hansa_control.application.ports import Clock, RefusalError
from hansa_control.application.records import Records
from hansa_control.application.settings import Settings
from hansa_control.application.world import World
from hansa_control.domain.breaches import breaches
from hansa_control.domain.capacity import add, amount_for
from hansa_control.domain.containers import Memo
from hansa_control.domain.lasting import still_first
from hansa_control.domain.model import (
    Decision,
    Placement,
    PlacementState,
    Reason,
    Rejection,
    ResidencyPolicy,
    Workload,
    WorkloadSpec,
    Zone,
    ZoneBounds,
    ZoneId,
)
from hansa_control.domain.overlay import Overlay, OverlayInvalid, apply_overlay, spec_under
from hansa_control.domain.placement import PlacementRequest, decide, judge
from hansa_control.domain.record import DecisionInputs, parts_of
from hansa_control.domain.snapshot import Snapshot

ASKED_KEPT_MAX = 10_000
"""What placements are held against, a few references each."""


STANDS_FOR_MS = 100
"""For how long a decision may be acted on again, so that no fact that it rests on is much older than it says."""


class _Latest(NamedTuple):
    """A decision, and the last snapshot that it was seen to stand in."""

    decision: Decision
    snapshot: Snapshot


class Decider:
    """Decides on the world of the moment, and measures how long deciding took."""

    def __init__(self, settings: Settings, world: World, clock: Clock, laws: LawDesk) -> None:
        self._settings = settings
        self.laws = laws
        self._world = world
        self._clock = clock
        self.decision_count = 0
        self.records = Records()
        self._asked = Memo(ASKED_KEPT_MAX)
        self._latest: dict[PlacementRequest, _Latest] = {}
        self._moment_ms = clock.monotonic_ms()

    def check_carriers(self, spec: WorkloadSpec, overlay: Overlay | None = None) -> None:
        """RefusalError INVALID_FIELD where a spec or an overlay denies a carrier by what looks like a misspelt name."""
        policies = (spec.residency, overlay.policy if overlay else None)
        if not any(one and one.transit and one.transit.carriers_denied for one in policies):
            return
        operators = {self._settings.operator, *self._settings.partners}
        known = carriers_of(self._world.snapshot(), operators, overlay.links if overlay else ())
        check_carriers(spec.residency, known, "spec.residency.transit.carriers_denied")
        check_carriers(overlay.policy if overlay else None, known, "overlay.policy.transit.carriers_denied")

    def decide(self, spec: WorkloadSpec, held: Workload | None = None, exclude: Collection[ZoneId] = ()) -> Decision:
        """A decision on a request that is under the law already; what ``held`` occupies now counts as free for it."""
        snapshot = self._credited(self._world.snapshot(), held)
        return self._decide(self._request(spec, exclude, current_zones(held)), snapshot)

    def decide_under(self, overlay: Overlay, spec: WorkloadSpec, held: Workload | None = None) -> Decision:
        """The decision as it would be in a world that is other than it is; RefusalError if the overlay does not fit.

        Its policy is explicit (``LawDesk.supposed``): one that stands by the name of a preset would demand nothing.
        """
        try:
            snapshot = apply_overlay(self._credited(self._world.snapshot(), held), overlay)
        except OverlayInvalid as error:
            raise RefusalError(Reason.INVALID_FIELD, error.message, f"overlay.{error.field}") from error
        return self._decide(self._request(spec_under(overlay, spec), (), current_zones(held)), snapshot, is_real=False)

    def decide_anew(self, workload: Workload, exclude: Collection[ZoneId]) -> Decision:
        """Where a workload is to be placed while what it occupies stays occupied: first the new, then away the old."""
        spec = self.laws.enforced(workload.spec, workload.id.tenant)
        request = self._request(spec, exclude, current_zones(workload) - set(exclude))
        snapshot = self._world.snapshot()
        decision = self._standing(request, snapshot) or self._decide(request, snapshot)
        if decision.choices and spec.zones.maximum == 1:
            self._latest[request] = _Latest(decision, snapshot)
        return decision

    def _standing(self, request: PlacementRequest, snapshot: Snapshot) -> Decision | None:
        """The decision on the same request that was made a moment ago, if it still stands; None if one is to be made.

        A zone that is lost leaves hundreds of workloads that ask for the same; its record is that of each of them.
        """
        now_ms = self._clock.monotonic_ms()
        if not self._moment_ms <= now_ms < self._moment_ms + STANDS_FOR_MS:
            self._moment_ms = now_ms
            self._latest.clear()
        latest = self._latest.get(request)
        if latest is None:
            return None
        first = latest.decision.choices[0]
        return latest.decision if still_first(first, request.spec, latest.snapshot, snapshot) else None

    def decide_part(self, part: WorkloadSpec, exclude: Collection[ZoneId]) -> Decision:
        """Where one part of a workload in several zones may go; the part is under the law already."""
        return self._decide(self._request(part, exclude, frozenset()), self._world.snapshot())

    def better_zones(self, workload: Workload, exclude: Collection[ZoneId]) -> frozenset[ZoneId]:
        """Zones that would take a workload now and are of a better tier of its preferences than where it runs."""
        current = current_zones(workload)
        spec = self.laws.enforced(workload.spec, workload.id.tenant)
        judged = judge(self._request(spec, exclude, current), self._world.snapshot(), self._clock.wall_ms())
        return judged.of_better_tier(current)

    def _request(self, spec: WorkloadSpec, exclude: Collection[ZoneId], current: frozenset[ZoneId]) -> PlacementRequest:
        return PlacementRequest(spec, self._settings.operator, frozenset(exclude), current=current)

    def _decide(self, request: PlacementRequest, snapshot: Snapshot, *, is_real: bool = True) -> Decision:
        now_ms, started_us = self._clock.wall_ms(), self._clock.elapsed_us()
        decision = decide(request, snapshot, now_ms)
        elapsed_us = self._clock.elapsed_us() - started_us
        self.decision_count += 1
        inputs = DecisionInputs(request, now_ms, parts_of(snapshot), hypothetical=not is_real)
        return self.records.sealed(inputs, replace(decision, elapsed_us=elapsed_us))

    def unlawful(self, workload: Workload, placement: Placement) -> tuple[Rejection, ...]:
        """Which parts of the residency policy a placement fails now; of a zone that is not seen, nothing is known."""
        spec = self.laws.enforced(workload.spec, workload.id.tenant)
        if placement.zone.operator == self._settings.operator:
            spec = self.laws.owned(spec)
        return self._unlawful_under(spec.residency, workload, placement)

    def whose(self, workload: Workload, placement: Placement) -> dict[str, str]:
        """Whose rules a placement fails, in words by constraint: each author's rules are taken alone.

        A constraint that it fails under nobody's is not in it: there the rules together allow nothing.
        """
        is_own = placement.zone.operator == self._settings.operator
        found: dict[str, list[str]] = {}
        for author, policy in self.laws.authors(workload.spec, workload.id.tenant, is_own=is_own):
            for constraint in {at.result.constraint for at in self._unlawful_under(policy, workload, placement)}:
                found.setdefault(constraint, []).append(author)
        return {constraint: f"rule of {' and '.join(authors)}" for constraint, authors in found.items()}

    def _unlawful_under(
        self, policy: ResidencyPolicy, workload: Workload, placement: Placement
    ) -> tuple[Rejection, ...]:
        asked = self._asked_of(workload.spec, policy, tuple([latency.access_point for latency in placement.latencies]))
        return breaches(asked, self._world.snapshot(), placement.zone, self._clock.wall_ms())

    def _asked_of(self, spec: WorkloadSpec, policy: ResidencyPolicy, served: tuple[str, ...]) -> WorkloadSpec:
        """What a placement is held against, of the access points that it serves; kept, for it is asked again and again
        of everything that runs, and looked up by.
        """
        key = (spec, policy, served)
        known: WorkloadSpec | None = self._asked.get(key)
        if known is None:
            access = tuple(at for at in spec.access if at.access_point in served) or spec.access
            known = replace(spec, residency=policy, access=access, zones=ZoneBounds())
            self._asked.keep(key, known)
        return known

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
            amount = amount_for(replace(held.spec, replicas=placement.replicas), placement.pool)
            zones[placement.zone] = replace(zone, free=add(zone.free, amount))
        return zones


def current_zones(workload: Workload | None) -> frozenset[ZoneId]:
    """The zones that a workload runs in, or starts in."""
    live = {PlacementState.STARTING, PlacementState.READY}
    return frozenset(p.zone for p in (workload.placements if workload else ()) if p.state in live)

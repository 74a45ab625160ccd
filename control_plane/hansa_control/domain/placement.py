"""Deciding: a pure function of a request and a snapshot.

Filters run on every zone and keep every reason; what is left is ranked by score. Nothing here acts, waits or looks at
a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hansa_control.domain.feasibility import FilterOutcome, filter_zones
from hansa_control.domain.model import Choice, Decision, WorkloadSpec, Zone, ZoneId
from hansa_control.domain.relaxation import nearest_fix
from hansa_control.domain.scoring import score_terms, total
from hansa_control.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What is to be decided: a workload, for its home operator, without the zones that were tried already.

    with_fix asks for the nearest fix too, which costs a few more filter runs.
    """

    spec: WorkloadSpec
    home: str
    exclude: frozenset[ZoneId] = frozenset()
    with_fix: bool = True


def decide(request: PlacementRequest, snapshot: Snapshot, now_ms: int) -> Decision:
    """Ranks the zones that satisfy every constraint and says why each other one does not.

    Choices come best first, ties by zone id; rejections come by zone id and then in the order of the filters. Excluded
    zones are not evaluated. now_ms is wall-clock time (UTC), against which facts are read. elapsed_us is the caller's.
    """
    spec = request.spec
    zones = [zone for zone in snapshot.zones if zone.id not in request.exclude]
    outcomes = filter_zones(spec, snapshot, zones, now_ms)
    rejections = tuple(rejection for outcome in outcomes for rejection in outcome.rejections)
    choices = _choices(request, snapshot, zip(zones, outcomes, strict=True))
    fix = nearest_fix(spec, snapshot, rejections, now_ms) if request.with_fix else ""
    return Decision(choices, rejections, len(zones), snapshot.generation, fix)


def _choices(
    request: PlacementRequest, snapshot: Snapshot, judged: Iterable[tuple[Zone, FilterOutcome]]
) -> tuple[Choice, ...]:
    """The feasible zones, ranked. A choice is kept for as long as the filters' outcome for its zone is the same."""
    kept = snapshot.network.verdicts.table((request.spec, request.home), 2 * len(snapshot.zones) + 16)
    choices: list[Choice] = []
    for zone, outcome in judged:
        if outcome.rejections:
            continue
        known: tuple[FilterOutcome, Choice] | None = kept.get(zone.id)
        if known is None or known[0] is not outcome:
            known = (outcome, _choice(request, zone, outcome))
            kept.keep(zone.id, known)
        choices.append(known[1])
    choices.sort(key=lambda choice: (-choice.score, choice.zone))
    return tuple(choices)


def _choice(request: PlacementRequest, zone: Zone, outcome: FilterOutcome) -> Choice:
    terms = score_terms(request.spec, zone, outcome, request.home)
    return Choice(zone.id, total(terms), terms, outcome.latencies, outcome.pool, outcome.passed)

"""A zone's claimed place, held against what was measured and against where its network node stands.

Nothing goes faster than light in fibre, so a round-trip time that is shorter than light needs for the great circle
between two claimed places proves that one of the claims is false. It proves nothing else: a slow answer fits any place,
and a zone can always seem farther away than it is, never nearer.

Which claim is false: an operator trusts its own zones' places against a partner's, so the partner's zone is refused,
whichever side took the measurement (a partner that reports too fast an answer accuses itself). Between two zones of one
operator nobody can tell, and both are refused. What one partner reports of another is hearsay and counts for nothing.

The check is on the cautious side, as it refutes: light is taken as faster than in any fibre of silica that is deployed,
and places as inexact. A path of hollow-core fibre, of radio or through space is faster; operators that have such links
between two zones must not let these be probed over them (see docs/adr/0011).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hansa_control.domain.claims import claims_of, describe_evidence
from hansa_control.domain.findings import Finding, finding
from hansa_control.domain.model import (
    FactKind,
    NetworkNode,
    ProbeResult,
    Reason,
    ResidencyPolicy,
    Zone,
    ZoneId,
)
from hansa_control.domain.units import format_ms_exact, great_circle_km

LOCATION = "Location"

FASTEST_FIBRE_KM_PER_MS = 206
"""Faster than light in any deployed silica fibre: a group index of 1.4553.

The group index of fused silica is nowhere below 1.4624 (at 1.27 um; from the Sellmeier equation of I. H. Malitson,
J. Opt. Soc. Am. 55, 1205, 1965), and cores that are doped for telecom have more. ``units.FIBRE_KM_PER_MS`` is the
planning figure, which a real fibre can beat.
"""

PLACE_TOLERANCE_KM = 50
"""How far, for both ends together, machines may stand from the coordinates of their network nodes."""

COARSE_KM = 80
"""How far a place may be from the middle of its cell of one degree: half a degree each way, 79 km at the equator."""

UNDISCLOSED = "unknown: the place is disclosed coarsely"
"""What a measurement is held against where places are too coarse to refute anything."""

SPHERE_PERMILLE = 994
"""The great circle on a sphere exceeds the geodesic on the ellipsoid by 0.56 % at most; that much is taken off."""


class Sighting(NamedTuple):
    """A measurement that binds a zone's place: round trip at its fastest between two claimed places.

    trusted says that the other zone's place is the operator's own and beyond doubt. bound_us is what light needs there
    and back for the distance, less the tolerances; 0 where a place is not given.
    """

    source: ZoneId
    target: ZoneId
    min_us: int
    distance_km: int
    bound_us: int
    trusted: bool


def sightings_of(
    own: str, zones: Iterable[Zone], nodes: Mapping[str, NetworkNode], probes: Iterable[ProbeResult]
) -> dict[ZoneId, tuple[Sighting, ...]]:
    """What was measured, by the zone whose place it binds, as seen by operator ``own``; nodes by name.

    Only the fastest answer of each pair and direction is kept, and only probes between zones that are given at nodes
    that are given. It depends on places and probes alone: work it out again when these change.
    """
    places = {zone.id: nodes.get(zone.inventory.node) for zone in zones}
    fastest: dict[tuple[ZoneId, ZoneId], int] = {}
    for probe in probes:
        pair = (probe.source_zone, probe.target_zone)
        if probe.min_us > 0:  # 0 is an answer that nobody measured
            fastest[pair] = min(probe.min_us, fastest.get(pair, probe.min_us))
    found: defaultdict[ZoneId, list[Sighting]] = defaultdict(list)
    for (source, target), min_us in sorted(fastest.items()):
        near, far = places.get(source), places.get(target)
        accused = _accused(own, source, target)
        if near is None or far is None or not accused:
            continue
        distance_km = _distance_km(near, far)
        sighting = Sighting(source, target, min_us, distance_km, light_us(distance_km), len(accused) == 1)
        for zone in accused:
            found[zone].append(sighting)
    return {zone: tuple(sightings) for zone, sightings in found.items()}


def check_location(
    zone: Zone, node: NetworkNode | None, sightings: tuple[Sighting, ...], now_ms: int
) -> tuple[Finding, ...]:
    """Whether a zone can be where it says: all that refutes it, or one passing finding if anything could have.

    node is the zone's network node, None if it is not known; sightings are the zone's own of ``sightings_of``. A zone
    of which nothing was measured and whose node's country is not known has no finding: the site rule judges its facts.
    """
    country = _check_country(zone, node, now_ms)
    too_fast = tuple(_refuted(sighting) for sighting in sightings if sighting.min_us < sighting.bound_us)
    refused = (*(one for one in country if one.reason is not None), *too_fast)
    if refused:
        return refused
    binding = [sighting for sighting in sightings if sighting.bound_us > 0]
    if binding:
        closest = min(binding, key=lambda one: (one.min_us - one.bound_us, one.source, one.target))
        return (*country, finding(None, LOCATION, _measured(closest), _bound(closest), _evidence(closest)))
    if sightings and node is not None and node.coarse:
        return (*country, finding(None, LOCATION, _measured(sightings[0]), UNDISCLOSED, _evidence(sightings[0])))
    return country


def applies_to(policy: ResidencyPolicy) -> bool:
    """Whether a policy asks where zones are: by site, control, path or predicate. Without any, a false place breaks no
    rule, and the latency that it feigns is bounded by measurement already.
    """
    parts = (policy.site, policy.legal, policy.transit)
    return bool(policy.predicates) or any(part is not None for part in parts)


def light_us(distance_km: int) -> int:
    """What light needs there and back over a distance at least, microseconds, rounded down; tolerances taken off."""
    certain_km_permille = distance_km * SPHERE_PERMILLE - PLACE_TOLERANCE_KM * 1_000
    return max(0, 2 * certain_km_permille // FASTEST_FIBRE_KM_PER_MS)


def _accused(own: str, source: ZoneId, target: ZoneId) -> tuple[ZoneId, ...]:
    if source.operator == target.operator:
        return (source, target) if source != target else ()
    if source.operator == own:
        return (target,)
    return (source,) if target.operator == own else ()


def _distance_km(near: NetworkNode, far: NetworkNode) -> int:
    """Whole kilometres between two nodes, rounded down; 0 when a place is not given (0, 0 stands for none).

    Of coarse places it is the least that it can be.
    """
    places = [(node.latitude_deg, node.longitude_deg) for node in (near, far)]
    if (0.0, 0.0) in places:
        return 0
    return max(0, int(great_circle_km(*places[0], *places[1])) - COARSE_KM * (near.coarse + far.coarse))


def _check_country(zone: Zone, node: NetworkNode | None, now_ms: int) -> tuple[Finding, ...]:
    """The site's country as the zone's facts have it against that of its network node, which is nobody's at sea."""
    if node is not None and node.at_sea:
        place = f"node {node.name}"
        return (finding(Reason.SITE_COUNTRY_UNKNOWN, LOCATION, f"{place} is at sea", "a node in a country", place),)
    if node is None or node.country is None:
        return ()
    claimed = claims_of(zone.facts, FactKind.SITE_COUNTRY, now_ms).valid
    wrong = tuple(fact for fact in claimed if fact.value != node.country)
    if not claimed:
        return ()
    reason = Reason.SITE_COUNTRY_UNKNOWN if wrong else None
    measured = f"site country {', '.join(sorted({fact.value for fact in claimed}))}"
    evidence = "; ".join([*(describe_evidence(fact) for fact in wrong or claimed), f"node {node.name}"])
    return (finding(reason, LOCATION, measured, f"{node.country}, the country of node {node.name}", evidence),)


def _refuted(sighting: Sighting) -> Finding:
    return finding(Reason.LOCATION_IMPLAUSIBLE, LOCATION, _measured(sighting), _bound(sighting), _evidence(sighting))


def _measured(sighting: Sighting) -> str:
    return f"min rtt {format_ms_exact(sighting.min_us)} from {sighting.source} to {sighting.target}"


def _bound(sighting: Sighting) -> str:
    return f">= {format_ms_exact(sighting.bound_us)}, light in fibre over {sighting.distance_km} km"


def _evidence(sighting: Sighting) -> str:
    doubt = "the other place is ours" if sighting.trusted else "both places are the same operator's"
    return f"probe of {sighting.source} to {sighting.target}; {doubt}"

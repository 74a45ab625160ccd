"""What lies between users and a zone: known access points, a lawful path from each, and the latency budget.

All that depends on the path is kept with the network, so requests that differ in size or budget share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from hansa_control.domain.model import AccessLatency, Reason, RoundTrip, TransitRule, WorkloadSpec, Zone
from hansa_control.domain.residency import Finding, TransitFault, finding, format_transit_rule
from hansa_control.domain.routing import RouteKey, explain_no_route, find_latency
from hansa_control.domain.snapshot import Network
from hansa_control.domain.units import format_ms, format_ms_exact

ACCESS_POINT = "AccessPointKnown"
REACHABLE = "Reachability"
TRANSIT = "TransitResidency"
LATENCY = "LatencyBound"

ZONES_KEPT_MAX = 2_000
PLACES_SHOWN_MAX = 2
SAMPLES_BEYOND_MIN = 10


class Reach(NamedTuple):
    """How a zone is reached: paths in the order of the spec, findings on them, access points that have none."""

    latencies: tuple[AccessLatency, ...]
    findings: tuple[Finding, ...]
    cut_off: tuple[str, ...]


def find_reach(spec: WorkloadSpec, network: Network, zone: Zone) -> Reach:
    """The fastest lawful path from every access point of a workload to a zone, and why there is none where so."""
    points = tuple(at.access_point for at in spec.access)
    kept = network.routes.table((spec.residency.transit, spec.latency.percentile, points), ZONES_KEPT_MAX)
    place = (zone.id, zone.inventory.node)
    known: Reach | None = kept.get(place)
    if known is None:
        known = _reach(spec, network, zone)
        kept.keep(place, known)
    return known


def slowed_by_probes(reach: Reach, floors: Mapping[str, RoundTrip], percentile: int) -> Reach:
    """Paths are never faster than what zones at their access points measured to the zone.

    A probe tells the time but not the way, so it bounds the lawful path from below and proves nothing else; one that is
    faster than the model changes nothing. ``floors`` are by access point.
    """
    slowed = tuple(_not_faster(found, floors.get(found.access_point), percentile) for found in reach.latencies)
    return reach if slowed == reach.latencies else reach._replace(latencies=slowed)


def _not_faster(found: AccessLatency, floor: RoundTrip | None, percentile: int) -> AccessLatency:
    floor_us = _supported_us(floor, percentile) if floor else 0
    if floor is None or floor_us <= found.rtt_us:
        return found
    bases = tuple(sorted({*found.bases, floor.basis.value.lower()}))
    return replace(found, rtt_us=floor_us, bases=bases)


def _supported_us(measured: RoundTrip, percentile: int) -> int:
    """The measured percentile if enough probes lie beyond it to mean something, else the median."""
    beyond = measured.sample_count * (100 - percentile) // 100
    return measured.at(percentile) if beyond >= SAMPLES_BEYOND_MIN else measured.p50_us


def check_latency(spec: WorkloadSpec, reach: Reach) -> Iterable[Finding]:
    """The latency budget from every access point; it passes as a whole or not at all."""
    slow = [found for found in reach.latencies if found.rtt_us > spec.latency.rtt_us_max]
    for found in slow:
        yield _latency_finding(spec, found, Reason.LATENCY_EXCEEDED)
    for access_point in reach.cut_off:
        measured = f"not evaluated from {access_point}"
        yield finding(Reason.NOT_EVALUATED, LATENCY, measured, _budget_text(spec), "no path that may be used")
    if reach.latencies and not slow and not reach.cut_off:
        yield _latency_finding(spec, max(reach.latencies, key=lambda found: found.rtt_us), None)


def _reach(spec: WorkloadSpec, network: Network, zone: Zone) -> Reach:
    rule = spec.residency.transit
    latencies: list[AccessLatency] = []
    findings: list[Finding] = []
    cut_off: list[str] = []
    for point in (at.access_point for at in spec.access):
        key = RouteKey(rule, spec.latency.percentile, point)
        found = find_latency(network, key, zone) if _is_access_point(network, point) else None
        if found is not None:
            latencies.append(found)
        else:
            cut_off.append(point)
            findings.append(_why_cut_off(network, key, zone))
    if rule is not None and not cut_off:
        findings.append(_lawful(network, rule, latencies))
    return Reach(tuple(latencies), tuple(findings), tuple(cut_off))


def _is_access_point(network: Network, name: str) -> bool:
    node = network.node(name)
    return node is not None and node.access_point


def _lawful(network: Network, rule: TransitRule, latencies: list[AccessLatency]) -> Finding:
    crossed = ", ".join(sorted({country for found in latencies for country in found.countries})) or "no country"
    paths = "; ".join(dict.fromkeys(f"path {' > '.join(found.path)}" for found in latencies))
    return finding(None, TRANSIT, f"crosses {crossed}", format_transit_rule(rule), f"{paths}, {_view(network)}")


def _why_cut_off(network: Network, key: RouteKey, zone: Zone) -> Finding:
    """Why an access point has no path to the zone that may be used."""
    view, point = _view(network), key.access_point
    if not _is_access_point(network, point):
        return finding(Reason.ACCESS_POINT_UNKNOWN, ACCESS_POINT, point, "an access point in view", view)
    reason, faults = explain_no_route(network, key, zone)
    if reason is Reason.UNREACHABLE or key.rule is None:
        measured = f"no path from {point} to node {zone.inventory.node}"
        return finding(Reason.UNREACHABLE, REACHABLE, measured, "a path", view)
    measured = f"{_faults_text(faults)} from {point}"
    return finding(reason, TRANSIT, measured, format_transit_rule(key.rule), f"{_places_text(faults)}, {view}")


def _places_text(faults: tuple[TransitFault, ...]) -> str:
    """Where the fastest path breaks the rule first; the rest of it is counted."""
    places = list(dict.fromkeys(fault.place for fault in faults))
    rest = len(places) - PLACES_SHOWN_MAX
    return "; ".join(places[:PLACES_SHOWN_MAX]) + (f"; and {rest} more" if rest > 0 else "")


def _faults_text(faults: tuple[TransitFault, ...]) -> str:
    """All denied countries in one phrase, then what else is wrong, each once."""
    denied = sorted({country for fault in faults for country in fault.countries})
    phrases = [f"crosses {', '.join(denied)}"] if denied else []
    phrases += dict.fromkeys(fault.describe() for fault in faults if not fault.countries)
    return ", ".join(phrases)


def _latency_finding(spec: WorkloadSpec, found: AccessLatency, reason: Reason | None) -> Finding:
    measured = f"p{spec.latency.percentile} {format_ms(found.rtt_us)} from {found.access_point}"
    evidence = f"path {' > '.join(found.path)}, {' and '.join(found.bases)}"
    return finding(reason, LATENCY, measured, _budget_text(spec), evidence)


def _budget_text(spec: WorkloadSpec) -> str:
    return f"<= {format_ms_exact(spec.latency.rtt_us_max)}"


def _view(network: Network) -> str:
    return f"network of snapshot {network.generation}"

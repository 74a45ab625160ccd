"""Paths, and the want of one, in words."""

from __future__ import annotations

from collections.abc import Sequence

from hansa_control.domain.containers import Memo
from hansa_control.domain.model import (
    AccessLatency,
    ConstraintResult,
    LatencyBudget,
    Reason,
    TransitRule,
    Zone,
)
from hansa_control.domain.near_names import NearNames
from hansa_control.domain.residency import Finding, TransitFault, finding, format_transit_rule
from hansa_control.domain.round_trips import is_access_point
from hansa_control.domain.route_reasons import explain_no_route, find_bottleneck
from hansa_control.domain.routing import RouteKey
from hansa_control.domain.snapshot import Network
from hansa_control.domain.units import format_ms, format_ms_exact

ACCESS_POINT = "AccessPointKnown"
REACHABLE = "Reachability"
TRANSIT = "TransitResidency"
LATENCY = "LatencyBound"
BANDWIDTH = "Bandwidth"

PLACES_SHOWN_MAX = 2


def lawful(network: Network, rule: TransitRule, latencies: Sequence[AccessLatency]) -> Finding:
    crossed = ", ".join(sorted({country for found in latencies for country in found.countries})) or "no country"
    paths = "; ".join(dict.fromkeys(f"path {' > '.join(found.path)}" for found in latencies))
    return finding(None, TRANSIT, f"crosses {crossed}", format_transit_rule(rule), f"{paths}, {view(network)}")


def why_cut_off(network: Network, key: RouteKey, zone: Zone, kept: Memo) -> Finding:
    """Why an access point has no path to the zone that may be used."""
    place = (zone.id, zone.inventory.node)  # the zone's own attachment may be what is wrong
    known: Finding | None = kept.get(place)
    if known is None:
        known = _explained(network, key, zone)
        kept.keep(place, known)
    return known


def _explained(network: Network, key: RouteKey, zone: Zone) -> Finding:
    point = key.access_point
    if not is_access_point(network, point):
        bound = f"an access point in view{_nearest(network, point, only_access_points=True)}"
        return finding(Reason.ACCESS_POINT_UNKNOWN, ACCESS_POINT, point, bound, view(network))
    return no_path(network, key, zone)


def _nearest(network: Network, name: str, *, only_access_points: bool) -> str:
    """The node that is named most like it; kept, as it is the same for every zone."""
    key = ("nearest", name, only_access_points)
    known: str | None = network.routes.get(key)
    if known is None:
        known = _names(network, only_access_points=only_access_points).hint(name)
        network.routes.keep(key, known)
    return known


def _names(network: Network, *, only_access_points: bool) -> NearNames:
    key = ("near names", only_access_points)
    known: NearNames | None = network.routes.get(key)
    if known is None:
        known = NearNames(node.name for node in network.nodes if node.access_point or not only_access_points)
        network.routes.keep(key, known, weight=len(known) + 1)
    return known


def no_path(network: Network, key: RouteKey, zone: Zone) -> Finding:
    """Why no path that may be used leads to a zone, whatever the key starts from."""
    seen, point = view(network), key.access_point
    if point not in network.node_index:
        bound = f"a node in view{_nearest(network, point, only_access_points=False)}"
        return finding(Reason.UNREACHABLE, REACHABLE, f"there is no node {point}", bound, seen)
    narrow = find_bottleneck(network, key, zone)
    if narrow is not None:
        measured = f"{narrow.bandwidth_kbps} kbit/s from {point}"
        evidence = f"link {narrow.name}, carrier {narrow.carrier or 'unknown'}, {seen}"
        return finding(Reason.BANDWIDTH_EXCEEDED, BANDWIDTH, measured, f">= {key.kbps_min} kbit/s", evidence)
    reason, faults = explain_no_route(network, key, zone)
    if reason is Reason.UNREACHABLE or key.rule is None:
        measured = f"no path from {point} to node {zone.inventory.node}"
        return finding(Reason.UNREACHABLE, REACHABLE, measured, "a path", seen)
    measured = f"{_faults_text(faults)} from {point}"
    return finding(reason, TRANSIT, measured, format_transit_rule(key.rule), f"{_places_text(faults)}, {seen}")


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


def latency_finding(budget: LatencyBudget, found: AccessLatency, reason: Reason | None) -> Finding:
    return finding(reason, LATENCY, measured_text(budget, found), budget_text(budget), evidence_text(found))


def not_evaluated(budget: LatencyBudget, access_point: str) -> ConstraintResult:
    measured = f"not evaluated from {access_point}"
    return ConstraintResult(LATENCY, measured, budget_text(budget), "no path that may be used")


def measured_text(budget: LatencyBudget, found: AccessLatency) -> str:
    return f"p{budget.percentile} {format_ms(found.rtt_us)} from {found.access_point}"


def evidence_text(found: AccessLatency) -> str:
    return f"path {' > '.join(found.path)}, {' and '.join(found.bases)}"


def budget_text(budget: LatencyBudget) -> str:
    return f"<= {format_ms_exact(budget.rtt_us_max)}"


def view(network: Network) -> str:
    return f"network of snapshot {network.generation}"

"""What lies between users and zones: known access points, a lawful path from each, and the latency budget.

Round trips are found for all zones at once and kept with the network; paths are read back, and reasons put into words,
for the zones that somebody asks about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hansa_control.domain.columns import Columns
from hansa_control.domain.containers import Memo
from hansa_control.domain.filters import Ints, Mask, Question
from hansa_control.domain.model import (
    AccessLatency,
    ConstraintResult,
    DataClass,
    LatencyBudget,
    Reason,
    Rejection,
    RoundTrip,
    TransitRule,
    WorkloadSpec,
    Zone,
)
from hansa_control.domain.network import ATTACHMENT_RTT
from hansa_control.domain.residency import Finding, TransitFault, finding, format_transit_rule, link_faults
from hansa_control.domain.routing import (
    NO_PATH_US,
    RouteKey,
    costs_for,
    explain_no_route,
    find_bottleneck,
    find_latency,
    find_route,
    round_trip_us,
)
from hansa_control.domain.snapshot import Measured, Network, attachment_of
from hansa_control.domain.units import PERCENTILES, format_ms, format_ms_exact

ACCESS_POINT = "AccessPointKnown"
REACHABLE = "Reachability"
TRANSIT = "TransitResidency"
LATENCY = "LatencyBound"
BANDWIDTH = "Bandwidth"

CUT_OFF = -1
PLACES_SHOWN_MAX = 2
SAMPLES_BEYOND_MIN = 10
USER_DATA = (DataClass.INPUT, DataClass.OUTPUT)


class Reach:
    """Lawful paths from every access point to every zone, and the budget for the round trip.

    rtt_us is (access points, zones) at the budget's percentile, ``CUT_OFF`` where no lawful path leads. admissible says
    where a path is within the budget. A workload for one zone needs all access points there; one that may be spread
    needs at least one.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._spec, self._columns = question.spec, question.columns
        self._keys = tuple(route_key(self._spec, at.access_point) for at in self._spec.access)
        self._words: dict[int, _Words] = {}
        self.rtt_us: Ints = _round_trips(question)
        cut_off = self.rtt_us < 0
        self._slow: Mask = self.rtt_us > self._spec.latency.rtt_us_max
        self.admissible: Mask = ~(cut_off | self._slow)
        is_spread = self._spec.zones.maximum > 1
        reached: Mask = np.asarray(self.admissible.any(axis=0) if is_spread else self.admissible.all(axis=0))
        self.failing: Mask = ~reached

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Why users do not get to the zones of these rows, by access point, or not in time."""
        zones = self._columns.zones
        for at in self._cut_off(rows):
            whys = self._words_of(at.point).whys
            for row in at.rows:
                found = _why_cut_off(self._question.network, at.key, zones[row], whys)
                yield row, Rejection(zones[row].id, found.reason or Reason.UNREACHABLE, found.result)
        bound = _budget_text(self._spec.latency)
        for at in self._too_slow(rows):
            texts = self._words_of(at.point).texts
            for row, rtt_us in zip(at.rows, self.rtt_us[at.point, at.rows].tolist(), strict=True):
                known: tuple[str, str] | None = texts.get((zones[row].inventory.node, rtt_us))
                measured, evidence = known or self._path_text(at.point, row, texts)
                result = ConstraintResult(LATENCY, measured, bound, evidence)
                yield row, Rejection(zones[row].id, Reason.LATENCY_EXCEEDED, result)
        for at in self._cut_off(rows):
            result = _not_evaluated(self._spec.latency, at.key.access_point)
            for row in at.rows:
                yield row, Rejection(zones[row].id, Reason.NOT_EVALUATED, result)

    def _cut_off(self, rows: Sequence[int]) -> Iterator[_From]:
        return self._from_points(self.rtt_us < 0, rows)

    def _too_slow(self, rows: Sequence[int]) -> Iterator[_From]:
        return self._from_points(self._slow, rows)

    def _from_points(self, mask: Mask, rows: Sequence[int]) -> Iterator[_From]:
        """By access point, those of some rows in which a mask of (access points, zones) is set."""
        asked = np.asarray(rows, dtype=np.int64)
        for point in range(len(self._keys)):
            found: list[int] = asked[mask[point, asked]].tolist()
            if found:
                yield _From(point, self._keys[point], found)

    def _path_text(self, point: int, row: int, texts: Memo) -> tuple[str, str]:
        """What was found of a path and on what it rests, for people; kept with the network."""
        zone = self._columns.zones[row]
        found = self._latency(point, row, zone)
        if found is None:
            raise AssertionError("a path that is too slow is there")
        text = (_measured_text(self._spec.latency, found), _evidence_text(found))
        texts.keep((zone.inventory.node, found.rtt_us), text)
        return text

    def _words_of(self, point: int) -> _Words:
        """What was put into words before of the paths from an access point; kept with the network."""
        known = self._words.get(point)
        if known is None:
            kept = self._question.network.routes
            tables = (kept.table((kind, self._keys[point]), 2 * len(self._columns) + 16) for kind in _Words._fields)
            known = self._words[point] = _Words(*tables)
        return known

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of the paths to a zone."""
        return [found.result for found in self._holding(row)]

    def latencies(self, row: int) -> tuple[AccessLatency, ...]:
        """The paths to a zone, in the order of the spec, of access points that have one."""
        zone = self._columns.zones[row]
        found = (self._latency(point, row, zone) for point in range(len(self._keys)))
        return tuple(latency for latency in found if latency is not None)

    def rtts_along(self, point: int, row: int) -> dict[int, int]:
        """Round trips of the path that is used from an access point, by percentile, microseconds.

        ValueError where there is no path.
        """
        network, key = self._question.network, self._keys[point]
        route = find_route(network, key, self._columns.standing.nodes[row])
        if route is None:
            raise ValueError(f"no path from {key.access_point} to {self._columns.zones[row].id}")
        measured, points = self._question.snapshot.measured, tuple(at.access_point for at in self._spec.access)
        found = {p: round_trip_us(network, route, p) + ATTACHMENT_RTT.at(p) for p in PERCENTILES}
        if measured.floors:
            floors = {p: int(_floors(measured, self._columns, points, p)[point, row]) for p in PERCENTILES}
            found = {p: max(found[p], floors[p]) for p in PERCENTILES}
        return found

    def _latency(self, point: int, row: int, zone: Zone) -> AccessLatency | None:
        rtt_us = int(self.rtt_us[point, row])
        if rtt_us == CUT_OFF:
            return None
        kept = self._words_of(point).latencies
        found: AccessLatency | None = kept.get((zone.id, zone.inventory.node))
        if found is None:
            found = find_latency(self._question.network, self._keys[point], zone)
            kept.keep((zone.id, zone.inventory.node), found)
        if found is None or found.rtt_us == rtt_us:
            return found
        return replace(found, rtt_us=rtt_us, bases=tuple(sorted({*found.bases, "measured"})))

    def _holding(self, row: int) -> Iterator[Finding]:
        latencies = self.latencies(row)
        if len(latencies) < len(self._spec.access):
            return
        rule = transit_rule(self._spec, *USER_DATA)
        if rule is not None:
            yield _lawful(self._question.network, rule, latencies)
        slowest = max(latencies, key=lambda found: found.rtt_us)
        if slowest.rtt_us <= self._spec.latency.rtt_us_max:
            yield _latency_finding(self._spec.latency, slowest, None)


class Sources:
    """Lawful paths between every data source of the kinds that the policy applies to and every zone."""

    def __init__(self, question: Question) -> None:
        self._question = question
        spec = question.spec
        applying = [at for at in spec.data_sources if at.data in spec.residency.applies_to]
        self._sources = applying if spec.residency.transit is not None else []
        self._keys = [RouteKey(spec.residency.transit, spec.latency.percentile, at.node) for at in self._sources]
        self._cut_off: Mask = np.zeros((len(self._keys), len(question.columns)), dtype=np.bool_)
        if self._keys:
            self._cut_off = _to_zones(question, self._keys, only_access_points=False) < 0
        self.failing: Mask = np.asarray(self._cut_off.any(axis=0))

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Which data sources have no lawful path to the zones of these rows, and why."""
        network, zones = self._question.network, self._question.columns.zones
        for row in rows:
            for n, source in enumerate(self._sources):
                if self._cut_off[n, row]:
                    found = _no_path(network, self._keys[n], zones[row])
                    result = found.result._replace(measured=f"data source {source.name}: {found.result.measured}")
                    yield row, Rejection(zones[row].id, found.reason or Reason.UNREACHABLE, result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """That data sources have lawful paths."""
        if not self._sources or self.failing[row]:
            return []
        rule = self._question.spec.residency.transit
        names = ", ".join(source.name for source in self._sources)
        bound = format_transit_rule(rule) if rule else ""
        return [ConstraintResult(TRANSIT, f"lawful paths of {names}", bound, _view(self._question.network))]


class _Words(NamedTuple):
    """Paths, and what was said of them, from one access point: by zone's place."""

    latencies: Memo
    texts: Memo
    whys: Memo


class _From(NamedTuple):
    """Rows of zones as seen from an access point: its place in the spec and the key of its paths."""

    point: int
    key: RouteKey
    rows: list[int]


def route_key(spec: WorkloadSpec, access_point: str) -> RouteKey:
    """What a search for a workload's paths from an access point depends on."""
    rule = transit_rule(spec, *USER_DATA)
    return RouteKey(rule, spec.latency.percentile, access_point, kbps_min=_kbps(spec, access_point))


def transit_rule(spec: WorkloadSpec, *data: DataClass) -> TransitRule | None:
    """The transit rule if it applies to one of some kinds of data, else none."""
    return spec.residency.transit if spec.residency.applies_to & set(data) else None


def _kbps(spec: WorkloadSpec, access_point: str) -> int:
    """What an access point sends or gets, whichever is more, kbit/s; 0 where requests have no size."""
    if spec.service is None:
        return 0
    largest_bytes = max(spec.service.request_bytes, spec.service.response_bytes)
    demand = next(at.demand_millirps for at in spec.access if at.access_point == access_point)
    return -(-largest_bytes * 8 * demand // 1_000_000)


def _round_trips(question: Question) -> Ints:
    """Round trips at the budget's percentile: of the lawful paths, never below what zones measured to one another."""
    spec, columns, measured = question.spec, question.columns, question.snapshot.measured
    points = tuple(at.access_point for at in spec.access)
    keys = tuple(route_key(spec, point) for point in points)
    key = ("zones", columns.standing, keys)
    known: Ints | None = question.network.routes.get(key)
    if known is None:
        known = _to_zones(question, keys, only_access_points=True)
        question.network.routes.keep(key, known, weight=known.size)
    if not measured.floors:
        return known
    floors = _floors(measured, columns, points, spec.latency.percentile)
    return np.where(known < 0, known, np.maximum(known, floors))


def _to_zones(question: Question, keys: Sequence[RouteKey], *, only_access_points: bool) -> Ints:
    """Round trips over the network and the zones' attachments; (keys, zones)."""
    network, standing = question.network, question.columns.standing
    at_node = np.array([network.node_index.get(name, -1) for name in standing.nodes], dtype=np.int64)
    usable = [
        key for key in dict.fromkeys(keys) if not only_access_points or _is_access_point(network, key.access_point)
    ]
    found = dict(zip(usable, costs_for(network, usable), strict=True))
    table = np.full((len(keys), len(standing.zones)), CUT_OFF, dtype=np.int64)
    for n, key in enumerate(keys):
        if key in found and key.access_point in network.node_index:
            rtt_us = found[key].rtt_us[at_node]
            reached = (at_node >= 0) & _lawful_attachments(key.rule, question.columns) & (rtt_us < NO_PATH_US)
            table[n] = np.where(reached, rtt_us + ATTACHMENT_RTT.at(key.percentile), CUT_OFF)
    table.setflags(write=False)
    return table


def _lawful_attachments(rule: TransitRule | None, columns: Columns) -> Mask:
    """Whether a zone's attachment, which its owner carries, may be crossed."""
    if rule is None:
        return np.ones(len(columns), dtype=np.bool_)
    sample = {zone.id.operator: zone for zone in columns.standing.zones}
    lawful = {operator: not link_faults(rule, attachment_of(zone)) for operator, zone in sample.items()}
    return np.array([lawful[operator] for operator in columns.standing.operators], dtype=np.bool_)


def _floors(measured: Measured, columns: Columns, points: tuple[str, ...], percentile: int) -> Ints:
    """What zones at the access points measured to each zone, 0 where nothing was; (access points, zones).

    A probe tells the time but not the way, so it bounds the lawful path from below and proves nothing else; one that is
    faster than the model changes nothing.
    """
    key = (columns.standing, points, percentile)
    known: Ints | None = measured.kept.get(key)
    if known is None:
        column = {point: n for n, point in enumerate(points)}
        known = np.zeros((len(points), len(columns)), dtype=np.int64)
        for row, zone in enumerate(columns.standing.zones):
            for node, rtt in measured.floors.get(zone.id, {}).items():
                if node in column:
                    known[column[node], row] = _supported_us(rtt, percentile)
        measured.kept.keep(key, known, weight=known.size)
    return known


def _supported_us(measured: RoundTrip, percentile: int) -> int:
    """The measured percentile if enough probes lie beyond it to mean something, else the median."""
    beyond = measured.sample_count * (100 - percentile) // 100
    return measured.at(percentile) if beyond >= SAMPLES_BEYOND_MIN else measured.p50_us


def _is_access_point(network: Network, name: str) -> bool:
    node = network.node(name)
    return node is not None and node.access_point


def _lawful(network: Network, rule: TransitRule, latencies: Sequence[AccessLatency]) -> Finding:
    crossed = ", ".join(sorted({country for found in latencies for country in found.countries})) or "no country"
    paths = "; ".join(dict.fromkeys(f"path {' > '.join(found.path)}" for found in latencies))
    return finding(None, TRANSIT, f"crosses {crossed}", format_transit_rule(rule), f"{paths}, {_view(network)}")


def _why_cut_off(network: Network, key: RouteKey, zone: Zone, kept: Memo) -> Finding:
    """Why an access point has no path to the zone that may be used."""
    place = (zone.id.operator, zone.inventory.node)
    known: Finding | None = kept.get(place)
    if known is None:
        known = _explained(network, key, zone)
        kept.keep(place, known)
    return known


def _explained(network: Network, key: RouteKey, zone: Zone) -> Finding:
    point = key.access_point
    if not _is_access_point(network, point):
        bound = "an access point in view"
        return finding(Reason.ACCESS_POINT_UNKNOWN, ACCESS_POINT, point, bound, _view(network))
    return _no_path(network, key, zone)


def _no_path(network: Network, key: RouteKey, zone: Zone) -> Finding:
    view, point = _view(network), key.access_point
    narrow = find_bottleneck(network, key, zone)
    if narrow is not None:
        measured = f"{narrow.bandwidth_kbps} kbit/s from {point}"
        evidence = f"link {narrow.name}, carrier {narrow.carrier or 'unknown'}, {view}"
        return finding(Reason.BANDWIDTH_EXCEEDED, BANDWIDTH, measured, f">= {key.kbps_min} kbit/s", evidence)
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


def _latency_finding(budget: LatencyBudget, found: AccessLatency, reason: Reason | None) -> Finding:
    return finding(reason, LATENCY, _measured_text(budget, found), _budget_text(budget), _evidence_text(found))


def _not_evaluated(budget: LatencyBudget, access_point: str) -> ConstraintResult:
    measured = f"not evaluated from {access_point}"
    return ConstraintResult(LATENCY, measured, _budget_text(budget), "no path that may be used")


def _measured_text(budget: LatencyBudget, found: AccessLatency) -> str:
    return f"p{budget.percentile} {format_ms(found.rtt_us)} from {found.access_point}"


def _evidence_text(found: AccessLatency) -> str:
    return f"path {' > '.join(found.path)}, {' and '.join(found.bases)}"


def _budget_text(budget: LatencyBudget) -> str:
    return f"<= {format_ms_exact(budget.rtt_us_max)}"


def _view(network: Network) -> str:
    return f"network of snapshot {network.generation}"

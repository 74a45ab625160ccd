"""What the documents say of paths: which are lawful, what the fastest costs, and why there is none.

Every simple path of the graph is looked at, after what is forbidden has been taken out. Written from docs/residency.md,
docs/latency.md and the docstrings of the values; it shares nothing with the engine but the values.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import networkx as nx
from hansa_control.domain.model import (
    AccessDemand,
    DataClass,
    LatencyBasis,
    LinkEncryption,
    NetworkLink,
    NetworkNode,
    Reason,
    RoundTrip,
    TransitRule,
    UnknownPaths,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from oracle_law import Fault, allows, first_of, kilometres
from oracle_worlds import World

ATTACHED_US = {50: 5_400, 95: 7_128, 99: 7_560}
"""The fixed 5.4 ms of the latency model with its bands of 1.32 and 1.40."""

ENDLESS = 1 << 60
R = Reason


def up(numerator: int, denominator: int) -> int:
    """The quotient, rounded up."""
    return -(-numerator // denominator)


def counted_rtt(link: NetworkLink, ends: tuple[NetworkNode, NetworkNode]) -> dict[int, int]:
    """What a link's round trip is taken to be: the slowest of what is claimed, modelled (where all that is claimed is a
    measurement) and possible for light in fibre over the length; a length shorter than the ground allows is lifted.
    """
    ground_m = int(kilometres(*ends) * 1_000)
    length_m = ground_m if link.length_m < ground_m * 0.99 else link.length_m
    light_us = up(2 * length_m, 200)
    found = {}
    for percentile, band in ((50, 100), (95, 132), (99, 140)):
        model_us = up(2 * length_m * 194 * band, 200 * 100 * 100) if link.rtt.basis is LatencyBasis.MEASURED else 0
        claimed = {50: link.rtt.p50_us, 95: link.rtt.p95_us, 99: link.rtt.p99_us}[percentile]
        found[percentile] = max(claimed, light_us, model_us)
    return found


def added_us(rtt: dict[int, int], percentile: int) -> int:
    """What a link adds to a path there and back: a median is lifted by a fifth of the distance to the 95th."""
    return rtt[50] + up(max(0, rtt[95] - rtt[50]), 5) if percentile == 50 else rtt[percentile]


def node_state(rule: TransitRule | None, node: NetworkNode) -> str:
    """good, unknown or denied."""
    if rule is None or (node.country is None and node.at_sea):
        return "good"
    if node.country is None:
        return "unknown"
    return "good" if allows(rule, node.country) else "denied"


def link_state(rule: TransitRule | None, link: NetworkLink) -> str:
    """good, unknown or denied, the worst of countries, carrier and encryption."""
    if rule is None:
        return "good"
    if any(not allows(rule, country) for country in link.countries or ()) or link.carrier in rule.carriers_denied:
        return "denied"
    if rule.encryption_required and link.encryption is LinkEncryption.NONE:
        return "denied"
    forgiven = rule.unknown_paths is UnknownPaths.ACCEPT_ENCRYPTED and link.encryption is LinkEncryption.ENCRYPTED
    is_unknown = link.countries is None or bool(rule.carriers_denied and not link.carrier)
    if is_unknown and not forgiven:
        return "unknown"
    return "unknown" if rule.encryption_required and link.encryption is LinkEncryption.UNKNOWN else "good"


def kbps_of(spec: WorkloadSpec, at: AccessDemand) -> int:
    """What an access point sends or gets, whichever is more, kbit/s rounded up."""
    if spec.service is None:
        return 0
    return up(max(spec.service.request_bytes, spec.service.response_bytes) * 8 * at.demand_millirps, 1_000_000)


class Graph:
    """The network with what a rule forbids taken out; fine says which states of nodes and links stay.

    way is (from, to) to the least time of a link in that direction, thousandths of a microsecond.
    """

    def __init__(self, world: World, rule: TransitRule | None, fine: Iterable[str], kbps: int = 0) -> None:
        self.names = first_of(world.nodes)
        self.percentile, self.way = world.spec.latency.percentile, {}
        fine = set(fine)
        self.open = {name for name, node in self.names.items() if node_state(rule, node) in fine}
        taken: set[str] = set()
        for link in world.links:
            if link.name in taken:
                continue
            taken.add(link.name)
            a, b = link.node_a, link.node_b
            if a == b or not {a, b} <= self.open or link_state(rule, link) not in fine:
                continue
            if 0 < link.bandwidth_kbps < kbps:
                continue
            time_us = added_us(counted_rtt(link, (self.names[a], self.names[b])), self.percentile)
            self._lay(a, b, time_us * link.forward_permille)
            if not link.one_way:
                self._lay(b, a, time_us * (1_000 - link.forward_permille))
        self.next: dict[str, list[str]] = defaultdict(list)
        for a, b in self.way:
            self.next[a].append(b)

    way: dict[tuple[str, str], int]

    def _lay(self, a: str, b: str, cost: int) -> None:
        self.way[a, b] = min(cost, self.way.get((a, b), ENDLESS))

    def fastest(self, start: str, end: str) -> int:
        """The least cost of all simple paths; ``ENDLESS`` where there is none."""
        if start not in self.open or end not in self.open:
            return ENDLESS
        best = ENDLESS
        stack = [(start, 0, frozenset({start}))]
        while stack:
            at, cost, seen = stack.pop()
            if at == end:
                best = min(best, cost)
                continue
            stack += [(to, cost + self.way[at, to], seen | {to}) for to in self.next[at] if to not in seen]
        return best

    def cost(self, path: tuple[str, ...]) -> int:
        """The least cost of a path given by its nodes; ``ENDLESS`` where a step is not there."""
        if not set(path) <= self.open:
            return ENDLESS
        return min(ENDLESS, sum(self.way.get(step, ENDLESS) for step in itertools.pairwise(path)))

    @cached_property
    def as_networkx(self) -> nx.DiGraph:
        """The same for networkx, for graphs that are too large to look at every path."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.open)
        graph.add_weighted_edges_from((a, b, cost) for (a, b), cost in self.way.items())
        return graph

    def round_trip_us(self, start: str, end: str) -> int | None:
        """The fastest way there and the fastest way back, microseconds rounded up; None where either is missing."""
        there, back = self.fastest(start, end), self.fastest(end, start)
        return None if ENDLESS in (there, back) else up(there + back, 1_000)


class Paths:
    """What there is to say of the paths of a world's request."""

    def __init__(self, world: World) -> None:
        self.world, self.spec = world, world.spec
        rule = world.spec.residency.transit
        bears = bool(world.spec.residency.applies_to & {DataClass.INPUT, DataClass.OUTPUT})
        self.user_rule = rule if bears else None
        self._graphs: dict[tuple[bool, str, int], Graph] = {}
        self._trips: dict[tuple[bool, str, int, str, str], int | None] = {}
        self._floors = _floors(world)

    def graph(self, rule: TransitRule | None, strictness: str, kbps: int = 0) -> Graph:
        """The graph of what is allowed: lawful, not denied, or any."""
        key = (rule is None, strictness, kbps)
        if key not in self._graphs:
            fine = {"lawful": ["good"], "undenied": ["good", "unknown"], "any": ["good", "unknown", "denied"]}
            self._graphs[key] = Graph(self.world, rule, fine[strictness], kbps)
        return self._graphs[key]

    def trip_us(self, rule: TransitRule | None, strictness: str, kbps: int, ends: tuple[str, str]) -> int | None:
        """The fastest round trip over the network, without the attachment."""
        key = (rule is None, strictness, kbps, *ends)
        if key not in self._trips:
            self._trips[key] = self.graph(rule, strictness, kbps).round_trip_us(*ends)
        return self._trips[key]

    def is_access_point(self, name: str) -> bool:
        """Whether users may come in there."""
        node = first_of(self.world.nodes).get(name)
        return node is not None and node.access_point

    def rtt_us(self, at: AccessDemand, zone: Zone) -> int | None:
        """The fastest lawful round trip from an access point, attachment and measurements counted; None if none."""
        rule = self.user_rule
        if not self.is_access_point(at.access_point) or (rule and zone.id.operator in rule.carriers_denied):
            return None
        found = self.trip_us(rule, "lawful", kbps_of(self.spec, at), (at.access_point, zone.inventory.node))
        if found is None:
            return None
        floor = self._floors.get((at.access_point, zone.id), 0)
        return max(found + ATTACHED_US[self.spec.latency.percentile], floor)

    def faults(self, zone: Zone) -> set[Fault]:
        """Why users, or the workload's data sources, do not get to a zone, or not in time."""
        found: set[Fault] = set()
        rtts = [self.rtt_us(at, zone) for at in self.spec.access]
        slow = [rtt is not None and rtt > self.spec.latency.rtt_us_max for rtt in rtts]
        served = [rtt is not None and not late for rtt, late in zip(rtts, slow, strict=True)]
        is_spread = self.spec.zones.maximum > 1
        if not (any(served) if is_spread else all(served)):
            for at, rtt, late in zip(self.spec.access, rtts, slow, strict=True):
                if rtt is None:
                    found |= {self._why(at, zone), ("LatencyBound", R.NOT_EVALUATED)}
                elif late:
                    found.add(("LatencyBound", R.LATENCY_EXCEEDED))
        rule = self.spec.residency.transit
        for source in self.spec.data_sources if rule is not None else ():
            if rule is not None and source.data in self.spec.residency.applies_to:
                lawful = self.trip_us(rule, "lawful", 0, (source.node, zone.inventory.node))
                if lawful is None or zone.id.operator in rule.carriers_denied:
                    found.add(self._cut_off(rule, source.node, zone))
        return found

    def _why(self, at: AccessDemand, zone: Zone) -> Fault:
        rule, ends = self.user_rule, (at.access_point, zone.inventory.node)
        if not self.is_access_point(at.access_point):
            return "AccessPointKnown", R.ACCESS_POINT_UNKNOWN
        barred = rule is not None and zone.id.operator in rule.carriers_denied
        if self.trip_us(rule, "lawful", 0, ends) is not None and not barred:
            return "Bandwidth", R.BANDWIDTH_EXCEEDED
        return self._cut_off(rule, at.access_point, zone)

    def _cut_off(self, rule: TransitRule | None, start: str, zone: Zone) -> Fault:
        ends = (start, zone.inventory.node)
        if self.trip_us(rule, "any", 0, ends) is None:
            return "Reachability", R.UNREACHABLE
        barred = rule is not None and zone.id.operator in rule.carriers_denied
        if not barred and self.trip_us(rule, "undenied", 0, ends) is not None:
            return "TransitResidency", R.TRANSIT_UNKNOWN
        return "TransitResidency", R.TRANSIT_DENIED


def _floors(world: World) -> dict[tuple[str, ZoneId], int]:
    """By node and zone, the slowest round trip that a zone at that node measured to the zone, or it to them.

    Of a measurement with fewer than ten samples beyond the percentile the median counts.
    """
    node_of = {zone.id: zone.inventory.node for zone in reversed(world.zones)}
    found: dict[tuple[str, ZoneId], int] = {}
    for probe in world.probes:
        if probe.source_zone in node_of and probe.target_zone in node_of:
            us = supported_us(probe.rtt, world.spec.latency.percentile)
            for near, far in ((probe.source_zone, probe.target_zone), (probe.target_zone, probe.source_zone)):
                key = (node_of[near], far)
                found[key] = max(us, found.get(key, 0))
    return found


def supported_us(rtt: RoundTrip, percentile: int) -> int:
    """The percentile, or the median where too few samples lie beyond it."""
    beyond = rtt.sample_count * (100 - percentile) // 100
    return {50: rtt.p50_us, 95: rtt.p95_us, 99: rtt.p99_us}[percentile if beyond >= 10 else 50]

"""Constrained routing against two others that share no code with it: all simple paths, and networkx."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import networkx as nx
from hansa_control.domain.model import (
    Capacity,
    Inventory,
    LatencyBasis,
    LinkKind,
    NetworkLink,
    NetworkNode,
    RoundTrip,
    TransitRule,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.routing import NO_PATH_US, RouteKey, costs_for, find_latency, find_route
from hansa_control.domain.snapshot import build_network
from hypothesis import given, settings
from hypothesis import strategies as st

ATTACHED_US = {50: 5_400, 95: 7_128, 99: 7_560}
COUNTRIES = ("NO", "SE", "FI", "RU")
CARRIERS = ("a", "b", "")


@dataclass(frozen=True)
class Case:
    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]
    rule: TransitRule | None
    percentile: int
    kbps_min: int = 0

    @property
    def key(self) -> RouteKey:
        return RouteKey(self.rule, self.percentile, "n0", kbps_min=self.kbps_min)


@st.composite
def cases(draw: st.DrawFn, nodes_max: int = 7, links_max: int = 12, lopsided: bool = False) -> Case:
    count = draw(st.integers(2, nodes_max))
    nodes = tuple(draw(node(at)) for at in range(count))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    pairs = draw(st.lists(ends, max_size=links_max))
    links = tuple(draw(link(at, f"n{a}", f"n{b}")) for at, (a, b) in enumerate(pairs))
    if lopsided:
        links = tuple(draw(with_directions(one)) for one in links)
    allowed = draw(st.frozensets(st.sampled_from(COUNTRIES), min_size=1))
    denied = draw(st.frozensets(st.sampled_from(("a", "b"))))
    rule = draw(st.sampled_from((None, TransitRule(allowed, denied), TransitRule(allowed, denied))))
    return Case(nodes, links, rule, draw(st.sampled_from((50, 95, 99))), draw(st.sampled_from((0, 0, 2_000, 9_000))))


@st.composite
def node(draw: st.DrawFn, at: int) -> NetworkNode:
    country = draw(st.sampled_from((*COUNTRIES[:2], *COUNTRIES, None)))
    at_sea = draw(st.booleans()) if country is None else False
    return NetworkNode(f"n{at}", "", country, 0.0, 0.0, access_point=True, at_sea=at_sea)


@st.composite
def link(draw: st.DrawFn, at: int, node_a: str, node_b: str) -> NetworkLink:
    # Few distinct values, so that ties and zero lengths are common.
    p50 = draw(st.sampled_from((0, 1_000, 2_000, 3_000)))
    rtt = RoundTrip(p50, p50 + draw(st.sampled_from((0, 1_000, 5_000))), p50 * 4 + 5_000, LatencyBasis.MODELLED)
    crossed = draw(st.sampled_from(((), (), (), ("FI",), ("SE",), ("NO", "RU"), None)))
    carrier = draw(st.sampled_from(CARRIERS))
    kbps = draw(st.sampled_from((0, 0, 1_000, 5_000)))
    kind = LinkKind.TERRESTRIAL
    return NetworkLink(f"l{at}", node_a, node_b, 0, rtt, crossed, carrier, kind, bandwidth_kbps=kbps)


@st.composite
def with_directions(draw: st.DrawFn, two_ways: NetworkLink) -> NetworkLink:
    share = draw(st.sampled_from((500, 500, 100, 900)))
    return replace(two_ways, forward_permille=share, one_way=draw(st.sampled_from((False, False, True))))


def zone_at(name: str) -> Zone:
    inventory = Inventory(name, "", Capacity(), (), (), "", 0, "file", cordoned=False)
    return Zone(ZoneId("owner", "z"), inventory, Capacity(), (), ZoneState.AVAILABLE, 1, 0)


def may_enter(case: Case, name: str) -> bool:
    here = next(node for node in case.nodes if node.name == name)
    if case.rule is None:
        return True
    return here.country in case.rule.countries_allowed if here.country else here.at_sea


def may_take(case: Case, hop: NetworkLink) -> bool:
    rule = case.rule
    if 0 < hop.bandwidth_kbps < case.kbps_min:
        return False
    if rule is None:
        return True
    if hop.countries is None or not set(hop.countries) <= rule.countries_allowed:
        return False
    return not rule.carriers_denied or (hop.carrier != "" and hop.carrier not in rule.carriers_denied)


def us(hop: NetworkLink, percentile: int) -> int:
    """What a link adds to a path: its percentile, the median lifted by a fifth of p95 - p50, rounded up."""
    median_us = hop.rtt.p50_us + (hop.rtt.p95_us - hop.rtt.p50_us + 4) // 5
    return {50: median_us, 95: hop.rtt.p95_us, 99: hop.rtt.p99_us}[percentile]


def simple_paths(case: Case, at: str, goal: str, seen: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every lawful simple path as (nodes, microseconds), by plain recursion."""
    if not may_enter(case, at):
        return
    if at == goal:
        yield (*seen, at), 0
        return
    for hop in case.links:
        for here, there in ((hop.node_a, hop.node_b), (hop.node_b, hop.node_a)):
            if here == at and there not in (*seen, at) and may_take(case, hop):
                for path, rest in simple_paths(case, there, goal, (*seen, at)):
                    yield path, rest + us(hop, case.percentile)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(cases())
def test_the_path_is_the_first_of_the_best_of_all_simple_paths(case: Case) -> None:
    goal = case.nodes[-1].name
    network = build_network(1, case.nodes, case.links)
    found = find_latency(network, case.key, zone_at(goal))
    everything = list(simple_paths(case, "n0", goal, ()))
    if not everything:
        assert found is None
        return
    best = min(everything, key=lambda item: (item[1], len(item[0]), item[0][::-1]))
    assert found is not None
    assert (found.path, found.rtt_us) == (best[0], best[1] + ATTACHED_US[case.percentile])


@settings(max_examples=80, derandomize=True, deadline=None)
@given(cases(nodes_max=40, links_max=90))
def test_the_time_is_that_of_networkx_on_the_graph_without_what_is_forbidden(case: Case) -> None:
    graph = nx.MultiGraph()
    graph.add_nodes_from(node.name for node in case.nodes if may_enter(case, node.name))
    for hop in case.links:
        if may_take(case, hop) and hop.node_a in graph and hop.node_b in graph:
            graph.add_edge(hop.node_a, hop.node_b, us=us(hop, case.percentile))
    expected = nx.single_source_dijkstra_path_length(graph, "n0", weight="us") if "n0" in graph else {}
    network = build_network(1, case.nodes, case.links)
    for target in case.nodes:
        found = find_latency(network, case.key, zone_at(target.name))
        attached = expected[target.name] + ATTACHED_US[case.percentile] if target.name in expected else None
        assert (found.rtt_us if found else None) == attached


Way = tuple[int, int, tuple[str, ...], tuple[str, ...]]


def ways(case: Case, here: str, goal: str, seen: tuple[str, ...]) -> Iterator[tuple[int, list[str], list[str]]]:
    """Every lawful simple way in the direction of travel as (nanoseconds, nodes, links), by plain recursion."""
    if here in seen or not may_enter(case, here):
        return
    if here == goal:
        yield 0, [here], []
        return
    for hop in case.links:
        steps = [(hop.node_a, hop.node_b, hop.forward_permille)]
        if not hop.one_way:
            steps.append((hop.node_b, hop.node_a, 1_000 - hop.forward_permille))
        for start, end, share in steps:
            if start == here and may_take(case, hop):
                for ns, nodes, links in ways(case, end, goal, (*seen, here)):
                    yield ns + us(hop, case.percentile) * share, [here, *nodes], [hop.name, *links]


def first_of_the_best(
    case: Case, start: str, goal: str, *, zone_is_last: bool
) -> tuple[int, list[str], list[str]] | None:
    """The fastest way, then the one with the fewest links, then the first by names read from the zone's end."""

    def rank(way: tuple[int, list[str], list[str]]) -> tuple[int, int, list[str], list[str]]:
        order = -1 if zone_is_last else 1
        return way[0], len(way[2]), way[1][::order], way[2][::order]

    return min(ways(case, start, goal, ()), key=rank, default=None)


@settings(max_examples=250, derandomize=True, deadline=None)
@given(cases(nodes_max=6, links_max=11, lopsided=True))
def test_where_directions_differ_the_way_there_and_the_way_back_are_each_the_first_of_the_best(case: Case) -> None:
    goal = case.nodes[-1].name
    network = build_network(1, case.nodes, case.links)
    found = find_latency(network, case.key, zone_at(goal))
    route = find_route(network, case.key, goal)
    there = first_of_the_best(case, "n0", goal, zone_is_last=True)
    back = first_of_the_best(case, goal, "n0", zone_is_last=False)
    if there is None or back is None:
        assert found is None
        return
    assert found is not None
    assert route is not None
    assert found.path == tuple(there[1])
    assert [network.links[at].name for at in route.links] == there[2]
    assert found.rtt_us == -(-(there[0] + back[0]) // 1_000) + ATTACHED_US[case.percentile]
    assert found.return_path == (() if back[2] == there[2][::-1] else tuple(back[1]))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(cases(nodes_max=25, links_max=70, lopsided=True))
def test_where_directions_differ_the_time_is_that_of_networkx_there_and_back(case: Case) -> None:
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(node.name for node in case.nodes if may_enter(case, node.name))
    for hop in case.links:
        if may_take(case, hop) and hop.node_a in graph and hop.node_b in graph:
            ns = us(hop, case.percentile)
            graph.add_edge(hop.node_a, hop.node_b, ns=ns * hop.forward_permille)
            if not hop.one_way:
                graph.add_edge(hop.node_b, hop.node_a, ns=ns * (1_000 - hop.forward_permille))
    there, back = (
        nx.single_source_dijkstra_path_length(way, "n0", weight="ns") if "n0" in graph else {}
        for way in (graph, graph.reverse())
    )
    network = build_network(1, case.nodes, case.links)
    (found,) = costs_for(network, [case.key])
    for at, node in enumerate(network.nodes):
        both = node.name in there and node.name in back
        assert found.rtt_us[at] == (-(-(there[node.name] + back[node.name]) // 1_000) if both else NO_PATH_US)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(cases(nodes_max=12, links_max=30), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_change_the_path(case: Case, shuffle: object) -> None:
    nodes, links = list(case.nodes), list(case.links)
    shuffle.shuffle(nodes)  # type: ignore[attr-defined]
    shuffle.shuffle(links)  # type: ignore[attr-defined]
    key = case.key
    one, other = build_network(1, case.nodes, case.links), build_network(1, nodes, links)
    for target in case.nodes:
        assert find_latency(one, key, zone_at(target.name)) == find_latency(other, key, zone_at(target.name))


@settings(max_examples=50, derandomize=True, deadline=None)
@given(cases(nodes_max=12, links_max=30))
def test_a_returned_path_walks_over_links_that_are_there_and_lawful_and_adds_up(case: Case) -> None:
    network = build_network(1, case.nodes, case.links)
    for target in case.nodes:
        found = find_latency(network, case.key, zone_at(target.name))
        if found is None:
            continue
        assert all(may_enter(case, name) for name in found.path)
        if case.rule is not None:
            assert set(found.countries) <= case.rule.countries_allowed
        total = ATTACHED_US[case.percentile]
        for a, b in zip(found.path, found.path[1:], strict=False):
            hops = [x for x in case.links if {x.node_a, x.node_b} == {a, b} and may_take(case, x)]
            total += min(us(x, case.percentile) for x in hops)
        assert found.rtt_us == total

"""Constrained routing against two others that share no code with it: all simple paths, and networkx."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
from hansa_control.domain.routing import RouteKey, find_latency
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


@st.composite
def cases(draw: st.DrawFn, nodes_max: int = 7, links_max: int = 12) -> Case:
    count = draw(st.integers(2, nodes_max))
    nodes = tuple(draw(node(at)) for at in range(count))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    pairs = draw(st.lists(ends, max_size=links_max))
    links = tuple(draw(link(at, f"n{a}", f"n{b}")) for at, (a, b) in enumerate(pairs))
    allowed = draw(st.frozensets(st.sampled_from(COUNTRIES), min_size=1))
    denied = draw(st.frozensets(st.sampled_from(("a", "b"))))
    rule = draw(st.sampled_from((None, TransitRule(allowed, denied), TransitRule(allowed, denied))))
    return Case(nodes, links, rule, draw(st.sampled_from((50, 95, 99))))


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
    return NetworkLink(f"l{at}", node_a, node_b, 0, rtt, crossed, carrier, LinkKind.TERRESTRIAL)


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
    if rule is None:
        return True
    if hop.countries is None or not set(hop.countries) <= rule.countries_allowed:
        return False
    return not rule.carriers_denied or (hop.carrier != "" and hop.carrier not in rule.carriers_denied)


def us(hop: NetworkLink, percentile: int) -> int:
    return {50: hop.rtt.p50_us, 95: hop.rtt.p95_us, 99: hop.rtt.p99_us}[percentile]


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
    found = find_latency(network, RouteKey(case.rule, case.percentile, "n0"), zone_at(goal))
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
        found = find_latency(network, RouteKey(case.rule, case.percentile, "n0"), zone_at(target.name))
        attached = expected[target.name] + ATTACHED_US[case.percentile] if target.name in expected else None
        assert (found.rtt_us if found else None) == attached


@settings(max_examples=50, derandomize=True, deadline=None)
@given(cases(nodes_max=12, links_max=30), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_change_the_path(case: Case, shuffle: object) -> None:
    nodes, links = list(case.nodes), list(case.links)
    shuffle.shuffle(nodes)  # type: ignore[attr-defined]
    shuffle.shuffle(links)  # type: ignore[attr-defined]
    key = RouteKey(case.rule, case.percentile, "n0")
    one, other = build_network(1, case.nodes, case.links), build_network(1, nodes, links)
    for target in case.nodes:
        assert find_latency(one, key, zone_at(target.name)) == find_latency(other, key, zone_at(target.name))


@settings(max_examples=50, derandomize=True, deadline=None)
@given(cases(nodes_max=12, links_max=30))
def test_a_returned_path_walks_over_links_that_are_there_and_lawful_and_adds_up(case: Case) -> None:
    network = build_network(1, case.nodes, case.links)
    for target in case.nodes:
        found = find_latency(network, RouteKey(case.rule, case.percentile, "n0"), zone_at(target.name))
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

"""A network after any sequence of changes is the network built from scratch, and so is all that was searched on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import scipy.sparse.csgraph
from hansa_control.domain.model import (
    LatencyBasis,
    LinkEncryption,
    LinkKind,
    NetworkLink,
    NetworkNode,
    RoundTrip,
    TransitRule,
)
from hansa_control.domain.network import Network, NetworkChange, build_network
from hansa_control.domain.routing import RouteKey, Strictness, costs_for, find_route
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = tuple(f"n{at:02}" for at in range(14))
KEYS = tuple(
    RouteKey(rule, percentile, point, strictness, kbps)
    for rule in (None, TransitRule(frozenset({"NO", "SE"}), frozenset({"b"})))
    for percentile, point, strictness, kbps in (
        (50, "n00", Strictness.LAWFUL, 0),
        (95, "n07", Strictness.NOT_DENIED, 0),
        (95, "n00", Strictness.LAWFUL, 2_000),
    )
)

countries = st.sampled_from(("NO", "NO", "SE", "FI", None))
places = st.sampled_from(((0.0, 0.0), (0.0, 0.0), (59.0, 10.0), (60.0, 11.0)))
nodes = st.builds(
    lambda name, country, place: NetworkNode(name, "", country, *place, access_point=True),
    st.sampled_from(NAMES),
    countries,
    places,
)
round_trips = st.builds(
    lambda p50, more: RoundTrip(p50, p50 + more, p50 + 3 * more, LatencyBasis.MODELLED),
    st.sampled_from((0, 500, 1_000, 2_000, 3_000)),
    st.sampled_from((0, 7, 1_000)),
)


@st.composite
def links(draw: st.DrawFn, lopsided: bool) -> NetworkLink:
    ends = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True))
    number = draw(st.integers(0, 45))
    # Most links have ends that follow from the name, so that a later one of the name changes attributes only.
    pair = ends if draw(st.integers(0, 9)) == 0 else (NAMES[number % 14], NAMES[(number * 5 + 1 + number // 14) % 14])
    crossed = draw(st.sampled_from(((), (), ("FI",), None)))
    return NetworkLink(
        f"l{number:02}",
        pair[0],
        pair[1],
        0,
        draw(round_trips),
        crossed,
        draw(st.sampled_from(("a", "a", "b"))),
        LinkKind.TERRESTRIAL,
        forward_permille=draw(st.sampled_from((500, 500, 300))) if lopsided else 500,
        one_way=draw(st.sampled_from((False, False, False, True))) if lopsided else False,
        bandwidth_kbps=draw(st.sampled_from((0, 0, 1_000, 4_000))),
        encryption=draw(st.sampled_from(LinkEncryption)),
    )


@dataclass
class Step:
    change: NetworkChange
    asks: tuple[bool, ...]


@st.composite
def steps(draw: st.DrawFn, lopsided: bool) -> Step:
    removes = draw(st.integers(0, 5)) == 0
    change = NetworkChange(
        nodes=tuple(draw(st.lists(nodes, max_size=1))),
        links=tuple(draw(st.lists(links(lopsided), max_size=3))),
        nodes_removed=frozenset(draw(st.lists(st.sampled_from(NAMES), max_size=1))) if removes else frozenset(),
        links_removed=frozenset(f"l{at:02}" for at in draw(st.lists(st.integers(0, 45), max_size=1)) if removes),
    )
    return Step(change, tuple(draw(st.booleans()) for _ in KEYS))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[NetworkNode], list[NetworkLink], list[Step]]:
    lopsided = draw(st.booleans())
    first = [NetworkNode(name, "", draw(countries), 0.0, 0.0, access_point=True) for name in NAMES]
    laid = draw(st.lists(links(lopsided), min_size=15, max_size=45, unique_by=lambda link: link.name))
    return first, laid, draw(st.lists(steps(lopsided), min_size=1, max_size=8))


def same_answers(network: Network, scratch: Network, asked: list[RouteKey]) -> None:
    for key, mine, theirs in zip(asked, costs_for(network, asked), costs_for(scratch, asked), strict=True):
        assert mine.rtt_us.tolist() == theirs.rtt_us.tolist(), key
        for name in NAMES:
            assert find_route(network, key, name) == find_route(scratch, key, name), (key, name)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(histories())
def test_costs_paths_and_ties_after_any_changes_are_those_of_a_network_built_afresh(
    history: tuple[list[NetworkNode], list[NetworkLink], list[Step]],
) -> None:
    first, laid, following = history
    all_nodes, all_links = {x.name: x for x in first}, {x.name: x for x in laid}
    network = build_network(1, first, laid)
    same_answers(network, build_network(1, first, laid), list(KEYS))
    for at, step in enumerate(following):
        for name in step.change.nodes_removed:
            all_nodes.pop(name, None)
        for name in step.change.links_removed:
            all_links.pop(name, None)
        for node in reversed(step.change.nodes):
            all_nodes[node.name] = node
        for link in reversed(step.change.links):
            all_links[link.name] = link
        network = network.with_changes(at + 2, step.change)
        scratch = build_network(at + 2, all_nodes.values(), all_links.values())
        assert network.nodes == scratch.nodes
        assert network.links == scratch.links
        assert network.dangling == scratch.dangling
        assert network.is_symmetric == scratch.is_symmetric
        assert (network.columns.path_us == scratch.columns.path_us).all()
        # Some keys are not asked for at every step, so that several changes are pending when they are.
        same_answers(network, scratch, [key for key, asks in zip(KEYS, step.asks, strict=True) if asks])
    same_answers(network, build_network(1, all_nodes.values(), all_links.values()), list(KEYS))


def ladder(length: int) -> tuple[list[NetworkNode], list[NetworkLink]]:
    """Two rows of nodes with rungs, large enough for repairs to be small beside it."""
    rows = [
        [NetworkNode(f"{row}{at:03}", "", "NO", 0.0, 0.0, access_point=True) for at in range(length)] for row in "ab"
    ]
    rtt = RoundTrip(1_000, 1_500, 2_000, LatencyBasis.MODELLED)

    def lay(one: NetworkNode, other: NetworkNode) -> NetworkLink:
        return NetworkLink(f"{one.name}-{other.name}", one.name, other.name, 0, rtt, (), "a", LinkKind.TERRESTRIAL)

    along = [lay(one, other) for row in rows for one, other in pairwise(row)]
    return [*rows[0], *rows[1]], [*along, *(lay(a, b) for a, b in zip(*rows, strict=True))]


def slowed(link: NetworkLink, p50_us: int) -> NetworkLink:
    return replace(link, rtt=RoundTrip(p50_us, p50_us + 500, p50_us + 1_000, LatencyBasis.MODELLED))


def test_a_changed_link_is_mended_without_a_search_and_one_that_nothing_hangs_on_shares_the_costs() -> None:
    some_nodes, some_links = ladder(300)
    network = build_network(1, some_nodes, some_links)
    key = RouteKey(None, 95, "a000")
    before = costs_for(network, [key])[0]
    searches: list[object] = []
    original = scipy.sparse.csgraph.dijkstra
    scipy.sparse.csgraph.dijkstra = lambda *args, **more: searches.append(args) or original(*args, **more)
    try:
        rung = network.with_changes(2, NetworkChange(links=(slowed(some_links[-1], 50_000),)))
        last = network.with_changes(2, NetworkChange(links=(slowed(some_links[298], 5_000),)))
        after_rung, after_last = costs_for(rung, [key])[0], costs_for(last, [key])[0]
    finally:
        scipy.sparse.csgraph.dijkstra = original
    assert searches == []
    assert after_rung.rtt_us is before.rtt_us
    assert (after_last.rtt_us != before.rtt_us).sum() == 1
    assert costs_for(network, [key])[0] is before


def test_a_change_that_much_hangs_on_is_searched_afresh_and_right() -> None:
    some_nodes, some_links = ladder(300)
    network = build_network(1, some_nodes, some_links)
    key = RouteKey(None, 95, "a000")
    costs_for(network, [key])
    dearer = [slowed(link, 9_000) for link in some_links if "000" in link.name]
    changed = network.with_changes(2, NetworkChange(links=tuple(dearer)))
    scratch = build_network(2, some_nodes, [*dearer, *some_links])
    assert costs_for(changed, [key])[0].rtt_us.tolist() == costs_for(scratch, [key])[0].rtt_us.tolist()


def test_a_change_that_changes_nothing_leaves_the_very_same_network() -> None:
    some_nodes, some_links = ladder(5)
    network = build_network(1, some_nodes, some_links)
    same = NetworkChange(nodes=(some_nodes[0],), links=(some_links[0],), links_removed=frozenset({"nobody-knows"}))
    assert network.with_changes(2, same) is network


def test_a_search_that_lies_too_many_changes_behind_is_done_afresh_and_right() -> None:
    some_nodes, some_links = ladder(20)
    network = build_network(1, some_nodes, some_links)
    key = RouteKey(None, 99, "b007")
    costs_for(network, [key])
    for at in range(100):
        some_links[at % 30] = slowed(some_links[at % 30], 100 * at)
        network = network.with_changes(at + 2, NetworkChange(links=(some_links[at % 30],)))
    scratch = build_network(1, some_nodes, some_links)
    assert costs_for(network, [key])[0].rtt_us.tolist() == costs_for(scratch, [key])[0].rtt_us.tolist()


def same_as_built_afresh(network: Network, some_nodes: list[NetworkNode], some_links: list[NetworkLink]) -> None:
    scratch = build_network(1, some_nodes, some_links)
    assert network.links == scratch.links
    keys = [RouteKey(None, 95, "a000"), RouteKey(TransitRule(frozenset({"NO"})), 50, "b002")]
    for key, mine, theirs in zip(keys, costs_for(network, keys), costs_for(scratch, keys), strict=True):
        assert mine.rtt_us.tolist() == theirs.rtt_us.tolist()
        for node in some_nodes:
            assert find_route(network, key, node.name) == find_route(scratch, key, node.name)


def test_a_network_of_which_the_first_link_gets_directions_and_loses_them_again_is_counted_right() -> None:
    some_nodes, some_links = ladder(5)
    network = build_network(1, some_nodes, some_links)
    same_as_built_afresh(network, some_nodes, some_links)
    for other in (replace(some_links[0], forward_permille=300), replace(some_links[0], one_way=True), some_links[0]):
        network = network.with_changes(2, NetworkChange(links=(other,)))
        assert network.is_symmetric == (other is some_links[0])
        same_as_built_afresh(network, some_nodes, [other, *some_links[1:]])


def test_a_node_that_moves_away_and_comes_back_leaves_its_links_as_they_were_given() -> None:
    some_nodes, some_links = ladder(3)
    here = [replace(node, latitude_deg=60.0, longitude_deg=10.0) for node in some_nodes]
    network = build_network(1, here, some_links)
    for latitude_deg in (69.0, 60.0, 61.0):
        moved = replace(here[1], latitude_deg=latitude_deg)
        network = network.with_changes(2, NetworkChange(nodes=(moved,)))
        same_as_built_afresh(network, [here[0], moved, *here[2:]], some_links)
    assert max(link.length_m for link in network.links) > 100_000
    network = network.with_changes(2, NetworkChange(nodes=(here[1],)))
    assert network.links == tuple(sorted(some_links, key=lambda link: link.name))

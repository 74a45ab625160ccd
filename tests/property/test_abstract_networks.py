"""An abstract network against the whole one, on random networks: true, silent about the inside, and never laxer.

Own nodes are n0, n1, ...; x0 and x1 are other operators'. Real paths are listed by plain recursion, so that what is
compared shares no search with what makes virtual links.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

from hansa_control.domain.abstraction import Inside, gateways, leaving
from hansa_control.domain.inner_paths import SEARCH_PERCENTILE, paths_between
from hansa_control.domain.model import (
    LatencyBasis,
    LinkEncryption,
    LinkKind,
    NetworkLink,
    NetworkNode,
    RoundTrip,
    TransitRule,
    UnknownPaths,
)
from hansa_control.domain.network import Network, build_network
from hansa_control.domain.route_graph import Strictness
from hansa_control.domain.routing import Route, RouteKey, find_route
from hypothesis import given, settings
from hypothesis import strategies as st

COUNTRIES = ("NO", "SE", "FI")
CARRIERS = ("skargard", "waldnetz")
ABROAD = (NetworkNode("x0", "", "NO", 0.0, 0.0, access_point=True), NetworkNode("x1", "", "SE", 0.0, 0.0, True))
PERCENTILES = (50, 95, 99)
ENCRYPTIONS = tuple(LinkEncryption)


@dataclass(frozen=True)
class Drawing:
    """An operator's nodes and links, and the nodes that it shows."""

    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]
    shown: frozenset[str]

    @property
    def inside(self) -> frozenset[str]:
        return frozenset(node.name for node in self.nodes) - self.shown

    @property
    def virtual(self) -> tuple[NetworkLink, ...]:
        return Inside("skargard", self.nodes, self.links).virtual_links(self.shown)

    @property
    def seen(self) -> tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]]:
        """What is offered of it."""
        nodes = tuple(node for node in self.nodes if node.name in self.shown)
        return nodes, (*leaving(self.nodes, self.links), *self.virtual)

    def joined(self, *, is_abstract: bool) -> Network:
        """The network of both operators."""
        nodes, links = self.seen if is_abstract else (self.nodes, self.links)
        return build_network(1, (*ABROAD, *nodes), links)


@st.composite
def drawings(draw: st.DrawFn, *, lopsided: bool = False, plain: bool = False) -> Drawing:
    """plain: one carrier, and everything known."""
    count = draw(st.integers(2, 6))
    nodes = tuple(draw(node(at, plain=plain)) for at in range(count))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    pairs = draw(st.lists(ends, max_size=11))
    own = [draw(link(f"l{at}", f"n{a}", f"n{b}", plain=plain)) for at, (a, b) in enumerate(pairs)]
    doors = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3))
    out = [draw(link(f"out{at}", f"x{at % 2}", f"n{n}", plain=plain)) for at, n in enumerate(doors)]
    links = [draw(with_directions(one)) for one in (*own, *out)] if lopsided else [*own, *out]
    extra = draw(st.frozensets(st.integers(0, count - 1), max_size=2))
    shown = gateways(nodes, links).union(f"n{at}" for at in extra)
    return Drawing(nodes, tuple(links), shown)


@st.composite
def node(draw: st.DrawFn, at: int, *, plain: bool) -> NetworkNode:
    country = draw(st.sampled_from(COUNTRIES if plain else (*COUNTRIES, None)))
    at_sea = draw(st.booleans()) if country is None else False
    return NetworkNode(f"n{at}", f"title of n{at}", country, 0.0, 0.0, access_point=not at_sea, at_sea=at_sea)


@st.composite
def link(draw: st.DrawFn, name: str, node_a: str, node_b: str, *, plain: bool) -> NetworkLink:
    p50 = draw(st.sampled_from((1, 2, 1_000, 2_003)))  # light needs 1 us for 100 m
    rtt = RoundTrip(p50, p50 + draw(st.sampled_from((0, 1, 7, 5_000))), p50 * 4 + 5_000, LatencyBasis.MODELLED)
    crossed = draw(st.sampled_from(((), (), ("FI",), ("SE", "NO")) + (() if plain else (None,))))
    return NetworkLink(
        name,
        node_a,
        node_b,
        draw(st.sampled_from((0, 100))),
        rtt,
        crossed,
        CARRIERS[0] if plain else draw(st.sampled_from(CARRIERS)),
        LinkKind.TERRESTRIAL,
        bandwidth_kbps=0 if plain else draw(st.sampled_from((0, 1_000, 5_000))),
        encryption=draw(st.sampled_from(ENCRYPTIONS)),
    )


@st.composite
def with_directions(draw: st.DrawFn, two_ways: NetworkLink) -> NetworkLink:
    share = draw(st.sampled_from((500, 500, 101, 900)))
    return replace(two_ways, forward_permille=share, one_way=draw(st.sampled_from((False, False, True))))


@st.composite
def rules(draw: st.DrawFn) -> TransitRule:
    allowed = draw(st.none() | st.frozensets(st.sampled_from(COUNTRIES), min_size=1))
    denied = draw(st.frozensets(st.sampled_from(COUNTRIES), max_size=2))
    carriers = draw(st.frozensets(st.sampled_from(CARRIERS), max_size=1))
    unknown = draw(st.sampled_from(UnknownPaths))
    return TransitRule(allowed, carriers, denied, draw(st.booleans()), unknown)


def paths(drawing: Drawing, here: str, goal: str, met: tuple[str, ...] = ()) -> Iterator[tuple[NetworkLink, ...]]:
    """Every simple path within the operator's network in the direction of travel, by plain recursion."""
    if here == goal:
        yield ()
        return
    own = {node.name for node in drawing.nodes}
    for hop in drawing.links:
        ways = [(hop.node_a, hop.node_b)] + ([] if hop.one_way else [(hop.node_b, hop.node_a)])
        for start, end in ways:
            if start == here and end in own - {here, *met}:
                for rest in paths(drawing, end, goal, (*met, here)):
                    yield (hop, *rest)


def stops(path: tuple[NetworkLink, ...], start: str) -> list[str]:
    found = [start]
    for hop in path:
        found.append(hop.node_b if hop.node_a == found[-1] else hop.node_a)
    return found


def added(rtt: RoundTrip) -> tuple[int, int, int]:
    """What a link adds to a path at each percentile, by docs/latency.md."""
    return rtt.p50_us + (rtt.p95_us - rtt.p50_us + 4) // 5, rtt.p95_us, rtt.p99_us


def stands_for(drawing: Drawing, seen: NetworkLink, path: tuple[NetworkLink, ...]) -> bool:
    """Whether a virtual link says of a path all that is to be said, and nothing better."""
    country = {node.name: node for node in drawing.nodes}
    inner = [country[name] for name in stops(path, seen.node_a)[1:-1]]
    lands = {node.country for node in inner if not node.at_sea}
    crossed = {land for hop in path for land in hop.countries or ()} | lands
    is_known = None not in lands and all(hop.countries is not None for hop in path)
    countries = tuple(sorted(land for land in crossed if land)) if is_known else None
    weakest = min(
        (hop.encryption for hop in path), key=(LinkEncryption.NONE, LinkEncryption.UNKNOWN, "ENCRYPTED").index
    )
    kbps = min((hop.bandwidth_kbps for hop in path if hop.bandwidth_kbps), default=0)
    return (
        seen.countries == countries
        and {hop.carrier for hop in path} == {seen.carrier}
        and seen.encryption in {weakest, LinkEncryption.UNKNOWN if not is_known else weakest}
        and not (weakest is LinkEncryption.NONE and seen.encryption is not LinkEncryption.NONE)
        and seen.bandwidth_kbps == kbps
        and seen.length_m == sum(hop.length_m for hop in path)
        and drawing.inside.issuperset(stops(path, seen.node_a)[1:-1])
    )


def one_way_ns(path: tuple[NetworkLink, ...], start: str) -> list[int]:
    """The time of a path in its direction at each percentile, nanoseconds."""
    sums = [0, 0, 0]
    for (here, _), hop in zip(pairwise(stops(path, start)), path, strict=True):
        share = hop.forward_permille if hop.node_a == here else 1_000 - hop.forward_permille
        sums = [total + time_us * share for total, time_us in zip(sums, added(hop.rtt), strict=True)]
    return sums


@settings(max_examples=120, derandomize=True, deadline=None)
@given(drawings())
def test_a_virtual_link_stands_for_a_real_path_and_adds_to_a_longer_one_what_that_adds(drawing: Drawing) -> None:
    for seen in drawing.virtual:
        real = [path for path in paths(drawing, seen.node_a, seen.node_b) if stands_for(drawing, seen, path)]
        times = [tuple(map(sum, zip(*(added(hop.rtt) for hop in path), strict=True))) for path in real]
        assert added(seen.rtt) in times
        assert seen.rtt.p50_us <= seen.rtt.p95_us <= seen.rtt.p99_us


@settings(max_examples=100, derandomize=True, deadline=None)
@given(drawings(lopsided=True))
def test_where_directions_differ_a_virtual_link_is_never_faster_than_its_path_and_slower_by_a_microsecond_at_most(
    drawing: Drawing,
) -> None:
    for seen in drawing.virtual:
        real = [path for path in paths(drawing, seen.node_a, seen.node_b) if stands_for(drawing, seen, path)]
        shown_ns = [time_us * seen.forward_permille for time_us in added(seen.rtt)]
        over = [
            [shown - true for shown, true in zip(shown_ns, one_way_ns(path, seen.node_a), strict=True)] for path in real
        ]
        assert any(all(0 <= more < 1_000 for more in each) for each in over)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(drawings())
def test_nothing_that_is_offered_names_the_inside(drawing: Drawing) -> None:
    nodes, links = drawing.seen
    said = [*(word for one in nodes for word in (one.name, one.title))]
    said += [word for one in links for word in (one.name, one.node_a, one.node_b)]
    hidden = {*drawing.inside, *(one.name for one in drawing.links if one.name.startswith("l"))}
    assert not [word for word in said if any(name in word.replace("-", " ").split() for name in hidden)]
    assert len({one.name for one in links}) == len(links)


def journeys(drawing: Drawing, rule: TransitRule, percentile: int, kbps: int) -> Iterator[tuple[Route | None, ...]]:
    """To every node that is shown, from every access point abroad: over the whole network, and as it is shown."""
    whole, seen = drawing.joined(is_abstract=False), drawing.joined(is_abstract=True)
    for start in ("x0", "x1"):
        key = RouteKey(rule, percentile, start, kbps_min=kbps)
        for goal in sorted(drawing.shown):
            yield find_route(whole, key, goal), find_route(seen, key, goal)


@settings(max_examples=250, derandomize=True, deadline=None)
@given(drawings(), rules(), st.sampled_from(PERCENTILES), st.sampled_from((0, 2_000)))
def test_what_is_lawful_as_it_is_shown_is_lawful_and_no_slower_in_the_whole_network(
    drawing: Drawing, rule: TransitRule, percentile: int, kbps: int
) -> None:
    for whole, seen in journeys(drawing, rule, percentile, kbps):
        assert seen is None or (whole is not None and whole.rtt_us <= seen.rtt_us)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(drawings(lopsided=True), rules(), st.sampled_from(PERCENTILES))
def test_so_it_is_where_directions_differ(drawing: Drawing, rule: TransitRule, percentile: int) -> None:
    for whole, seen in journeys(drawing, rule, percentile, 0):
        assert seen is None or (whole is not None and whole.rtt_us <= seen.rtt_us)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(drawings(plain=True), rules())
def test_within_the_bounds_nothing_lawful_is_missing_where_all_is_known(drawing: Drawing, rule: TransitRule) -> None:
    for whole, seen in journeys(drawing, rule, 95, 0):
        assert (whole and whole.rtt_us) == (seen and seen.rtt_us)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(drawings(), drawings(lopsided=True), st.booleans())
def test_pairs_that_are_searched_together_have_the_paths_that_each_has_alone(
    straight: Drawing, lopsided: Drawing, is_lopsided: bool
) -> None:
    drawing = lopsided if is_lopsided else straight
    network = build_network(0, drawing.nodes, [one for one in drawing.links if one.name.startswith("l")])
    pairs = list(combinations(sorted(network.node_index), 2))
    together = paths_between(network, pairs)
    for pair in pairs:
        assert together[pair] == paths_between(network, [pair])[pair]
        route = find_route(network, RouteKey(None, SEARCH_PERCENTILE, pair[0], Strictness.ANY), pair[1])
        first = next(iter(together[pair]), None)
        assert (route and (route.links, route.back_links)) == (first and (first.links, first.back_links))

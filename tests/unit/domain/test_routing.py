from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import scipy.sparse.csgraph
from deciding_world import LINKS, NODES, NOW_MS, link, node, zone
from hansa_control.domain import lineage
from hansa_control.domain.model import LatencyBasis, NetworkLink, NetworkNode, Reason, TransitRule
from hansa_control.domain.network import NetworkChange
from hansa_control.domain.route_reasons import bandwidth_along, explain_no_route, find_bottleneck
from hansa_control.domain.routing import (
    NO_PATH_US,
    RouteKey,
    Strictness,
    costs,
    costs_for,
    fastest_between,
    find_latency,
    find_route,
)
from hansa_control.domain.snapshot import Network, build_network, build_snapshot

NORDIC = TransitRule(frozenset({"NO", "SE"}))
BODO = zone("skargard/bodo-1", at="bodo")


def network(*links: NetworkLink, nodes: tuple[NetworkNode, ...] = NODES) -> Network:
    return build_network(12, nodes, links or LINKS)


def key(rule: TransitRule | None = None, percentile: int = 50, start: str = "oslo") -> RouteKey:
    return RouteKey(rule, percentile, start)


def test_the_fastest_path_is_taken_where_no_rule_forbids_it() -> None:
    found = find_latency(network(), key(), BODO)
    assert found is not None
    assert found.path == ("oslo", "goteborg", "helsinki", "umea", "bodo")
    assert found.rtt_us == 3_600 + 2_400 + 2_400 + 6_000 + 5_400
    assert found.countries == ("FI", "NO", "SE")
    assert found.bases == ("modelled",)


def test_the_fastest_lawful_path_is_taken_where_the_fastest_is_forbidden() -> None:
    found = find_latency(network(), key(NORDIC), BODO)
    assert found is not None
    assert found.path == ("oslo", "goteborg", "umea", "bodo")
    assert found.countries == ("NO", "SE")


def test_high_percentiles_add_up_and_each_link_lifts_the_median_by_a_fifth_of_its_spread() -> None:
    at = {p: find_latency(network(), key(NORDIC, p), BODO) for p in (50, 95, 99)}
    assert [found.rtt_us for found in at.values() if found] == [16_000 + 3_200 + 5_400, 32_000 + 7_128, 48_000 + 7_560]


def test_the_path_is_chosen_at_the_percentile_of_the_budget_not_at_the_median() -> None:
    steady = link("oslo", "bodo", 4_000, name="steady")
    steady = replace(steady, rtt=replace(steady.rtt, p99_us=4_000))
    jumpy = replace(link("oslo", "bodo", 3_000, name="jumpy"), countries=("SE",))
    chosen = {p: find_latency(network(steady, jumpy), key(percentile=p), BODO) for p in (50, 99)}
    assert [found.countries for found in chosen.values() if found] == [("NO", "SE"), ("NO",)]


def test_an_access_point_at_the_zone_needs_no_link() -> None:
    found = find_latency(network(), key(NORDIC, start="bodo"), BODO)
    assert found is not None
    assert (found.path, found.rtt_us, found.countries) == (("bodo",), 5_400, ("NO",))


def test_an_access_point_in_a_denied_country_has_no_lawful_path_at_all() -> None:
    assert find_latency(network(), key(NORDIC, start="helsinki"), BODO) is None
    reason, faults = explain_no_route(network(), key(NORDIC, start="helsinki"), BODO)
    assert reason is Reason.TRANSIT_DENIED
    assert faults[0].countries == ("FI",)
    assert faults[0].place == "node helsinki"


def test_equal_paths_go_by_fewer_links_then_by_the_first_names() -> None:
    nodes = tuple(node(name, "NO") for name in ("oslo", "b", "c", "d", "bodo"))
    two_ways = (link("oslo", "c", 2_000), link("c", "bodo", 2_000), link("oslo", "b", 2_000), link("b", "bodo", 2_000))
    longer = (link("oslo", "d", 1_000), link("d", "b", 1_000))
    for links in ((*two_ways, *longer), (*longer, *reversed(two_ways))):
        found = find_latency(network(*links, nodes=nodes), key(), BODO)
        assert found is not None
        assert found.path == ("oslo", "b", "bodo")


def test_of_parallel_links_the_fastest_allowed_one_is_taken() -> None:
    fast = link("oslo", "bodo", 1_000, name="fast", countries=("RU",))
    slow = link("oslo", "bodo", 9_000, name="slow")
    net = network(fast, slow)
    assert [find_latency(net, key(rule), BODO).rtt_us for rule in (None, NORDIC)] == [6_600, 16_200]  # type: ignore[union-attr]


def test_of_equal_parallel_links_the_first_by_name_is_taken_there_and_back() -> None:
    equal = [link("bodo", "oslo", 1_000, name=name) for name in ("b", "a", "c")]
    lopsided = link("oslo", "umea", 1_000, forward_permille=300)
    for net in (network(*equal), network(*equal, lopsided)):
        route = find_route(net, key(), "bodo")
        assert route is not None
        assert [net.links[at].name for at in (*route.links, *route.back_links)] == ["a"]


def test_links_of_no_length_do_not_confuse_the_search() -> None:
    nodes = tuple(node(name, "NO") for name in ("oslo", "a", "b", "bodo"))
    links = (link("oslo", "a", 0), link("a", "b", 0), link("b", "oslo", 0), link("b", "bodo", 0))
    found = find_latency(network(*links, nodes=nodes), key(), BODO)
    assert found is not None
    assert (found.rtt_us, found.path) == (5_400, ("oslo", "b", "bodo"))


def test_a_waypoint_at_sea_may_be_crossed_and_a_node_without_country_may_not() -> None:
    buoy = node("buoy", None, at_sea=True, access_point=False)
    links = (link("oslo", "buoy", 1_000), link("buoy", "bodo", 1_000))
    assert find_latency(network(*links, nodes=(*NODES, buoy)), key(NORDIC), BODO) is not None
    ashore = replace(buoy, at_sea=False)
    net = network(*links, nodes=(*NODES, ashore))
    assert find_latency(net, key(NORDIC), BODO) is None
    assert explain_no_route(net, key(NORDIC), BODO)[0] is Reason.TRANSIT_UNKNOWN


def test_a_denial_names_the_link_by_which_the_fastest_path_enters_the_country() -> None:
    links = (link("oslo", "helsinki", 1_000, carrier="skargard"), link("helsinki", "bodo", 1_000))
    reason, faults = explain_no_route(network(*links), key(NORDIC), BODO)
    assert reason is Reason.TRANSIT_DENIED
    assert [(fault.countries, fault.place) for fault in faults] == [(("FI",), "link oslo--helsinki, carrier skargard")]


def test_a_path_that_is_merely_unknown_makes_the_reason_unknown_even_if_a_denied_one_is_faster() -> None:
    links = (link("oslo", "bodo", 1_000, name="denied", countries=("RU",)), link("oslo", "bodo", countries=None))
    slow = (links[0], replace(links[1], rtt=links[1].rtt, name="unknown"))
    reason, faults = explain_no_route(network(*slow), key(NORDIC), BODO)
    assert reason is Reason.TRANSIT_UNKNOWN
    assert [fault.place for fault in faults] == ["link unknown, carrier nordnett"]


def test_a_path_that_is_denied_everywhere_is_denied() -> None:
    net = network(link("oslo", "bodo", countries=("RU",)))
    assert explain_no_route(net, key(NORDIC), BODO)[0] is Reason.TRANSIT_DENIED


def test_a_zone_that_no_link_reaches_is_unreachable_with_and_without_a_rule() -> None:
    net = network(LINKS[0])
    for rule in (None, NORDIC):
        assert find_latency(net, key(rule), BODO) is None
        assert explain_no_route(net, key(rule), BODO) == (Reason.UNREACHABLE, ())


def test_a_zone_at_a_node_that_is_not_in_view_is_unreachable() -> None:
    assert explain_no_route(network(), key(), zone(at="atlantis")) == (Reason.UNREACHABLE, ())


def test_an_unknown_access_point_has_no_route() -> None:
    assert find_route(network(), key(start="atlantis"), "bodo") is None


def test_a_denied_carrier_is_avoided_on_links_and_refused_at_the_zone() -> None:
    rule = TransitRule(frozenset({"NO", "SE", "FI"}), frozenset({"skargard"}))
    detour = [replace(x, carrier="skargard") if x.name == "goteborg--helsinki" else x for x in LINKS]
    elsewhere = zone("nordavind/bodo-2", at="bodo")
    found = find_latency(network(*detour), key(rule), elsewhere)
    assert found is not None
    assert "helsinki" not in found.path
    assert find_latency(network(*detour), key(rule), BODO) is None
    reason, faults = explain_no_route(network(*detour), key(rule), BODO)
    assert reason is Reason.TRANSIT_DENIED
    assert {fault.carrier for fault in faults} == {"skargard"}


def test_a_search_is_done_once_for_all_zones_and_rules_do_not_share_one() -> None:
    net = network()
    find_latency(net, key(NORDIC), BODO)
    entries = len(net.searches)
    find_latency(net, key(TransitRule(frozenset({"SE", "NO"}))), zone(at="umea"))
    assert len(net.searches) == entries
    find_latency(net, key(), BODO)
    assert len(net.searches) > entries


def test_between_two_zones_the_network_says_the_sum_of_links_and_one_attachment() -> None:
    snapshot = build_snapshot(1, [zone(), BODO], NODES, LINKS, NOW_MS)
    there, back = fastest_between(snapshot, zone(), BODO), fastest_between(snapshot, BODO, zone())
    assert there == back
    assert there is not None
    assert (there.p50_us, there.p95_us) == (14_400 + 5_400, 24_000 + 7_128)
    assert fastest_between(snapshot, zone(), zone(at="atlantis")) is None


def test_between_two_zones_the_network_is_physical_only_where_every_link_is() -> None:
    physical = [replace(x, rtt=replace(x.rtt, basis=LatencyBasis.PHYSICAL)) for x in LINKS]
    for links, basis in (
        (physical, LatencyBasis.PHYSICAL),
        ([*physical[:-1], LINKS[-1]], LatencyBasis.MODELLED),
        (LINKS, LatencyBasis.MODELLED),
    ):
        found = fastest_between(build_snapshot(1, [zone(), BODO], NODES, links, NOW_MS), zone(), BODO)
        assert found is not None
        assert found.basis is basis


def test_strictness_widens_what_may_be_crossed_step_by_step() -> None:
    links = (
        link("oslo", "bodo", 1_000, name="1", countries=("RU",)),
        link("oslo", "bodo", 2_000, name="2", countries=None),
        link("oslo", "bodo", 3_000, name="3"),
    )
    net, chosen = network(*links), []
    for strictness in (Strictness.ANY, Strictness.NOT_DENIED, Strictness.LAWFUL):
        route = find_route(net, key(NORDIC)._replace(strictness=strictness), "bodo")
        assert route is not None
        chosen.append(route.rtt_us)
    assert chosen == [1_200, 2_400, 3_600]


def test_costs_are_those_of_the_paths_and_no_path_is_above_every_budget() -> None:
    net = network(nodes=(*NODES, node("island", "NO")))
    keys = [key(NORDIC), key(NORDIC, start="umea"), key(NORDIC, start="helsinki"), key(start="atlantis")]
    for asked, found in zip(keys, costs_for(net, keys), strict=True):
        for at, there in enumerate(net.nodes):
            route = find_route(net, asked, there.name)
            assert found.rtt_us[at] == (NO_PATH_US if route is None else route.rtt_us)
    assert costs(net, keys[0]) is costs_for(net, keys)[0]
    assert (costs(net, keys[2]).rtt_us == NO_PATH_US).all()


def test_costs_of_many_access_points_take_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[object] = []
    original = scipy.sparse.csgraph.dijkstra
    monkeypatch.setattr(
        scipy.sparse.csgraph,
        "dijkstra",
        lambda *args, **more: searches.append(more["indices"]) or original(*args, **more),
    )
    net = network()
    costs_for(net, [key(NORDIC), key(NORDIC, start="umea"), key(NORDIC, start="oslo")])
    assert searches == [[net.node_index["oslo"], net.node_index["umea"]]]


# --- directions -----------------------------------------------------------------------------------------------------


def test_the_way_back_is_the_way_there_unless_another_is_faster_in_that_direction() -> None:
    assert find_latency(network(), key(), BODO).return_path == ()  # type: ignore[union-attr]
    quick_there = link("oslo", "bodo", 10_000, name="quick there", forward_permille=100)
    quick_back = link("bodo", "oslo", 12_000, name="quick back", forward_permille=50, carrier="")
    found = find_latency(network(quick_there, quick_back, *LINKS), key(percentile=95), BODO)
    assert found is not None
    assert (found.path, found.return_path) == (("oslo", "bodo"), ("bodo", "oslo"))
    assert found.rtt_us == 20_000 * 100 // 1_000 + 24_000 * 50 // 1_000 + 7_128


def test_a_round_trip_of_two_ways_is_rounded_up_once() -> None:
    there = link("oslo", "bodo", 1_001, name="there", forward_permille=1, one_way=True)
    back = link("bodo", "oslo", 1_001, name="back", forward_permille=1, one_way=True)
    route = find_route(network(there, back), key(percentile=95), "bodo")
    assert route is not None
    assert route.rtt_us == 5  # 2 x 2.002 microseconds


def test_a_one_way_link_alone_leads_nowhere_and_back() -> None:
    net = network(link("oslo", "bodo", one_way=True))
    assert find_latency(net, key(), BODO) is None
    assert explain_no_route(net, key(), BODO) == (Reason.UNREACHABLE, ())
    assert find_latency(net, key(start="bodo"), zone(at="oslo")) is None


@pytest.mark.parametrize(("p50_us", "more_us"), [(3_000, 1_200), (500, -300)])
@pytest.mark.parametrize("changed", ["there", "back"])
def test_the_round_trip_follows_a_change_of_either_way_alone(changed: str, p50_us: int, more_us: int) -> None:
    ways = {
        "there": link("oslo", "bodo", name="there", one_way=True),
        "back": link("bodo", "oslo", name="back", one_way=True),
    }
    before = network(*ways.values())
    former = find_latency(before, key(), BODO)
    slower = link(ways[changed].node_a, ways[changed].node_b, p50_us, name=changed, one_way=True)
    after = find_latency(before.with_changes(13, NetworkChange(links=(slower,))), key(), BODO)
    assert former is not None
    assert after is not None
    assert after.rtt_us == former.rtt_us + more_us  # half of what the link and a fifth of its spread add


def test_the_way_back_is_told_only_where_it_is_not_the_way_there() -> None:
    found = find_latency(network(*(replace(x, forward_permille=300) for x in LINKS)), key(), BODO)
    assert found is not None
    assert (len(found.path), found.return_path) == (5, ())
    aside = link("bodo", "oslo", 100, name="aside", one_way=True)
    apart = find_latency(network(*LINKS, aside), key(), BODO)
    assert apart is not None
    assert (apart.path, apart.return_path) == (found.path, ("bodo", "oslo"))


@pytest.mark.parametrize("one_way", [False, True])
@pytest.mark.parametrize("changed", ["goteborg--umea", "umea--bodo", "bodo--helsinki", "helsinki--oslo"])
def test_a_path_that_takes_as_long_as_before_is_told_as_it_is_now(changed: str, one_way: bool) -> None:
    ring = ("oslo", "goteborg", "umea", "bodo", "helsinki", "oslo")
    links = {x.name: x for x in (link(a, b, one_way=one_way) for a, b in pairwise(ring))}
    before = network(*links.values())
    find_latency(before, key(), BODO)
    after = before.with_changes(13, NetworkChange(links=(replace(links[changed], countries=("DK",)),)))
    found, anew = (find_latency(x, key(), BODO) for x in (after, network(*after.links)))
    assert found == anew
    assert found is not None
    assert ("DK" in found.countries) is (one_way or changed in ("bodo--helsinki", "helsinki--oslo"))


@pytest.mark.parametrize("one_way", [False, True])
def test_paths_from_a_node_whose_country_changes_end_and_begin_again(one_way: bool) -> None:
    links = (*LINKS, link("oslo", "bodo", 90_000, one_way=True)) if one_way else LINKS
    net = network(*links)
    former = costs(net, key(NORDIC)).rtt_us
    for country, is_open in (("RU", False), ("SE", True), (None, False), ("NO", True)):
        net = net.with_changes(13, NetworkChange(nodes=(replace(NODES[0], country=country),)))
        found = costs(net, key(NORDIC)).rtt_us
        assert found.tolist() == (former.tolist() if is_open else [NO_PATH_US] * len(former))


@pytest.mark.parametrize("p50_us", [500, 1_500])
@pytest.mark.parametrize("length", [10, 40])
def test_a_change_at_the_near_end_of_a_chain_reaches_the_far_end(length: int, p50_us: int) -> None:
    names = [f"n{at:02}" for at in range(length)]
    chain, nodes = [link(a, b) for a, b in pairwise(names)], tuple(node(name, "NO") for name in names)
    net = network(*chain, nodes=nodes)
    costs(net, key(start="n00"))
    changed = link("n00", "n01", p50_us)
    after = costs(net.with_changes(13, NetworkChange(links=(changed,))), key(start="n00")).rtt_us
    assert after.tolist() == costs(network(changed, *chain[1:], nodes=nodes), key(start="n00")).rtt_us.tolist()


@pytest.mark.parametrize("is_mixed", [False, True])
@pytest.mark.parametrize(("p50_us", "path"), [(3_000, "adcy"), (5_000, "axy"), (200_000, "axy")])
def test_a_known_path_gives_way_to_a_shortcut_that_opens_beside_it(p50_us: int, path: str, is_mixed: bool) -> None:
    nodes = tuple(node(name, "NO") for name in "axydc")
    steady = [link("a", "x", 5_000), link("x", "y", 5_000), link("a", "d", 3_000), link("c", "y", 2_000)]
    steady += [link("y", "a", 90_000, name="aside", one_way=True)] if is_mixed else []
    at_y = zone("skargard/y-1", at="y")
    net = network(*steady, link("d", "c", 100_000), nodes=nodes)
    assert find_latency(net, key(start="a"), at_y) is not None
    for changed in (p50_us, 100_000, p50_us):
        net = net.with_changes(13, NetworkChange(links=(link("d", "c", changed),)))
        found = find_latency(net, key(start="a"), at_y)
        assert found == find_latency(network(*net.links, nodes=nodes), key(start="a"), at_y)
        assert found is not None
        assert "".join(found.path) == (path if changed == p50_us else "axy")


def test_a_change_that_many_nodes_feel_leaves_no_path_as_it_was() -> None:
    length = 2_400
    names = [f"n{at:04}" for at in range(length)]
    chain, nodes = [link(a, b) for a, b in pairwise(names)], tuple(node(name, "NO") for name in names)
    beside = [link(names[-80], names[-78], 9_000, name="beside")]
    net, last = network(*chain, *beside, nodes=nodes), zone("skargard/last-1", at=names[-1])
    assert find_latency(net, key(start=names[0]), last) is not None
    for changed in (500, 60_000):
        slower = link(names[-80], names[-79], changed)
        net = net.with_changes(13, NetworkChange(links=(slower,)))
        found = find_latency(net, key(start=names[0]), last)
        assert found == find_latency(network(*net.links, nodes=nodes), key(start=names[0]), last)
        assert found is not None
        assert len(found.path) == (length if changed == 500 else length - 1)


@pytest.mark.parametrize("one_way", [False, True])
def test_paths_are_found_after_more_changes_than_are_remembered(one_way: bool) -> None:
    away = link("bodo", "umea", 1_000, name="away", one_way=one_way)
    net = network(*LINKS, away)
    find_latency(net, key(NORDIC), BODO)
    for changed in [*range(1_000, 1_000 + lineage.CHANGES_KEPT_MAX + 5), 1]:
        net = net.with_changes(13, NetworkChange(links=(replace(away, rtt=link("a", "b", changed).rtt),)))
    assert find_latency(net, key(NORDIC), BODO) == find_latency(network(*net.links), key(NORDIC), BODO)


def test_both_ways_have_to_be_lawful_and_both_are_told() -> None:
    there = link("oslo", "bodo", name="there", one_way=True, countries=("SE",))
    back = link("bodo", "oslo", name="back", one_way=True, countries=("RU",))
    net = network(there, back)
    assert find_latency(net, key(NORDIC), BODO) is None
    reason, faults = explain_no_route(net, key(NORDIC), BODO)
    assert reason is Reason.TRANSIT_DENIED
    assert [(fault.countries, fault.place) for fault in faults] == [(("RU",), "link back, carrier nordnett")]
    assert find_latency(net, key(), BODO).countries == ("NO", "RU", "SE")  # type: ignore[union-attr]


def test_between_two_zones_with_directions_apart_the_round_trip_is_the_same_from_either() -> None:
    links = [replace(x, forward_permille=300) for x in LINKS]
    snapshot = build_snapshot(1, [zone(), BODO], NODES, links, NOW_MS)
    assert fastest_between(snapshot, zone(), BODO) == fastest_between(snapshot, BODO, zone())


# --- bandwidth ------------------------------------------------------------------------------------------------------


def test_a_link_that_is_known_to_carry_too_little_is_avoided_and_one_of_unknown_bandwidth_is_not() -> None:
    thin = link("oslo", "bodo", 1_000, name="thin", bandwidth_kbps=1_000)
    unknown = link("oslo", "bodo", 2_000, name="unknown")
    wide = link("oslo", "bodo", 3_000, name="wide", bandwidth_kbps=9_000)
    net = network(thin, unknown, wide)
    for kbps, name in ((0, "thin"), (1_000, "thin"), (1_001, "unknown"), (90_000, "unknown")):
        route = find_route(net, key()._replace(kbps_min=kbps), "bodo")
        assert route is not None
        assert [net.links[at].name for at in route.links] == [name]
        assert bandwidth_along(net, route) == ((1_000, ()) if name == "thin" else (0, ("unknown",)))


def test_a_link_that_has_become_too_narrow_is_avoided_and_one_that_has_become_wide_is_taken() -> None:
    first = link("oslo", "bodo", 1_000, name="first", bandwidth_kbps=1_000)
    second = link("oslo", "bodo", 2_000, name="second", bandwidth_kbps=5_000)
    net, wanted = network(first, second), key()._replace(kbps_min=800)
    for kbps, name in ((1_000, "first"), (500, "second"), (900, "first"), (799, "second"), (0, "first")):
        net = net.with_changes(13, NetworkChange(links=(replace(first, bandwidth_kbps=kbps),)))
        route = find_route(net, wanted, "bodo")
        assert route is not None
        assert [net.links[at].name for at in route.links] == [name]


def test_where_bandwidth_alone_is_missing_the_narrowest_link_of_the_fastest_lawful_path_is_named() -> None:
    links = (
        link("oslo", "umea", bandwidth_kbps=5_000),
        link("umea", "bodo", bandwidth_kbps=3_000),
        link("oslo", "bodo", 1, countries=("RU",), bandwidth_kbps=100),
    )
    net, wanted = network(*links), key(NORDIC)._replace(kbps_min=4_000)
    assert find_latency(net, wanted, BODO) is None
    assert explain_no_route(net, wanted, BODO) == (Reason.BANDWIDTH_EXCEEDED, ())
    assert find_bottleneck(net, wanted, BODO) == links[1]
    assert find_bottleneck(net, key(NORDIC)._replace(kbps_min=3_000), BODO) is None


def test_what_is_unlawful_or_cut_off_is_told_so_whatever_the_bandwidth() -> None:
    wanted = key(NORDIC)._replace(kbps_min=4_000)
    denied = network(link("oslo", "bodo", countries=("RU",), bandwidth_kbps=1))
    assert find_bottleneck(denied, wanted, BODO) is None
    reason, faults = explain_no_route(denied, wanted, BODO)
    assert (reason, [fault.countries for fault in faults]) == (Reason.TRANSIT_DENIED, [("RU",)])
    assert explain_no_route(network(LINKS[0]), wanted, BODO) == (Reason.UNREACHABLE, ())


def test_a_path_beyond_what_can_be_counted_exactly_is_none() -> None:
    far = 2**53 // 8
    net = network(link("oslo", "umea", far), link("umea", "bodo", 1_000), link("oslo", "goteborg", 1_000))
    assert find_route(net, key(), "umea") is None
    assert find_route(net, key(), "goteborg") is not None


def test_the_least_bandwidth_along_a_path_is_that_of_its_narrowest_link() -> None:
    net = network(link("oslo", "umea", bandwidth_kbps=5_000), link("umea", "bodo", bandwidth_kbps=3_000))
    route = find_route(net, key(), "bodo")
    assert route is not None
    assert bandwidth_along(net, route) == (3_000, ())


def test_each_fault_along_a_path_is_told_once_with_the_link_that_has_it() -> None:
    nodes = (node("oslo", "NO"), node("umea", "EE"), node("bodo", "RU"))
    ends = (("oslo", "umea"), ("umea", "bodo"), ("bodo", "oslo"))
    ways = [link(a, b, one_way=True) for a, b in ends]
    ways[0] = replace(ways[0], countries=("DK",))
    reason, faults = explain_no_route(network(*ways, nodes=nodes), key(NORDIC), BODO)
    assert reason is Reason.TRANSIT_DENIED
    first, second = "link oslo--umea, carrier nordnett", "link umea--bodo, carrier nordnett"
    told = [(fault.countries, fault.place) for fault in faults]
    assert told == [(("DK",), first), (("EE",), first), (("RU",), second)]

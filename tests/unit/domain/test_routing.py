from __future__ import annotations

from dataclasses import replace

from deciding_world import LINKS, NODES, NOW_MS, link, node, zone
from hansa_control.domain.model import NetworkLink, NetworkNode, Reason, TransitRule
from hansa_control.domain.routing import (
    RouteKey,
    Strictness,
    explain_no_route,
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
    assert found.rtt_us == 3_000 + 2_000 + 2_000 + 5_000 + 5_400
    assert found.countries == ("FI", "NO", "SE")
    assert found.bases == ("modelled",)


def test_the_fastest_lawful_path_is_taken_where_the_fastest_is_forbidden() -> None:
    found = find_latency(network(), key(NORDIC), BODO)
    assert found is not None
    assert found.path == ("oslo", "goteborg", "umea", "bodo")
    assert found.countries == ("NO", "SE")


def test_a_percentile_is_the_sum_of_the_percentiles_of_the_links() -> None:
    at = {p: find_latency(network(), key(NORDIC, p), BODO) for p in (50, 95, 99)}
    assert [found.rtt_us for found in at.values() if found] == [21_400, 32_000 + 7_128, 48_000 + 7_560]


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
    assert [find_latency(net, key(rule), BODO).rtt_us for rule in (None, NORDIC)] == [6_400, 14_400]  # type: ignore[union-attr]


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
    entries = len(net.routes)
    find_latency(net, key(TransitRule(frozenset({"SE", "NO"}))), zone(at="umea"))
    assert len(net.routes) == entries
    find_latency(net, key(), BODO)
    assert len(net.routes) > entries


def test_between_two_zones_the_network_says_the_sum_of_links_and_one_attachment() -> None:
    snapshot = build_snapshot(1, [zone(), BODO], NODES, LINKS, NOW_MS)
    there, back = fastest_between(snapshot, zone(), BODO), fastest_between(snapshot, BODO, zone())
    assert there == back
    assert there is not None
    assert (there.p50_us, there.p95_us) == (12_000 + 5_400, 24_000 + 7_128)
    assert fastest_between(snapshot, zone(), zone(at="atlantis")) is None


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
    assert chosen == [1_000, 2_000, 3_000]

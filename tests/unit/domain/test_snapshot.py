from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest
from deciding_world import LINKS, NODES, NOW_MS, link, node, zone
from hansa_control.domain.model import LatencyBasis, LinkKind, RoundTrip, ZoneId
from hansa_control.domain.snapshot import (
    Memo,
    attachment_of,
    build_network,
    build_snapshot,
    effective_rtt,
    from_networkx,
    to_networkx,
)
from hansa_control.domain.units import attachment_rtt, modelled_link_rtt, physical_link_rtt


def measured(us: int) -> RoundTrip:
    return RoundTrip(us, us, us, LatencyBasis.MEASURED, 240, NOW_MS)


def test_zones_nodes_and_links_are_sorted_whatever_order_they_came_in() -> None:
    zones = [zone("skargard/b"), zone("nordavind/z"), zone("nordavind/a")]
    snapshot = build_snapshot(3, zones, reversed(NODES), reversed(LINKS), NOW_MS)
    assert [str(x.id) for x in snapshot.zones] == ["nordavind/a", "nordavind/z", "skargard/b"]
    assert [x.name for x in snapshot.nodes] == sorted(x.name for x in NODES)
    assert [x.name for x in snapshot.links] == sorted(x.name for x in LINKS)


def test_of_two_things_with_the_same_name_the_first_given_stays() -> None:
    mine, theirs = node("oslo", "NO"), node("oslo", "SE")
    slow, fast = link("oslo", "umea", 9_000), link("oslo", "umea", 1)
    zones = [zone(at="oslo"), zone(at="umea")]
    snapshot = build_snapshot(1, zones, [mine, theirs, node("umea", "SE")], [slow, fast], NOW_MS)
    assert snapshot.network.node("oslo") == mine
    assert snapshot.links == (slow,)
    assert [x.inventory.node for x in snapshot.zones] == ["oslo"]


def test_links_with_an_unknown_end_or_two_equal_ends_are_left_out_and_named() -> None:
    network = build_network(1, NODES, [*LINKS, link("oslo", "atlantis"), link("oslo", "oslo")])
    assert network.dangling == ("oslo--atlantis", "oslo--oslo")
    assert len(network.links) == len(LINKS)


def test_a_change_of_zones_keeps_the_network_and_what_was_found_on_it() -> None:
    before = build_snapshot(1, [zone()], NODES, LINKS, NOW_MS)
    after = before.with_zones(2, [zone(generation=2)], NOW_MS + 1)
    assert after.network is before.network
    assert (after.generation, after.taken_at_ms, after.zones[0].generation) == (2, NOW_MS + 1, 2)


def test_a_zone_is_found_by_its_id_and_a_stranger_is_not() -> None:
    snapshot = build_snapshot(1, [zone()], NODES, LINKS, NOW_MS)
    assert snapshot.zone(ZoneId("nordavind", "oslo-1")) is snapshot.zones[0]
    assert snapshot.zone(ZoneId("nordavind", "oslo-2")) is None


def test_a_measurement_makes_a_link_slower() -> None:
    slower = effective_rtt(link("a", "b", 1_000), measured(2_500))
    assert (slower.p50_us, slower.p95_us, slower.p99_us) == (2_500, 2_500, 3_000)
    assert slower.basis is LatencyBasis.MEASURED
    assert slower.sample_count == 240


def test_a_measurement_never_makes_a_link_faster_than_its_model() -> None:
    modelled = link("a", "b", 1_000)
    assert effective_rtt(modelled, measured(900)) == modelled.rtt


def test_a_link_known_only_by_measurement_is_held_to_the_model_of_its_length() -> None:
    claimed = link("a", "b", length_m=500_000, rtt=measured(10))
    assert effective_rtt(claimed) == modelled_link_rtt(500_000)


def test_a_model_below_the_speed_of_light_is_lifted_to_it() -> None:
    lie = link("a", "b", 10, length_m=500_000)
    assert effective_rtt(lie) == physical_link_rtt(500_000)


def test_a_link_cannot_be_shorter_than_the_ground_between_its_ends() -> None:
    oslo = node("oslo", "NO", latitude_deg=59.91, longitude_deg=10.75)
    bodo = node("bodo", "NO", latitude_deg=67.28, longitude_deg=14.40)
    network = build_network(1, [oslo, bodo], [link("oslo", "bodo", 10, length_m=1_000)])
    assert network.links[0].length_m == pytest.approx(840_000, rel=0.02)
    assert network.links[0].rtt == physical_link_rtt(network.links[0].length_m)


def test_a_length_that_is_a_little_short_by_rounding_stays_as_stated() -> None:
    a = node("a", "NO", latitude_deg=60.0, longitude_deg=10.0)
    b = node("b", "NO", latitude_deg=61.0, longitude_deg=10.0)
    stated = link("a", "b", 10_000, length_m=111_000)
    assert build_network(1, [a, b], [stated]).links == (stated,)


def test_a_zone_hangs_on_its_node_by_an_attachment_that_carries_the_fixed_part() -> None:
    attachment = attachment_of(zone("skargard/umea-1", at="umea"))
    assert (attachment.node_a, attachment.node_b) == ("umea", "skargard/umea-1")
    assert attachment.kind is LinkKind.ATTACHMENT
    assert attachment.rtt == attachment_rtt()
    assert attachment.carrier == "skargard"


def test_a_network_survives_the_way_through_networkx() -> None:
    parallel = replace(LINKS[0], name="second cable")
    network = build_network(4, NODES, [*LINKS, parallel])
    again = from_networkx(to_networkx(network, [zone()]), 4)
    assert (again.nodes, again.links, again.dangling) == (network.nodes, network.links, ())


def test_networkx_finds_the_zone_behind_its_attachment() -> None:
    graph = to_networkx(build_network(1, NODES, LINKS), [zone("skargard/bodo-1", at="bodo"), zone(at="atlantis")])
    length = nx.dijkstra_path_length(graph, "oslo", "skargard/bodo-1", weight="p50_us")
    # The weights are what routing counts with: a median and a fifth of the way to the 95th percentile.
    assert length == 3_600 + 2_400 + 2_400 + 6_000 + attachment_rtt().p50_us
    assert "atlantis" not in graph


def test_a_network_with_a_one_way_link_survives_the_way_through_a_directed_graph() -> None:
    up = replace(LINKS[0], name="up", one_way=True, forward_permille=700, bandwidth_kbps=10)
    network = build_network(4, NODES, [*LINKS, up])
    graph = to_networkx(network, [zone("skargard/bodo-1", at="bodo")])
    assert isinstance(graph, nx.MultiDiGraph)
    assert graph["oslo"]["goteborg"]["up"]["p95_ns"] == 6_000 * 700
    assert "up" not in graph["goteborg"]["oslo"]
    back = nx.dijkstra_path_length(graph, "skargard/bodo-1", "goteborg", weight="p95_ns")
    assert back == (4_000 + 4_000 + 10_000 + attachment_rtt().p95_us) * 500
    again = from_networkx(graph, 4)
    assert (again.nodes, again.links, again.dangling) == (network.nodes, network.links, ())


def test_a_memo_forgets_rather_than_grow() -> None:
    memo = Memo(weight_max=10)
    for key in range(100):
        memo.keep(key, key, weight=3)
        assert len(memo) <= 3
    assert memo.get(99) == 99
    assert memo.get(0) is None


def test_keeping_the_same_key_again_takes_no_more_room() -> None:
    memo = Memo(weight_max=2)
    memo.keep("other", 0)
    for value in range(5):
        memo.keep("key", value)
    assert memo.get("key") == 4
    assert memo.get("other") == 0

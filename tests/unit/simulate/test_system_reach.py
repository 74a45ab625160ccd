"""Who reaches whom when links have fallen, against paths that are worked out apart."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import networkx as nx
import pytest
from hansa_sim.kernel import VirtualLoop
from hansa_sim.latency.system.bridge import platform_of
from hansa_sim.latency.system.reach import Reach
from hansa_sim.latency.world import World
from hansa_sim.network import Network
from scenario_texts import TWO_APPS
from system_days import day_world

WITHOUT_LAW = ("residency: {data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", "residency: none")
LINKS = ("bergen--oslo", "hamburg--malmo", "hamburg--oslo", "malmo--stockholm", "oslo--stockholm")


def shortest_ms(world: World, point: str, zone: str, fallen: frozenset[str]) -> float | None:
    """The table's own round trips along the shortest way; None where there is none."""
    graph = nx.Graph()
    graph.add_nodes_from(node.name for node in world.ground.nodes)
    for link in world.ground.links:
        if link.name not in fallen:
            graph.add_edge(link.node_a, link.node_b, weight=link.rtt.p50_us / 1_000)
    try:
        return float(nx.dijkstra_path_length(graph, point, zone))
    except nx.NetworkXNoPath:
        return None


def test_ways_that_are_left_are_the_shortest_ones(tmp_path: Path) -> None:
    world = day_world(tmp_path, "", WITHOUT_LAW)
    reach = Reach(world)
    for fallen in (frozenset(each) for count in range(3) for each in combinations(LINKS, count)):
        check_ways(world, reach, fallen)


def check_ways(world: World, reach: Reach, fallen: frozenset[str]) -> None:
    (found,), (whole,) = reach.rtt_ns(fallen), reach.rtt_ns(frozenset())
    for row, user in enumerate(world.users):
        for column, zone in enumerate(world.zones):
            left = shortest_ms(world, user.access_point, zone.inventory.node, fallen)
            usual = shortest_ms(world, user.access_point, zone.inventory.node, frozenset())
            assert usual is not None
            if left is None:
                assert found[row, column] < 0
            else:
                # What every way has besides is the same with and without the links.
                assert found[row, column] - whole[row, column] == pytest.approx((left - usual) * 1e6, abs=2_000)


def test_a_way_that_is_left_must_be_lawful(tmp_path: Path) -> None:
    """Without the direct link there is a way from Oslo to Stockholm through Germany, which the law forbids."""
    reach = Reach(day_world(tmp_path))
    users = [user.access_point for user in day_world(tmp_path).users]
    (whole,), (left,) = reach.rtt_ns(frozenset()), reach.rtt_ns(frozenset({"oslo--stockholm"}))
    oslo, stockholm = users.index("oslo"), 1
    assert whole[oslo, stockholm] > 0
    assert left[oslo, stockholm] < 0


def test_every_app_has_ways_of_its_own(tmp_path: Path) -> None:
    asr, ocr = Reach(day_world(tmp_path, "", *TWO_APPS)).rtt_ns(frozenset())
    assert (asr >= 0).all()  # no law
    assert (ocr[:, 2] < 0).all()  # not to Germany


def cut_pairs(network: Network, hosts: list[str]) -> set[tuple[str, str]]:
    return {pair for pair in combinations(hosts, 2) if network.is_cut(*pair) or network.is_cut(*reversed(pair))}


def test_hosts_that_nothing_joins_any_more_are_cut_off_and_healed(tmp_path: Path) -> None:
    world = day_world(tmp_path)
    platform, reach = platform_of(world, VirtualLoop()), Reach(world)
    hosts = ["nordavind", "skargard", "waldnetz"]
    reach.follow(frozenset({"oslo--stockholm"}), platform.network)
    assert cut_pairs(platform.network, hosts) == set()  # round by Hamburg
    reach.follow(frozenset({"oslo--stockholm", "hamburg--oslo"}), platform.network)
    assert cut_pairs(platform.network, hosts) == {("nordavind", "skargard"), ("nordavind", "waldnetz")}
    reach.follow(frozenset({"hamburg--malmo"}), platform.network)
    assert cut_pairs(platform.network, hosts) == set()
    reach.follow(frozenset({"hamburg--malmo", "hamburg--oslo"}), platform.network)
    assert cut_pairs(platform.network, hosts) == {("nordavind", "waldnetz"), ("skargard", "waldnetz")}
    reach.follow(frozenset(), platform.network)
    assert cut_pairs(platform.network, hosts) == set()


def test_an_agent_at_another_node_than_its_control_plane_is_cut_off_from_it(tmp_path: Path) -> None:
    second = (
        "      - name: stockholm-1\n",
        "      - {name: aa-malmo, node: malmo, accelerators: {model: L40S, count: 1}}\n      - name: stockholm-1\n",
    )
    world = day_world(tmp_path, "", second)
    platform, reach = platform_of(world, VirtualLoop()), Reach(world)
    reach.follow(frozenset({"malmo--stockholm"}), platform.network)
    assert not platform.network.is_cut("skargard/stockholm-1", "skargard")  # round by Hamburg
    reach.follow(frozenset({"malmo--stockholm", "oslo--stockholm"}), platform.network)
    assert platform.network.is_cut("skargard/stockholm-1", "skargard")
    assert not platform.network.is_cut("skargard/aa-malmo", "skargard")

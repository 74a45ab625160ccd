"""Networks from every source, topohub's, graph files and tables, with what each tells; and the load upon them."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
from hansa_sim.latency.ground import GRAPH_BYTES_MAX, LINKS_MAX, NODES_MAX
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario
from hansa_sim.latency.views import ViewName, view_of
from hansa_sim.latency.world import World, build_world
from scenario_texts import world_of, written

TABLE = (
    "  round_trips: trips.csv\n"
    "  node_countries: {oslo: NO, bergen: NO, stockholm: SE, malmo: SE, hamburg: DE, island: SE, reef: SE}"
)
PLACES = {
    "oslo": ("NO", 59.91, 10.75),
    "bergen": ("NO", 60.39, 5.32),
    "stockholm": ("SE", 59.33, 18.07),
    "malmo": ("SE", 55.61, 13.0),
    "hamburg": ("DE", 53.55, 9.99),
}


def _graph() -> nx.Graph:
    graph = nx.Graph()
    for name, (country, latitude, longitude) in PLACES.items():
        graph.add_node(name, country=country, lat=latitude, lon=longitude)
    graph.add_edge("oslo", "bergen", countries="-")
    graph.add_edge("oslo", "stockholm", countries="-", length_km=600.0)
    graph.add_edge("stockholm", "malmo", countries="-", rtt_ms=30.0)
    graph.add_edge("malmo", "hamburg", countries="DK", carrier="elsewhere")
    return graph


def _of_file(folder: Path, name: str) -> World:
    graph = _graph()
    if name.endswith(".gml"):
        nx.write_gml(graph, folder / name)
    else:
        nx.write_graphml(graph, folder / name)
    return world_of(folder, (TABLE, f"  graph: {name}"))


@pytest.mark.parametrize("name", ["net.gml", "net.graphml"])
def test_a_graph_file_tells_places_countries_lengths_times_and_carriers(tmp_path: Path, name: str) -> None:
    world = _of_file(tmp_path, name)
    links = {link.name: link for link in world.ground.links}
    assert [node.country for node in world.ground.nodes] == ["NO", "DE", "SE", "NO", "SE"]
    assert links["oslo--stockholm"].length_m == 600_000
    assert 300_000 < links["bergen--oslo"].length_m < 310_000
    assert links["malmo--stockholm"].rtt.p50_us == 30_000
    assert links["hamburg--malmo"].countries == ("DK",)
    assert links["hamburg--malmo"].carrier == "elsewhere"
    assert links["bergen--oslo"].carrier == "nordavind"
    assert view_of(world, ViewName.TOGETHER).served.all()


def test_a_time_below_light_in_fibre_is_lifted_by_the_production_network(tmp_path: Path) -> None:
    graph = _graph()
    graph.edges["stockholm", "malmo"]["rtt_ms"] = 0.1
    nx.write_gml(graph, tmp_path / "net.gml")
    world = world_of(tmp_path, (TABLE, "  graph: net.gml"))
    link = next(link for link in world.snapshot.links if link.name == "malmo--stockholm")
    assert link.rtt.p50_us > 5_000


def test_a_graph_in_pieces_leaves_users_unreachable_and_runs(tmp_path: Path) -> None:
    graph = _graph()
    graph.remove_edge("oslo", "bergen")
    nx.write_graphml(graph, tmp_path / "net.graphml")
    found = run_scenario(world_of(tmp_path, (TABLE, "  graph: net.graphml"), ("requests: 40000", "requests: 4000")))
    row = found.row("nearest")
    assert row is not None
    assert {point.access_point: point.why_not for point in row.points}["bergen"].startswith("unreachable")
    assert row.mean_ms.mean is not None


@pytest.mark.parametrize(
    ("content", "said"), [("graph [ node [", "net.gml"), ('graph [ node [ id 0 label "a" country "XX" ] ]', "'XX'")]
)
def test_a_graph_file_that_cannot_be_read_is_refused_with_its_key(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "net.gml").write_text(content, encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"scenario.yaml:6: network.graph: .*") as caught:
        world_of(tmp_path, (TABLE, "  graph: net.gml"))
    assert said in str(caught.value)


def test_networks_larger_than_any_that_is_meant_are_refused_with_the_most(tmp_path: Path) -> None:
    nodes = "\n".join(f'node [ id {n} label "n{n}" ]' for n in range(NODES_MAX + 1))
    (tmp_path / "net.gml").write_text(f"graph [\n{nodes}\n]", encoding="utf-8")
    with pytest.raises(
        ScenarioError, match=rf"network.graph: net.gml: {NODES_MAX + 1} nodes; {NODES_MAX} are the most"
    ):
        world_of(tmp_path, (TABLE, "  graph: net.gml"))


def test_graph_files_are_read_no_further_than_they_may_go(tmp_path: Path) -> None:
    with (tmp_path / "net.graphml").open("wb") as file:
        file.truncate(GRAPH_BYTES_MAX + 1)
    with pytest.raises(ScenarioError, match=rf"network.graph: net.graphml: larger than {GRAPH_BYTES_MAX} bytes"):
        world_of(tmp_path, (TABLE, "  graph: net.graphml"))


def test_a_graph_file_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.gml").write_text("graph [ " + "a [ " * 20_000 + "]" * 20_001, encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"network.graph: net.gml: "):
        world_of(tmp_path, (TABLE, "  graph: net.gml"))


def test_tables_of_more_round_trips_than_any_that_is_meant_are_refused(tmp_path: Path) -> None:
    trips = "a,b,rtt_ms\n" + "oslo,bergen,3\n" * (LINKS_MAX + 1)
    with pytest.raises(ScenarioError, match=rf"network.round_trips: trips.csv: more than {LINKS_MAX} round trips"):
        build_world(load_scenario(written(tmp_path, trips=trips)))


def test_another_topology_of_topohub_has_names_and_lengths_and_no_countries(tmp_path: Path) -> None:
    world = world_of(
        tmp_path,
        (TABLE, "  topohub: sndlib/nobel-eu\n  other_carrier: waldnetz\n  node_countries: {oslo: NO, stockholm: SE}"),
        ("access_point: bergen", "access_point: copenhagen"),
        ("access_point: malmo", "access_point: stockholm"),
        ("{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", "none"),
    )
    assert len(world.ground.nodes) == 28
    assert world.ground.owners["copenhagen"] == "waldnetz"
    assert view_of(world, ViewName.TOGETHER).served.all()
    assert all(link.countries is None and link.length_m > 0 for link in world.ground.links)


def test_a_topology_that_topohub_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="topohub has no topology 'backbone/moon'"):
        world_of(tmp_path, (TABLE, "  topohub: backbone/moon"))


def test_users_of_countries_are_spread_over_their_access_points(tmp_path: Path) -> None:
    swedes, norwegians = "{countries: [SE], at_most: 2, requests_per_s: 9}", "{countries: [NO], requests_per_s: 2}"
    many = f"- {swedes}\n  - {norwegians}\n  - {{access_point: oslo,"
    world = world_of(tmp_path, ("- {access_point: oslo,", many))
    rates = {user.access_point: user.millirps for user in world.users}
    assert rates == {"bergen": 51_000, "island": 4_500, "malmo": 90_000, "oslo": 61_000, "reef": 4_500}


def test_a_day_has_its_peak_in_the_middle_and_the_same_mean(tmp_path: Path) -> None:
    day = "arrivals: {kind: diurnal, swing: 0.9, period_s: 50}\npolicies: [nearest]"
    flat, swung = (world_of(tmp_path, *changes) for changes in ((), (("policies: [nearest]", day),)))
    means = [run_scenario(world).rows[0] for world in (flat, swung)]
    assert means[1].requests == pytest.approx(means[0].requests, rel=0.1)
    assert (means[1].wait_ms.mean or 0) > 1.2 * (means[0].wait_ms.mean or 0)


@pytest.mark.parametrize("law", ["lognormal", "gamma"])
def test_service_that_scatters_more_waits_longer(tmp_path: Path, law: str) -> None:
    waits = []
    for scv in (0.2, 4.0):
        service = f"{{distribution: {law}, times: [{{mean_ms: 20, scv: {scv}}}]}}"
        every_device = ("policies: [nearest]", "policies: [optimum]")
        row = run_scenario(world_of(tmp_path, every_device, ("{times: [{mean_ms: 20}]}", service))).rows[0]
        waits.append(row.wait_ms.mean or 0.0)
    assert waits[1] > 1.5 * waits[0]

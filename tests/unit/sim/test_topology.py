"""The demonstration's network: what it is made of, how it is split, and that it holds what the demonstration tells."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
from hansa_control.adapters.network_file import read_network_file
from hansa_control.domain.model import LinkKind, NetworkLink, NetworkNode
from hansa_control.domain.units import attachment_rtt
from hansa_sim.topology import Segment, as_graph, load_topology, operator_segments, write_network_file

ASSIGN = {"NO": "nordavind", "SE": "skargard", "FI": "skargard", "DE": "waldnetz", "DK": "waldnetz"}
USERS = ("oslo", "goteborg")
BUDGET_P95_US = 24_000
LAWFUL = frozenset({"NO", "SE"})


@pytest.fixture(scope="module")
def nodes() -> dict[str, NetworkNode]:
    return {node.name: node for node in load_topology().nodes}


@pytest.fixture(scope="module")
def links() -> dict[str, NetworkLink]:
    return {link.name: link for link in load_topology().links}


@pytest.fixture(scope="module")
def segments() -> dict[str, Segment]:
    return operator_segments(ASSIGN)


def lawful_part(graph: nx.Graph, allowed: frozenset[str]) -> nx.Graph:
    """The graph without nodes and links outside the allowed countries; what is unknown is outside."""

    def node_is_allowed(name: str) -> bool:
        node: NetworkNode = graph.nodes[name]["node"]
        return node.at_sea or node.country in allowed

    def link_is_allowed(a: str, b: str) -> bool:
        link: NetworkLink = graph.edges[a, b]["link"]
        return link.countries is not None and allowed.issuperset(link.countries)

    return nx.subgraph_view(graph, filter_node=node_is_allowed, filter_edge=link_is_allowed)


def p95_us(graph: nx.Graph, path: list[str]) -> int:
    links: list[NetworkLink] = [graph.edges[a, b]["link"] for a, b in nx.utils.pairwise(path)]
    return attachment_rtt().p95_us + sum(link.rtt.p95_us for link in links)


def worst_p95_us(graph: nx.Graph, zone: str) -> int | None:
    """The 95th percentile from the users who are worst off; None when any of them cannot reach the zone."""
    found = []
    for user in USERS:
        if zone not in graph or not nx.has_path(graph, user, zone):
            return None
        found.append(p95_us(graph, nx.shortest_path(graph, user, zone, weight="length_m")))
    return max(found)


def countries_passed(graph: nx.Graph, path: list[str]) -> set[str]:
    passed = {graph.nodes[name]["node"].country for name in path} - {None}
    for a, b in nx.utils.pairwise(path):
        passed.update(graph.edges[a, b]["link"].countries or ())
    return passed


def test_the_whole_of_topohub_is_there(nodes: dict[str, NetworkNode], links: dict[str, NetworkLink]) -> None:
    assert (len(nodes), len(links)) == (852, 1287)
    assert sum(node.at_sea for node in nodes.values()) == 275


def test_every_name_is_lower_case_ascii(nodes: dict[str, NetworkNode]) -> None:
    assert all(name.isascii() and name == name.lower() and " " not in name for name in nodes)
    assert {"oslo", "goteborg", "kungsbacka", "sea-5535", "lodz", "saint-petersburg"} <= nodes.keys()


@pytest.mark.parametrize(
    ("name", "title", "country"),
    [
        ("oslo", "Oslo", "NO"),
        ("goteborg", "Göteborg", "SE"),
        ("hamburg", "Hamburg", "DE"),
        ("berlin", "Berlin", "DE"),
        ("wiesbaden", "Wiesbaden", "DE"),
        ("umea", "Umeå", "SE"),
        ("breivika", "Breivika (Harstad)", "NO"),
        ("mariehamn", "Mariehamn", "FI"),
        ("gedebak-odde", "Bornholm", "DK"),
        ("kaliningrad", "Kaliningrad", "RU"),
        ("ekofisk", "Ekofisk (platform)", "NO"),
        ("kristinelund", "Kristinelund", "SE"),
    ],
)
def test_titles_and_countries_known_by_hand(nodes: dict[str, NetworkNode], name: str, title: str, country: str) -> None:
    assert (nodes[name].title, nodes[name].country) == (title, country)


@pytest.mark.parametrize(
    ("name", "countries"),
    [
        ("goteborg--oslo", ()),
        ("oslo--vasteras", ()),
        ("trondheim--umea", ()),
        ("arendal--goteborg", ()),
        ("breivika--oulu", ("SE",)),
        ("breivika--terberka", ("FI", "SE")),
        ("bialystok--vilnius", ("BY",)),
        ("sea-5480--sea-5482", ("SE",)),
    ],
)
def test_countries_crossed_known_by_hand(links: dict[str, NetworkLink], name: str, countries: tuple[str, ...]) -> None:
    assert links[name].countries == countries


def test_waypoints_have_no_country_and_let_nobody_in(nodes: dict[str, NetworkNode]) -> None:
    waypoints = [node for node in nodes.values() if node.at_sea]
    assert all(node.country is None and not node.access_point for node in waypoints)


def test_contested_ground_is_unknown(nodes: dict[str, NetworkNode], links: dict[str, NetworkLink]) -> None:
    assert {name for name, node in nodes.items() if node.country is None and not node.at_sea} == {
        "girne", "makiyivka", "mitrovice", "nicosia", "pristina", "tiraspol", "tricomo", "yenakiyeve", "yevpatoriya"
    }  # fmt: skip
    touching = [link for link in links.values() if "pristina" in (link.node_a, link.node_b)]
    assert touching and all(link.countries is None for link in touching)


def test_no_link_names_the_country_of_its_own_end(nodes: dict[str, NetworkNode], links: dict[str, NetworkLink]) -> None:
    for link in links.values():
        ends = {nodes[link.node_a].country, nodes[link.node_b].country}
        assert not ends & set(link.countries or ())


def test_lengths_fit_the_positions(nodes: dict[str, NetworkNode], links: dict[str, NetworkLink]) -> None:
    link = links["goteborg--oslo"]
    assert link.length_m == 255_110
    assert link.rtt.p50_us == -(-194 * 2 * 255_110 // 20_000)
    assert link.kind is LinkKind.TERRESTRIAL
    assert links["helsinki--sea-5537"].kind is LinkKind.SEA_CABLE


def test_each_link_is_carried_once_by_the_operator_of_its_first_end(segments: dict[str, Segment]) -> None:
    owners = {node.name: operator for operator, segment in segments.items() for node in segment.nodes}
    carried = [link for segment in segments.values() for link in segment.links]
    assert len({link.name for link in carried}) == len(carried)
    assert all(link.carrier == owners[min(link.node_a, link.node_b)] for link in carried)
    assert all(link.node_b in owners for link in carried)


def test_links_across_a_border_join_the_operators(segments: dict[str, Segment]) -> None:
    carriers = {link.name: link.carrier for segment in segments.values() for link in segment.links}
    assert carriers["goteborg--oslo"] == "skargard"
    assert carriers["oslo--vasteras"] == "nordavind"
    assert carriers["alsgarde--kristinelund"] == "waldnetz"


def test_no_waypoint_dangles(segments: dict[str, Segment]) -> None:
    graph = nx.compose_all(as_graph(segment) for segment in segments.values())
    waypoints = [node.name for segment in segments.values() for node in segment.nodes if node.at_sea]
    assert waypoints
    assert all(graph.degree(name) >= 2 for name in waypoints)


def test_an_operator_without_countries_has_no_segment() -> None:
    assert operator_segments({}) == {}
    assert operator_segments({"AQ": "pinguin"}) == {"pinguin": Segment("pinguin", (), ())}


def test_segments_survive_the_file(segments: dict[str, Segment], tmp_path: Path) -> None:
    for operator, segment in segments.items():
        path = tmp_path / f"{operator}.yaml"
        write_network_file(segment, path)
        assert read_network_file(path) == (segment.nodes, segment.links)


def test_an_operator_without_network_has_an_empty_file(tmp_path: Path) -> None:
    write_network_file(Segment("blueridge", (), ()), tmp_path / "blueridge.yaml")
    assert read_network_file(tmp_path / "blueridge.yaml") == ((), ())


@pytest.fixture(scope="module")
def joined(segments: dict[str, Segment]) -> nx.Graph:
    return nx.compose_all(as_graph(segment) for segment in segments.values())


@pytest.mark.parametrize(
    ("zone", "expected_us"),
    [
        ("oslo", 13_661),
        ("goteborg", 13_661),
        ("stockholm", 19_153),
        ("bergen", 21_464),
        ("stavanger", 17_946),
        ("malmo", 20_021),
        ("trondheim", 23_689),
    ],
)
def test_zones_within_law_and_budget(joined: nx.Graph, zone: str, expected_us: int) -> None:
    measured = worst_p95_us(lawful_part(joined, LAWFUL), zone)
    assert measured is not None
    assert abs(measured - expected_us) <= 10
    assert measured <= BUDGET_P95_US


def test_umea_is_reached_lawfully_but_too_slowly(joined: nx.Graph) -> None:
    lawful = lawful_part(joined, LAWFUL)
    assert nx.shortest_path(lawful, "goteborg", "umea", weight="length_m") == ["goteborg", "oslo", "trondheim", "umea"]
    best = min(p95_us(lawful, nx.shortest_path(lawful, user, "umea", weight="length_m")) for user in USERS)
    assert best > BUDGET_P95_US


def test_breivika_is_norwegian_but_only_reached_through_finland(joined: nx.Graph) -> None:
    whole = as_graph(load_topology())
    assert worst_p95_us(lawful_part(joined, LAWFUL), "breivika") is None
    assert worst_p95_us(lawful_part(whole, LAWFUL | {"RU"}), "breivika") is None
    path = nx.shortest_path(lawful_part(whole, LAWFUL | {"FI"}), "oslo", "breivika", weight="length_m")
    assert countries_passed(whole, path) == {"NO", "SE", "FI"}


@pytest.mark.parametrize("zone", ["hamburg", "berlin", "wiesbaden"])
def test_german_zones_are_reached_through_a_third_country_only(joined: nx.Graph, zone: str) -> None:
    whole = as_graph(load_topology())
    assert worst_p95_us(lawful_part(whole, LAWFUL | {"DE"}), zone) is None
    by_denmark = worst_p95_us(lawful_part(joined, LAWFUL | {"DE", "DK"}), zone)
    by_poland = worst_p95_us(lawful_part(whole, LAWFUL | {"DE", "PL"}), zone)
    assert by_denmark is not None and by_poland is not None
    assert BUDGET_P95_US < by_denmark < by_poland

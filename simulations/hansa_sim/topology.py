"""The demonstration's network: topohub's European backbone with countries, split among operators.

topohub (MIT) gives positions and distances of 852 nodes and 1,287 links; who governs the ground below them stands
in the two tables of ``data/``, whose origin and limits ``data/SOURCE.md`` tells. Lengths are those that topohub gives.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import networkx as nx
import topohub
import yaml
from hansa_control.domain.model import LatencyBasis, LinkKind, NetworkLink, NetworkNode
from hansa_control.domain.units import PERCENTILES, modelled_link_rtt

TOPOLOGY = "backbone/europe"
WAYPOINT = "Seacable Waypoint"
UNKNOWN = "unknown"

# A row of europe_nodes.csv without its topohub id.
NodeRow = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Segment:
    """What one operator owns of a network: its nodes and the links that it carries, sorted by name."""

    operator: str
    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]


@cache
def load_topology() -> Segment:
    """All of Europe, owned by nobody: ``operator`` and the links' ``carrier`` are empty.

    Raises KeyError when the tables do not cover a node of the installed topohub. A link that they do not cover has
    unknown countries.
    """
    graph = topohub.get(TOPOLOGY)
    rows, countries = _node_rows(), _link_countries()
    nodes = {int(node["id"]): _node(node, rows) for node in graph["nodes"]}
    links = [_link(edge, nodes, countries) for edge in graph["edges"]]
    return Segment(
        operator="",
        nodes=tuple(sorted(nodes.values(), key=lambda node: node.name)),
        links=tuple(sorted(links, key=lambda link: link.name)),
    )


def operator_segments(assign: Mapping[str, str]) -> dict[str, Segment]:
    """Splits the network among operators: ``assign`` maps a country, ISO 3166-1 alpha-2, to its operator.

    A link belongs to the operator of its alphabetically first end, which is also its carrier. A waypoint at sea goes
    with the nearest landing point along the cables. Left out are nodes of countries that nobody operates, links to
    them, and waypoints of cables that then lead nowhere.
    """
    whole = load_topology()
    owners = {node.name: assign[node.country] for node in whole.nodes if node.country and node.country in assign}
    owners |= _waypoint_owners(whole, owners)
    nodes = [node for node in whole.nodes if node.name in owners]
    links = [_carried(link, owners) for link in whole.links if owners.keys() >= {link.node_a, link.node_b}]
    return {
        operator: Segment(
            operator,
            tuple(node for node in nodes if owners[node.name] == operator),
            tuple(link for link in links if link.carrier == operator),
        )
        for operator in sorted(set(assign.values()))
    }


def write_network_file(segment: Segment, path: Path) -> None:
    """Writes a segment in the form that the control plane reads: YAML, lengths in km; round-trip times where they were
    measured, else by model.
    """
    document = {
        "latency_model": "calibrated",
        "nodes": [_node_entry(node) for node in segment.nodes],
        "links": [_link_entry(link) for link in segment.links],
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=160)
    path.write_text(text, encoding="utf-8")


def as_graph(segment: Segment) -> nx.Graph:
    """The segment as an undirected graph; edges carry ``length_m`` and the ``link``. Parallel links do not occur."""
    graph = nx.Graph()
    graph.add_nodes_from((node.name, {"node": node}) for node in segment.nodes)
    graph.add_edges_from(
        (link.node_a, link.node_b, {"length_m": link.length_m, "link": link}) for link in segment.links
    )
    return graph


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("hansa_sim").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _node_rows() -> dict[int, NodeRow]:
    return {int(row["id"]): (row["name"], row["title"], row["country"]) for row in _table("europe_nodes.csv")}


def _link_countries() -> dict[tuple[str, str], tuple[str, ...] | None]:
    return {
        (row["a"], row["b"]): None if row["countries"] == UNKNOWN else tuple(row["countries"].split())
        for row in _table("europe_links.csv")
    }


def _node(entry: Mapping[str, Any], rows: Mapping[int, NodeRow]) -> NetworkNode:
    number = int(entry["id"])
    at_sea = entry["type"] == WAYPOINT
    name, title, country = (f"sea-{number}", "", "") if at_sea else rows[number]
    longitude, latitude = entry["pos"]
    return NetworkNode(
        name=name,
        title=title,
        country=country or None,
        latitude_deg=float(latitude),
        longitude_deg=float(longitude),
        access_point=not at_sea,
        at_sea=at_sea,
    )


def _link(
    entry: Mapping[str, Any],
    nodes: Mapping[int, NetworkNode],
    countries: Mapping[tuple[str, str], tuple[str, ...] | None],
) -> NetworkLink:
    node_a, node_b = sorted(nodes[int(entry[end])].name for end in ("source", "target"))
    length_m = round(float(entry["dist"]) * 1000)
    return NetworkLink(
        name=f"{node_a}--{node_b}",
        node_a=node_a,
        node_b=node_b,
        length_m=length_m,
        rtt=modelled_link_rtt(length_m),
        countries=countries.get((node_a, node_b)),
        carrier="",
        kind=LinkKind.SEA_CABLE if entry["type"] == "seacable" else LinkKind.TERRESTRIAL,
    )


def _waypoint_owners(whole: Segment, owners: Mapping[str, str]) -> dict[str, str]:
    """The operator of every waypoint that lies between nodes of operators."""
    if not owners:
        return {}
    waypoints = {node.name for node in whole.nodes if node.at_sea}
    graph = as_graph(whole).subgraph(waypoints | owners.keys()).copy()
    while loose := [name for name in waypoints if name in graph and graph.degree(name) < 2]:
        graph.remove_nodes_from(loose)
    nearest = nx.multi_source_dijkstra_path(graph, set(owners), weight="length_m")
    return {name: owners[nearest[name][0]] for name in sorted(waypoints) if name in nearest}


def _carried(link: NetworkLink, owners: Mapping[str, str]) -> NetworkLink:
    first = next(end for end in (link.node_a, link.node_b) if end in owners)
    return replace(link, carrier=owners[first])


def _node_entry(node: NetworkNode) -> dict[str, object]:
    return {
        "name": node.name,
        "title": node.title,
        "country": node.country,
        "lat": node.latitude_deg,
        "lon": node.longitude_deg,
        "access_point": node.access_point,
        "at_sea": node.at_sea,
    }


def _link_entry(link: NetworkLink) -> dict[str, object]:
    return {
        "name": link.name,
        "a": link.node_a,
        "b": link.node_b,
        "length_km": link.length_m / 1000,
        "countries": UNKNOWN if link.countries is None else list(link.countries),
        "carrier": link.carrier,
        "kind": link.kind.value.lower(),
        **_measured(link),
    }


def _measured(link: NetworkLink) -> dict[str, object]:
    if link.rtt.basis is not LatencyBasis.MEASURED:
        return {}
    return {"rtt_ms": {f"p{percent}": link.rtt.at(percent) / 1000 for percent in PERCENTILES}}

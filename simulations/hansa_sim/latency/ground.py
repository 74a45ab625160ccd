"""The ground of a scenario: nodes, links and who has them, from topohub, a graph file or a table of round trips."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from math import ceil, isfinite, nan
from typing import Any

import networkx as nx
import topohub
from hansa_control.domain.model import LatencyBasis, LinkKind, NetworkLink, NetworkNode, RoundTrip
from hansa_control.domain.network import LENGTH_TOLERANCE
from hansa_control.domain.units import great_circle_km, modelled_link_rtt
from hansa_control.domain.world_record import WorldRecord

from hansa.bounded_file import open_table, read_bounded
from hansa.countries import COUNTRIES, country_hint
from hansa.names import hint
from hansa_sim.latency.scenario_file import Loaded
from hansa_sim.latency.scenario_schema import UNKNOWN, NetworkPart
from hansa_sim.topology import TOPOLOGY, load_topology, operator_segments

GRAPH_BYTES_MAX = 16 * 1024 * 1024
NODES_MAX, LINKS_MAX = 20_000, 100_000
"""Of a file's network: more than twenty times topohub's European backbone, the largest of the worked scenarios."""

CSV_KEYS = ("a", "b", "rtt_ms")


@dataclass(frozen=True, slots=True)
class Ground:
    """Nodes and links sorted by name. owners are operators, or carriers without a say, by node."""

    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]
    owners: Mapping[str, str]

    def points_in(self, countries: Collection[str], at_most: int) -> list[str]:
        """Access points of countries, in the order of names; evenly spaced ones where there are more than wanted."""
        points = [node.name for node in self.nodes if node.access_point and (node.country or "") in countries]
        count = min(len(points), at_most)
        return [points[n * len(points) // count] for n in range(count)]


def lay_ground(loaded: Loaded) -> Ground:
    """The nodes and links that a scenario names; ScenarioError where they cannot be had."""
    network = loaded.scenario.network
    if loaded.record is not None:
        return _from_record(loaded.record)
    if network.topohub == TOPOLOGY:
        ground = _europe(loaded)
    elif network.topohub is not None:
        ground = _owned(loaded, *_from_topohub(loaded, network.topohub))
    elif network.graph is not None:
        ground = _owned(loaded, *_from_graph(loaded, network.graph))
    else:
        ground = _owned(loaded, *_from_table(loaded, str(network.round_trips)))
    _check_names(loaded, ground)
    return ground


def _from_record(record: WorldRecord) -> Ground:
    """The network that an operator saw. It says who carries links and not who has nodes, so a node goes to the operator
    of a zone there, else to the carrier of its first link, else to whose world it is.
    """
    owners = {node.name: record.home for node in record.snapshot.nodes}
    for link in reversed(record.snapshot.links):
        owners |= {node: link.carrier for node in (link.node_a, link.node_b) if link.carrier and node in owners}
    owners |= {zone.inventory.node: zone.id.operator for zone in reversed(record.snapshot.zones)}
    return Ground(record.snapshot.nodes, record.snapshot.links, owners)


def _europe(loaded: Loaded) -> Ground:
    """The European backbone, whose countries are known, split among operators by country."""
    scenario = loaded.scenario
    assign = {country: operator.name for operator in scenario.operators for country in operator.countries}
    if scenario.network.other_carrier is not None:
        assign = {country: assign.get(country, scenario.network.other_carrier) for country in sorted(COUNTRIES)}
    segments = operator_segments(assign).values()
    owners = {node.name: segment.operator for segment in segments for node in segment.nodes}
    carried = {link.name: link for segment in segments for link in segment.links}
    nodes, links = load_topology().nodes, load_topology().links
    if (other := scenario.network.other_carrier) is not None:
        owners |= {node.name: other for node in nodes if node.name not in owners}
        carried |= {link.name: replace(link, carrier=other) for link in links if link.name not in carried}
    return Ground(
        tuple(node for node in nodes if node.name in owners),
        tuple(carried[link.name] for link in links if link.name in carried),
        owners,
    )


def _owned(loaded: Loaded, nodes: Iterable[NetworkNode], links: Iterable[NetworkLink]) -> Ground:
    """Nodes go to the operator that names them, else to that of their country, else to the other carrier; a link to
    the carrier that the source tells, else to the owner of its first end.
    """
    scenario = loaded.scenario
    by_country = {country: operator.name for operator in scenario.operators for country in operator.countries}
    by_name = {node: operator.name for operator in scenario.operators for node in operator.nodes}
    owners: dict[str, str] = {}
    for node in nodes:
        owner = by_name.get(node.name) or by_country.get(node.country or "") or scenario.network.other_carrier
        if owner is not None:
            owners[node.name] = owner
    kept = [link for link in links if link.node_a in owners and link.node_b in owners]
    carried = [replace(link, carrier=link.carrier or owners[min(link.node_a, link.node_b)]) for link in kept]
    return Ground(
        tuple(sorted((node for node in nodes if node.name in owners), key=lambda node: node.name)),
        tuple(sorted(carried, key=lambda link: link.name)),
        owners,
    )


def _from_topohub(loaded: Loaded, name: str) -> tuple[list[NetworkNode], list[NetworkLink]]:
    try:
        graph: Mapping[str, Any] = topohub.get(name)
    except (KeyError, OSError, ValueError) as error:
        raise loaded.problem("network.topohub", f"topohub has no topology {name!r}") from error
    names = _names({str(node["id"]): str(node.get("name") or node["id"]) for node in graph["nodes"]})
    countries = loaded.scenario.network.node_countries
    nodes = []
    for entry in graph["nodes"]:
        longitude, latitude = entry["pos"]
        node = names[str(entry["id"])]
        title = str(entry.get("name") or node)
        nodes.append(
            NetworkNode(node, title, countries.get(node), float(latitude), float(longitude), access_point=True)
        )
    links = [
        _laid(names[str(edge["source"])], names[str(edge["target"])], round(float(edge["dist"]) * 1_000))
        for edge in graph["edges"]
    ]
    return nodes, links


def _from_graph(loaded: Loaded, file: str) -> tuple[list[NetworkNode], list[NetworkLink]]:
    graph = _read_graph(loaded, file)
    names = _names({str(key): str(data.get("label") or key) for key, data in graph.nodes(data=True)})
    given = loaded.scenario.network
    nodes = [_graph_node(loaded, given, names[str(key)], data) for key, data in graph.nodes(data=True)]
    places = {node.name: node for node in nodes}
    links: dict[str, NetworkLink] = {}
    for one, other, data in graph.edges(data=True):
        node_a, node_b = sorted((places[names[str(one)]], places[names[str(other)]]), key=lambda node: node.name)
        if node_a is not node_b:
            link = _graph_link(loaded, (node_a, node_b), data)
            links.setdefault(link.name, link)
    return nodes, list(links.values())


def _read_graph(loaded: Loaded, file: str) -> nx.Graph:
    path = loaded.path.parent / file
    try:
        content = BytesIO(read_bounded(path, GRAPH_BYTES_MAX))
        graph = nx.read_gml(content) if path.suffix == ".gml" else nx.read_graphml(content)
    except (OSError, nx.NetworkXError, SyntaxError, KeyError, ValueError, RecursionError) as error:
        what = getattr(error, "strerror", None) or error
        raise loaded.problem("network.graph", f"{file}: {what}") from error
    counts = (("nodes", graph.number_of_nodes(), NODES_MAX), ("links", graph.number_of_edges(), LINKS_MAX))
    for kind, count, most in counts:
        if count > most:
            raise loaded.problem("network.graph", f"{file}: {count} {kind}; {most} are the most")
    return graph


def _graph_node(loaded: Loaded, network: NetworkPart, name: str, data: Mapping[str, Any]) -> NetworkNode:
    country = network.node_countries.get(name) or str(data.get("country", "")) or None
    if country is not None and country not in COUNTRIES:
        raise loaded.problem("network.graph", f"node {name}: {country!r} is not an ISO 3166-1 alpha-2 country code")
    latitude = _number(loaded, name, data, ("lat", "latitude", "Latitude"))
    longitude = _number(loaded, name, data, ("lon", "longitude", "Longitude"))
    return NetworkNode(name, str(data.get("label") or name), country, latitude, longitude, access_point=True)


def _graph_link(loaded: Loaded, ends: tuple[NetworkNode, NetworkNode], data: Mapping[str, Any]) -> NetworkLink:
    node_a, node_b = ends
    km = great_circle_km(node_a.latitude_deg, node_a.longitude_deg, node_b.latitude_deg, node_b.longitude_deg)
    where = f"{node_a.name}--{node_b.name}"
    if "length_km" in data:
        km = max(km * LENGTH_TOLERANCE, _number(loaded, where, data, ("length_km",)))
    crossed = _crossed(str(data.get("countries", UNKNOWN)))
    _check_countries(loaded, ("network.graph", where), crossed)
    link = _laid(node_a.name, node_b.name, ceil(km * 1_000), crossed)
    link = replace(link, carrier=str(data.get("carrier", "")))
    rtt_ms = _number(loaded, where, data, ("rtt_ms",))
    return replace(link, rtt=_measured(rtt_ms)) if rtt_ms else link


def _number(loaded: Loaded, where: str, data: Mapping[str, Any], keys: tuple[str, ...]) -> float:
    """The first of some attributes that is there; 0 where none is."""
    given = next((data[key] for key in keys if key in data), 0.0)
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = nan
    if not isfinite(number):
        raise loaded.problem("network.graph", f"{where}: {keys[0]} is {given!r}, which is no number")
    return number


def _from_table(loaded: Loaded, file: str) -> tuple[list[NetworkNode], list[NetworkLink]]:
    """Nodes and links of a table of round trips; of a pair that stands twice the first counts. Places are unknown."""
    try:
        # A name with a null in it is a ValueError, as bytes that are no text are.
        with open_table(loaded.path.parent / file) as lines:
            rows = list(islice(csv.DictReader(lines), LINKS_MAX + 1))
    except (OSError, ValueError, csv.Error) as error:
        what = getattr(error, "strerror", None) or error
        raise loaded.problem("network.round_trips", f"{file}: {what}") from error
    if len(rows) > LINKS_MAX:
        raise loaded.problem("network.round_trips", f"{file}: more than {LINKS_MAX} round trips")
    links: dict[str, NetworkLink] = {}
    for number, row in enumerate(rows, start=2):
        link = _table_link(loaded, f"{file}:{number}", row)
        links.setdefault(link.name, link)
    names = sorted({end for link in links.values() for end in (link.node_a, link.node_b)})
    countries = loaded.scenario.network.node_countries
    nodes = [NetworkNode(name, name, countries.get(name), 0.0, 0.0, access_point=True) for name in names]
    return nodes, list(links.values())


def _table_link(loaded: Loaded, where: str, row: Mapping[str, str]) -> NetworkLink:
    missing = [key for key in CSV_KEYS if not row.get(key)]
    if missing:
        raise loaded.problem("network.round_trips", f"{where}: column {missing[0]!r} is missing or empty")
    try:
        rtt_ms = float(row["rtt_ms"])
    except ValueError:
        rtt_ms = -1.0
    if not 0 < rtt_ms <= 10_000 or row["a"] == row["b"]:
        what = f"{row['a']} to {row['b']}, rtt_ms {row['rtt_ms']}"
        raise loaded.problem("network.round_trips", f"{where}: {what}: two nodes and 0 < rtt_ms <= 10000 are needed")
    crossed = _crossed(row.get("countries") or UNKNOWN)
    _check_countries(loaded, ("network.round_trips", where), crossed)
    link = _laid(row["a"], row["b"], 0, crossed)
    return replace(link, rtt=_measured(rtt_ms), carrier=row.get("carrier") or "")


def _crossed(text: str) -> tuple[str, ...] | None:
    """Countries crossed besides the ends'; ``-`` is none, ``unknown`` is None."""
    return None if text == UNKNOWN else tuple(sorted(set(text.split()) - {"-"}))


def _check_countries(loaded: Loaded, where: tuple[str, str], countries: Iterable[str] | None) -> None:
    """Words that are no countries would close a link to every transit rule, without a word."""
    key, place = where
    for country in countries or ():
        if country not in COUNTRIES:
            what = f"{country!r} is not an ISO 3166-1 alpha-2 country code{country_hint(country)}"
            raise loaded.problem(key, f"{place}: countries: {what}")


def _measured(rtt_ms: float) -> RoundTrip:
    us = ceil(rtt_ms * 1_000)
    return RoundTrip(us, us, us, LatencyBasis.MEASURED)


def _laid(one: str, other: str, length_m: int, countries: tuple[str, ...] | None = None) -> NetworkLink:
    node_a, node_b = sorted((one, other))
    rtt = modelled_link_rtt(length_m)
    return NetworkLink(
        f"{node_a}--{node_b}", node_a, node_b, length_m, rtt, countries, carrier="", kind=LinkKind.TERRESTRIAL
    )


def _names(titles: Mapping[str, str]) -> dict[str, str]:
    """Names by id: titles in lower case with hyphens; those that come twice get their id behind them."""
    slugs = {
        key: "-".join("".join(c if c.isalnum() else " " for c in title.casefold()).split())
        for key, title in titles.items()
    }
    taken = list(slugs.values())
    return {
        key: slug if slug and taken.count(slug) == 1 else f"{slug}-{key}".lstrip("-") for key, slug in slugs.items()
    }


def _check_names(loaded: Loaded, ground: Ground) -> None:
    """Every node that the scenario names is there; else the error has the nearest name."""
    names = {node.name for node in ground.nodes}
    for at, operator in enumerate(loaded.scenario.operators):
        for n, zone in enumerate(operator.zones):
            if zone.node not in names:
                key = f"operators[{at}].zones[{n}].node"
                raise loaded.problem(key, f"no node {zone.node!r} in the network{hint(zone.node, names)}")
    links = {link.name for link in ground.links}
    for name in loaded.scenario.network.loss_percent:
        if name not in links:
            raise loaded.problem("network.loss_percent", f"no link {name!r} in the network{hint(name, links)}")
    for at, user in enumerate(loaded.scenario.users):
        if user.access_point is not None and user.access_point not in names:
            key = f"users[{at}].access_point"
            raise loaded.problem(key, f"no node {user.access_point!r} in the network{hint(user.access_point, names)}")

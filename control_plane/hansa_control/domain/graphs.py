"""The network as a networkx graph, and back.

A network whose ways there and back are the same everywhere becomes a MultiGraph with round trips as weights. One with
a one-way link, or one that takes longer in one direction, becomes a MultiDiGraph with an edge for each direction that
carries traffic. Weights are what a link adds to a path, so that shortest paths there are those of routing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hansa_control.domain.arcs import added_to_path
from hansa_control.domain.model import LinkKind, NetworkLink, Zone
from hansa_control.domain.network import Network, attachment_of, build_network
from hansa_control.domain.units import PERCENTILES

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(network: Network, zones: Iterable[Zone] = ()) -> nx.MultiGraph:
    """The network, and the zones at their attachments, as a networkx multigraph; directed if it is not symmetric.

    Node attribute ``node`` (NetworkNode) or ``zone`` (Zone); edges are keyed by link name and have ``link``
    (NetworkLink) and as weights what the link adds to a path: ``p50_us``, ``p95_us``, ``p99_us`` there and back in a
    MultiGraph; ``p50_ns``, ``p95_ns``, ``p99_ns`` one way in a MultiDiGraph, where a thousandth of a microsecond
    is the exact share. A zone at an unknown node stays unconnected.
    """
    import networkx as nx  # here, as it takes a tenth of a second and serving needs no graph

    graph = nx.MultiGraph() if network.is_symmetric else nx.MultiDiGraph()
    for node in network.nodes:
        graph.add_node(node.name, node=node)
    attached = []
    for zone in zones:
        graph.add_node(str(zone.id), zone=zone)
        attached.append(attachment_of(zone))
    for link in (*network.links, *attached):
        if link.node_a not in graph:
            continue
        if network.is_symmetric:
            graph.add_edge(link.node_a, link.node_b, key=link.name, link=link, **_weights(link))
            continue
        for source, target, share_permille in _directions(link):
            weights = _one_way_weights(link, share_permille)
            graph.add_edge(source, target, key=link.name, link=link, **weights)
    return graph


def from_networkx(graph: nx.Graph, generation: int) -> Network:
    """The network in a graph as ``to_networkx`` writes it; zones and their attachments are left out.

    What a link is stands in its ``link``: weights are not read, and two edges of one link are one link.
    """
    nodes = [data["node"] for _, data in graph.nodes(data=True) if "node" in data]
    links = [data["link"] for *_, data in graph.edges(data=True)]
    names = {node.name for node in nodes}
    return build_network(generation, nodes, (x for x in links if x.node_a in names and x.node_b in names))


def _weights(link: NetworkLink) -> dict[str, int]:
    added = link.rtt if link.kind is LinkKind.ATTACHMENT else added_to_path(link.rtt)
    return {f"p{p}_us": added.at(p) for p in PERCENTILES}


def _one_way_weights(link: NetworkLink, share_permille: int) -> dict[str, int]:
    return {name.replace("_us", "_ns"): us * share_permille for name, us in _weights(link).items()}


def _directions(link: NetworkLink) -> Iterable[tuple[str, str, int]]:
    yield link.node_a, link.node_b, link.forward_permille
    if not link.one_way:
        yield link.node_b, link.node_a, 1_000 - link.forward_permille

"""Fastest lawful paths from access points to zones.

What the transit rule forbids is taken out of the graph *before* the search, so a path that breaks the rule is never
found, not even as a fallback. Searches run on arrays (scipy's Dijkstra) and are kept with the network they belong to:
one tree per transit rule, percentile and access point serves every zone.

A path's round-trip time at a percentile is the sum of its links' at that percentile. Delays of links are not perfectly
correlated, so the true 95th percentile of a sum lies below the sum of the 95th percentiles: the figure errs on the
safe side, and more so the more links there are.

Among equally fast paths the one with the fewest links wins, then the one whose nodes, read back from the zone, come
first by name, and between two nodes the link that comes first by name. Nothing depends on the order of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from hansa_control.domain.model import (
    AccessLatency,
    LatencyBasis,
    NetworkLink,
    Reason,
    RoundTrip,
    TransitRule,
    Zone,
)
from hansa_control.domain.residency import TransitFault, link_faults, node_fault
from hansa_control.domain.snapshot import Network, Snapshot, attachment_of
from hansa_control.domain.units import PERCENTILES


class Strictness(StrEnum):
    """Which paths a search may take under a transit rule."""

    LAWFUL = "LAWFUL"
    """Only what is known to be allowed. The one that placement uses."""
    NOT_DENIED = "NOT_DENIED"
    """The unknown too: tells whether a rejection rests on ignorance or on a denial."""
    ANY = "ANY"
    """Everything: finds the evidence of a rejection, never a placement."""


class RouteKey(NamedTuple):
    """What a search depends on besides the network."""

    rule: TransitRule | None
    percentile: int
    access_point: str
    strictness: Strictness = Strictness.LAWFUL


@dataclass(frozen=True, slots=True, eq=False)
class RouteTree:
    """Fastest paths from an access point to all nodes: the node before and the link to each; -1 where there is none."""

    network: Network
    source: int
    node_before: NDArray[np.int64]
    link_before: NDArray[np.int64]
    found: dict[str, Route | None]


class Route(NamedTuple):
    """A path through the network, access point first, as indexes of nodes and links, with what it adds up to."""

    nodes: tuple[int, ...]
    links: tuple[int, ...]
    rtt_us: int
    names: tuple[str, ...]
    countries: tuple[str, ...]
    bases: tuple[str, ...]


class _Edges(NamedTuple):
    """Both directions of every link for one percentile, sorted by source, target, cost and link."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    link: NDArray[np.int64]
    cost: NDArray[np.float64]


def find_latency(network: Network, key: RouteKey, zone: Zone) -> AccessLatency | None:
    """The fastest allowed path to a zone and its round-trip time, attachment included; None if there is none."""
    route = find_route(network, key, zone.inventory.node)
    if route is None:
        return None
    attachment = attachment_of(zone)
    if key.strictness is Strictness.LAWFUL and key.rule is not None and link_faults(key.rule, attachment):
        return None
    bases = tuple(sorted({*route.bases, attachment.rtt.basis.value.lower()}))
    rtt_us = route.rtt_us + attachment.rtt.at(key.percentile)
    return AccessLatency(key.access_point, rtt_us, route.names, route.countries, bases)


def node_rtts(network: Network, keys: Sequence[RouteKey]) -> list[NDArray[np.int64]]:
    """Round trips from each key's access point to every node, microseconds; -1 where no allowed path leads."""
    return [_node_rtts(network, key) for key in keys]


def _node_rtts(network: Network, key: RouteKey) -> NDArray[np.int64]:
    known: NDArray[np.int64] | None = network.routes.get(("rtts", key))
    if known is None:
        known = _search_rtts(network, key)
        network.routes.keep(("rtts", key), known, weight=len(known))
    return known


def _search_rtts(network: Network, key: RouteKey) -> NDArray[np.int64]:
    source = network.node_index.get(key.access_point)
    node_ok, link_ok = _allowed(network, key)
    if source is None or not node_ok[source]:
        return np.full(len(network.nodes), -1, dtype=np.int64)
    edges = _usable(_edges(network, PERCENTILES.index(key.percentile)), node_ok, link_ok)
    cost = _costs_from(source, edges, len(network.nodes))
    scale = float(1 << len(network.nodes).bit_length())
    return np.floor(np.where(np.isfinite(cost), cost / scale, -1.0)).astype(np.int64)


def find_route(network: Network, key: RouteKey, node: str) -> Route | None:
    """The fastest allowed path from the key's access point to a node; None if there is none or either is unknown."""
    tree = _tree(network, key)
    if tree is None:
        return None
    if node not in tree.found:
        tree.found[node] = _route(tree, node, PERCENTILES.index(key.percentile))
    return tree.found[node]


def explain_no_route(network: Network, key: RouteKey, zone: Zone) -> tuple[Reason, tuple[TransitFault, ...]]:
    """Why no lawful path leads to a zone: the reason, and what is wrong along the fastest path that is there.

    UNREACHABLE without faults if there is no path at all; TRANSIT_UNKNOWN if a path is merely unknown somewhere, with
    what is unknown along the fastest such path; TRANSIT_DENIED otherwise, with all faults of the fastest path.
    """
    rule = key.rule
    fastest = find_route(network, key._replace(strictness=Strictness.ANY), zone.inventory.node)
    if fastest is None or rule is None:
        return Reason.UNREACHABLE, ()
    at_zone = link_faults(rule, attachment_of(zone))
    undenied = find_route(network, key._replace(strictness=Strictness.NOT_DENIED), zone.inventory.node)
    if undenied is not None and not any(fault.reason is Reason.TRANSIT_DENIED for fault in at_zone):
        return Reason.TRANSIT_UNKNOWN, (*route_faults(network, rule, undenied), *at_zone)
    return Reason.TRANSIT_DENIED, (*route_faults(network, rule, fastest), *at_zone)


def route_faults(network: Network, rule: TransitRule, route: Route) -> tuple[TransitFault, ...]:
    """Everything along a path that the rule forbids, in the order of travel."""
    faults: list[TransitFault] = []
    for step, node in enumerate(route.nodes):
        if step:
            faults.extend(link_faults(rule, network.links[route.links[step - 1]]))
        at_node = node_fault(rule, network.nodes[node])
        if at_node is not None:
            link = network.links[route.links[step - 1]] if step else None
            faults.append(_entered_by(at_node, link))
    return tuple(faults)


def fastest_between(snapshot: Snapshot, source: Zone, target: Zone) -> RoundTrip | None:
    """What the network says for two zones, attachment once, on the path that is fastest at the median; None if cut off.

    For showing a measurement beside the model. No rule applies: it describes the network, it places nothing.
    """
    key = RouteKey(None, 50, source.inventory.node, Strictness.ANY)
    route = find_route(snapshot.network, key, target.inventory.node)
    if route is None:
        return None
    attached = attachment_of(target).rtt
    totals = [attached.at(p) for p in PERCENTILES]
    for column in range(len(PERCENTILES)):
        totals[column] += int(snapshot.network.rtt_us[list(route.links), column].sum())
    basis = LatencyBasis.PHYSICAL if route.bases == ("physical",) else LatencyBasis.MODELLED
    return RoundTrip(totals[0], totals[1], totals[2], basis, observed_at_ms=snapshot.taken_at_ms)


def _entered_by(fault: TransitFault, link: NetworkLink | None) -> TransitFault:
    """A node's fault with the link by which the path enters it, as that is what an operator can change."""
    return fault if link is None else fault._replace(place=f"link {link.name}, carrier {link.carrier or 'unknown'}")


def _tree(network: Network, key: RouteKey) -> RouteTree | None:
    known: RouteTree | None = network.routes.get(key)
    if known is not None:
        return known
    source = network.node_index.get(key.access_point)
    if source is None:
        return None
    tree = _search(network, key, source)
    network.routes.keep(key, tree, weight=len(network.nodes) + 100)
    return tree


def _search(network: Network, key: RouteKey, source: int) -> RouteTree:
    """One Dijkstra from ``source``, and from its distances the predecessor of each node that the rule on ties picks."""
    nodes = len(network.nodes)
    before, by_link = np.full(nodes, -1), np.full(nodes, -1)
    node_ok, link_ok = _allowed(network, key)
    if node_ok[source]:
        edges = _usable(_edges(network, PERCENTILES.index(key.percentile)), node_ok, link_ok)
        cost = _costs_from(source, edges, nodes)
        tight = np.flatnonzero(cost[edges.source] + edges.cost == cost[edges.target])
        tight = tight[np.isfinite(cost[edges.target[tight]])]
        # Edges are sorted by source first, so the first tight edge of a target comes from the first node by name.
        targets, first = np.unique(edges.target[tight], return_index=True)
        before[targets] = edges.source[tight[first]]
        by_link[targets] = edges.link[tight[first]]
    return RouteTree(network, source if node_ok[source] else -1, before, by_link, {})


def _costs_from(source: int, edges: _Edges, nodes: int) -> NDArray[np.float64]:
    """Least cost from ``source`` to every node, infinite where unreachable."""
    starts = np.zeros(nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(edges.source, minlength=nodes), out=starts[1:])
    graph = csr_array((edges.cost, edges.target, starts), shape=(nodes, nodes))
    costs: NDArray[np.float64] = dijkstra(graph, directed=True, indices=source)
    return costs


def _edges(network: Network, column: int) -> _Edges:
    """All links both ways. The cost is ``rtt x scale + 1`` with a scale above the number of nodes: the sum's whole part
    orders by time, its rest counts links, and no cost is zero. Exact in a double up to 2^53 / scale microseconds
    (152 hours at 10,000 nodes).
    """
    known: _Edges | None = network.routes.get(column)
    if known is not None:
        return known
    scale = float(1 << len(network.nodes).bit_length())
    one_way = network.rtt_us[:, column].astype(np.float64) * scale + 1.0
    source, target = np.concatenate([network.ends, network.ends[:, ::-1]]).T
    link = np.tile(np.arange(len(network.links)), 2)
    cost = np.tile(one_way, 2)
    order = np.lexsort((link, cost, target, source))
    edges = _Edges(source[order], target[order], link[order], cost[order])
    network.routes.keep(column, edges, weight=len(link))
    return edges


def _usable(edges: _Edges, node_ok: NDArray[np.bool_], link_ok: NDArray[np.bool_]) -> _Edges:
    """The edges that may be taken, of parallel ones the cheapest (they are sorted so that it comes first)."""
    keep = link_ok[edges.link] & node_ok[edges.source] & node_ok[edges.target]
    source, target = edges.source[keep], edges.target[keep]
    fresh = np.ones(len(source), dtype=np.bool_)
    fresh[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    return _Edges(source[fresh], target[fresh], edges.link[keep][fresh], edges.cost[keep][fresh])


def _allowed(network: Network, key: RouteKey) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which nodes and which links may be crossed."""
    rule = key.rule
    if rule is None or key.strictness is Strictness.ANY:
        return np.ones(len(network.nodes), dtype=np.bool_), np.ones(len(network.links), dtype=np.bool_)
    kept = (rule, key.strictness)
    known: Any = network.routes.get(kept)
    if known is None:
        known = _allowed_under(network, rule, key.strictness)
        network.routes.keep(kept, known, weight=len(network.nodes) + len(network.links))
    node_ok, link_ok = known
    return node_ok, link_ok


def _allowed_under(
    network: Network, rule: TransitRule, strictness: Strictness
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    forbidding = {Reason.TRANSIT_DENIED}
    if strictness is Strictness.LAWFUL:
        forbidding.add(Reason.TRANSIT_UNKNOWN)
    at_nodes = {(node.country, node.at_sea): node for node in network.nodes}
    at_links = {_kind_of(link): link for link in network.links}
    # Few countries and carriers serve many nodes and links: each combination is judged once.
    node_ok = {key: _is_allowed((node_fault(rule, node),), forbidding) for key, node in at_nodes.items()}
    link_ok = {key: _is_allowed(link_faults(rule, link), forbidding) for key, link in at_links.items()}
    return (
        np.array([node_ok[node.country, node.at_sea] for node in network.nodes], dtype=np.bool_),
        np.array([link_ok[_kind_of(link)] for link in network.links], dtype=np.bool_),
    )


def _kind_of(link: NetworkLink) -> tuple[object, ...]:
    """What ``link_faults`` judges a link by."""
    return link.countries, link.carrier, link.encryption, link.kind


def _is_allowed(faults: tuple[TransitFault | None, ...], forbidding: set[Reason]) -> bool:
    return all(fault is None or fault.reason not in forbidding for fault in faults)


def _route(tree: RouteTree, node: str, column: int) -> Route | None:
    """The path in the tree to a node, and its sum in whole microseconds."""
    network = tree.network
    at = network.node_index.get(node)
    if at is None or tree.source < 0 or (at != tree.source and tree.node_before[at] < 0):
        return None
    nodes, links = [at], []
    while at != tree.source:
        links.append(int(tree.link_before[at]))
        at = int(tree.node_before[at])
        nodes.append(at)
    nodes.reverse()
    links.reverse()
    crossed = [network.links[x] for x in links]
    countries = {network.nodes[x].country for x in nodes}.union(*(link.countries or () for link in crossed))
    return Route(
        nodes=tuple(nodes),
        links=tuple(links),
        rtt_us=sum(link.rtt.at(PERCENTILES[column]) for link in crossed),
        names=tuple(network.nodes[x].name for x in nodes),
        countries=tuple(sorted(c for c in countries if c is not None)),
        bases=tuple(sorted({link.rtt.basis.value.lower() for link in crossed})),
    )

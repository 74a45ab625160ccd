"""Fastest lawful paths from access points to zones, there and back.

What the transit rule forbids is taken out of the graph *before* the search, so a path that breaks the rule is never
found, not even as a fallback. Searches run on arrays (scipy's Dijkstra), are kept with the network they belong to, and
are mended when links change (``route_tree``): one per transit rule, percentile and access point serves every zone.

A path's round-trip time at a percentile is the sum of what its links add (``arcs.added_to_path``) and the attachment's
own percentile. The sum of 95th (99th) percentiles is exact where delays rise and fall together and errs on the safe
side where they are independent; the sum of medians does not where delays are skewed, so links add more than their
median to a path's. That holds for the families of delays in docs/latency.md, and not for rare large spikes: what is
slower than a link's percentile less often than that percentile can tell is not in the figure.

Where the two directions of a link differ, or one is missing, the way there and the way back are searched apart: each
is the fastest lawful way of its own, and the round trip is the sum of the two, rounded up.

Bandwidth is no law: a link that is known to carry too little is taken out, one whose bandwidth nobody has stated
(0 kbit/s) bounds nothing, and ``bandwidth_along`` names it, so that a decision can tell.

Among equally fast paths the one with the fewest links wins, then the one whose nodes, read back from the zone, come
first by name, and between two nodes the link that comes first by name. Nothing depends on the order of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.model import (
    AccessLatency,
    LatencyBasis,
    RoundTrip,
    TransitRule,
    Zone,
)
from hansa_control.domain.residency import link_faults
from hansa_control.domain.route_graph import GraphKey, Strictness, graph_key, graph_of, scale_of
from hansa_control.domain.route_tree import Tree, TreeKey, touched_since, trees_of, walk_back
from hansa_control.domain.snapshot import Network, Snapshot, attachment_of
from hansa_control.domain.units import PERCENTILES

__all__ = [
    "NO_PATH_US",
    "Paths",
    "Route",
    "RouteCosts",
    "RouteKey",
    "Strictness",
    "costs",
    "costs_for",
    "fastest_between",
    "find_latency",
    "find_route",
    "latency_along",
    "paths_of",
    "round_trips_us",
]

NO_PATH_US = 1 << 53
"""In ``RouteCosts.rtt_us``, that there is no path: above every budget, so that a comparison refuses by itself."""


class RouteKey(NamedTuple):
    """What a search depends on besides the network. kbps_min 0 asks for no bandwidth."""

    rule: TransitRule | None
    percentile: int
    access_point: str
    strictness: Strictness = Strictness.LAWFUL
    kbps_min: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class RouteCosts:
    """rtt_us is (nodes), int64: the round trip from an access point to each node of the network and back at the key's
    percentile, attachments apart, microseconds; ``NO_PATH_US`` where no allowed path leads there and back.
    """

    rtt_us: NDArray[np.int64]


class Route(NamedTuple):
    """A path through the network, access point first, as indexes of nodes and links, with what it adds up to.

    The way back has the zone's node first and is empty where it is the way there; countries and bases cover both.
    """

    nodes: tuple[int, ...]
    links: tuple[int, ...]
    rtt_us: int
    names: tuple[str, ...]
    countries: tuple[str, ...]
    bases: tuple[str, ...]
    back_nodes: tuple[int, ...] = ()
    back_links: tuple[int, ...] = ()
    back_names: tuple[str, ...] = ()


class _Found(NamedTuple):
    """The costs of a key with the trees that they were made of, and the paths that somebody asked for."""

    there: Tree
    back: Tree
    costs: RouteCosts
    routes: dict[int, Route]
    epoch: int


def costs(network: Network, key: RouteKey) -> RouteCosts:
    """The round trip from the key's access point to every node; kept with the network."""
    return costs_for(network, (key,))[0]


def costs_for(network: Network, keys: Sequence[RouteKey]) -> list[RouteCosts]:
    """``costs`` of many keys, in their order; those that differ in the access point only are searched at once."""
    return [found.costs if found else _no_costs(network) for found in _found_for(network, keys)]


def find_latency(network: Network, key: RouteKey, zone: Zone) -> AccessLatency | None:
    """The fastest allowed path to a zone and its round-trip time, attachment included; None if there is none."""
    route = find_route(network, key, zone.inventory.node)
    return None if route is None else latency_along(route, key, zone)


def latency_along(route: Route, key: RouteKey, zone: Zone) -> AccessLatency | None:
    """The path to a zone over a route to its node; None if the rule forbids the zone's attachment."""
    attachment = attachment_of(zone)
    if key.strictness is Strictness.LAWFUL and key.rule is not None and link_faults(key.rule, attachment):
        return None
    bases = tuple(sorted({*route.bases, attachment.rtt.basis.value.lower()}))
    rtt_us = route.rtt_us + attachment.rtt.at(key.percentile)
    return AccessLatency(key.access_point, rtt_us, route.names, route.countries, bases, route.back_names)


def find_route(network: Network, key: RouteKey, node: str) -> Route | None:
    """The fastest allowed path from the key's access point to a node; None if there is none or either is unknown."""
    return paths_of(network, key).to(network, node)


def paths_of(network: Network, key: RouteKey) -> Paths:
    """The fastest allowed paths from the key's access point, for whoever asks for many of them."""
    return Paths(key, _found_for(network, (key,))[0])


class Paths:
    """The fastest allowed paths of one key in one network, each read back when it is first asked for.

    It is kept with the network and so does not hold it.
    """

    __slots__ = ("_found", "_key")

    def __init__(self, key: RouteKey, found: _Found | None) -> None:
        self._key, self._found = key, found

    def to(self, network: Network, node: str) -> Route | None:
        """The path to a node of that network; None if there is none or the node or the access point is unknown."""
        found, at = self._found, network.node_index.get(node)
        if found is None or at is None:
            return None
        route = found.routes.get(at)
        if route is None and found.costs.rtt_us[at] != NO_PATH_US:
            route = found.routes[at] = _route(network, _graph_key(network, self._key), found, at)
        return route


def fastest_between(snapshot: Snapshot, source: Zone, target: Zone) -> RoundTrip | None:
    """What the network says for two zones, attachment once, on the path that is fastest at the median; None if cut off.

    For showing a measurement beside the model. No rule applies: it describes the network, it places nothing.
    """
    key = RouteKey(None, 50, source.inventory.node, Strictness.ANY)
    route = find_route(snapshot.network, key, target.inventory.node)
    if route is None:
        return None
    attached = attachment_of(target).rtt
    along = zip(PERCENTILES, round_trips_us(snapshot.network, route), strict=True)
    totals = [attached.at(p) + time_us for p, time_us in along]
    basis = LatencyBasis.PHYSICAL if route.bases == ("physical",) else LatencyBasis.MODELLED
    return RoundTrip(totals[0], totals[1], totals[2], basis, observed_at_ms=snapshot.taken_at_ms)


def _graph_key(network: Network, key: RouteKey) -> GraphKey:
    return graph_key(network, key.rule, key.strictness, key.percentile, key.kbps_min)


def _found_for(network: Network, keys: Sequence[RouteKey]) -> list[_Found | None]:
    """Of each key its costs; None where the access point is unknown."""
    known: dict[RouteKey, _Found | None] = {key: network.routes.get(key) for key in keys}
    missing = [key for key, found in known.items() if found is None and key.access_point in network.node_index]
    if missing:
        wanted = {key: _tree_keys(network, key) for key in missing}
        trees = trees_of(network, [tree for pair in wanted.values() for tree in pair])
        for key, (there, back) in wanted.items():
            known[key] = _found(network, there, trees[there], trees[back])
            network.routes.keep(key, known[key], weight=len(network.nodes) + 100)
    return [known[key] for key in keys]


def _tree_keys(network: Network, key: RouteKey) -> tuple[TreeKey, TreeKey]:
    """The searches for the way there and the way back; one for both in a symmetric network."""
    graph, source = _graph_key(network, key), network.node_index[key.access_point]
    return TreeKey(graph, source, is_turned=False), TreeKey(graph, source, is_turned=not network.is_symmetric)


def _found(network: Network, key: TreeKey, there: Tree, back: Tree) -> _Found:
    """What follows from two trees; the costs are kept while those of the trees stay the same arrays."""
    kept, epoch = ("found", key), network.lineage.epoch
    former: _Found | None = network.searches.get(kept)
    routes = {} if former is None else _untouched(network, former, there, back)
    if former is not None and former.there.cost is there.cost and former.back.cost is back.cost:
        found = _Found(there, back, former.costs, routes, epoch)
    else:
        found = _Found(there, back, _route_costs(network, there, back), routes, epoch)
    network.searches.keep(kept, found, weight=len(network.nodes) + 100)
    return found


def _untouched(network: Network, former: _Found, there: Tree, back: Tree) -> dict[int, Route]:
    """Paths that stay as they were found: at none of their nodes has a link, a cost, or a neighbour's cost changed."""
    touched = touched_since(network, former.epoch)
    on_the_way, returning = there.disturbed_since(former.there), back.disturbed_since(former.back)
    if touched is None or on_the_way is None or returning is None:
        return {}
    changed = touched.ends | touched.nodes | on_the_way | returning
    return {
        node: route
        for node, route in former.routes.items()
        if changed.isdisjoint(route.nodes) and changed.isdisjoint(route.back_nodes)
    }


def _no_costs(network: Network) -> RouteCosts:
    return RouteCosts(np.full(len(network.nodes), NO_PATH_US, dtype=np.int64))


def _route_costs(network: Network, there: Tree, back: Tree) -> RouteCosts:
    """Costs as microseconds there and back, rounded up; exact, see ``route_graph`` on costs."""
    per_unit = 1.0 / scale_of(network)
    time = np.floor(there.cost * per_unit)
    if there is not back:
        time = np.ceil((time + np.floor(back.cost * per_unit)) / 1_000.0)
    rtt_us = np.minimum(time, float(NO_PATH_US)).astype(np.int64)
    rtt_us.setflags(write=False)
    return RouteCosts(rtt_us)


def _route(network: Network, key: GraphKey, found: _Found, node: int) -> Route:
    """The path to a node and back, and its sum in whole microseconds."""
    graph = graph_of(network, key)
    nodes, links = walk_back(network, graph, found.there, node, is_turned=False)
    nodes.reverse()
    links.reverse()
    back_nodes: list[int] = []
    back_links: list[int] = []
    if found.back is not found.there:
        back_nodes, back_links = walk_back(network, graph, found.back, node, is_turned=True)
        if back_links == links[::-1]:
            back_nodes, back_links = [], []
    crossed = [network.links[at] for at in dict.fromkeys((*links, *back_links))]
    visited = dict.fromkeys((*nodes, *back_nodes))
    countries = {network.nodes[at].country for at in visited}.union(*(link.countries or () for link in crossed))
    return Route(
        nodes=tuple(nodes),
        links=tuple(links),
        rtt_us=int(found.costs.rtt_us[node]),
        names=tuple(network.nodes[at].name for at in nodes),
        countries=tuple(sorted(country for country in countries if country is not None)),
        bases=tuple(sorted({link.rtt.basis.value.lower() for link in crossed})),
        back_nodes=tuple(back_nodes),
        back_links=tuple(back_links),
        back_names=tuple(network.nodes[at].name for at in back_nodes),
    )


def round_trips_us(network: Network, route: Route) -> tuple[int, ...]:
    """The sums of what a path's links add at every percentile, there and back, rounded up."""
    path_us = network.columns.path_us
    if not route.back_links:  # the shares of both ways come to the whole
        return tuple(path_us.take(route.links, axis=1).sum(axis=1).tolist())
    ways = ((route.links, route.nodes), (route.back_links, route.back_nodes))
    time_ns = sum(path_us.take(links, axis=1) @ _shares(network, links, nodes) for links, nodes in ways)
    return tuple((-(-np.asarray(time_ns) // 1_000)).tolist())


def _shares(network: Network, links: Sequence[int], nodes: Sequence[int]) -> NDArray[np.int64]:
    """Of the round trip of each link of a way, the share of the direction in which it is taken, thousandths."""
    share = network.columns.share_permille.take(links).astype(np.int64)
    return np.where(network.arcs.ends[list(links), 0] == np.array(nodes[:-1]), share, 1_000 - share)

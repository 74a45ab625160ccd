"""Least costs from a node to all others, on what a rule leaves of the network: searched, kept, and mended.

A tree stays with the network and goes over to the networks made from it. When it is next asked for after links have
changed, its costs are repaired from the changed arcs outwards; where much is affected a whole search is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from hansa_control.domain.lineage import Touched
from hansa_control.domain.network import Network
from hansa_control.domain.repair import Repair
from hansa_control.domain.route_graph import COST_MAX, Graph, GraphKey, graph_of

REPAIR_STEPS_PERCENT = 4
"""A repair that takes more steps than this share of the nodes is given up for a whole search.

Measured at 10,000 nodes: 400 steps take about as long as the search, so giving up costs at most twice the better way.
"""


class TreeKey(NamedTuple):
    """Costs from a node on a graph; turned round, costs to that node."""

    graph: GraphKey
    source: int
    is_turned: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Least cost from the source to each node, infinite where there is no path. hops holds, by node, the arc that
    leads back from it, as far as somebody asked.
    """

    epoch: int
    source: int
    cost: NDArray[np.float64]
    hops: dict[int, int] = field(default_factory=dict, repr=False)


def trees_of(network: Network, keys: Sequence[TreeKey]) -> Mapping[TreeKey, Tree]:
    """Least costs for many keys: those known are mended, the others searched, one search for all of a graph."""
    trees: dict[TreeKey, Tree] = {}
    missing: dict[tuple[GraphKey, bool], list[int]] = {}
    for key in dict.fromkeys(keys):
        tree = _current(network, key)
        if tree is None:
            missing.setdefault((key.graph, key.is_turned), []).append(key.source)
        else:
            trees[key] = tree
    for (graph, is_turned), sources in missing.items():
        for tree in _search(network, graph_of(network, graph), sources, is_turned=is_turned):
            key = TreeKey(graph, tree.source, is_turned)
            network.searches.keep(key, tree, weight=len(network.nodes) + 100)
            trees[key] = tree
    return trees


def arc_before(network: Network, graph: Graph, tree: Tree, node: int, *, is_turned: bool) -> int:
    """The arc that leads from a node back towards the source, which has the neighbour first by name, then the link.

    Call it only for a node that has a path and is not the source.
    """
    known = tree.hops.get(node)
    if known is not None:
        return known
    into, target = graph.ways(is_turned=is_turned)[1], network.arcs.target
    cost = tree.cost[node]
    for arc in network.arcs.leaving(node):
        if tree.cost[target[arc]] + into[arc] == cost:
            tree.hops[node] = arc
            return arc
    raise AssertionError(f"node {node} has no path to it, or is the source")


def _search(network: Network, graph: Graph, sources: Sequence[int], *, is_turned: bool) -> list[Tree]:
    """One Dijkstra for all sources."""
    epoch = network.lineage.epoch
    entered = [at for at in sources if graph.node_ok[at]]
    trees = {at: Tree(epoch, at, np.full(len(network.nodes), inf)) for at in sources if not graph.node_ok[at]}
    if entered:
        built = graph.built.get(is_turned)
        if built is None:
            size, arcs = len(network.nodes), network.arcs
            built = csr_array((graph.ways(is_turned=is_turned)[0], arcs.target, arcs.start), shape=(size, size))
            graph.built[is_turned] = built
        costs: NDArray[np.float64] = dijkstra(built, directed=True, indices=entered, limit=COST_MAX)
        trees |= {at: Tree(epoch, at, cost) for at, cost in zip(entered, costs, strict=True)}
    return [trees[at] for at in sources]


def _current(network: Network, key: TreeKey) -> Tree | None:
    """What is known for a key, mended if links have changed since; None if it has to be searched."""
    known: Tree | None = network.searches.get(key)
    if known is None or known.epoch == network.lineage.epoch:
        return known
    touched = network.lineage.since(known.epoch)
    if touched is None or key.source in touched.nodes:
        return None
    graph = graph_of(network, key.graph)
    mended = _mended(network, graph, known, touched, is_turned=key.is_turned)
    if mended is not None:
        network.searches.keep(key, mended, weight=len(network.nodes) + 100)
    return mended


def _mended(network: Network, graph: Graph, tree: Tree, touched: Touched, *, is_turned: bool) -> Tree | None:
    """The tree after links have changed; None if a search is faster."""
    epoch = network.lineage.epoch
    if not graph.node_ok[tree.source]:
        return Tree(epoch, tree.source, tree.cost)
    heads = network.arcs.ends[list(touched.links)].ravel().tolist()
    repair = Repair(network, graph.ways(is_turned=is_turned), tree.source, tree.cost)
    steps_max = max(16, len(network.nodes) * REPAIR_STEPS_PERCENT // 100)
    if not repair.run(set(heads), steps_max):
        return None
    return Tree(epoch, tree.source, repair.cost)

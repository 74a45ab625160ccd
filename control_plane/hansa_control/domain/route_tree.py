"""Least costs from a node to all others, on what a rule leaves of the network: searched, kept, and mended.

A tree stays with the network and goes over to the networks made from it. When it is next asked for after links have
changed, its costs are repaired from the changed arcs outwards; where much is affected a whole search is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded when they are first used: a start does without
from numpy.typing import NDArray

from hansa_control.domain.network import Network
from hansa_control.domain.repair import Repair, arc_lists, items_of
from hansa_control.domain.route_graph import COST_MAX, Graph, GraphKey, graph_of

REPAIR_STEPS_PERCENT = 4
"""A repair that takes more steps than this share of the nodes is given up for a whole search.

Measured at 10,000 nodes: 400 steps take about as long as the search, so giving up costs at most twice the better way.
"""


DISTURBED_STEPS_MAX = 64
"""A repair of more steps than this leaves so little as it was that finding out what costs more than it saves."""


class Disturbance(NamedTuple):
    """Nodes at which something has changed: the ends of changed links, and changed nodes, which are among them where
    they have links.
    """

    ends: frozenset[int]
    nodes: frozenset[int]


class TreeKey(NamedTuple):
    """Costs from a node on a graph; turned round, costs to that node."""

    graph: GraphKey
    source: int
    is_turned: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Least cost from the source to each node, infinite where there is no path. hops holds, by node, the arc that
    leads back from it, as far as somebody asked.

    mark is the same exactly while the costs are. Of a tree that was mended, mended_from is the mark of the one before,
    and disturbed the nodes from which another way may lead back; None where that are too many to tell.
    """

    epoch: int
    source: int
    cost: NDArray[np.float64]
    hops: dict[int, int] = field(default_factory=dict, repr=False)
    mark: object = field(default_factory=object, repr=False)
    mended_from: object = field(default=None, repr=False)
    disturbed: Set[int] | None = None

    def disturbed_since(self, former: Tree) -> Set[int] | None:
        """The nodes from which, besides the ends of changed links, another way may lead back than before."""
        if self.mark is former.mark:
            return frozenset()
        return self.disturbed if self.mended_from is former.mark else None


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


def walk_back(network: Network, graph: Graph, tree: Tree, node: int, *, is_turned: bool) -> tuple[list[int], list[int]]:
    """Nodes and links from a node that has a path back to the source.

    Each arc is the one that has the neighbour first by name, then the link.
    """
    into, cost, hops = items_of(graph.ways(is_turned=is_turned)[1]), items_of(tree.cost), tree.hops
    arcs_of, target = arc_lists(network)
    nodes, arcs = [node], []
    while node != tree.source:
        arc = hops.get(node)
        if arc is None:
            here = cost[node]
            arc = hops[node] = next(arc for arc in arcs_of[node] if cost[target[arc]] + into[arc] == here)
        arcs.append(arc)
        node = target[arc]
        nodes.append(node)
    return nodes, network.arcs.link[arcs].tolist() if arcs else []


def _search(network: Network, graph: Graph, sources: Sequence[int], *, is_turned: bool) -> list[Tree]:
    """One Dijkstra for all sources."""
    epoch = network.lineage.epoch
    entered = [at for at in sources if graph.node_ok[at]]
    trees = {at: Tree(epoch, at, np.full(len(network.nodes), inf)) for at in sources if not graph.node_ok[at]}
    if entered:
        built = graph.built.get(is_turned)
        if built is None:
            shape, arcs = (len(network.nodes),) * 2, network.arcs
            built = scipy.sparse.csr_array((graph.ways(is_turned=is_turned)[0], arcs.target, arcs.start), shape=shape)
            graph.built[is_turned] = built
        costs: NDArray[np.float64] = scipy.sparse.csgraph.dijkstra(
            built, directed=True, indices=entered, limit=COST_MAX
        )
        trees |= {at: Tree(epoch, at, cost) for at, cost in zip(entered, costs, strict=True)}
    return [trees[at] for at in sources]


def _current(network: Network, key: TreeKey) -> Tree | None:
    """What is known for a key, mended if links have changed since; None if it has to be searched."""
    known: Tree | None = network.searches.get(key)
    if known is None or known.epoch == network.lineage.epoch:
        return known
    touched = touched_since(network, known.epoch)
    if touched is None or key.source in touched.nodes:
        return None
    graph = graph_of(network, key.graph)
    mended = _mended(network, graph, known, touched, is_turned=key.is_turned)
    if mended is not None:
        network.searches.keep(key, mended, weight=len(network.nodes) + 100)
    return mended


def touched_since(network: Network, epoch: int) -> Disturbance | None:
    """What has changed since an earlier epoch, for all trees of that epoch; None if that is too long ago."""
    key = ("touched", epoch)
    known: Disturbance | None = network.routes.get(key)
    if known is None and (touched := network.lineage.since(epoch)) is not None:
        ends = frozenset(network.arcs.ends[list(touched.links)].ravel().tolist())
        known = Disturbance(ends, frozenset(touched.nodes))
        network.routes.keep(key, known, weight=len(ends) + 1)
    return known


def _mended(network: Network, graph: Graph, tree: Tree, touched: Disturbance, *, is_turned: bool) -> Tree | None:
    """The tree after links have changed; None if a search is faster."""
    epoch = network.lineage.epoch
    if not graph.node_ok[tree.source]:
        return Tree(epoch, tree.source, tree.cost, mark=tree.mark)
    repair = Repair(network, graph.ways(is_turned=is_turned), tree.source, tree.cost)
    steps_max = max(16, len(network.nodes) * REPAIR_STEPS_PERCENT // 100)
    if not repair.run(touched.ends, steps_max):
        return None
    if repair.cost is tree.cost:
        return Tree(epoch, tree.source, tree.cost, _hops_beyond(tree, touched.ends), tree.mark)
    disturbed = _disturbed(network, repair.steps)
    hops = {} if disturbed is None else _hops_beyond(tree, disturbed | touched.ends)
    return Tree(epoch, tree.source, repair.cost, hops, mended_from=tree.mark, disturbed=disturbed)


def _disturbed(network: Network, steps: Sequence[int]) -> frozenset[int] | None:
    """Nodes whose costs have changed, and their neighbours, for whom another way may now be as fast."""
    if len(steps) > DISTURBED_STEPS_MAX:
        return None
    arcs_of, target = arc_lists(network)
    return frozenset(steps).union(*([target[arc] for arc in arcs_of[node]] for node in set(steps)))


def _hops_beyond(tree: Tree, disturbed: Set[int]) -> dict[int, int]:
    """The arcs back that are still true: those of nodes that are not disturbed."""
    hops = tree.hops.copy()
    for node in disturbed:
        hops.pop(node, None)
    return hops

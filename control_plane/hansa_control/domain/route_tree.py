"""Least costs from a node to all others, on what a rule leaves of the network: searched, kept, and mended.

The graph that a rule leaves is built once (``Graph``), the costs from a node once per graph (``Tree``); both stay with
the network and go over to the networks made from it. When a key is next asked for after links have changed, its graph
is patched and its costs are repaired from the changed arcs outwards; where much is affected a whole search is faster.

A cost counts time first and links second: ``time x scale + 1`` an arc, with a scale above the number of nodes, so that
no cost is zero and of equally fast paths the one with fewer links is cheaper. Time is microseconds there and back in a
symmetric network, and nanoseconds one way (microseconds x permille) in any other. All sums are integers below 2^53 and
so exact in a double; what lies beyond (152 hours, or 9 minutes one way, at 10,000 nodes) counts as not reachable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from itertools import pairwise
from math import inf
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from hansa_control.domain.arcs import Codes
from hansa_control.domain.model import Reason, TransitRule
from hansa_control.domain.network import Network, Touched
from hansa_control.domain.residency import TransitFault, link_faults, node_fault
from hansa_control.domain.units import PERCENTILES

COST_MAX = float(2**53 - 1)
"""The largest cost of a path; all sums up to here are exact."""

REPAIR_STEPS_PERCENT = 4
"""A repair that takes more steps than this share of the nodes is given up for a whole search.

Measured at 10,000 nodes: 400 steps take about as long as the search, so giving up costs at most twice the better way.
"""

BANDWIDTH_MAX_KBPS = 1 << 62


class Strictness(StrEnum):
    """Which paths a search may take under a transit rule."""

    LAWFUL = "LAWFUL"
    """Only what is known to be allowed. The one that placement uses."""
    NOT_DENIED = "NOT_DENIED"
    """The unknown too: tells whether a rejection rests on ignorance or on a denial."""
    ANY = "ANY"
    """Everything: finds the evidence of a rejection, never a placement."""


class GraphKey(NamedTuple):
    """What is left of the network and at which percentile: rule None takes nothing away; of links with a known
    bandwidth those below kbps_min are taken away.
    """

    rule: TransitRule | None
    strictness: Strictness
    percentile: int
    kbps_min: int


class TreeKey(NamedTuple):
    """Costs from a node on a graph; turned round, costs to that node."""

    graph: GraphKey
    source: int
    is_turned: bool


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What a rule leaves: which nodes may be crossed, the cost of each arc, and that of the same link taken the other
    way; infinite where an arc may not be taken. One array for both if the network is symmetric.
    """

    epoch: int
    node_ok: NDArray[np.bool_]
    there: NDArray[np.float64]
    back: NDArray[np.float64]
    built: dict[bool, csr_array] = field(default_factory=dict, repr=False)

    def ways(self, *, is_turned: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """By arc, in the direction of search: cost of leaving a node by it, and of entering the node it leaves."""
        return (self.back, self.there) if is_turned else (self.there, self.back)


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Least cost from the source to each node, infinite where there is no path. hops holds, by node, the arc that
    leads back from it, as far as somebody asked.
    """

    epoch: int
    source: int
    cost: NDArray[np.float64]
    hops: dict[int, int] = field(default_factory=dict, repr=False)


def scale_of(network: Network) -> int:
    """What a unit of time is multiplied with in a cost; a power of two above the number of nodes."""
    return 1 << len(network.nodes).bit_length()


def graph_key(
    network: Network, rule: TransitRule | None, strictness: Strictness, percentile: int, kbps_min: int
) -> GraphKey:
    """The key under which a graph is kept: what takes the same away shares one."""
    if rule is None or strictness is Strictness.ANY:
        rule, strictness = None, Strictness.ANY
    return GraphKey(rule, strictness, percentile, _bandwidth_class(network, kbps_min))


def _bandwidth_class(network: Network, kbps_min: int) -> int:
    """The least known bandwidth that suffices, as it takes the same links away; 0 if none is taken away."""
    if kbps_min <= 0:
        return 0
    steps: NDArray[np.int64] | None = network.routes.get("bandwidth steps")
    if steps is None:
        steps = np.unique(network.columns.bandwidth_kbps)
        network.routes.keep("bandwidth steps", steps, weight=len(steps))
    at = int(np.searchsorted(steps, kbps_min))
    known_below = at - int(steps[:1].sum() == 0 and len(steps) > 0)
    if known_below <= 0:
        return 0
    return int(steps[at]) if at < len(steps) else BANDWIDTH_MAX_KBPS


# --- graphs -----------------------------------------------------------------------------------------------------------


def graph_of(network: Network, key: GraphKey) -> Graph:
    """What a rule leaves of the network now."""
    known: Graph | None = network.searches.get(key)
    if known is not None and known.epoch == network.lineage.epoch:
        return known
    touched = network.lineage.since(known.epoch) if known is not None else None
    graph = _build(network, key) if known is None or touched is None else _patch(network, key, known, touched)
    network.searches.keep(key, graph, weight=4 * len(network.links) + 100)
    return graph


def _build(network: Network, key: GraphKey) -> Graph:
    node_ok = _nodes_allowed(network, key)
    there, back = _link_costs(network, key, node_ok, slice(None))
    pair = network.arcs.pair
    by_arc = np.concatenate([there, back])[pair]
    by_turned = by_arc if network.is_symmetric else np.concatenate([back, there])[pair]
    return Graph(network.lineage.epoch, node_ok, by_arc, by_turned)


def _patch(network: Network, key: GraphKey, former: Graph, touched: Touched) -> Graph:
    node_ok = _nodes_allowed(network, key) if touched.nodes else former.node_ok
    at = np.array(touched.links, dtype=np.int64)
    there, back = _link_costs(network, key, node_ok, at)
    arcs = network.arcs.of_link[at].T.ravel()
    by_arc = _with_costs(former.there, arcs, np.concatenate([there, back]))
    turned = by_arc if network.is_symmetric else _with_costs(former.back, arcs, np.concatenate([back, there]))
    built = former.built if by_arc is former.there and turned is former.back else {}
    return Graph(network.lineage.epoch, node_ok, by_arc, turned, built)


def _with_costs(
    costs: NDArray[np.float64], arcs: NDArray[np.int32], changed: NDArray[np.float64]
) -> NDArray[np.float64]:
    if np.array_equal(costs[arcs], changed):
        return costs
    other = costs.copy()
    other[arcs] = changed
    return other


def _link_costs(
    network: Network, key: GraphKey, node_ok: NDArray[np.bool_], at: slice | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of some links, the cost from node_a to node_b and back; infinite where they may not be taken."""
    columns = network.columns
    ends = network.arcs.ends[at]
    is_open = node_ok[ends[:, 0]] & node_ok[ends[:, 1]]
    if key.rule is not None:
        is_open &= _codes_allowed(network, key, network.link_codes)[network.link_codes.values[at]]
    if key.kbps_min:
        kbps = columns.bandwidth_kbps[at]
        is_open &= (kbps == 0) | (kbps >= key.kbps_min)
    scale = float(scale_of(network))
    us = columns.path_us[PERCENTILES.index(key.percentile)][at].astype(np.float64)
    if network.is_symmetric:
        costs = np.where(is_open, us * scale + 1.0, inf)
        return costs, costs
    share = columns.share_permille[at].astype(np.float64)
    there = np.where(is_open, us * share * scale + 1.0, inf)
    back = np.where(is_open & ~columns.one_way[at], us * (1_000.0 - share) * scale + 1.0, inf)
    return there, back


def _nodes_allowed(network: Network, key: GraphKey) -> NDArray[np.bool_]:
    if key.rule is None:
        return np.ones(len(network.nodes), dtype=np.bool_)
    return _codes_allowed(network, key, network.node_codes)[network.node_codes.values]


def _codes_allowed(network: Network, key: GraphKey, codes: Codes) -> NDArray[np.bool_]:
    """By code of nodes or links, whether a rule allows it: each combination is judged once."""
    rule, of_nodes = key.rule, codes is network.node_codes
    kept = (rule, key.strictness, of_nodes)
    known: NDArray[np.bool_] | None = network.searches.get(kept)
    if known is not None and len(known) == len(codes.samples):
        return known
    forbidding = {Reason.TRANSIT_DENIED}
    if key.strictness is Strictness.LAWFUL:
        forbidding.add(Reason.TRANSIT_UNKNOWN)
    if rule is None:
        return np.ones(len(codes.samples), dtype=np.bool_)
    faults: Iterable[tuple[TransitFault | None, ...]] = (
        (node_fault(rule, sample),) if of_nodes else link_faults(rule, sample) for sample in codes.samples
    )
    allowed = np.array([_is_allowed(found, forbidding) for found in faults], dtype=np.bool_)
    network.searches.keep(kept, allowed, weight=len(allowed) + 1)
    return allowed


def _is_allowed(faults: tuple[TransitFault | None, ...], forbidding: set[Reason]) -> bool:
    return all(fault is None or fault.reason not in forbidding for fault in faults)


# --- trees ------------------------------------------------------------------------------------------------------------


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
    repair = _Repair(network, graph.ways(is_turned=is_turned), tree)
    steps_max = max(16, len(network.nodes) * REPAIR_STEPS_PERCENT // 100)
    if not repair.run(set(heads), steps_max):
        return None
    return Tree(epoch, tree.source, repair.cost)


class _Repair:
    """Least costs after some arcs have changed, worked out from their heads outwards.

    DynamicSWSF-FP of G. Ramalingam and T. Reps, "An incremental algorithm for a generalization of the shortest-path
    problem", Journal of Algorithms 21 (1996), 267-305, with the saving of D* Lite: of the nodes behind one that became
    dearer only those are looked at anew whose best way led over it. It takes any number of dearer and cheaper arcs at
    once, and needs all costs above zero. Sequences of the standard library are read one by one faster than arrays.
    """

    def __init__(self, network: Network, ways: tuple[NDArray[np.float64], NDArray[np.float64]], tree: Tree) -> None:
        self.source = tree.source
        self.cost = tree.cost
        self._arcs_of, self._target = _arc_lists(network)
        self._out, self._into = (_items(way) for way in ways)
        self._now = _items(self.cost)
        self._best: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def run(self, heads: Iterable[int], steps_max: int) -> bool:
        """Whether the costs could be repaired in so many steps; ``cost`` then holds them."""
        for node in sorted(heads):
            self._look_at(node)
        if not self._heap:
            return True
        self.cost = self.cost.copy()
        self._now = _items(self.cost)
        steps = 0
        while self._heap:
            cost, node = heappop(self._heap)
            best, former = self._best.get(node), self._now[node]
            if best is None or cost != (best if best < former else former):
                continue
            steps += 1
            if steps > steps_max:
                return False
            if best < former:
                self._lower(node, best)
            else:
                self._raise(node, best, former)
        return True

    def _lower(self, node: int, best: float) -> None:
        """The node has its cost; those behind it may have a cheaper way over it."""
        now, known, target, out = self._now, self._best, self._target, self._out
        now[node] = best
        del known[node]
        for arc in self._arcs_of[node]:
            behind, over = target[arc], best + out[arc]
            # What is expected of a node may be more than what it had, so its cost alone does not tell.
            expected = known.get(behind)
            if over < (now[behind] if expected is None else expected) and over <= COST_MAX and behind != self.source:
                self._expect(behind, over)

    def _raise(self, node: int, best: float, former: float) -> None:
        """The node's cost is no longer true; those behind it whose way led over it are looked at anew."""
        now, known, target, out = self._now, self._best, self._target, self._out
        now[node] = inf
        self._expect(node, best)
        for arc in self._arcs_of[node]:
            behind = target[arc]
            expected = known.get(behind)
            if (now[behind] if expected is None else expected) == former + out[arc] < inf:
                self._look_at(behind)

    def _look_at(self, node: int) -> None:
        """Works out the best way to a node over its neighbours as they are now."""
        if node == self.source:
            return
        now, target, into = self._now, self._target, self._into
        best = min([now[target[arc]] + into[arc] for arc in self._arcs_of[node]], default=inf)
        self._expect(node, best if best <= COST_MAX else inf)

    def _expect(self, node: int, best: float) -> None:
        former = self._now[node]
        if best == former:
            self._best.pop(node, None)
        else:
            self._best[node] = best
            heappush(self._heap, (best if best < former else former, node))


def _items(array: NDArray[np.float64]) -> MutableSequence[float]:
    """The array's own items as plain floats."""
    return cast("MutableSequence[float]", array.data)


def _arc_lists(network: Network) -> tuple[list[range], list[int]]:
    """The arcs that leave each node, and the node that each arc enters."""
    known: tuple[list[range], list[int]] | None = network.searches.get("arc lists")
    if known is None:
        starts = network.arcs.start.tolist()
        known = [range(a, b) for a, b in pairwise(starts)], network.arcs.target.tolist()
        network.searches.keep("arc lists", known, weight=len(network.nodes) + 4 * len(network.links))
    return known

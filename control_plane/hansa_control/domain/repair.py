"""Least costs mended after some arcs have changed, instead of searched anew."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence
from heapq import heappop, heappush
from itertools import pairwise
from math import inf
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.network import Network
from hansa_control.domain.route_graph import COST_MAX

Ways: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""By arc, the cost of leaving a node by it, and of entering the node that it leaves."""


class Repair:
    """Least costs after some arcs have changed, worked out from their heads outwards.

    DynamicSWSF-FP of G. Ramalingam and T. Reps, "An incremental algorithm for a generalization of the shortest-path
    problem", Journal of Algorithms 21 (1996), 267-305, with the saving of D* Lite: of the nodes behind one that became
    dearer only those are looked at anew whose best way led over it. It takes any number of dearer and cheaper arcs at
    once, and needs all costs above zero. Sequences of the standard library are read one by one faster than arrays.
    steps holds the nodes that were given another cost on the way; some of them may have their old one again.
    """

    def __init__(self, network: Network, ways: Ways, source: int, cost: NDArray[np.float64]) -> None:
        self.source = source
        self.cost = cost
        self._arcs_of, self._target = arc_lists(network)
        self._out, self._into = (items_of(way) for way in ways)
        self._now = items_of(self.cost)
        self.steps: list[int] = []
        self._best: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def run(self, heads: Iterable[int], steps_max: int) -> bool:
        """Whether the costs could be repaired in so many steps; ``cost`` then holds them."""
        for node in sorted(heads):
            self._look_at(node)
        if not self._heap:
            return True
        self.cost = self.cost.copy()
        self._now = items_of(self.cost)
        while self._heap:
            cost, node = heappop(self._heap)
            best, former = self._best.get(node), self._now[node]
            if best is None or cost != (best if best < former else former):
                continue
            if len(self.steps) == steps_max:
                return False
            self.steps.append(node)
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


def items_of(array: NDArray[np.float64]) -> MutableSequence[float]:
    """The array's own items as plain floats."""
    return cast("MutableSequence[float]", array.data)


def arc_lists(network: Network) -> tuple[list[range], list[int]]:
    """The arcs that leave each node, and the node that each arc enters."""
    known: tuple[list[range], list[int]] | None = network.searches.get("arc lists")
    if known is None:
        starts = network.arcs.start.tolist()
        known = [range(a, b) for a, b in pairwise(starts)], network.arcs.target.tolist()
        network.searches.keep("arc lists", known, weight=len(network.nodes) + 4 * len(network.links))
    return known

"""Proof for joint placement without scarce room: which zones to open is all there is to decide.

Each access point then goes to the cheapest open zone. Branch and bound over zones on the Lagrangian bound of "each
access point is served once" (Cornuejols, Fisher and Nemhauser 1977; Geoffrion 1974), best bound first. It needs no
clock and closes in tenths of a second what HiGHS leaves open.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from hansa_control.domain.joint import JointProblem

Array = np.ndarray
GAP = 1e-4
STEPS_FIRST, STEPS = 400, 20


@dataclass(frozen=True)
class Sites:
    """Cost (A, Z) with infinity where it may not be, own cost (Z,) of a zone, and how many zones there may be."""

    cost: Array
    own: Array
    zones_max: int

    def objective(self, zones: Array) -> float:
        """What opening those zones costs in all."""
        return float(self.cost[:, zones].min(axis=1).sum() + self.own[zones].sum())


@dataclass(frozen=True)
class Node:
    """Zones that are open and that are not closed, a bound on all below, at these multipliers and reduced costs."""

    opened: Array
    free: Array
    bound: float
    multipliers: Array
    reduced: Array


def sites_of(problem: JointProblem) -> Sites | None:
    """The problem as sites; None where room is scarce or where replicas, zones or domains have a least number."""
    first = problem.load_max_millirps[:, 1] if problem.load_max_millirps.shape[1] > 1 else np.zeros(1)
    bounds = problem.bounds
    if (
        (first < problem.demand_millirps.sum()).any()
        or problem.spreads
        or max(bounds.replicas_min, bounds.zones_min) > 1
    ):
        return None
    may = problem.admissible & (problem.replicas_free > 0)
    cost = np.where(may, problem.cost_of_share, np.inf)
    return Sites(cost, problem.replica_cost + problem.open_cost, min(bounds.zones_max, bounds.replicas_max))


def prove(sites: Sites, objective: float, nodes_max: int = 5_000) -> tuple[float, float]:
    """The best objective known and a lower bound on every one; equal to GAP unless so many nodes were not enough."""
    zones = len(sites.own)
    order = np.sort(sites.cost, axis=1)
    start = order[:, min(2, zones - 1)]
    start = np.where(np.isfinite(start), start, order[:, 0])
    root = Node(np.zeros(zones, dtype=bool), np.ones(zones, dtype=bool), -np.inf, start, np.zeros(zones))
    root, best = _bounded(sites, root, (objective, STEPS_FIRST, 1.0))
    heap, made = [(root.bound, 0, root)], 1
    for _ in range(nodes_max):
        if not heap or heap[0][0] >= best * (1 - GAP):
            break
        node = heapq.heappop(heap)[2]
        free = node.free & (node.bound + node.reduced <= best)
        if not free.any():
            continue
        at = int(np.where(free, node.reduced, np.inf).argmin())
        for is_open in (True, False):
            below = _branch(node, free, at, is_open=is_open)
            if below.opened.sum() > sites.zones_max or not (below.opened | below.free).any():
                continue
            below, best = _bounded(sites, below, (best, STEPS, 0.5))
            if below.bound < best * (1 - GAP):
                heapq.heappush(heap, (below.bound, made, below))
                made += 1
    return best, min(best, heap[0][0] if heap and heap[0][0] < best * (1 - GAP) else best * (1 - GAP))


def _branch(node: Node, free: Array, at: int, *, is_open: bool) -> Node:
    opened, left = node.opened.copy(), free.copy()
    left[at] = False
    opened[at] = is_open
    return Node(opened, left, node.bound, node.multipliers, node.reduced)


def _bounded(sites: Sites, node: Node, asked: tuple[float, int, float]) -> tuple[Node, float]:
    """The node with the best bound of so many subgradient steps, and the best objective met on the way."""
    best, steps, step = asked
    zones = np.flatnonzero(node.opened | node.free)
    cost, own, must = sites.cost[:, zones], sites.own[zones], node.opened[zones]
    room = sites.zones_max - int(must.sum())
    value, found, since = node.multipliers, (-np.inf, node.multipliers, np.zeros(len(zones))), 0
    for _ in range(steps):
        gain = np.maximum(value[:, None] - cost, 0.0)
        reduced = own - gain.sum(axis=0)
        ranked = np.argsort(np.where(must, np.inf, reduced), kind="stable")[:room]
        chosen = must.copy()
        chosen[ranked[reduced[ranked] < 0]] = True
        bound = float(value.sum() + reduced[chosen].sum())
        since += 1
        if bound > found[0]:
            found, since = (bound, value, reduced), 0
        if chosen.any():
            best = min(best, sites.objective(zones[chosen]))
        slope = 1.0 - (gain[:, chosen] > 0).sum(axis=1)
        if found[0] >= best * (1 - GAP) or not slope.any():
            break
        if since >= 3:
            value, step, since = found[1], step * 0.6, 0
        value = value + step * (1.03 * best - bound) / float(slope @ slope) * slope
    reduced = np.full(len(sites.own), np.inf)
    reduced[zones] = found[2]
    return Node(node.opened, node.free, max(found[0], node.bound), found[1], reduced), best

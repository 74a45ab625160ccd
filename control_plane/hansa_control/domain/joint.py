"""Joint placement of one workload: which zones, how many replicas, and whose demand goes where, at least cost.

Facility location with modular capacities: minimise shares, replicas and openings within rooms, bounds and spread. One
zone is decided exactly by a row of sums; more by an anytime search within a budget of work (``joint_search``). The
same problem and limits always give the same plan.
"""

from __future__ import annotations

import numpy as np

from hansa_control.domain.joint_arena import Arena, Position
from hansa_control.domain.joint_problem import (
    SHARE_UNITS,
    Bools,
    Bounds,
    Floats,
    Infeasible,
    Ints,
    JointPlan,
    JointProblem,
    Obstacle,
    SearchLimits,
    Spread,
    Stop,
    objective_of,
)
from hansa_control.domain.joint_search import search
from hansa_control.domain.transport import EPSILON, round_shares

__all__ = [
    "Bounds",
    "Infeasible",
    "JointPlan",
    "JointProblem",
    "Obstacle",
    "SearchLimits",
    "Spread",
    "Stop",
    "place_jointly",
]

ROUNDING_SLACK = 0.998
"""Room left for the search for shares when the first rounding to thousandths finds no place for the last ones."""


def place_jointly(problem: JointProblem, limits: SearchLimits | None = None) -> JointPlan | Infeasible:
    """The best plan found, or why there is none; exact where one zone is allowed."""
    if problem.bounds.zones_max == 1:
        return _place_in_one(problem)
    obstacle = _obstacle(problem)
    if obstacle is not None:
        return obstacle
    arena = Arena(problem)
    state, stop = search(arena, limits or SearchLimits())
    plans = [plan for position in state.best if (plan := _as_plan(arena, position, stop)) is not None]
    if plans:
        return min(plans, key=lambda plan: plan.objective)
    return _unproven(arena, state.position)


def _place_in_one(problem: JointProblem) -> JointPlan | Infeasible:
    """Everything from the cheapest zone that may serve all and has room for it."""
    may: Bools = np.asarray(problem.admissible.all(axis=0))
    replicas = _replicas_for_all(problem)
    top = np.minimum(problem.replicas_free, problem.bounds.replicas_max)
    for spread in problem.spreads:
        if spread.replicas_per_domain_max:
            top = np.minimum(top, spread.replicas_per_domain_max)
    ok = may & (replicas <= top) & np.isfinite(problem.open_cost)
    spread_kept = all(spread.domains_min <= 1 for spread in problem.spreads)
    if not ok.any() or problem.bounds.zones_min > 1 or not spread_kept:
        return _obstacle(problem) or Infeasible(_why_not_one(problem, may, replicas))
    total = problem.cost_of_share.sum(axis=0) + replicas * problem.replica_cost + problem.open_cost
    zone = int(np.where(ok, total, np.inf).argmin())
    shares = np.full((len(problem.demand_millirps), 1), SHARE_UNITS, dtype=np.int64)
    chosen = np.array([zone])
    objective = objective_of(problem, chosen, replicas[chosen], shares)
    return JointPlan((zone,), (int(replicas[zone]),), shares, objective, len(ok), Stop.EXACT)


def _replicas_for_all(problem: JointProblem) -> Ints:
    """Fewest replicas with which each zone carries the whole demand; more than there are where none do (Z,)."""
    demand = int(problem.demand_millirps.sum())
    needed = (problem.load_max_millirps < demand).sum(axis=1)
    beyond = needed >= problem.load_max_millirps.shape[1]
    least = max(problem.bounds.replicas_min, 1)
    return np.where(beyond, np.iinfo(np.int64).max, np.maximum(needed, least))


def _why_not_one(problem: JointProblem, may: Bools, replicas: Ints) -> Obstacle:
    if not may.any():
        return Obstacle.NO_ADMISSIBLE_ZONE
    least = max(problem.bounds.replicas_min, 1)
    return Obstacle.REPLICAS if (replicas[may] <= least).any() else Obstacle.CAPACITY


def _obstacle(problem: JointProblem) -> Infeasible | None:
    """A demand that no plan can meet, by counting; None does not promise that there is a plan."""
    bounds = problem.bounds
    free = np.minimum(problem.replicas_free, bounds.replicas_max)
    usable = (free > 0) & np.isfinite(problem.open_cost)
    served = (problem.admissible & usable).any(axis=1)
    if not served.all():
        return Infeasible(Obstacle.NO_ADMISSIBLE_ZONE, int(served.argmin()))
    if bounds.zones_min > min(int(usable.sum()), bounds.zones_max) or not usable.any():
        return Infeasible(Obstacle.ZONES_MIN)
    most = int(np.sort(free[usable])[-bounds.zones_max :].sum())
    if bounds.replicas_min > min(most, bounds.replicas_max) or bounds.zones_min > bounds.replicas_max:
        return Infeasible(Obstacle.REPLICAS)
    if any(_breaks(problem, spread, np.where(usable, free, 0)) for spread in problem.spreads):
        return Infeasible(Obstacle.SPREAD)
    return Infeasible(Obstacle.CAPACITY) if _lacks_room(problem, np.where(usable, free, 0)) else None


def _breaks(problem: JointProblem, spread: Spread, free: Ints) -> bool:
    labels = np.unique(spread.labels[free > 0])
    if spread.domains_min > min(len(labels), problem.bounds.zones_max, problem.bounds.replicas_max):
        return True
    most = spread.replicas_per_domain_max
    held = sum(min(most, int(free[spread.labels == label].sum())) for label in labels) if most else None
    return held is not None and held < max(problem.bounds.replicas_min, problem.bounds.zones_min)


def _lacks_room(problem: JointProblem, free: Ints) -> bool:
    top = problem.load_max_millirps.shape[1] - 1
    room = problem.load_max_millirps[np.arange(len(free)), np.minimum(free, top)]
    demand = int(problem.demand_millirps.sum())
    return float(np.sort(room)[-problem.bounds.zones_max :].astype(np.float64).sum()) < demand


def _as_plan(arena: Arena, position: Position, stop: Stop) -> JointPlan | None:
    """The position with whole thousandths; None where they do not fit."""
    problem, zones = arena.problem, position.open_zones
    replicas = position.replicas[zones]
    room = problem.load_max_millirps[zones, replicas]
    cost: Floats = np.where(problem.admissible[:, zones], problem.cost_of_share[:, zones], np.inf)
    shares = round_shares(position.flows.shares[:, :-1], cost, problem.demand_millirps, room)
    if shares is None:
        shares = _round_within(arena, position, cost)
    if shares is None:
        return None
    objective = objective_of(problem, zones, replicas, shares)
    return JointPlan(
        tuple(zones.tolist()), tuple(replicas.tolist()), shares, objective, arena.work, stop
    )  # fmt: skip


def _round_within(arena: Arena, position: Position, cost: Floats) -> Ints | None:
    """Whole thousandths of shares that leave some room, for the last ones to fit."""
    zones = position.open_zones
    room = arena.problem.load_max_millirps[zones, position.replicas[zones]]
    tight = arena.room[zones, position.replicas[zones]] * ROUNDING_SLACK
    flows = arena.shares_within(zones, tight)
    return round_shares(flows.shares[:, :-1], cost, arena.problem.demand_millirps, room)


def _unproven(arena: Arena, nearest: Position) -> Infeasible:
    """What the last position lacked: the search found no plan, which proves nothing."""
    shape, bounds = arena.shape_of(nearest.replicas), arena.bounds
    if (nearest.flows.shares[:, -1] > EPSILON).any():
        return Infeasible(Obstacle.CAPACITY, int(nearest.flows.shares[:, -1].argmax()), proven=False)
    if shape.zones < bounds.zones_min:
        return Infeasible(Obstacle.ZONES_MIN, proven=False)
    if shape.replicas < bounds.replicas_min:
        return Infeasible(Obstacle.REPLICAS, proven=False)
    return Infeasible(Obstacle.NONE_FOUND if nearest.feasible else Obstacle.SPREAD, proven=False)

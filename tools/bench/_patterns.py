"""Proof for re-packing: a bound that knows that whole workloads fill a zone, and the optimum from it.

The Lagrangian bound of "each workload once" asks for each zone's best set of workloads, which is found by trying all
that could be it, three kinds of room at once (Dantzig and Wolfe 1960; Savelsbergh 1997). It shares no code with the
search, and is valid for any worths; good ones come from a relaxation over the sets met so far. Where a gap is left, all
sets that a better packing may hold - those whose reduced cost is within the gap - go to HiGHS (Baldacci, Christofides
and Mingozzi 2008).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hansa_control.domain.repacking import RepackingProblem
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csc_array

Array = np.ndarray
GAP = 1e-4
ROUNDS_MAX = 60
VISITS_MAX = 300_000
COLUMNS_MAX = 30_000


class TooMany(Exception):
    """More sets than it is worth to try."""


@dataclass
class Master:
    """The sets of workloads met so far, each with its zone and cost, for a packing that leaves nobody out."""

    problem: RepackingProblem
    cost: Array = field(init=False)
    demand: Array = field(init=False)
    sets: dict[tuple[int, ...], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.demand = self.problem.demand_in_zones()
        fits = (self.demand <= self.problem.capacity).all(axis=2)
        self.cost = np.where(fits, self.problem.cost_with_moves(), np.inf)

    def add(self, zone: int, members: list[int]) -> None:
        """Keeps a set."""
        own = float(self.cost[members, zone].sum() + self.problem.open_cost[zone])
        self.sets[zone, *sorted(members)] = own

    def program(self) -> tuple[Array, csc_array, Array, Array]:
        """Costs, matrix, least and most of each row: each workload once, each zone once at most."""
        count, zones = self.cost.shape
        rows = [np.array([count + zone, *members]) for zone, *members in self.sets]
        ends = np.cumsum([0, *map(len, rows)])
        row = np.concatenate(rows)
        matrix = csc_array((np.ones(len(row)), row, ends), shape=(count + zones, len(rows)))
        least = np.concatenate((np.ones(count), np.zeros(zones)))
        return np.array(list(self.sets.values())), matrix, least, np.ones(count + zones)

    def prices(self) -> tuple[float, Array, Array]:
        """Value of the relaxation, worth of each workload, rent of each zone (not below 0)."""
        costs, matrix, _, most = self.program()
        count = len(self.cost)
        result = linprog(
            costs, A_ub=matrix[count:], b_ub=most[count:], A_eq=matrix[:count], b_eq=most[:count], method="highs-ds"
        )
        return float(result.fun), result.eqlin.marginals, -result.ineqlin.marginals

    def best_sets(
        self, worth: Array, rent: Array, within: float | None = None
    ) -> tuple[float, list[tuple[int, list[int]]]]:
        """A bound on every packing at these prices, and sets: each zone's best, or all within that reduced cost."""
        bound, found = float(worth.sum() - rent.sum()), list[tuple[int, list[int]]]()
        for zone in range(self.cost.shape[1]):
            profit = worth - self.cost[:, zone]
            least = float(self.problem.open_cost[zone] + rent[zone])
            if within is not None:
                found += [(zone, one) for _, one in self._above(zone, profit, (least - within, False)) if one]
                continue
            value, members = self._above(zone, profit, (least + 1e-9, True))[-1]
            bound -= max(value - least, 0.0)
            if members:
                found.append((zone, members))
        return bound, found

    def _above(self, zone: int, profit: Array, asked: tuple[float, bool]) -> list[tuple[float, list[int]]]:
        """Sets of that profit at least, each better than the one before where only the best is asked for."""
        floor, only_best = asked
        may = np.flatnonzero(profit > 0 if only_best else np.isfinite(profit) & (profit > -np.inf))
        order = may[np.argsort(-profit[may], kind="stable")].tolist()
        gains, found = [float(profit[at]) for at in order], [(floor, list[int]())]
        sums = np.concatenate((np.cumsum(np.maximum(gains, 0.0)[::-1])[::-1], [0.0])).tolist()
        demands = [tuple(self.demand[at, zone].tolist()) for at in order]
        stack = [(0, 0.0, tuple(self.problem.capacity[zone].tolist()), list[int]())]
        visits = 0
        while stack:
            at, value, room, members = stack.pop()
            visits += 1
            if visits > VISITS_MAX or len(found) > COLUMNS_MAX:
                raise TooMany
            if at == len(order) or value + sums[at] < floor:
                continue
            stack.append((at + 1, value, room, members))
            left = tuple(has - needs for has, needs in zip(room, demands[at], strict=True))
            if min(left) < 0 or value + gains[at] + sums[at + 1] < floor:
                continue
            value, members = value + gains[at], [*members, order[at]]
            if value >= floor:
                found.append((value, members))
                floor = value + 1e-9 if only_best else floor
            stack.append((at + 1, value, left, members))
        return found


def prove(problem: RepackingProblem, zones: Array, limit_s: float) -> tuple[float, float]:
    """The best objective known and a lower bound, of packings that leave nobody out, as ``zones`` does."""
    master = Master(problem)
    for zone in np.unique(zones).tolist():
        master.add(zone, np.flatnonzero(zones == zone).tolist())
    best, bound, at_best = sum(master.sets.values()), -np.inf, (np.zeros(0), np.zeros(0))
    try:
        for _ in range(ROUNDS_MAX):
            value, worth, rent = master.prices()
            now, sets = master.best_sets(worth, rent)
            if now > bound:
                bound, at_best = now, (worth, rent)
            if value - bound <= 1e-7 * value or bound >= best * (1 - GAP):
                break
            for zone, members in sets:
                master.add(zone, members)
        return _closed(master, (best, bound), at_best, limit_s)
    except TooMany:
        return best, min(best, bound)


def _closed(
    master: Master, known: tuple[float, float], prices: tuple[Array, Array], limit_s: float
) -> tuple[float, float]:
    """The same, after HiGHS chose among all sets that a packing below the best may hold."""
    best, bound = known
    if bound >= best * (1 - GAP):
        return best, min(best, bound)
    for zone, members in master.best_sets(*prices, within=best - bound)[1]:
        master.add(zone, members)
        if len(master.sets) > COLUMNS_MAX:
            raise TooMany
    costs, matrix, least, most = master.program()
    options = {"mip_rel_gap": GAP, "time_limit": limit_s}
    rows = LinearConstraint(matrix, least, most)
    result = milp(costs, integrality=np.ones(len(costs)), bounds=Bounds(0, 1), constraints=rows, options=options)
    if result.status == 2:
        return best, best
    if result.mip_dual_bound is not None:
        bound = max(bound, min(float(result.mip_dual_bound), best))
    return (best if result.x is None else min(best, float(result.fun))), bound

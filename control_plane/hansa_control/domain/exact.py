"""The exact optimum, or how far from it: joint placement and re-packing as integer programmes for HiGHS.

HiGHS (Huangfu and Hall, "Parallelizing the dual revised simplex method", 2018) comes with scipy. The formulations are
the strong ones: a share is bounded by its own zone's opening (Balinski 1965), replica by replica in order. Shares are
continuous here, so the bound also holds for shares in thousandths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are first used: that takes long, and serving seldom needs this one

from hansa_control.domain.joint_problem import Floats, Ints, JointProblem
from hansa_control.domain.repacking_problem import RepackingProblem, repacking_objective

GAP_DEFAULT = 1e-4


@dataclass(frozen=True, slots=True)
class ExactLimits:
    """When HiGHS may stop: at that relative gap, after so many seconds of its own clock, or so many nodes."""

    gap: float = GAP_DEFAULT
    time_limit_s: float = 60.0
    node_limit: int = 1_000_000_000

    def options(self) -> dict[str, float]:
        """As scipy's ``milp`` takes them."""
        return {"mip_rel_gap": self.gap, "time_limit": self.time_limit_s, "node_limit": self.node_limit}


@dataclass(frozen=True, slots=True)
class ExactJoint:
    """Zones, replicas (k,), shares (A, k) as parts of one, objective, and a lower bound on every plan's objective.

    Without a solution ``objective`` is infinite; ``proven_infeasible`` tells no plan from none found in time.
    """

    zones: tuple[int, ...]
    replicas: tuple[int, ...]
    shares: Floats
    objective: float
    lower_bound: float
    proven_infeasible: bool = False

    @property
    def gap(self) -> float:
        """How far the objective may be above the optimum, relative to it."""
        return (self.objective - self.lower_bound) / max(abs(self.objective), 1e-9)


class Rows:
    """Sparse rows of ``lower <= A x <= upper``, collected a block at a time."""

    def __init__(self, columns: int) -> None:
        self.columns, self.count = columns, 0
        self._parts: list[tuple[Ints, Ints, Floats]] = []
        self._lower: list[Floats] = []
        self._upper: list[Floats] = []

    def add(self, entries: tuple[Ints, Ints, Floats], lower: Floats, upper: Floats) -> None:
        """Rows from entries (row in the block, column, value) and their bounds."""
        row, column, value = entries
        self._parts.append((row + self.count, column, value))
        self._lower.append(lower)
        self._upper.append(upper)
        self.count += len(lower)

    def constraint(self) -> scipy.optimize.LinearConstraint:
        """All rows."""
        row, column, value = (np.concatenate([part[at] for part in self._parts]) for at in range(3))
        matrix = scipy.sparse.csr_array(
            scipy.sparse.coo_array((value, (row, column)), shape=(self.count, self.columns))
        )
        return scipy.optimize.LinearConstraint(matrix, np.concatenate(self._lower), np.concatenate(self._upper))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where variables stand: admissible shares first, then a binary for each replica of each zone, in order."""

    share_access: Ints
    share_zone: Ints
    replica_zone: Ints
    replica_rank: Ints
    first_replica: Ints

    @property
    def count(self) -> int:
        return len(self.share_access) + len(self.replica_zone)

    @property
    def replicas_at(self) -> Ints:
        return np.arange(len(self.share_access), self.count)


def solve_joint(problem: JointProblem, limits: ExactLimits | None = None) -> ExactJoint:
    """The optimum of joint placement with continuous shares, within the limits."""
    asked = limits or ExactLimits()
    columns = _columns(problem)
    if not len(columns.replica_zone):
        return _nothing(proven=True)
    extra = _domain_columns(problem, columns)
    rows = Rows(columns.count + extra)
    _share_rows(problem, columns, rows)
    _replica_rows(problem, columns, rows)
    _spread_rows(problem, columns, rows)
    integral = np.zeros(columns.count + extra)
    integral[columns.replicas_at] = 1
    costs = np.concatenate((_costs(problem, columns), np.zeros(extra)))
    result = scipy.optimize.milp(
        costs,
        integrality=integral,
        bounds=scipy.optimize.Bounds(0, 1),
        constraints=rows.constraint(),
        options=asked.options(),
    )
    if result.x is None:
        return _nothing(proven=result.status == 2)
    return _read_joint(problem, columns, (result.x, result.mip_dual_bound))


def _columns(problem: JointProblem) -> _Columns:
    top = problem.load_max_millirps.shape[1] - 1
    free = np.clip(problem.replicas_free, 0, min(top, problem.bounds.replicas_max))
    free = np.where(np.isfinite(problem.open_cost), free, 0)
    access, zone = np.nonzero(problem.admissible & (free > 0))
    replica_zone = np.repeat(np.arange(len(free)), free)
    start = np.concatenate(([0], np.cumsum(free)[:-1]))
    rank = np.arange(len(replica_zone)) - start[replica_zone] + 1
    return _Columns(access, zone, replica_zone, rank, start + len(access))


def _costs(problem: JointProblem, columns: _Columns) -> Floats:
    first = columns.replica_rank == 1
    own = problem.replica_cost[columns.replica_zone] + np.where(first, problem.open_cost[columns.replica_zone], 0.0)
    return np.concatenate((problem.cost_of_share[columns.share_access, columns.share_zone], own))


def _share_rows(problem: JointProblem, columns: _Columns, rows: Rows) -> None:
    """Each access point is served in full, from open zones only, within their room."""
    access, zone = columns.share_access, columns.share_zone
    shares = np.arange(len(access))
    count, zones = problem.cost_of_share.shape
    rows.add((access, shares, np.ones(len(access))), np.ones(count), np.ones(count))
    opened = columns.first_replica[zone]
    pair = (np.tile(shares, 2), np.concatenate((shares, opened)), np.repeat((1.0, -1.0), len(shares)))
    rows.add(pair, np.full(len(shares), -np.inf), np.zeros(len(shares)))
    demand_sum = max(float(problem.demand_millirps.sum()), 1.0)
    room = np.minimum(problem.load_max_millirps, 2 * demand_sum) / demand_sum
    gained = np.diff(room, axis=1)[columns.replica_zone, columns.replica_rank - 1]
    value = np.concatenate((problem.demand_millirps[access] / demand_sum, -gained))
    entries = (np.concatenate((zone, columns.replica_zone)), np.arange(columns.count), value)
    rows.add(entries, np.full(zones, -np.inf), np.zeros(zones))


def _replica_rows(problem: JointProblem, columns: _Columns, rows: Rows) -> None:
    """Replicas in order, and the bounds on zones and replicas in all."""
    bounds = problem.bounds
    later = np.flatnonzero(columns.replica_rank > 1)
    at = columns.replicas_at
    order = np.arange(len(later))
    chain = (np.tile(order, 2), np.concatenate((at[later], at[later] - 1)), np.repeat((1.0, -1.0), len(later)))
    rows.add(chain, np.full(len(later), -np.inf), np.zeros(len(later)))
    _sum_row(rows, at, (bounds.replicas_min, bounds.replicas_max))
    _sum_row(rows, at[columns.replica_rank == 1], (max(bounds.zones_min, 1), bounds.zones_max))


def _sum_row(rows: Rows, columns: Ints, between: tuple[int, int]) -> None:
    entries = (np.zeros(len(columns), dtype=np.int64), columns, np.ones(len(columns)))
    rows.add(entries, np.array([float(between[0])]), np.array([float(between[1])]))


def _spread_rows(problem: JointProblem, columns: _Columns, rows: Rows) -> None:
    """At most so many replicas a domain; at least so many domains, each with a column that its openings bound."""
    at = columns.count
    first = columns.replica_rank == 1
    for spread in problem.spreads:
        labels = np.unique(spread.labels, return_inverse=True)[1][columns.replica_zone]
        domains = np.unique(labels)
        for label in domains if spread.replicas_per_domain_max else ():
            _sum_row(rows, columns.replicas_at[labels == label], (0, spread.replicas_per_domain_max))
        used = np.arange(at, at + len(domains))
        _sum_row(rows, used, (spread.domains_min, len(domains)))
        order = np.searchsorted(domains, labels[first])
        row = np.concatenate((np.arange(len(domains)), order))
        value = np.concatenate((np.ones(len(domains)), -np.ones(len(order))))
        entries = (row, np.concatenate((used, columns.replicas_at[first])), value)
        rows.add(entries, np.full(len(domains), -np.inf), np.zeros(len(domains)))
        at += len(domains)


def _domain_columns(problem: JointProblem, columns: _Columns) -> int:
    """How many columns the spreads' domains take, after all others."""
    return sum(len(np.unique(spread.labels[columns.replica_zone])) for spread in problem.spreads)


def _read_joint(problem: JointProblem, columns: _Columns, answer: tuple[Floats, float]) -> ExactJoint:
    values, bound = answer
    taken = np.round(values[columns.replicas_at]).astype(np.int64)
    replicas = np.bincount(columns.replica_zone, taken, len(problem.open_cost)).astype(np.int64)
    zones = np.flatnonzero(replicas)
    table = np.zeros(problem.cost_of_share.shape)
    table[columns.share_access, columns.share_zone] = np.maximum(values[: len(columns.share_access)], 0.0)
    shares = table[:, zones] / np.maximum(table[:, zones].sum(axis=1, keepdims=True), 1e-12)
    cost = np.where(shares > 0, problem.cost_of_share[:, zones] * shares, 0.0).sum()
    objective = float(cost + problem.replica_cost[zones] @ replicas[zones] + problem.open_cost[zones].sum())
    return ExactJoint(tuple(zones.tolist()), tuple(replicas[zones].tolist()), shares, objective, float(bound))


def _nothing(*, proven: bool) -> ExactJoint:
    return ExactJoint((), (), np.zeros((0, 0)), np.inf, np.inf if proven else -np.inf, proven)


@dataclass(frozen=True, slots=True)
class ExactRepacking:
    """Zones (W,), -1 for none, the objective of those placed, and a lower bound on it for as many placed."""

    zones: Ints
    objective: float
    lower_bound: float
    unplaced: int
    missing_cost: float = 0.0

    @property
    def gap(self) -> float:
        """How far the objective may be above the optimum for as many placed, relative to it."""
        return (self.objective - self.lower_bound) / max(abs(self.objective), 1e-9)

    def bound_for(self, unplaced: int) -> float:
        """A lower bound on the objective of every packing that leaves so many without a zone."""
        return self.lower_bound + self.missing_cost * (self.unplaced - unplaced)


def solve_repacking(problem: RepackingProblem, limits: ExactLimits | None = None) -> ExactRepacking:
    """The optimum of re-packing: fewest without a zone, then least cost, within the limits.

    The bound is of the sum in which a workload without a zone costs more than all others together. Without a solution
    in time the objective is infinite, and the bound is for all workloads placed.
    """
    asked = limits or ExactLimits()
    cost = problem.cost_with_moves()
    count, zones = cost.shape
    workload, zone = np.nonzero(np.isfinite(cost))
    pairs = len(workload)
    missing = 1.0 + 2.0 * (float(np.abs(cost[workload, zone]).max(initial=0.0)) * count + problem.open_cost.sum())
    objective = np.concatenate((cost[workload, zone], np.full(count, missing), problem.open_cost))
    rows = Rows(pairs + count + zones)
    _repacking_rows(problem, (workload, zone), rows)
    integral = np.concatenate((np.ones(pairs), np.zeros(count), np.ones(zones)))
    result = scipy.optimize.milp(
        objective,
        integrality=integral,
        bounds=scipy.optimize.Bounds(0, 1),
        constraints=rows.constraint(),
        options=asked.options(),
    )
    if result.x is None:
        bound = -np.inf if result.mip_dual_bound is None else float(result.mip_dual_bound)
        return ExactRepacking(np.full(count, -1), np.inf, bound, 0, missing)
    chosen = np.full(count, -1)
    taken = np.flatnonzero(result.x[:pairs] > 0.5)
    chosen[workload[taken]] = zone[taken]
    unplaced = int((chosen < 0).sum())
    bound = float(result.mip_dual_bound) - missing * unplaced
    return ExactRepacking(chosen, repacking_objective(problem, chosen), bound, unplaced, missing)


def _repacking_rows(problem: RepackingProblem, pair: tuple[Ints, Ints], rows: Rows) -> None:
    """Each workload in one zone or none; in open zones only; within capacity, which only open zones have."""
    workload, zone = pair
    count, zones = problem.cost.shape
    pairs = np.arange(len(workload))
    each = (np.concatenate((workload, np.arange(count))), np.arange(len(pairs) + count), np.ones(len(pairs) + count))
    rows.add(each, np.ones(count), np.ones(count))
    opened = len(pairs) + count + zone
    bound = (np.tile(pairs, 2), np.concatenate((pairs, opened)), np.repeat((1.0, -1.0), len(pairs)))
    rows.add(bound, np.full(len(pairs), -np.inf), np.zeros(len(pairs)))
    all_zones = np.arange(zones)
    demands = np.moveaxis(problem.demand_in_zones(), 2, 0)
    for demand, capacity in zip(demands, problem.capacity.T, strict=True):
        scale = max(float(demand.max(initial=1)), 1.0)
        value = np.concatenate((demand[workload, zone] / scale, -capacity / scale))
        where = np.concatenate((pairs, len(pairs) + count + all_zones))
        rows.add((np.concatenate((zone, all_zones)), where, value), np.full(zones, -np.inf), np.zeros(zones))

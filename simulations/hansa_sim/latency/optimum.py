"""The offline optimum: of all fixed splits of users over lawful zones the one with the least mean response time.

Response is round trip, service and wait; the wait of a zone is that of M/G/c after Allen and Cunneen, whose mean number
of waiting requests is a convex function of the zone's load. So the problem is convex, and tangents at loads that were
met turn it into linear programmes (J. E. Kelley, "The cutting-plane method for solving convex programs", 1960), solved
by HiGHS until the bound is within ``GAP``. A router that looks at queues is no fixed split, and may do better.
"""

from __future__ import annotations

import numpy as np
from hansa_control.domain.queueing import erlang_c_each
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_matrix, csr_matrix, vstack

from hansa_sim.latency.views import View

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GAP = 1e-4
STEPS_MAX = 40
FULL = 0.98
"""No zone is loaded above this share where that is possible: beyond it the steady state is far away."""

OVERLOAD_COST_S = 3_600.0
"""What a request counts that no zone has room for: more than any wait that is worth having."""


def best_split(view: View, demand_rps: Floats, mean_us: Ints, queues: tuple[Ints, float]) -> Floats:
    """(U, Z) shares; rows of users without a lawful zone are 0. queues are servers by zone, 0 for none, and the squared
    coefficient of variation of service.
    """
    servers, scv = queues
    usable = view.lawful & (servers > 0) & (demand_rps > 0)[:, None]
    if not usable.any():
        return np.zeros(usable.shape)
    seconds = view.rtt_ns / 1e9 + mean_us[None, :] / 1e6
    cost = np.where(usable, seconds * demand_rps[:, None], np.inf)
    return _cut(_Problem(cost, demand_rps, servers, mean_us / 1e6), scv)


class _Problem:
    """Variables: a share for each usable pair, then by zone the mean number waiting, then by zone load beyond full."""

    def __init__(self, cost: Floats, demand: Floats, servers: Ints, service_s: Floats) -> None:
        """cost is (U, Z), seconds of way and service a second, infinite where a user may not go."""
        users, zones = np.nonzero(np.isfinite(cost))
        self.users, self.zones, self.demand = users, zones, demand
        self.servers, self.service_s = servers, service_s
        self.zone_count, self.pair_count = len(servers), len(users)
        rows = np.unique(users)
        self.cost = np.concatenate(
            [cost[users, zones], np.ones(self.zone_count), np.full(self.zone_count, OVERLOAD_COST_S)]
        )
        width = len(self.cost)
        at = np.searchsorted(rows, users)
        self.once = csr_matrix((np.ones(len(users)), (at, np.arange(len(users)))), shape=(len(rows), width))
        pairs = (zones, np.arange(len(users)))
        self.load = coo_matrix((demand[users], pairs), shape=(self.zone_count, width)).tocsr()
        beyond = coo_matrix(
            (-np.ones(self.zone_count), (np.arange(self.zone_count), np.arange(width - self.zone_count, width))),
            shape=(self.zone_count, width),
        )
        self.bounded = (self.load + beyond).tocsr()
        self.full_rps = FULL * servers / service_s

    def split(self, values: Floats) -> Floats:
        share = np.zeros((len(self.demand), self.zone_count))
        share[self.users, self.zones] = np.clip(values[: self.pair_count], 0.0, 1.0)
        total = share.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(share, total, out=np.zeros_like(share), where=total > 0))


def _cut(problem: _Problem, scv: float) -> Floats:
    rows, bounds = [problem.bounded], [problem.full_rps]
    values = np.zeros(len(problem.cost))
    for _ in range(STEPS_MAX):
        limit, right = vstack(rows), np.concatenate(bounds)
        once = np.ones(problem.once.shape[0])
        found = linprog(problem.cost, A_ub=limit, b_ub=right, A_eq=problem.once, b_eq=once, method="highs")
        if found.x is None:
            raise ValueError(f"the offline optimum was not found: {found.message}")
        values = found.x
        load = np.minimum(np.asarray(problem.load @ values), problem.full_rps)
        waiting = _waiting(load, problem, scv)
        claimed = values[problem.pair_count : problem.pair_count + problem.zone_count]
        if float((waiting - claimed).sum()) <= GAP * max(float(found.fun), 1e-12):
            break
        row, bound = _tangents(problem, load, waiting, scv)
        rows.append(row)
        bounds.append(bound)
    return problem.split(values)


def _tangents(problem: _Problem, load: Floats, waiting: Floats, scv: float) -> tuple[csr_matrix, Floats]:
    """Waiting is at least its tangent at this load: slope x load - waiting <= slope x load' - waiting'."""
    step = np.maximum(problem.full_rps * 1e-5, 1e-9)
    slope = (_waiting(load + step, problem, scv) - waiting) / step
    scaled = csr_matrix(problem.load.multiply(slope[:, None]))
    width = len(problem.cost)
    own = coo_matrix(
        (
            -np.ones(problem.zone_count),
            (np.arange(problem.zone_count), problem.pair_count + np.arange(problem.zone_count)),
        ),
        shape=(problem.zone_count, width),
    )
    return (scaled + own).tocsr(), slope * load - waiting


def _waiting(load_rps: Floats, problem: _Problem, scv: float) -> Floats:
    return waiting_at(load_rps, problem.servers, problem.service_s, scv)


def waiting_at(load_rps: Floats, servers: Ints, service_s: Floats, scv: float) -> Floats:
    """Mean number of waiting requests by zone: M/M/c times (1 + scv) / 2; 0 where there is no server."""
    erlangs = load_rps * service_s
    some = np.maximum(servers, 1)
    delayed = erlang_c_each(erlangs, some)
    waiting = delayed * erlangs / np.maximum(some - erlangs, 1e-9) * (1.0 + scv) / 2
    return np.where(servers > 0, waiting, 0.0)

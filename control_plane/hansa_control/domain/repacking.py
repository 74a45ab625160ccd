"""Re-packing: many workloads on many zones at once, each in one, at least cost within every zone's capacity.

Generalised assignment with opening costs. Construction by regret (Martello and Toth, "Knapsack Problems", 1990, 7.4),
then shifts, swaps and ejections, then ruin and recreate (Schrimpf et al., "Record breaking optimization results using
the ruin and recreate principle", 2000) that closes a zone, opens one, or clears the zones a workload would like; what
is a little worse than the best is accepted at first, less and less towards the end of a round. After each round a
packing is put together of what zones held in all packings seen and of what prices propose (``zone_patterns``). It ends
early where prices say that nothing better can be put together. No chance and no clock: choices walk through all indexes
in a fixed order, and the budget is work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hansa_control.domain.repacking_problem import (
    NOWHERE,
    Bools,
    Floats,
    Ints,
    Repacking,
    RepackingProblem,
    Unplaced,
    repacking_objective,
)
from hansa_control.domain.zone_patterns import Pool, Tables

__all__ = ["Repacking", "RepackingLimits", "RepackingProblem", "Unplaced", "repack", "repacking_objective"]

WORK_MAX = 16_000
"""Default budget, in workloads put anew or what takes as long: below 2 s for 200 workloads on 200 zones."""

SEARCHED = 1_500
"""Work between two recombinations of what the search has seen."""

TOLERANCE = 1e-9
GOLDEN = 0.618_033_988_749_894_8
LIKED = 12
SLACK = 0.1
RUINED_LEAST = 4
RUINED_RANGE = 20


@dataclass(frozen=True, slots=True)
class Twist:
    """How a recreation is disturbed: noise on costs, a part of opening costs, a zone that stays out (-1 none)."""

    turn: int = 0
    without: int = -1
    noise: float = 0.0
    opening: float = 1.0


@dataclass(frozen=True, slots=True)
class RepackingLimits:
    """When to stop: after so much work, or when ``should_stop`` says so."""

    work_max: int = WORK_MAX
    should_stop: Callable[[], bool] | None = None

    def stops(self) -> bool:
        """Whether whoever asked wants no more."""
        return self.should_stop is not None and self.should_stop()


def repack(problem: RepackingProblem, limits: RepackingLimits | None = None) -> Repacking:
    """The best packing found: fewest workloads without a zone first, then least cost."""
    asked = limits or RepackingLimits()
    packing = _Packing(problem)
    packing.insert(np.arange(len(problem.cost)))
    packing.improve()
    while packing.work < asked.work_max and not asked.stops():
        packing.search(min(asked.work_max, packing.work + SEARCHED), asked)
        if packing.work < asked.work_max and packing.recombine(asked):
            break
    return _answer(problem, packing.zone, packing.work)


def _answer(problem: RepackingProblem, zones: Ints, work: int) -> Repacking:
    zones = np.where(zones < problem.cost.shape[1], zones, NOWHERE)
    unplaced = tuple((int(w), _why(problem, int(w))) for w in np.flatnonzero(zones < 0))
    moved = np.flatnonzero((zones >= 0) & (problem.current >= 0) & (zones != problem.current))
    return Repacking(zones, repacking_objective(problem, zones), unplaced, tuple(moved.tolist()), work)


def _why(problem: RepackingProblem, workload: int) -> Unplaced:
    may = problem.admissible[workload] & np.isfinite(problem.cost[workload])
    if not may.any():
        return Unplaced.NO_ADMISSIBLE_ZONE
    fits = (problem.demand_in_zones()[workload] <= problem.capacity).all(axis=1)
    return Unplaced.CAPACITY if (may & fits).any() else Unplaced.TOO_LARGE


class _Packing:
    """A packing that changes. The last column is nowhere: room for all, at a cost above all others together."""

    def __init__(self, problem: RepackingProblem) -> None:
        cost = problem.cost_with_moves()
        finite = cost[np.isfinite(cost)]
        widest = float(np.abs(finite).max(initial=0.0))
        nowhere = 1.0 + 2.0 * (widest * max(len(cost), 1) + float(problem.open_cost.sum()))
        self.cost = np.column_stack((cost, np.full(len(cost), nowhere)))
        demand = problem.demand_in_zones()
        # By dimension first: comparing whole tables is several times faster than a last axis of three.
        self.demand = np.zeros((demand.shape[2], len(cost), demand.shape[1] + 1), dtype=np.int64)
        self.demand[:, :, :-1] = np.moveaxis(demand, 2, 0)
        endless = np.full((demand.shape[2], 1), np.iinfo(np.int64).max // 2)
        self.free = np.concatenate((problem.capacity.T.astype(np.int64), endless), axis=1)
        self.opening = np.concatenate((problem.open_cost, (0.0,)))
        self.count = np.zeros(len(self.opening), dtype=np.int64)
        self.zone = np.full(len(cost), len(self.opening) - 1, dtype=np.int64)
        self.total, self.work, self.turn = 0.0, 0, 0
        self.cost[~_fit(self.demand, self.free[:, None])] = np.inf
        self.pool = Pool(Tables(self.cost, self.demand, self.free[:, :-1].copy(), self.opening))
        self._sequence: Floats = np.asarray(
            (np.arange(1, 64 * len(self.opening) + 8_192) * GOLDEN) % 1.0, dtype=np.float64
        )
        self.liked = np.argsort(self.cost, axis=1, kind="stable")[:, :LIKED]
        typical = float(np.median(self.cost.min(axis=1))) if len(cost) else 0.0
        self.slack = SLACK * (abs(typical) + float(np.median(self.opening[:-1])) if len(self.opening) > 1 else 0.0)

    def put(self, workload: int, zone: int) -> None:
        """Gives a workload its zone."""
        self.total += float(self.cost[workload, zone]) + (0.0 if self.count[zone] else float(self.opening[zone]))
        self.count[zone] += 1
        self.free[:, zone] -= self.demand[:, workload, zone]
        self.zone[workload] = zone

    def take(self, workload: int) -> None:
        """Takes a workload out."""
        zone = int(self.zone[workload])
        self.count[zone] -= 1
        self.total -= float(self.cost[workload, zone]) + (0.0 if self.count[zone] else float(self.opening[zone]))
        self.free[:, zone] += self.demand[:, workload, zone]

    def restore(self, zones: Ints) -> None:
        """Back to an earlier assignment."""
        changed = np.flatnonzero(self.zone != zones).tolist()
        for workload in changed:
            self.take(workload)
        for workload in changed:
            self.put(workload, int(zones[workload]))

    def insert(self, workloads: Ints, twist: Twist | None = None) -> None:
        """Puts workloads, the one that would lose most by waiting first; a twist changes what it sees."""
        seen = twist or Twist()
        rows = self.cost[workloads]
        if seen.noise:
            rows = rows * (1.0 + seen.noise * self._noise(seen.turn, rows.shape))
        free, demand = self.free, self.demand[:, workloads]
        table = rows + np.where(self.count > 0, 0.0, self.opening * seen.opening)
        table[~_fit(demand, free[:, None])] = np.inf
        if seen.without >= 0:
            table[:, seen.without] = np.inf
        lines, waiting = np.arange(len(workloads)), np.ones(len(workloads), dtype=np.bool_)
        for _ in range(len(workloads)):
            zones = table.argmin(axis=1)
            first = table[lines, zones]
            table[lines, zones] = np.inf
            at = int(np.where(waiting, table.min(axis=1) - first, -1.0).argmax())
            table[lines, zones] = first
            zone = int(zones[at])
            self.put(int(workloads[at]), zone)
            still = _fit(demand[:, :, zone], free[:, zone, None]) & (table[:, zone] < np.inf)
            table[:, zone] = np.where(still, rows[:, zone], np.inf)
            table[at] = rows[at] = 0.0
            waiting[at] = False
        self.work += len(workloads)

    def _noise(self, turn: int, shape: tuple[int, int]) -> Floats:
        """Numbers of 0 to 1 that look like chance: a window into a fixed low-discrepancy sequence."""
        count = shape[0] * shape[1]
        begin = _walk(turn, max(len(self._sequence) - count, 1))
        window: Floats = self._sequence[begin : begin + count].reshape(shape)
        return window

    def search(self, work_max: int, limits: RepackingLimits) -> None:
        """Ruins and recreates until so much work is done in all, and ends with the best packing seen."""
        best, best_total, begin = self.zone.copy(), self.total, self.work
        self.pool.learn(best, np.unique(best))
        while self.work < work_max and not limits.stops():
            kept, kept_total = self.zone.copy(), self.total
            self.ruin_and_recreate(self.turn)
            self.turn += 1
            self.pool.learn(self.zone, np.unique(self.zone[self.zone != kept]))
            if self.total < best_total - TOLERANCE * (1 + abs(best_total)):
                best, best_total = self.zone.copy(), self.total
            left = 1.0 - (self.work - begin) / (work_max - begin)
            if self.total > max(kept_total, best_total + self.slack * max(left, 0.0)):
                self.restore(kept)
            self.work += 1
        self.restore(best)
        self.improve()
        self.pool.learn(self.zone, np.unique(self.zone))

    def recombine(self, limits: RepackingLimits) -> bool:
        """Takes the packing put together of patterns, if it is better; whether patterns allow no better one."""
        before, before_total = self.zone.copy(), self.total
        self.pool.work = self.work
        found, is_best = self.pool.improve(before, limits.work_max, limits.stops)
        self.work = self.pool.work
        self.restore(found)
        self.improve()
        if self.total > before_total:
            self.restore(before)
        return is_best

    def ruin_and_recreate(self, turn: int) -> None:
        """Empties a few zones that are near one another, one of them for good every other time; then puts back."""
        workloads, zones = len(self.zone), len(self.opening) - 1
        if not workloads or not zones:
            return
        size = RUINED_LEAST + _walk(turn * 3 + 1, RUINED_RANGE)
        anchor = _walk(turn, workloads)
        closes = int(self.zone[anchor]) if turn % 3 == 0 and self.zone[anchor] < zones else -1
        ruined = self._around(anchor, size, turn)
        noise = (0.0, 0.1, 0.3)[turn // 3 % 3]
        opening = (1.0, 0.5, 0.2, 0.0)[turn // 2 % 4]
        for workload in ruined.tolist():
            self.take(workload)
        self.insert(ruined, Twist(turn, closes, noise, opening))

    def _around(self, anchor: int, size: int, turn: int) -> Ints:
        """About so many workloads: those of the anchor's zone, then of the zones that it would like next."""
        order = self.liked[anchor, _walk(turn, 3) :]
        ranks = np.full(len(self.opening), len(self.opening))
        ranks[order] = np.arange(len(order))
        ranks[self.zone[anchor]] = -1
        ranks[-1] = 0
        rank = ranks[self.zone]
        return np.argsort(rank, kind="stable")[: max(1, min(size, int((rank < len(self.opening)).sum())))]

    def improve(self) -> None:
        """Shifts, swaps and ejections, the best first, until none gains."""
        for _ in range(4 * len(self.zone)):
            if not (self._shift() or self._swap() or self._eject()):
                return

    def _shift_table(self) -> Floats:
        """What each workload's move to each zone would change (W, Z + 1); infinite where it does not fit."""
        rows = np.arange(len(self.zone))
        leaves = self.cost[rows, self.zone] + np.where(self.count[self.zone] == 1, self.opening[self.zone], 0.0)
        enters = self.cost + np.where(self.count > 0, 0.0, self.opening)
        table: Floats = np.where(_fit(self.demand, self.free[:, None]), enters, np.inf) - leaves[:, None]
        table[rows, self.zone] = np.inf
        self.work += 2
        return table

    def _shift(self) -> bool:
        if not len(self.zone):
            return False
        table = self._shift_table()
        at = int(table.argmin())
        if table.flat[at] >= -TOLERANCE * (1 + abs(self.total)):
            return False
        workload, zone = divmod(at, table.shape[1])
        self.take(workload)
        self.put(workload, zone)
        return True

    def _swap(self) -> bool:
        """Exchanges the zones of two workloads where that gains most."""
        zone = self.zone
        here = self.cost[np.arange(len(zone)), zone]
        there = self.cost[:, zone]
        change = there + there.T - here[:, None] - here
        fits = self._fits_instead()
        change = np.where(fits & fits.T & (zone[:, None] != zone), change, np.inf)
        self.work += 2
        at = int(change.argmin())
        if change.flat[at] >= -TOLERANCE * (1 + abs(self.total)):
            return False
        a, b = divmod(at, len(zone))
        to_a, to_b = int(zone[b]), int(zone[a])
        for workload in (a, b):
            self.take(workload)
        self.put(a, to_a)
        self.put(b, to_b)
        return True

    def _fits_instead(self) -> Bools:
        """Whether each workload would fit in the room of each other one (W, W)."""
        zone = self.zone
        room = self.free[:, zone] + self.demand[:, np.arange(len(zone)), zone]
        return _fit(self.demand[:, :, zone], room[:, None])

    def _eject(self) -> bool:
        """A workload takes another's room, which goes where it costs least."""
        zone = self.zone
        table = self._shift_table()
        away, best = table.min(axis=1), table.argmin(axis=1)
        here = self.cost[np.arange(len(zone)), zone]
        change = self.cost[:, zone] - here[:, None] + away
        fits = self._fits_instead() & (zone[:, None] != zone) & (zone[:, None] != best)
        change = np.where(fits, change, np.inf)
        at = int(change.argmin())
        if change.flat[at] >= -TOLERANCE * (1 + abs(self.total)):
            return False
        return self._try_ejection(*divmod(at, len(zone)), int(best[at % len(zone)]))

    def _try_ejection(self, comes: int, goes: int, refuge: int) -> bool:
        before, target, origin = self.total, int(self.zone[goes]), int(self.zone[comes])
        self.take(comes)
        self.take(goes)
        self.put(goes, refuge)
        self.put(comes, target)
        if self.total < before - TOLERANCE:
            return True
        self.take(comes)
        self.take(goes)
        self.put(comes, origin)
        self.put(goes, target)
        return False


def _fit(demand: Ints, room: Ints) -> Bools:
    """Whether demand is within room in every dimension, which comes first."""
    fits: Bools = demand[0] <= room[0] if len(demand) else np.ones(demand.shape[1:], dtype=np.bool_)
    for asked, free in zip(demand[1:], room[1:], strict=True):
        fits &= asked <= free
    return fits


def _walk(step: int, count: int) -> int:
    """A walk through 0..count-1 that visits all, far from one another (multiplication by a golden section)."""
    return (step * 2_654_435_761 >> 7) % count

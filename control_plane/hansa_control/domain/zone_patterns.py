"""Patterns: sets of workloads that fit into one zone together, of which a whole packing is put together.

Re-packing as set partitioning: each workload in one chosen pattern, each zone with one at most (Dantzig and Wolfe
1960; for generalised assignment Savelsbergh, "A branch-and-price algorithm for the generalized assignment problem",
1997). Its linear relaxation knows that a zone is filled by whole workloads, so it lies far nearer the optimum than that
of parts of workloads. Patterns come from packings already found, and from its prices: what a workload's place is worth
and what a zone's room costs name the patterns that would pay. Then patterns are fixed, most certain first, until what
is left is small enough for HiGHS. No clock: work is counted, in the same unit as ``repacking`` counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy  # its parts are loaded when they are first used, as in exact

from hansa_control.domain.repacking_problem import Bools, Floats, Ints

CORE = 10
"""How many workloads of a zone are tried in all combinations when patterns are priced."""

PRICED_PER_ZONE = 3
"""How many patterns of a zone one pricing adds."""

SMALL = 60
"""As many workloads are left to HiGHS; more are first made fewer by fixing patterns."""

COLUMNS_MAX = 300
NODES_MAX = 60
"""How many patterns HiGHS chooses from, and in how many nodes; it seldom leaves the root."""

CERTAIN = 0.99
"""From this part on a pattern of the relaxation is fixed together with others."""

MISSING = 10.0
"""A workload without a zone costs so many times the dearest place here; callers compare by their own price."""

GAIN = 1e-7
WORK_PER_COLUMN = 20
ENTRIES_PER_WORK = 4_000
ROWS_EXTRA = 200
"""What a relaxation and HiGHS count, measured against workloads put anew: 200 rows take one for 10 entries."""


@dataclass(frozen=True, slots=True)
class Tables:
    """A re-packing with nowhere as last zone: cost (W, Z + 1), demand (D, W, Z + 1), room (D, Z), opening (Z + 1,)."""

    cost: Floats
    demand: Ints
    room: Ints
    opening: Floats


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is not fixed yet: workloads that wait (W,), zones that are free (Z,)."""

    waiting: Bools
    free: Bools

    @classmethod
    def of(cls, tables: Tables) -> _Rest:
        return cls(np.ones(len(tables.cost), dtype=np.bool_), np.ones(len(tables.opening) - 1, dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """An optimum of the relaxation: value, part of each column, worth of each workload (W,), rent of each zone (Z,)."""

    value: float
    parts: Floats
    worth: Floats
    rent: Floats


@dataclass(slots=True)
class Pool:
    """All patterns known of one problem, in the order they came; work done with them.

    Costs are above each workload's least, so that none is negative: then a workload in two chosen patterns may leave
    either, and relaxations may ask for each at least once.
    """

    tables: Tables
    work: int = 0
    _zones: list[int] = field(default_factory=list)
    _members: list[Ints] = field(default_factory=list)
    _rows_of: list[Ints] = field(default_factory=list)
    _costs: list[float] = field(default_factory=list)
    _known: set[tuple[int, ...]] = field(default_factory=set)
    _above: Floats = field(init=False)
    _missing: Floats = field(init=False)
    _bits: Floats = field(init=False)
    _demand: Floats = field(init=False)

    def __post_init__(self) -> None:
        cost = self.tables.cost
        self._above = cost[:, :-1] - cost.min(axis=1, keepdims=True, initial=np.inf)
        finite = self._above[np.isfinite(self._above)]
        dear = MISSING * (float(finite.max(initial=0.0)) + float(self.tables.opening.max(initial=0.0)) + 1.0)
        self._missing = np.where(np.isfinite(self._above).any(axis=1), dear, 0.0)
        # Whole numbers below 2**53 as floats, exact still: numpy multiplies only these fast.
        self._bits = ((np.arange(1 << CORE)[:, None] >> np.arange(CORE)) & 1).astype(np.float64)
        self._demand = self.tables.demand[:, :, :-1].astype(np.float64)

    def learn(self, zone: Ints, changed: Ints) -> None:
        """Keeps the patterns that an assignment (W,) has in the zones named."""
        for at in changed.tolist():
            if at < len(self.tables.opening) - 1:
                self._add(at, np.flatnonzero(zone == at))

    def relaxation_work(self) -> int:
        """What one relaxation of all patterns counts; more than its size's part where there are many workloads."""
        entries = sum(map(len, self._members))
        return 1 + entries * (ROWS_EXTRA + len(self.tables.cost)) // ENTRIES_PER_WORK + len(self.tables.opening)

    def improve(self, zone: Ints, work_max: int, stop: Callable[[], bool]) -> tuple[Ints, bool]:
        """An assignment (W,) put together of patterns, and whether no other of them can be cheaper than ``zone``.

        It may be dearer than ``zone``, and leave out more workloads: the caller compares.
        """
        rest, limit = _Rest.of(self.tables), self._value(zone)
        known = np.arange(len(self._zones))
        relaxed, open_ended = self._relax(known, rest), True
        while relaxed is not None and self._after_relaxing() < work_max and not stop():
            open_ended = bool(self._price(relaxed, rest))
            if not open_ended:
                break
            known = np.arange(len(self._zones))
            relaxed = self._relax(known, rest)
        if relaxed is None or relaxed.value >= limit - GAIN * (1 + limit):
            return zone, relaxed is not None and not open_ended
        return self._whole((known, relaxed), rest, (limit, work_max)), False

    def _after_relaxing(self) -> int:
        """The work done once another relaxation is, and HiGHS after it."""
        return self.work + self.relaxation_work() + WORK_PER_COLUMN * min(COLUMNS_MAX, len(self._zones))

    def _add(self, zone: int, members: Ints) -> int:
        key = (zone, *members.tolist())
        if len(key) == 1 or key in self._known:
            return 0
        self._known.add(key)
        self._zones.append(zone)
        self._members.append(members)
        self._rows_of.append(np.array([*key[1:], len(self._above) + zone]))
        self._costs.append(float(self._above[members, zone].sum() + self.tables.opening[zone]))
        return 1

    def _value(self, zone: Ints) -> float:
        """What an assignment costs here: above the least, missing ones at their price."""
        nowhere = len(self.tables.opening) - 1
        placed = np.flatnonzero(zone < nowhere)
        opened = np.unique(zone[placed])
        missing = float(self._missing[zone >= nowhere].sum())
        return float(self._above[placed, zone[placed]].sum() + self.tables.opening[opened].sum()) + missing

    def _rows(self, columns: Ints, rest: _Rest) -> tuple[Floats, scipy.sparse.csc_array, Floats]:
        """Costs, matrix, and least of each row, one for each workload and zone; last a column for each missing one."""
        count, zones = self._above.shape
        parts = [self._rows_of[at] for at in columns.tolist()]
        ends = np.cumsum([0, *map(len, parts), *([1] * count)])
        row = np.concatenate((*parts, np.arange(count)))
        matrix = scipy.sparse.csc_array(
            (np.where(row < count, 1.0, -1.0), row, ends), shape=(count + zones, len(columns) + count)
        )
        least = np.concatenate((rest.waiting.astype(np.float64), -rest.free.astype(np.float64)))
        return np.concatenate((np.array(self._costs)[columns], self._missing)), matrix, least

    def _relax(self, columns: Ints, rest: _Rest) -> _Relaxed | None:
        self.work += self.relaxation_work() * len(columns) // max(len(self._zones), 1)
        costs, matrix, least = self._rows(columns, rest)
        result = scipy.optimize.linprog(costs, A_ub=-matrix, b_ub=-least, bounds=(0, None), method="highs-ds")
        if result.x is None:
            return None
        price = -result.ineqlin.marginals
        count = len(self._above)
        return _Relaxed(float(result.fun), result.x[: len(columns)], price[:count], price[count:])

    def _price(self, relaxed: _Relaxed, rest: _Rest) -> int:
        """Adds the patterns that gain most at these prices, a few for each zone; how many are new."""
        profit = np.where(rest.waiting[:, None] & rest.free, relaxed.worth[:, None] - self._above, -np.inf)
        sure, core, room = self._cores(profit)
        at = np.arange(core.shape[1])
        gains = np.maximum(profit[core, at], -1.0 / GAIN)
        bits = self._bits[: 1 << len(core), : len(core)]
        value = bits @ gains + np.where(sure, profit, 0.0).sum(axis=0) - self.tables.opening[:-1] - relaxed.rent
        for demand, left in zip(self._demand, room, strict=True):
            value[bits @ demand[core, at] > left] = -np.inf
        kept = min(PRICED_PER_ZONE, len(value) - 1)
        found = 0
        for best in np.argpartition(-value, kept, axis=0)[:kept]:
            for zone in np.flatnonzero(value[best, at] > GAIN).tolist():
                chosen = core[bits[best[zone]] == 1, zone]
                found += self._add(zone, np.sort(np.concatenate((np.flatnonzero(sure[:, zone]), chosen))))
        return found

    def _cores(self, profit: Floats) -> tuple[Bools, Ints, Floats]:
        """Of each zone: who is sure to be in (W, Z), who is tried in all combinations (K, Z), and room left (D, Z).

        By profit for room; where a zone has room for many, all long before the first that does not fit are sure, and
        the core lies around it (Balas and Zemel, "An algorithm for large zero-one knapsack problems", 1980).
        """
        demand, room = self._demand, self.tables.room
        weight = (demand / np.maximum(room, 1)[:, None]).sum(axis=0) + 1.0 / CORE
        dear = np.where(profit > 0, profit / weight, -np.inf)
        order = np.argsort(-dear, axis=0, kind="stable")
        zones = np.arange(order.shape[1])
        lined = np.where(np.isfinite(np.take_along_axis(dear, order, axis=0)), demand[:, order, zones], 0)
        held = np.cumsum(lined, axis=1)
        fits = (held <= room[:, None]).all(axis=0) & (np.take_along_axis(dear, order, axis=0) > 0)
        begin = np.maximum(np.minimum.accumulate(fits, axis=0).sum(axis=0) - CORE // 2, 0)
        begin = np.where((dear > 0).sum(axis=0) <= CORE, 0, np.minimum(begin, max(len(order) - CORE, 0)))
        core = np.take_along_axis(order, begin + np.arange(min(CORE, len(order)))[:, None], axis=0)
        sure = np.zeros(profit.shape, dtype=np.bool_)
        np.put_along_axis(sure, order, np.arange(len(order))[:, None] < begin, axis=0)
        return sure, core, room - np.where(sure, demand, 0).sum(axis=1)

    def _whole(self, found: tuple[Ints, _Relaxed], rest: _Rest, limits: tuple[float, int]) -> Ints:
        """Patterns fixed until few workloads wait, the most certain first; HiGHS for the others."""
        columns, relaxed = found
        chosen: list[int] = []
        while rest.waiting.sum() > SMALL:
            sure = np.flatnonzero(relaxed.parts >= CERTAIN)
            if not len(sure):
                sure = np.array([relaxed.parts.argmax()]) if len(columns) else sure
            if not len(sure) or relaxed.parts[sure[0]] <= GAIN:
                break
            chosen += columns[sure].tolist()
            rest = self._without(rest, chosen)
            self._price(relaxed, rest)
            columns = self._fitting(rest)
            following = self._relax(columns, rest)
            if following is None:
                break
            relaxed = following
        spent = sum(self._costs[at] for at in chosen)
        return self._assignment([*chosen, *self._solve((columns, relaxed), rest, (limits[0] - spent, limits[1]))])

    def _without(self, rest: _Rest, chosen: Sequence[int]) -> _Rest:
        waiting, free = rest.waiting.copy(), rest.free.copy()
        for at in chosen:
            waiting[self._members[at]] = False
            free[self._zones[at]] = False
        return _Rest(waiting, free)

    def _fitting(self, rest: _Rest) -> Ints:
        """Columns of free zones with nobody but who waits."""
        fits = [
            rest.free[zone] and rest.waiting[members].all()
            for zone, members in zip(self._zones, self._members, strict=True)
        ]
        return np.flatnonzero(fits)

    def _solve(self, found: tuple[Ints, _Relaxed], rest: _Rest, limits: tuple[float, int]) -> list[int]:
        """The best of columns that a packing below the limit may have, as far as so many nodes and so much work go."""
        columns, relaxed = found
        if not len(columns):
            return []
        reduced = np.array([self._reduced(at, relaxed) for at in columns.tolist()])
        most = min(COLUMNS_MAX, max(limits[1] - self.work, 0) // WORK_PER_COLUMN)
        order = np.argsort(reduced, kind="stable")[:most]
        kept = columns[np.sort(order[reduced[order] <= limits[0] - relaxed.value + GAIN])]
        if not len(kept):
            return []
        self.work += len(kept) * WORK_PER_COLUMN
        costs, matrix, least = self._rows(kept, rest)
        rows = scipy.optimize.LinearConstraint(matrix, least, np.where(least > 0, 1.0, np.inf))
        options = {"node_limit": NODES_MAX, "mip_rel_gap": 1e-4}
        result = scipy.optimize.milp(
            costs,
            integrality=np.ones(len(costs)),
            bounds=scipy.optimize.Bounds(0, 1),
            constraints=rows,
            options=options,
        )
        return [] if result.x is None else kept[result.x[: len(kept)] > 0.5].tolist()

    def _reduced(self, at: int, relaxed: _Relaxed) -> float:
        return self._costs[at] - float(relaxed.worth[self._members[at]].sum()) + float(relaxed.rent[self._zones[at]])

    def _assignment(self, chosen: Sequence[int]) -> Ints:
        """Zones (W,) of chosen patterns, nowhere where none has a workload, the cheaper where two have."""
        zone = np.full(len(self._above), len(self.tables.opening) - 1, dtype=np.int64)
        cost = self.tables.cost
        for at in chosen:
            members, here = self._members[at], self._zones[at]
            cheaper = members[cost[members, here] < cost[members, zone[members]]]
            zone[cheaper] = here
        return zone

"""In which order workloads move so that each finds room where it goes while it still holds what it leaves.

Make before break: a move takes room in its target first and gives up its origin afterwards. Moves that wait for one
another in a ring are broken by a stopover, a zone in which one of them waits; where there is none they are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_control.domain.repacking_problem import NOWHERE, Bools, Ints, RepackingProblem, repacking_objective

LOSERS_TRIED_MAX = 32


@dataclass(frozen=True, slots=True)
class Step:
    """A workload goes from a zone (-1 none) to another; a stopover is not where it is to stay."""

    workload: int
    origin: int
    target: int
    is_stopover: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """Steps in order, workloads left out because no order gives them room, and where everybody is then (W,)."""

    steps: tuple[Step, ...]
    left_out: tuple[int, ...]
    zones: Ints


def order_moves(problem: RepackingProblem, free: Ints, goal: Ints) -> Order:
    """The steps from ``problem.current`` to the goal (W,), with so much free now (Z, D); the greatest gain first.

    A move that costs more than it gains and whose room nobody needs any more is dropped.
    """
    order = _without_strandings(problem, free, goal)
    for workload in _losers(problem, order)[:LOSERS_TRIED_MAX]:
        fewer = order.zones.copy()
        fewer[workload] = problem.current[workload]
        tried = _without_strandings(problem, free, fewer)
        if not tried.left_out and _objective(problem, tried) <= _objective(problem, order):
            order = Order(tried.steps, order.left_out, tried.zones)
    return order


def _losers(problem: RepackingProblem, order: Order) -> list[int]:
    cost, current = problem.cost_with_moves(), problem.current
    moved = [w for w in range(len(current)) if current[w] >= 0 and order.zones[w] != current[w]]
    loss = {w: float(cost[w, order.zones[w]] - cost[w, current[w]]) for w in moved}
    return sorted((w for w in moved if loss[w] >= 0), key=lambda w: (-loss[w], w))


def _objective(problem: RepackingProblem, order: Order) -> float:
    return repacking_objective(problem, order.zones)


def _without_strandings(problem: RepackingProblem, free: Ints, goal: Ints) -> Order:
    """The order in which nobody's journey ends at a stopover."""
    barred: set[int] = set()
    while True:
        journey = _Journey(problem, free, goal, barred)
        journey.run()
        stranded = [w for w in journey.stopped if journey.zones[w] != goal[w]]
        if not stranded:
            return Order(tuple(journey.steps), tuple(journey.pending), journey.zones)
        barred.update(stranded)


class _Journey:
    """Moves made one after the other until no more can be."""

    def __init__(self, problem: RepackingProblem, free: Ints, goal: Ints, barred: set[int]) -> None:
        self._demand, self._goal = problem.demand_in_zones(), goal
        self._cost = problem.cost_with_moves()
        self._barred = barred
        self._free = free.astype(np.int64).copy()
        self.zones: Ints = problem.current.copy()
        self.steps: list[Step] = []
        self.stopped: list[int] = []
        moving = np.flatnonzero((goal != NOWHERE) & (goal != self.zones)).tolist()
        self.pending: list[int] = sorted(moving, key=lambda w: (-self._gain(w), w))

    def _gain(self, workload: int) -> float:
        here = int(self.zones[workload])
        stays = float(self._cost[workload, here]) if here >= 0 else 0.0
        return stays - float(self._cost[workload, self._goal[workload]])

    def run(self) -> None:
        """Until everybody has arrived or nobody can move."""
        while self.pending:
            able = next((w for w in self.pending if self._has_room(w, int(self._goal[w]))), None)
            if able is not None:
                self._go(able, int(self._goal[able]))
                self.pending.remove(able)
            elif not self._step_aside():
                return

    def _has_room(self, workload: int, zone: int) -> bool:
        return bool((self._demand[workload, zone] <= self._free[zone]).all())

    def _go(self, workload: int, zone: int, *, is_stopover: bool = False) -> None:
        origin = int(self.zones[workload])
        self._free[zone] -= self._demand[workload, zone]
        if origin >= 0:
            self._free[origin] += self._demand[workload, origin]
        self.zones[workload] = zone
        self.steps.append(Step(workload, origin, zone, is_stopover))

    def _step_aside(self) -> bool:
        """Lets one that is in another's way wait elsewhere; False where that helps nobody."""
        for workload in self.pending:
            origin = int(self.zones[workload])
            if workload in self._barred or workload in self.stopped or origin < 0 or not self._blocks(workload):
                continue
            room = self._refuges(workload)
            if room.any():
                refuge = int(np.where(room, self._cost[workload], np.inf).argmin())
                self.stopped.append(workload)
                self._go(workload, refuge, is_stopover=True)
                return True
        return False

    def _refuges(self, workload: int) -> Bools:
        room: Bools = (self._demand[workload] <= self._free).all(axis=1) & np.isfinite(self._cost[workload])
        room[[int(self.zones[workload]), int(self._goal[workload])]] = False
        return room

    def _blocks(self, workload: int) -> bool:
        """Whether somebody could go at once if this one were gone."""
        origin = int(self.zones[workload])
        room = self._free[origin] + self._demand[workload, origin]
        return any(
            bool((self._demand[other, origin] <= room).all())
            for other in self.pending
            if other != workload and self._goal[other] == origin
        )

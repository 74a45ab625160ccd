"""Where joint search moves: costs without infinities, and what a set of replicas costs with its cheapest shares.

Demand that the open zones cannot serve goes to a column of its own, the unserved, at a cost above any zone's; so every
set of replicas has a cost, and the search climbs out of what is not feasible by the same moves that improve a plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_control.domain.joint_problem import Floats, Ints, JointProblem
from hansa_control.domain.transport import EPSILON, Flows, Start, cheapest_shares

EVALUATION_WORK, EVALUATION_WORK_CAPACITATED, STEP_WORK = 350, 1_900, 140
"""Work of one evaluation, where room is not and is scarce, and of one push of its shares: measured."""

BEGINNING_WORK, COSTS_PER_WORK = 3_000, 25
"""Work before and after a search, and how many costs are one more: measured."""

REPAIRS_MAX = 4


@dataclass(frozen=True, slots=True)
class Position:
    """Replicas of every zone (Z,), the open zones, their cheapest shares, and the cost with what is missing."""

    replicas: Ints
    open_zones: Ints
    flows: Flows
    total: float
    feasible: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """What a set of zones counts: replicas, zones, and per spread the zones and replicas of each domain."""

    replicas: int
    zones: int
    zones_of: tuple[Ints, ...]
    replicas_of: tuple[Ints, ...]


class Arena:
    """The problem as the search sees it; ``work`` counts what was done."""

    def __init__(self, problem: JointProblem) -> None:
        self.problem, self.bounds = problem, problem.bounds
        self.work = BEGINNING_WORK + problem.cost_of_share.size // COSTS_PER_WORK
        self.demand = problem.demand_millirps.astype(np.float64)
        self.demand_sum = float(self.demand.sum())
        highest = max(int(problem.demand_millirps.sum()), 1) * 2
        self.room = np.minimum(problem.load_max_millirps, highest).astype(np.float64)
        most = min(self.room.shape[1] - 1, self.bounds.replicas_max)
        self.free = np.clip(problem.replicas_free, 0, most)
        self.fixed, self.replica_cost = problem.open_cost, problem.replica_cost
        self.domains = tuple(_dense(spread.labels) for spread in problem.spreads)
        self.domain_counts = tuple(int(labels.max(initial=0)) + 1 for labels in self.domains)
        self.usable = (self.free > 0) & problem.admissible.any(axis=0) & np.isfinite(self.fixed)
        self.is_capacitated = bool((self.room[self.usable, 1] < self.demand_sum).any())
        self._price_missing()

    def _price_missing(self) -> None:
        known = np.where(self.problem.admissible, self.problem.cost_of_share, -np.inf)
        highest = np.maximum(known.max(axis=1), 0.0)
        usable = np.abs(self.fixed[self.usable]) + self.replica_cost[self.usable]
        self.weight = 1e-6 + float(highest.sum()) + min(self.bounds.zones_max, 8) * float(usable.max(initial=0.0))
        parts = self.demand / self.demand_sum if self.demand_sum else np.zeros(len(self.demand))
        self.unserved = highest + self.weight * (parts + 1.0 / max(len(parts), 1))
        never = 4.0 * self.unserved + self.weight
        self.cost = np.where(self.problem.admissible, self.problem.cost_of_share, never[:, None])

    def make_missing_dearer(self) -> None:
        """Raises what missing service costs, for a search that stays infeasible."""
        self.weight *= 4.0
        self.unserved = self.unserved * 4.0
        self.cost = np.where(self.problem.admissible, self.cost, (5.0 * self.unserved)[:, None])

    def shape_of(self, replicas: Ints) -> Shape:
        """Counts of a set of replicas (Z,)."""
        zones = np.flatnonzero(replicas)
        held = replicas[zones]
        pairs = tuple(zip(self.domains, self.domain_counts, strict=True))
        return Shape(
            int(held.sum()),
            len(zones),
            tuple(np.bincount(labels[zones], minlength=size) for labels, size in pairs),
            tuple(np.bincount(labels[zones], held, size).astype(np.int64) for labels, size in pairs),
        )

    def domain_room(self, replicas: Ints) -> Ints:
        """How many more replicas the spread lets each zone have (Z,)."""
        room = np.full(len(replicas), self.bounds.replicas_max)
        shape = self.shape_of(replicas)
        for spread, labels, held in zip(self.problem.spreads, self.domains, shape.replicas_of, strict=True):
            if spread.replicas_per_domain_max:
                room = np.minimum(room, (spread.replicas_per_domain_max - held)[labels])
        return room

    def evaluate(self, replicas: Ints, near: Position | None = None) -> Position:
        """The set's position after filling up to the least number of replicas, adding what load needs, and trimming.

        A position nearby lends its prices, which saves steps and changes nothing else.
        """
        replicas = self._fill(self.without_fill(replicas))
        position = self._weigh(replicas, near)
        for _ in range(REPAIRS_MAX if self.is_capacitated else 0):
            more = self._repair(position)
            if more is None:
                break
            position = self._weigh(more, position)
        return self._trim(position)

    def _weigh(self, replicas: Ints, near: Position | None) -> Position:
        zones = np.flatnonzero(replicas)
        flows = self.shares_within(zones, self.room[zones, replicas[zones]], near)
        once = EVALUATION_WORK_CAPACITATED if self.is_capacitated else EVALUATION_WORK
        self.work += once + STEP_WORK * flows.steps
        lacking = self._lacking(replicas)
        total = flows.cost + self.set_cost(replicas) + self.weight * lacking
        served = bool((flows.shares[:, -1] < EPSILON).all())
        return Position(replicas, zones, flows, total, served and not lacking)

    def shares_within(self, zones: Ints, room: Floats, near: Position | None = None) -> Flows:
        """The cheapest shares of zones (k,) with so much room (k,), and of the unserved in the last column."""
        cost = self.cost_with_unserved(zones)
        room = np.concatenate((room, (np.inf,)))
        if not self.is_capacitated:
            return cheapest_shares(cost, self.demand, room)
        if near is None:
            return cheapest_shares(cost, self.demand, room, Start(np.zeros(len(room)), np.zeros(cost.shape)))
        return cheapest_shares(cost, self.demand, room, self._start_near(near, zones, (cost, room)))

    def cost_with_unserved(self, zones: Ints) -> Floats:
        """Costs of zones (k,) and of the unserved in the last column (A, k + 1), to write on."""
        cost = np.empty((len(self.demand), len(zones) + 1))
        cost[:, :-1], cost[:, -1] = self.cost.take(zones, axis=1), self.unserved
        return cost

    def _start_near(self, near: Position, zones: Ints, table: tuple[Floats, Floats]) -> Start:
        """Prices and shares to start from: those of the position nearby, and in a zone it lacks what fills it."""
        cost, room = table
        where = np.searchsorted(near.open_zones, zones)
        where = np.where(near.replicas[zones] > 0, where, len(near.open_zones))
        columns = np.concatenate((where, (len(near.open_zones),)))
        price, shares = near.flows.price[columns], near.flows.shares[:, columns]
        added = np.flatnonzero(near.replicas[zones] == 0)
        if len(added):
            shares[:, added] = 0.0
            price[added] = np.inf
            value = (cost + self.demand[:, None] * np.where(np.isfinite(price), price, 1e30)).min(axis=1)
            price[added] = filling_price(value, cost[:, added], (self.demand, room[added]))
        return Start(price, shares)

    def set_cost(self, replicas: Ints) -> float:
        """Cost of zones and replicas, without shares."""
        zones = np.flatnonzero(replicas)
        return float((self.fixed[zones] + self.replica_cost[zones] * replicas[zones]).sum())

    def cost_of_count(self, zones: Ints, count: int) -> float:
        """What so many zones lack or have too many; without scarce room also replicas, as cheap as in any of zones."""
        bounds = self.bounds
        if count > min(bounds.zones_max, bounds.replicas_max):  # a zone has at least one replica
            return float("inf")
        cost = max(bounds.zones_min - count, 0) * self.weight
        missing = 0 if self.is_capacitated else max(bounds.replicas_min - count, 0)
        return cost + missing * float(self.replica_cost[zones].min(initial=np.inf)) if missing and len(zones) else cost

    def _lacking(self, replicas: Ints) -> int:
        """How many zones, replicas and domains are missing."""
        if self.bounds.zones_min <= 1 and self.bounds.replicas_min <= 1 and not self.domains:
            return 0
        shape = self.shape_of(replicas)
        missing = max(0, self.bounds.zones_min - shape.zones) + max(0, self.bounds.replicas_min - shape.replicas)
        for spread, zones in zip(self.problem.spreads, shape.zones_of, strict=True):
            missing += max(0, spread.domains_min - int((zones > 0).sum()))
        return missing

    def without_fill(self, replicas: Ints) -> Ints:
        """One replica a zone where room is not scarce: more of them only fill up to the least number."""
        if self.is_capacitated or self.bounds.replicas_min <= 1:
            return replicas
        return np.minimum(replicas, 1)

    def _fill(self, replicas: Ints) -> Ints:
        """Replicas up to replicas_min, each where it is cheapest among open zones."""
        missing = self.bounds.replicas_min - int(replicas.sum())
        if missing <= 0:
            return replicas
        filled = replicas.copy()
        for _ in range(missing):
            zones = np.flatnonzero((filled > 0) & (filled < self.free) & (self.domain_room(filled) > 0))
            if not len(zones):
                break
            filled[zones[self.replica_cost[zones].argmin()]] += 1
        return filled

    def _repair(self, position: Position) -> Ints | None:
        """One more replica where room is worth most, while demand is unserved; None where that cannot help."""
        zones, replicas = position.open_zones, position.replicas
        if position.flows.load[-1] <= EPSILON or int(replicas.sum()) >= self.bounds.replicas_max:
            return None
        held = replicas[zones]
        may = (held < self.free[zones]) & (self.domain_room(replicas)[zones] > 0)
        wider = np.minimum(held + 1, self.free[zones])
        gain = position.flows.price[:-1] * (self.room[zones, wider] - self.room[zones, held])
        gain = np.where(may, gain - self.replica_cost[zones], -np.inf)
        if not len(zones) or gain.max() <= 0:
            return None
        more = replicas.copy()
        more[zones[gain.argmax()]] += 1
        return more

    def _trim(self, position: Position) -> Position:
        """Without replicas that carry no load, as long as replicas_min allows."""
        zones, held = position.open_zones, position.replicas[position.open_zones]
        spare = int(held.sum()) - self.bounds.replicas_min
        if spare <= 0 or not self.is_capacitated or (held <= 1).all():
            return position
        need = (self.room[zones] < position.flows.load[:-1, None] - EPSILON).sum(axis=1)
        surplus = held - np.maximum(need, 1)
        trimmed = position.replicas.copy()
        for at in np.argsort(-self.replica_cost[zones], kind="stable"):
            cut = min(spare, int(surplus[at]))
            trimmed[zones[at]] -= cut
            spare -= cut
        saved = float(self.replica_cost @ (position.replicas - trimmed))
        return Position(trimmed, zones, position.flows, position.total - saved, position.feasible)


def filling_price(value: Floats, cost: Floats, load: tuple[Floats, Floats]) -> Floats:
    """Price of room at which an opening zone is just full (n,), by a fractional knapsack: load is (demand, room).

    ``value`` (A,) is what the access points cost elsewhere, ``cost`` (A, n) what they cost there.
    """
    demand, room = load
    gain = (value[:, None] - cost) / np.maximum(demand, 1e-12)[:, None]
    order = np.argsort(-gain, axis=0)
    filled = np.cumsum(demand[order], axis=0)
    at = np.minimum((filled <= room).sum(axis=0), len(value) - 1)
    columns = np.arange(len(room))
    return np.maximum(np.where(filled[-1] > room, gain[order[at, columns], columns], 0.0), 0.0)


def _dense(labels: Ints) -> Ints:
    """Labels as 0, 1, 2, ... in their order."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)

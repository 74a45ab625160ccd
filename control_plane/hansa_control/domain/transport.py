"""Shares for given zones: demand to zones at least cost within each zone's room, and its rounding to thousandths.

The transportation problem of Hitchcock (1941), solved by successive shortest paths (Ahuja, Magnanti, Orlin, "Network
Flows", 1993, 9.7): all demand starts at its cheapest zone, which is optimal without bounds, and what is too much is
pushed on along cheapest chains of zones, which keeps it optimal. Chains run over few zones, not over access points.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hansa_control.domain.joint_problem import SHARE_UNITS, Floats, Ints

EPSILON = 1e-9
INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Flows:
    """Shares (A, k) as parts of one, each zone's load and price (k,): cost saved per millirps of further room."""

    shares: Floats
    load: Floats
    price: Floats
    cost: float
    steps: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where to start from: prices (k,) near those of the answer, and shares (A, k) of which rows may be incomplete.

    Neither changes the answer; the nearer they are, the fewer steps it takes. Shares that are not cheapest at the
    prices are not used.
    """

    price: Floats
    shares: Floats


def cheapest_shares(cost: Floats, demand: Floats, room: Floats, start: Start | None = None) -> Flows:
    """The cheapest shares of access points (A, k) within room (k,), millirps.

    The last column must have room for all: it stands for demand that is not served.
    """
    count, zones = cost.shape
    rows = np.arange(count)
    choice = cost.argmin(axis=1)
    load: Floats = np.bincount(choice, weights=demand, minlength=zones).astype(np.float64)
    if (load <= room + EPSILON).all():
        shares = np.zeros((count, zones))
        shares[rows, choice] = 1.0
        return Flows(shares, load, np.zeros(zones), float(cost[rows, choice].sum()), 0)
    begun = start or Start(np.zeros(zones), np.zeros((count, zones)))
    pushed = _Push(cost, demand, room, Start(begun.price, _cheapest_at(cost, demand, begun)))
    steps = pushed.run()
    shares = np.zeros((count, zones))
    shares[rows, choice] = 1.0
    shares[demand > 0] = pushed.shares[:-1]
    return Flows(shares, demand @ shares, pushed.prices(), float((shares * cost).sum()), steps)


def _cheapest_at(cost: Floats, demand: Floats, start: Start) -> Floats:
    """Rows of the start that are cheapest at its prices and complete; the others go to their cheapest zone."""
    reduced = cost + demand[:, None] * start.price
    choice = reduced.argmin(axis=1)
    least = reduced.min(axis=1)
    dearer = reduced > (least + EPSILON * (1.0 + np.abs(least)))[:, None]
    kept = np.where(dearer, 0.0, start.shares)
    kept[np.arange(len(cost)), choice] += 1.0 - kept.sum(axis=1)
    return np.maximum(kept, 0.0)


class _Push:
    """Pushes load along cheapest chains of zones until every zone has just its room.

    Room that stays empty is a further access point that every zone serves at no cost. It starts where room has no
    price, so that the start is optimal at the given prices, and each push keeps it optimal.
    """

    def __init__(self, cost: Floats, demand: Floats, room: Floats, start: Start) -> None:
        shares, price = start.shares, start.price
        busy = demand > 0
        finite = np.append(room[:-1], demand.sum())
        empty = finite.sum() - demand.sum()
        self.demand = np.append(demand[busy], empty)
        unit = np.concatenate((cost[busy] / demand[busy, None], np.zeros((1, len(room)))))
        load = demand @ shares
        slack = np.where(price > 0, 0.0, np.maximum(finite - load, 0.0))
        slack *= min(1.0, empty / max(float(slack.sum()), EPSILON))
        slack[-1] += max(0.0, empty - float(slack.sum()))
        begun = np.concatenate((shares[busy], slack[None] / max(empty, EPSILON)))
        self._unit: list[list[float]] = unit.tolist()
        self._users: list[list[int]] = [[] for _ in room]
        self._mover: list[list[int]] = [[-1] * len(room) for _ in room]
        self._hop: list[list[float]] = [[INFINITE] * len(room) for _ in room]
        for a, zone in np.argwhere(begun > 0).tolist():
            self._join(zone, a)
        self._held: list[list[float]] = begun.tolist()
        self._weight: list[float] = self.demand.tolist()
        self.over: list[float] = (load + slack - finite).tolist()
        self._price: list[float] = price.tolist()
        self.tolerance = EPSILON * (1.0 + float(demand.sum()))

    @property
    def shares(self) -> Floats:
        """Shares of access points with demand, and last of the room that stays empty."""
        return np.array(self._held)

    def run(self) -> int:
        """Steps taken until every zone has its room."""
        steps, limit = 0, 8 * len(self._held) * len(self.over)
        while max(self.over) > self.tolerance and steps < limit:
            self._step()
            steps += 1
        return steps

    def prices(self) -> Floats:
        """What each zone's room is worth: the potentials that the last chain left, over those of zones with room."""
        prices = np.array(self._price)
        return np.asarray(prices - prices.min())

    def _step(self) -> None:
        chain = self._cheapest_chain()
        self._shift(list(pairwise(chain)))

    def _cheapest_chain(self) -> list[int]:
        """From a zone with too much load to one with room, by Dijkstra over hops reduced by prices, which rise."""
        over, price, zones = self.over, self._price, range(len(self.over))
        distance = [0.0 if load > self.tolerance else INFINITE for load in over]
        before, waiting, found = [-1] * len(over), list(zones), -1
        while found < 0:
            u = min(waiting, key=distance.__getitem__)
            waiting.remove(u)
            if over[u] < -self.tolerance:
                found = u
            base, least, hop = distance[u] - price[u], distance[u], self._hop[u]
            for v in waiting if found < 0 else ():
                reached = base + hop[v] + price[v]
                if reached < distance[v]:
                    # Reduced hops are never below nothing, but for rounding.
                    distance[v], before[v] = reached if reached > least else least, u
        self._price = [price[z] + max(distance[found] - distance[z], 0.0) for z in zones]
        chain = [found]
        while before[chain[-1]] >= 0:
            chain.append(before[chain[-1]])
        return chain[::-1]

    def _shift(self, hops: list[tuple[int, int]]) -> None:
        first, last = hops[0][0], hops[-1][1]
        movers = [self._mover[u][v] for u, v in hops]
        held = [self._held[a][u] * self._weight[a] for a, (u, _) in zip(movers, hops, strict=True)]
        amount = min(self.over[first], -self.over[last], *held)
        for a, (u, v) in zip(movers, hops, strict=True):
            shares = self._held[a]
            left = shares[u] - amount / self._weight[a]
            moved = left if left > EPSILON else 0.0
            joins, leaves = not shares[v], not moved
            shares[v] += shares[u] - moved
            shares[u] = moved
            if joins:
                self._join(v, a)
            if leaves:
                self._leave(u, a)
        self.over[first] -= amount
        self.over[last] += amount

    def _join(self, zone: int, a: int) -> None:
        """An access point that a zone now serves may be the cheapest to move from there."""
        self._users[zone].append(a)
        unit, hop, mover = self._unit[a], self._hop[zone], self._mover[zone]
        here = unit[zone]
        for other, there in enumerate(unit):
            if there - here < hop[other]:
                hop[other], mover[other] = there - here, a

    def _leave(self, zone: int, a: int) -> None:
        """One that it no longer serves is not: the next cheapest is looked for among those that stay."""
        users, hop, mover = self._users[zone], self._hop[zone], self._mover[zone]
        users.remove(a)
        units = [self._unit[user] for user in users]
        for other in [other for other, mover_there in enumerate(mover) if mover_there == a]:
            costs = [unit[other] - unit[zone] for unit in units]
            hop[other] = min(costs, default=INFINITE)
            mover[other] = users[costs.index(hop[other])] if costs else -1


def round_shares(shares: Floats, cost: Floats, demand: Ints, room: Ints) -> Ints | None:
    """Shares (A, k) as whole thousandths whose rows sum to 1,000 and that keep each zone's room; None where none fit.

    Rounded down first; what is missing goes, an access point after the other, to its cheapest zone with room left.
    """
    whole = np.floor(shares * SHARE_UNITS + 1e-6).astype(np.int64)
    left = [int(room[z]) * SHARE_UNITS - int(whole[:, z] @ demand) for z in range(len(room))]
    if min(left) < 0:
        return None
    missing = SHARE_UNITS - whole.sum(axis=1)
    for a in sorted(np.flatnonzero(missing).tolist(), key=lambda a: (-int(demand[a]), a)):
        if not _place(a, int(missing[a]), (whole, cost, demand, left)):
            return None
    return whole


def _place(a: int, missing: int, table: tuple[Ints, Floats, Ints, list[int]]) -> bool:
    whole, cost, demand, left = table
    need = int(demand[a])
    for z in np.argsort(cost[a], kind="stable").tolist():
        fits = missing if need == 0 else min(missing, left[z] // need)
        if fits > 0 and np.isfinite(cost[a, z]):
            whole[a, z] += fits
            left[z] -= fits * need
            missing -= fits
    return missing == 0

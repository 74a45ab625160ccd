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
        unit = np.concatenate((cost[busy] / demand[busy, None], np.zeros((1, len(room))))).T
        self._detour = unit[None] - unit[:, None]
        load = demand @ shares
        slack = np.where(price > 0, 0.0, np.maximum(finite - load, 0.0))
        slack *= min(1.0, empty / max(float(slack.sum()), EPSILON))
        slack[-1] += max(0.0, empty - float(slack.sum()))
        begun = np.concatenate((shares[busy], slack[None] / max(empty, EPSILON)))
        self._possible = np.where(begun.T[:, None] > 0, self._detour, INFINITE)
        self._columns = np.arange(len(room))
        self._mover: list[list[int]] = self._possible.argmin(axis=2).tolist()
        self._hop: list[list[float]] = self._possible.min(axis=2).tolist()
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
        """What each zone's room is worth: the best chain that would end there."""
        distance, _ = _chains([0.0] * len(self.over), self._hop)
        prices: Floats = np.maximum(-np.array(distance), 0.0)
        return prices

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
            if not shares[v]:
                self._possible[v, :, a] = self._detour[v, :, a]
            shares[v] += shares[u] - moved
            shares[u] = moved
            if not moved:
                self._possible[u, :, a] = INFINITE
        self.over[first] -= amount
        self.over[last] += amount
        for zone in {zone for hop in hops for zone in hop}:
            self._look_from(zone)

    def _look_from(self, zone: int) -> None:
        """Finds the cheapest hop from a zone to every other, per millirps, and whose demand makes it."""
        mover = self._possible[zone].argmin(axis=1)
        self._mover[zone] = mover.tolist()
        self._hop[zone] = self._possible[zone, self._columns, mover].tolist()


def _chains(distance: list[float], hop: list[list[float]]) -> tuple[list[float], list[int]]:
    """Bellman-Ford over zones, by a queue: distances (k,) and the zone before each, -1 at a start."""
    before = [-1] * len(distance)
    queue = [z for z, start in enumerate(distance) if start < INFINITE]
    rounds = len(distance) ** 2
    for u in queue:
        base = distance[u]
        for v, further in enumerate(hop[u]):
            reached = base + further
            # The first comparison is implied by the second; it is there because it nearly always settles it.
            if reached < distance[v] and reached < distance[v] - EPSILON * (1.0 + abs(reached)) and v != u:
                distance[v] = reached
                before[v] = u
                if len(queue) < rounds:
                    queue.append(v)
    return distance, before


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

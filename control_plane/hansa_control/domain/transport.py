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
        unit = cost[busy] / demand[busy, None]
        unit = np.concatenate((unit, np.zeros((1, len(room)))))
        self._detour = unit[:, None, :] - unit[:, :, None]
        self._possible = np.empty(self._detour.shape)
        load = demand @ shares
        slack = np.where(price > 0, 0.0, np.maximum(finite - load, 0.0))
        slack *= min(1.0, empty / max(float(slack.sum()), EPSILON))
        slack[-1] += max(0.0, empty - float(slack.sum()))
        self.shares = np.concatenate((shares[busy], slack[None] / max(empty, EPSILON)))
        self.over: list[float] = (load + slack - finite).tolist()
        self.tolerance = EPSILON * (1.0 + float(demand.sum()))

    def run(self) -> int:
        """Steps taken until every zone has its room."""
        steps, limit = 0, 8 * self.shares.size
        while max(self.over) > self.tolerance and steps < limit:
            self._step()
            steps += 1
        return steps

    def prices(self) -> Floats:
        """What each zone's room is worth: the best chain that would end there."""
        distance, _ = _chains([0.0] * len(self.over), self._hops())
        prices: Floats = np.maximum(-np.array(distance), 0.0)
        return prices

    def _step(self) -> None:
        distance, before = _chains([0.0 if over > self.tolerance else INFINITE for over in self.over], self._hops())
        ends = [z for z, over in enumerate(self.over) if over < -self.tolerance]
        chain = [min(ends, key=distance.__getitem__)]
        while before[chain[-1]] >= 0 and len(chain) <= len(self.over):
            chain.append(before[chain[-1]])
        chain.reverse()
        self._shift(list(pairwise(chain)))

    def _shift(self, hops: list[tuple[int, int]]) -> None:
        first, last = hops[0][0], hops[-1][1]
        movers = [int(self._possible[:, u, v].argmin()) for u, v in hops]
        held = [float(self.shares[a, u] * self.demand[a]) for a, (u, _) in zip(movers, hops, strict=True)]
        amount = min(self.over[first], -self.over[last], *held)
        for a, (u, v) in zip(movers, hops, strict=True):
            left = float(self.shares[a, u]) - amount / float(self.demand[a])
            moved = left if left > EPSILON else 0.0
            self.shares[a, v] += self.shares[a, u] - moved
            self.shares[a, u] = moved
        self.over[first] -= amount
        self.over[last] += amount

    def _hops(self) -> list[list[float]]:
        """Cheapest hop between any two zones (k, k), per millirps."""
        np.copyto(self._possible, INFINITE)
        np.copyto(self._possible, self._detour, where=(self.shares > 0)[:, :, None])
        hops: list[list[float]] = self._possible.min(axis=0).tolist()
        return hops


def _chains(distance: list[float], hop: list[list[float]]) -> tuple[list[float], list[int]]:
    """Bellman-Ford over zones, by a queue: distances (k,) and the zone before each, -1 at a start."""
    before = [-1] * len(distance)
    queue = [z for z, start in enumerate(distance) if start < INFINITE]
    rounds = len(distance) ** 2
    for u in queue:
        base = distance[u]
        for v, further in enumerate(hop[u]):
            if base + further < distance[v] - EPSILON * (1.0 + abs(base + further)) and v != u:
                distance[v] = base + further
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

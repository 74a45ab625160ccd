"""Bounds on what several sets of replicas cost, all at once, each at prices of room of its own.

Dual ascent for the shares' transportation problem, a price at a time (Erlenkotter, "A dual-based procedure for
uncapacitated facility location", Operations Research 26, 1978, has the idea): the zone furthest past its room gets the
price at which it is just full, which is the best price that it can have while the others stay. Every price gives a
bound by weak duality, and the search evaluates the sets of the lowest bounds exactly, starting from these prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_control.domain.joint_arena import Arena, Position
from hansa_control.domain.joint_problem import Floats, Ints

ROUNDS = 4
TIGHTENING_WORK, COSTS_PER_WORK = 1_800, 6
"""Work of a tightening beside its costs, and how many of these are one more: measured."""


@dataclass(frozen=True, slots=True)
class _Table:
    """Costs (k, m, A) at no price, rooms (k, m) and demand (A,); the last zone of all stands for the unserved."""

    cost: Floats
    room: Floats
    demand: Floats


def tighten(arena: Arena, position: Position, sets: list[Ints]) -> Floats:
    """Bounds (m,) of sets of replicas (Z,) near a position; what they lack of zones is not in them."""
    zones, held = _open_zones(sets)
    present = np.zeros(len(arena.fixed))
    present[position.open_zones] = position.flows.price[:-1]
    price = np.where(held > 0, present[zones], 0.0)
    own = np.where(held > 0, arena.fixed[zones] + arena.replica_cost[zones] * held, 0.0)
    cost = np.where(held[:, :, None] > 0, arena.cost.T[zones], np.inf)
    cost[-1] = arena.unserved
    room = arena.room[zones, held]
    room[-1] = np.inf
    arena.work += TIGHTENING_WORK + cost.size // COSTS_PER_WORK
    return np.asarray(_ascend(_Table(cost, room, arena.demand), price) + own.sum(axis=0))


def _open_zones(sets: list[Ints]) -> tuple[Ints, Ints]:
    """Open zones of sets, ascending, and their replicas (k, m): padded by no replica, at least once."""
    table = np.array(sets)
    rows, opened = table.nonzero()
    count = np.bincount(rows, minlength=len(sets))
    at = np.arange(len(rows)) - (np.cumsum(count) - count)[rows]
    zones = np.zeros((int(count.max()) + 1, len(sets)), dtype=np.int64)
    held = np.zeros(zones.shape, dtype=np.int64)
    zones[at, rows], held[at, rows] = opened, table[rows, opened]
    return zones, held


def _ascend(table: _Table, price: Floats) -> Floats:
    """Raises and lowers prices (k, m) in place; the value of the dual (m,)."""
    cost = table.cost + table.demand * price[:, :, None]
    columns = np.arange(price.shape[1])
    last = np.full(len(columns), -1)
    for _ in range(ROUNDS):
        load = ((cost <= np.minimum.reduce(cost)) * table.demand).sum(axis=2)
        off = load - table.room
        np.abs(off, out=off, where=price > 0)
        off[last, columns] = -np.inf
        last = off.argmax(axis=0)
        cost[last, columns] = np.inf
        elsewhere, here = np.minimum.reduce(cost), table.cost[last, columns]
        price[last, columns] = _filling(elsewhere - here, table.demand, table.room[last, columns])
        cost[last, columns] = here + table.demand * price[last, columns][:, None]
    room = np.where(price > 0, table.room, 0.0)
    return np.asarray(cost.min(axis=0).sum(axis=1) - (price * room).sum(axis=0))


def _filling(gain: Floats, demand: Floats, room: Floats) -> Floats:
    """Prices (m,) at which rooms (m,) are just full, of what access points gain there (m, A)."""
    rows = np.arange(len(room))
    each = gain / np.maximum(demand, 1e-12)
    order = np.argsort(-each, axis=1)
    filled = np.cumsum(demand[order], axis=1)
    at = np.minimum((filled <= room[:, None]).sum(axis=1), len(demand) - 1)
    return np.where(filled[:, -1] > room, np.maximum(each[rows, order[rows, at]], 0.0), 0.0)

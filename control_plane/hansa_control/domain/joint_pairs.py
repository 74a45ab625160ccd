"""Exchanges of up to two zones for up to two others, all at once, where no room is scarce.

A search that moves one zone at a time gets stuck where two would have to go together; where no room is scarce the cost
of an exchange is a row of minima, so that thousands of them take less than two evaluated moves.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from hansa_control.domain.joint_arena import Arena, Position
from hansa_control.domain.joint_problem import Floats, Ints

COMING_MAX = 24
"""So many zones may come; all pairs of them are looked at."""

PROMISING_MAX = 16

PAIRING_WORK, LEAVING_WORK, COSTS_PER_WORK = 700, 60, 150
"""Work of all exchanges, of each set of zones that leaves, and how many costs are one more: measured."""


def better_exchanges(arena: Arena, position: Position, ranked: Ints) -> list[Ints]:
    """Sets of replicas (Z,) that cost less than the position but for what spread asks, cheapest first.

    ``ranked`` holds zones that may come, the most promising first; the set keeps all bounds from above.
    """
    here = position.open_zones
    coming = ranked[position.replicas[ranked] == 0][:COMING_MAX]
    pairs = np.array([*combinations(range(len(coming) + 1), 2), (len(coming), len(coming))])
    leaving = [gone for size in range(3) for gone in combinations(range(len(here)), size)]
    total = _totals(arena, here, (coming, pairs, leaving))
    arena.work += PAIRING_WORK + LEAVING_WORK * len(leaving) + total.size * len(arena.demand) // COSTS_PER_WORK
    flat = total.ravel()
    lowest = np.sort(np.argpartition(flat, min(PROMISING_MAX, len(flat) - 1))[:PROMISING_MAX])
    better = lowest[flat[lowest] < position.total - 1e-9 * (1.0 + abs(position.total))]
    sets = []
    for at in better[np.argsort(flat[better], kind="stable")].tolist():
        gone, come = divmod(at, len(pairs))
        replicas = np.zeros(len(arena.fixed), dtype=np.int64)
        replicas[np.delete(here, leaving[gone])] = 1
        replicas[coming[pairs[come][pairs[come] < len(coming)]]] = 1
        if (arena.domain_room(replicas)[replicas > 0] >= 0).all():
            sets.append(replicas)
    return sets


def _totals(arena: Arena, here: Ints, exchange: tuple[Ints, Ints, list[tuple[int, ...]]]) -> Floats:
    """Costs (leaving, pairs) without those of spread, infinite where there would be too many zones."""
    coming, pairs, leaving = exchange
    cost = np.concatenate((arena.cost[:, coming], np.full((len(arena.demand), 1), np.inf)), axis=1)
    both = np.minimum(cost[:, pairs[:, 0]], cost[:, pairs[:, 1]])
    own = np.append(arena.fixed[coming] + arena.replica_cost[coming], 0.0)[pairs].sum(axis=1)
    more = (pairs < len(coming)).sum(axis=1)
    stays = arena.cost_with_unserved(here)
    saved = arena.fixed[here] + arena.replica_cost[here]
    counts = range(len(here) - 2, len(here) + 3)
    of_count = np.array([arena.cost_of_count(here, count) for count in counts])
    total = np.empty((len(leaving), len(pairs)))
    buffer = np.empty(both.shape)
    for row, gone in enumerate(leaving):
        kept = np.ones(stays.shape[1], dtype=np.bool_)
        kept[list(gone)] = False
        np.minimum(both, stays[:, kept].min(axis=1)[:, None], out=buffer)
        total[row] = buffer.sum(axis=0) + (own - saved[list(gone)].sum()) + of_count[more - len(gone) + 2]
    return np.asarray(total + saved.sum())

"""Who decides where a request goes, in the event engine: a fixed table, the least expected latency, or the least load.

Every router goes through the zones that are open to a row of users in one order, nearest first; so most decisions look
at few zones: once the way alone is longer than the best found, no later zone can be better.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.model import AHEAD_NS_MAX, NOWHERE, SPEED_PERMILLE, Indices, Ints, Paths, Zones
from hansa_sim.engines.static import check_table


class Way(IntEnum):
    """How the order of choices is gone through."""

    FIRST = 0
    LATENCY = 1
    LOAD = 2


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Goes to the first of ``zones_of`` (U, K) that is not known to be down; ``NOWHERE`` fills up; (U,) is K of 1."""

    zones_of: Indices


@dataclass(frozen=True, slots=True, eq=False)
class LeastLatency:
    """Goes where way, predicted wait and mean service (``demand_ns`` (U,) at speed 1) are least in sum.

    The predicted wait is the one that a request would have had ``stale_ns`` ago, until the zone's first server was free
    by what had reached it then. Equals go to the shorter way, then to the lower zone.
    """

    demand_ns: Ints
    stale_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class LeastLoaded:
    """Goes where there are fewest requests for each server, as it was known ``stale_ns`` ago; equals go to the shorter
    way, then to the lower zone."""

    stale_ns: int = 0


Router = Table | LeastLatency | LeastLoaded


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """``order`` (R, K) int32: zones in the order in which they are looked at; ``base_ns`` (R, K): way and service.

    Rows of users to whom all is alike share one of R rows, ``row_of`` (U,); ``first`` (R,) is one user of each.
    """

    way: Way
    row_of: Indices
    first: Indices
    order: Indices
    base_ns: Ints
    stale_ns: int


def choices(router: Router, paths: Paths, zones: Zones) -> Choices:
    """What the engines need of a router. Raises ValueError where a table leads to a zone that is not open."""
    if isinstance(router, Table):
        table = np.ascontiguousarray(router.zones_of.reshape(len(router.zones_of), -1), dtype=np.int32)
        check_table(table, paths)
        rows, known = np.arange(len(table))[:, None], np.maximum(table, 0)
        row_of, first = _alike(table, paths.there_ns[rows, known], paths.back_ns[rows, known])
        return Choices(Way.FIRST, row_of, first, table[first], np.zeros((len(first), table.shape[1]), np.int64), 0)
    if router.stale_ns < 0:
        raise ValueError(f"stale_ns is {router.stale_ns}; the least is 0")
    is_latency = isinstance(router, LeastLatency)
    demand_ns = router.demand_ns if isinstance(router, LeastLatency) else np.zeros(len(paths.there_ns), np.int64)
    row_of, first = _alike(paths.there_ns, paths.back_ns, paths.allowed, demand_ns[:, None])
    base_ns = paths.there_ns[first] + paths.back_ns[first]
    base_ns += demand_ns[first, None] * SPEED_PERMILLE // zones.speed_permille
    base_ns[~paths.open[first]] = AHEAD_NS_MAX
    order = np.argsort(base_ns, axis=1, kind="stable").astype(np.int32)
    base_ns = np.take_along_axis(base_ns, order, axis=1)
    order[base_ns == AHEAD_NS_MAX] = NOWHERE
    width = max(1, int((order != NOWHERE).sum(axis=1).max(initial=0)))
    way = Way.LATENCY if is_latency else Way.LOAD
    order, base_ns = (np.ascontiguousarray(one[:, :width]) for one in (order, base_ns))
    return Choices(way, row_of, first, order, base_ns, router.stale_ns)


def _alike(*columns: NDArray[Any]) -> tuple[Indices, Indices]:
    """Which row of users is like which, in all columns (U, ...): the number of its kind (U,), and the first of each
    kind."""
    numbers: dict[bytes, int] = {}
    whole = np.concatenate([one.astype(np.int64) for one in columns], axis=1)
    row_of = np.fromiter((numbers.setdefault(one.tobytes(), len(numbers)) for one in whole), np.int32, len(whole))
    return row_of, np.unique(row_of, return_index=True)[1].astype(np.int32)

"""The static engine's loops, in the form that numba compiles."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.model import ANY_WAIT, Indices, Ints, Zones

MOVES_MAX = 12
"""So many moves a request are cheaper than sorting anew: requests reach a zone nearly in the order of their sending."""


class Stations(NamedTuple):
    """Zones with when their servers get free: ``free_ns[first[z] : first[z + 1]]`` is the heap of zone z."""

    first: Ints
    free_ns: Ints
    wait_ns_max: Ints


def stations_of(zones: Zones) -> Stations:
    """Zones with all servers free."""
    first = np.array([0, *accumulate(zones.servers.tolist())], dtype=np.int64)
    return Stations(first, np.zeros(int(first[-1]), np.int64), zones.wait_ns_max)


@jitted
def order_of(zone: Indices, reach_ns: Ints, zones: int) -> Ints:
    """Indices of requests by zone, then by reaching, then as they stand."""
    first = np.zeros(zones + 1, np.int64)
    for one in zone:
        first[one + 1] += 1
    for one in range(zones):
        first[one + 1] += first[one]
    order, ends = np.empty(len(zone), np.int64), first[:-1].copy()
    for at in range(len(zone)):
        order[ends[zone[at]]] = at
        ends[zone[at]] += 1
    for one in range(zones):
        _sort(order[first[one] : first[one + 1]], reach_ns)
    return order


@jitted
def _sort(order: Ints, reach_ns: Ints) -> None:
    """Sorts indices by reaching, in place and stable: by insertion, unless that is too much."""
    moves = MOVES_MAX * len(order)
    for at in range(1, len(order)):
        one = order[at]
        reach, back = reach_ns[one], at
        while back > 0 and reach_ns[order[back - 1]] > reach:
            order[back] = order[back - 1]
            back -= 1
        order[back] = one
        moves -= at - back
        if moves < 0:
            order[:] = order[np.argsort(reach_ns[order], kind="mergesort")]
            return


@jitted
def starts_of(stations: Any, zone: Indices, reach_ns: Ints, service_ns: Ints) -> Ints:
    """When sorted requests are served, (N,) ns; -1 where they are turned away; ``stations`` is Stations as a tuple."""
    first, free_ns, wait_ns_max = stations
    starts = np.empty(len(zone), np.int64)
    for at in range(len(zone)):
        here, reach = zone[at], reach_ns[at]
        lowest = first[here]
        start = max(free_ns[lowest], reach)
        if wait_ns_max[here] != ANY_WAIT and start - reach > wait_ns_max[here]:
            starts[at] = -1
            continue
        sift(free_ns, lowest, first[here + 1] - lowest, start + service_ns[at])
        starts[at] = start
    return starts


@jitted
def sift(heap: Ints, first: int, size: int, value: int) -> None:
    """Puts a value in the place of the least of ``size`` from ``first`` on."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[first + child + 1] < heap[first + child]:
            child += 1
        if heap[first + child] >= value:
            break
        heap[first + at] = heap[first + child]
        at = child
    heap[first + at] = value

"""The static engine's loops, in the form that numba compiles."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import numpy as np

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.model import ANY_WAIT, SPEED_PERMILLE, Indices, Ints, Zones

MOVES_MAX = 12
"""So many moves a request are cheaper than sorting anew: requests reach a zone nearly in the order of their sending."""


class Stations(NamedTuple):
    """Zones with when their servers get free: ``free_ns[first[z] : first[z + 1]]`` is the heap of zone z."""

    first: Ints
    free_ns: Ints
    speed_permille: Ints
    wait_ns_max: Ints


def stations_of(zones: Zones) -> Stations:
    """Zones with all servers free."""
    first = np.array([0, *accumulate(zones.servers.tolist())], dtype=np.int64)
    return Stations(first, np.zeros(int(first[-1]), np.int64), zones.speed_permille, zones.wait_ns_max)


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
def start_of(stations: Stations, zone: int, reach_ns: int, service_ns: int) -> int:
    """Takes a request in and says when it is served, or -1 if it is turned away."""
    first, end = stations.first[zone], stations.first[zone + 1]
    start: int = max(stations.free_ns[first], reach_ns)
    if stations.wait_ns_max[zone] != ANY_WAIT and start - reach_ns > stations.wait_ns_max[zone]:
        return -1
    sift(stations.free_ns[first:end], start + service_ns)
    return start


@jitted
def sift(heap: Ints, value: int) -> None:
    """Puts a value in the place of the least."""
    at, size = 0, len(heap)
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@jitted
def service_of(stations: Stations, zone: int, demand_ns: int) -> int:
    """Time in service of a demand at a zone."""
    speed = stations.speed_permille[zone]
    return demand_ns if speed == SPEED_PERMILLE else demand_ns * SPEED_PERMILLE // speed


@jitted
def starts_of(stations: Stations, zone: Indices, reach_ns: Ints, service_ns: Ints) -> Ints:
    """When sorted requests are served, (N,) ns; -1 where they are turned away."""
    starts = np.empty(len(zone), np.int64)
    for at in range(len(zone)):
        starts[at] = start_of(stations, zone[at], reach_ns[at], service_ns[at])
    return starts

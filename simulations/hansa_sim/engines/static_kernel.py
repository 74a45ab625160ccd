"""The static engine's loops, in the form that numba compiles. Requests on their way are rows of ``waiting``."""

from __future__ import annotations

from typing import Any

import numpy as np

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.model import ANY_WAIT, NOWHERE, SPEED_PERMILLE, Ints

NUMBER, USER, ZONE, AT, REACH, SERVICE, BACK = range(7)
"""Columns of a request on its way."""

WAITING_COLUMNS = 7

FIRST, SERVERS, SPEED, WAIT_MAX = range(4)
"""Columns of a zone: where its servers begin, how many they are, their speed, the longest wait."""

MOVES_MAX = 12
"""So many moves a request are cheaper than sorting anew: requests reach a zone nearly in the order of their sending."""


@jitted
def take(waiting: Ints, count: int, sent: Any, table: Ints, zones: Ints) -> int:
    """Puts the requests of a block (when, user, demand, number of the first) behind the ``count`` that wait already.

    Says how many wait then. ``table`` (U, 3): zone, there and back.
    """
    at_ns, users, demands, first = sent
    for at in range(len(at_ns)):
        user = users[at]
        zone = table[user, 0]
        if zone == NOWHERE:
            continue
        speed, service = zones[zone, SPEED], demands[at]
        waiting[count, NUMBER], waiting[count, USER], waiting[count, ZONE] = first + at, user, zone
        waiting[count, AT], waiting[count, REACH] = at_ns[at], at_ns[at] + table[user, 1]
        waiting[count, SERVICE] = service if speed == SPEED_PERMILLE else service * SPEED_PERMILLE // speed
        waiting[count, BACK] = table[user, 2]
        count += 1
    return count


@jitted
def serve(waiting: Ints, final_ns: int, zones: Ints, free_ns: Ints, done: Any) -> tuple[int, int, int]:
    """Serves all that reach their zone until ``final_ns``, zone after zone.

    Writes into ``done``: visits (N, 9) in the order of Visits, and requests turned away (N, 4): zone, reaching, user,
    sent. Those that still wait move to the front. Returns how many there are of the three.
    """
    visits, turned = done
    order, begins = _by_zone(waiting, final_ns, len(zones))
    served, away = 0, 0
    for zone in range(len(zones)):
        lowest, servers, wait_max = zones[zone, FIRST], zones[zone, SERVERS], zones[zone, WAIT_MAX]
        mine = order[begins[zone] : begins[zone + 1]]
        _sort(mine, waiting)
        for one in mine:
            at, reach = waiting[one, AT], waiting[one, REACH]
            start = max(free_ns[lowest], reach)
            if wait_max != ANY_WAIT and start - reach > wait_max:
                turned[away, 0], turned[away, 1], turned[away, 2], turned[away, 3] = zone, reach, waiting[one, USER], at
                away += 1
                continue
            leave = start + waiting[one, SERVICE]
            sift(free_ns, lowest, servers, leave)
            visits[served, 0], visits[served, 1], visits[served, 2] = waiting[one, NUMBER], waiting[one, USER], zone
            visits[served, 3], visits[served, 4], visits[served, 5] = at, reach, start
            visits[served, 6], visits[served, 7] = leave, leave + waiting[one, BACK] - at
            visits[served, 8] = waiting[one, SERVICE]
            served += 1
    return served, away, _keep(waiting, final_ns)


@jitted
def _by_zone(waiting: Ints, final_ns: int, zones: int) -> tuple[Ints, Ints]:
    """Places of final requests by zone, each in the order of numbers; and where each zone begins."""
    begins = np.zeros(zones + 1, np.int64)
    for at in range(len(waiting)):
        if waiting[at, REACH] <= final_ns:
            begins[waiting[at, ZONE] + 1] += 1
    for zone in range(zones):
        begins[zone + 1] += begins[zone]
    order, ends = np.empty(begins[zones], np.int64), begins[:-1].copy()
    for at in range(len(waiting)):
        if waiting[at, REACH] <= final_ns:
            zone = waiting[at, ZONE]
            order[ends[zone]] = at
            ends[zone] += 1
    return order, begins


@jitted
def _keep(waiting: Ints, final_ns: int) -> int:
    """Moves what is not final to the front, and says how much it is."""
    kept = 0
    for at in range(len(waiting)):
        if waiting[at, REACH] > final_ns:
            for column in range(WAITING_COLUMNS):
                waiting[kept, column] = waiting[at, column]
            kept += 1
    return kept


@jitted
def _sort(order: Ints, waiting: Ints) -> None:
    """Sorts places by reaching, stable: by insertion, unless that is too much."""
    moves = MOVES_MAX * len(order)
    for at in range(1, len(order)):
        one, back = order[at], at
        reach = waiting[one, REACH]
        while back > 0 and waiting[order[back - 1], REACH] > reach:
            order[back] = order[back - 1]
            back -= 1
        order[back] = one
        moves -= at - back
        if moves < 0:
            order[:] = order[np.argsort(waiting[order, REACH], kind="mergesort")]
            return


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

"""The static engine's loops, in the form that numba compiles. Requests come in pieces that stay in the
processor's caches: each is laid out by zone, served zone after zone, and counted at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.model import AHEAD_NS_MAX, ANY_WAIT, NOWHERE, SPEED_PERMILLE, Ints
from hansa_sim.engines.record_kernel import record

REACH, NUMBER, USER, SERVICE, ZONE = range(5)
"""Columns of a request on its way. The last is only of those that wait for a later piece: the others lie by zone."""

FIRST, SERVERS, SPEED, WAIT_MAX = range(4)
"""Columns of a zone: where its servers begin, how many they are, their speed, the longest wait."""

PIECE = 2048
"""Requests that are put in order, served and counted at a time: what is known of so many stays in the second cache."""

MOVES_MAX = 12
"""So many moves a request are cheaper than sorting anew: requests reach a zone nearly in the order of their sending."""


@jitted
def serve(sent: Any, ways: Any, state: Any, done: Any, book: Any) -> tuple[int, int]:
    """Serves the requests of a block as far as nothing that comes later can reach a zone before; without requests, all.

    ``sent``: when, row of users, demand; number of the first; how many wait from before. ``ways``: zone of each row of
    users, there and back (U, 2), the shortest there. ``state``: zones; when their servers get free; ``lot`` (N, 4),
    room for the requests of a piece and those before it; ``late`` (N, 5), those that wait. ``done``: room for the
    visits of a piece, (N, 9) in the order of Visits; and requests turned away (N, 4): zone, reaching, user, sent.
    ``book`` is what ``record`` counts into. Returns how many are turned away, and wait.
    """
    at_ns, _, _, _, waiting = sent
    away, begin = 0, 0
    while True:
        end = min(begin + PIECE, len(at_ns))
        final_ns = at_ns[end - 1] + ways[2] if end else AHEAD_NS_MAX
        ends = lay_by_zone(sent, (begin, end, waiting), ways, state)
        served, away, waiting = serve_lot(ends, final_ns, ways, state, (done, away))
        record(columns(done[0], served), *book)
        begin = end
        if begin == len(at_ns):
            return away, waiting


@jitted
def lay_by_zone(sent: Any, piece: tuple[int, int, int], ways: Any, state: Any) -> Ints:
    """Puts those that wait and those of a piece (from, until, how many wait) zone after zone into the lot, each zone's
    in the order of numbers; where each zone ends."""
    at_ns, users, demands, first, _ = sent
    zone_of, way_ns, _ = ways
    zones, _, lot, late = state
    begin, end, waiting = piece
    ends = np.zeros(len(zones) + 1, np.int64)
    for at in range(waiting):
        ends[late[at, ZONE] + 1] += 1
    for at in range(begin, end):
        ends[zone_of[users[at]] + 1] += 1
    ends[0] = 0  # those that have no zone
    for zone in range(len(zones)):
        ends[zone + 1] += ends[zone]
    for at in range(waiting):
        zone = late[at, ZONE]
        place = np.uintp(ends[zone])
        ends[zone] += 1
        lot[place, REACH], lot[place, NUMBER] = late[at, REACH], late[at, NUMBER]
        lot[place, USER], lot[place, SERVICE] = late[at, USER], late[at, SERVICE]
    for at in range(begin, end):
        user, service = np.uintp(users[at]), demands[at]
        zone = zone_of[user]
        if zone == NOWHERE:
            continue
        speed, place = zones[zone, SPEED], np.uintp(ends[zone])
        ends[zone] += 1
        lot[place, REACH], lot[place, NUMBER] = at_ns[at] + way_ns[user, 0], first + at
        lot[place, USER] = users[at]
        lot[place, SERVICE] = service if speed == SPEED_PERMILLE else service * SPEED_PERMILLE // speed
    return ends


@jitted
def serve_lot(ends: Ints, final_ns: int, ways: Any, state: Any, outbox: Any) -> tuple[int, int, int]:
    """Serves all of a lot that reach their zone until ``final_ns``, zone after zone; the others wait."""
    zones, free_ns, lot, late = state
    (visits, turned), away = outbox
    way_ns, begin, served, waiting = ways[1], 0, 0, 0
    for zone in range(len(zones)):
        lowest, servers, wait_max = zones[zone, FIRST], zones[zone, SERVERS], zones[zone, WAIT_MAX]
        sort_by_reach(lot, begin, ends[zone])
        for one in range(begin, ends[zone]):
            reach, user, service = lot[one, REACH], lot[one, USER], lot[one, SERVICE]
            if reach > final_ns:
                late[waiting, REACH], late[waiting, NUMBER], late[waiting, USER] = reach, lot[one, NUMBER], user
                late[waiting, SERVICE], late[waiting, ZONE] = service, zone
                waiting += 1
                continue
            start, sent_ns = max(free_ns[lowest], reach), reach - way_ns[user, 0]
            if wait_max != ANY_WAIT and start - reach > wait_max:
                turned[away, 0], turned[away, 1], turned[away, 2], turned[away, 3] = zone, reach, user, sent_ns
                away += 1
                continue
            leave = start + service
            sift(free_ns, lowest, servers, leave)
            visits[served, 0], visits[served, 1], visits[served, 2] = lot[one, NUMBER], user, zone
            visits[served, 3], visits[served, 4], visits[served, 5] = sent_ns, reach, start
            visits[served, 6], visits[served, 7] = leave, leave + way_ns[user, 1] - sent_ns
            visits[served, 8] = service
            served += 1
        begin = ends[zone]
    return served, away, waiting


@jitted
def columns(visits: Ints, count: int) -> Any:
    """The first visits as ``record`` takes them."""
    some = visits[:count]
    return (
        some[:, 0], some[:, 1], some[:, 2], some[:, 3], some[:, 4], some[:, 5], some[:, 6], some[:, 7], some[:, 8]
    )  # fmt: skip


@jitted
def sort_by_reach(lot: Ints, begin: int, end: int) -> None:
    """Sorts a zone's part of the lot by reaching, stable: by insertion, unless that is too much."""
    moves = MOVES_MAX * (end - begin)
    for at in range(begin + 1, end):
        reach, back = lot[at, REACH], at
        if lot[at - 1, REACH] <= reach:
            continue
        number, user, service = lot[at, NUMBER], lot[at, USER], lot[at, SERVICE]
        while back > begin and lot[back - 1, REACH] > reach:
            for column in range(4):
                lot[back, column] = lot[back - 1, column]
            back -= 1
        lot[back, REACH], lot[back, NUMBER], lot[back, USER], lot[back, SERVICE] = reach, number, user, service
        moves -= at - back
        if moves < 0:
            order = np.argsort(lot[begin:end, REACH], kind="mergesort")
            lot[begin:end] = lot[begin:end][order]
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

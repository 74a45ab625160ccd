"""The event engine's loops, in the form that numba compiles: what ``event`` does in plain Python, step by step.

One loop holds all arrays as locals, and what it calls takes few: handing many arrays from function to function costs
more than the work itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.model import AHEAD_NS_MAX, ANY_WAIT, NOWHERE, SPEED_PERMILLE, Flags, Indices, Ints
from hansa_sim.engines.static_kernel import sift

WAY_FIRST, WAY_LATENCY, WAY_LOAD = range(3)
"""The values of ``router.Way``."""

CALENDAR, SPARE, NEWS_FROM, NEWS_UNTIL, LEAVING, FLIP, VISITS, FAILED, TURNED = range(9)
"""Places in the registers: how far each array is filled, or read."""

REGISTERS = 9

FREE, SERVERS, SPEED, WAIT_MAX, OUTAGE, KNOWN_DOWN, SEEN_FREE, SEEN_COUNT = range(8)
"""Columns of a zone: where its servers begin, how many, their speed, the longest wait, the outage that ends next,
whether it is known to be down, when its first server gets free and how many are present, as far as routers know."""

ZONE_COLUMNS = 8

ZONE, BASE, THERE, BACK = range(4)
"""What a row of users has of each zone that it may choose: what routers compare it by, and the ways there and back."""

Order = tuple[Ints, int]
"""Choices, and which row of them: a row by itself would cost compiled code counting who refers to it."""


class Rules(NamedTuple):
    """What does not change.

    ``choices`` (R, K, 4): zones in the order in which they are looked at; all that is read of one lies together, and
    rows of users to which all is alike share a row, so that it stays in the caches; ``rows`` (U,) says which.
    ``outages`` (N, 2): down and up, zone after zone, the last of each zone never comes; ``flips`` (F, 3): moment, zone,
    whether it is known to be down from then on."""

    way: int
    stale_ns: int
    tries_max: int
    backoff_ns: int
    rows: Indices
    choices: Ints
    outages: Ints
    flips: Ints


class State(NamedTuple):
    """What changes.

    ``zones`` (Z, 8); ``free_ns``: for each zone a heap of when its servers get free. ``calendar`` (N, 3), a heap: when,
    request number, slot. ``slots`` (N, 6): row of users, zone (or ``-2 - zone`` where it failed last), tries before,
    sent, demand, way back from the zone; ``spare``: free slots. ``news`` (N, 3): when a request reached a zone, the
    zone, when its first server gets free now. ``leaving`` (N, 2), a heap: when, zone.
    """

    registers: Ints
    zones: Ints
    free_ns: Ints
    calendar: Ints
    slots: Ints
    spare: Ints
    news: Ints
    leaving: Ints


class Outbox(NamedTuple):
    """What has happened: ``visits`` (N, 9) in the order of Visits; ``failed`` (N, 2) row of users and when it was sent;
    ``turned`` (N, 2) zone and when it was reached."""

    visits: Ints
    failed: Ints
    turned: Ints


class Sent(NamedTuple):
    """Requests of a block, which rows of users have any place, and the number of the first; no requests at the end."""

    at_ns: Ints
    user: Indices
    demand_ns: Ints
    placed: Flags
    first: int


@jitted
def advance(rules: Any, state: Any, outbox: Any, sent: Any) -> None:
    """Sends the requests of a block, after all that happens before each; without requests, does all that is left.

    Takes Rules, State, Outbox and Sent as plain tuples.
    """
    way, stale_ns, tries_max, backoff_ns, rows, choices, outages, flips = rules
    registers, zones, free_ns, calendar, slots, spare, news, leaving = state
    visits, failed, turned = outbox
    at_ns, users, demands, placed, first = sent
    at, count, is_free = 0, len(at_ns), way != WAY_FIRST or len(flips) > 0
    while True:
        if registers[CALENDAR] and (count == 0 or (at < count and calendar[0, 0] <= at_ns[at])):
            now, number, slot = calendar[0, 0], calendar[0, 1], calendar[0, 2]
            pop_calendar(calendar, registers)
        elif at < count:
            now, number, at = at_ns[at], first + at, at + 1
            if not placed[users[at - 1]]:
                continue
            registers[SPARE] -= 1
            slot = spare[registers[SPARE]]
            slots[slot, 0], slots[slot, 1], slots[slot, 2] = users[at - 1], NOWHERE, 0
            slots[slot, 3], slots[slot, 4] = now, demands[at - 1]
        else:
            return
        user, zone = slots[slot, 0], slots[slot, 1]
        if zone < 0:
            if is_free:
                hear_of_outages(zones, flips, registers, now)
                hear_of_visits(zones, news, leaving, registers, now - stale_ns)
            row, place = rows[user], 0
            if is_free or zone != NOWHERE:
                place = choose(way, zones, (choices, row), -2 - zone, now - stale_ns)
            if place != NOWHERE:
                slots[slot, 1], slots[slot, 5] = choices[row, place, ZONE], choices[row, place, BACK]
                push_calendar(calendar, registers, now + choices[row, place, THERE], number, slot)
                continue
        else:
            down_ns = down_from(zones, zone, outages, free_ns, now)
            lowest, failed_ns = zones[zone, FREE], AHEAD_NS_MAX
            start = max(free_ns[lowest], now)
            if down_ns <= now:
                failed_ns = now
            elif zones[zone, WAIT_MAX] != ANY_WAIT and start - now > zones[zone, WAIT_MAX]:
                note(turned, registers, TURNED, zone, now)
                failed_ns = now
            else:
                service, speed = slots[slot, 4], zones[zone, SPEED]
                service = service if speed == SPEED_PERMILLE else service * SPEED_PERMILLE // speed
                leave = start + service
                sift(free_ns, lowest, zones[zone, SERVERS], leave)
                latency = leave + slots[slot, 5] - slots[slot, 3]
                if leave > down_ns:
                    start, leave, latency, failed_ns = min(start, down_ns), down_ns, -1, down_ns
                visit, registers[VISITS] = registers[VISITS], registers[VISITS] + 1
                visits[visit, 0], visits[visit, 1], visits[visit, 2] = number, user, zone
                visits[visit, 3], visits[visit, 4], visits[visit, 5] = slots[slot, 3], now, start
                visits[visit, 6], visits[visit, 7], visits[visit, 8] = leave, latency, service
                if way != WAY_FIRST:
                    tell(news, registers, now, zone, free_ns[lowest])
                if way == WAY_LOAD:
                    push_leaving(leaving, registers, leave, zone)
            if failed_ns != AHEAD_NS_MAX and slots[slot, 2] + 1 < tries_max:
                slots[slot, 1], slots[slot, 2] = -2 - zone, slots[slot, 2] + 1
                push_calendar(calendar, registers, failed_ns + slots[slot, 5] + backoff_ns, number, slot)
                continue
            zone = NOWHERE if failed_ns != AHEAD_NS_MAX else zone
        if zone < 0:
            note(failed, registers, FAILED, user, slots[slot, 3])
        spare[registers[SPARE]] = slot
        registers[SPARE] += 1


@jitted
def note(happened: Ints, registers: Ints, count: int, who: int, when: int) -> None:
    """Adds to what has happened, of which the register ``count`` counts."""
    happened[registers[count], 0], happened[registers[count], 1] = who, when
    registers[count] += 1


@jitted
def push_calendar(heap: Ints, registers: Ints, now: int, number: int, slot: int) -> None:
    """Enters an event."""
    registers[CALENDAR] += 1
    rise(heap, registers[CALENDAR] - 1, now, number, slot)


@jitted
def pop_calendar(heap: Ints, registers: Ints) -> None:
    """Takes the first event out: the hole goes down to the bottom along the earlier children, and the last event rises
    from there (I. Wegener, "Bottom-up heapsort", 1993). Which child is earlier is computed, not branched on: no
    processor can guess it."""
    registers[CALENDAR] -= 1
    size, hole, child = registers[CALENDAR], 0, 1
    while child < size:
        right = min(child + 1, size)
        now, other = heap[child, 0], heap[right, 0]
        child += int((other < now) | ((other == now) & (heap[right, 1] < heap[child, 1])))
        heap[hole, 0], heap[hole, 1], heap[hole, 2] = heap[child, 0], heap[child, 1], heap[child, 2]
        hole, child = child, 2 * child + 1
    rise(heap, hole, heap[size, 0], heap[size, 1], heap[size, 2])


@jitted
def rise(heap: Ints, hole: int, now: int, number: int, slot: int) -> None:
    """Puts an event into a hole, or above it."""
    while hole > 0:
        above = (hole - 1) >> 1
        if heap[above, 0] < now or (heap[above, 0] == now and heap[above, 1] < number):
            break
        heap[hole, 0], heap[hole, 1], heap[hole, 2] = heap[above, 0], heap[above, 1], heap[above, 2]
        hole = above
    heap[hole, 0], heap[hole, 1], heap[hole, 2] = now, number, slot


@jitted
def choose(way: int, zones: Ints, order: Order, avoided: int, known_ns: int) -> int:
    """The place in a row of choices of the zone for a request that is sent now; that at which it failed last only if
    there is no other."""
    if way == WAY_LATENCY:
        best = least_latency(zones, order, avoided, known_ns)
    elif way == WAY_LOAD:
        best = least_loaded(zones, order, avoided)
    else:
        best = first_up(zones, order, avoided, NOWHERE)
    if best == NOWHERE and avoided >= 0:
        return first_up(zones, order, NOWHERE, avoided)
    return best


@jitted
def first_up(zones: Ints, order: Order, avoided: int, wanted: int) -> int:
    """The first zone that is not known to be down and not ``avoided``; of all zones, or the ``wanted`` one."""
    choices, row = order
    for at in range(choices.shape[1]):
        zone = choices[row, at, ZONE]
        if zone == NOWHERE:
            break
        if zone != avoided and (wanted in (NOWHERE, zone)) and not zones[zone, KNOWN_DOWN]:
            return at
    return NOWHERE


@jitted
def least_latency(zones: Ints, order: Order, avoided: int, known_ns: int) -> int:
    """The zone with the least sum of way, predicted wait and mean service."""
    choices, row = order
    best, best_ns = NOWHERE, AHEAD_NS_MAX
    for at in range(choices.shape[1]):
        zone, total_ns = choices[row, at, ZONE], choices[row, at, BASE]
        if zone == NOWHERE or total_ns >= best_ns:
            break
        if zone == avoided or zones[zone, KNOWN_DOWN]:
            continue
        total_ns += max(zones[zone, SEEN_FREE] - known_ns, 0)
        if total_ns < best_ns:
            best, best_ns = at, total_ns
    return best


@jitted
def least_loaded(zones: Ints, order: Order, avoided: int) -> int:
    """The zone with the fewest requests for each server."""
    choices, row = order
    best, count, servers = NOWHERE, 1, 0
    for at in range(choices.shape[1]):
        zone = choices[row, at, ZONE]
        if zone == NOWHERE:
            break
        if zone == avoided or zones[zone, KNOWN_DOWN]:
            continue
        if zones[zone, SEEN_COUNT] * servers < count * zones[zone, SERVERS]:
            best, count, servers = at, zones[zone, SEEN_COUNT], zones[zone, SERVERS]
            if count == 0:
                break
    return best


@jitted
def hear_of_outages(zones: Ints, flips: Ints, registers: Ints, now: int) -> None:
    """Brings up to date which zones are known to be down."""
    while registers[FLIP] < len(flips) and flips[registers[FLIP], 0] <= now:
        zone, down = flips[registers[FLIP], 1], flips[registers[FLIP], 2]
        registers[FLIP] += 1
        zones[zone, KNOWN_DOWN] = down
        if down:
            zones[zone, SEEN_FREE] = 0


@jitted
def hear_of_visits(zones: Ints, news: Ints, leaving: Ints, registers: Ints, known_ns: int) -> None:
    """Brings up to date what is known of zones' load."""
    while registers[NEWS_FROM] < registers[NEWS_UNTIL] and news[registers[NEWS_FROM], 0] <= known_ns:
        zone = news[registers[NEWS_FROM], 1]
        zones[zone, SEEN_FREE] = news[registers[NEWS_FROM], 2]
        zones[zone, SEEN_COUNT] += 1
        registers[NEWS_FROM] += 1
    while registers[LEAVING] and leaving[0, 0] <= known_ns:
        zones[leaving[0, 1], SEEN_COUNT] -= 1
        pop_leaving(leaving, registers)


@jitted
def tell(news: Ints, registers: Ints, reach: int, zone: int, free_ns: int) -> None:
    """What routers hear of a visit, when it is old enough."""
    count = registers[NEWS_UNTIL]
    news[count, 0], news[count, 1], news[count, 2] = reach, zone, free_ns
    registers[NEWS_UNTIL] += 1


@jitted
def push_leaving(heap: Ints, registers: Ints, leave_ns: int, zone: int) -> None:
    """Enters a request's leaving."""
    at = registers[LEAVING]
    registers[LEAVING] += 1
    while at > 0:
        above = (at - 1) >> 1
        if heap[above, 0] <= leave_ns:
            break
        heap[at, 0], heap[at, 1] = heap[above, 0], heap[above, 1]
        at = above
    heap[at, 0], heap[at, 1] = leave_ns, zone


@jitted
def pop_leaving(heap: Ints, registers: Ints) -> None:
    """Takes the first leaving out."""
    registers[LEAVING] -= 1
    size, at = registers[LEAVING], 0
    leave_ns, zone = heap[size, 0], heap[size, 1]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1, 0] < heap[child, 0]:
            child += 1
        if leave_ns <= heap[child, 0]:
            break
        heap[at, 0], heap[at, 1] = heap[child, 0], heap[child, 1]
        at = child
    heap[at, 0], heap[at, 1] = leave_ns, zone


@jitted
def down_from(zones: Ints, zone: int, outages: Ints, free_ns: Ints, now: int) -> int:
    """When the zone goes down next, or went down if it is; on the way up all its servers are free."""
    at = zones[zone, OUTAGE]
    if outages[at, 1] <= now:
        while outages[at, 1] <= now:
            at += 1
        zones[zone, OUTAGE] = at
        for server in range(zones[zone, SERVERS]):
            free_ns[zones[zone, FREE] + server] = 0
    down_ns: int = outages[at, 0]
    return down_ns

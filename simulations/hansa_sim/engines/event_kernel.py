"""The event engine's loops, in the form that numba compiles: what ``event`` does in plain Python, step by step.

One loop holds all arrays as locals, and what it calls takes few: handing many arrays from function to function costs
more than the work itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.losses import CUT, GAVE_UP, RETRIED, STRUCK
from hansa_sim.engines.model import AHEAD_NS_MAX, ANY_WAIT, NOWHERE, SPEED_PERMILLE, Flags, Indices, Ints
from hansa_sim.engines.static_kernel import sift

WAY_FIRST, WAY_LATENCY, WAY_LOAD = range(3)
"""The values of ``router.Way``."""

CALENDAR, SPARE, NEWS_FROM, NEWS_UNTIL, LEAVING, FLIP, VISITS, LOST, TURNED = range(9)
"""Places in the registers: how far each array is filled, or read."""

REGISTERS = 9

LOSSES_OF_TRY = 2
"""Rows that a try adds to what is lost, at most: how it was lost, and that the request is sent again or given up."""

USER, COMES_TO, TRIES, SENT, DEMAND, WAY_BACK, TRIED, REACHED, STARTED = range(9)
"""Columns of a slot: row of users; zone that the request comes to, ``-2 - zone`` where it failed last, or zone + Z when
its answer sets out; tries before; when it was sent first; demand; way back from the zone. Where anything changes also:
when it was sent this time; and, of an answer that sets out after the next change, when the request reached its zone and
from when on it was served."""

SLOT_COLUMNS = 9

TURNED_AWAY, TAKEN_IN = 100, 101
"""What became of a request in a zone, besides ``losses``."""

FREE, SERVERS, SPEED, WAIT_MAX, OUTAGE, KNOWN_DOWN, SEEN_FREE, SEEN_COUNT = range(8)
"""Columns of a zone: where its servers begin, how many, their speed, the longest wait, the outage that ends next,
whether it is known to be down, when its first server gets free and how many are present, as far as routers know."""

ZONE_COLUMNS = 8

ZONE, BASE, THERE, BACK = range(4)
"""What a row of users has of each zone that it may choose: what routers compare it by, and the ways there and back."""

Order = tuple[Ints, int]
"""Choices, and which row of them: a row by itself would cost compiled code counting who refers to it."""


class Rules(NamedTuple):
    """What does not change before ``until_ns``.

    ``choices`` (R, K, 4): zones in the order in which they are looked at; all that is read of one lies together, and
    rows of users to which all is alike share a row, so that it stays in the caches; ``rows`` (U,) says which.
    ``outages`` (N, 2): down and up, zone after zone, the last of each zone never comes; ``flips`` (F, 3): moment, zone,
    whether it is known to be down from then on. ``ways`` (U, Z, 2), there and back, are as they are, which may be other
    than a router believes; (0, 0, 2) where nothing ever changes."""

    way: int
    stale_ns: int
    tries_max: int
    backoff_ns: int
    timeout_ns: int
    until_ns: int
    rows: Indices
    choices: Ints
    ways: Ints
    outages: Ints
    flips: Ints


class State(NamedTuple):
    """What changes.

    ``zones`` (Z, 8); ``free_ns``: for each zone a heap of when its servers get free. ``calendar`` (N, 3), a heap: when,
    request number, slot. ``slots`` (N, 9): see ``SLOT_COLUMNS``; ``spare``: free slots. ``news`` (N, 3): when a request
    reached a zone, the zone, when its first server gets free now. ``leaving`` (N, 2), a heap: when, zone.
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
    """What has happened: ``visits`` (N, 9) in the order of Visits; ``lost`` (N, 3) row of users, when the request was
    sent first, and what became of it (``losses``); ``turned`` (N, 2) zone and when it was reached."""

    visits: Ints
    lost: Ints
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
    """Sends the requests of a block, after all that happens before each; without requests, does all that is left. Takes
    Rules, State, Outbox and Sent as plain tuples."""
    way, stale_ns, tries_max, backoff_ns, timeout_ns, until_ns, rows, choices, ways, outages, flips = rules
    registers, zones, free_ns, calendar, slots, spare, news, leaving = state
    visits, (at_ns, users, demands, placed, first) = outbox[0], sent
    at, count, is_free, is_changing = 0, len(at_ns), way != WAY_FIRST or len(flips) > 0, len(ways) > 0
    while True:
        if registers[CALENDAR] and (count == 0 or (at < count and calendar[0, 0] <= at_ns[at])):
            now, number, slot = calendar[0, 0], calendar[0, 1], calendar[0, 2]
            pop_calendar(calendar, registers)
        elif at < count:
            now, number, at = at_ns[at], first + at, at + 1
            if not placed[users[at - 1]]:
                continue
            slot, registers[SPARE] = spare[registers[SPARE] - 1], registers[SPARE] - 1
            slots[slot, USER], slots[slot, COMES_TO], slots[slot, TRIES] = users[at - 1], NOWHERE, 0
            slots[slot, SENT], slots[slot, DEMAND] = now, demands[at - 1]
        else:
            return
        user, zone = slots[slot, USER], slots[slot, COMES_TO]
        leave, service, down_ns, fate = now, 0, AHEAD_NS_MAX, TAKEN_IN
        if zone < 0:
            if is_free:
                hear_of_outages(zones, flips, registers, now)
                hear_of_visits(zones, news, leaving, registers, now - stale_ns)
            row, place = rows[user], 0
            if is_free or is_changing or zone != NOWHERE:
                place = choose(way, zones, (choices, row), -2 - zone, now - stale_ns)
            if place != NOWHERE:
                zone, there_ns = choices[row, place, ZONE], choices[row, place, THERE]
                slots[slot, COMES_TO], slots[slot, WAY_BACK] = zone, choices[row, place, BACK]
                if is_changing:
                    slots[slot, TRIED], slots[slot, WAY_BACK], there_ns = now, -1, ways[user, zone, 0]
                if there_ns >= 0:
                    push_calendar(calendar, registers, now + there_ns, number, slot)
                    continue
            fate = GAVE_UP if place == NOWHERE else CUT
        elif zone < len(zones):
            down_ns = down_from(zones, zone, outages, free_ns, now)
            lowest = zones[zone, FREE]
            start, back_ns = max(free_ns[lowest], now), ways[user, zone, 1] if is_changing else slots[slot, WAY_BACK]
            if down_ns <= now:
                fate = STRUCK
            elif zones[zone, WAIT_MAX] != ANY_WAIT and start - now > zones[zone, WAIT_MAX]:
                fate = TURNED_AWAY
            else:
                service = service_of(slots[slot, DEMAND], zones[zone, SPEED])
                leave = start + service
                sift(free_ns, lowest, zones[zone, SERVERS], leave)
                if way != WAY_FIRST:
                    tell(news, registers, now, zone, free_ns[lowest])
                if way == WAY_LOAD:
                    push_leaving(leaving, registers, min(leave, down_ns), zone)
                if leave < until_ns and leave <= down_ns and back_ns >= 0:
                    visit, registers[VISITS] = registers[VISITS], registers[VISITS] + 1
                    visits[visit, 0], visits[visit, 1], visits[visit, 2] = number, user, zone
                    visits[visit, 3], visits[visit, 4], visits[visit, 5] = slots[slot, SENT], now, start
                    latency = leave + back_ns - slots[slot, SENT]
                    visits[visit, 6], visits[visit, 7], visits[visit, 8] = leave, latency, service
                    spare[registers[SPARE]], registers[SPARE] = slot, registers[SPARE] + 1
                    continue
                slots[slot, REACHED], slots[slot, STARTED] = now, start
            slots[slot, WAY_BACK] = back_ns
        else:
            zone, slots[slot, WAY_BACK] = zone - len(zones), ways[user, zone - len(zones), 1]
            service = service_of(slots[slot, DEMAND], zones[zone, SPEED])
        limits = (tries_max, backoff_ns, timeout_ns, until_ns)
        what = (fate, number, slot, zone, leave, service, down_ns)
        suffer((registers, calendar, slots, spare), outbox, limits, what, len(zones))


@jitted
def service_of(demand: int, speed: int) -> int:
    """How long a zone of that speed takes for a demand."""
    return demand if speed == SPEED_PERMILLE else demand * SPEED_PERMILLE // speed


@jitted
def suffer(state: Any, outbox: Any, limits: tuple[int, int, int, int], what: Any, zones: int) -> None:
    """What happens seldom: a request finds no place, is lost, or turned away, and is sent again or given up; or whether
    a way leads back is known only when its answer sets out. ``zones`` is how many there are."""
    registers, calendar, slots, spare = state
    visits, lost, turned = outbox
    tries_max, backoff_ns, timeout_ns, until_ns = limits
    fate, number, slot, zone, leave, service, down_ns = what
    mine, failed_ns = slots[slot], leave
    if fate == TAKEN_IN and until_ns <= leave <= down_ns:
        mine[COMES_TO] = zone + zones
        push_calendar(calendar, registers, leave, number, slot)
        return
    if fate == TAKEN_IN:
        failed_ns = leave_zone(visits, lost, registers, mine, (number, zone, leave, service, down_ns))
    elif fate == TURNED_AWAY:
        turned[registers[TURNED], 0], turned[registers[TURNED], 1] = zone, leave
        registers[TURNED] += 1
    elif fate != GAVE_UP:
        note(lost, registers, mine, fate)
    if failed_ns != AHEAD_NS_MAX and fate != GAVE_UP and mine[TRIES] + 1 < tries_max:
        heard_ns = failed_ns + mine[WAY_BACK] if mine[WAY_BACK] >= 0 else max(failed_ns, mine[TRIED] + timeout_ns)
        mine[COMES_TO], mine[TRIES] = -2 - zone, mine[TRIES] + 1
        push_calendar(calendar, registers, heard_ns + backoff_ns, number, slot)
        note(lost, registers, mine, RETRIED)
        return
    if failed_ns != AHEAD_NS_MAX:
        note(lost, registers, mine, GAVE_UP)
    spare[registers[SPARE]] = slot
    registers[SPARE] += 1


@jitted
def leave_zone(visits: Ints, lost: Ints, registers: Ints, slot: Ints, what: tuple[int, int, int, int, int]) -> int:
    """Enters a visit; the time at which it was lost, where its zone goes down first or no way leads back.

    ``what`` is request number, zone, when it is served, service, and when the zone goes down.
    """
    number, zone, leave, service, down_ns = what
    start, latency, failed_ns = slot[STARTED], -1, AHEAD_NS_MAX
    if leave > down_ns:
        start, leave, failed_ns = min(start, down_ns), down_ns, down_ns
        note(lost, registers, slot, STRUCK)
    elif slot[WAY_BACK] < 0:
        failed_ns = leave
        note(lost, registers, slot, CUT)
    else:
        latency = leave + slot[WAY_BACK] - slot[SENT]
    visit = visits[registers[VISITS]]
    registers[VISITS] += 1
    visit[0], visit[1], visit[2], visit[3], visit[4] = number, slot[USER], zone, slot[SENT], slot[REACHED]
    visit[5], visit[6], visit[7], visit[8] = start, leave, latency, service
    return failed_ns


@jitted
def note(lost: Ints, registers: Ints, slot: Ints, outcome: int) -> None:
    """Enters something that is lost."""
    row = registers[LOST]
    lost[row, 0], lost[row, 1], lost[row, 2] = slot[USER], slot[SENT], outcome
    registers[LOST] += 1


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

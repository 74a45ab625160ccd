"""The event engine's loops, in the form that numba compiles: line by line what ``event`` does in plain Python."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.model import AHEAD_NS_MAX, ANY_WAIT, NOWHERE, Flags, Indices, Ints
from hansa_sim.engines.static_kernel import Stations, service_of, sift

WAY_FIRST = 0
WAY_LATENCY = 1
WAY_LOAD = 2


CALENDAR, SPARE, NEWS_FROM, NEWS_UNTIL, LEAVING, FLIP, VISITS, FAILED, TURNED = range(9)
"""Places in the registers: how far each array is filled, or read."""

REGISTERS = 9


class Rules(NamedTuple):
    """What does not change: choices (U, K), ways (U, Z), outages by zone, what becomes known when, and retries.

    ``down_first`` (Z + 1,) says where a zone's outages begin in ``down_ns`` and ``up_ns``; the last of each never
    comes. ``flips`` (F, 3): moment, zone, whether it is known to be down from then on.
    """

    way: int
    stale_ns: int
    tries_max: int
    backoff_ns: int
    order: Indices
    base_ns: Ints
    there_ns: Ints
    back_ns: Ints
    servers: Ints
    down_first: Ints
    down_ns: Ints
    up_ns: Ints
    flips: Ints


class State(NamedTuple):
    """What changes.

    ``calendar`` (N, 3), a heap: when, request number, slot. ``slots`` (N, 5): row of users, zone (or ``-2 - zone``
    where it failed last), tries before, sent, demand; ``spare``: free slots. ``news`` (N, 3): when a request reached a
    zone, the zone, when its first server gets free now. ``leaving`` (N, 2), a heap: when, zone.
    """

    registers: Ints
    calendar: Ints
    slots: Ints
    spare: Ints
    news: Ints
    leaving: Ints
    next_down: Ints
    known_down: Ints
    seen_free_ns: Ints
    seen_count: Ints


class Outbox(NamedTuple):
    """What has happened: ``visits`` (9, N) in the order of Visits; ``failed`` (2, N) row of users and when it was sent;
    ``turned`` (2, N) zone and when it was reached."""

    visits: Ints
    failed: Ints
    turned: Ints


class World(NamedTuple):
    """All of it."""

    rules: Rules
    stations: Stations
    state: State
    outbox: Outbox


class Sent(NamedTuple):
    """Requests of a block, and which rows of users have any place."""

    at_ns: Ints
    user: Indices
    demand_ns: Ints
    placed: Flags


@jitted
def advance(world: World, sent: Sent, first: int) -> None:
    """Sends the requests of a block, after all that happens before each."""
    for at in range(len(sent.at_ns)):
        run_until(world, sent.at_ns[at])
        if sent.placed[sent.user[at]]:
            registers = world.state.registers
            registers[SPARE] -= 1
            slot = world.state.spare[registers[SPARE]]
            mine = world.state.slots[slot]
            mine[0], mine[1], mine[2] = sent.user[at], NOWHERE, 0
            mine[3], mine[4] = sent.at_ns[at], sent.demand_ns[at]
            send(world, sent.at_ns[at], first + at, slot)


@jitted
def run_until(world: World, until_ns: int) -> None:
    """Everything that happens until then, and at it."""
    calendar, registers = world.state.calendar, world.state.registers
    while registers[CALENDAR] and calendar[0, 0] <= until_ns:
        now, number, slot = calendar[0, 0], calendar[0, 1], calendar[0, 2]
        pop_calendar(world.state)
        if world.state.slots[slot, 1] >= 0:
            reach_zone(world, now, number, slot)
        else:
            send(world, now, number, slot)


@jitted
def push_calendar(state: State, now: int, number: int, slot: int) -> None:
    """Enters an event."""
    heap, at = state.calendar, state.registers[CALENDAR]
    state.registers[CALENDAR] += 1
    while at > 0:
        above = (at - 1) >> 1
        if heap[above, 0] < now or (heap[above, 0] == now and heap[above, 1] < number):
            break
        heap[at, 0], heap[at, 1], heap[at, 2] = heap[above, 0], heap[above, 1], heap[above, 2]
        at = above
    heap[at, 0], heap[at, 1], heap[at, 2] = now, number, slot


@jitted
def pop_calendar(state: State) -> None:
    """Takes the first event out."""
    state.registers[CALENDAR] -= 1
    heap, size, at = state.calendar, state.registers[CALENDAR], 0
    now, number, slot = heap[size, 0], heap[size, 1], heap[size, 2]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            heap[right, 0] < heap[child, 0] or (heap[right, 0] == heap[child, 0] and heap[right, 1] < heap[child, 1])
        ):
            child = right
        if now < heap[child, 0] or (now == heap[child, 0] and number < heap[child, 1]):
            break
        heap[at, 0], heap[at, 1], heap[at, 2] = heap[child, 0], heap[child, 1], heap[child, 2]
        at = child
    heap[at, 0], heap[at, 1], heap[at, 2] = now, number, slot


@jitted
def send(world: World, now: int, number: int, slot: int) -> None:
    """Chooses a zone for a request and sends it on its way, or gives it up."""
    mine = world.state.slots[slot]
    user = mine[0]
    zone = choose(world, user, -2 - mine[1], now)
    if zone == NOWHERE:
        fail(world, slot)
    else:
        mine[1] = zone
        push_calendar(world.state, now + world.rules.there_ns[user, zone], number, slot)


@jitted
def fail(world: World, slot: int) -> None:
    """Gives a request up."""
    registers, mine = world.state.registers, world.state.slots[slot]
    world.outbox.failed[0, registers[FAILED]] = mine[0]
    world.outbox.failed[1, registers[FAILED]] = mine[3]
    registers[FAILED] += 1
    let_go(world.state, slot)


@jitted
def let_go(state: State, slot: int) -> None:
    """The slot may be used again."""
    state.spare[state.registers[SPARE]] = slot
    state.registers[SPARE] += 1


@jitted
def choose(world: World, user: int, avoided: int, now: int) -> int:
    """The zone for a request that is sent now; that at which it failed last only if there is no other."""
    hear(world, now)
    rules, down = world.rules, world.state.known_down
    if rules.way == WAY_LATENCY:
        best = least_latency(world, user, avoided, now)
    elif rules.way == WAY_LOAD:
        best = least_loaded(world, user, avoided)
    else:
        best = NOWHERE
        for zone in rules.order[user]:
            if zone == NOWHERE:
                break
            if zone != avoided and not down[zone]:
                best = zone
                break
    if best == NOWHERE and avoided >= 0 and not down[avoided]:
        return avoided
    return best


@jitted
def least_latency(world: World, user: int, avoided: int, now: int) -> int:
    """The zone with the least sum of way, predicted wait and mean service."""
    rules, state = world.rules, world.state
    best, best_ns, known_ns = NOWHERE, AHEAD_NS_MAX, now - rules.stale_ns
    for at in range(rules.order.shape[1]):
        zone, total_ns = rules.order[user, at], rules.base_ns[user, at]
        if zone == NOWHERE or total_ns >= best_ns:
            break
        if zone == avoided or state.known_down[zone]:
            continue
        total_ns += max(state.seen_free_ns[zone] - known_ns, 0)
        if total_ns < best_ns:
            best, best_ns = zone, total_ns
    return best


@jitted
def least_loaded(world: World, user: int, avoided: int) -> int:
    """The zone with the fewest requests for each server."""
    rules, state = world.rules, world.state
    best, count, servers = NOWHERE, 1, 0
    for at in range(rules.order.shape[1]):
        zone = rules.order[user, at]
        if zone == NOWHERE:
            break
        if zone == avoided or state.known_down[zone]:
            continue
        if state.seen_count[zone] * servers < count * rules.servers[zone]:
            best, count, servers = zone, state.seen_count[zone], rules.servers[zone]
            if count == 0:
                break
    return best


@jitted
def hear(world: World, now: int) -> None:
    """Brings what the router knows up to date."""
    rules, state = world.rules, world.state
    registers = state.registers
    while registers[FLIP] < len(rules.flips) and rules.flips[registers[FLIP], 0] <= now:
        zone, down = rules.flips[registers[FLIP], 1], rules.flips[registers[FLIP], 2]
        registers[FLIP] += 1
        state.known_down[zone] = down
        if down:
            state.seen_free_ns[zone] = 0
    known_ns = now - rules.stale_ns
    while registers[NEWS_FROM] < registers[NEWS_UNTIL] and state.news[registers[NEWS_FROM], 0] <= known_ns:
        zone = state.news[registers[NEWS_FROM], 1]
        state.seen_free_ns[zone] = state.news[registers[NEWS_FROM], 2]
        state.seen_count[zone] += 1
        registers[NEWS_FROM] += 1
    while registers[LEAVING] and state.leaving[0, 0] <= known_ns:
        state.seen_count[state.leaving[0, 1]] -= 1
        pop_leaving(state)


@jitted
def push_leaving(state: State, leave_ns: int, zone: int) -> None:
    """Enters a request's leaving."""
    heap, at = state.leaving, state.registers[LEAVING]
    state.registers[LEAVING] += 1
    while at > 0:
        above = (at - 1) >> 1
        if heap[above, 0] <= leave_ns:
            break
        heap[at, 0], heap[at, 1] = heap[above, 0], heap[above, 1]
        at = above
    heap[at, 0], heap[at, 1] = leave_ns, zone


@jitted
def pop_leaving(state: State) -> None:
    """Takes the first leaving out."""
    state.registers[LEAVING] -= 1
    heap, size, at = state.leaving, state.registers[LEAVING], 0
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
def reach_zone(world: World, reach: int, number: int, slot: int) -> None:
    """A request comes to its zone, which takes it in, turns it away, or is down; its leaving is known at once."""
    state, stations = world.state, world.stations
    mine = state.slots[slot]
    user, zone, at = mine[0], mine[1], mine[3]
    down_ns = down_from(world, zone, reach)
    if down_ns <= reach:
        try_again(world, number, slot, reach)
        return
    first, end = stations.first[zone], stations.first[zone + 1]
    start = max(stations.free_ns[first], reach)
    if stations.wait_ns_max[zone] != ANY_WAIT and start - reach > stations.wait_ns_max[zone]:
        turned, count = world.outbox.turned, state.registers[TURNED]
        turned[0, count], turned[1, count] = zone, reach
        state.registers[TURNED] += 1
        try_again(world, number, slot, reach)
        return
    service = service_of(stations, zone, mine[4])
    leave = start + service
    sift(stations.free_ns[first:end], leave)
    latency = leave + world.rules.back_ns[user, zone] - at
    if leave > down_ns:
        start, leave, latency = min(start, down_ns), down_ns, -1
        try_again(world, number, slot, down_ns)
    else:
        let_go(state, slot)
    put_visit(world, (number, user, zone, at), (reach, start, leave, latency, service))
    if world.rules.way != WAY_FIRST:
        tell(world, zone, reach, leave)


@jitted
def put_visit(world: World, who: tuple[int, int, int, int], when: tuple[int, int, int, int, int]) -> None:
    """Writes a visit down."""
    visits, count = world.outbox.visits, world.state.registers[VISITS]
    for row in range(4):
        visits[row, count] = who[row]
    for row in range(5):
        visits[row + 4, count] = when[row]
    world.state.registers[VISITS] += 1


@jitted
def tell(world: World, zone: int, reach: int, leave: int) -> None:
    """What routers hear of a visit, when it is old enough."""
    state = world.state
    count = state.registers[NEWS_UNTIL]
    state.news[count, 0], state.news[count, 1] = reach, zone
    state.news[count, 2] = world.stations.free_ns[world.stations.first[zone]]
    state.registers[NEWS_UNTIL] += 1
    if world.rules.way == WAY_LOAD:
        push_leaving(state, leave, zone)


@jitted
def down_from(world: World, zone: int, now: int) -> int:
    """When the zone goes down next, or went down if it is; on the way up all its servers are free."""
    rules, stations = world.rules, world.stations
    at = rules.down_first[zone] + world.state.next_down[zone]
    if rules.up_ns[at] <= now:
        while rules.up_ns[at] <= now:
            at += 1
        world.state.next_down[zone] = at - rules.down_first[zone]
        for server in range(stations.first[zone], stations.first[zone + 1]):
            stations.free_ns[server] = 0
    return int(rules.down_ns[at])


@jitted
def try_again(world: World, number: int, slot: int, failed_ns: int) -> None:
    """The user hears of the failure, and sends again after a pause; or gives up."""
    mine = world.state.slots[slot]
    user, zone = mine[0], mine[1]
    if mine[2] + 1 >= world.rules.tries_max:
        fail(world, slot)
        return
    mine[1], mine[2] = -2 - zone, mine[2] + 1
    push_calendar(world.state, failed_ns + world.rules.back_ns[user, zone] + world.rules.backoff_ns, number, slot)


def with_room(array: Ints, rows: int) -> Ints:
    """The array with at least so many rows, those that it has first."""
    if len(array) >= rows:
        return array
    grown = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), np.int64)
    grown[: len(array)] = array
    return grown

"""The event engine: one event a request, when it reaches its zone: zones are FIFO, so its completion is known then.

Between sending and reaching, a request is in a calendar; a router that looks at zones sees them as they were when it
decides, or ``stale_ns`` before. Zones go down, at which all that they held is lost: its users hear of it and try again.

``PlainWorld`` is plain Python; ``event_kernel`` is the same in a form that numba compiles, with the same results to the
last bit.
Order: events before the request that is sent next; of events at one time the one with the lower request number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush, heapreplace
from itertools import chain

import numpy as np

from hansa_sim.engines.acceleration import Speed, is_compiled
from hansa_sim.engines.changes import staff
from hansa_sim.engines.event_compiled import CompiledWorld
from hansa_sim.engines.losses import CUT, GAVE_UP, RETRIED, STRUCK
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import AHEAD_NS_MAX, ANY_WAIT, NOWHERE, SPEED_PERMILLE, Block, Change, Faults, Flags
from hansa_sim.engines.record_kernel import Visits
from hansa_sim.engines.recorder import Recorder, Run
from hansa_sim.engines.router import Choices, Router, Table, Way, choices
from hansa_sim.engines.static import lose_lost

Travelling = tuple[int, int, int, int, int, int, int, int]
"""When, request number, row of users, zone it comes to (``-2 - zone`` when it is sent anew and failed there last, zone
+ Z when its answer sets out), tries before, when it was sent first, demand, when it was sent this time."""


def serve(
    blocks: Iterable[Block], router: Router, run: Run, faults: Faults | None = None, speed: Speed = Speed.AUTO
) -> Measured:
    """Serves every request where ``router`` sends it. Raises ValueError where a table leads to a zone not open."""
    faults = faults or Faults()
    course = _Course(router, run, faults, speed)
    for block in blocks:
        course.take(block)
    return course.finish()


class _Course:
    """A run from its first request to its end, with what changes on the way."""

    def __init__(self, router: Router, run: Run, faults: Faults, speed: Speed) -> None:
        self._router, self._zones, self._paths = router, run.zones, run.paths
        self._recorder = Recorder(run, faults.outages, is_compiled(speed))
        chosen = choices(router, run.paths, run.zones)
        self._world = (CompiledWorld if is_compiled(speed) else PlainWorld)(chosen, run, faults)
        self._changes = iter(faults.changes)
        self._first = 0
        self._place(chosen)
        self._next = self._expect()

    def take(self, block: Block) -> None:
        """Sends a block's requests, with all that changes before each."""
        while self._next is not None and len(block) and self._next.at_ns <= block.at_ns[-1]:
            count = int(np.searchsorted(block.at_ns, self._next.at_ns))
            self._send(block.part(slice(0, count)))
            block = block.part(slice(count, None))
            self._turn(self._next)
        self._send(block)

    def finish(self) -> Measured:
        """Everything that is still to happen, and what was measured."""
        while self._next is not None:
            self._turn(self._next)
        self._world.finish()
        self._world.hand_over(self._recorder)
        return self._recorder.measured()

    def _send(self, block: Block) -> None:
        if not self._everyone_placed:
            lose_lost(block, self._placed, self._recorder, self._paths)
        self._recorder.make_room(self._first + len(block))
        self._world.advance(block, self._first, self._placed)
        self._world.hand_over(self._recorder)
        self._first += len(block)

    def _turn(self, change: Change) -> None:
        self._world.until(change.at_ns)
        self._world.hand_over(self._recorder)
        chosen = None
        if change.believed is not None:
            self._paths = change.believed
            self._router = self._router if change.table is None else Table(change.table)
            chosen = choices(self._router, change.believed, self._zones)
            self._place(chosen)
        if change.servers is not None:
            self._recorder.course.append((change.at_ns, change.servers))
        self._world.change(change, chosen)
        self._next = self._expect()

    def _place(self, chosen: Choices) -> None:
        self._placed = (chosen.order != NOWHERE).any(axis=1)[chosen.row_of]
        self._everyone_placed = bool(self._placed.all())

    def _expect(self) -> Change | None:
        change = next(self._changes, None)
        self._world.expect(AHEAD_NS_MAX if change is None else change.at_ns)
        return change


class PlainWorld:
    """The state between requests."""

    def __init__(self, chosen: Choices, run: Run, faults: Faults) -> None:
        self.choices, self.retries = chosen, faults.retries
        zones = run.zones
        self._way, self._stale_ns = chosen.way, chosen.stale_ns
        self._order = [[zone for zone in row if zone != NOWHERE] for row in chosen.order.tolist()]
        self._base_ns = chosen.base_ns.tolist()
        self._row_of = self._way_of = chosen.row_of.tolist()
        self._there_ns = run.paths.there_ns[chosen.first].tolist()
        self._back_ns = run.paths.back_ns[chosen.first].tolist()
        self._speed, self._wait_max = zones.speed_permille.tolist(), zones.wait_ns_max.tolist()
        self._servers = zones.servers.tolist()
        self._free_ns = [[0] * count for count in self._servers]
        self._downs = [[*faults.outages.of_zone(zone), (AHEAD_NS_MAX, AHEAD_NS_MAX)] for zone in range(zones.count)]
        self._next_down = [0] * zones.count
        self._ever_down = [len(each) > 1 for each in self._downs]
        self._flips = deque(faults.flips(zones.count))
        # With a table and nothing that is ever down there is nothing to choose.
        self._is_fixed = chosen.way == Way.FIRST and not self._flips
        self._until_ns = AHEAD_NS_MAX
        self._answers: dict[int, tuple[int, int]] = {}
        self._retired: list[list[int]] = [[] for _ in range(zones.count)]
        self._first_zone = chosen.order[:, 0].tolist() if self._is_fixed else None
        self._known_down = [0] * zones.count
        self._seen_free_ns, self._seen_count = [0] * zones.count, [0] * zones.count
        self._news: deque[tuple[int, int, int]] = deque()
        self._leaving: list[tuple[int, int]] = []
        self._calendar: list[Travelling] = []
        self._visits: list[tuple[int, int, int, int, int, int, int, int, int]] = []
        self._lost: list[tuple[int, int, int]] = []
        self._turned: list[tuple[int, int]] = []

    def advance(self, block: Block, first: int, placed: Flags) -> None:
        """Sends the requests of a block, after all that happens before each."""
        known = placed.tolist()
        calendar, there_ns, first_zone = self._calendar, self._there_ns, self._first_zone
        row_of = self._row_of
        columns = zip(block.at_ns.tolist(), block.user.tolist(), block.demand_ns.tolist(), strict=True)
        for number, (at, user, demand) in enumerate(columns, first):
            if calendar and calendar[0][0] <= at:
                self.run_until(at)
            if not known[user]:
                continue
            if first_zone is not None:
                row = row_of[user]
                zone = first_zone[row]
                heappush(calendar, (at + there_ns[row][zone], number, user, zone, 0, at, demand, at))
            else:
                self._send((at, number, user, NOWHERE, 0, at, demand, at))

    def finish(self) -> None:
        """Everything that is still to happen."""
        self.run_until(AHEAD_NS_MAX)

    def run_until(self, until_ns: int) -> None:
        """Everything that happens until then, and at it."""
        calendar, zones = self._calendar, len(self._servers)
        while calendar and calendar[0][0] <= until_ns:
            event = heappop(calendar)
            if event[3] < 0:
                self._send(event)
            elif event[3] < zones:
                self._reach(event)
            else:
                self._answer(event)

    def until(self, until_ns: int) -> None:
        """Everything that happens before; nothing is to change then until the next call of ``change``."""
        self.run_until(until_ns - 1)

    def expect(self, until_ns: int) -> None:
        """Ways and choices stay as they are before that time."""
        self._until_ns = until_ns
        if until_ns != AHEAD_NS_MAX:
            self._first_zone = None

    def change(self, change: Change, chosen: Choices | None) -> None:
        """What is other than before from now on; ``chosen`` where users are sent in another way."""
        if change.ways is not None:
            self._there_ns, self._back_ns = change.ways.there_ns.tolist(), change.ways.back_ns.tolist()
            self._way_of = list(range(len(self._there_ns)))
        if chosen is not None:
            self._row_of = chosen.row_of.tolist()
            self._order = [[zone for zone in row if zone != NOWHERE] for row in chosen.order.tolist()]
            self._base_ns = chosen.base_ns.tolist()
        if change.servers is not None:
            self._servers = change.servers.tolist()
            for free_ns, retired, count in zip(self._free_ns, self._retired, self._servers, strict=True):
                staff(free_ns, retired, count, change.at_ns)

    def _send(self, event: Travelling) -> None:
        now, number, user, failed_at, tries, at, demand, _ = event
        zone = self._choose(user, -2 - failed_at, now)
        if zone == NOWHERE:
            self._lost.append((user, at, GAVE_UP))
            return
        there_ns = self._there_ns[self._way_of[user]][zone]
        sent = (now + there_ns, number, user, zone, tries, at, demand, now)
        if there_ns >= 0:
            heappush(self._calendar, sent)
        else:
            self._lost.append((user, at, CUT))
            self._try_again(sent, zone, (now, -1))

    def _choose(self, user: int, avoided: int, now: int) -> int:
        """The zone for a request that is sent now; that at which it failed last only if there is no other."""
        self._hear(now)
        order, down = self._order[self._row_of[user]], self._known_down
        if self._way == Way.LATENCY:
            best = self._least_latency(user, avoided, now)
        elif self._way == Way.LOAD:
            best = self._least_loaded(user, avoided)
        else:
            best = next((zone for zone in order if zone != avoided and not down[zone]), NOWHERE)
        if best == NOWHERE and avoided in order and not down[avoided]:
            return avoided
        return best

    def _least_latency(self, user: int, avoided: int, now: int) -> int:
        best, best_ns, known_ns, row = NOWHERE, AHEAD_NS_MAX, now - self._stale_ns, self._row_of[user]
        for zone, base_ns in zip(self._order[row], self._base_ns[row], strict=False):
            if base_ns >= best_ns:
                break
            if zone == avoided or self._known_down[zone]:
                continue
            wait_ns = self._seen_free_ns[zone] - known_ns
            if base_ns + (wait_ns if wait_ns > 0 else 0) < best_ns:
                best, best_ns = zone, base_ns + (wait_ns if wait_ns > 0 else 0)
        return best

    def _least_loaded(self, user: int, avoided: int) -> int:
        best, count, servers = NOWHERE, 1, 0
        for zone in self._order[self._row_of[user]]:
            if zone == avoided or self._known_down[zone]:
                continue
            if self._seen_count[zone] * servers < count * self._servers[zone]:
                best, count, servers = zone, self._seen_count[zone], self._servers[zone]
                if not count:
                    break
        return best

    def _hear(self, now: int) -> None:
        """Brings what the router knows up to date."""
        while self._flips and self._flips[0][0] <= now:
            _, zone, down = self._flips.popleft()
            self._known_down[zone] = down
            if down:
                self._seen_free_ns[zone] = 0
        known_ns = now - self._stale_ns
        while self._news and self._news[0][0] <= known_ns:
            _, zone, free_ns = self._news.popleft()
            self._seen_free_ns[zone] = free_ns
            self._seen_count[zone] += 1
        while self._leaving and self._leaving[0][0] <= known_ns:
            self._seen_count[heappop(self._leaving)[1]] -= 1

    def _reach(self, event: Travelling) -> None:
        reach, number, user, zone, tries, at, demand, tried = event
        down_ns = self._down_from(zone, reach) if self._ever_down[zone] else AHEAD_NS_MAX
        back_ns = self._back_ns[self._way_of[user]][zone]
        if down_ns <= reach:
            self._lost.append((user, at, STRUCK))
            self._try_again(event, zone, (reach, back_ns))
            return
        free = self._free_ns[zone]
        start = free[0] if free[0] > reach else reach
        if self._wait_max[zone] != ANY_WAIT and start - reach > self._wait_max[zone]:
            self._turned.append((zone, reach))
            self._try_again(event, zone, (reach, back_ns))
            return
        service = demand if self._speed[zone] == SPEED_PERMILLE else demand * SPEED_PERMILLE // self._speed[zone]
        leave = start + service
        heapreplace(free, leave)
        if self._way != Way.FIRST:
            self._news.append((reach, zone, free[0]))
            if self._way == Way.LOAD:
                heappush(self._leaving, (min(leave, down_ns), zone))
        if leave > down_ns:
            self._lost.append((user, at, STRUCK))
            self._visits.append((number, user, zone, at, reach, min(start, down_ns), down_ns, -1, service))
            self._try_again(event, zone, (down_ns, back_ns))
        elif leave >= self._until_ns:  # whether a way leads back then is not known yet
            self._answers[number] = (reach, start)
            heappush(self._calendar, (leave, number, user, zone + len(self._servers), tries, at, demand, tried))
        elif back_ns < 0:
            self._cut(event, zone, (reach, start, leave))
        else:
            self._visits.append((number, user, zone, at, reach, start, leave, leave + back_ns - at, service))

    def _answer(self, event: Travelling) -> None:
        """What a change may have cut sets out on its way back."""
        leave, number, user, zone, _, at, demand, _ = event
        zone -= len(self._servers)
        reach, start = self._answers.pop(number)
        back_ns = self._back_ns[self._way_of[user]][zone]
        if back_ns < 0:
            self._cut(event, zone, (reach, start, leave))
            return
        service = demand * SPEED_PERMILLE // self._speed[zone]
        self._visits.append((number, user, zone, at, reach, start, leave, leave + back_ns - at, service))

    def _cut(self, event: Travelling, zone: int, times: tuple[int, int, int]) -> None:
        """An answer finds no way back; times are those of reaching the zone, being served, and leaving."""
        _, number, user, _, _, at, demand, _ = event
        service = demand * SPEED_PERMILLE // self._speed[zone]
        self._lost.append((user, at, CUT))
        self._visits.append((number, user, zone, at, *times, -1, service))
        self._try_again(event, zone, (times[2], -1))

    def _down_from(self, zone: int, now: int) -> int:
        """When the zone goes down next, or went down if it is; on the way up all its servers are free."""
        downs, at = self._downs[zone], self._next_down[zone]
        if downs[at][1] <= now:
            while downs[at][1] <= now:
                at += 1
            self._next_down[zone] = at
            self._free_ns[zone] = [0] * self._servers[zone]
        return downs[at][0]

    def _try_again(self, event: Travelling, zone: int, failed: tuple[int, int]) -> None:
        """The user hears of the failure, or has waited long enough, and sends again after a pause; or gives up. What
        failed did so at a time, with a way back of some length, or none."""
        _, number, user, _, tries, at, demand, tried = event
        if tries + 1 >= self.retries.tries_max:
            self._lost.append((user, at, GAVE_UP))
            return
        failed_ns, back_ns = failed
        heard_ns = failed_ns + back_ns if back_ns >= 0 else max(failed_ns, tried + self.retries.timeout_ns)
        again_ns = heard_ns + self.retries.backoff_ns
        self._lost.append((user, at, RETRIED))
        heappush(self._calendar, (again_ns, number, user, -2 - zone, tries + 1, at, demand, tried))

    def hand_over(self, recorder: Recorder) -> None:
        """Gives the recorder what has happened since the last time."""
        if self._visits:
            flat = np.fromiter(chain.from_iterable(self._visits), np.int64, 9 * len(self._visits))
            recorder.record(Visits(*flat.reshape(-1, 9).T))
        if self._lost:
            who, when, how = np.array(self._lost, dtype=np.int64).T
            recorder.lose(who, when, how)
        if self._turned:
            where, when = np.array(self._turned, dtype=np.int64).T
            recorder.turn_away(where, when)
        self._visits.clear()
        self._lost.clear()
        self._turned.clear()

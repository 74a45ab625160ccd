"""Drives the event engine's compiled loop: makes room before each block, and hands over what has happened after it."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from hansa_sim.engines import event_kernel as kernel
from hansa_sim.engines.changes import staff
from hansa_sim.engines.model import AHEAD_NS_MAX, Block, Change, Faults, Flags, Ints, Paths
from hansa_sim.engines.record_kernel import Visits
from hansa_sim.engines.recorder import Recorder, Run
from hansa_sim.engines.router import Choices


class CompiledWorld:
    """The state between requests, as arrays; the counterpart of the plain engine's world."""

    def __init__(self, chosen: Choices, run: Run, faults: Faults) -> None:
        downs = [[*faults.outages.of_zone(zone), (AHEAD_NS_MAX, AHEAD_NS_MAX)] for zone in range(run.zones.count)]
        self._rules = kernel.Rules(
            way=int(chosen.way),
            stale_ns=chosen.stale_ns,
            tries_max=faults.retries.tries_max,
            backoff_ns=faults.retries.backoff_ns,
            timeout_ns=faults.retries.timeout_ns,
            until_ns=AHEAD_NS_MAX,
            rows=chosen.row_of,
            choices=_together(chosen, run.paths),
            ways=np.zeros((0, 0, 2), np.int64),
            outages=np.array([one for each in downs for one in each], dtype=np.int64),
            flips=np.array(faults.flips(run.zones.count), dtype=np.int64).reshape(-1, 3),
        )
        zones = np.zeros((run.zones.count, kernel.ZONE_COLUMNS), np.int64)
        zones[:, kernel.FREE] = np.cumsum(run.zones.servers) - run.zones.servers
        zones[:, kernel.SERVERS], zones[:, kernel.SPEED] = run.zones.servers, run.zones.speed_permille
        zones[:, kernel.WAIT_MAX] = run.zones.wait_ns_max
        zones[:, kernel.OUTAGE] = [0, *accumulate(len(each) for each in downs[:-1])]
        self._state = kernel.State(
            np.zeros(kernel.REGISTERS, np.int64),
            zones,
            np.zeros(int(run.zones.servers.sum()), np.int64),
            calendar=_rows(0, 3),
            slots=_rows(0, kernel.SLOT_COLUMNS),
            spare=np.zeros(0, np.int64),
            news=_rows(0, 3),
            leaving=_rows(0, 2),
        )
        self._outbox = kernel.Outbox(_rows(0, 9), _rows(0, 3), _rows(0, 2))
        self._paths = run.paths
        self._retired: list[list[int]] = [[] for _ in range(run.zones.count)]

    def advance(self, block: Block, first: int, placed: Flags) -> None:
        """Sends the requests of a block, after all that happens before each."""
        if len(block):
            self._run(kernel.Sent(block.at_ns, block.user, block.demand_ns, placed, first))

    def finish(self) -> None:
        """Everything that is still to happen."""
        self._run(
            kernel.Sent(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, bool), 0)
        )

    def _run(self, sent: kernel.Sent) -> None:
        self._make_room(len(sent.at_ns))
        kernel.advance(*(tuple(part) for part in (self._rules, self._state, self._outbox, sent)))

    def hand_over(self, recorder: Recorder) -> None:
        """Gives the recorder what has happened since the last time."""
        registers = self._state.registers
        visits, lost, turned = (
            rows[: registers[place]]
            for rows, place in zip(self._outbox, (kernel.VISITS, kernel.LOST, kernel.TURNED), strict=True)
        )
        recorder.record(Visits(*visits.T))
        recorder.lose(lost[:, 0], lost[:, 1], lost[:, 2])
        recorder.turn_away(turned[:, 0], turned[:, 1])
        registers[[kernel.VISITS, kernel.LOST, kernel.TURNED]] = 0

    def until(self, until_ns: int) -> None:
        """Everything that happens before; nothing is to change then until the next call of ``change``."""
        nobody = np.zeros(len(self._rules.rows), np.bool_)
        last = np.array([until_ns - 1]), np.zeros(1, np.int32), np.zeros(1, np.int64)
        self._run(kernel.Sent(*last, nobody, 0))

    def expect(self, until_ns: int) -> None:
        """Ways and choices stay as they are before that time."""
        ways = self._rules.ways if len(self._rules.ways) or until_ns == AHEAD_NS_MAX else _ways(self._paths)
        self._rules = self._rules._replace(until_ns=until_ns, ways=ways)

    def change(self, change: Change, chosen: Choices | None) -> None:
        """What is other than before from now on; ``chosen`` where users are sent in another way."""
        if change.ways is not None:
            self._rules = self._rules._replace(ways=_ways(change.ways))
        if chosen is not None:
            paths = change.believed or self._paths
            self._rules = self._rules._replace(rows=chosen.row_of, choices=_together(chosen, paths))
        if change.servers is not None:
            self._staff(change.servers, change.at_ns)

    def _staff(self, servers: Ints, at_ns: int) -> None:
        zones = self._state.zones
        free_ns: list[int] = []
        for zone, count in enumerate(servers.tolist()):
            first = int(zones[zone, kernel.FREE])
            mine = self._state.free_ns[first : first + zones[zone, kernel.SERVERS]].tolist()
            staff(mine, self._retired[zone], count, at_ns)
            zones[zone, kernel.FREE], zones[zone, kernel.SERVERS] = len(free_ns), count
            free_ns += mine
        self._state = self._state._replace(free_ns=np.array(free_ns, dtype=np.int64))

    def _make_room(self, requests: int) -> None:
        """Room for everything that so many new requests can lead to, beside those that are on their way."""
        state = self._state
        registers = state.registers
        underway = int(registers[kernel.CALENDAR]) + requests
        most = underway * self._rules.tries_max
        told = most if self._rules.way != kernel.WAY_FIRST else 0
        slots = _with_room(state.slots, underway)
        self._state = state._replace(
            calendar=_with_room(state.calendar, underway),
            slots=slots,
            spare=_spare(state, len(slots)),
            news=_moved_to_front(state, told),
            leaving=_with_room(state.leaving, int(registers[kernel.LEAVING]) + told),
        )
        if len(self._outbox.visits) < most:
            lost = kernel.LOSSES_OF_TRY * most
            self._outbox = kernel.Outbox(_rows(most, 9), _rows(lost, 3), _rows(most, 2))


def _ways(paths: Paths) -> Ints:
    return np.stack([paths.there_ns, paths.back_ns], axis=2)


def _together(chosen: Choices, paths: Paths) -> Ints:
    """(R, K, 4): each choice with its base and the ways there and back."""
    choices = np.empty((*chosen.order.shape, 4), np.int64)
    users, zones = chosen.first[:, None], np.maximum(chosen.order, 0)
    choices[..., kernel.ZONE], choices[..., kernel.BASE] = chosen.order, chosen.base_ns
    choices[..., kernel.THERE] = paths.there_ns[users, zones]
    choices[..., kernel.BACK] = paths.back_ns[users, zones]
    return choices


def _rows(count: int, width: int) -> Ints:
    return np.zeros((count, width), np.int64)


def _with_room(array: Ints, rows: int) -> Ints:
    """The array with at least so many rows, those that it has first."""
    if len(array) >= rows:
        return array
    grown = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), np.int64)
    grown[: len(array)] = array
    return grown


def _moved_to_front(state: kernel.State, more: int) -> Ints:
    """News that nobody has read yet, with room for more behind."""
    registers = state.registers
    unread = state.news[registers[kernel.NEWS_FROM] : registers[kernel.NEWS_UNTIL]].copy()
    registers[kernel.NEWS_FROM], registers[kernel.NEWS_UNTIL] = 0, len(unread)
    news = _with_room(state.news, len(unread) + more)
    news[: len(unread)] = unread
    return news


def _spare(state: kernel.State, slots: int) -> Ints:
    """The stack of free slots, with those that are new."""
    spare, count = _with_room(state.spare, slots), int(state.registers[kernel.SPARE])
    new = np.arange(len(state.slots), slots)
    spare[count : count + len(new)] = new
    state.registers[kernel.SPARE] = count + len(new)
    return spare

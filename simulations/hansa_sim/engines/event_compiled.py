"""Drives the event engine's compiled loop: makes room before each block, and hands over what has happened after it."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from hansa_sim.engines import event_kernel as kernel
from hansa_sim.engines.model import AHEAD_NS_MAX, Block, Faults, Flags, Ints, Paths
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
            rows=chosen.row_of,
            choices=_together(chosen, run.paths),
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
            slots=_rows(0, 6),
            spare=np.zeros(0, np.int64),
            news=_rows(0, 3),
            leaving=_rows(0, 2),
        )
        self._outbox = kernel.Outbox(_rows(0, 9), _rows(0, 2), _rows(0, 2))

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
        visits, failed, turned = (
            rows[: registers[place]]
            for rows, place in zip(self._outbox, (kernel.VISITS, kernel.FAILED, kernel.TURNED), strict=True)
        )
        recorder.record(Visits(*visits.T))
        recorder.lose(failed[:, 0], failed[:, 1], 0)
        recorder.turn_away(turned[:, 0], turned[:, 1])
        registers[[kernel.VISITS, kernel.FAILED, kernel.TURNED]] = 0

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
            self._outbox = kernel.Outbox(_rows(most, 9), _rows(most, 2), _rows(most, 2))


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

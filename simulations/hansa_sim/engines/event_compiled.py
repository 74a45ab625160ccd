"""Drives the event engine's compiled loops: makes room before each block, and hands over what has happened after it."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from hansa_sim.engines import event_kernel as kernel
from hansa_sim.engines.model import AHEAD_NS_MAX, Block, Faults, Flags, Ints
from hansa_sim.engines.record_kernel import Visits
from hansa_sim.engines.recorder import Recorder, Run
from hansa_sim.engines.router import Choices
from hansa_sim.engines.static_kernel import stations_of


class CompiledWorld:
    """The state between requests, as arrays; the counterpart of the plain engine's world."""

    def __init__(self, chosen: Choices, run: Run, faults: Faults) -> None:
        zones = run.zones.count
        self._rules = _rules(chosen, run, faults)
        self._stations = stations_of(run.zones)
        empty = [np.zeros((0, width), np.int64) for width in (3, 5, 3, 2)]
        each = [np.zeros(zones, np.int64) for _ in range(4)]
        calendar, slots, news, leaving = empty
        self._state = kernel.State(
            np.zeros(kernel.REGISTERS, np.int64), calendar, slots, np.zeros(0, np.int64), news, leaving, *each
        )
        self._outbox = kernel.Outbox(*(np.zeros((rows, 0), np.int64) for rows in (9, 2, 2)))

    def advance(self, block: Block, first: int, placed: Flags) -> None:
        """Sends the requests of a block, after all that happens before each."""
        self._make_room(len(block))
        sent = kernel.Sent(block.at_ns, block.user, block.demand_ns, placed)
        kernel.advance(self._world(), sent, first)

    def finish(self) -> None:
        """Everything that is still to happen."""
        self._make_room(0)
        kernel.run_until(self._world(), AHEAD_NS_MAX)

    def hand_over(self, recorder: Recorder) -> None:
        """Gives the recorder what has happened since the last time."""
        registers = self._state.registers
        recorder.record(Visits(*self._outbox.visits[:, : registers[kernel.VISITS]]))
        failed, turned = self._outbox.failed, self._outbox.turned
        count = registers[kernel.FAILED]
        recorder.lose(failed[0, :count], failed[1, :count], 0)
        count = registers[kernel.TURNED]
        recorder.turn_away(turned[0, :count], turned[1, :count])
        registers[[kernel.VISITS, kernel.FAILED, kernel.TURNED]] = 0

    def _world(self) -> kernel.World:
        return kernel.World(self._rules, self._stations, self._state, self._outbox)

    def _make_room(self, requests: int) -> None:
        """Room for everything that so many new requests can lead to, beside those that are on their way."""
        state = self._state
        registers = state.registers
        underway = int(registers[kernel.CALENDAR]) + requests
        most = underway * self._rules.tries_max
        news = state.news[registers[kernel.NEWS_FROM] : registers[kernel.NEWS_UNTIL]].copy()
        registers[kernel.NEWS_FROM], registers[kernel.NEWS_UNTIL] = 0, len(news)
        told = most if self._rules.way != kernel.WAY_FIRST else 0
        room = kernel.with_room(state.news, len(news) + told)
        room[: len(news)] = news
        slots = kernel.with_room(state.slots, underway)
        self._state = state._replace(
            calendar=kernel.with_room(state.calendar, underway),
            slots=slots,
            spare=_spare(state, len(slots)),
            news=room,
            leaving=kernel.with_room(state.leaving, int(registers[kernel.LEAVING]) + told),
        )
        if self._outbox.visits.shape[1] < most:
            self._outbox = kernel.Outbox(*(np.zeros((rows, most), np.int64) for rows in (9, 2, 2)))


def _spare(state: kernel.State, slots: int) -> Ints:
    """The stack of free slots, with those that are new."""
    spare, count = kernel.with_room(state.spare, slots), int(state.registers[kernel.SPARE])
    new = np.arange(len(state.slots), slots)
    spare[count : count + len(new)] = new
    state.registers[kernel.SPARE] = count + len(new)
    return spare


def _rules(chosen: Choices, run: Run, faults: Faults) -> kernel.Rules:
    downs = [[*faults.outages.of_zone(zone), (AHEAD_NS_MAX, AHEAD_NS_MAX)] for zone in range(run.zones.count)]
    flat = np.array([one for each in downs for one in each], dtype=np.int64)
    return kernel.Rules(
        way=int(chosen.way),
        stale_ns=chosen.stale_ns,
        tries_max=faults.retries.tries_max,
        backoff_ns=faults.retries.backoff_ns,
        order=chosen.order,
        base_ns=chosen.base_ns,
        there_ns=np.ascontiguousarray(run.paths.there_ns),
        back_ns=np.ascontiguousarray(run.paths.back_ns),
        servers=run.zones.servers,
        down_first=np.array([0, *accumulate(len(each) for each in downs)], dtype=np.int64),
        down_ns=np.ascontiguousarray(flat[:, 0]),
        up_ns=np.ascontiguousarray(flat[:, 1]),
        flips=np.array(faults.flips(run.zones.count), dtype=np.int64).reshape(-1, 3),
    )

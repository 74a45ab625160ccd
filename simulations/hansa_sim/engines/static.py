"""The static engine: where each row of users goes is fixed, so that zones never hear of one another.

Requests are put in the order in which they reach their zone, block by block: what a later block sends cannot arrive
before its first request is sent and has travelled the shortest way, so everything that arrives until then is final.
Each zone then is Kiefer and Wolfowitz' recursion ("On the theory of queues with many servers", 1955) on the times at
which its servers get free; with one server it is Lindley's, which numpy computes without a loop: with S the running sum
of service, finish = S + running maximum of (reach - S before).
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapreplace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.acceleration import Speed, is_compiled
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import (
    AHEAD_NS_MAX,
    ANY_WAIT,
    NOWHERE,
    SPEED_PERMILLE,
    Block,
    Flags,
    Indices,
    Ints,
    Paths,
    Zones,
)
from hansa_sim.engines.record_kernel import Visits
from hansa_sim.engines.recorder import Recorder, Run
from hansa_sim.engines.static_compiled import CompiledZones, Ways

Lot = tuple[Ints, Indices, Indices, Ints, Ints, Ints]
"""Requests on their way: number, row of users, zone, sent, reaching, service."""


def serve(blocks: Iterable[Block], zone_of: Indices, run: Run, speed: Speed = Speed.AUTO) -> Measured:
    """Serves every request at ``zone_of`` (U,) of its row; ``NOWHERE`` has no place.

    Raises ValueError where a row goes to a zone that law forbids or no way leads to, and for a run with bins of time:
    zones are served one after the other here, and what comes of that over time is the event engine's to say.
    """
    if run.bin_ns:
        raise ValueError(f"bin_ns is {run.bin_ns}; the static engine keeps no timeline, the event engine does")
    check_table(zone_of[:, None], run.paths)
    recorder = Recorder(run, compiled=is_compiled(speed))
    ways, first = Ways.of(zone_of, run.paths), 0
    zones = (CompiledZones if is_compiled(speed) else PlainZones)(run.zones, ways)
    everyone_placed = bool(ways.placed.all())
    for block in blocks:
        if not everyone_placed:
            lose_lost(block, ways.placed, recorder, run.paths)
        if len(block):
            recorder.make_room(first + len(block))
            zones.take(block, first, recorder)
        first += len(block)
    zones.finish(recorder)
    return recorder.measured()


def check_table(zones_of: Indices, paths: Paths) -> None:
    """Raises ValueError unless every zone of (U, K) is open to its row, or ``NOWHERE``, which fills up at the end."""
    rows = np.arange(len(zones_of))[:, None]
    known = (zones_of >= NOWHERE) & (zones_of < paths.there_ns.shape[1])
    if len(zones_of) != len(paths.there_ns) or not known.all():
        raise ValueError(f"a table of shape {zones_of.shape} does not fit paths of shape {paths.there_ns.shape}")
    if ((zones_of[:, :-1] == NOWHERE) & (zones_of[:, 1:] != NOWHERE)).any():
        raise ValueError("a table has a zone behind the end of a row's choices")
    bad = (zones_of >= 0) & ~paths.are_open(rows, zones_of)
    if bad.any():
        row, choice = (int(one[0]) for one in bad.nonzero())
        raise ValueError(f"users {row} go to zone {int(zones_of[row, choice])}, which is not open to them")


def lose_lost(block: Block, placed: Flags, recorder: Recorder, paths: Paths) -> None:
    """Counts requests of rows that have no place: unreachable, unlawful, or failed for want of a choice."""
    gone = ~placed[block.user]
    user, at_ns = block.user[gone], block.at_ns[gone]
    outcome = np.where(paths.open.any(axis=1), 0, np.where(paths.reachable.any(axis=1), 1, 2))[user]
    for one in range(3):
        recorder.lose(user[outcome == one], at_ns[outcome == one], one)


class PlainZones:
    """Zones with requests on their way, and when their servers get free, ns: one number a zone where it has one server,
    a heap elsewhere."""

    def __init__(self, zones: Zones, ways: Ways) -> None:
        self._zones, self._ways = zones, ways
        self._free_ns = [[0] * count for count in zones.servers.tolist()]
        self._waiting = _no_lot()

    def take(self, block: Block, first: int, recorder: Recorder) -> None:
        """Requests of a block, numbered from ``first`` on, set out; those that nobody can overtake are served."""
        user, zone = block.user, self._ways.zone[block.user]
        number = np.arange(first, first + len(block), dtype=np.int64)
        service = block.demand_ns * SPEED_PERMILLE // self._zones.speed_permille[zone]
        lot = (number, user, zone, block.at_ns, block.at_ns + self._ways.there_ns[user], service)
        self._waiting = _joined(self._waiting, _part(lot, self._ways.placed[user]))
        self._serve(int(block.at_ns[-1]) + self._ways.shortest_ns, recorder)

    def finish(self, recorder: Recorder) -> None:
        """Serves those that are on their way."""
        self._serve(AHEAD_NS_MAX, recorder)

    def _serve(self, final_ns: int, recorder: Recorder) -> None:
        """Serves those that reach their zone until then: what sets out later comes later."""
        final = self._waiting[4] <= final_ns
        lot, self._waiting = self._sorted(_part(self._waiting, final)), _part(self._waiting, ~final)
        start_ns = self._starts(lot)
        taken = start_ns >= 0
        gone = _part(lot, ~taken)
        recorder.turn_away(gone[2], gone[4])
        recorder.lose(gone[1], gone[3], 0)
        number, user, zone, at_ns, reach_ns, service = _part(lot, taken)
        start_ns = start_ns[taken]
        leave_ns = start_ns + service
        latency_ns = leave_ns + self._ways.back_ns[user] - at_ns
        recorder.record(Visits(number, user, zone, at_ns, reach_ns, start_ns, leave_ns, latency_ns, service))

    def _sorted(self, lot: Lot) -> Lot:
        """By zone, then reaching, then number: the lot comes by number, and both sorts keep the order of equals."""
        by_reach = np.argsort(lot[4], kind="stable")
        zone = lot[2][by_reach]
        narrow = zone.astype(np.int16) if self._zones.count < 1 << 15 else zone
        return _part(lot, by_reach[np.argsort(narrow, kind="stable")])

    def _starts(self, lot: Lot) -> Ints:
        """When the requests of a sorted lot are served, (N,) ns; -1 where they are turned away."""
        _, _, zone, _, reach_ns, service = lot
        start_ns = np.empty_like(reach_ns)
        edges = np.flatnonzero(np.diff(zone)) + 1
        for begin, end in zip([0, *edges.tolist()], [*edges.tolist(), len(zone)], strict=True):
            if end > begin:
                here = int(zone[begin])
                start_ns[begin:end] = self._start(here, reach_ns[begin:end], service[begin:end])
        return start_ns

    def _start(self, zone: int, reach_ns: Ints, service: Ints) -> Ints:
        """When the requests of one zone are served, (N,) ns; -1 where they are turned away."""
        free, wait_max = self._free_ns[zone], int(self._zones.wait_ns_max[zone])
        if len(free) > 1 or wait_max != ANY_WAIT:
            return _start_one_by_one(free, wait_max, reach_ns, service)
        sums = np.cumsum(service)
        before = sums - service
        ready = reach_ns - before
        ready[0] = max(int(ready[0]), free[0])
        start_ns = np.maximum.accumulate(ready) + before
        free[0] = int(start_ns[-1] + service[-1])
        return np.asarray(start_ns)


def _start_one_by_one(free: list[int], wait_max: int, reach_ns: Ints, service: Ints) -> Ints:
    starts = []
    for reach, length in zip(reach_ns.tolist(), service.tolist(), strict=True):
        start = free[0] if free[0] > reach else reach
        if wait_max != ANY_WAIT and start - reach > wait_max:
            starts.append(-1)
            continue
        heapreplace(free, start + length)
        starts.append(start)
    return np.array(starts, dtype=np.int64)


def _no_lot() -> Lot:
    ints, indices = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return (ints, indices, indices, ints, ints, ints)


def _joined(one: Lot, other: Lot) -> Lot:
    return _lot(np.concatenate([a, b]) for a, b in zip(one, other, strict=True)) if len(one[0]) else other


def _part(lot: Lot, which: Flags | Ints) -> Lot:
    return _lot(column[which] for column in lot)


def _lot(columns: Iterable[NDArray[Any]]) -> Lot:
    number, user, zone, at_ns, reach_ns, service = columns
    return (number, user, zone, at_ns, reach_ns, service)

"""The static engine: where each row of users goes is fixed, so that zones never hear of one another.

Requests are put in the order in which they reach their zone, block by block: what a later block sends cannot arrive
before its first request is sent and has travelled the shortest way, so everything that arrives until then is final.
Each zone then is Kiefer and Wolfowitz' recursion ("On the theory of queues with many servers", 1955) on the times at
which its servers get free; with one server it is Lindley's, which numpy computes without a loop: with S the running sum
of service, finish = S + running maximum of (reach - S before).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapreplace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.acceleration import Speed, is_compiled
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import ANY_WAIT, NOWHERE, SPEED_PERMILLE, Block, Indices, Ints, Paths, Zones
from hansa_sim.engines.record_kernel import Visits
from hansa_sim.engines.recorder import Recorder, Run
from hansa_sim.engines.static_kernel import order_of, starts_of, stations_of

Lot = tuple[Ints, Indices, Indices, Ints, Ints, Ints]
"""Requests on their way: number, row of users, zone, sent, reaching, service."""


def serve(blocks: Iterable[Block], zone_of: Indices, run: Run, speed: Speed = Speed.AUTO) -> Measured:
    """Serves every request at ``zone_of`` (U,) of its row; ``NOWHERE`` has no place.

    Raises ValueError where a row goes to a zone that law forbids or no way leads to.
    """
    check_table(zone_of[:, None], run.paths)
    recorder = Recorder(run, compiled=is_compiled(speed))
    ways = _Ways.of(zone_of, run.paths)
    servers = (_CompiledServers if is_compiled(speed) else _Servers)(run.zones)
    for lot in _in_order(blocks, ways, recorder):
        ordered = servers.sort(lot)
        recorder.record(_visits(ordered, servers.starts(ordered), ways, recorder))
    return recorder.measured()


def check_table(zones_of: Indices, paths: Paths) -> None:
    """Raises ValueError unless every zone of (U, K) is open to its row, or ``NOWHERE``."""
    rows = np.arange(len(zones_of))[:, None]
    if len(zones_of) != len(paths.there_ns) or (zones_of >= paths.there_ns.shape[1]).any():
        raise ValueError(f"a table of shape {zones_of.shape} does not fit paths of shape {paths.there_ns.shape}")
    bad = (zones_of >= 0) & ~paths.open[rows, zones_of]
    if bad.any():
        row, choice = (int(one[0]) for one in bad.nonzero())
        raise ValueError(f"users {row} go to zone {int(zones_of[row, choice])}, which is not open to them")


def lose_lost(block: Block, placed: Ints, recorder: Recorder) -> None:
    """Counts requests of rows that have no place: unreachable, unlawful, or failed for want of a choice."""
    gone = ~placed[block.user].astype(bool)
    user, at_ns = block.user[gone], block.at_ns[gone]
    paths = recorder.run.paths
    outcome = np.where(paths.open.any(axis=1), 0, np.where(paths.reachable.any(axis=1), 1, 2))[user]
    for one in range(3):
        recorder.lose(user[outcome == one], at_ns[outcome == one], one)


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """For each row: its zone, there and back, ns."""

    zone: Indices
    there_ns: Ints
    back_ns: Ints
    shortest_ns: int

    @classmethod
    def of(cls, zone_of: Indices, paths: Paths) -> _Ways:
        zone = np.ascontiguousarray(zone_of, dtype=np.int32)
        rows, at = np.arange(len(zone)), np.maximum(zone, 0)
        there, back = (np.where(zone >= 0, way[rows, at], 0) for way in (paths.there_ns, paths.back_ns))
        placed = zone != NOWHERE
        return cls(zone, there, back, int(there[placed].min(initial=np.iinfo(np.int64).max >> 1)))


def _in_order(blocks: Iterable[Block], ways: _Ways, recorder: Recorder) -> Iterator[Lot]:
    """Requests in lots, by number: none of a lot reaches its zone before any of the lot before."""
    waiting, first = _no_lot(), 0
    everyone_placed = bool((ways.zone != NOWHERE).all())
    for block in blocks:
        number = np.arange(first, first + len(block), dtype=np.int64)
        first += len(block)
        if not everyone_placed:
            lose_lost(block, ways.zone != NOWHERE, recorder)
            kept = ways.zone[block.user] != NOWHERE
            block, number = Block(block.at_ns[kept], block.user[kept], block.demand_ns[kept]), number[kept]
        if len(block):
            lot = _joined(waiting, _travelling(block, number, ways, recorder.run.zones))
            final = lot[4] <= block.at_ns[-1] + ways.shortest_ns
            waiting = _part(lot, ~final)
            yield _part(lot, final)
    yield waiting


def _travelling(block: Block, number: Ints, ways: _Ways, zones: Zones) -> Lot:
    zone = ways.zone[block.user]
    return (
        number,
        block.user,
        zone,
        block.at_ns,
        block.at_ns + ways.there_ns[block.user],
        service_ns(block.demand_ns, zone, zones),
    )


def service_ns(demand_ns: Ints, zone: Indices, zones: Zones) -> Ints:
    """Time in service of demands at zones, rounded down to whole ns."""
    if (zones.speed_permille == SPEED_PERMILLE).all():
        return demand_ns
    return np.asarray(demand_ns * SPEED_PERMILLE // zones.speed_permille[zone])


def _no_lot() -> Lot:
    ints, indices = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return (ints, indices, indices, ints, ints, ints)


def _joined(one: Lot, other: Lot) -> Lot:
    return _lot(np.concatenate([a, b]) for a, b in zip(one, other, strict=True)) if len(one[0]) else other


def _part(lot: Lot, which: NDArray[Any]) -> Lot:
    return _lot(column[which] for column in lot)


def _lot(columns: Iterable[NDArray[Any]]) -> Lot:
    number, user, zone, at_ns, reach_ns, service = columns
    return (number, user, zone, at_ns, reach_ns, service)


def _visits(lot: Lot, start_ns: Ints, ways: _Ways, recorder: Recorder) -> Visits:
    """The visits of a lot; requests that are turned away, at start -1, have none."""
    taken = start_ns >= 0
    if not taken.all():
        gone = _part(lot, ~taken)
        recorder.turn_away(gone[2], gone[4])
        recorder.lose(gone[1], gone[3], 0)
        lot, start_ns = _part(lot, taken), start_ns[taken]
    number, user, zone, at_ns, reach_ns, service = lot
    leave_ns = start_ns + service
    return Visits(
        number, user, zone, at_ns, reach_ns, start_ns, leave_ns, leave_ns + ways.back_ns[user] - at_ns, service
    )


@dataclass(slots=True)
class _Servers:
    """When the servers of every zone get free, ns: one number a zone where it has one server, a heap elsewhere."""

    zones: Zones
    free_ns: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.free_ns = [[0] * count for count in self.zones.servers.tolist()]

    def sort(self, lot: Lot) -> Lot:
        """By zone, then reaching, then number: the lot comes by number, and both sorts keep the order of equals."""
        by_reach = np.argsort(lot[4], kind="stable")
        zone = lot[2][by_reach]
        narrow = zone.astype(np.int16) if len(self.free_ns) < 1 << 15 else zone
        return _part(lot, by_reach[np.argsort(narrow, kind="stable")])

    def starts(self, lot: Lot) -> Ints:
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
        free, wait_max = self.free_ns[zone], int(self.zones.wait_ns_max[zone])
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


class _CompiledServers:
    """The same by compiled loops."""

    def __init__(self, zones: Zones) -> None:
        self._stations = stations_of(zones)
        self._count = zones.count

    def sort(self, lot: Lot) -> Lot:
        return _part(lot, order_of(lot[2], lot[4], self._count))

    def starts(self, lot: Lot) -> Ints:
        return starts_of(tuple(self._stations), lot[2], lot[4], lot[5])

"""Drives the static engine's compiled loops, and says what both forms of it read: where each row of users goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_sim.engines import static_kernel as kernel
from hansa_sim.engines.model import NOWHERE, Block, Flags, Indices, Ints, Paths, Zones
from hansa_sim.engines.record_kernel import Visits
from hansa_sim.engines.recorder import Recorder


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """For each row of users: its zone, there and back, ns; and the shortest way of all there."""

    zone: Indices
    there_ns: Ints
    back_ns: Ints
    shortest_ns: int

    @classmethod
    def of(cls, zone_of: Indices, paths: Paths) -> Ways:
        zone = np.ascontiguousarray(zone_of, dtype=np.int32)
        rows, at, placed = np.arange(len(zone)), np.maximum(zone, 0), zone != NOWHERE
        there, back = (np.where(placed, way[rows, at], 0) for way in (paths.there_ns, paths.back_ns))
        return cls(zone, there, back, int(there[placed].min()) if placed.any() else 0)

    @property
    def placed(self) -> Flags:
        """(U,): whether the row has a zone."""
        return np.asarray(self.zone != NOWHERE)


class CompiledZones:
    """Zones with requests on their way, as arrays; the counterpart of the plain engine's zones."""

    def __init__(self, zones: Zones, ways: Ways) -> None:
        self._table = np.stack([ways.zone.astype(np.int64), ways.there_ns, ways.back_ns], axis=1)
        first = np.cumsum(zones.servers) - zones.servers
        self._zones = np.stack([first, zones.servers, zones.speed_permille, zones.wait_ns_max], axis=1)
        self._free_ns = np.zeros(int(zones.servers.sum()), np.int64)
        self._waiting, self._count = np.zeros((0, kernel.WAITING_COLUMNS), np.int64), 0
        self._done = (np.zeros((0, 9), np.int64), np.zeros((0, 4), np.int64))

    def take(self, block: Block, first: int) -> None:
        """Requests of a block, numbered from ``first`` on, set out."""
        if len(self._waiting) < self._count + len(block):
            grown = np.zeros((2 * (self._count + len(block)), kernel.WAITING_COLUMNS), np.int64)
            grown[: self._count] = self._waiting[: self._count]
            self._waiting = grown
            self._done = (np.zeros((len(grown), 9), np.int64), np.zeros((len(grown), 4), np.int64))
        sent = (block.at_ns, block.user, block.demand_ns, first)
        self._count = kernel.take(self._waiting, self._count, sent, self._table, self._zones)

    def serve(self, final_ns: int, recorder: Recorder) -> None:
        """Serves those that reach their zone until then: what sets out later comes later."""
        served, away, self._count = kernel.serve(
            self._waiting[: self._count], final_ns, self._zones, self._free_ns, self._done
        )
        visits, turned = self._done[0][:served], self._done[1][:away]
        recorder.record(Visits(*visits.T))
        recorder.turn_away(turned[:, 0], turned[:, 1])
        recorder.lose(turned[:, 2], turned[:, 3], 0)

"""Drives the static engine's compiled loops, and says what both forms of it read: where each row of users goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_sim.engines import static_kernel as kernel
from hansa_sim.engines.model import NOWHERE, Block, Flags, Indices, Ints, Paths, Zones
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
        way_ns = np.stack([ways.there_ns, ways.back_ns], axis=1)
        self._ways = (ways.zone, way_ns, ways.shortest_ns)
        first = np.cumsum(zones.servers) - zones.servers
        self._zones = np.stack([first, zones.servers, zones.speed_permille, zones.wait_ns_max], axis=1)
        self._free_ns = np.zeros(int(zones.servers.sum()), np.int64)
        self._lot, self._late, self._waiting = np.zeros((0, 4), np.int64), np.zeros((0, 5), np.int64), 0
        self._done = (np.zeros((0, 9), np.int64), np.zeros((0, 4), np.int64))

    def take(self, block: Block, first: int, recorder: Recorder) -> None:
        """Requests of a block, numbered from ``first`` on, set out; those that nobody can overtake are served."""
        self._serve((block.at_ns, block.user, block.demand_ns, first), recorder)

    def finish(self, recorder: Recorder) -> None:
        """Serves those that are on their way."""
        none = np.zeros(0, np.int64)
        self._serve((none, none.astype(np.int32), none, 0), recorder)

    def _serve(self, sent: tuple[Ints, Indices, Ints, int], recorder: Recorder) -> None:
        most = self._waiting + len(sent[0])
        if len(self._lot) < most:
            late = np.zeros((2 * most, 5), np.int64)
            late[: self._waiting] = self._late[: self._waiting]
            self._lot, self._late = np.zeros((2 * most, 4), np.int64), late
            self._done = (np.zeros((2 * most, 9), np.int64), np.zeros((2 * most, 4), np.int64))
        state = (self._zones, self._free_ns, self._lot, self._late)
        away, self._waiting = kernel.serve((*sent, self._waiting), self._ways, state, self._done, recorder.book())
        turned = self._done[1][:away]
        recorder.turn_away(turned[:, 0], turned[:, 1])
        recorder.lose(turned[:, 2], turned[:, 3], 0)

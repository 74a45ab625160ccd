"""Latencies over time: what was sent in each of equal steps of time, by how long it took, or that nobody served it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from hansa_sim.engines.histogram import BUCKETS, buckets_of
from hansa_sim.engines.model import Flags, Ints, Window
from hansa_sim.engines.record_kernel import Visits


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """``latency`` (T, B): served requests by the bin of time in which they were sent and bucket (see histogram);
    ``lost`` (T,): those that were not served. Of the same bins, timelines add up."""

    bin_ns: int
    latency: Ints
    lost: Ints

    @classmethod
    def over(cls, end_ns: int, bin_ns: int) -> Timeline:
        """An empty one from the beginning until then."""
        bins = -(-end_ns // bin_ns)
        return cls(bin_ns, np.zeros((bins, BUCKETS), np.int64), np.zeros(bins, np.int64))

    def record(self, visits: Visits) -> None:
        """Counts the visits that were served."""
        served = visits.latency_ns >= 0
        np.add.at(self.latency, (self._bin(visits.at_ns[served]), buckets_of(visits.latency_ns[served])), 1)

    def lose(self, at_ns: Ints) -> None:
        """Counts requests that nobody served, by when they were sent."""
        np.add.at(self.lost, self._bin(at_ns), 1)

    def _bin(self, at_ns: Ints) -> Ints:
        return np.asarray(np.minimum(at_ns // self.bin_ns, len(self.lost) - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Spells:
    """Stretches of time: ``edges_ns`` (2K,) rises, beginning and end of each by turns; none touches the next."""

    edges_ns: Ints

    @classmethod
    def of(cls, stretches: Iterable[tuple[int, int]], window: Window) -> Spells:
        """What such stretches, each until before its end, cover of a window together."""
        joined: list[list[int]] = []
        for begin_ns, end_ns in sorted(stretches):
            begin_ns, end_ns = max(begin_ns, window.begin_ns), min(end_ns, window.end_ns)
            if begin_ns >= end_ns:
                continue
            if joined and begin_ns <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end_ns)
            else:
                joined.append([begin_ns, end_ns])
        return cls(np.fromiter(chain.from_iterable(joined), np.int64))

    def cover(self, at_ns: Ints) -> Flags:
        """(N,): which moments are in one of them."""
        return np.asarray(np.searchsorted(self.edges_ns, at_ns, side="right") % 2 == 1)

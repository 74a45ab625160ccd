"""What a row felt over time, summed over replications: how long requests took in each bin, and who got nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import BUCKETS
from hansa_sim.engines.timeline import Timeline

BINS = 120
Ints = NDArray[np.int64]


def bin_ns_of(horizon_ns: int) -> int:
    """The length of a bin of so long a replication."""
    return -(-horizon_ns // BINS)


@dataclass(slots=True, eq=False)
class OverTime:
    """``whole`` is the sum of timelines; ``struck`` (B,) are latencies of what was sent in bins with a fault, of which
    ``struck_lost`` requests were not served."""

    whole: Timeline | None = None
    struck: Ints = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))
    struck_lost: int = 0

    def add(self, one: Timeline, struck: NDArray[np.bool_]) -> None:
        """One replication more, with the bins in which something has fallen."""
        if self.whole is None:
            self.whole = Timeline(one.bin_ns, np.zeros_like(one.latency), np.zeros_like(one.lost))
        np.add(self.whole.latency, one.latency, out=self.whole.latency)
        np.add(self.whole.lost, one.lost, out=self.whole.lost)
        self.struck += one.latency[struck].sum(axis=0)
        self.struck_lost += int(one.lost[struck].sum())

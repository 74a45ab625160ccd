"""What a row felt over time, summed over replications: how long requests took in each bin, and who got nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_sim.engines.timeline import Timeline

BINS = 120


def bin_ns_of(horizon_ns: int) -> int:
    """The length of a bin of so long a replication."""
    return -(-horizon_ns // BINS)


@dataclass(slots=True, eq=False)
class OverTime:
    """``whole`` is the sum of timelines."""

    whole: Timeline | None = None

    def add(self, one: Timeline) -> None:
        """One replication more."""
        if self.whole is None:
            self.whole = Timeline(one.bin_ns, np.zeros_like(one.latency), np.zeros_like(one.lost))
        np.add(self.whole.latency, one.latency, out=self.whole.latency)
        np.add(self.whole.lost, one.lost, out=self.whole.lost)

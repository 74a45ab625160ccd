"""Differences of two policies on the same requests, paired by replication, of users that both serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.measured import Measured

MS_NS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class PointSums:
    """Of each replication and access point, (R, U): requests served, and the sum of their latencies in ns."""

    served: NDArray[np.int64]
    sums_ns: NDArray[np.int64]

    def mean_beside_ms(self, other: PointSums) -> float:
        """The mean here that ``differences_ms`` are a part of: over users that both serve, weighted as there, and over
        the replications that have them; NaN where none has.
        """
        weights = np.minimum(self.served, other.served)
        sums, total = (self.sums_ns / MS_NS / np.maximum(self.served, 1) * weights).sum(axis=1), weights.sum(axis=1)
        return float((sums[total > 0] / total[total > 0]).mean()) if total.any() else float("nan")

    def differences_ms(self, other: PointSums) -> NDArray[np.float64]:
        """(R,): the mean here less the mean there, over users that both serve; NaN where those are none.

        An access point counts as much in both means, by what the one that serves less of it serves. So who loses half
        of the requests of those far away has not become faster by it. Where both serve all it is the plain difference.
        """
        weights = np.minimum(self.served, other.served)
        one, two = (each.sums_ns / MS_NS / np.maximum(each.served, 1) for each in (self, other))
        total = weights.sum(axis=1)
        empty = np.full(len(total), np.nan)
        return np.asarray(np.divide(((one - two) * weights).sum(axis=1), total, where=total > 0, out=empty))


def sums_of(measured: Sequence[Measured], groups: int) -> PointSums:
    """The sums of replications in which every access point has so many groups of users."""
    shape = (len(measured), -1, groups)
    served, sums_ns = ([getattr(one, name) for one in measured] for name in ("user_served", "user_sum_ns"))
    return PointSums(*(np.array(rows).reshape(shape).sum(axis=2) for rows in (served, sums_ns)))

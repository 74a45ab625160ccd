"""Counts of times in buckets that grow with the time: any percentile within 0.4 %, in memory that never grows.

A bucket is the exponent and the first seven bits of the mantissa of the time as a float: 128 buckets between a power of
two and the next, so that a bucket is at most 1/128 as wide as where it begins, and its middle is at most 1/256 away
from what fell in. Zero has a bucket of its own. The idea is G. Tene's HdrHistogram.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

BITS = 7
"""Buckets between powers of two, as a power of two."""

FALLING = 52 - BITS
"""Bits of a float's mantissa that no bucket heeds."""

FIRST = (1023 << BITS) - 1
"""The bits of 1.0, less one place for zero."""

OCTAVES = 43
"""Times from 2**43 ns on (2.4 hours) share the last bucket."""

BUCKETS = (OCTAVES << BITS) + 2

RELATIVE_ERROR = 1 / (1 << (BITS + 1))
"""How far a percentile is from the truth at most, as a share of it."""


def buckets_of(times_ns: Ints) -> Ints:
    """The bucket of each time, (N,); times are not negative."""
    found = (times_ns.astype(np.float64).view(np.int64) >> FALLING) - FIRST
    return np.asarray(np.clip(found, 0, BUCKETS - 1), dtype=np.int64)


def bounds_ns() -> NDArray[np.float64]:
    """Where each bucket begins, and where the last one ends: (BUCKETS + 1,) ns."""
    inner = ((np.arange(BUCKETS, dtype=np.int64) + FIRST + 1) << FALLING).view(np.float64)
    return np.concatenate(([0.0], inner))


def percentiles_ns(counts: Ints, percents: Any) -> NDArray[np.float64]:
    """The times that ``percents`` percent of what was counted do not exceed: the middle of the bucket where the nearest
    rank lies. NaN where nothing was counted."""
    wanted = np.atleast_1d(np.asarray(percents, dtype=np.float64))
    below = np.cumsum(counts)
    if not below[-1]:
        return np.full(len(wanted), np.nan)
    ranks = np.maximum(np.ceil(wanted / 100 * below[-1] - 1e-9), 1)
    return np.asarray(_middles_ns()[np.searchsorted(below, ranks)])


def share_at_most(counts: Ints, time_ns: int) -> float:
    """Share of what was counted that lies in buckets up to that time's; NaN where nothing was counted."""
    total = counts.sum()
    bucket = int(buckets_of(np.array([time_ns], dtype=np.int64))[0])
    return float(counts[: bucket + 1].sum() / total) if total else float("nan")


def _middles_ns() -> NDArray[np.float64]:
    bounds = bounds_ns()
    middles = (bounds[:-1] + bounds[1:]) / 2
    middles[0] = 0.0
    return middles

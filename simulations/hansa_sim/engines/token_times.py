"""What users see of an answer's tokens, counted: in integers, in memory that does not grow with requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import BUCKETS, buckets_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Times of requests: counts of buckets (B,), see histogram, and their sum, ns."""

    counts: Ints
    sum_ns: int

    @classmethod
    def of(cls, times_ns: Ints) -> Times:
        """Of single times, (N,) ns."""
        return cls(np.bincount(buckets_of(times_ns), minlength=BUCKETS), int(times_ns.sum()))

    def mean_ns(self) -> float:
        """Exact; NaN of nothing."""
        count = int(self.counts.sum())
        return self.sum_ns / count if count else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class TokenTimes:
    """Of requests sent within the window: ``first`` is the time from sending until the first token is at the user,
    ``per_token`` the mean time between an answer's tokens, of answers with two at least."""

    first: Times
    per_token: Times
    prompt_tokens: int
    generated_tokens: int

"""How sure a number is: warm-up, batch means, replications, paired differences, and when to stop.

Sources: K. P. White, "An effective truncation heuristic for bias reduction in simulation output" (1997), and W. W.
Franklin and K. P. White, "Stationarity tests and MSER-5" (2008), for the warm-up; A. M. Law, "Simulation Modeling and
Analysis" (5th ed. 2015), 9.5 for batch means, 10.2 for paired differences on common random numbers, 9.4 for stopping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from hansa_sim.engines.measured import Measured

Floats = NDArray[np.float64]

LEVEL = 0.95
"""How often an interval holds the truth, unless told otherwise."""

BATCHES = 32
"""Batches into which one run is cut: long enough to be nearly independent, enough to know their spread."""

RUNS_FIRST = 5
"""Replications before anything is said."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, half the width of its confidence interval in the same unit, and of how many values."""

    mean: float
    half_width: float
    count: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    def holds(self, value: float) -> bool:
        """Whether the value lies in it."""
        return self.low <= value <= self.high


def interval(values: Sequence[float] | Floats, level: float = LEVEL) -> Interval:
    """The t interval of independent values; without bound for fewer than two. NaN in, NaN out."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return Interval(float(array.mean()) if len(array) else float("nan"), inf, len(array))
    quantile = float(stdtrit(len(array) - 1, (1 + level) / 2))
    return Interval(float(array.mean()), quantile * float(array.std(ddof=1)) / sqrt(len(array)), len(array))


def warm_up(batch_means: Sequence[float] | Floats) -> int:
    """How many batches to leave out (MSER; MSER-5 on means of five): that which makes the mean's standard error least.

    Of the d up to half of the n batches, that with the least sum of squared deviations over (n - d) squared; the lowest
    of equals. 0 for fewer than two batches.
    """
    values = np.asarray(batch_means, dtype=np.float64)
    if len(values) < 2:
        return 0
    centred = values - values.mean()
    left = np.arange(len(values), 0, -1, dtype=np.float64)
    sums, squares = (np.cumsum(array[::-1])[::-1] for array in (centred, centred * centred))
    errors = (squares - sums * sums / left) / (left * left)
    return int(np.argmin(errors[: len(values) // 2 + 1]))


def warm_up_requests(measured: Measured) -> int:
    """How many requests at a run's beginning are warm-up, in whole batches of its series."""
    return warm_up(_means(measured.series_sum_ns, measured.series_served)) * measured.series_size


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How many requests at a run's beginning are warm-up; ``is_short`` where the least error lies at the last place
    that was looked at, half the run: then the run is too short to tell."""

    requests: int
    is_short: bool


def warm_up_of_runs(runs: Sequence[Measured]) -> WarmUp:
    """MSER on the mean of several runs of one system, batch by batch, which scatters less than any one of them.

    Source: K. Hoad, S. Robinson and R. Davies, "Automating warm-up length estimation", J. Oper. Res. Soc. 61 (2010).
    """
    size = max(run.series_size for run in runs)
    series = [_coarser(run, size // run.series_size) for run in runs]
    length = min(len(served) for _, served in series)
    means = np.array([_means(sums[:length], served[:length], keep=True) for sums, served in series])
    known = np.flatnonzero(~np.isnan(means).all(axis=0))
    if len(known) < 2:
        return WarmUp(0, is_short=False)
    skip = warm_up(np.nanmean(means[:, known], axis=0))
    return WarmUp(int(known[skip]) * size, is_short=skip > 0 and skip == len(known) // 2)


def mean_interval(measured: Measured, level: float = LEVEL) -> Interval:
    """The interval of one run's mean latency, ns, by batch means after the warm-up."""
    sums, served = measured.series_sum_ns, measured.series_served
    skip = warm_up(_means(sums, served))
    return interval(_means(*(_batched(array[skip:]) for array in (sums, served))), level)


def paired(one: Measured, other: Measured, level: float = LEVEL) -> Interval:
    """The interval of the difference of two runs' mean latency, ``one - other``, ns, on the same requests.

    What chance does to both is gone: batches hold the same requests. Those that one run did not serve are left out of
    its batches. The longer of the two warm-ups is left out of both.
    """
    size = max(one.series_size, other.series_size)
    runs = [_coarser(run, size // run.series_size) for run in (one, other)]
    length = min(len(array) for run in runs for array in run)
    skip = max(warm_up(_means(*(array[:length] for array in run))) for run in runs)
    first, second = (_means(*(_batched(array[skip:length]) for array in run), keep=True) for run in runs)
    return interval((first - second)[~np.isnan(first - second)], level)


def paired_values(ones: Sequence[float], others: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of the mean difference of replications in pairs, each pair of one seed."""
    return interval(np.asarray(ones, dtype=np.float64) - np.asarray(others, dtype=np.float64), level)


def replicate(run: Callable[[int], float], half_width_share: float, runs_max: int, level: float = LEVEL) -> Interval:
    """Runs seeds 0, 1, ... until the half width is at most that share of the mean, or ``runs_max`` are done."""
    values: list[float] = []
    while True:
        values.append(run(len(values)))
        found = interval(values, level)
        sure = len(values) >= RUNS_FIRST and found.half_width <= half_width_share * abs(found.mean)
        if sure or len(values) >= runs_max:
            return found


def _batched(series: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of BATCHES equal parts, less what does not fill one at the beginning; short series stay as they are."""
    each = len(series) // BATCHES
    return series[len(series) - each * BATCHES :].reshape(BATCHES, each).sum(axis=1) if each else series


def _coarser(run: Measured, times: int) -> list[NDArray[np.int64]]:
    """The run's series, sums and counts, in batches so many times as large."""
    starts = np.arange(0, len(run.series_served), times)
    return [np.add.reduceat(series, starts) for series in (run.series_sum_ns, run.series_served)]


def _means(sums: NDArray[np.int64], served: NDArray[np.int64], *, keep: bool = False) -> Floats:
    """Means of batches; those in which nothing was served are left out, or NaN where they are to keep their place."""
    means = np.divide(sums, served, out=np.full(len(sums), np.nan), where=served > 0)
    return np.asarray(means if keep else means[served > 0])

"""What the engines measured of tokens, as a part of a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hansa_sim.engines.histogram import percentiles_ns
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import SECOND_NS
from hansa_sim.engines.token_times import Times
from hansa_sim.latency.paired import MS_NS
from hansa_sim.latency.results import Interval, TokenRow

PERCENTS = (50.0, 95.0, 99.0)


def token_row(runs: Sequence[Sequence[Measured]], over_runs: Callable[[Sequence[float]], Interval]) -> TokenRow | None:
    """Of replications, each with what was measured of every app; None where no app serves tokens."""
    each = [[one.tokens for one in run if one.tokens is not None] for run in runs]
    if not all(each):
        return None
    first = [_summary([one.first for one in run]) for run in each]
    between = [_summary([one.per_token for one in run]) for run in each]
    lengths_s = [run[0].window.length_ns / SECOND_NS for run in runs]
    rates = [sum(one.generated_tokens for one in run) / s for run, s in zip(each, lengths_s, strict=True)]
    columns = [column for summaries in (first, between) for column in zip(*summaries, strict=True)]
    return TokenRow(*(over_runs(column) for column in (*columns, rates)))


def _summary(times: Sequence[Times]) -> list[float]:
    """Mean and percentiles of all together, ms; NaN of nothing."""
    counts = np.sum([one.counts for one in times], axis=0)
    total = int(counts.sum())
    mean_ns = sum(one.sum_ns for one in times) / total if total else float("nan")
    return [mean_ns / MS_NS, *(percentiles_ns(counts, PERCENTS) / MS_NS).tolist()]

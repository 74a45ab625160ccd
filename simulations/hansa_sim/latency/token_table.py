"""What users see of tokens, for tables and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hansa_sim.latency.results import Row
from hansa_sim.latency.table_texts import figure_text, interval_text

HEAD = ("FIRST TOKEN ms", "p50", "p95", "p99", "EACH FURTHER ms", "p50", "p95", "p99", "TOKENS/s")


def token_cells(rows: Iterable[Row]) -> Iterator[list[str]]:
    """Cells of each row that serves tokens, its name first, the others under ``HEAD``."""
    for row in rows:
        one = row.tokens
        if one is None:
            continue
        if row.unstable:
            yield [row.name, "UNSTABLE", *("-",) * (len(HEAD) - 1)]
            continue
        first = [interval_text(one.first_mean_ms), *_figures(one.first_p50_ms, one.first_p95_ms, one.first_p99_ms)]
        each = [interval_text(one.each_mean_ms), *_figures(one.each_p50_ms, one.each_p95_ms, one.each_p99_ms)]
        yield [row.name, *first, *each, figure_text(one.generated_per_s.mean)]


def _figures(*intervals: Any) -> list[str]:
    return [figure_text(one.mean) for one in intervals]

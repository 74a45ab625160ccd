"""Charts of the report as inline SVG: no script, font or picture from elsewhere; colours come from the page's style.

Lines differ in colour (Okabe and Ito's, which the colour-blind can tell apart) and in their dashes, and legends name
them, so that no chart needs colour to be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from hansa_sim.latency.results import CDF_PERCENTS, Interval, Results, Row

SERIES = 8
DASHES = ("", "7 3", "2 3", "9 3 2 3", "14 4", "6 2 1 2 1 2", "4 2", "3 5")
WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 190, 14, 44


@dataclass(frozen=True, slots=True)
class Scale:
    """A logarithmic axis from one time to another, ms, over pixels."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """Where a value lies; what is beyond lies at the edge."""
        inside = min(max(value, self.low), self.high)
        return self.begin + (self.end - self.begin) * log10(inside / self.low) / log10(self.high / self.low)

    def ticks(self) -> list[float]:
        """Round times within the axis: 1, 2 and 5 times powers of ten, or more where these are fewer than three."""
        powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        coarse, fine = ((1.0, 2.0, 5.0), (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0))
        found = [[m * 10.0**p for p in powers for m in steps] for steps in (coarse, fine)]
        inside = [[tick for tick in ticks if self.low <= tick <= self.high] for ticks in found]
        return inside[0] if len(inside[0]) >= 3 else inside[1]


def scale_over(values: Iterable[float], pixels: tuple[float, float]) -> Scale:
    """An axis that holds these times, with a little room."""
    known = [value for value in values if value > 0] or [1.0]
    return Scale(min(known) * 0.9, max(max(known) * 1.1, min(known) * 2), *pixels)


def latency_curves(results: Results) -> str:
    """Cumulative shares of requests over latency, a line for each policy."""
    rows = [row for row in results.rows if row.view == "together" and row.cdf_ms]
    if not rows:
        return "<p>No policy served a request.</p>"
    bounds = [float(app["latency"]["response_ms_max"]) for app in results.scenario["apps"]]
    axis = scale_over(
        [*bounds, *(row.cdf_ms[0] for row in rows), *(row.cdf_ms[-1] for row in rows)], (LEFT, WIDTH - RIGHT)
    )
    parts = [*_grid(axis, "latency, ms (logarithmic)"), *_percent_axis()]
    parts += [_bound_line(axis, bound) for bound in sorted(set(bounds))]
    parts += [_curve(row, axis, n) for n, row in enumerate(rows)]
    parts += [legend(row.policy + (" (unstable)" if row.unstable else ""), n) for n, row in enumerate(rows)]
    return svg(parts, (WIDTH, HEIGHT), "Cumulative share of requests over latency, by policy")


def _curve(row: Row, axis: Scale, n: int) -> str:
    points = " ".join(
        f"{axis.at(ms):.1f},{_height(percent):.1f}" for ms, percent in zip(row.cdf_ms, CDF_PERCENTS, strict=True)
    )
    return f'<polyline class="line c{n % SERIES}" stroke-dasharray="{DASHES[n % SERIES]}" points="{points}"/>'


def legend(words: str, n: int) -> str:
    """What the n-th line is, beside the chart."""
    x, y = WIDTH - RIGHT + 14, TOP + 16 + 22 * n
    look = f'class="line c{n % SERIES}" stroke-dasharray="{DASHES[n % SERIES]}"'
    line = f'<line {look} x1="{x}" x2="{x + 34}" y1="{y}" y2="{y}"/>'
    return f'{line}<text x="{x + 42}" y="{y + 4}">{escape(words)}</text>'


def _height(percent: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * percent / 100


def _percent_axis() -> Iterable[str]:
    for percent in (0, 25, 50, 75, 95, 100):
        y = _height(percent)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{percent} %</text>'


def _grid(axis: Scale, title: str) -> Iterable[str]:
    for tick in axis.ticks():
        x = axis.at(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{tick:g}</text>'
    yield f'<text class="axis" text-anchor="middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}">{title}</text>'


def _bound_line(axis: Scale, bound: float) -> str:
    x = axis.at(bound)
    line = f'<line class="bound" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    place = f'x="{x - 4:.1f}" y="{HEIGHT - BOTTOM - 8}"'
    return f'{line}<text class="tick" text-anchor="end" {place}>bound {bound:g} ms</text>'


def tails(results: Results) -> str:
    """p99 of every row with its interval, and what it costs, one line a row."""
    rows = [row for row in results.rows if row.is_sound]
    if not rows:
        return "<p>No row is stable.</p>"
    left, right, step = 250, 690, 26
    height = step * len(rows) + 44
    ends = [value for row in rows for value in _ends(row.p99_ms)]
    axis = scale_over(ends, (left, right))
    parts = []
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{height - 34}"/>')
        parts.append(f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{height - 20}">{tick:g}</text>')
    parts.append(f'<text class="axis" text-anchor="middle" x="{(left + right) / 2}" y="{height - 4}">p99, ms</text>')
    parts.append(f'<text class="tick" x="{right + 16}" y="{height - 20}">EUR an hour</text>')
    for n, row in enumerate(rows):
        parts.append(_whisker(row, axis, 20 + step * n))
    return svg(parts, (WIDTH, height), "99th percentile with confidence interval and cost, by policy")


def _whisker(row: Row, axis: Scale, y: int) -> str:
    low, high = _ends(row.p99_ms)
    middle = axis.at(row.p99_ms.mean or axis.low)
    name = f'<text text-anchor="end" x="240" y="{y + 4}">{escape(row.name)}</text>'
    line = f'<line class="whisker" x1="{axis.at(low):.1f}" x2="{axis.at(high):.1f}" y1="{y}" y2="{y}"/>'
    dot = f'<circle class="dot" cx="{middle:.1f}" cy="{y}" r="5"/>'
    return f'{name}{line}{dot}<text x="706" y="{y + 4}">{row.cost_eur_per_hour:.2f}</text>'


def _ends(interval: Interval) -> tuple[float, float]:
    mean, half = interval.mean or 0.0, interval.half_width or 0.0
    return max(mean - half, mean / 10), mean + half


def svg(parts: Sequence[str], size: tuple[int, int], title: str) -> str:
    """A picture that scales with the page, with a title for those who hear it."""
    head = f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(title)}">'
    return f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>"

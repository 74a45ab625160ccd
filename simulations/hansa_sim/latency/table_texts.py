"""Figures as they stand in tables and sentences."""

from __future__ import annotations

from hansa_sim.latency.results import Interval

NOTHING = "-"


def interval_text(interval: Interval | None, *, signed: bool = False) -> str:
    """``12.3 ± 0.4``; a dash for what was not measured."""
    if interval is None or interval.mean is None:
        return NOTHING
    text = f"{interval.mean:+.2f}" if signed else f"{interval.mean:.2f}"
    return text if interval.half_width is None else f"{text} ± {interval.half_width:.2f}"


def share_text(interval: Interval) -> str:
    """A share in percent with its interval."""
    if interval.mean is None:
        return NOTHING
    width = "" if interval.half_width is None else f" ± {100 * interval.half_width:.2f}"
    return f"{100 * interval.mean:.2f}{width} %"


def figure_text(value: float | None) -> str:
    """A time to a tenth of a ms; a dash for what was not measured."""
    return NOTHING if value is None else f"{value:.1f}"

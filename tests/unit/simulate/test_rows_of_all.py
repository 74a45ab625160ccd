"""Access points of several apps as those of all of them together: every mean is of requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hansa_sim.latency.results import PointResult
from hansa_sim.latency.rows_of_all import points_of_all


def point(rate: float, mean_ms: float | None, lost_share: float = 0.0, why_not: str = "") -> PointResult:
    return PointResult("oslo", rate, "nordavind/oslo-1", mean_ms, why_not, lost_share)


def of_all(**apps: PointResult) -> PointResult:
    rows: dict[str, Any] = {app: SimpleNamespace(points=(one,)) for app, one in apps.items()}
    (whole,) = points_of_all(rows)
    return whole


def test_the_mean_of_a_place_is_that_of_the_requests_that_were_served() -> None:
    """90 a second, of which a third is lost, at 10 ms, and 20 a second at 50 ms."""
    whole = of_all(doors=point(90.0, 10.0, 1 / 3), translate=point(20.0, 50.0))
    assert whole.mean_ms == pytest.approx((60 * 10 + 20 * 50) / 80)
    assert whole.lost_share == pytest.approx(30 / 110)
    assert whole.requests_per_s == 110.0


def test_an_app_that_serves_nobody_is_in_no_mean() -> None:
    whole = of_all(doors=point(90.0, None, 1.0, "no lawful path to any zone"), translate=point(20.0, 50.0))
    assert (whole.mean_ms, whole.why_not) == (50.0, "doors: no lawful path to any zone")
    assert of_all(doors=point(90.0, None, 1.0)).mean_ms is None

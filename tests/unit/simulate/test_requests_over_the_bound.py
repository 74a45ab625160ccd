"""Requests over a bound are counted one by one: histograms know no better than 0.8 %."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_worlds import MS, by_hand, one_station
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.router import Table
from hansa_sim.engines.service import Deterministic
from hansa_sim.latency.run import run_scenario
from scenario_texts import world_of


@pytest.mark.parametrize("speed", [Speed.PLAIN, Speed.COMPILED])
@pytest.mark.parametrize("engine", ["static", "event"])
def test_a_nanosecond_tells_late_from_in_time(engine: str, speed: Speed) -> None:
    run, _ = one_station(1.0, Deterministic(MS), 1, 1)
    run, table = replace(run, bound_ns=10 * MS), np.zeros(1, np.int32)
    asked = by_hand([0, 100 * MS, 200 * MS, 300 * MS], [0, 0, 0, 0], [10 * MS - 1, 10 * MS, 10 * MS + 1, 11 * MS])
    serve = {
        "static": lambda: static.serve(asked, table, run, speed),
        "event": lambda: event.serve(asked, Table(table), run, speed=speed),
    }[engine]
    assert serve().late.tolist() == [2]


@pytest.mark.parametrize(("bound_ms", "missed"), [(25.35, 1.0), (25.41, 0.0)])
def test_who_is_a_fifth_of_a_percent_over_the_bound_misses_it(tmp_path: Path, bound_ms: float, missed: float) -> None:
    world = world_of(
        tmp_path,
        ("response_ms_max: 300", f"response_ms_max: {bound_ms}"),
        ("rtt_ms_max: 60", "rtt_ms_max: 7"),
        ("times: [{mean_ms: 20}]", "distribution: fixed, times: [{mean_ms: 20}]"),
        ("  - {access_point: bergen, requests_per_s: 50}\n  - {access_point: malmo, requests_per_s: 90}\n", ""),
        ("requests_per_s: 60", "requests_per_s: 0.01"),
        ("requests: 40000", "requests: 4000"),
    )
    row = run_scenario(world).rows[0]
    assert row.mean_ms.mean == pytest.approx(25.4, abs=0.05)
    assert row.miss_share.mean == pytest.approx(missed, abs=0.01)

"""A run stops when its intervals are narrow enough, for all policies at once, and measures after the warm-up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_worlds import MS, by_hand, one_station
from hansa_sim.engines import static
from hansa_sim.engines.confidence import warm_up_of_runs
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.service import Deterministic
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import Results
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.table import words_of
from scenario_texts import SCENARIO, world_of

SIZE = "requests: 40000, replications: 4"
TWO = ("policies: [nearest]", "policies: [nearest, least-latency]")
RUN_LINE = next(n for n, line in enumerate(SCENARIO.splitlines(), 1) if line.startswith("run:"))
HERE = np.zeros(1, np.int32)


def _ran(folder: Path, run: str, *changes: tuple[str, str]) -> Results:
    return run_scenario(world_of(folder, (SIZE, run), *changes))


def _words(results: Results) -> str:
    return " ".join(words_of(results))


def test_a_run_stops_as_soon_as_every_policy_is_known_as_well_as_asked_for(tmp_path: Path) -> None:
    found = _ran(tmp_path, "requests: 120000, replications: 60, half_width_percent: 1.5", TWO)
    effort = found.effort
    assert effort is not None
    assert effort.reached
    assert 10 < effort.replications < 60
    widths = [100 * row.mean_ms.half_width / row.mean_ms.mean for row in found.rows]  # type: ignore[operator]
    assert max(widths) == pytest.approx(effort.widest_percent)
    assert max(widths) <= 1.5
    assert effort.widest == f"mean of {found.rows[int(np.argmax(widths))].name}"
    assert len({row.requests for row in found.rows}) == 1  # every policy has played the same replications
    assert found.rows[0].requests == pytest.approx(2_000 * 0.9 * effort.replications, rel=0.02)
    assert f"within 1.5 % to each side reached after {effort.replications} replications of at most 60" in _words(found)
    assert f"intervals of {effort.replications} independent replications" in report_of(found)


def test_one_replication_less_would_not_have_been_enough(tmp_path: Path) -> None:
    found = _ran(tmp_path, "requests: 120000, replications: 60, half_width_percent: 1.5")
    effort = found.effort
    assert effort is not None
    before = _ran(tmp_path, f"requests: {2_000 * (effort.replications - 1)}, replications: {effort.replications - 1}")
    mean = before.rows[0].mean_ms
    assert mean.mean is not None
    assert mean.half_width is not None
    assert 100 * mean.half_width / mean.mean > 1.5
    assert before.effort is not None
    assert before.effort.reached is None


def test_the_most_is_run_where_intervals_stay_wide_and_that_is_said(tmp_path: Path) -> None:
    found = _ran(tmp_path, "requests: 12000, replications: 12, half_width_percent: 0.01, stop_on: [p99]")
    effort = found.effort
    assert effort is not None
    assert (effort.replications, effort.reached, effort.widest) == (12, False, "p99 of nearest")
    assert "within 0.01 % to each side not reached after 12 replications" in _words(found)


def test_differences_are_asked_for_apart_from_means(tmp_path: Path) -> None:
    size = "requests: 120000, replications: 60, half_width_percent: 1, stop_on: [difference]"
    found = _ran(tmp_path, size, TWO)
    effort, other = found.effort, found.rows[1]
    assert effort is not None
    assert effort.widest == "difference of least-latency from nearest"
    assert other.differs_ms is not None
    assert other.differs_ms.half_width is not None
    assert found.rows[0].mean_ms.mean is not None
    percent = 100 * other.differs_ms.half_width / found.rows[0].mean_ms.mean
    assert percent == pytest.approx(effort.widest_percent)


def test_an_overloaded_row_holds_nobody_up(tmp_path: Path) -> None:
    heavy = ("requests_per_s: 90", "requests_per_s: 170")
    found = _ran(tmp_path, "requests: 60000, replications: 30, half_width_percent: 20", heavy)
    assert found.rows[0].unstable
    assert found.effort is not None
    assert (found.effort.replications, found.effort.reached, found.effort.widest_percent) == (10, False, None)
    assert "no row is sound" in _words(found)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("requests: 40000, half_width_percent: 1", "replications is 8, the most that half_width_percent may run"),
        ("requests: 40000, stop_on: [p99]", "stop_on does nothing without half_width_percent"),
        ("requests: 40000, replications_min: 4", "replications_min does nothing without half_width_percent"),
        ("requests: 40000, half_width_percent: 0", "greater than 0"),
        ("warm_up: mser-5, warm_up_percent: 20", "give warm_up: mser-5 or warm_up_percent, one of the two"),
        ("warm_up: mser", "'percent' or 'mser-5'"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(tmp_path: Path, run: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        world_of(tmp_path, (SIZE, run))
    assert f"scenario.yaml:{RUN_LINE}: run" in str(caught.value)
    assert said in str(caught.value)


def test_mser_is_refused_where_the_rate_never_comes_to_rest(tmp_path: Path) -> None:
    daily = ("policies: [nearest]", "policies: [nearest]\narrivals: {kind: diurnal}")
    with pytest.raises(ScenarioError, match="diurnal arrivals change all the time"):
        world_of(tmp_path, (SIZE, "warm_up: mser-5"), daily)


def _begun_full(seed: int, backlog: int, requests: int = 4_000) -> Measured:
    """One server that begins with a backlog and then has little to do."""
    rng = np.random.default_rng(seed)
    at = np.concatenate([np.zeros(backlog, np.int64), np.cumsum(rng.exponential(20 * MS, requests)).astype(np.int64)])
    run, _ = one_station(50.0, Deterministic(1.0), 1, 600)
    return static.serve(by_hand(at.tolist(), [0] * len(at), [8 * MS] * len(at)), HERE, run)


def test_the_warm_up_of_several_runs_is_where_their_mean_comes_to_rest() -> None:
    found = warm_up_of_runs([_begun_full(seed, 400) for seed in range(3)])
    assert 400 <= found.requests < 1_200
    assert not found.is_short
    assert warm_up_of_runs([_begun_full(seed, 0) for seed in range(3)]).requests < 400


def test_a_run_that_never_comes_to_rest_is_too_short() -> None:
    at = np.arange(0, 20_000 * MS, 7 * MS)
    run, _ = one_station(50.0, Deterministic(1.0), 1, 600)
    measured = static.serve(by_hand(at.tolist(), [0] * len(at), [8 * MS] * len(at)), HERE, run)
    assert warm_up_of_runs([measured]).is_short


def test_the_warm_up_is_found_in_runs_of_its_own_and_one_window_holds_for_all(tmp_path: Path) -> None:
    found = _ran(tmp_path, "requests: 40000, replications: 4, warm_up: mser-5", TWO)
    assert found.effort is not None
    horizon_s = found.simulated_s / 4
    assert 0 <= found.effort.warm_up_s <= horizon_s / 2
    assert len({row.requests for row in found.rows}) == 1
    measured = 40_000 * (1 - found.effort.warm_up_s / horizon_s)
    assert found.rows[0].requests == pytest.approx(measured, rel=0.03)
    again = _ran(tmp_path, "requests: 40000, replications: 4, warm_up: mser-5")
    assert again.effort is not None
    assert again.rows[0].mean_ms.mean is not None


def test_the_default_warm_up_is_a_share_of_each_replication(tmp_path: Path) -> None:
    found = _ran(tmp_path, "requests: 20000, replications: 2, warm_up_percent: 25")
    assert found.effort is not None
    assert found.effort.warm_up_s == pytest.approx(found.simulated_s / 2 / 4)
    assert found.effort.half_width_percent is None

"""What is said of arrivals that are recorded or go with the day: how much of them is shared, or other than written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hansa_sim.engines.model import Profile
from hansa_sim.latency.arrival_words import arrival_words
from hansa_sim.latency.results import Results
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.trace_file import Trace
from hansa_sim.latency.traffic import Record
from scenario_texts import world_of

WRITTEN_RPS = 60 + 50 + 90
RUN = "run: {requests: 40000, replications: 4, seed: 7}"


def record(seed: int) -> Record:
    rng = np.random.default_rng(seed)
    at_ns = np.concatenate([[0], np.cumsum(rng.integers(1, 1_000, 49))])
    return Record(Trace(at_ns, np.arange(50), np.ones(50, np.int64)), int(rng.integers(1, 9)), has_tokens=True)


@pytest.mark.parametrize("seed", range(8))
def test_the_shared_share_is_that_of_requests_that_are_counted_one_by_one(seed: int) -> None:
    one = record(seed)
    for share_of_record in (0.01, 0.3, 1.0, 2.7):
        horizon_ns = max(1, round(share_of_record * one.trace.period_ns))
        times = np.zeros(50, np.int64)
        for number in range(one.replications):
            first = 50 * number // one.replications
            np.add.at(times, one.trace.part(first, horizon_ns).prompt, 1)
            assert one.trace.count(first, horizon_ns) == len(one.of(number, horizon_ns).at_ns)
        expected = times[times > 1].sum() / times.sum()
        assert one.shared_share(one.replications, horizon_ns) == pytest.approx(expected)


def test_the_mean_rate_of_a_part_of_a_day_is_the_mean_of_its_moments() -> None:
    day = Profile(10, np.array([500, 1_000, 1_500], np.int64))
    rate = np.repeat(day.share_permille, 10)[np.arange(300) % 30]
    for begin, end in ((0, 30), (0, 7), (3, 44), (29, 31), (30, 90), (17, 299)):
        assert day.mean_share(begin, end) == pytest.approx(rate[begin:end].mean() / 1_000)


def played(folder: Path, arrivals: str, run: str) -> Results:
    changes = (("policies: [nearest]", f"policies: [nearest]\narrivals: {arrivals}"), (RUN, f"run: {{{run}}}"))
    return run_scenario(world_of(folder, *changes))


@pytest.mark.parametrize(("duration_s", "warm_up_percent"), [(10, 0), (50, 20), (60, 50)])
def test_a_part_of_a_day_is_said_to_have_another_mean(tmp_path: Path, duration_s: int, warm_up_percent: int) -> None:
    run = f"duration_s: {duration_s}, replications: 2, warm_up_percent: {warm_up_percent}"
    results = played(tmp_path, "{kind: diurnal, swing: 0.8, period_s: 50}", run)
    begin_s = duration_s * warm_up_percent / 100
    angle = 2 * np.pi / 50
    share = 1 - 0.8 * (np.sin(angle * duration_s) - np.sin(angle * begin_s)) / angle / (duration_s - begin_s)
    assert results.effort is not None
    assert results.effort.rate_share == pytest.approx(share, abs=0.005)
    assert f"has {100 * results.effort.rate_share:.0f} % of requests_per_s" in " ".join(arrival_words(results))
    rate = results.rows[0].requests / 2 / (duration_s - begin_s)
    assert rate / WRITTEN_RPS == pytest.approx(share, abs=0.06), "that is what was measured, too"


def test_a_whole_day_needs_no_words(tmp_path: Path) -> None:
    run = "duration_s: 50, replications: 2, warm_up_percent: 0"
    assert list(arrival_words(played(tmp_path, "{kind: diurnal, swing: 0.8, period_s: 50}", run))) == []


@pytest.mark.parametrize(("duration_s", "said"), [(4, ""), (12, "100 % of these requests were played more than once")])
def test_replications_that_share_recorded_requests_are_said_to(tmp_path: Path, duration_s: int, said: str) -> None:
    lines = (f'{{"timestamp": {20 * n}, "input_length": 9, "output_length": 9}}' for n in range(500))
    (tmp_path / "trace.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = f"duration_s: {duration_s}, replications: 2"
    words = " ".join(arrival_words(played(tmp_path, "{kind: trace, file: trace.jsonl}", run)))
    assert words.startswith("Arrivals are those of trace.jsonl")
    assert said in words and bool(said) == ("intervals say" in words)

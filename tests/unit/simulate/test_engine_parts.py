"""Histograms, arrivals, streams, recorder and intervals, each by itself."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from engine_worlds import MS, by_hand, drawn_world, one_station, sent
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import kept_in
from hansa_sim.engines.arrivals import blocks, expected_requests
from hansa_sim.engines.confidence import (
    interval,
    mean_interval,
    paired,
    paired_values,
    replicate,
    warm_up,
    warm_up_requests,
)
from hansa_sim.engines.histogram import BUCKETS, RELATIVE_ERROR, bounds_ns, buckets_of, percentiles_ns, share_at_most
from hansa_sim.engines.measured import ImpossibleResult
from hansa_sim.engines.model import SECOND_NS, Paths, Profile, Recorded, UserClass, Window, Zones
from hansa_sim.engines.record_kernel import bucket_of
from hansa_sim.engines.recorder import Recorder, Run
from hansa_sim.engines.router import LeastLatency, Table
from hansa_sim.engines.service import Deterministic, Empirical, Exponential, Gamma, Lognormal
from hansa_sim.engines.streams import generator
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = np.zeros(1, np.int32)


def test_what_is_compiled_of_other_sources_lies_elsewhere_also_where_the_function_is_the_same(tmp_path: Path) -> None:
    for name, sifting in (("old", "a"), ("new", "b"), ("same", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "serve.py").write_text("serve")
        (tmp_path / name / "sift.py").write_text(sifting)
    old, new, same = (Path(kept_in("", tmp_path / name)).name for name in ("old", "new", "same"))
    assert old == same != new
    assert Path(kept_in("", tmp_path / "old")).parent == tmp_path / "old" / "__pycache__"
    assert kept_in("/elsewhere", tmp_path / "old") == f"/elsewhere/{old}"


@given(st.lists(st.integers(0, 2**43 - 1), min_size=1, max_size=50))
def test_percentiles_are_within_four_permille_of_the_nearest_rank(times_ns: list[int]) -> None:
    counts = np.bincount(buckets_of(np.array(times_ns, np.int64)), minlength=BUCKETS)
    percents = np.array([1.0, 50.0, 90.0, 99.0, 99.9, 100.0])
    ranks = np.maximum(np.ceil(percents / 100 * len(times_ns) - 1e-9), 1).astype(int)
    exact = np.sort(times_ns)[ranks - 1]
    assert (np.abs(percentiles_ns(counts, percents) - exact) <= RELATIVE_ERROR * exact).all()
    assert RELATIVE_ERROR < 0.004


@settings(deadline=None)  # the first call may compile
@given(st.integers(0, 2**62))
def test_every_time_falls_between_the_bounds_of_its_bucket(time_ns: int) -> None:
    bucket = int(buckets_of(np.array([time_ns], np.int64))[0])
    assert bucket == bucket_of(time_ns)
    if bucket < BUCKETS - 1:
        assert bounds_ns()[bucket] <= time_ns < bounds_ns()[bucket + 1] or time_ns == 0


def test_zero_has_a_bucket_and_nothing_has_no_percentile() -> None:
    counts = np.bincount(buckets_of(np.array([0, 0, 0, 1000], np.int64)), minlength=BUCKETS)
    assert percentiles_ns(counts, 75)[0] == 0.0
    assert share_at_most(counts, 0) == 0.75
    assert np.isnan(percentiles_ns(np.zeros(BUCKETS, np.int64), [50.0])).all()


def test_streams_differ_by_name_and_seed_and_stay_as_they_are() -> None:
    assert generator(1, "a").integers(0, 1 << 62) == generator(1, "a").integers(0, 1 << 62)
    first = {int(generator(seed, name).integers(0, 1 << 62)) for seed in range(20) for name in ("a", "b", "users/a")}
    assert len(first) == 60


def test_poisson_arrivals_have_the_gaps_of_their_rate() -> None:
    run, classes = one_station(1000.0, Exponential(5.0 * MS), 1, 100)
    at = np.concatenate([one.at_ns for one in sent(run, classes)])
    gaps = np.diff(at) / MS
    assert abs(gaps.mean() - 1.0) < 4 / np.sqrt(len(gaps))
    assert abs(gaps.std() - 1.0) < 8 / np.sqrt(len(gaps))
    counts = np.histogram(at, bins=1000, range=(0, 100 * SECOND_NS))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.2)
    assert at[-1] < 100 * SECOND_NS and expected_requests(classes, 100 * SECOND_NS) == 100_000


def test_rate_goes_with_the_hour_of_its_profile() -> None:
    profile = Profile(SECOND_NS, np.array([200, 1000, 0]))
    one = UserClass("day", np.zeros(1, np.int32), 500.0, Deterministic(1.0), profile=profile)
    at = np.concatenate([block.at_ns for block in blocks([one], 1, 300 * SECOND_NS)])
    counts = np.bincount(at // SECOND_NS % 3, minlength=3) / 100
    assert counts[2] == 0
    assert counts[0] == pytest.approx(100, rel=0.05) and counts[1] == pytest.approx(500, rel=0.03)
    assert expected_requests([one], 300 * SECOND_NS) == pytest.approx(60_000)


def test_another_class_shifts_nothing_of_a_class() -> None:
    one = UserClass("one", np.arange(3, dtype=np.int32), 300.0, Lognormal(5.0 * MS, 1.0), weights=np.array([1.0, 2, 5]))
    other = UserClass("other", np.array([3], np.int32), 700.0, Exponential(1.0 * MS))
    alone = _columns([one])
    mixed = _columns([other, one])
    mine = mixed[1] < 3
    assert all((a == b[mine]).all() for a, b in zip(alone, mixed, strict=True))
    assert (np.diff(mixed[0]) >= 0).all()
    assert np.bincount(alone[1]) / len(alone[1]) == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.01)


def test_rows_are_drawn_by_their_weights() -> None:
    weights = np.array([0.5, 3.0, 0.0, 9.0, 1.0, 1.5])
    one = UserClass("all", np.arange(6, dtype=np.int32), 2_000.0, Deterministic(1.0), weights=weights)
    shares = np.bincount(_columns([one], 100 * SECOND_NS)[1], minlength=6) / 200_000
    assert shares == pytest.approx(weights / 15, abs=0.005)
    assert shares[2] == 0


def test_recorded_requests_come_as_they_were_recorded() -> None:
    at, demand = np.array([5, 7, 7, 900], np.int64), np.array([3, 1, 4, 1], np.int64)
    one = UserClass("trace", np.zeros(1, np.int32), 1.0, Deterministic(2.0), recorded=Recorded(at, demand))
    columns = _columns([one], horizon_ns=900)
    assert columns[0].tolist() == [5, 7, 7] and columns[2].tolist() == [3, 1, 4]
    with pytest.raises(ValueError, match="falls after request 1"):
        Recorded(np.array([1, 5, 3], np.int64))


@pytest.mark.parametrize(
    "demand",
    [
        Exponential(5e6),
        Lognormal(5e6, 2.0),
        Gamma(5e6, 0.5),
        Gamma(5e6, 2.0),
        Deterministic(5e6),
        Empirical(np.arange(1, 99)),
    ],
)
def test_demands_have_the_mean_and_spread_that_they_say(demand: Exponential) -> None:
    drawn = demand.draw(generator(1, "x"), 400_000)
    assert drawn.mean() == pytest.approx(demand.mean_ns, rel=0.02)
    assert drawn.var() / demand.mean_ns**2 == pytest.approx(demand.scv, rel=0.1, abs=1e-9)
    assert drawn.min() >= 1 and drawn.dtype == np.int64


def test_warm_up_is_what_mser_finds_by_hand() -> None:
    # Leaving out d of 10, 4, 1, 2, 1, 2: variance sums over (n - d)^2 are 59.3/36, 6/25, 1/16, 0.67/9.
    assert warm_up([10.0, 4.0, 1.0, 2.0, 1.0, 2.0]) == 2
    assert warm_up([1.0, 1.0, 1.0, 1.0]) == 0
    assert warm_up([7.0]) == 0
    assert warm_up([100.0, 50.0, 25.0, 0.0]) == 2  # three would be less still, but are more than half


def test_interval_of_known_values_is_students() -> None:
    found = interval([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert found.half_width == pytest.approx(3.182446 * np.sqrt(5 / 3) / 2, rel=1e-6)
    assert interval([1.0]).half_width == np.inf


def test_paired_difference_is_surer_than_two_means() -> None:
    ones = [10.0, 20.0, 30.0, 40.0]
    found = paired_values(ones, [9.0, 19.2, 28.9, 39.0])
    assert found.mean == pytest.approx(0.975)
    assert found.low > 0 and interval(ones).half_width > 10


def test_policies_on_the_same_requests_differ_by_far_surer_amounts() -> None:
    rng = np.random.default_rng(1)
    there = rng.integers(1 * MS, 20 * MS, (20, 4))
    classes = [UserClass("all", np.arange(20, dtype=np.int32), 300.0, Exponential(8.0 * MS))]
    run = Run.of(classes, Paths(there, there, there > 0), Zones.of([1, 1, 1, 1]), Window(120 * SECOND_NS))
    table = Table(np.tile(np.arange(4, dtype=np.int32), 5))
    one = event.serve(sent(run, classes), table, run)
    other = event.serve(sent(run, classes), LeastLatency(np.full(20, 8 * MS)), run)
    difference = paired(one, other)
    assert difference.low > 0
    assert difference.mean == pytest.approx(one.mean_latency_ns() - other.mean_latency_ns(), rel=0.1)
    assert paired(one, one).half_width == 0.0
    assert difference.half_width < mean_interval(one).half_width + mean_interval(other).half_width


def test_replications_stop_when_they_are_sure_enough_or_are_too_many() -> None:
    stream = generator(1, "noise")
    values = 100 + stream.standard_normal(1000)
    sure = replicate(lambda seed: float(values[seed]), 0.005, 1000)
    assert sure.half_width <= 0.005 * sure.mean and 5 < sure.count < 100
    assert replicate(lambda seed: float(values[seed]), 1e-9, 30).count == 30


def test_warm_up_of_a_run_that_begins_full_is_left_out() -> None:
    rng = np.random.default_rng(1)
    at = np.concatenate([np.zeros(400, np.int64), np.cumsum(rng.exponential(20 * MS, 20_000)).astype(np.int64)])
    run, _ = one_station(50.0, Deterministic(1.0), 1, 500)
    measured = static.serve(by_hand(at.tolist(), [0] * len(at), [8 * MS] * len(at)), HERE, run)
    assert 400 <= warm_up_requests(measured) < 2_000
    assert mean_interval(measured).mean < 0.8 * measured.mean_latency_ns()


def test_series_keeps_batches_when_it_is_joined() -> None:
    run, classes = one_station(2000.0, Deterministic(0.1 * MS), 1, 60)
    measured = static.serve(sent(run, classes), HERE, run)
    assert measured.series_size == 20
    assert int(measured.series_served.sum()) == int(measured.served[0])
    assert int(measured.series_sum_ns.sum()) == int(measured.latency_sum_ns[0])
    assert (measured.series_served[:-1] == 20).all()


def test_squares_and_sums_are_exact() -> None:
    run, _ = one_station(1.0, Deterministic(1.0), 4, 10)
    demands = [3 * MS, 7 * MS + 1, 11, 2**40]
    measured = static.serve(by_hand([1, 2, 3, 4], [0] * 4, demands), HERE, run)
    assert int(measured.latency_sum_ns[0]) == sum(demands)
    assert measured.latency_squares[0] == pytest.approx(float(sum(one * one for one in demands)), rel=1e-15)
    assert int(measured.latency_max_ns[0]) == 2**40


def test_result_that_cannot_be_is_refused() -> None:
    run, _ = one_station(50.0, Exponential(10.0 * MS), 1, 10)
    recorder = Recorder(run)
    recorder.counts.zones[0, 6] = run.window.length_ns + 1
    with pytest.raises(ImpossibleResult, match=r"zone 0: utilisation outside \[0, 1\]"):
        recorder.measured()
    recorder = Recorder(run)
    recorder.counts.zones[0, 3:6] = (100, 10, 500)
    with pytest.raises(ImpossibleResult, match="Little's law"):
        recorder.measured()
    recorder = Recorder(run)
    recorder.counts.flow[0, 3] = -1
    with pytest.raises(ImpossibleResult, match="fewer than no requests"):
        recorder.measured()


def test_same_seed_gives_the_same_digest_in_other_processes_with_other_hash_seeds() -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    program = "import test_engine_parts as t; print(t.digest())"
    digests = {
        subprocess.run(
            ["env", f"PYTHONHASHSEED={seed}", f"PYTHONPATH={path}", sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout.strip()
        for seed in ("0", "7")
    }
    assert digests == {digest()}


def digest() -> str:
    """Everything that a run with faults measured."""
    world = drawn_world(5)
    measured = event.serve(world.blocks(), world.routers["latency"], world.run, world.faults)
    parts = (
        measured.latency_counts,
        measured.wait_counts,
        measured.user_sum_ns,
        measured.series_sum_ns,
        measured.backlog,
    )
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _columns(classes: list[UserClass], horizon_ns: int = 40 * SECOND_NS) -> list[np.ndarray]:
    whole = list(blocks(classes, 1, horizon_ns))
    return [np.concatenate([getattr(one, name) for one in whole]) for name in ("at_ns", "user", "demand_ns")]

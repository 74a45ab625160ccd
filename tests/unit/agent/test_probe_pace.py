"""Steps of the median are seen within a few probes and jitter is none; pace and budget follow."""

from __future__ import annotations

import random  # noqa: TID251 - seeded streams of a test

import pytest
from hansa_agent.probe_pace import FAST_ROUNDS, Budget, Pace, StepDetector


def jittered(median_us: int, jitter_us: int, count: int, seed: int) -> list[int]:
    stream = random.Random(seed)
    return [max(1, round(stream.gauss(median_us, jitter_us))) for _ in range(count)]


def steps(detector: StepDetector, rtts_us: list[int]) -> list[int]:
    """After how many probes each step was seen."""
    return [number for number, rtt_us in enumerate(rtts_us, 1) if detector.add(rtt_us)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("jitter_us", [0, 50, 2_000])
def test_jitter_alone_is_no_step(seed: int, jitter_us: int) -> None:
    assert steps(StepDetector(), jittered(20_000, jitter_us, 2_000, seed)) == []


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("after_us", [32_000, 10_000])
def test_a_step_beyond_the_jitter_is_seen_within_five_probes(seed: int, after_us: int) -> None:
    detector = StepDetector()
    assert steps(detector, jittered(20_000, 1_000, 100, seed)) == []
    (seen, *more) = steps(detector, jittered(after_us, 1_000, 100, seed + 100))
    assert seen <= 5 and more == []


@pytest.mark.parametrize("seed", range(20))
def test_a_step_of_twice_the_jitter_is_seen_within_three_rounds(seed: int) -> None:
    detector = StepDetector()
    steps(detector, jittered(20_000, 1_000, 120, seed))
    assert steps(detector, jittered(22_000, 1_000, 40, seed + 100))[0] <= 30


def test_what_belongs_to_the_step_is_told() -> None:
    detector = StepDetector()
    steps(detector, [20_000] * 50)
    counts = [detector.add(30_000) for _ in range(5)]
    assert counts == [0, 0, 0, 4, 0]


def test_a_single_outlier_however_large_is_no_step() -> None:
    detector = StepDetector()
    rtts_us = jittered(20_000, 500, 400, 3)
    rtts_us[100:400:20] = [900_000] * 15
    assert steps(detector, rtts_us) == []


def test_the_rounds_come_faster_for_a_while_after_a_step() -> None:
    pace = Pace(5_000, 15_000)
    assert pace.after_round(0, stepped=False) == 5_000
    assert pace.after_round(0, stepped=True) == 1_000
    assert [pace.after_round(0, stepped=False) for _ in range(FAST_ROUNDS)] == [1_000] * (FAST_ROUNDS - 1) + [5_000]


def test_a_jump_of_losses_makes_the_rounds_faster_and_steady_losses_do_not() -> None:
    pace = Pace(5_000, 5_000)
    pauses = [pace.after_round(lost, stepped=False) for lost in [0, 4] + [4] * 20]
    assert pauses[:2] == [5_000, 1_000] and pauses[-1] == 5_000


def test_the_rounds_become_rarer_while_nothing_happens_up_to_a_bound() -> None:
    pace = Pace(5_000, 15_000)
    pauses = [pace.after_round(0, stepped=False) for _ in range(60)]
    assert pauses == sorted(pauses) and pauses[0] == 5_000 and pauses[-1] == 15_000


def test_a_short_interval_does_not_become_longer_by_being_faster() -> None:
    assert Pace(100, 100).after_round(0, stepped=True) == 100


def test_all_targets_together_stay_within_the_budget() -> None:
    budget, now_ms, sent = Budget(packets_per_s=100), 0, 0
    begun_ms = []
    for _ in range(50):
        begun_ms.append(now_ms + budget.wait_ms(10, now_ms))
        sent += 10
    assert begun_ms == list(range(0, 5_000, 100))
    assert budget.wait_ms(10, 60_000) == 0

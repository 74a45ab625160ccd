"""What a replica that serves tokens can do: full batches, work, tokens as one number, times counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hansa_sim.engines.histogram import percentiles_ns
from hansa_sim.engines.service import Deterministic, Lognormal
from hansa_sim.engines.token_model import TOKENS_MAX, TokenDemand, TokenModel, packed, unpacked
from hansa_sim.engines.token_times import Times
from hansa_sim.engines.tokens import Fleet

MODEL = TokenModel(
    step_ps=10_000_000_000,
    token_ps=50_000_000,
    sample_ps=2_000_000,
    context_ps=100_000,
    attention_ps=1_000,
    sequences=64,
    step_tokens=2_048,
    kv_tokens=40_000,
)


def _same(prompt: int, generated: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(10, prompt), np.full(10, generated)


@pytest.mark.parametrize(
    ("prompt", "generated", "batch"),
    [
        (100, 20, 64),  # sequences bound it
        (1_000, 200, 36),  # memory does: 40,000 over 1,000 + 100 + half a block
        (30_000, 1, 1),
        (39_000, 900, 1),
    ],
)
def test_a_full_batch_is_bound_by_sequences_or_by_memory(prompt: int, generated: int, batch: int) -> None:
    assert MODEL.batch_when_full(*_same(prompt, generated)) == batch


def test_work_is_the_prompt_and_a_share_of_every_step() -> None:
    prompt, generated = _same(100, 20)
    reading = 100 * 50_000_000 + 1_000 * 100 * 100 / 2
    share = 10_000_000_000 / 64 + 50_000_000 + 2_000_000 + 100_000 * (100 + 10)
    assert MODEL.work_ps(prompt, generated) == pytest.approx(np.full(10, reading + 20 * share))


def test_work_weighs_context_by_how_long_it_is_read() -> None:
    prompt, generated = np.array([1_000, 10]), np.array([1, 99])
    short = replace(MODEL, step_ps=1, token_ps=0, sample_ps=0, attention_ps=0)
    context = (1 * (1_000 + 0.5) + 99 * (10 + 49.5)) / 100
    assert short.work_ps(prompt, generated).sum() == pytest.approx(100 * 100_000 * context, rel=1e-6)


def test_a_larger_batch_makes_less_work_of_the_same_requests() -> None:
    works = [replace(MODEL, sequences=count).work_ps(*_same(100, 20)).mean() for count in (1, 4, 16, 64)]
    assert works == sorted(works, reverse=True)
    assert works[0] > 20 * MODEL.step_ps


@pytest.mark.parametrize(
    ("prompt", "generated", "fits"),
    [(39_990, 10, True), (39_985, 16, False), (1, 39_999, True), (40_000, 1, False)],
)
def test_a_request_fits_if_its_blocks_do(prompt: int, generated: int, fits: bool) -> None:
    assert MODEL.fits(np.array([prompt]), np.array([generated])).tolist() == [fits]


def test_blocks_that_are_not_whole_do_not_count() -> None:
    assert replace(MODEL, kv_tokens=40_015).blocks == 2_500
    assert replace(MODEL, kv_tokens=47, block_tokens=16).blocks == 2


@pytest.mark.parametrize("tokens", [1, 17, 4_096, TOKENS_MAX])
def test_two_numbers_of_tokens_travel_as_one(tokens: int) -> None:
    prompt, generated = np.array([tokens, 1, 5]), np.array([2, tokens, tokens])
    found = unpacked(packed(prompt, generated))
    assert (found[0].tolist(), found[1].tolist()) == (prompt.tolist(), generated.tolist())
    assert packed(prompt, generated).dtype == np.int64


def test_drawn_tokens_have_their_own_means() -> None:
    demand = TokenDemand(Lognormal(1_155.0, 0.92), Lognormal(211.0, 0.6), 1.0, 1.0)
    prompt, generated = unpacked(demand.draw(np.random.default_rng(1), 200_000))
    assert prompt.mean() == pytest.approx(1_155, rel=0.01)
    assert prompt.var() / prompt.mean() ** 2 == pytest.approx(0.92, rel=0.05)
    assert generated.mean() == pytest.approx(211, rel=0.01)
    assert np.corrcoef(prompt, generated)[0, 1] == pytest.approx(0.0, abs=0.01)
    assert min(prompt.min(), generated.min()) >= 1


def test_tokens_beyond_what_a_number_holds_are_cut() -> None:
    demand = TokenDemand(Deterministic(1e12), Deterministic(1e12), 1.0, 1.0)
    prompt, generated = unpacked(demand.draw(np.random.default_rng(1), 3))
    assert (prompt.tolist(), generated.tolist()) == ([TOKENS_MAX] * 3, [TOKENS_MAX] * 3)


def test_a_fleet_has_the_sequences_of_its_replicas_and_never_none() -> None:
    small = replace(MODEL, sequences=8)
    assert Fleet((MODEL, small, None, MODEL), (2, 3, 4, 0)).servers().tolist() == [128, 24, 1, 1]


def test_times_are_counted_and_summed_exactly() -> None:
    times = Times.of(np.array([1_000_000, 2_000_000, 3_000_000, 1_000_000_000]))
    assert times.mean_ns() == 251_500_000
    found = percentiles_ns(times.counts, [50, 100])
    assert found[0] == pytest.approx(2_000_000, rel=0.004) and found[1] == pytest.approx(1_000_000_000, rel=0.004)


def test_times_of_nothing_have_no_mean() -> None:
    times = Times.of(np.zeros(0, np.int64))
    assert np.isnan(times.mean_ns()) and times.counts.sum() == 0

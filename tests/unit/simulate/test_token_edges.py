"""The token engine at its limits: what just fits, what comes together, and a lone seat; in both its forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_worlds import MS
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.model import NOWHERE, SECOND_NS, Block, Paths, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.service import Deterministic, Empirical, Exponential, Gamma, Lognormal
from hansa_sim.engines.token_model import TokenDemand, TokenModel, packed, unpacked
from hansa_sim.engines.tokens import Fleet, answers_of, serve

STEP = TokenModel(
    step_ps=10_000_000_000,
    token_ps=0,
    sample_ps=0,
    context_ps=0,
    attention_ps=0,
    sequences=8,
    step_tokens=50,
    kv_tokens=4_000,
    block_tokens=1,
)
"""Every step takes 10 ms, whatever it does."""

Request = tuple[int, int, int]


def _answers(model: TokenModel, requests: list[Request], replicas: int = 1) -> list[list[int]]:
    """Start, first and last token of each, ns; both forms say the same."""
    reach, prompt, made = np.array(requests, dtype=np.int64).T
    plain, compiled = (
        answers_of(model, replicas, (reach, prompt, made), speed) for speed in (Speed.PLAIN, Speed.COMPILED)
    )
    assert plain.tolist() == compiled.tolist()
    found: list[list[int]] = plain.tolist()
    return found


def _steps(model: TokenModel, requests: list[Request], replicas: int = 1) -> list[list[int]]:
    """The same in steps of 10 ms."""
    return [[at // (10 * MS) for at in one] for one in _answers(model, requests, replicas)]


@pytest.mark.parametrize(("prompt", "steps"), [(1, 1), (49, 1), (50, 1), (51, 2), (100, 2), (101, 3), (3_999, 80)])
def test_a_prompt_takes_as_many_steps_as_the_budget_asks_for(prompt: int, steps: int) -> None:
    assert _steps(STEP, [(0, prompt, 1)]) == [[0, steps, steps]]


def test_prompts_share_the_budget_of_a_step_in_the_order_in_which_they_came() -> None:
    # 30 + 20, then 20 more of the second beside the answer of the first, and the third with 29 of its 60.
    assert _steps(STEP, [(0, 30, 3), (0, 40, 1), (0, 60, 1)]) == [[0, 1, 3], [0, 2, 2], [1, 3, 3]]


def test_a_budget_of_one_token_serves_one_after_the_other() -> None:
    assert _steps(replace(STEP, step_tokens=1), [(0, 3, 2), (0, 2, 1)]) == [[0, 3, 4], [4, 6, 6]]


def test_of_two_in_the_same_nanosecond_the_first_has_the_only_seat() -> None:
    seat = replace(STEP, sequences=1)
    assert _steps(seat, [(5, 10, 3), (5, 10, 2)]) == [[0, 1, 3], [3, 4, 5]]
    assert _answers(seat, [(5, 10, 3), (5, 10, 2)])[1][0] == 5 + 30 * MS


def test_whoever_comes_at_the_end_of_a_step_is_in_the_next_and_a_nanosecond_later_too_late() -> None:
    early, late = (_steps(STEP, [(0, 1, 3), (reach, 1, 1)])[1] for reach in (10 * MS - 1, 10 * MS + 1))
    assert (early, late) == ([1, 2, 2], [2, 3, 3])
    assert _steps(STEP, [(0, 1, 1), (10 * MS, 1, 1)])[1] == [1, 2, 2], "the replica is free at that very moment"


def test_memory_that_is_exactly_full_sets_nobody_back_and_a_block_less_does() -> None:
    # The last token of an answer needs no block: 5 + 3 each at most.
    pair = [(0, 5, 4), (0, 5, 4)]
    assert _steps(replace(STEP, kv_tokens=16), pair) == [[0, 1, 4], [0, 1, 4]]
    first, second = _steps(replace(STEP, kv_tokens=15), pair)
    assert first == [0, 1, 4]
    assert second[:2] == [0, 1] and second[2] > 4


@pytest.mark.parametrize(("kv_tokens", "starts"), [(10, [0, 0]), (9, [0, 1])])
def test_a_prompt_waits_until_all_of_it_has_room(kv_tokens: int, starts: list[int]) -> None:
    found = _steps(replace(STEP, kv_tokens=kv_tokens), [(0, 5, 1), (0, 5, 1)])
    assert [one[0] for one in found] == starts


def test_nobody_overtakes_a_long_prompt_that_waits_for_room() -> None:
    found = _steps(replace(STEP, kv_tokens=40, step_tokens=100), [(0, 30, 5), (0, 30, 1), (0, 1, 1)])
    assert [one[0] for one in found] == [0, 5, 5]


def test_one_that_fills_all_memory_is_served_alone_to_its_end() -> None:
    full = replace(STEP, kv_tokens=64, block_tokens=16, step_tokens=100)
    assert full.fits(np.array([60]), np.array([4])).tolist() == [True]
    assert _steps(full, [(0, 60, 4), (0, 1, 1)]) == [[0, 1, 4], [4, 5, 5]]


@pytest.mark.parametrize("seed", range(4))
def test_everybody_ends_and_in_order_however_tight_memory_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    requests = [(0, int(prompt), int(made)) for prompt, made in rng.integers(1, 30, (40, 2))]
    found = _answers(replace(STEP, kv_tokens=60, token_ps=7, context_ps=3), requests)
    assert all(0 <= start < first <= last for start, first, last in found)
    starts = [one[0] for one in found]
    assert starts == sorted(starts)


def test_one_token_alone_is_first_and_last_and_has_no_time_between() -> None:
    way = np.full((1, 1), 3 * MS)
    users = [UserClass("all", np.zeros(1, np.int32), 1.0, TokenDemand(Exponential(9.0), Exponential(9.0), 1.0, 1.0))]
    fleet = Fleet((STEP,), (1,))
    run = Run.of(users, Paths(way, way, way > 0), Zones.of(fleet.servers()), Window(SECOND_NS))
    demand = packed(np.array([10, 10]), np.array([1, 3]))
    found = serve([Block(np.array([0, 500 * MS]), np.zeros(2, np.int32), demand)], np.zeros(1, np.int32), run, fleet)
    assert found.tokens is not None
    assert found.tokens.first.sum_ns == 2 * (3 + 10 + 3) * MS
    assert (int(found.tokens.per_token.counts.sum()), found.tokens.per_token.sum_ns) == (1, 10 * MS)
    nowhere = serve([Block(np.array([0]), np.zeros(1, np.int32), demand[:1])], np.array([NOWHERE]), run, fleet)
    assert (int(nowhere.served.sum()), nowhere.failed.tolist()) == (0, [1])
    assert nowhere.tokens is not None and nowhere.tokens.generated_tokens == 0


@pytest.mark.parametrize(
    "tiny",
    [Deterministic(0.0), Exponential(1e-9), Lognormal(1e-6, 4.0), Gamma(1e-6, 9.0)],
    ids=lambda one: type(one).__name__,
)
def test_no_answer_is_drawn_without_a_token_however_short_its_mean(tiny: Exponential) -> None:
    drawn = unpacked(TokenDemand(tiny, tiny, 1.0, 1.0).draw(np.random.default_rng(3), 200))
    assert [column.tolist() for column in drawn] == [[1] * 200] * 2
    with pytest.raises(ValueError, match="none below 1"):
        Empirical(np.array([5, 0]))


def test_replicas_take_turns_and_the_lowest_of_equals_is_first() -> None:
    seat = replace(STEP, sequences=1)
    assert [one[0] for one in _steps(seat, [(0, 1, 4), (0, 1, 2), (0, 1, 1)], 2)] == [0, 0, 4]
    assert [one[0] for one in _steps(seat, [(0, 1, 4), (0, 1, 2), (25 * MS, 1, 1)], 2)] == [0, 0, 2]

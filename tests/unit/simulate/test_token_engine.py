"""The token engine where mathematics knows the answer, at its limits, and in both its forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_worlds import MS, differences
from hansa_sim.engines import event
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.analytic import Station, mean_wait_ns
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.confidence import interval
from hansa_sim.engines.measured import Measured, Stability
from hansa_sim.engines.model import SECOND_NS, Block, Paths, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import Table
from hansa_sim.engines.service import Deterministic, Exponential
from hansa_sim.engines.token_model import TokenDemand, TokenModel, packed, unpacked
from hansa_sim.engines.tokens import Fleet, answers_of, serve

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
ALONE = replace(MODEL, token_ps=0, sample_ps=0, context_ps=0, attention_ps=0, sequences=1)
"""Each token takes 10 ms, one request at a time."""


def _station(
    rate_rps: float, model: TokenModel, horizon_s: int, replicas: int = 1
) -> tuple[Run, list[UserClass], Fleet]:
    """One class at one zone: prompts of 100 tokens, answers exponential with a mean of 20."""
    demand = TokenDemand(Deterministic(100.0), Exponential(20.0), 0.0, 0.0)
    classes = [UserClass("all", np.zeros(1, np.int32), rate_rps, demand)]
    way, fleet = np.zeros((1, 1), np.int64), Fleet((model,), (replicas,))
    zones = Zones.of(fleet.servers())
    return Run.of(classes, Paths(way, way, way == 0), zones, Window(horizon_s * SECOND_NS)), classes, fleet


def _served(rate_rps: float, model: TokenModel, seed: int, speed: Speed = Speed.AUTO) -> Measured:
    run, classes, fleet = _station(rate_rps, model, 2_000)
    return serve(blocks(classes, seed, run.window.end_ns), np.zeros(1, np.int32), run, fleet, speed)


def _times(model: TokenModel, requests: list[tuple[int, int, int]]) -> list[list[int]]:
    """Start, first and last token of requests at one replica, ms; both forms say the same."""
    columns = tuple(np.array(column, dtype=np.int64) for column in zip(*requests, strict=True))
    plain, compiled = (answers_of(model, 1, columns, speed) for speed in (Speed.PLAIN, Speed.COMPILED))
    assert plain.tolist() == compiled.tolist()
    return (plain // MS).tolist()


def test_one_at_a_time_is_the_queue_of_one_server_to_the_last_bit() -> None:
    run, classes, fleet = _station(3.0, ALONE, 2_000)
    requests = list(blocks(classes, 1, run.window.end_ns))
    tokens = serve(requests, np.zeros(1, np.int32), run, fleet)
    # A token takes 10 ms, and the first comes out of the step that reads the prompt.
    same = [Block(one.at_ns, one.user, unpacked(one.demand_ns)[1] * 10 * MS) for one in requests]
    queue = event.serve(same, Table(np.zeros((1, 1), np.int32)), run, speed=Speed.PLAIN)
    assert differences(tokens, replace(queue, offered_ns=tokens.offered_ns, tokens=tokens.tokens)) == []


def test_one_at_a_time_waits_as_pollaczek_and_khinchine_say() -> None:
    waits = [float(_served(3.0, ALONE, seed).mean_wait_ns[0]) for seed in range(8)]
    answers = np.maximum(np.rint(np.random.default_rng(1).exponential(20.0, 1_000_000)), 1)
    exact = mean_wait_ns(Station(3.0, float(answers.mean()) * 10 * MS, 1, float(answers.var() / answers.mean() ** 2)))
    assert interval(waits).holds(exact)


def test_without_limits_nobody_waits_and_each_token_takes_one_step() -> None:
    free = replace(ALONE, sequences=4_096, kv_tokens=10_000_000, step_tokens=10_000_000)
    run, classes, fleet = _station(50.0, free, 200)
    found = serve(blocks(classes, 1, run.window.end_ns), np.zeros(1, np.int32), run, fleet)
    # Who comes while a step goes on comes in with the next: half a step in the mean, never more than one.
    assert found.wait_sum_ns[0] / found.joined[0] == pytest.approx(5 * MS, rel=0.05)
    assert found.tokens is not None
    assert found.tokens.first.mean_ns() == pytest.approx(15 * MS, rel=0.05)
    assert found.tokens.per_token.mean_ns() == 10 * MS


def test_a_fixed_batch_answers_in_steps_whose_time_the_model_tells() -> None:
    quick = replace(MODEL, attention_ps=0)
    (one, *others) = _times(quick, [(0, 100, 11)] * 8)
    assert others == [one] * 7
    prefill_ms = (10_000 + 8 * (50 * 100 + 2)) / 1_000
    context = sum(8 * (100 + k) for k in range(10))
    decode_ms = 10 * (10_000 + 8 * (50 + 2)) / 1_000 + context * 100_000 / 1e9
    assert one == [0, int(prefill_ms), int(prefill_ms + decode_ms)]


def test_a_long_prompt_is_read_in_parts_while_others_go_on_answering() -> None:
    model = replace(ALONE, sequences=8, step_tokens=50)
    short, long = _times(model, [(0, 1, 30), (5 * MS, 490, 2)])
    assert short == [0, 10, 300]
    assert long == [10, 110, 120], "490 tokens beside one answer are ten steps of 49"


def test_the_last_to_come_in_is_set_back_when_memory_runs_out_and_keeps_what_nobody_takes() -> None:
    model = replace(ALONE, sequences=8, kv_tokens=8, block_tokens=1)
    first, second = _times(model, [(0, 3, 5), (0, 3, 4)])
    assert first == [0, 10, 50], "3 + 3 tokens, then 4 + 4; the fifth token of the first has no block"
    assert second == [0, 10, 70], (
        "set back for the third and fourth step, and read again with its own room in the fifth"
    )


def test_requests_that_could_never_fit_are_turned_away() -> None:
    run, _, fleet = _station(1.0, replace(MODEL, kv_tokens=160), 10)
    demand = packed(np.array([200, 100]), np.array([10, 10]))
    sent = [Block(np.array([0, MS]), np.zeros(2, np.int32), demand)]
    found = serve(sent, np.zeros(1, np.int32), run, fleet)
    assert (found.failed.tolist(), found.turned_away.tolist(), found.served.tolist()) == (
        [1],
        [1],
        [1],
    )
    assert found.tokens is not None
    assert (found.tokens.prompt_tokens, found.tokens.generated_tokens) == (100, 10)


def test_a_request_goes_to_the_replica_with_the_fewest() -> None:
    requests = (np.zeros(3, np.int64), np.full(3, 10), np.array([3, 9, 3]))
    for speed in (Speed.PLAIN, Speed.COMPILED):
        assert (answers_of(ALONE, 2, requests, speed)[:, 2] // MS).tolist() == [30, 90, 60]


@pytest.mark.parametrize("seed", range(6))
def test_plain_and_compiled_agree_to_the_last_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reach = np.cumsum(rng.integers(0, 2 * SECOND_NS, 150))
    prompt, generated = rng.integers(1, 3_000, 150), rng.integers(1, 400, 150)
    model = replace(MODEL, sequences=int(rng.integers(1, 40)), kv_tokens=int(rng.integers(3_500, 9_000)))
    plain, compiled = (
        answers_of(model, 1 + seed % 3, (reach, prompt, generated), speed) for speed in (Speed.PLAIN, Speed.COMPILED)
    )
    assert plain.tolist() == compiled.tolist()
    assert (plain[:, 2] > 0).all()


def test_work_is_what_a_full_replica_does_a_second() -> None:
    run, classes, fleet = _station(30.0, MODEL, 300)
    requests = list(blocks(classes, 1, run.window.end_ns))
    at_ns = np.concatenate([one.at_ns for one in requests])
    prompt, generated = unpacked(np.concatenate([one.demand_ns for one in requests]))
    rate = 1e12 / float(MODEL.work_ps(prompt, generated).mean())
    last_ns = answers_of(MODEL, 1, (at_ns // 1_000, prompt, generated))[:, 2].max()
    assert len(at_ns) / (last_ns / SECOND_NS) == pytest.approx(rate, rel=0.05), "all at once: always full"
    assert fleet.servers().tolist() == [64]


@pytest.mark.parametrize(("share", "label"), [(0.7, Stability.STABLE), (1.3, Stability.UNSTABLE)])
def test_more_than_a_full_replica_does_is_labelled(share: float, label: Stability) -> None:
    _, classes, _ = _station(1.0, MODEL, 1)
    prompt, generated = unpacked(classes[0].demand.draw(np.random.default_rng(1), 10_000))
    rate = share * 1e12 / float(MODEL.work_ps(prompt, generated).mean())
    run, classes, fleet = _station(rate, MODEL, 300)
    found = serve(blocks(classes, 1, run.window.end_ns), np.zeros(1, np.int32), run, fleet)
    assert found.stability == (label,)
    assert found.offered_load[0] == pytest.approx(share, rel=0.05)


@pytest.mark.parametrize(("name", "value"), [("step_ps", 0), ("token_ps", -1), ("sequences", 0), ("kv_tokens", 15)])
def test_a_model_without_meaning_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        replace(MODEL, **{name: value})


def test_a_zone_without_replicas_serves_nobody() -> None:
    run, _, _ = _station(1.0, MODEL, 1)
    with pytest.raises(ValueError, match="zone 0 has no replica"):
        serve([], np.zeros(1, np.int32), run, Fleet((None,), (0,)))

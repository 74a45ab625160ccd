"""Whatever is asked of a replica that batches: nothing comes before its time, what does not matter changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hansa_sim.engines import token_plain
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.token_model import TokenModel
from hansa_sim.engines.tokens import answers_of
from hypothesis import given, settings
from hypothesis import strategies as st

PS_NS = 1_000

Asked = list[tuple[int, int, int]]

REQUESTS = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(1, 40), st.integers(1, 25)),
    min_size=1,
    max_size=25,
).map(sorted)

MODELS = st.builds(
    TokenModel,
    step_ps=st.integers(1, 90_000_000),
    token_ps=st.integers(0, 900_000),
    sample_ps=st.integers(0, 90_000),
    context_ps=st.integers(0, 9_000),
    attention_ps=st.integers(0, 900),
    sequences=st.integers(1, 8),
    step_tokens=st.integers(1, 60),
    kv_tokens=st.integers(80, 400),
    block_tokens=st.sampled_from([1, 4, 16]),
)


def _answers(model: TokenModel, requests: Asked, replicas: int = 1) -> np.ndarray:
    """(N, 3) start, first and last token, ns; by plain Python."""
    columns = tuple(np.array(column, dtype=np.int64) for column in zip(*requests, strict=True))
    return answers_of(model, replicas, columns, Speed.PLAIN)


@given(MODELS, REQUESTS, st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_nothing_comes_before_its_time(model: TokenModel, requests: Asked, replicas: int) -> None:
    for (reach, prompt, generated), (start, first, last) in zip(
        requests, _answers(model, requests, replicas).tolist(), strict=True
    ):
        assert reach <= start <= first <= last
        reading = -(-prompt // model.step_tokens) * model.step_ps + prompt * model.token_ps + model.sample_ps
        assert first * PS_NS >= start * PS_NS + reading - PS_NS, "the whole prompt is read before the first token"
        one_more = model.step_ps + model.token_ps + model.sample_ps + model.context_ps * prompt
        assert last * PS_NS >= first * PS_NS + (generated - 1) * one_more - PS_NS, "a step for every further token"


@given(MODELS, REQUESTS)
@settings(max_examples=150, deadline=None)
def test_one_replica_begins_in_the_order_of_arrival(model: TokenModel, requests: Asked) -> None:
    starts = _answers(model, requests)[:, 0]
    assert (np.diff(starts) >= 0).all()


@given(MODELS, REQUESTS)
@settings(max_examples=100, deadline=None)
def test_no_more_are_in_the_batch_than_sequences_allow(model: TokenModel, requests: Asked) -> None:
    answers = _answers(model, requests)
    for moment in np.unique(answers[:, 0]).tolist():
        begun = (answers[:, 0] <= moment) & (answers[:, 2] > moment)
        assert begun.sum() <= model.sequences


@given(MODELS, REQUESTS)
@settings(max_examples=100, deadline=None)
def test_one_at_a_time_is_lindleys_recursion(model: TokenModel, requests: Asked) -> None:
    alone = replace(model, sequences=1, context_ps=0, attention_ps=0)
    free_ps = 0
    for (reach, prompt, generated), (_, first, last) in zip(requests, _answers(alone, requests).tolist(), strict=True):
        start_ps = max(free_ps, reach * PS_NS)
        reading = -(-prompt // alone.step_tokens) * alone.step_ps + prompt * alone.token_ps + alone.sample_ps
        each = alone.step_ps + alone.token_ps + alone.sample_ps
        free_ps = start_ps + reading + (generated - 1) * each
        assert (first, last) == (-(-(start_ps + reading) // PS_NS), -(-free_ps // PS_NS))


@given(MODELS, REQUESTS, st.integers(1, 10**12))
@settings(max_examples=100, deadline=None)
def test_everything_later_is_everything_later(model: TokenModel, requests: Asked, later_ns: int) -> None:
    moved = [(reach + later_ns, prompt, generated) for reach, prompt, generated in requests]
    assert (_answers(model, moved) == _answers(model, requests) + later_ns).all()


@given(MODELS, REQUESTS, st.integers(2, 9))
@settings(max_examples=100, deadline=None)
def test_everything_slower_is_everything_slower(model: TokenModel, requests: Asked, times: int) -> None:
    whole = replace(
        model,
        step_ps=model.step_ps * PS_NS,
        token_ps=model.token_ps * PS_NS,
        sample_ps=model.sample_ps * PS_NS,
        context_ps=model.context_ps * PS_NS,
        attention_ps=model.attention_ps * 2 * PS_NS,
    )
    slower = replace(
        whole,
        step_ps=whole.step_ps * times,
        token_ps=whole.token_ps * times,
        sample_ps=whole.sample_ps * times,
        context_ps=whole.context_ps * times,
        attention_ps=whole.attention_ps * times,
    )
    stretched = [(reach * times, prompt, generated) for reach, prompt, generated in requests]
    assert (_answers(slower, stretched) == _answers(whole, requests) * times).all()


@given(MODELS, REQUESTS)
@settings(max_examples=100, deadline=None)
def test_memory_that_nobody_needs_changes_nothing(model: TokenModel, requests: Asked) -> None:
    whole = sum(prompt + generated + model.block_tokens for _, prompt, generated in requests)
    enough, plenty = (replace(model, kv_tokens=whole * times) for times in (1, 10))
    assert (_answers(enough, requests) == _answers(plenty, requests)).all()


@given(MODELS, REQUESTS)
@settings(max_examples=100, deadline=None)
def test_as_many_replicas_as_requests_serve_each_as_if_it_were_alone(model: TokenModel, requests: Asked) -> None:
    together = _answers(model, requests, len(requests))
    apart = [_answers(model, [request])[0].tolist() for request in requests]
    # Who comes while nobody is there goes to the first replica, whatever else is free.
    assert together.tolist() == apart


@given(MODELS, REQUESTS)
@settings(max_examples=100, deadline=None)
def test_steps_taken_at_once_are_steps_taken_one_by_one(model: TokenModel, requests: Asked) -> None:
    at_once = _answers(model, requests, 2)
    steps = token_plain.Replica._equal_steps
    try:
        token_plain.Replica._equal_steps = lambda *_: 1  # type: ignore[assignment,method-assign]
        one_by_one = _answers(model, requests, 2)
    finally:
        token_plain.Replica._equal_steps = steps  # type: ignore[method-assign]
    assert (at_once == one_by_one).all()


@given(MODELS, REQUESTS)
@settings(max_examples=100, deadline=None)
def test_a_replica_is_empty_in_the_end_and_has_all_its_blocks(model: TokenModel, requests: Asked) -> None:
    replica = token_plain.Replica(model)
    for request in requests:
        replica.advance(request[0] * PS_NS)
        replica.join(token_plain.Answer(*request))
        assert 0 <= replica.unused <= replica.free <= model.blocks
    replica.advance(token_plain.FAR_PS)
    assert (replica.present, replica.unused, replica.steps) == (0, model.blocks, 0)

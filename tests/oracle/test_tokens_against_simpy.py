"""The token engine against a second program that shares no code with it: every time to the nanosecond."""

from __future__ import annotations

import numpy as np
import pytest
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.token_model import TokenModel
from hansa_sim.engines.tokens import answers_of
from oracle_tokens import Machine, play


@pytest.mark.parametrize("seed", range(20))
def test_every_request_starts_answers_and_ends_when_the_second_program_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, block = 60, int(rng.choice([1, 4, 16]))
    prompt, generated = rng.integers(1, 60, count), rng.integers(1, 40, count)
    least = int((prompt + generated).max()) + block
    model = TokenModel(
        step_ps=int(rng.integers(1, 20_000_000_000)),
        token_ps=int(rng.integers(0, 90_000_000)),
        sample_ps=int(rng.integers(0, 5_000_000)),
        context_ps=int(rng.integers(0, 20_000_000)),
        attention_ps=int(rng.integers(0, 3_000)),
        sequences=int(rng.integers(1, 12)),
        step_tokens=int(rng.choice([4, 16, 2_048])),
        kv_tokens=least + int(rng.integers(0, 300)),
        block_tokens=block,
    )
    gap_ns = float(rng.choice([1e6, 3e8]))
    reach = np.cumsum(rng.exponential(gap_ns, count)).astype(np.int64) // 1_000_000 * 1_000_000
    replicas = int(rng.integers(1, 4))
    costs = (model.step_ps, model.token_ps, model.sample_ps, model.context_ps, model.attention_ps)
    machine = Machine(*costs, model.sequences, model.step_tokens, model.blocks, block)
    jobs = play(machine, replicas, list(zip(reach.tolist(), prompt.tolist(), generated.tolist(), strict=True)))
    expected = [[job.begun, job.first, job.last] for job in jobs]
    for speed in (Speed.PLAIN, Speed.COMPILED):
        assert answers_of(model, replicas, (reach, prompt, generated), speed).tolist() == expected

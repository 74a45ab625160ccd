"""How long a server of a large language model takes for a step, and what one device can do.

A step of continuous batching (G.-I. Yu et al., "Orca", OSDI 2022) computes some tokens of every request in the batch:
parts of prompts (prefill), and one token for each request that already answers (decode). Its time is linear in what it
reads and computes, so that a run of equal steps has a closed form. Limits are those of vLLM (W. Kwon et al., 2023):
sequences, tokens a step, and memory for keys and values in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.service import Demand

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PS_NS = 1_000
"""Picoseconds in a nanosecond: steps are counted in them, so that a step's small parts are not rounded away."""

GENERATED_BITS = 30
"""A demand in tokens is one number: prompt tokens above so many bits, generated tokens below."""

TOKENS_MAX = (1 << GENERATED_BITS) - 1


@dataclass(frozen=True, slots=True)
class TokenModel:
    """One replica. A step takes ``step_ps`` (reading the weights), ``token_ps`` for every token that it computes,
    ``sample_ps`` for every token that comes out, ``context_ps`` for every token of context that it reads, and
    ``attention_ps`` for every pair of a prompt's token and one before it.

    A batch has ``sequences`` at most and computes ``step_tokens`` a step at most; ``kv_tokens`` of keys and values fit,
    in blocks of ``block_tokens``. Raises ValueError on a value that has no meaning.
    """

    step_ps: int
    token_ps: int
    sample_ps: int
    context_ps: int
    attention_ps: int
    sequences: int
    step_tokens: int
    kv_tokens: int
    block_tokens: int = 16

    def __post_init__(self) -> None:
        for name in ("step_ps", "sequences", "step_tokens", "block_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; the least is 1")
        for name in ("token_ps", "sample_ps", "context_ps", "attention_ps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; the least is 0")
        if self.blocks < 1:
            raise ValueError(f"kv_tokens is {self.kv_tokens}; the least is a block of {self.block_tokens}")

    @property
    def blocks(self) -> int:
        """Blocks of keys and values."""
        return self.kv_tokens // self.block_tokens

    def fits(self, prompt: Ints, generated: Ints) -> NDArray[np.bool_]:
        """(N,): whether a request alone finds room; others are turned away."""
        return np.asarray(-(-(prompt + generated) // self.block_tokens) <= self.blocks)

    def batch_when_full(self, prompt: Ints, generated: Ints) -> int:
        """How many requests of this kind are in the batch when many wait: as many as sequences are allowed and as find
        room, each with its prompt and half its answer."""
        footprint = float((prompt + generated / 2).mean()) + self.block_tokens / 2
        return max(1, min(self.sequences, int(self.blocks * self.block_tokens / footprint)))

    def work_ps(self, prompt: Ints, generated: Ints) -> Floats:
        """(N,): time of the replica that each request takes when many wait: its prompt, and its share of every step in
        which it answers. Its inverse mean is the rate at which a replica is always busy.
        """
        batch = self.batch_when_full(prompt, generated)
        context = float((generated * (prompt + generated / 2)).sum() / generated.sum())
        share = self.step_ps / batch + self.token_ps + self.sample_ps + self.context_ps * context
        return np.asarray(prompt * self.token_ps + self.attention_ps * prompt * prompt / 2 + generated * share)


@dataclass(frozen=True, slots=True)
class TokenDemand:
    """Prompt and generated tokens, each drawn by a distribution (whose ns are tokens), packed into one number each.

    ``mean_ns`` and ``scv`` are those of the time in service, as the closed forms need them.
    """

    prompt: Demand
    generated: Demand
    mean_ns: float
    scv: float

    def draw(self, stream: np.random.Generator, count: int) -> Ints:
        prompt, generated = self.prompt.draw(stream, count), self.generated.draw(stream, count)
        return packed(np.minimum(prompt, TOKENS_MAX), np.minimum(generated, TOKENS_MAX))


def packed(prompt: Ints, generated: Ints) -> Ints:
    """(N,): two numbers of tokens as one demand."""
    return np.asarray((prompt << GENERATED_BITS) | generated, dtype=np.int64)


def unpacked(demand: Ints) -> tuple[Ints, Ints]:
    """Prompt and generated tokens of demands."""
    return np.asarray(demand >> GENERATED_BITS), np.asarray(demand & TOKENS_MAX)

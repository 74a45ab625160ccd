"""The part of a scenario that says how an app serves tokens: what is asked, and how long steps take on what."""

from __future__ import annotations

from pydantic import Field

from hansa_sim.engines.token_model import TokenModel
from hansa_sim.latency.scenario_words import Part


class TokenCountPart(Part):
    mean: float = Field(ge=1, le=10_000_000, description="mean number")
    scv: float = Field(
        default=1.0, ge=0, le=100, description="variance / mean^2: lognormal; 0: every request has the same"
    )


class TokenEnginePart(Part):
    """A replica's steps, as ``hansa simulate calibrate`` writes them."""

    accelerator: str = Field(default="", description="model that it is for; left out: all others, and it comes last")
    step_ms: float = Field(gt=0, le=60_000, description="what every step takes: reading the weights")
    token_us: float = Field(default=0.0, ge=0, le=1e6, description="more for every token that it computes")
    sample_us: float = Field(default=0.0, ge=0, le=1e6, description="more for every token that comes out")
    context_ns: float = Field(default=0.0, ge=0, le=1e6, description="more for every token of context that it reads")
    attention_ns: float = Field(
        default=0.0, ge=0, le=1e4, description="more for every pair of a prompt's token and one before it"
    )
    sequences: int = Field(default=128, ge=1, le=4_096, description="most requests in a batch")
    step_tokens: int = Field(default=2_048, ge=1, le=1_000_000, description="most tokens that a step computes")
    kv_tokens: int = Field(ge=16, le=1_000_000_000, description="tokens whose keys and values fit into its memory")
    block_tokens: int = Field(default=16, ge=1, le=1_024, description="tokens of a block of that memory")

    def model(self) -> TokenModel:
        """The same for the engine. Raises ValueError where no step is left of it, or no block."""
        return TokenModel(
            step_ps=round(self.step_ms * 1e9),
            token_ps=round(self.token_us * 1e6),
            sample_ps=round(self.sample_us * 1e6),
            context_ps=round(self.context_ns * 1e3),
            attention_ps=round(self.attention_ns * 1e3),
            sequences=self.sequences,
            step_tokens=self.step_tokens,
            kv_tokens=self.kv_tokens,
            block_tokens=self.block_tokens,
        )


class TokensPart(Part):
    """A server of a language model with continuous batching."""

    prompt: TokenCountPart | None = Field(default=None, description="tokens of a prompt; a trace has its own")
    generated: TokenCountPart | None = Field(default=None, description="tokens of an answer; a trace has its own")
    engines: list[TokenEnginePart] = Field(min_length=1, description="steps of a replica, by accelerator")

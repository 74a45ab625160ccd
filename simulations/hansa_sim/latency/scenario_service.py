"""The parts of a scenario that say how long requests take, and when they come."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hansa_sim.latency.scenario_tokens import TokensPart
from hansa_sim.latency.scenario_words import Milliseconds, Part


class ServiceTimePart(Part):
    accelerator: str = Field(default="", description="model that it is for; left out: all others, and it comes last")
    mean_ms: Milliseconds = Field(description="mean time that one request takes")
    scv: float = Field(default=1.0, ge=0, le=100, description="squared coefficient of variation: variance / mean^2")


class ServicePart(Part):
    times: list[ServiceTimePart] = Field(default=[], description="time for one request, by accelerator")
    tokens: TokensPart | None = Field(
        default=None,
        description="or: how a server of a language model takes its steps; one of the two is needed",
    )
    distribution: Literal["fixed", "exponential", "lognormal", "gamma"] = Field(
        default="exponential", description="how times scatter around the mean"
    )
    concurrency: int = Field(default=1, ge=1, le=4_096, description="requests that one replica serves at once")

    @model_validator(mode="after")
    def _scatters_as_said(self) -> Self:
        if bool(self.times) == (self.tokens is not None):
            raise ValueError("give times or tokens, one of the two")
        for name in ("distribution", "concurrency") if self.tokens is not None else ():
            if name in self.model_fields_set:
                raise ValueError(f"{name} is of times; tokens come in batches of engines[].sequences")
        scatter = {"fixed": 0.0, "exponential": 1.0}.get(self.distribution)
        for time in self.times:
            given = "scv" in time.model_fields_set
            if scatter is not None and given and time.scv != scatter:
                raise ValueError(f"scv is {time.scv}, but {self.distribution} times have {scatter:g}")
            if self.distribution in ("lognormal", "gamma") and time.scv == 0:
                raise ValueError(f"scv is 0, which {self.distribution} times cannot have; write distribution: fixed")
        if len({time.scv for time in self.times}) > 1:
            raise ValueError("every accelerator's time needs the same scv")
        return self

    @property
    def scv(self) -> float:
        """The squared coefficient of variation of all times."""
        return {"fixed": 0.0, "exponential": 1.0}.get(self.distribution, self.times[0].scv)


class ArrivalsPart(Part):
    kind: Literal["poisson", "diurnal", "trace"] = Field(
        default="poisson", description="a constant rate, one over the day, or as they were recorded"
    )
    swing: float = Field(
        default=0.5, ge=0, le=1, description="diurnal: the peak lies so much above the mean, as a share"
    )
    period_s: float = Field(default=86_400.0, gt=0, le=31_536_000, description="diurnal: length of a day")
    file: str | None = Field(
        default=None,
        description="trace: a file beside the scenario, of Azure (CSV) or of Mooncake (JSON lines or CSV)",
    )
    speed: float = Field(default=1.0, gt=0, le=10_000, description="trace: so many times as fast as recorded")

    @model_validator(mode="after")
    def _has_its_file(self) -> Self:
        if (self.kind == "trace") != (self.file is not None):
            raise ValueError(
                "kind trace needs a file" if self.file is None else f"file is of kind trace, not {self.kind}"
            )
        if self.kind != "trace" and "speed" in self.model_fields_set:
            raise ValueError(f"speed is of kind trace, not {self.kind}")
        return self

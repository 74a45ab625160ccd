"""How long a scenario runs, how often, and from which seed: the key ``run``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hansa_sim.latency.scenario_system import SystemPart
from hansa_sim.latency.scenario_words import Part, Seconds

REQUESTS_MAX = 100_000_000
REPLICATIONS_MAX = 100


class RunPart(Part):
    requests: int = Field(
        default=200_000, ge=1_000, le=REQUESTS_MAX, description="requests of each policy, over all replications"
    )
    duration_s: Seconds | None = Field(
        default=None, description="instead of requests: how long a replication lasts, as it must with faults at times"
    )
    replications: int = Field(
        default=8, ge=2, le=REPLICATIONS_MAX, description="independent runs that confidence intervals rest on"
    )
    half_width_percent: float | None = Field(
        default=None,
        gt=0,
        le=50,
        description="stop when the intervals of every policy are at most so wide to each side, in percent of the mean; "
        "`replications` are the most then",
    )
    stop_on: list[Literal["mean", "p99", "difference"]] = Field(
        default=["mean"],
        min_length=1,
        description="whose intervals: mean, p99, and difference, which is paired and from the base policy",
    )
    replications_min: int = Field(
        default=10, ge=2, le=REPLICATIONS_MAX, description="with half_width_percent: none stops before so many"
    )
    warm_up: Literal["percent", "mser-5"] = Field(
        default="percent", description="what is not measured: warm_up_percent, or as long as MSER-5 finds in pilot runs"
    )
    warm_up_percent: int = Field(
        default=10, ge=0, le=90, description="of each replication, from its beginning, that is not measured"
    )
    router_stale_ms: float = Field(
        default=0.0, ge=0, le=3_600_000, description="how old what least-loaded and least-latency know of zones is"
    )
    seed: int = Field(default=1, ge=0, le=2**63 - 1, description="the same seed gives the same result to the last bit")
    system: SystemPart = Field(default=SystemPart(), description="what only the system engine asks")
    confidence_percent: Literal[90, 95, 99] = Field(default=95, description="of the intervals")

    @model_validator(mode="after")
    def _stops_and_warms_up_one_way(self) -> Self:
        given = self.model_fields_set
        if self.duration_s is not None and "requests" in given:
            raise ValueError("give requests or duration_s, one of the two")
        if self.half_width_percent is None and (idle := sorted({"stop_on", "replications_min"} & given)):
            raise ValueError(f"{idle[0]} does nothing without half_width_percent")
        if self.half_width_percent is not None and self.replications < self.replications_min:
            raise ValueError(
                f"replications is {self.replications}, the most that half_width_percent may run, and below "
                f"replications_min {self.replications_min}"
            )
        if self.warm_up == "mser-5" and "warm_up_percent" in given:
            raise ValueError("give warm_up: mser-5 or warm_up_percent, one of the two")
        return self

"""What the system engine runs a scenario's control planes with: the key ``run.system``."""

from __future__ import annotations

from pydantic import Field

from hansa_sim.latency.scenario_words import Milliseconds, Moment, Part

WORKLOADS_MAX = 10_000


class SystemPart(Part):
    """Only ``--engine system`` reads it."""

    workloads: int | None = Field(
        default=None,
        ge=1,
        le=WORKLOADS_MAX,
        description="`--engine system`: into how many workloads the users are split; left out: one an access point",
    )
    start_s: Moment = Field(
        default=10.0, description="`--engine system`: how long an instance takes from its start until it answers"
    )
    message_ms: Milliseconds = Field(
        default=10.0, description="`--engine system`: one way between control planes, agents and app teams"
    )

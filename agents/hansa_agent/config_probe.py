"""The section ``probe`` of the agent's configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from hansa_agent.config_sections import Address, Section


class ProbeKeySection(Section):
    """The key, a file of 32 bytes at least, with which zones that fit the pattern are probed and may probe us."""

    zones: str = Field(pattern=r"^[a-z0-9*?-]+/[a-z0-9*?-]+$")
    key_file: Path


class ProbeSection(Section):
    """Round-trip probes: the reflector's address, how other zones reach it, and how often and how much is sent."""

    listen: Address | None = None
    advertise: Address | None = None
    interval_s: float = Field(default=5.0, gt=0)
    interval_s_max: float = Field(default=15.0, gt=0, le=20.0)
    count: int = Field(default=10, ge=1, le=1_000)
    spacing_ms: int = Field(default=20, ge=1)
    timeout_ms: int = Field(default=1_000, ge=1)
    window_count: int = Field(default=240, ge=1, le=10_000)
    packets_per_second_max: int = Field(default=100, ge=1, le=100_000)
    reflected_per_second_max: int = Field(default=200, ge=1)
    grpc: bool = False
    keys: list[ProbeKeySection] = Field(default_factory=list)
    strangers: bool = True
    clock_error_us: int | None = Field(default=None, ge=1, le=10_000_000)

    @model_validator(mode="after")
    def _answers_somebody(self) -> Self:
        if not self.strangers and not self.keys:
            raise ValueError("without strangers and without keys nobody would be answered; name keys")
        return self

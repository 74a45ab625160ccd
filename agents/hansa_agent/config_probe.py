"""The section ``probe`` of the agent's configuration file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from hansa_agent.config_sections import Address, Section

_ZONE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}")
_NODE = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?")


class ProbeKeySection(Section):
    """The key, a file of 32 bytes at least, with which zones that fit the pattern are probed and may probe us."""

    zones: str = Field(pattern=r"^[a-z0-9*?-]+/[a-z0-9*?-]+$")
    key_file: Path


class ProbeTargetSection(Section):
    """Something that is probed besides what the operator names: an agent by its zone, or a node of the network.

    ``grpc`` is for one that answers over gRPC only; ``key_as`` is the zone by whose key of ``keys`` it is probed.
    """

    kind: Literal["agent", "gateway", "access_point"]
    name: str
    address: Address
    grpc: bool = False
    key_as: str = Field(default="", pattern=r"^([a-z0-9-]+/[a-z0-9-]+)?$")

    @model_validator(mode="after")
    def _is_named_as_its_kind(self) -> Self:
        if self.kind == "agent" and not _ZONE.fullmatch(self.name):
            raise ValueError("an agent is named by its zone, operator/zone")
        if self.kind != "agent" and not _NODE.fullmatch(self.name):
            raise ValueError(f"kind {self.kind!r} is named as a node of the network: letters, digits and inner hyphens")
        return self


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
    targets: list[ProbeTargetSection] = Field(default_factory=list, max_length=64)
    clock_error_us: int | None = Field(default=None, ge=1, le=10_000_000)

    @field_validator("targets")
    @classmethod
    def _named_once(cls, targets: list[ProbeTargetSection]) -> list[ProbeTargetSection]:
        names = [target.name for target in targets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is named twice")
        return targets

    @model_validator(mode="after")
    def _answers_somebody(self) -> Self:
        if not self.strangers and not self.keys:
            raise ValueError("without strangers and without keys nobody would be answered; name keys")
        return self

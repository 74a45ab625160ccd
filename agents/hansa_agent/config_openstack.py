"""The section ``openstack`` of the agent's configuration file. ``agent.openstack.example.yaml`` explains it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hansa_agent.config_sections import Port, Section

Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class AcceleratorSection(Section):
    """What one resource class of Placement is, where class and traits do not say it by themselves."""

    resource_class: str = Field(pattern=r"^(PGPU|VGPU|CUSTOM_[A-Z0-9_]{1,248})$")
    traits: list[str] = Field(default_factory=list)
    vendor: str = "nvidia"
    model: str = Field(min_length=1)
    memory_mib: int = Field(ge=0)
    mig_profile: str = ""


class ServerSection(Section):
    """What the servers that instances run in are made of."""

    image: str = Field(min_length=1)
    networks: list[Uuid] = Field(default_factory=list)
    security_groups: list[str] = Field(default_factory=list)
    availability_zone: str = ""
    flavors: str = ""
    anti_affinity: Literal["", "soft", "hard"] = ""
    port: Port = 8443
    start: Literal["podman", "command"] = "podman"
    ready: Literal["connect", "active"] = "connect"
    user_data_bytes_max: int = Field(default=48 << 10, ge=4_096, le=48 << 10)


class OpenStackSection(Section):
    """Which cloud, which part of it is the zone, and how patiently it is asked."""

    clouds_file: Path
    cloud: str = Field(min_length=1)
    aggregates: list[Uuid] = Field(default_factory=list)
    cpu_class: Literal["VCPU", "PCPU"] = "VCPU"
    accelerators: list[AcceleratorSection] = Field(default_factory=list)
    poll_s: float = Field(default=15.0, ge=1.0)
    requests_per_second_max: int = Field(default=20, ge=1, le=1_000)
    timeout_s: float = Field(default=10.0, gt=0)
    server: ServerSection | None = None

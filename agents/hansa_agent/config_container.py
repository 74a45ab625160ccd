"""The section of the agent's configuration for the runtime "container". ``agent.example.yaml`` explains it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from hansa_agent.config_sections import Section


class ContainerSection(Section):
    """How instances run as containers of podman or docker on this machine.

    ``devices`` names, for each pool of accelerators ("nvidia/L4"), the CDI names of its devices
    ("nvidia.com/gpu=0"), so that each is given to one instance at a time.
    """

    socket: Path = Path("/run/podman/podman.sock")
    pull: bool = False
    user: str = Field(default="65532:65532", pattern=r"^[0-9]{1,10}:[0-9]{1,10}$")
    network: str = Field(default="bridge", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")
    pids_max: int = Field(default=4_096, ge=1, le=1 << 22)
    scratch_mib: int = Field(default=64, ge=1)
    shm_mib: int = Field(default=64, ge=1)
    init: bool = False
    devices: dict[str, list[str]] = Field(default_factory=dict)
    pull_timeout_s: float = Field(default=900.0, gt=0)

    @field_validator("devices")
    @classmethod
    def _named_once(cls, devices: dict[str, list[str]]) -> dict[str, list[str]]:
        names = [name for each in devices.values() for name in each]
        if len(set(names)) != len(names):
            raise ValueError("a device is named twice; each belongs to one pool")
        for name in names:
            kind, _, device = name.partition("=")
            if kind.count("/") != 1 or not device or any(part.isspace() or part == "," for part in name):
                raise ValueError(f"{name!r} is no CDI name, which is vendor/class=device, such as nvidia.com/gpu=0")
        return devices

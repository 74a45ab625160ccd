"""How an ordered instance looks as a container: its name, its labels, its bounds, for docker and for podman. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent import order_substance
from hansa_agent.artefacts import Artefact
from hansa_agent.config_container import ContainerSection
from hansa_agent.launch import OPEN_FILES_MAX, Place, environment
from hansa_agent.strays import ordered_text

ZONE, INSTANCE, CLAIM, WORKLOAD = "hansa.zone", "hansa.instance", "hansa.claim", "hansa.workload"
TOKEN, ORDER, PORT, DEVICES = "hansa.fencing-token", "hansa.order", "hansa.port", "hansa.devices"
ORDERED = "hansa.ordered"
INSIDE = Path("/hansa")
"""Where an instance finds, inside its container, what the agent gives it: read-only but for ``home``."""
NANO_PER_MILLI = 1_000_000
QUOTA_PERIOD_US = 100_000
_LEFT_TO_THE_IMAGE = frozenset({"PATH"})
_SCRATCH = ("rw", "nosuid", "nodev", "mode=1777")


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container, whichever engine makes it. ``mounts`` maps folders and files inside to those of the machine.

    ``command`` replaces the image's entry point and its arguments; empty leaves both.

    ``published`` is the host's address at which the port is published, empty where the container has the host's
    network. ``ulimits`` are bounds of both kinds, soft and hard, by name.
    """

    image: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: Mapping[str, str]
    port: int
    published: str
    devices: tuple[str, ...]
    cpu_millis: int
    memory_mib: int
    ulimits: Mapping[str, int]
    log_bytes_max: int
    section: ContainerSection


def name_of(zone: str, instance: str) -> str:
    """The container's name. No part of a zone's name has a dot, so two zones never share one."""
    return f"hansa.{zone.replace('/', '.')}.{instance}"


def order_digest(order: DesiredInstance) -> str:
    """What of an order makes another container of it, in a label's length."""
    return order_substance.order_digest(order)[:32]


def labels_of(zone: str, order: DesiredInstance, port: int, devices: tuple[str, ...]) -> dict[str, str]:
    """What traces a container to its placement, and what a later agent process has to know of it."""
    return {
        ZONE: zone,
        INSTANCE: order.instance,
        CLAIM: order.claim,
        WORKLOAD: order.workload,
        TOKEN: str(order.fencing_token),
        ORDER: order_digest(order),
        PORT: str(port),
        ORDERED: ordered_text(order.limits),
        **({DEVICES: ",".join(devices)} if devices else {}),
    }


def inner_place(host: str, port: int, *, has_tls: bool) -> Place:
    """Where the instance sees itself."""
    tls = INSIDE / "tls"
    cert, key = (str(tls / "cert.pem"), str(tls / "key.pem")) if has_tls else ("", "")
    return Place(INSIDE, host, port, cert, key)


def inner_environment(order: DesiredInstance, artefact: Artefact, place: Place) -> dict[str, str]:
    """The contract of ``launch.ENVIRONMENT``; the search path is the image's own."""
    every = environment(order, artefact, place)
    return {name: value for name, value in every.items() if name not in _LEFT_TO_THE_IMAGE}


def ulimits_of(section: ContainerSection, hard: Mapping[str, int]) -> dict[str, int]:
    """Open files and processes of the user, no more than ``hard`` allows; named, since podman asks for 2^20 else."""
    wanted = {"nofile": OPEN_FILES_MAX, "nproc": max(section.pids_max, OPEN_FILES_MAX)}
    return {name: min(bound, hard.get(name, bound)) for name, bound in wanted.items()}


def docker_body(spec: ContainerSpec) -> dict[str, Any]:
    """The body of Docker's ContainerCreate."""
    section, port = spec.section, f"{spec.port}/tcp"
    binding = {port: [{"HostIp": spec.published, "HostPort": str(spec.port)}]} if spec.published else {}
    request = {"Driver": "cdi", "DeviceIDs": list(spec.devices)}
    return {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in sorted(spec.env.items())],
        "Labels": dict(spec.labels),
        "User": section.user,
        **({"Entrypoint": list(spec.command), "Cmd": []} if spec.command else {}),
        "ExposedPorts": {each: {} for each in binding},
        "HostConfig": {
            "Binds": [f"{source}:{target}:ro,Z" for target, source in sorted(spec.mounts.items())],
            "Tmpfs": {path: ",".join(_scratch(section)) for path in _scratch_paths()},
            "NetworkMode": section.network,
            "PortBindings": binding,
            "RestartPolicy": {"Name": "no"},
            "NanoCpus": spec.cpu_millis * NANO_PER_MILLI,
            "Memory": spec.memory_mib << 20,
            "MemorySwap": spec.memory_mib << 20,
            "ShmSize": section.shm_mib << 20,
            "PidsLimit": section.pids_max,
            "Ulimits": [{"Name": name, "Soft": most, "Hard": most} for name, most in sorted(spec.ulimits.items())],
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Init": section.init,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": str(spec.log_bytes_max), "max-file": "1"}},
            **({"DeviceRequests": [request]} if spec.devices else {}),
        },
    }


def podman_body(name: str, spec: ContainerSpec) -> dict[str, Any]:
    """The body of podman's own ContainerCreate (SpecGenerator)."""
    section = spec.section
    mapping = {"host_ip": spec.published, "host_port": spec.port, "container_port": spec.port, "protocol": "tcp"}
    return {
        "name": name,
        "image": spec.image,
        "env": dict(spec.env),
        "labels": dict(spec.labels),
        "user": section.user,
        **({"entrypoint": list(spec.command), "command": []} if spec.command else {}),
        "mounts": [*_podman_binds(spec), *_podman_scratch(section)],
        **_podman_network(section),
        "portmappings": [mapping] if spec.published else [],
        "restart_policy": "no",
        "resource_limits": _podman_limits(spec),
        "shm_size": section.shm_mib << 20,
        "r_limits": [{"type": name, "soft": most, "hard": most} for name, most in sorted(spec.ulimits.items())],
        "read_only_filesystem": True,
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "init": section.init,
        "log_configuration": {"driver": "k8s-file", "size": spec.log_bytes_max},
        "devices": [{"path": device} for device in spec.devices],
    }


def _podman_network(section: ContainerSection) -> dict[str, Any]:
    if section.network in ("bridge", "host"):
        return {"netns": {"nsmode": section.network}}
    return {"netns": {"nsmode": "bridge"}, "networks": {section.network: {}}}


def _podman_limits(spec: ContainerSpec) -> dict[str, Any]:
    memory = spec.memory_mib << 20
    # The kernel takes no quota under a millisecond.
    quota_us = max(spec.cpu_millis * QUOTA_PERIOD_US // 1_000, 1_000) if spec.cpu_millis else 0
    return {
        "pids": {"limit": spec.section.pids_max},
        **({"cpu": {"quota": quota_us, "period": QUOTA_PERIOD_US}} if quota_us else {}),
        **({"memory": {"limit": memory, "swap": memory}} if memory else {}),
    }


def _podman_binds(spec: ContainerSpec) -> list[dict[str, Any]]:
    return [
        {"type": "bind", "source": source, "destination": target, "options": ["ro", "rbind", "Z"]}
        for target, source in sorted(spec.mounts.items())
    ]


def _podman_scratch(section: ContainerSection) -> list[dict[str, Any]]:
    return [
        {"type": "tmpfs", "source": "tmpfs", "destination": path, "options": list(_scratch(section))}
        for path in _scratch_paths()
    ]


def _scratch_paths() -> tuple[str, ...]:
    return (str(INSIDE / "home"), "/tmp")  # noqa: S108 - inside the container


def _scratch(section: ContainerSection) -> tuple[str, ...]:
    return (*_SCRATCH, f"size={section.scratch_mib}m")

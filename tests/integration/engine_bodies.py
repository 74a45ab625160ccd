"""Which fields a container may be created with, and of which type, in Docker's Engine API 1.40 (api/swagger.yaml,
definitions Config, HostConfig, Resources) and in podman 4's own API (SpecGenerator). A fake refuses everything else,
so that a name that is mistyped shows in a test; that the fields mean what they say, only a real engine can show.
"""

from __future__ import annotations

from typing import Any

STRINGS, MAP = [str], {str: object}
CONFIG: dict[str, Any] = {
    "Image": str,
    "Env": STRINGS,
    "Labels": {str: str},
    "User": str,
    "Entrypoint": STRINGS,
    "Cmd": STRINGS,
    "ExposedPorts": MAP,
    "HostConfig": MAP,
}
HOST_CONFIG: dict[str, Any] = {
    "Binds": STRINGS,
    "Tmpfs": {str: str},
    "NetworkMode": str,
    "PortBindings": {str: [dict]},
    "RestartPolicy": MAP,
    "NanoCpus": int,
    "Memory": int,
    "MemorySwap": int,
    "ShmSize": int,
    "PidsLimit": int,
    "Ulimits": [dict],
    "ReadonlyRootfs": bool,
    "CapDrop": STRINGS,
    "SecurityOpt": STRINGS,
    "Init": bool,
    "LogConfig": MAP,
    "DeviceRequests": [dict],
}
SPEC_GENERATOR: dict[str, Any] = {
    "name": str,
    "image": str,
    "env": {str: str},
    "labels": {str: str},
    "user": str,
    "entrypoint": STRINGS,
    "command": STRINGS,
    "mounts": [dict],
    "netns": {str: str},
    "networks": MAP,
    "portmappings": [dict],
    "restart_policy": str,
    "resource_limits": MAP,
    "shm_size": int,
    "r_limits": [dict],
    "read_only_filesystem": bool,
    "cap_drop": STRINGS,
    "no_new_privileges": bool,
    "init": bool,
    "log_configuration": MAP,
    "devices": [dict],
}


def problem_of_docker(body: dict[str, Any]) -> str:
    """The first thing that ContainerCreate of Docker would not know; empty if nothing."""
    return _problem(body, CONFIG, ("Image", "HostConfig")) or _problem(body["HostConfig"], HOST_CONFIG, ())


def problem_of_podman(body: dict[str, Any]) -> str:
    """The first thing that a SpecGenerator does not have; empty if nothing."""
    return _problem(body, SPEC_GENERATOR, ("name", "image"))


def _problem(body: dict[str, Any], fields: dict[str, Any], needed: tuple[str, ...]) -> str:
    for name in needed:
        if name not in body:
            return f"{name} is missing"
    for name, value in body.items():
        if name not in fields:
            return f"{name} is no field"
        if not _fits(value, fields[name]):
            return f"{name} is of another type"
    return ""


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(each, kind[0]) for each in value)
    if isinstance(kind, dict):
        ((key, of),) = kind.items()
        return isinstance(value, dict) and all(_fits(k, key) and _fits(v, of) for k, v in value.items())
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)

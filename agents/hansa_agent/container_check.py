"""Looks at the container engine: whether it may be asked, and whether it has what the configuration names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hansa_agent.artefacts import Artefact
from hansa_agent.check import Finding, ok, problem, warning
from hansa_agent.config_container import ContainerSection
from hansa_agent.container_engine import Engine
from hansa_agent.container_socket import EngineRefused
from hansa_agent.ports import PlatformSilent

CDI_FOLDERS = (Path("/etc/cdi"), Path("/run/cdi"))
API_MIN = (1, 40)
_SPEC_BYTES_MAX = 8 << 20


async def check_engine(
    section: ContainerSection, artefacts: list[Artefact], folders: tuple[Path, ...] = CDI_FOLDERS
) -> list[Finding]:
    """The socket, the engine behind it, the images and the devices."""
    blocked = _socket(section.socket)
    if blocked is not None:
        return [blocked]
    engine = Engine(section.socket)
    try:
        version = await engine.version()
        found = [_version(version), *[await _image(engine, artefact, section) for artefact in artefacts]]
    except (PlatformSilent, EngineRefused) as error:
        remedy = "systemctl status podman.socket, or docker.socket"
        found = [problem("container engine", f"it does not answer: {error}", remedy)]
    finally:
        await engine.close()
    return [*found, *_devices(section, folders)]


def _socket(path: Path) -> Finding | None:
    if not path.exists():
        remedy = "systemctl enable --now podman.socket, or name docker's in container.socket"
        return problem("container engine", f"{path} is not there, or may not be seen", remedy)
    if not os.access(path, os.R_OK | os.W_OK):
        remedy = f"let the agent's user into group {path.stat().st_gid}; that is as good as root on this machine"
        return problem("container engine", f"{path} may not be used by this user", remedy)
    return None


def _version(version: dict[str, Any]) -> Finding:
    first = (version.get("Components") or [{}])[0]
    name, api = f"{first.get('Name', 'engine')} {first.get('Version', '')}".strip(), str(version.get("ApiVersion", ""))
    numbers = tuple(int(part) for part in api.split(".") if part.isdecimal())
    if numbers < API_MIN:
        return problem("container engine", f"{name} speaks API {api or 'unknown'}; 1.40 is needed", "take a newer one")
    return ok("container engine", f"{name}, API {api}")


async def _image(engine: Engine, artefact: Artefact, section: ContainerSection) -> Finding:
    subject = f"artefact {artefact.name}"
    try:
        await engine.image(artefact.image)
    except EngineRefused as refused:
        if not refused.is_absent:
            return problem(subject, refused.message)
        if section.pull:
            return warning(subject, f"{artefact.image} is not here yet; its first start fetches it", "pull it now")
        return problem(subject, f"{artefact.image} is not here, and container.pull is false", "pull it by this name")
    return ok(subject, f"{artefact.image} is here")


def _devices(section: ContainerSection, folders: tuple[Path, ...]) -> Iterator[Finding]:
    known = {name for folder in folders for name in _cdi_names(folder)}
    for pool, names in sorted(section.devices.items()):
        missing = [name for name in names if name not in known]
        if missing:
            remedy = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; nvidia-ctk cdi list"
            yield problem(f"devices {pool}", f"{', '.join(missing)}: in no CDI specification here", remedy)
        else:
            yield ok(f"devices {pool}", f"{', '.join(names)} can be given to instances")


def _cdi_names(folder: Path) -> Iterator[str]:
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.yaml")]):
        try:
            text = path.read_bytes()[:_SPEC_BYTES_MAX]
            spec = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
            yield from (f"{spec['kind']}={device['name']}" for device in spec["devices"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            continue

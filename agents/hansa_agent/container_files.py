"""Files that a container gets from the agent, and its log, which the agent keeps when the container goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from hansa_agent.container_engine import Engine
from hansa_agent.container_socket import EngineRefused
from hansa_agent.container_spec import INSIDE
from hansa_agent.instance_ports import InstanceSettings
from hansa_agent.instance_store import write_atomically
from hansa_agent.ports import PlatformSilent, StartRefused

_log = structlog.get_logger(__name__)
LOG_LINES_MAX = 10_000
_READABLE = 0o444
"""Whoever the container runs as may read them inside; on the machine the instance's folder lets nobody through."""


def laid_out(folder: Path, settings: InstanceSettings, client_ca_pem: bytes) -> dict[str, str]:
    """Writes the instance's files into its folder; what is mounted where, inside to outside.

    Copies, so that a certificate which is renewed meanwhile does not change under a running instance.
    Raises ``StartRefused`` where certificate or key cannot be read.
    """
    folder.mkdir(exist_ok=True, mode=0o700)
    contents = {"client_ca.pem": client_ca_pem}
    if settings.tls_cert:
        try:
            contents["tls/cert.pem"] = Path(settings.tls_cert).read_bytes()
            contents["tls/key.pem"] = Path(settings.tls_key).read_bytes()
        except OSError as error:
            raise StartRefused(f"{error.filename}: {error.strerror}", permanent=False) from error
    mounts = {}
    for name, content in contents.items():
        path = folder / name.replace("/", "_")
        write_atomically(path, content)
        path.chmod(_READABLE)
        mounts[str(INSIDE / name)] = str(path.resolve())
    return mounts


async def save_log(engine: Engine, container: str, log: Path, bytes_max: int) -> None:
    """Adds the end of a container's log to ``log`` and bounds the whole; without the engine's answer it is lost."""
    try:
        told = await engine.log(container, LOG_LINES_MAX)
    except (PlatformSilent, EngineRefused) as error:
        _log.info("log of a container not kept", container=container, message=str(error))
        return
    await asyncio.to_thread(_append, log, told, bytes_max)


def _append(log: Path, told: bytes, bytes_max: int) -> None:
    if log.parent.exists():
        former = log.read_bytes() if log.exists() else b""
        log.write_bytes((former + told)[-bytes_max:])

"""What podman and docker are asked: Docker's Engine API 1.40 and later, which podman speaks, too.

Containers are created through podman's own API where podman answers, since its Docker API leaves device requests
(CDI) out without a word (seen with 4.3.1).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from hansa_agent.container_socket import CALL_TIMEOUT_S, EngineRefused, EngineSocket, Request, object_of
from hansa_agent.container_spec import ZONE, ContainerSpec, docker_body, podman_body

API = "/v1.40"
PODMAN_API = "/v4.0.0/libpod"
START_TIMEOUT_S = 60.0


class Engine:
    """One engine. Every call raises ``PlatformSilent`` where no answer came, and ``EngineRefused``."""

    def __init__(self, path: Path, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._socket = EngineSocket(path, timeout_s)
        self._is_podman: bool | None = None

    async def version(self) -> dict[str, Any]:
        """What answers: "Components" names it, "ApiVersion" its API."""
        found: dict[str, Any] = await self._socket.ask_json(Request("GET", f"{API}/version"))
        components = [str(each.get("Name")) for each in found.get("Components") or []]
        self._is_podman = any("podman" in name.lower() for name in components)
        return found

    async def image(self, reference: str) -> dict[str, Any]:
        """What the engine has of an image."""
        found: dict[str, Any] = await self._socket.ask_json(Request("GET", f"{API}/images/{reference}/json"))
        return found

    async def pull(self, reference: str, timeout_s: float) -> None:
        """Fetches an image by its digest; progress comes as lines, and so do errors after a 200."""
        query = {"fromImage": reference}
        told = await self._socket.ask(Request("POST", f"{API}/images/create", query, timeout_s=timeout_s))
        for line in told.splitlines():
            if problem := object_of(line).get("error"):
                raise EngineRefused(500, str(problem)[:300])

    async def create(self, name: str, spec: ContainerSpec) -> str:
        """Creates a container, not started; its id."""
        if self._is_podman is None:
            await self.version()
        path, query, body = f"{API}/containers/create", {"name": name}, docker_body(spec)
        if self._is_podman:
            path, query, body = f"{PODMAN_API}/containers/create", {}, podman_body(name, spec)
        made = await self._socket.ask_json(Request("POST", path, query, body, START_TIMEOUT_S))
        return str(made["Id"])

    async def start(self, container: str) -> None:
        """Starts a container; nothing happens if it runs."""
        await self._socket.ask(Request("POST", f"{API}/containers/{container}/start", timeout_s=START_TIMEOUT_S))

    async def signal(self, container: str, name: str) -> None:
        """Sends a signal to a container's first process."""
        await self._socket.ask(Request("POST", f"{API}/containers/{container}/kill", {"signal": name}))

    async def remove(self, container: str) -> None:
        """Ends a container and takes it away; nothing happens if there is none."""
        query = {"force": "true", "v": "true"}
        try:
            await self._socket.ask(Request("DELETE", f"{API}/containers/{container}", query, timeout_s=START_TIMEOUT_S))
        except EngineRefused as refused:
            if not refused.is_absent:
                raise

    async def inspect(self, container: str) -> dict[str, Any] | None:
        """A container by id or name, or None."""
        try:
            found: dict[str, Any] = await self._socket.ask_json(Request("GET", f"{API}/containers/{container}/json"))
        except EngineRefused as refused:
            if refused.is_absent:
                return None
            raise
        return found

    async def containers(self, *labels: str) -> list[dict[str, Any]]:
        """All containers, running or not, with these labels ("name" or "name=value")."""
        query = {"all": "true", "filters": json.dumps({"label": list(labels)})}
        found: list[dict[str, Any]] = await self._socket.ask_json(Request("GET", f"{API}/containers/json", query))
        return found

    async def log(self, container: str, line_count: int) -> bytes:
        """The last lines that a container wrote, both streams as they came."""
        query = {"stdout": "true", "stderr": "true", "tail": str(line_count)}
        framed = await self._socket.ask(Request("GET", f"{API}/containers/{container}/logs", query))
        return b"".join(_frames(framed))

    async def events(self, zone: str) -> AsyncGenerator[str, None]:
        """Ids of containers of the zone with which something happened; the first, empty, says that it has begun."""
        query = {"filters": json.dumps({"label": [f"{ZONE}={zone}"], "type": ["container"]})}
        async for line in self._socket.lines(Request("GET", f"{API}/events", query)):
            yield _container_of(object_of(line)) if line else ""

    async def close(self) -> None:
        """Ends all connections; the next call makes new ones."""
        await self._socket.close()


def _container_of(event: Mapping[str, Any]) -> str:
    return str((event.get("Actor") or {}).get("ID") or event.get("id") or "unknown")


def _frames(content: bytes) -> list[bytes]:
    """Payloads of Docker's framing (stream number, three zeros, length); content without frames as it is."""
    parts, at = [], 0
    while at + 8 <= len(content) and content[at] in (0, 1, 2) and content[at + 1 : at + 4] == bytes(3):
        length = int.from_bytes(content[at + 4 : at + 8], "big")
        parts.append(content[at + 8 : at + 8 + length])
        at += 8 + length
    return parts or [content]

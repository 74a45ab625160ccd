"""Talks with podman or docker through their REST socket: Docker's Engine API 1.40 and later, which podman speaks, too.

Containers are created through podman's own API where podman answers, since its Docker API leaves device requests
(CDI) out without a word (seen with 4.3.1). aiohttp is loaded when the first call is made.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from hansa_agent.container_spec import ZONE, ContainerSpec, docker_body, podman_body
from hansa_agent.ports import PlatformSilent

API = "/v1.40"
PODMAN_API = "/v4.0.0/libpod"

CALL_TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0
ANSWER_BYTES_MAX = 16 << 20
EVENT_BYTES_MAX = 1 << 20
_NOT_RUNNING = ("container state improper", "is not running")
_NAME_TAKEN = ("name is already in use", "is already in use by container")


class EngineRefused(Exception):
    """The engine answered, and not with what was asked for; ``message`` is in its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def is_absent(self) -> bool:
        """Nothing has that name."""
        return self.status == 404

    @property
    def name_is_taken(self) -> bool:
        """A container has that name already: 409 with docker, 500 and words with podman 4."""
        return self.status == 409 or any(words in self.message for words in _NAME_TAKEN)

    @property
    def is_not_running(self) -> bool:
        """There is nothing to send a signal to: 409 with docker, 500 and words with podman 4."""
        return self.status == 409 or any(words in self.message for words in _NOT_RUNNING)


class Engine:
    """One socket. Every call raises ``PlatformSilent`` where no answer came, and ``EngineRefused``."""

    def __init__(self, socket: Path, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._socket = socket
        self._timeout_s = timeout_s
        self._session: Any = None
        self._is_podman: bool | None = None

    @property
    def socket(self) -> Path:
        return self._socket

    async def version(self) -> dict[str, Any]:
        """What answers: "Components" names it, "ApiVersion" its API."""
        found: dict[str, Any] = await self._call("GET", f"{API}/version")
        components = [str(each.get("Name")) for each in found.get("Components") or []]
        self._is_podman = any("podman" in name.lower() for name in components)
        return found

    async def image(self, reference: str) -> dict[str, Any]:
        """What the engine has of an image."""
        found: dict[str, Any] = await self._call("GET", f"{API}/images/{reference}/json")
        return found

    async def pull(self, reference: str, timeout_s: float) -> None:
        """Fetches an image by its digest; progress comes as lines, and so do errors after a 200."""
        path, query = f"{API}/images/create", {"fromImage": reference}
        told = await self._call("POST", path, params=query, timeout_s=timeout_s, as_text=True)
        for line in str(told).splitlines():
            problem = _json(line).get("error")
            if problem:
                raise EngineRefused(500, str(problem))

    async def create(self, name: str, spec: ContainerSpec) -> str:
        """Creates a container, not started; its id."""
        if self._is_podman is None:
            await self.version()
        if self._is_podman:
            path, body = f"{PODMAN_API}/containers/create", podman_body(name, spec)
            made = await self._call("POST", path, body=body, timeout_s=START_TIMEOUT_S)
        else:
            query = {"name": name}
            made = await self._call(
                "POST", f"{API}/containers/create", params=query, body=docker_body(spec), timeout_s=START_TIMEOUT_S
            )
        return str(made["Id"])

    async def start(self, container: str) -> None:
        """Starts a container; nothing happens if it runs."""
        await self._call("POST", f"{API}/containers/{container}/start", timeout_s=START_TIMEOUT_S)

    async def signal(self, container: str, name: str) -> None:
        """Sends a signal to a container's first process."""
        await self._call("POST", f"{API}/containers/{container}/kill", params={"signal": name})

    async def remove(self, container: str) -> None:
        """Ends a container and takes it away; nothing happens if there is none."""
        query = {"force": "true", "v": "true"}
        try:
            await self._call("DELETE", f"{API}/containers/{container}", params=query, timeout_s=START_TIMEOUT_S)
        except EngineRefused as refused:
            if not refused.is_absent:
                raise

    async def inspect(self, container: str) -> dict[str, Any] | None:
        """A container by id or name, or None."""
        try:
            found: dict[str, Any] = await self._call("GET", f"{API}/containers/{container}/json")
        except EngineRefused as refused:
            if refused.is_absent:
                return None
            raise
        return found

    async def containers(self, *labels: str) -> list[dict[str, Any]]:
        """All containers, running or not, with these labels ("name" or "name=value")."""
        query = {"all": "true", "filters": json.dumps({"label": list(labels)})}
        found: list[dict[str, Any]] = await self._call("GET", f"{API}/containers/json", params=query)
        return found

    async def log(self, container: str, line_count: int) -> bytes:
        """The last lines that a container wrote, both streams as they came, at most ``ANSWER_BYTES_MAX``."""
        query = {"stdout": "true", "stderr": "true", "tail": str(line_count)}
        framed = await self._call("GET", f"{API}/containers/{container}/logs", params=query, as_bytes=True)
        return b"".join(_frames(framed))

    async def events(self, zone: str) -> AsyncGenerator[str, None]:
        """Ids of containers of the zone with which something happened; the first, empty, says that it has begun."""
        import aiohttp

        query = {"filters": json.dumps({"label": [f"{ZONE}={zone}"], "type": ["container"]})}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                begun = await self._client().get(f"{API}/events", params=query, timeout=timeout)
            async with begun as answer:
                if answer.status != 200:
                    raise EngineRefused(answer.status, "no events")
                yield ""
                while line := await answer.content.readline():
                    yield _container_of(_json(line))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise PlatformSilent(f"{self._socket}: {_said(error)}") from error

    async def close(self) -> None:
        """Ends all connections; the next call makes new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _client(self) -> Any:
        import aiohttp

        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self._socket), limit=64)
            self._session = aiohttp.ClientSession("http://engine", connector=connector, read_bufsize=EVENT_BYTES_MAX)
        return self._session

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = 0.0,
        as_text: bool = False,
        as_bytes: bool = False,
    ) -> Any:
        import aiohttp

        limit_s = timeout_s or self._timeout_s
        try:
            async with (
                asyncio.timeout(limit_s),
                self._client().request(
                    method, path, params=params, json=body, timeout=aiohttp.ClientTimeout(total=limit_s)
                ) as answer,
            ):
                content = await _bounded(answer.content)
                status = int(answer.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PlatformSilent(f"{self._socket}: {_said(error)}") from error
        if status >= 400:
            raise EngineRefused(status, _words(content))
        if as_bytes:
            return content
        return content.decode(errors="replace") if as_text else _loaded(content)


async def _bounded(stream: Any) -> bytes:
    """What comes, up to ``ANSWER_BYTES_MAX``."""
    content = bytearray()
    async for part in stream.iter_any():
        content += part
        if len(content) > ANSWER_BYTES_MAX:
            raise TimeoutError("the answer is too long")
    return bytes(content)


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content) if content.strip() else {}
    except ValueError as error:
        raise EngineRefused(502, "the engine did not answer in JSON") from error


def _json(line: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _container_of(event: Mapping[str, Any]) -> str:
    return str((event.get("Actor") or {}).get("ID") or event.get("id") or "")


def _words(content: bytes) -> str:
    told = _json(content).get("message") or content.decode(errors="replace")
    words = " ".join("".join(char if char.isprintable() else " " for char in str(told)).split())
    return words[:300] or "no reason given"


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _frames(content: bytes) -> list[bytes]:
    """Payloads of Docker's framing (stream number, three zeros, length); content without frames as it is."""
    parts, at = [], 0
    while at + 8 <= len(content) and content[at] in (0, 1, 2) and content[at + 1 : at + 4] == bytes(3):
        length = int.from_bytes(content[at + 4 : at + 8], "big")
        parts.append(content[at + 8 : at + 8 + length])
        at += 8 + length
    return parts or [content]

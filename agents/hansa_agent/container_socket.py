"""One REST socket of podman or docker: requests with bounds on time and length, and lines of a stream.

aiohttp is loaded when the first request is made.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hansa_agent.ports import PlatformSilent

CALL_TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 16 << 20
LINE_BYTES_MAX = 1 << 20
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


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Without ``timeout_s`` the socket's own applies."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    timeout_s: float = 0.0


class EngineSocket:
    """Connections to one socket. What gets no answer raises ``PlatformSilent``, an error ``EngineRefused``."""

    def __init__(self, path: Path, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._session: Any = None

    async def ask(self, request: Request) -> bytes:
        """The content of the answer."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=request.timeout_s or self._timeout_s)
        try:
            async with self._client().request(
                request.method, request.path, params=request.query, json=request.body, timeout=limit
            ) as answer:
                content = await _bounded(answer.content)
                status = int(answer.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PlatformSilent(f"{self.path}: {_said(error)}") from error
        if status >= 400:
            raise EngineRefused(status, words_of(content))
        return content

    async def ask_json(self, request: Request) -> Any:
        """The answer, parsed; an empty one is an empty object."""
        content = await self.ask(request)
        try:
            return json.loads(content) if content.strip() else {}
        except ValueError as error:
            raise EngineRefused(502, "the engine did not answer in JSON") from error

    async def lines(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Lines as they come, for as long as they come; the first, empty, says that the stream stands."""
        import aiohttp

        forever = aiohttp.ClientTimeout(total=None)
        try:
            async with asyncio.timeout(self._timeout_s):
                begun = await self._client().request(
                    request.method, request.path, params=request.query, timeout=forever
                )
            async with begun as answer:
                if answer.status >= 400:
                    raise EngineRefused(int(answer.status), words_of(await _bounded(answer.content)))
                yield b""
                while line := await answer.content.readline():
                    yield line
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise PlatformSilent(f"{self.path}: {_said(error)}") from error

    async def close(self) -> None:
        """Ends all connections; the next request makes new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _client(self) -> Any:
        import aiohttp

        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self.path), limit=64)
            self._session = aiohttp.ClientSession("http://engine", connector=connector, read_bufsize=LINE_BYTES_MAX)
        return self._session


def object_of(line: bytes) -> dict[str, Any]:
    """One line of a stream, parsed; an empty object where it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def words_of(content: bytes) -> str:
    """What an answer says of an error, in one printable line."""
    told = object_of(content).get("message") or content.decode(errors="replace")
    words = " ".join("".join(char if char.isprintable() else " " for char in str(told)).split())
    return words[:300] or "no reason given"


async def _bounded(stream: Any) -> bytes:
    content = bytearray()
    async for part in stream.iter_any():
        content += part
        if len(content) > ANSWER_BYTES_MAX:
            raise TimeoutError("the answer is too long")
    return bytes(content)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__

"""An HTTP proxy that fails on purpose, in front of one real API: what passes through is what was said.

Faults are queued by method and a part of the path, each for so many requests:

- ``CUT``: the connection is reset before the request is passed on: nothing was done.
- ``LOST``: it is passed on, and the connection reset instead of the answer: it was done and nobody knows.
- ``TORN``: half of the answer comes.
- a number: an answer of that status by the proxy itself, with Retry-After where one is given: nothing was done.
- ``LATE``: the answer comes after ``LATE_S``.
- ``DELAYED``: the connection is reset at once, and the request is passed on only ``DELAY_S`` later.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

CUT, LOST, TORN, LATE, DELAYED = "cut", "lost", "torn", "late", "delayed"
LATE_S, DELAY_S = 4.0, 4.0
_HOP = {"transfer-encoding", "connection", "content-length", "host", "keep-alive", "content-encoding"}


@dataclass
class Fault:
    """One fault and how often it is still to happen; -1 is for ever."""

    what: str | int
    method: str = ""
    path: str = ""
    times: int = 1
    retry_after_s: int = 0

    def hits(self, request: web.Request) -> bool:
        return self.times != 0 and self.method in ("", request.method) and self.path in request.path_qs


class FaultyHttp:
    """Listens on a free port of loopback; ``target`` is "http://host:port". Use as an asynchronous context manager."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.faults: list[Fault] = []
        self.passed: list[tuple[str, str]] = []
        self.hit: list[str | int] = []
        self.url = ""
        self._late: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(auto_decompress=False, skip_auto_headers={"Content-Type"})
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._runner.cleanup()
        await self._client.close()

    def fail(
        self, what: str | int, method: str = "", path: str = "", *, times: int = 1, retry_after_s: int = 0
    ) -> None:
        self.faults.append(Fault(what, method, path, times, retry_after_s))

    def heal(self) -> None:
        self.faults.clear()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = next((one for one in self.faults if one.hits(request)), None)
        if fault is None:
            return await self._pass(request, body)
        fault.times -= 1
        self.hit.append(fault.what)
        if isinstance(fault.what, int):
            headers = {"Retry-After": str(fault.retry_after_s)} if fault.retry_after_s else {}
            return web.json_response({"error": {"message": "made up"}}, status=fault.what, headers=headers)
        if fault.what == DELAYED:
            task = asyncio.create_task(self._pass_later(request, body))
            self._late.add(task)
        answer = await self._pass(request, body) if fault.what in (LOST, TORN, LATE) else web.Response()
        if fault.what == LATE:
            await asyncio.sleep(LATE_S)
            return answer
        return await self._break(request, answer, torn=fault.what == TORN)

    async def _break(self, request: web.Request, answer: web.Response, *, torn: bool) -> web.StreamResponse:
        assert request.transport is not None
        if torn:
            assert isinstance(answer.body, bytes)
            begun = web.StreamResponse(status=answer.status, headers={"Content-Length": str(len(answer.body))})
            await begun.prepare(request)
            await begun.write(answer.body[: len(answer.body) // 2])
        request.transport.abort()
        return answer

    async def _pass_later(self, request: web.Request, body: bytes) -> None:
        await asyncio.sleep(DELAY_S)
        await self._pass(request, body)

    async def _pass(self, request: web.Request, body: bytes) -> web.Response:
        self.passed.append((request.method, request.path))
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        url = self.target + request.path_qs
        async with self._client.request(request.method, url, headers=headers, data=body or None) as answer:
            content = await answer.read()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP | {"content-type"}}
            response = web.Response(body=content, status=answer.status, headers=kept)
            response.content_type = answer.content_type
            return response

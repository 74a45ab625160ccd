"""What goes wrong on the way to the API server and back, as a test asks for it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from kubernetes_api.kube_kinds import ApiError


@dataclass
class Fault:
    """What happens to the next ``times`` requests that match.

    ``hold``: nothing is answered any more, "before" or "after" the request is carried out; ``hit`` tells when.
    ``cut``: "before" the request is carried out, "after" it (the answer is lost), or in the "middle" of the answer.
    """

    method: str = ""
    path: str = ""
    times: int = 1
    status: int = 0
    retry_after_s: int | None = None
    delay_s: float = 0.0
    cut: Literal["", "before", "after", "middle"] = ""
    message: str = "the fake was told to fail"
    hold: Literal["", "before", "after"] = ""
    hit: asyncio.Event = field(default_factory=asyncio.Event)


REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass
class Faults:
    """The faults that are left, and every request seen, as "METHOD path"."""

    waiting: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    down: bool = False

    def add(self, fault: Fault) -> Fault:
        self.waiting.append(fault)
        return fault

    def count(self, method: str, path: str) -> int:
        """How many requests matched so far."""
        return sum(bool(re.fullmatch(f"{method} .*{path}.*", seen)) for seen in self.seen)

    def _take(self, request: web.Request) -> Fault | None:
        for fault in self.waiting:
            if fault.times and fault.method in ("", request.method) and re.search(fault.path, request.path_qs):
                fault.times -= 1
                return fault
        return None

    async def around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path_qs}")
        if self.down:
            return _cut(request)
        fault = self._take(request)
        if fault is None:
            return await handler(request)
        if fault.hold != "after":
            fault.hit.set()
        if fault.hold == "before":
            await asyncio.Event().wait()
        await asyncio.sleep(fault.delay_s)
        if fault.status:
            return _refusal(fault)
        if fault.cut == "before":
            return _cut(request)
        response = await _answer(request, handler)
        if fault.hold == "after":
            fault.hit.set()
            await asyncio.Event().wait()
        if fault.cut == "middle" and isinstance(response, web.Response):
            return await _half(request, response)
        return _cut(request) if fault.cut else response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status)


def _refusal(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    error = ApiError(fault.status, REASONS.get(fault.status, ""), fault.message)
    return web.json_response(error.body(), status=fault.status, headers=headers)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response

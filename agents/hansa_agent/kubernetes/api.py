"""The API server of a cluster: requests with bounds on time and size, and answers as plain JSON.

Connection, certificates and tokens are the package kubernetes' business (``kubernetes.aio``); its models are not used,
because of the many objects of a large cluster only a few fields are of interest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from hansa_agent.kubernetes.connection import ApiSilent, Clients, Connect
from hansa_agent.kubernetes.names import MANAGER, Json
from hansa_agent.kubernetes.refusal import ApiRefused
from hansa_agent.kubernetes.served import Served
from hansa_agent.kubernetes.words import printable

PAGE_BYTES_MAX = 64 << 20
LINE_BYTES_MAX = 8 << 20
_NOT_FOUND = 404
JSON_TYPE, APPLY_TYPE = "application/json", "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True, slots=True)
class Sending:
    """How a request is sent."""

    headers: Mapping[str, str]
    timeout: aiohttp.ClientTimeout


class KubernetesApi:
    """One cluster. Connects when it is first needed, and anew after a token was refused."""

    def __init__(self, connect: Connect, timeout_s: float) -> None:
        self._clients = Clients(connect)
        self._timeout_s = timeout_s
        self.served = Served(self.get)

    async def close(self) -> None:
        """Ends all connections; the next request makes new ones."""
        await self._clients.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = JSON_TYPE) -> Json:
        """Reads; raises ``ApiSilent`` and ``ApiRefused``, as all requests do."""
        return await self._whole("GET", path, query or {}, accept=accept)

    async def dated(self, path: str) -> tuple[Json, str]:
        """What ``path`` says, and when the server says so: its header ``Date``; empty without one."""
        return await self._answered("GET", path, {})

    async def create(self, path: str, body: Json) -> Json:
        """Creates an object in the collection ``path``."""
        return await self._whole("POST", path, {"fieldManager": MANAGER}, body)

    async def apply(self, path: str, body: Json, *, force: bool = False) -> Json:
        """Server-side apply; ``force`` takes fields over from other managers."""
        query = {"fieldManager": MANAGER, "force": str(force).lower()}
        return await self._whole("PATCH", path, query, body, content_type=APPLY_TYPE)

    async def delete(self, path: str, options: Json) -> Json:
        """Deletes with ``DeleteOptions``."""
        return await self._whole("DELETE", path, {}, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    async def pages(
        self, path: str, query: Mapping[str, str], limit: int, accept: str = JSON_TYPE
    ) -> AsyncGenerator[Json, None]:
        """A list, page by page."""
        more = ""
        while True:
            page = await self.get(path, {**query, "limit": str(limit), **({"continue": more} if more else {})}, accept)
            yield page
            more = str((page.get("metadata") or {}).get("continue") or "")
            if not more:
                return

    async def lines(self, path: str, query: Mapping[str, str], silence_s: float) -> AsyncGenerator[Json, None]:
        """What a watch tells, until it ends; over ``silence_s`` without a word is ``ApiSilent``.

        The first is an empty object: the server has taken the watch on.
        """
        how = Sending({"Accept": JSON_TYPE}, aiohttp.ClientTimeout(sock_connect=self._timeout_s, sock_read=silence_s))
        try:
            async with self._sent("GET", path, query, None, how) as response:
                yield {}
                async for line in _lines(response):
                    yield json.loads(line)
        except (*_NO_ANSWER, ValueError) as error:
            raise _silent(error) from error

    async def _whole(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        **types: str,
    ) -> Json:
        found, _ = await self._answered(method, path, query, body, **types)
        return found

    async def _answered(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        **types: str,
    ) -> tuple[Json, str]:
        headers = {"Accept": types.get("accept", JSON_TYPE), "Content-Type": types.get("content_type", JSON_TYPE)}
        how = Sending(headers, aiohttp.ClientTimeout(total=self._timeout_s))
        try:
            async with self._sent(method, path, query, body, how) as response:
                found: Json = json.loads(await _bounded(response))
                return found, response.headers.get("Date", "")
        except (*_NO_ANSWER, ValueError) as error:
            raise _silent(error) from error

    @contextlib.asynccontextmanager
    async def _sent(
        self, method: str, path: str, query: Mapping[str, str], body: Json | None, how: Sending
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The answer, if it is none that refuses."""
        asked, path = path, await self.served.path(path)
        async with self._clients.lent(self._timeout_s) as client:
            async with asyncio.timeout(self._timeout_s):
                request = await client.param_serialize(
                    method,
                    path,
                    query_params=list(query.items()),
                    header_params=dict(how.headers),
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = (await client.call_api(*request, _request_timeout=how.timeout)).response
            try:
                if response.status >= 400:
                    if response.status == _NOT_FOUND and asked != path:
                        self.served.forget(path)
                    raise await self._refusal(response, client)
                yield response
            finally:
                response.close()

    async def _refusal(self, response: aiohttp.ClientResponse, client: Any) -> ApiRefused:
        if response.status == 401:
            self._clients.replace(client)
        try:
            async with asyncio.timeout(self._timeout_s):
                told = json.loads(await response.content.read(64 << 10))
        except ValueError:
            told = {}
        told = told if isinstance(told, dict) else {}
        after = response.headers.get("Retry-After", "")
        retry_after_s = min(float(after), 300.0) if after.isdecimal() else 0.0
        message = str(told.get("message") or response.reason or "")
        return ApiRefused(response.status, str(told.get("reason", "")), message, retry_after_s)


_NO_ANSWER = (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError)


def _silent(error: BaseException) -> ApiSilent:
    if isinstance(error, TimeoutError):
        return ApiSilent("the API server does not answer in time")
    return ApiSilent(printable(f"no answer from the API server: {str(error) or type(error).__name__}"))


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > PAGE_BYTES_MAX:
            raise ValueError("the answer is too long")
    return bytes(read)


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if line.strip():
                yield line
        if len(rest) > LINE_BYTES_MAX:
            raise ValueError("a line of a watch is too long")

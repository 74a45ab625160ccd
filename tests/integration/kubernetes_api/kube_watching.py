"""Watches: what changed after a resource version, bookmarks, and the end of those that are too old."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from aiohttp import web
from kubernetes_api.kube_kinds import ApiError, Json, Kind
from kubernetes_api.kube_selectors import selects
from kubernetes_api.kube_store import Change, Store


@dataclass
class Watching:
    """All open watches; ``cut`` breaks them, and what is in ``deaf``, by plural, hears of no change."""

    store: Store
    bookmark_interval_s: float = 0.2
    open: set[asyncio.Task[object]] = field(default_factory=set)
    transports: set[asyncio.BaseTransport] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)

    def cut(self) -> None:
        """Breaks every watch."""
        for transport in list(self.transports):
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    async def serve(self, request: web.Request, kind: Kind, namespace: str) -> web.StreamResponse:
        since = self._since(request)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None and request.transport is not None
        transport = request.transport
        self.open.add(task)
        self.transports.add(transport)
        follower = _Follower(self, response, request, kind, namespace)
        self.store.listeners.append(follower.woken.set)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "300"))):
                await follower.follow(since)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self.store.listeners.remove(follower.woken.set)
            self.open.discard(task)
            self.transports.discard(transport)
        return response

    def _since(self, request: web.Request) -> int:
        asked = request.query.get("resourceVersion", "")
        return int(asked) if asked not in ("", "0") else -1


class _Follower:
    def __init__(
        self, watching: Watching, response: web.StreamResponse, request: web.Request, kind: Kind, namespace: str
    ) -> None:
        self._watching = watching
        self._store = watching.store
        self._response = response
        self._kind = kind
        self._namespace = namespace
        self._labels = request.query.get("labelSelector", "")
        self._fields = request.query.get("fieldSelector", "")
        self._bookmarks = request.query.get("allowWatchBookmarks", "") in ("1", "true")
        self.woken = asyncio.Event()

    async def follow(self, since: int) -> None:
        if since < 0:
            for body in self._store.all(self._kind.plural, self._namespace):
                if selects(self._labels, self._fields, body):
                    await self._tell("ADDED", body)
            since = self._store.version
        while True:
            if since < self._store.compacted:
                error = ApiError(410, "Expired", f"too old resource version: {since} ({self._store.compacted})")
                return await self._tell("ERROR", error.body())
            since = await self._tell_changes(since)
            await self._wait(since)

    async def _tell_changes(self, since: int) -> int:
        first = next((index for index, each in enumerate(self._store.log) if each.version > since), None)
        if first is None or self._kind.plural in self._watching.deaf:
            return since
        for change in self._store.log[first:]:
            since = change.version
            type_ = self._seen_as(change)
            if type_:
                await self._tell(type_, change.body)
        return since

    def _seen_as(self, change: Change) -> str:
        if change.kind != self._kind.plural:
            return ""
        if self._namespace not in ("", change.body["metadata"].get("namespace", "")):
            return ""
        now = selects(self._labels, self._fields, change.body)
        before = change.before is not None and selects(self._labels, self._fields, change.before)
        if change.type == "DELETED":
            return "DELETED" if before else ""
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    async def _wait(self, since: int) -> None:
        self.woken.clear()
        if self._store.log and self._store.log[-1].version > since and self._kind.plural not in self._watching.deaf:
            return
        try:
            async with asyncio.timeout(self._watching.bookmark_interval_s):
                await self.woken.wait()
        except TimeoutError:
            if self._bookmarks:
                meta = {"resourceVersion": str(since), "creationTimestamp": None}
                await self._tell(
                    "BOOKMARK", {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": meta}
                )

    async def _tell(self, type_: str, body: Json) -> None:
        line = json.dumps({"type": type_, "object": body}) + "\n"
        await self._response.write(line.encode())

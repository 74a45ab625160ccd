"""Keeps a local view of one kind of objects: lists it page by page, then watches what changes, for ever.

A watch is resumed where it ended, bookmarks move that point forward, and a point that has become too old (410) leads
to a new list. https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.refusal import ApiRefused
from hansa_agent.ports import Clock, Random

PAGE_LIMIT = 500
SPARE_S = 15.0
_BACKOFF_S_MIN, _BACKOFF_S_MAX = 0.25, 30.0
_GONE = 410
_NOT_SHOWN = (403, 404)
_SOON_MS = 5_000
_ABSENT = "absent"
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
"""What objects of another shape than promised lead to."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Time and chance."""

    clock: Clock
    random: Random


class View(Protocol):
    """What a follower writes to. Keys are the view's own."""

    def put(self, body: Mapping[str, Any]) -> str:
        """An object is there, new or changed; its key."""

    def drop(self, key: str) -> None:
        """The object is there no more."""

    def key(self, body: Mapping[str, Any]) -> str:
        """The key of an object."""

    def keys(self) -> Collection[str]:
        """What is there."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What is followed: a collection, narrowed by selectors, each watch for about ``watch_s`` seconds.

    An ``optional`` one that the server does not have (404), or does not show (403), is as good as empty, and is asked
    for again after ``absent_s``.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    watch_s: float = 50.0
    optional: bool = False
    absent_s: float = 300.0


class Follower:
    """Follows one collection; ``changed`` is called after every change, and when contact is lost or found again."""

    def __init__(
        self, api: KubernetesApi, followed: Followed, view: View, changed: Callable[[], None], clock: Clock
    ) -> None:
        self._api = api
        self._followed = followed
        self._view = view
        self._changed = changed
        self._clock = clock
        self._version = ""
        self._failures = 0
        self._expired_at_ms: int | None = None
        self.trouble = ""
        self.silent_since_ms: int | None = None

    @property
    def fresh(self) -> bool:
        """Whether what the view shows is what there was a moment ago."""
        return bool(self._version) and not self.trouble

    async def relist(self) -> None:
        """Brings the view up to date at once; raises ``ApiSilent`` and ``ApiRefused``."""
        try:
            seen, version = await self._listed()
        except ApiRefused as refused:
            if not self._followed.optional or refused.status not in _NOT_SHOWN:
                raise
            seen, version = set(), _ABSENT
        for key in sorted(set(self._view.keys()) - seen):
            self._view.drop(key)
        self._version = version
        self._in_contact()
        self._changed()

    async def _listed(self) -> tuple[set[str], str]:
        seen: set[str] = set()
        version = ""
        async with aclosing(self._api.pages(self._followed.path, self._followed.query, PAGE_LIMIT)) as pages:
            async for page in pages:
                seen.update(self._view.put(body) for body in page.get("items") or [])
                version = str(page["metadata"]["resourceVersion"])
        return seen, version

    async def run(self, random: Random) -> None:
        """Follows until it is cancelled; whatever the platform does only costs time."""
        while True:
            try:
                if not self._version:
                    await self.relist()
                began_ms = self._clock.now().monotonic_ms
                if self._version == _ABSENT:
                    await self._clock.sleep(self._followed.absent_s)
                    self._version = ""
                    continue
                await self._watch(random)
                # A server that ends every watch at once is not to be asked without pause.
                brief = self._clock.now().monotonic_ms - began_ms < 1_000
                await self._clock.sleep(random.uniform(0.1, 0.3) if brief else 0.0)
            except (ApiSilent, ApiRefused) as error:
                await self._bear(error, random)
            except UNREADABLE as error:
                await self._bear(ApiSilent(f"an answer that cannot be read: {error!r}"), random)

    async def _watch(self, random: Random) -> None:
        watch_s = random.uniform(0.8, 1.0) * self._followed.watch_s
        query = {
            **self._followed.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, int(watch_s))),
        }
        async with aclosing(self._api.lines(self._followed.path, query, watch_s + SPARE_S)) as events:
            async for event in events:
                self._take(event)
                self._in_contact()
        self._in_contact()

    def _take(self, event: Mapping[str, Any]) -> None:
        if not event:
            return
        kind, body = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise ApiRefused(int(body.get("code", 500)), str(body.get("reason")), str(body.get("message")))
        if kind in ("ADDED", "MODIFIED"):
            self._view.put(body)
        elif kind == "DELETED":
            self._view.drop(self._view.key(body))
        self._version = str((body.get("metadata") or {}).get("resourceVersion") or self._version)
        if kind != "BOOKMARK":
            self._changed()

    def _in_contact(self) -> None:
        self._failures = 0
        if self.trouble or self.silent_since_ms is not None:
            self.trouble, self.silent_since_ms = "", None
            self._changed()

    async def _expire(self, random: Random) -> None:
        """The point to resume at is too old: everything is listed anew, at once unless that was a moment ago."""
        now_ms = self._clock.now().monotonic_ms
        soon = self._expired_at_ms is not None and now_ms - self._expired_at_ms < _SOON_MS
        self._version, self._expired_at_ms = "", now_ms
        await self._clock.sleep(random.uniform(1.0, 2.0) if soon else 0.0)

    async def _bear(self, error: ApiSilent | ApiRefused, random: Random) -> None:
        if isinstance(error, ApiRefused) and error.status == _GONE:
            return await self._expire(random)
        if isinstance(error, ApiRefused) and self._followed.optional and error.status in _NOT_SHOWN:
            # What was there has been taken away: the next list tells that nothing is left.
            return await self._expire(random)
        self._failures += 1
        self.trouble = str(error)
        if self.silent_since_ms is None:
            self.silent_since_ms = self._clock.now().monotonic_ms
        self._changed()
        longest_s = min(_BACKOFF_S_MIN * 2 ** min(self._failures, 10), _BACKOFF_S_MAX)
        asked_s = error.retry_after_s if isinstance(error, ApiRefused) else 0.0
        await self._clock.sleep(max(asked_s, longest_s * random.uniform(0.5, 1.0)))

"""The inventory of a cluster, by list and watch of its nodes and pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from hansa.v1.common_pb2 import Capacity
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.books import SOURCE, Books
from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.follower import UNREADABLE, Followed, Follower, Outside
from hansa_agent.kubernetes.names import is_ours
from hansa_agent.kubernetes.refusal import ApiRefused
from hansa_agent.kubernetes.words import printable
from hansa_agent.ports import Machine

PAUSE_S = 0.2
"""At least this long between two sums, however much changes."""
PODS_THAT_HOLD = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True, slots=True)
class NodesView:
    """Nodes, into the books."""

    books: Books

    def put(self, body: Mapping[str, Any]) -> str:
        return self.books.put_node(body)

    def drop(self, key: str) -> None:
        self.books.drop_node(key)

    def key(self, body: Mapping[str, Any]) -> str:
        return str(body["metadata"]["name"])

    def keys(self) -> Collection[str]:
        return self.books.node_names()


@dataclass(frozen=True, slots=True)
class PodsView:
    """Pods, into the books."""

    books: Books

    def put(self, body: Mapping[str, Any]) -> str:
        return self.books.put_pod(body)

    def drop(self, key: str) -> None:
        self.books.drop_pod(key)

    def key(self, body: Mapping[str, Any]) -> str:
        return str(body["metadata"]["uid"])

    def keys(self) -> Collection[str]:
        return self.books.pod_uids()


@dataclass(frozen=True, slots=True)
class SlicesView:
    """ResourceSlices of dynamic resource allocation, into the books."""

    books: Books

    def put(self, body: Mapping[str, Any]) -> str:
        return self.books.slices.put(body)

    def drop(self, key: str) -> None:
        self.books.slices.drop(key)

    def key(self, body: Mapping[str, Any]) -> str:
        return str(body["metadata"]["name"])

    def keys(self) -> Collection[str]:
        return self.books.slices.names()


class KubernetesSource:
    """What the cluster has for instances of ``zone``."""

    def __init__(self, section: KubernetesSection, zone: str, api: KubernetesApi, outside: Outside) -> None:
        def is_own(body: Mapping[str, Any]) -> bool:
            return body["metadata"].get("namespace") == section.namespace and is_ours(body, zone)

        self._api = api
        self._clock = outside.clock
        self._random = outside.random
        self._unsound_after_ms = int(section.unsound_after_s * 1_000)
        self._books = Books(section.tolerate, is_own)
        self._changed = asyncio.Event()
        self._known = self._watching = False
        self._why = "the cluster is not read yet"
        selector = ",".join(f"{key}={value}" for key, value in sorted(section.node_selector.items()))
        nodes = Followed("/api/v1/nodes", {"labelSelector": selector} if selector else {}, section.watch_s)
        pods = Followed("/api/v1/pods", {"fieldSelector": PODS_THAT_HOLD}, section.watch_s)
        slices = Followed("/apis/resource.k8s.io/v1/resourceslices", {}, section.watch_s, optional=True)
        told = self._changed.set
        self._followers = (
            Follower(api, nodes, NodesView(self._books), told, outside.clock),
            Follower(api, pods, PodsView(self._books), told, outside.clock),
            Follower(api, slices, SlicesView(self._books), told, outside.clock),
        )

    async def read(self) -> Machine:
        if self._watching:
            return self._seen()
        try:
            for follower in self._followers:
                await follower.relist()
        except (ApiSilent, ApiRefused) as error:
            self._why = str(error)
        except UNREADABLE as error:
            self._why = f"an answer that cannot be read: {error!r}"
        else:
            self._known = True
            return self._books.machine()
        return self._doubtful(self._why)

    async def watch(self, found: Callable[[Machine], None]) -> None:
        self._watching = True
        try:
            async with asyncio.TaskGroup() as group:
                for follower in self._followers:
                    group.create_task(follower.run(self._random))
                await self._tell(found)
        finally:
            self._watching = False
            await self.close()

    async def close(self) -> None:
        """Ends all connections; they come back when they are needed."""
        await self._api.close()

    async def _tell(self, found: Callable[[Machine], None]) -> None:
        told: Machine | None = None
        while True:
            machine = self._seen()
            if machine != told:
                told = machine
                found(machine)
            await self._clock.sleep(PAUSE_S)
            await self._change()

    async def _change(self) -> None:
        """Waits for a change, or, in silence, for the moment at which it has lasted too long."""
        waited_s = self._unsound_after_ms / 1_000 if self._silence_ms() is not None else None
        with suppress(TimeoutError):
            async with asyncio.timeout(waited_s):
                await self._changed.wait()
        self._changed.clear()

    def _seen(self) -> Machine:
        silence_ms = self._silence_ms()
        if silence_ms is None:
            self._known = self._known or all(follower.fresh for follower in self._followers)
            return self._books.machine() if self._known else self._doubtful(self._why)
        if self._known and silence_ms < self._unsound_after_ms:
            return self._books.machine()
        return self._doubtful(next(follower.trouble for follower in self._followers if follower.trouble))

    def _silence_ms(self) -> int | None:
        now_ms = self._clock.now().monotonic_ms
        since = [each.silent_since_ms for each in self._followers if each.silent_since_ms is not None]
        return now_ms - min(since) if since else None

    def _doubtful(self, why: str) -> Machine:
        """The last that is known; the first of it may be half a list, which is nothing to count with."""
        machine = self._books.machine() if self._known else Machine(Capacity(), (), SOURCE)
        return replace(machine, trouble=printable(why), unsound=True)

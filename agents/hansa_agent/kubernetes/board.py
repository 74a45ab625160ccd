"""The agent's view of what it made on a cluster: anchors, deployments, pods and services of one zone, kept fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from hansa.v1.common_pb2 import Capacity
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.kubernetes import routes
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.follower import UNREADABLE, Followed, Follower
from hansa_agent.kubernetes.names import INSTANCE, ORDERED, label_value, zone_selector
from hansa_agent.kubernetes.pods import holds
from hansa_agent.kubernetes.refusal import ApiRefused
from hansa_agent.kubernetes.shapes import inference_services
from hansa_agent.ports import Clock, Random
from hansa_agent.strays import ordered_in

ABSENT_S = 5.0
Body = Mapping[str, Any]


class Shelf:
    """Objects of one kind by name."""

    def __init__(self) -> None:
        self.bodies: dict[str, Body] = {}

    def put(self, body: Body) -> str:
        name = self.key(body)
        meta = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
        self.bodies[name] = {key: value for key, value in body.items() if key != "data"} | {"metadata": meta}
        return name

    def drop(self, key: str) -> None:
        self.bodies.pop(key, None)

    def key(self, body: Body) -> str:
        return str(body["metadata"]["name"])

    def keys(self) -> Collection[str]:
        return self.bodies.keys()


class Board:
    """What there is of a zone's instances, by name; true as of a moment ago while it is ``fresh``."""

    def __init__(self, api: KubernetesApi, zone: str, section: KubernetesSection, clock: Clock) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self.anchors, self.deployments, self.pods, self.services = Shelf(), Shelf(), Shelf(), Shelf()
        self.routes, self.gateways, self.inference = Shelf(), Shelf(), Shelf()
        self._followers = tuple(
            Follower(api, followed, shelf, self._changed, clock) for followed, shelf in self._followed(zone, section)
        )

    def _followed(self, zone: str, section: KubernetesSection) -> Iterator[tuple[Followed, Shelf]]:
        namespace, query, watch_s = section.namespace, {"labelSelector": zone_selector(zone)}, section.watch_s
        yield Followed(f"/api/v1/namespaces/{namespace}/configmaps", query, watch_s), self.anchors
        yield Followed(f"/apis/apps/v1/namespaces/{namespace}/deployments", query, watch_s), self.deployments
        yield Followed(f"/api/v1/namespaces/{namespace}/pods", query, watch_s), self.pods
        yield Followed(f"/api/v1/namespaces/{namespace}/services", query, watch_s), self.services
        # What defines them may be installed after the agent, and taken away: the instances have not ended then.
        late: dict[str, Any] = {"watch_s": watch_s, "optional": True, "absent_s": ABSENT_S}
        if section.kserve:
            yield Followed(inference_services(namespace), query, **late), self.inference
        if section.route is not None:
            yield Followed(routes.collection(section.route, namespace), query, **late), self.routes
        if section.route is not None and section.route.gateway is not None:
            chosen = {"fieldSelector": f"metadata.name={section.route.gateway.name}"}
            yield Followed(routes.gateways(section.route.gateway), chosen, **late), self.gateways

    @property
    def fresh(self) -> bool:
        """Whether every part of it is up to date."""
        return all(follower.fresh for follower in self._followers)

    @property
    def trouble(self) -> str:
        """Why it is not, if known."""
        return next((follower.trouble for follower in self._followers if follower.trouble), "")

    async def refresh(self) -> None:
        """Looks once at everything; what does not answer is left as it was."""
        with suppress(ApiSilent, ApiRefused, *UNREADABLE):
            for follower in self._followers:
                await follower.relist()

    async def run(self, random: Random) -> None:
        """Keeps it fresh until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for follower in self._followers:
                group.create_task(follower.run(random))

    def pods_of(self, instance: str) -> list[Body]:
        """The pods of an instance, by name."""
        wanted = label_value(instance)
        return [pod for _, pod in sorted(self.pods.bodies.items()) if _borne(pod) == wanted]

    def left_over(self, named: Collection[str]) -> list[Capacity]:
        """What pods were ordered with that hold something and are of no instance that is named."""
        wanted = {label_value(instance) for instance in named}
        held = [pod for _, pod in sorted(self.pods.bodies.items()) if holds(pod) and _borne(pod) not in wanted]
        return [ordered_in((pod["metadata"].get("annotations") or {}).get(ORDERED, "")) for pod in held]

    async def until(self, predicate: Callable[[], bool], patience_s: float) -> None:
        """Waits until ``predicate`` holds, or ``patience_s`` have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not predicate():
                    await self._change()

    async def _change(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _changed(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


def _borne(pod: Body) -> str:
    return str((pod["metadata"].get("labels") or {}).get(INSTANCE, ""))

"""An instance that runs as a Deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.kubernetes import routes
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.board import Board
from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.endpoint import endpoint_of, route_url
from hansa_agent.kubernetes.names import ANCHOR, ORDER_DIGEST, is_ours, object_name, order_digest, shape_of, token_of
from hansa_agent.kubernetes.refusal import ApiRefused, NotServed
from hansa_agent.kubernetes.shapes import inference_services, missing
from hansa_agent.kubernetes.trouble import trouble_of
from hansa_agent.kubernetes.unfinished import Unfinished
from hansa_agent.kubernetes.words import printable
from hansa_agent.ports import Clock, PlatformSilent

CONFIRM_S = 5.0
PAUSE_S = 0.5
EVENTS_S = 5.0
KILL_GRACE_S = 1
"""Zero would only strike the pod from the books of the API server, without the node having ended it."""
KSERVE = "kserve"
_NOT_FOUND, _CONFLICT = 404, 409


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What instances of one zone share."""

    api: KubernetesApi
    board: Board
    zone: str
    section: KubernetesSection
    clock: Clock

    @property
    def namespace(self) -> str:
        return self.section.namespace

    def anchor_path(self, instance: str) -> str:
        """Of the ConfigMap."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps/{object_name(self.zone, instance)}"

    def workloads(self, anchor: Mapping[str, Any]) -> str:
        """Where that is what runs under an anchor."""
        if shape_of(anchor) == KSERVE:
            return inference_services(self.namespace)
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments"

    async def end(self, instance: str, uid: str) -> None:
        """Deletes all of an instance, the anchor last; nothing to do if it is gone or another one's by now."""
        options: dict[str, Any] = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            await self.api.delete(self.anchor_path(instance), options)
        except ApiRefused as refused:
            if refused.status not in (_NOT_FOUND, _CONFLICT):
                raise

    async def uid_of(self, instance: str, token: int) -> str:
        """Of the anchor, if this zone made it under an order no newer than ``token``; else empty."""
        try:
            anchor = await self.api.get(self.anchor_path(instance))
        except ApiRefused as refused:
            if refused.status == _NOT_FOUND:
                return ""
            raise
        own = is_ours(anchor, self.zone) and token_of(anchor) <= token
        return str(anchor["metadata"]["uid"]) if own else ""


class RunningDeployment:
    """``uid`` is the anchor's. ``unfinished`` is what the cluster still refuses to have made."""

    def __init__(self, around: Surroundings, order: DesiredInstance, uid: str) -> None:
        instance = order.instance
        self._around = around
        self._instance = instance
        self._digest = order_digest(order)
        self._uid = uid
        self._name = object_name(around.zone, instance)
        self._events: list[Mapping[str, Any]] = []
        self._events_at_ms: int | None = None
        self._deployed = self._told_to_end = False
        self._last_trouble = ""
        self.unfinished: Unfinished | None = None

    async def exited(self) -> str:
        while True:
            await self._around.board.until(self._looks_gone, CONFIRM_S)
            if gone := await self._confirmed():
                return printable(f"{gone}, which had said: {self._last_trouble}") if self._last_trouble else gone
            if self._looks_gone():
                await self._around.clock.sleep(PAUSE_S)

    async def ready(self) -> bool:
        if self.unfinished is not None:
            if not await self.unfinished.done():
                return False
            self.unfinished = None
        if not self._around.board.fresh:
            return False
        if self._is_ready():
            return bool(self.endpoint_url)
        await self._read_events()
        return False

    async def unready(self) -> str:
        board = self._around.board
        while not self._ceased():
            await board.until(self._ceased, 3_600.0)
        return self.trouble or "its pod is not ready any more"

    async def terminate(self) -> None:
        self._told_to_end = True
        self._last_trouble = self.trouble or self._last_trouble
        try:
            await self._around.end(self._instance, self._uid)
        except (ApiSilent, ApiRefused) as error:
            raise PlatformSilent(str(error)) from error

    async def kill(self) -> None:
        await self.terminate()
        try:
            for pod in self._around.board.pods_of(self._instance):
                path = f"/api/v1/namespaces/{self._around.namespace}/pods/{quote(pod['metadata']['name'])}"
                await self._delete_pod(path, pod["metadata"]["uid"])
        except ApiSilent as error:
            raise PlatformSilent(str(error)) from error

    @property
    def silent(self) -> bool:
        return not self._around.board.fresh

    @property
    def trouble(self) -> str:
        board = self._around.board
        if self.unfinished is not None:
            return printable(self.unfinished.why)
        if not board.fresh:
            return board.trouble
        if self._pods_ready():
            return printable(self._missing())
        made_by_kserve = board.deployments.bodies.get(f"{self._name}-predictor")
        deployment = board.deployments.bodies.get(self._name) or made_by_kserve
        of_pods = trouble_of(deployment, board.pods_of(self._instance), self._events)
        return of_pods or printable(self._missing_of_shape())

    @property
    def endpoint_url(self) -> str:
        section, service = self._around.section, self._around.board.services.bodies.get(self._name)
        if section.route is not None:
            return "" if self._missing_of_route() else route_url(section.route, self._name)
        return endpoint_of(section.service, service, self._pods_ready(), self._instance) if service else ""

    def _missing(self) -> str:
        """What keeps clients of pods that are ready from being served."""
        return self._missing_of_shape() or self._missing_of_route()

    def _is_of_kserve(self) -> bool:
        anchor = self._around.board.anchors.bodies.get(self._name)
        return anchor is not None and shape_of(anchor) == KSERVE

    def _missing_of_shape(self) -> str:
        """What KServe says, of an instance that it runs."""
        return missing(self._around.board.inference.bodies.get(self._name)) if self._is_of_kserve() else ""

    def _missing_of_route(self) -> str:
        """What keeps clients from getting through its route, if it has one."""
        route, board = self._around.section.route, self._around.board
        if route is None:
            return ""
        gateway = board.gateways.bodies.get(route.gateway.name) if route.gateway is not None else None
        return routes.missing(route, board.routes.bodies.get(self._name), gateway)

    def _ceased(self) -> bool:
        """Not ready, as far as is known; one that was told to end is not worth a word."""
        return self._around.board.fresh and not self._told_to_end and not self._is_ready()

    def _is_ready(self) -> bool:
        anchor = self._around.board.anchors.bodies.get(self._name)
        ending = anchor is None or anchor["metadata"].get("deletionTimestamp")
        return not ending and bool(self._pods_ready()) and not self._missing()

    def _pods_ready(self) -> list[Mapping[str, Any]]:
        return [pod for pod in self._around.board.pods_of(self._instance) if self._serves(pod)]

    def _serves(self, pod: Mapping[str, Any]) -> bool:
        meta, status = pod["metadata"], pod.get("status") or {}
        marks = meta.get("annotations") or {}
        current = marks.get(ORDER_DIGEST) == self._digest and marks.get(ANCHOR) == self._uid
        conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or []}
        return current and not meta.get("deletionTimestamp") and conditions.get("Ready") == "True"

    def _looks_gone(self) -> bool:
        board = self._around.board
        if not board.fresh:
            return False
        anchor = board.anchors.bodies.get(self._name)
        if anchor is None or self._uid != anchor["metadata"]["uid"]:
            return True
        there = self._name in (board.inference if self._is_of_kserve() else board.deployments).bodies
        self._deployed = self._deployed or there
        return self._deployed and not there and not anchor["metadata"].get("deletionTimestamp")

    async def _confirmed(self) -> str:
        """How it ended, if the platform says so just now: what is seen in passing may lag behind."""
        if not self._looks_gone():
            return ""
        try:
            anchor = await self._around.api.get(self._around.anchor_path(self._instance))
            if not is_ours(anchor, self._around.zone) or self._uid != anchor["metadata"]["uid"]:
                return "replaced by something else on the cluster"
            if anchor["metadata"].get("deletionTimestamp"):
                return ""
            await self._around.api.get(f"{self._around.workloads(anchor)}/{self._name}")
        except ApiRefused as refused:
            gone = refused.status == _NOT_FOUND and not isinstance(refused, NotServed)
            return "deleted from the cluster" if gone else ""
        except ApiSilent:
            return ""
        return ""

    async def _read_events(self) -> None:
        """Events of the instance's pods, now and then: they alone tell of a volume that cannot be mounted."""
        now_ms = self._around.clock.now().monotonic_ms
        if self._events_at_ms is not None and now_ms - self._events_at_ms < EVENTS_S * 1_000:
            return
        self._events_at_ms = now_ms
        found: list[Mapping[str, Any]] = []
        for pod in self._around.board.pods_of(self._instance):
            query = {"fieldSelector": f"involvedObject.uid={pod['metadata']['uid']}", "limit": "50"}
            try:
                page = await self._around.api.get(f"/api/v1/namespaces/{self._around.namespace}/events", query)
            except (ApiSilent, ApiRefused):
                return
            found.extend(page.get("items") or [])
        self._events = found

    async def _delete_pod(self, path: str, uid: str) -> None:
        options = {"gracePeriodSeconds": KILL_GRACE_S, "preconditions": {"uid": uid}}
        try:
            await self._around.api.delete(path, options)
        except ApiRefused as refused:
            if refused.status not in (_NOT_FOUND, _CONFLICT):
                raise PlatformSilent(str(refused)) from refused

"""A Kubernetes cluster to test against: a stateful API server on a local port with its controllers.

Bodies are checked with the official models, so that what it takes a real server of that release understands, too.
"""

from __future__ import annotations

import contextlib
import email.utils
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from aiohttp.typedefs import Handler
from hansa_agent.system import SystemClock
from kubernetes_api.kube_access import Access
from kubernetes_api.kube_controllers import Controllers, defaults
from kubernetes_api.kube_faults import Faults
from kubernetes_api.kube_kinds import BY_PLURAL, ApiError, Json
from kubernetes_api.kube_rest import Rest, discovery, group_of, resources
from kubernetes_api.kube_store import Store
from kubernetes_api.kube_watching import Watching

NAMESPACE = "hansa"
REVIEWS = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]


class Cluster:
    """What tests hold: the store, what its controllers are to do, what is to go wrong."""

    def __init__(self) -> None:
        self.store = Store()
        self.controllers = Controllers(self.store)
        self.faults = Faults()
        self.watching = Watching(self.store)
        self.rest = Rest(self.store, defaults)
        self.access = Access()
        self.version = {"major": "1", "minor": "37", "gitVersion": "v1.37.1"}
        self.ahead_s = 0
        self.port = 0
        self._runner: web.AppRunner | None = None
        self.put("namespaces", {"metadata": {"name": NAMESPACE}})

    def put(self, plural: str, body: Json) -> Json:
        """Creates an object, or replaces the one of its name, as somebody else of the cluster."""
        kind = BY_PLURAL[plural]
        whole = {"apiVersion": kind.api_version, "kind": kind.kind} | body
        kind.check(whole)
        defaults(self.store, kind, whole)
        meta = whole["metadata"]
        held = (plural, meta.get("namespace", ""), meta["name"]) in self.store.objects
        written = self.store.replace(kind, whole) if held else self.store.create(kind, whole)
        self.controllers.settle()
        return written

    def drop(self, plural: str, name: str, namespace: str = "") -> None:
        """Removes an object at once."""
        self.store.remove((plural, namespace, name))
        self.controllers.settle()

    def names(self, plural: str, namespace: str = NAMESPACE) -> list[str]:
        return [body["metadata"]["name"] for body in self.store.all(plural, namespace)]

    def kubeconfig(self, folder: Path, token: str = "agent-token") -> Path:
        """A kubeconfig file that leads here."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "agent", "user": {"token": token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "agent", "namespace": NAMESPACE}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    async def start(self) -> None:
        app = web.Application(middlewares=[_answering, self._guarded], client_max_size=4 << 20)
        app.on_response_prepare.append(self._dated)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            self.watching.cut()
            await self._runner.cleanup()
            self._runner = None

    async def _dated(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = email.utils.formatdate(
            SystemClock().now().wall_ms / 1_000 + self.ahead_s, usegmt=True
        )

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await self.faults.around(request, handler)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        parts = request.match_info["path"].strip("/").split("/")
        if parts == ["version"]:
            self.access.authenticate(request)
            return web.json_response(self.version)
        if parts == REVIEWS and request.method == "POST":
            return web.json_response(self.access.review(await request.json()), status=201)
        if parts in (["api"], ["apis"]):
            return web.json_response(discovery(self.rest.served) if parts == ["apis"] else {"versions": ["v1"]})
        if parts[0] == "apis" and len(parts) == 2:
            return web.json_response(group_of(self.rest.served, parts[1]))
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        if not rest:
            return web.json_response(resources(self.rest.served, group, version))
        namespaced = rest[0] == "namespaces" and len(rest) > 2
        namespace, rest = (rest[1], rest[2:]) if namespaced else ("", rest)
        kind = self.rest.kind(group, version, rest[0])
        self.access.check(request, kind, namespace, rest[1:])
        if request.query.get("watch") in ("1", "true"):
            return await self.watching.serve(request, kind, namespace)
        status, body = await self._answer(request, kind, namespace, rest[1:])
        return web.json_response(body, status=status)

    async def _answer(self, request: web.Request, kind: Any, namespace: str, rest: list[str]) -> tuple[int, Json]:
        raw = await request.read()
        name, subresource = (rest[0] if rest else ""), (rest[1] if len(rest) > 1 else "")
        if request.method == "GET":
            body = self.store.get(kind, namespace, name) if name else self.rest.list(kind, namespace, request.query)
            return 200, body
        if request.method == "POST":
            status, body = 201, self.rest.create(kind, namespace, raw)
        elif request.method == "PUT":
            status, body = 200, self.rest.replace(kind, raw, subresource=subresource)
        elif request.method == "PATCH":
            status, body = self.rest.patch(kind, (namespace, name), request, raw)
        elif request.method == "DELETE" and name:
            status, body = 200, self.rest.delete(kind, (namespace, name), request.query, raw)
        else:
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        self.controllers.settle()
        return status, body


@web.middleware
async def _answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status)


@contextlib.asynccontextmanager
async def fake_cluster() -> AsyncIterator[Cluster]:
    """A cluster that listens."""
    cluster = Cluster()
    await cluster.start()
    try:
        yield cluster
    finally:
        await cluster.stop()


def node(name: str, labels: dict[str, str] | None = None, **allocatable: str) -> Json:
    """A node that is ready; ``allocatable`` with underscores, gpu for nvidia.com/gpu."""
    has = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    has |= {{"gpu": "nvidia.com/gpu"}.get(key, key): value for key, value in allocatable.items()}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {},
        "status": {"allocatable": has, "capacity": has, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(name: str, node_name: str = "", namespace: str = "others", **requests: str) -> Json:
    """A pod of somebody else."""
    asked = {{"gpu": "nvidia.com/gpu"}.get(key, key): value for key, value in requests.items()}
    spec = {"containers": [{"name": "main", "image": "other", "resources": {"requests": asked}}]}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec | ({"nodeName": node_name} if node_name else {}),
    }

"""A container engine behind a real Unix socket: it keeps containers, listens on their ports, tells events, and fails
when it is told to. It speaks as docker does, or as podman 4.3.1 was seen to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiohttp import web
from engine_bodies import problem_of_docker, problem_of_podman

Answer = web.StreamResponse
Handler = Callable[[web.Request], Awaitable[Answer]]


class Fault(StrEnum):
    """What happens to a call. CUT: nothing is done and nothing answered; LOST: it is done and not answered; LATE: it is
    done and answered when nobody waits any more; BROKEN: nothing is done and 500 answered; CRASH_*: the agent is
    killed before or after it is done.
    """

    CUT = "cut"
    LOST = "lost"
    LATE = "late"
    BROKEN = "broken"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"


@dataclass
class Container:
    """One container; ``server`` listens while it runs."""

    id: str
    name: str
    image: str
    labels: dict[str, str]
    ports: list[tuple[str, int]]
    body: dict[str, Any]
    status: str = "created"
    code: int = 0
    paused: bool = False
    servers: list[asyncio.Server] = field(default_factory=list)


@dataclass
class FakeEngine:
    """``faults`` maps the number of a call, counted from 0 over all but streams, to what happens to it."""

    socket: Path
    dialect: str = "docker"
    images: set[str] = field(default_factory=set)
    pullable: set[str] = field(default_factory=set)
    faults: dict[int, Fault] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    containers: dict[str, Container] = field(default_factory=dict)
    made: int = 0
    most_running: int = 0
    ignores_term: bool = False
    deaf: bool = False

    def __post_init__(self) -> None:
        self._listeners: set[asyncio.Queue[str]] = set()
        self._runner: web.AppRunner | None = None
        self.crash = asyncio.Event()
        self.crashed = asyncio.Event()

    async def start(self) -> None:
        app = web.Application(middlewares=[self._misbehave])
        for prefix in ("/v1.40", "/v4.0.0/libpod"):
            app.add_routes(
                [
                    web.get(prefix + "/version", self._version),
                    web.get(prefix + "/images/{name:.+}/json", self._image),
                    web.post(prefix + "/images/create", self._pull),
                    web.post(prefix + "/containers/create", self._create),
                    web.get(prefix + "/containers/json", self._list),
                    web.get(prefix + "/containers/{id}/json", self._inspect),
                    web.get(prefix + "/containers/{id}/logs", self._logs),
                    web.post(prefix + "/containers/{id}/start", self._start),
                    web.post(prefix + "/containers/{id}/kill", self._kill),
                    web.delete(prefix + "/containers/{id}", self._delete),
                    web.get(prefix + "/events", self._events),
                ]
            )
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def stop(self) -> None:
        """The engine goes away; what runs goes on running."""
        for listener in self._listeners:
            listener.put_nowait("")
        if self._runner is not None:
            await self._runner.cleanup()
        self.socket.unlink(missing_ok=True)

    async def close(self) -> None:
        await self.stop()
        for container in self.containers.values():
            self._close_ports(container)

    def of(self, instance: str) -> list[Container]:
        return [each for each in self.containers.values() if each.labels.get("hansa.instance") == instance]

    def end(self, container: Container, code: int, *, event: str = "die") -> None:
        """A container ends by itself."""
        container.status, container.code = "exited", code
        self._close_ports(container)
        self._tell(event, container)

    def put(self, name: str, labels: dict[str, str], status: str = "running") -> Container:
        """A container that somebody else made."""
        self.made += 1
        container = Container(f"{self.made:064x}", name, "x@sha256:0", labels, [], {}, status)
        self.containers[container.id] = container
        return container

    def remove_silently(self, container: Container) -> None:
        """A container is gone and no event said so."""
        self._close_ports(container)
        del self.containers[container.id]

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Handler) -> Answer:
        if self.deaf:
            await asyncio.sleep(3600)
        if request.path.endswith("/events"):
            return await handler(request)
        number = len(self.calls)
        self.calls.append(f"{request.method} {request.path.rpartition('/')[2]}")
        fault = self.faults.get(number)
        if fault is Fault.BROKEN:
            return _error(500, "the engine is out of sorts")
        if fault is Fault.CUT:
            return _cut(request)
        if fault is Fault.CRASH_BEFORE:
            await self._crash()
            return _cut(request)
        done = await handler(request)
        if fault is Fault.LOST:
            return _cut(request)
        if fault is Fault.LATE:
            await asyncio.sleep(0.3)
        if fault is Fault.CRASH_AFTER:
            await self._crash()
        return done

    async def _crash(self) -> None:
        self.crash.set()
        await self.crashed.wait()

    async def _version(self, request: web.Request) -> Answer:
        name = "Podman Engine" if self.dialect == "podman" else "Engine"
        return web.json_response({"Components": [{"Name": name, "Version": "4.3.1"}], "ApiVersion": "1.41"})

    async def _image(self, request: web.Request) -> Answer:
        name = request.match_info["name"]
        if name not in self.images:
            return _error(404, f"No such image: {name}")
        return web.json_response({"Id": "sha256:1", "RepoDigests": [name]})

    async def _pull(self, request: web.Request) -> Answer:
        name = request.query["fromImage"]
        assert "@sha256:" in name, "images are fetched by digest alone"
        if name not in self.pullable:
            return web.Response(text='{"status":"Pulling"}\n{"error":"manifest unknown"}\n')
        self.images.add(name)
        return web.Response(text='{"status":"Pulling"}\n{"status":"Done"}\n')

    async def _create(self, request: web.Request) -> Answer:
        body = await request.json()
        is_own = "libpod" in request.path
        problem = problem_of_podman(body) if is_own else problem_of_docker(body)
        if problem:
            return _error(400, problem)
        name = body["name"] if is_own else request.query["name"]
        if any(each.name == name for each in self.containers.values()):
            status = 500 if self.dialect == "podman" else 409
            return _error(status, f'the container name "{name}" is already in use by container 1')
        self.made += 1
        image, labels = body["image" if is_own else "Image"], body["labels" if is_own else "Labels"]
        container = Container(f"{self.made:064x}", name, image, labels, _ports(body, is_own=is_own), body)
        self.containers[container.id] = container
        self._tell("create", container)
        return web.json_response({"Id": container.id, "Warnings": []}, status=201)

    async def _list(self, request: web.Request) -> Answer:
        wanted = json.loads(request.query["filters"])["label"]
        found = [each for each in self.containers.values() if all(_has(each, label) for label in wanted)]
        listed = [{"Id": e.id, "Names": [f"/{e.name}"], "Labels": e.labels, "State": e.status} for e in found]
        return web.json_response(listed)

    async def _inspect(self, request: web.Request) -> Answer:
        container = self._named(request)
        if container is None:
            return _error(404, "no such container")
        state = {
            "Status": "paused" if container.paused else container.status,
            "Running": container.status == "running",
            "Paused": container.paused,
            "ExitCode": container.code,
            "OOMKilled": container.code == 137,
            "Error": "",
        }
        config = {"Labels": container.labels}
        return web.json_response({"Id": container.id, "Name": f"/{container.name}", "State": state, "Config": config})

    async def _logs(self, request: web.Request) -> Answer:
        line = b"hello\n"
        return web.Response(body=b"\x01\0\0\0" + len(line).to_bytes(4, "big") + line)

    async def _start(self, request: web.Request) -> Answer:
        container = self._named(request)
        if container is None:
            return _error(404, "no such container")
        if container.status == "running":
            return web.Response(status=304)
        try:
            container.servers = [await asyncio.start_server(_hold, host, port) for host, port in container.ports]
        except OSError as error:
            return _error(500, f"cannot listen on the TCP port: {error}")
        container.status = "running"
        self.most_running = max(self.most_running, sum(e.status == "running" for e in self.containers.values()))
        self._tell("start", container)
        return web.Response(status=204)

    async def _kill(self, request: web.Request) -> Answer:
        container = self._named(request)
        if container is None:
            return _error(404, "no such container")
        if container.status != "running" or container.paused:
            return _error(500 if self.dialect == "podman" else 409, "container state improper")
        if request.query["signal"] == "SIGKILL" or not self.ignores_term:
            self.end(container, 137 if request.query["signal"] == "SIGKILL" else 143)
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> Answer:
        container = self._named(request)
        if container is None:
            return _error(404, "no such container")
        self._close_ports(container)
        del self.containers[container.id]
        self._tell("remove" if self.dialect == "podman" else "destroy", container)
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> Answer:
        answer = web.StreamResponse()
        await answer.prepare(request)
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(queue)
        with contextlib.suppress(ConnectionError):
            while line := await queue.get():
                await answer.write(line.encode())
        self._listeners.discard(queue)
        return answer

    def _tell(self, action: str, container: Container) -> None:
        event = {"Type": "container", "Action": action, "Actor": {"ID": container.id, "Attributes": container.labels}}
        for listener in self._listeners:
            listener.put_nowait(json.dumps(event) + "\n")

    def _named(self, request: web.Request) -> Container | None:
        name = request.match_info["id"]
        return next((each for each in self.containers.values() if name in (each.id, each.name)), None)

    def _close_ports(self, container: Container) -> None:
        for server in container.servers:
            server.close()
        container.servers = []


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


def _ports(body: dict[str, Any], *, is_own: bool) -> list[tuple[str, int]]:
    if is_own:
        return [(each["host_ip"], each["host_port"]) for each in body["portmappings"]]
    bound = body["HostConfig"]["PortBindings"].values()
    return [(each["HostIp"], int(each["HostPort"])) for bindings in bound for each in bindings]


def _has(container: Container, label: str) -> bool:
    name, _, value = label.partition("=")
    return name in container.labels and (not value or container.labels[name] == value)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

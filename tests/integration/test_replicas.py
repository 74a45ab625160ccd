"""Two control planes of one operator, as processes, on one PostgreSQL: the next leads on with all that was promised."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from control_harness import Operator, authority_of
from hansa_control.adapters.authority import KeyPair, Role, control_plane_host
from hansa_demo.postgres_server import PostgresServer
from real_command import DIGEST, SPEC

from hansa.client import Client
from hansa.profile import Profile
from hansa.spec_file import parse_workload_text

REPLICAS = ("op-0", "op-1")
LEASE_MS = 1_500


class Replicas:
    """Control planes of one operator, started and killed by name."""

    def __init__(self, folder: Path, url: str, authority: KeyPair) -> None:
        self.folder = folder
        self._url = url
        self._authority = authority
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._logs: dict[str, list[dict[str, Any]]] = {}
        self.ports = dict(zip(REPLICAS, free_ports(len(REPLICAS)), strict=True))

    def start(self, replica: str) -> None:
        operator = Operator("nordfjord", self.folder / replica, self._authority)
        listen = {"api": f"127.0.0.1:{self.ports[replica]}"}
        listen |= dict.fromkeys(("agents", "partners", "metrics"), "127.0.0.1:0")
        store = {"postgres": self._url, "replica": replica, "lease_ms": LEASE_MS}
        operator.settings = {"listen": listen, "store": store}
        code = "from hansa_control.bootstrap import main; main()"
        command = [sys.executable, "-c", code, "serve", "--config", str(operator.write_config())]
        self._logs[replica] = []
        self._processes[replica] = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    async def said(self, replica: str, event: str) -> dict[str, Any]:
        """The line of the log with this event, once it is there; AssertionError if the process ends before it."""
        pipe = self._processes[replica].stderr
        assert pipe is not None
        while not (found := [line for line in self._logs[replica] if line["event"] == event]):
            line = await asyncio.to_thread(pipe.readline)
            assert line, f"{replica} ended with {self._processes[replica].wait()}"
            self._logs[replica].append(json.loads(line))
        return found[-1]

    def send(self, replica: str, number: signal.Signals) -> None:
        self._processes[replica].send_signal(number)

    async def ended(self, replica: str) -> int:
        process = self._processes[replica]
        assert process.stderr is not None
        await asyncio.to_thread(process.stderr.read)
        return process.wait()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()

    def client(self) -> Client:
        """An app team's, who knows the addresses of both."""
        operator = Operator("nordfjord", self.folder, self._authority)
        certificate = operator.certificate(Role.TENANT, "acme")
        paths = {name: self.folder / f"{name}.pem" for name in ("ca", "certificate", "key")}
        contents = (self._authority.cert_pem, certificate.cert_pem, certificate.key_pem)
        for path, content in zip(paths.values(), contents, strict=True):
            path.write_bytes(content)
        endpoint = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())
        host = control_plane_host("nordfjord.hansa.example")
        return Client(Profile(endpoint, "acme", *paths.values(), host), timeout_ms=30_000)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


@pytest.fixture
def replicas(tmp_path: Path, postgres: PostgresServer) -> Iterator[Replicas]:
    found = Replicas(tmp_path, postgres.new_database(), authority_of("nordfjord"))
    yield found
    found.close()


def spec_of(name: str) -> Any:
    return parse_workload_text(SPEC.format(name=name, digest=DIGEST), "acme").spec


async def test_a_leader_killed_under_load_is_followed_and_no_answered_promise_is_lost(replicas: Replicas) -> None:
    replicas.start("op-0")
    await replicas.said("op-0", "ready")
    replicas.start("op-1")
    assert (await replicas.said("op-1", "store_follows"))["leader"] == "op-0"
    accepted: dict[str, str] = {}
    enough = asyncio.Event()
    async with replicas.client() as client:

        async def submit(first: int) -> None:
            for number in range(first, 60, 4):
                name = f"w-{number:02}"
                accepted[name] = (await client.submit(name, spec_of(name), request_id=f"submit-{name}")).uid
                if len(accepted) == 20:
                    enough.set()

        async with asyncio.TaskGroup() as group:
            for first in range(4):
                group.create_task(submit(first))
            await enough.wait()
            replicas.send("op-0", signal.SIGKILL)
            await replicas.said("op-1", "ready")
        kept = {workload.name.rpartition("/")[2]: workload.uid async for workload in client.workloads()}
        again = await client.submit("w-00", spec_of("w-00"), request_id="submit-w-00")
    assert len(accepted) == 60
    assert kept == accepted
    assert again.uid == accepted["w-00"]


async def test_a_leader_that_is_stopped_lets_the_next_one_in_at_once(replicas: Replicas) -> None:
    replicas.start("op-0")
    await replicas.said("op-0", "ready")
    replicas.start("op-1")
    await replicas.said("op-1", "store_follows")
    replicas.send("op-0", signal.SIGTERM)
    assert await replicas.ended("op-0") == 0
    await replicas.said("op-1", "ready")


async def test_one_that_follows_stops_when_asked(replicas: Replicas) -> None:
    replicas.start("op-0")
    await replicas.said("op-0", "ready")
    replicas.start("op-1")
    await replicas.said("op-1", "store_follows")
    replicas.send("op-1", signal.SIGTERM)
    assert await replicas.ended("op-1") == 0
    async with replicas.client() as client:
        await client.submit("w", spec_of("w"))


async def test_a_frozen_leader_that_was_followed_ends_and_answers_nothing_new(replicas: Replicas) -> None:
    replicas.start("op-0")
    await replicas.said("op-0", "ready")
    replicas.start("op-1")
    await replicas.said("op-1", "store_follows")
    replicas.send("op-0", signal.SIGSTOP)
    await replicas.said("op-1", "ready")
    replicas.send("op-0", signal.SIGCONT)
    assert await replicas.ended("op-0") == 3

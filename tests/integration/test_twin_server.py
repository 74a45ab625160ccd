"""The twin's inference server as an agent starts it, and the twin's users as they call it: real TLS, real time."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hansa_control.adapters.authority import Role, Subject, Validity
from hansa_demo.addressing import free_addresses
from hansa_demo.check import wait_for
from hansa_sim.latency.twin.client import Users
from hansa_sim.latency.twin.material import SERVER
from hansa_sim.latency.twin.system import monotonic_ns, wall_ms
from hansa_sim.operator_files import Trust, trust_domain

MS_NS = 1_000_000
OWN = "nordavind"
REFUSED = 400, {"error": "demand_ns is from 0 to 600000000000"}
CALLER = f"spiffe://{trust_domain(OWN)}/tenant/twin"


class Running:
    """A server, and certificates of who may call and of who may not."""

    def __init__(self, folder: Path, *, concurrency: int = 2, speed_permille: int = 1_000) -> None:
        self.folder = folder
        trust = Trust([OWN], Validity.of_days(wall_ms(), 1))
        trust.write_authority(OWN, folder / "ca.pem")
        trust.certify(OWN, folder / "server", Subject(Role.INSTANCE, "oslo-1", ("127.0.0.1",)))
        for tenant in ("twin", "stranger"):
            trust.certify(OWN, folder / tenant, Subject(Role.TENANT, tenant))
        self.address = free_addresses(1)[0]
        host, _, port = self.address.partition(":")
        told = {
            "HANSA_LISTEN_HOST": host,
            "HANSA_LISTEN_PORT": port,
            "HANSA_TLS_CERT": str(folder / "server.pem"),
            "HANSA_TLS_KEY": str(folder / "server-key.pem"),
            "HANSA_CLIENT_CA": str(folder / "ca.pem"),
            "HANSA_CLIENT_IDS": CALLER,
            "HANSA_READY_FILE": str(folder / "ready"),
            "TWIN_CONCURRENCY": str(concurrency),
            "TWIN_SPEED_PERMILLE": str(speed_permille),
        }
        self.process = subprocess.Popen([sys.executable, "-I", str(SERVER)], env={"PATH": os.defpath, **told})
        wait_for("the server is ready", lambda: self._is_ready(), 30.0)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        return (self.folder / "ready").exists()

    def job(self, requests: list[list[int]]) -> dict[str, Any]:
        """What users are told."""
        return {
            "zones": [{"urls": [f"https://{self.address}"], "ca": (self.folder / "ca.pem").read_text()}],
            "cert": str(self.folder / "twin.pem"),
            "key": str(self.folder / "twin-key.pem"),
            "connections": 4,
            "requests": requests,
            "timeout_s": 10,
        }

    def tls(self, who: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if who:
            context.load_cert_chain(self.folder / f"{who}.pem", self.folder / f"{who}-key.pem")
        return context


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    server = Running(tmp_path)
    yield server
    server.process.kill()
    server.process.wait()


async def played(server: Running, requests: list[list[int]]) -> dict[str, Any]:
    """What came of requests: [offset_ns, demand_ns, 0]."""
    users = Users(server.job(requests))
    try:
        await users.open()
        return await users.send_all(monotonic_ns() + 20 * MS_NS)
    finally:
        await users.close()


async def asked(server: Running, who: str, content: object, method: str = "POST") -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=server.tls(who))) as session,
        session.request(method, f"https://{server.address}/infer", json=content) as answer,
    ):
        return answer.status, await answer.json(content_type=None) if answer.content_type.endswith("json") else {}


async def test_a_request_takes_as_long_as_it_says_and_the_third_of_two_waits(running: Running) -> None:
    came = await played(running, [[0, 80 * MS_NS, 0], [0, 80 * MS_NS, 0], [0, 80 * MS_NS, 0]])
    first, second, third = (latency / MS_NS for latency in sorted(came["latency_ns"]))
    assert 80 <= first <= second < 155
    assert 160 <= third < 300
    assert came["failures"] == {}


async def test_latency_counts_from_when_a_request_was_to_be_sent(running: Running) -> None:
    """A hundred requests at one moment: whoever is sent late has that in its latency."""
    came = await played(running, [[0, 0, 0]] * 100)
    late_ns, latency_ns = came["late_ns"], came["latency_ns"]
    assert all(late < latency for late, latency in zip(late_ns, latency_ns, strict=True))
    assert max(late_ns) > 0


async def test_answers_that_are_late_hold_no_request_back(running: Running) -> None:
    """Open loop: with both devices busy for 400 ms, what is to be sent meanwhile is sent at its time."""
    busy = [[0, 400 * MS_NS, 0], [0, 400 * MS_NS, 0]]
    came = await played(running, [*busy, *([n * 10 * MS_NS, 1, 0] for n in range(1, 21))])
    sent_ns = [n * 10 * MS_NS + late for n, late in enumerate(came["late_ns"][2:], start=1)]
    assert max(sent_ns) < min(came["latency_ns"][:2])
    assert all(400 * MS_NS - n * 10 * MS_NS <= latency for n, latency in enumerate(came["latency_ns"][2:], start=1))


async def test_a_slower_accelerator_takes_longer(tmp_path: Path) -> None:
    slow = Running(tmp_path, speed_permille=500)
    try:
        came = await played(slow, [[0, 50 * MS_NS, 0]])
    finally:
        slow.process.kill()
        slow.process.wait()
    assert 100 <= came["latency_ns"][0] / MS_NS < 200


async def test_who_is_not_named_in_the_order_is_refused(running: Running) -> None:
    assert await asked(running, "stranger", {"demand_ns": 1}) == (
        403,
        {"error": "this client is not named in the order"},
    )


async def test_who_shows_no_certificate_is_not_listened_to(running: Running) -> None:
    with pytest.raises(aiohttp.ClientError):
        await asked(running, "", {"demand_ns": 1})


@pytest.mark.parametrize(
    "content", [{"demand_ns": -1}, {"demand_ns": 10**15}, {"demand_ns": "1"}, {"demand_ns": True}, {}, [], 3]
)
async def test_a_demand_that_is_none_is_refused_and_the_next_is_served(running: Running, content: object) -> None:
    status, said = await asked(running, "twin", content)
    assert (status, said["error"]) == (400, "demand_ns is from 0 to 600000000000")
    assert (await asked(running, "twin", {"demand_ns": 1}))[0] == 200


async def test_what_is_no_json_or_too_long_is_refused(running: Running) -> None:
    connector = aiohttp.TCPConnector(ssl=running.tls("twin"))
    async with aiohttp.ClientSession(connector=connector) as session:
        for content, status in ((b"{", 400), (b"x" * 10_000, 413)):
            async with session.post(f"https://{running.address}/infer", data=content) as answer:
                assert answer.status == status


async def test_a_server_that_is_gone_is_a_failure_and_no_latency(running: Running) -> None:
    users = Users(running.job([[0, 1, 0], [5 * MS_NS, 1, 0]]))
    await users.open()
    running.process.kill()
    running.process.wait()
    came = await users.send_all(monotonic_ns())
    await users.close()
    assert came["latency_ns"] == [-1, -1]
    assert sum(came["failures"].values()) == 2


async def test_sigterm_ends_it(running: Running) -> None:
    running.process.terminate()
    assert running.process.wait(10) == 0

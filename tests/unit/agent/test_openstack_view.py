"""What is known of servers between two looks, and when an instance is ready, is not any more, and has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hansa_agent.openstack_api import Answer, OpenStackApi
from hansa_agent.openstack_marks import metadata_of
from hansa_agent.openstack_running import Reach, RunningServer
from hansa_agent.openstack_view import ServersView
from hansa_agent.ports import Instant, PlatformSilent

from hansa.v1.instance_pb2 import DesiredInstance

ZONE = "nordavind/osl-1"
UUID = "11111111-2222-3333-4444-555555555555"


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> Instant:
        return Instant(self.ms, self.ms)

    def monotonic_ns(self) -> int:
        return self.ms * 1_000_000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1_000)
        await asyncio.sleep(0)


class Chance:
    def uniform(self, low: float, high: float) -> float:
        return high

    def integer(self, low: int, high: int) -> int:
        return low


class FakeApi(OpenStackApi):
    """Nova with at most one server, that is in the list or not."""

    def __init__(self) -> None:
        self.server: dict[str, Any] | None = server()
        self.listed = True
        self.silent = False
        self.asked: list[tuple[str, str]] = []

    async def call(self, method: str, service: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        self.asked.append((method, path.partition("?")[0]))
        if self.silent:
            raise PlatformSilent("compute: no route")
        if method == "DELETE":
            self.server = None
            return Answer(204)
        if path.startswith("/servers/detail"):
            return Answer(200, {"servers": [self.server] if self.server and self.listed else []})
        return Answer(200, {"server": self.server}) if self.server else Answer(404)


def server(status: str = "ACTIVE", power_state: int = 1, **changes: Any) -> dict[str, Any]:
    order = DesiredInstance(instance="c1-0", claim="c1", fencing_token=1)
    plain = {
        "id": UUID,
        "name": "hansa-c1-0",
        "status": status,
        "OS-EXT-STS:power_state": power_state,
        "metadata": metadata_of(ZONE, order),
        "addresses": {"edge": [{"addr": "127.0.0.1", "OS-EXT-IPS:type": "fixed"}]},
    }
    return plain | changes


class Bench:
    def __init__(self, port: int = 0) -> None:
        self.api = FakeApi()
        self.clock = Clock()
        self.view = ServersView(self.api, ZONE, self.clock, Chance(), poll_s=10.0)
        self.running = RunningServer(self.api, self.view, self.clock, UUID, Reach(port or 8443, bool(port)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_server_that_a_list_leaves_out_is_asked_for_before_it_is_taken_for_gone(bench: Bench) -> None:
    bench.api.listed = False
    await bench.view.refresh()
    assert await bench.running.ready() and not bench.view.is_gone(UUID)
    bench.api.server = None
    await bench.view.refresh()
    assert bench.view.is_gone(UUID)
    assert await bench.running.exited() == "the server is gone"


async def test_server_of_a_cell_that_is_down_stays_as_it_was_last_seen(bench: Bench) -> None:
    await bench.view.refresh()
    bench.api.listed = False
    bench.api.server = {"id": UUID, "status": "UNKNOWN"}
    await bench.view.refresh()
    assert bench.view.servers[UUID].status == "ACTIVE" and not bench.view.is_gone(UUID)


async def test_failed_server_is_deleted_before_it_has_ended_and_the_platforms_words_are_kept(bench: Bench) -> None:
    bench.api.server = server("ERROR", 0, fault={"message": "No valid host was found. "})
    await bench.view.refresh()
    ended = asyncio.create_task(bench.running.exited())
    async with asyncio.timeout(5):
        while not ended.done():
            await asyncio.sleep(0)
            await bench.view.refresh()
    assert ended.result() == "the platform could not run it: No valid host was found."
    assert ("DELETE", f"/servers/{UUID}") in bench.api.asked
    assert UUID not in bench.view.watched


async def test_silence_is_told_and_changes_nothing(bench: Bench) -> None:
    await bench.view.refresh()
    bench.api.silent = True
    looking = asyncio.create_task(bench.view.run())
    async with asyncio.timeout(5):
        while not bench.view.trouble:
            await asyncio.sleep(0)
    looking.cancel()
    assert bench.running.trouble == "compute: no route"
    assert bench.view.servers[UUID].status == "ACTIVE"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (server("ACTIVE", 0), "its host does not run it (power state 0)"),
        (server("BUILD", 0, **{"OS-EXT-STS:task_state": "spawning"}), "the server is BUILD, spawning"),
        (server("PAUSED", 3), "the server is PAUSED"),
    ],
)
async def test_server_that_cannot_serve_is_not_ready_and_says_why(
    bench: Bench, found: dict[str, Any], words: str
) -> None:
    bench.api.server = found
    await bench.view.refresh()
    assert not await bench.running.ready()
    assert words in bench.running.trouble
    assert words in await bench.running.unready()


async def test_ready_is_a_port_that_takes_connections_and_unready_one_that_does_not_any_more() -> None:
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    bench = Bench(port)
    assert await bench.running.ready(), "the first look is its own"
    assert bench.running.endpoint_url == f"https://127.0.0.1:{port}"
    listener.close()
    await listener.wait_closed()
    assert not await bench.running.ready()
    assert await bench.running.unready() == f"127.0.0.1:{port} takes no connections any more"
    assert bench.clock.ms == 4_000, "one failure is not enough"
    assert bench.running.silent, "Nova says that it runs: the way may be down for the agent alone"
    bench.api.server = server(status="SHUTOFF", power_state=4)
    await bench.view.refresh()
    assert not bench.running.silent


async def test_floating_address_comes_first_and_a_server_without_one_has_no_endpoint() -> None:
    addresses = {
        "a": [{"addr": "10.0.0.5", "OS-EXT-IPS:type": "fixed"}],
        "b": [{"addr": "2001:db8::7", "OS-EXT-IPS:type": "floating"}],
    }
    bench = Bench(8_443)
    bench.api.server = server(addresses=addresses)
    await bench.view.refresh()
    assert bench.running.endpoint_url == "https://[2001:db8::7]:8443"
    bench.api.server = server(addresses={})
    await bench.view.refresh()
    assert bench.running.endpoint_url == "" and not await bench.running.ready()


async def test_nobody_looks_often_while_all_is_quiet(bench: Bench) -> None:
    async def looks_within(ms: int) -> int:
        before, until = len(bench.api.asked), bench.clock.ms + ms
        looking = asyncio.create_task(bench.view.run())
        while bench.clock.ms < until:
            await asyncio.sleep(0)
        looking.cancel()
        return len(bench.api.asked) - before

    assert await looks_within(60_000) <= 8
    bench.api.server = server("BUILD", 0)
    assert await looks_within(60_000) >= 50
    bench.api.silent = True
    assert await looks_within(300_000) <= 15, "a silent cloud is asked less and less"

"""A disk that is full, a quota that is reached and a file that is damaged: detected, said, and survived."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hansa_demo.replicated import rewrite
from promises import History, emptied, settled
from proxied_world import ProxiedWorld
from small_world import HOME, spec_in, until

from hansa.channel import open_channel
from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import load_profile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
API = "hansa.v1.WorkloadService"
DISK_BYTES = 3 * 1024 * 1024
EXIT_STORE = 3
DAMAGED_BYTES = 4_096
SERVING, NOT_SERVING = (health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING)


class World(ProxiedWorld):
    """Whose home operator waits for room as long as is said."""

    def __init__(self, folder: Path, patience_ms: int) -> None:
        super().__init__(folder)
        self.data = self.prepared.operator(HOME) / "data"
        self.data.mkdir(exist_ok=True)

        def wait_so_long(document: dict[str, Any]) -> None:
            document["store"] = {"patience_ms": patience_ms}

        rewrite(self.prepared.operator(HOME) / "control-plane.yaml", wait_so_long)

    @property
    def pid(self) -> int:
        return self.processes.pids()[HOME]

    async def said_of_store(self, event: str, mark: int) -> None:
        async def look() -> bool:
            return self.said_since(HOME, mark, event)

        await until(f"the home operator says {event}", look, 60.0)

    async def ended(self) -> int:
        """The exit code of the home operator's control plane, once it has ended."""
        code = await asyncio.to_thread(self.processes._running[HOME].wait, 60)
        del self.processes._running[HOME]
        return code


@contextmanager
def limited(world: World) -> Iterator[None]:
    """No file of the control plane may grow, as when a quota is reached."""
    size, pid = max(path.stat().st_size for path in world.data.iterdir()), world.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def full(world: World) -> Iterator[None]:
    """Somebody else has taken all the room there was."""
    filler = world.data / "filler"
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(b"x" * 4_096)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def disk_of_its_own(folder: Path) -> Iterator[None]:
    """A small file system of memory at a folder; only root may make one."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def any_disk(folder: Path) -> Iterator[None]:
    yield


OPTIONAL = os.environ.get("CI") != "true"  # noqa: TID251 - what CI cannot run is a failure
needs_root = pytest.mark.skipif(os.geteuid() != 0 and OPTIONAL, reason="a file system of its own needs root")
WAYS = [
    pytest.param(any_disk, limited, id="a limit that is reached"),
    pytest.param(disk_of_its_own, full, id="a full disk", marks=needs_root),
]


@asynccontextmanager
async def busy(client: Client, history: History) -> AsyncIterator[None]:
    """App teams who submit and delete all the while."""
    stop = asyncio.Event()

    async def team(country: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"{country.lower()}-{number}"
            if (await history.submit(client, name, spec_in(country))).outcome == "ok":
                await history.delete(client, name)

    teams = [asyncio.create_task(team(country)) for country in ("NO", "DE")]
    try:
        yield
        stop.set()
        await asyncio.gather(*teams)
    finally:
        for task in teams:
            task.cancel()


async def health(world: World) -> int:
    async with open_channel(load_profile(world.prepared.profile)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=API)
        status: int = (await stub.Check(request, timeout=30, wait_for_ready=True)).status
        return status


async def health_becomes(world: World, status: int) -> None:
    async def look() -> bool:
        return await health(world) == status

    await until(f"health is {status}", look)


async def refusal_of_submit(world: World, history: History) -> str:
    async with world.client(timeout_ms=2_000) as client:
        with pytest.raises(HansaError) as refused:
            await client.submit("refused", spec_in("NO"))
        assert refused.value.reason == "UNAVAILABLE"
        return refused.value.message


@pytest.mark.parametrize(("disk", "stressed"), WAYS)
async def test_without_room_nothing_is_promised_what_is_known_is_answered_and_with_room_again_all_goes_on(
    tmp_path: Path, disk: Callable[[Path], Any], stressed: Callable[[World], Any]
) -> None:
    world, history = World(tmp_path / "world", patience_ms=120_000), History()
    with disk(world.data):
        async with world, world.client() as client:
            await history.submit(client, "steady", spec_in("NO"))
            await settled(world, client, history)
            pid, endpoint = world.pid, await client.find_endpoint("steady")
            assert await health(world) == SERVING
            mark = world.mark(HOME)
            async with busy(client, history):
                with stressed(world):
                    await world.said_of_store("store_waits", mark)
                    await health_becomes(world, NOT_SERVING)
                    assert "the store waits" in await refusal_of_submit(world, history)
                    assert await client.find_endpoint("steady") == endpoint
                await world.said_of_store("store_goes_on", mark)
            await health_becomes(world, SERVING)
            await settled(world, client, history)
            assert world.pid == pid
            assert not world.said_since(HOME, mark, "defect")
            await emptied(world, client, history)


@pytest.mark.parametrize(("disk", "stressed"), WAYS)
async def test_without_room_for_too_long_it_ends_and_the_next_process_has_all_that_was_acknowledged(
    tmp_path: Path, disk: Callable[[Path], Any], stressed: Callable[[World], Any]
) -> None:
    world, history = World(tmp_path / "world", patience_ms=1_000), History()
    with disk(world.data):
        async with world, world.client() as client:
            await history.submit(client, "steady", spec_in("DE"))
            mark = world.mark(HOME)
            async with busy(client, history):
                with stressed(world):
                    assert await world.ended() == EXIT_STORE
                    await world.said_of_store("store_failed", mark)
                world.processes.start_operator(HOME)
            await settled(world, client, history)
            await emptied(world, client, history)


async def test_a_damaged_file_is_found_at_the_start_and_said_and_nothing_is_served_from_it(tmp_path: Path) -> None:
    world, history = World(tmp_path / "world", patience_ms=1_000), History()
    async with world, world.client() as client:
        await history.submit(client, "steady", spec_in("NO"))
        await settled(world, client, history)
        world.send(HOME, signal.SIGTERM)
        assert await world.ended() == 0
        file = world.data / "state.db"
        whole = file.read_bytes()
        middle = len(whole) // 2
        wrong = bytes(byte ^ 0xFF for byte in whole[middle : middle + DAMAGED_BYTES])
        file.write_bytes(whole[:middle] + wrong + whole[middle + DAMAGED_BYTES :])
        mark = world.mark(HOME)
        world.processes.start_operator(HOME)
        assert await world.ended() == EXIT_STORE
        assert world.said_since(HOME, mark, "store_failed")
        assert not world.said_since(HOME, mark, "ready")
        file.write_bytes(whole)
        world.processes.start_operator(HOME)
        await settled(world, client, history)
        await emptied(world, client, history)

"""A disk without room: no order is begun that is not written down, what runs runs on, and it all goes on with room."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from agent_harness import World, zone_world

from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, INSTANCE_STATE_STARTING

DISK_BYTES = 1 << 20
ENDED_S = 10.0
OPTIONAL = os.environ.get("CI") != "true"  # noqa: TID251 - what CI cannot run is a failure
pytestmark = pytest.mark.skipif(os.geteuid() != 0 and OPTIONAL, reason="a file system of its own needs root")


@contextmanager
def disk_of_its_own(folder: Path) -> Iterator[None]:
    """A small file system of memory at a folder."""
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    # The world is left before its disk, where it is written which instances are to be ended.
    with disk_of_its_own(tmp_path / "state"):
        async with zone_world(tmp_path) as built:
            yield built
    async with asyncio.timeout(ENDED_S):
        while started_in(tmp_path):
            await asyncio.sleep(0.01)


def started_in(folder: Path) -> list[str]:
    """The processes that still run of those that were given files of a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(f"{folder}/") in (process / "environ").read_bytes():
                found.append(process.name)
    return found


def fill(folder: Path) -> Path:
    """Takes every byte that is left."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4_096))
    return ballast


def trouble(world: World) -> str:
    return world.operator.adverts["inventory"].inventory.trouble


async def test_an_order_that_cannot_be_written_down_waits_for_room_and_ends_nothing(world: World) -> None:
    agent = await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    before = await world.operator.ready("c1-0")
    ballast = fill(world.state_dir)
    await world.operator.order(world.desired(), world.desired("c2-0"), world.desired("c3-0"))
    await world.operator.until(lambda: "orders cannot be written down" in trouble(world))
    inventory = world.operator.adverts["inventory"].inventory
    assert inventory.cordoned and "No space left on device" in inventory.trouble
    status = await world.operator.until(lambda: world.operator.status("c2-0"))
    assert status.state == INSTANCE_STATE_STARTING and "cannot be written down" in status.message
    assert agent.returncode is None
    assert await world.call(before, "/v2/health/ready") == {"ready": True}
    assert not (world.state_dir / "instances/c2-0/instance.json").exists(), "and so it was not begun"
    await world.operator.order(world.desired(), world.desired("c2-0"))
    await world.operator.until(lambda: world.operator.status("c3-0") is None)
    ballast.unlink()
    await world.operator.ready("c2-0")
    await world.operator.until(lambda: not trouble(world))
    assert world.record("c2-0")["ordered"] and not world.operator.adverts["inventory"].inventory.cordoned
    assert world.operator.status("c1-0") == before


async def test_what_ends_while_the_disk_is_full_is_started_again_once_there_is_room(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    pid = world.record()["pid"]
    ballast = fill(world.state_dir)
    os.killpg(pid, 9)
    await world.operator.until(lambda: "orders cannot be written down" in trouble(world))
    ballast.unlink()
    ready = await world.operator.until(
        lambda: (found := world.operator.status("c1-0")) and found.restarts and found.state == INSTANCE_STATE_READY
    )
    assert ready and world.record()["pid"] != pid
    await world.operator.until(lambda: not trouble(world))


async def test_an_order_withdrawn_on_a_full_disk_is_stopped_and_an_agent_that_starts_there_adopts(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired(), world.desired("c2-0"))
    first = await world.operator.ready("c1-0")
    await world.operator.ready("c2-0")
    fill(world.state_dir)
    await world.operator.order(world.desired())
    await world.operator.until(lambda: world.operator.status("c2-0") is None)
    agent.kill()
    await agent.wait()
    seen = len(world.operator.received)
    again = await world.spawn(config)
    await world.operator.until(lambda: world.operator.of("hello", seen))
    await world.operator.until(lambda: len(world.operator.of("heartbeat", seen)) >= 2)
    assert again.returncode is None
    assert await world.call(first, "/v2/health/ready") == {"ready": True}

"""The container runtime against a real podman: tools/test_containers.sh says where its socket is and what to run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agent_harness import World, zone_world

from hansa.v1.common_pb2 import ArtefactRef, Capacity, PoolAmount
from hansa.v1.instance_pb2 import DesiredInstance, InstanceStatus

SOCKET = os.environ.get("HANSA_PODMAN_SOCKET", "")  # noqa: TID251
IMAGE = os.environ.get("HANSA_PODMAN_IMAGE", "")  # noqa: TID251
pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not SOCKET, reason="needs podman in namespaces of its own: make test-containers"),
]
POOL = "nvidia/L4"
NAME = "hansa.nordfjell.osl-1.c1-0"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with zone_world(tmp_path) as made:
        try:
            yield made
        finally:
            for agent in made._agents:
                if agent.returncode is None:
                    agent.kill()
                    await agent.wait()
            await podman("rm", "--all", "--force", "--time", "0")


async def podman(*words: str) -> str:
    done = await asyncio.create_subprocess_exec("podman", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told, complaint = await done.communicate()
    assert done.returncode == 0, complaint.decode()
    return told.decode().strip()


async def inspected(name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await podman("inspect", name))[0]
    return found


async def ids() -> list[str]:
    return (await podman("ps", "--all", "--quiet", "--no-trunc")).split()


async def until_empty() -> None:
    async with asyncio.timeout(30):
        while await ids():
            await asyncio.sleep(0.1)


def config(world: World, **env: str) -> Path:
    artefact: dict[str, Any] = {"name": "echo", "image": IMAGE}
    section = {"socket": SOCKET, "devices": {POOL: ["hansa.test/gpu=0", "hansa.test/gpu=1"]}}
    changes = {"runtime": "container", "container": section, "artefacts": [artefact | ({"env": env} if env else {})]}
    return world.config(**changes)


def desired(world: World, **changes: Any) -> DesiredInstance:
    return world.desired(artefact=ArtefactRef(name="echo", digest=IMAGE.rpartition("@")[2]), **changes)


async def ready(world: World, config_file: Path, **changes: Any) -> InstanceStatus:
    await world.spawn(config_file)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(desired(world, **changes))
    return await world.operator.ready("c1-0")


async def test_instance_is_bounded_traceable_and_answers_its_callers(world: World) -> None:
    limits = Capacity(cpu_millis=500, memory_mib=256, accelerators=[PoolAmount(pool=POOL, count=1)])
    status = await ready(world, config(world), limits=limits)
    told = await world.call(status, "/environment")
    assert told["HANSA_ACCELERATORS"] == f"{POOL}=1" and told["FAKE_GPU"] == "0", "the device came by CDI"
    assert told["HANSA_CLIENT_CA"] == "/hansa/client_ca.pem" and told["HOME"] == "/hansa/home"
    process = (await world.call(status, "/process"))["status"]
    assert "CapEff:\t0000000000000000" in process and "NoNewPrivs:\t1" in process and "Uid:\t65532" in process
    found = await inspected()
    host = found["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (256 << 20, 500_000_000, 4_096)
    assert host["ReadonlyRootfs"] and host["RestartPolicy"]["Name"] in ("", "no")
    labels = found["Config"]["Labels"]
    assert (labels["hansa.zone"], labels["hansa.claim"], labels["hansa.fencing-token"]) == (
        "nordfjell/osl-1",
        "c1",
        "7",
    )
    assert not any(mount["RW"] for mount in found["Mounts"] if mount["Type"] == "bind")


async def test_instance_survives_its_agent_and_is_stopped_by_the_next_one(world: World) -> None:
    config_file = config(world)
    before = await ready(world, config_file)
    process = await world.call(before, "/process")
    made = await ids()
    world._agents[0].kill()
    await world._agents[0].wait()
    heard = len(world.operator.received)
    await world.spawn(config_file)
    await world.operator.until(lambda: world.operator.of("heartbeat", heard))
    told = [advert.name for delta in world.operator.of("adverts", heard) for advert in delta.updated]
    assert "instances/c1-0" not in told, "it is exactly as it was"
    after = await world.operator.ready("c1-0")
    assert await world.call(after, "/process") | {"status": ""} == process | {"status": ""}
    assert await ids() == made
    await world.operator.order()
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    await until_empty()
    assert "started" in (world.state_dir / "logs/c1-0.log").read_text(), "its log is kept"


async def test_container_that_is_killed_from_outside_is_told_and_started_again(world: World) -> None:
    await ready(world, config(world))
    (first,) = await ids()
    await podman("kill", NAME)
    restarted = await world.operator.until(lambda: (s := world.operator.status("c1-0")) and s.restarts == 1 and s)
    assert restarted.restarts == 1
    await world.operator.ready("c1-0")
    (second,) = await ids()
    assert first != second


async def test_image_that_is_not_here_is_refused_in_plain_words(world: World) -> None:
    absent = "localhost/absent@sha256:" + "0" * 64
    config_file = config(world)
    config_file.write_text(config_file.read_text().replace(IMAGE, absent))
    await world.spawn(config_file)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired(artefact=ArtefactRef(name="echo", digest=absent.rpartition("@")[2])))
    told = await world.operator.until(lambda: (s := world.operator.status("c1-0")) and s.message)
    assert told == f"{absent} is not on this machine, and container.pull is false"
    assert await ids() == []

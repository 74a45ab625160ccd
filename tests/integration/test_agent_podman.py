"""The container runtime against a real podman: tools/test_containers.sh says where its socket is and what to run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from agent_harness import World, zone_world
from footprint import cpu_s, rss_mib

from hansa.v1.common_pb2 import ArtefactRef, Capacity, PoolAmount
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, DesiredInstance, InstanceStatus

SOCKET = os.environ.get("HANSA_PODMAN_SOCKET", "")  # noqa: TID251
IMAGE = os.environ.get("HANSA_PODMAN_IMAGE", "")  # noqa: TID251
pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not SOCKET, reason="needs podman in namespaces of its own: make test-containers"),
]
POOL = "nvidia/L4"
IDLE_S = 12
NAME = "hansa.nordfjell.osl-1.c1-0"


class Service:
    """podman's REST service, which may be killed; what runs goes on running."""

    async def start(self) -> None:
        Path(SOCKET).unlink(missing_ok=True)
        words = ("podman", "system", "service", "--time=0", f"unix://{SOCKET}")
        self._process = await asyncio.create_subprocess_exec(*words, stderr=subprocess.DEVNULL)
        async with asyncio.timeout(30):
            while not Path(SOCKET).exists():
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    await made.start()
    try:
        yield made
    finally:
        await made.kill()


@pytest.fixture
async def world(tmp_path: Path, service: Service) -> AsyncIterator[World]:
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


def config(world: World, *, command: Sequence[str] = (), **section: Any) -> Path:
    devices = {POOL: ["hansa.test/gpu=0", "hansa.test/gpu=1"]}
    changes = {
        "runtime": "container",
        "container": {"socket": SOCKET, "devices": devices} | section,
        "artefacts": [{"name": "echo", "image": IMAGE, "command": list(command)}],
    }
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


async def test_command_replaces_the_images_entry_point_and_arguments(world: World) -> None:
    words = ("/usr/bin/python3", "-I", "/srv/agent_artefact.py", "its own")
    await world.call(await ready(world, config(world, command=words)), "/environment")
    assert (await podman("top", NAME, "args")).splitlines()[-1] == " ".join(words)


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


async def test_engine_that_is_killed_ends_no_instance_and_is_asked_again(world: World, service: Service) -> None:
    status = await ready(world, config(world))
    made = await ids()
    await service.kill()
    assert await world.call(status, "/v2/health/ready") == {"ready": True}
    heard = len(world.operator.received)
    await world.operator.until(lambda: len(world.operator.of("heartbeat", heard)) > 3)
    assert world.operator.status("c1-0").state == INSTANCE_STATE_READY, "silence is not an end"  # type: ignore[union-attr]
    await service.start()
    await world.operator.order()
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    await until_empty()
    assert len(made) == 1


async def test_agent_killed_at_any_moment_of_a_start_leaves_one_container(world: World) -> None:
    config_file = config(world)
    await world.spawn(config_file)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    for delay_ms in (0, 60, 150, 300, 600):
        await world.operator.order(desired(world))
        await asyncio.sleep(delay_ms / 1_000)
        world._agents[-1].kill()
        await world._agents[-1].wait()
        await world.spawn(config_file)
        await world.operator.ready("c1-0")
        assert len(await ids()) == 1
        await world.operator.order()
        await world.operator.until(lambda: world.operator.status("c1-0") is None)
        await until_empty()


async def test_check_sees_engine_image_and_devices(world: World) -> None:
    command = [sys.executable, "-m", "hansa_agent.main", "check", "--config", str(config(world)), "-o", "json"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False, text=True)
    found = {each["subject"]: each for each in json.loads(done.stdout)}
    assert found["container engine"]["message"].startswith("Podman Engine")
    assert found["artefact echo"]["level"] == found[f"devices {POOL}"]["level"] == "ok"


async def test_instance_on_the_machines_own_network_answers_too(world: World) -> None:
    status = await ready(world, config(world, network="host", init=False, scratch_mib=8))
    told = await world.call(status, "/environment")
    assert told["HANSA_LISTEN_HOST"] == "127.0.0.1"
    assert (await inspected())["HostConfig"]["NetworkMode"] == "host"


async def test_agent_of_containers_stays_small_and_idle(world: World) -> None:
    world.operator.heartbeat_interval_ms = 1_000
    await ready(world, config(world))
    pid = world._agents[0].pid
    await asyncio.sleep(1)
    began = cpu_s(pid)
    await asyncio.sleep(IDLE_S)
    permille = (cpu_s(pid) - began) / IDLE_S * 1_000
    print(f"container: {rss_mib(pid):.1f} MiB resident, {permille:.1f} permille of a core")
    assert rss_mib(pid) < 75 and permille < 10

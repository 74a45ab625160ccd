"""A broker that is killed with -9 again and again under load: nothing is missed, nothing counts twice."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_harness import DIGEST, WAIT_S
from agent_harness import World as AgentWorld
from control_harness import running, spec
from hansa_agent.spool import Spool
from hansa_agent.system import SystemClock, SystemRandom
from hansa_agent.telemetry import Telemetry, TelemetryWay
from hansa_agent.uplink_mqtt import MqttIdentity
from hansa_control.adapters.authority import Role
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.domain.model import ZoneState
from mqtt_world import SOON_S, World, mqtt_world

from hansa.v1 import common_pb2, workload_pb2, workload_service_pb2_grpc
from hansa.v1 import workload_service_pb2 as service_pb2
from hansa.v1.mqtt_pb2 import TelemetryRecord
from hansa.v1.network_pb2 import ProbeResult

ZONE = "nordfjord/oslo-1"
ALL_S = 60.0


def recorded(world: World, zone: str = "oslo-1") -> list[int]:
    """What of telemetry is on the operator's disk, by the number that the test gave each record."""
    lines = world.link.telemetry._store.lines(zone)
    return [TelemetryRecord.FromString(line.content).probe.min_us for _, line in lines]


@asynccontextmanager
async def telling(world: World, folder: Path, boot_id: str) -> AsyncIterator[Telemetry]:
    """An agent's telemetry under way."""
    spool = Spool(folder / "spool", boot_id, 1 << 26)
    telemetry = Telemetry(spool, TelemetryWay(world.brokers(), MqttIdentity(ZONE, boot_id)), SystemClock())
    task = asyncio.create_task(telemetry.run(SystemRandom()))
    try:
        yield telemetry
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def note(telemetry: Telemetry, numbers: Iterator[int], count: int) -> None:
    """A steady load: ``count`` records, a hundred at a time."""
    for _ in range(count // 100):
        for number in itertools.islice(numbers, 100):
            telemetry.note_probe(ProbeResult(source_zone=ZONE, target_zone="nordfjord/bergen-1", min_us=number))
        await asyncio.sleep(0.01)


async def until_recorded(world: World, count: int) -> None:
    async with asyncio.timeout(ALL_S):
        while world.link.telemetry.counts["records"] < count:
            await asyncio.sleep(0.05)


async def test_every_record_arrives_once_although_the_broker_is_killed_five_times(tmp_path: Path) -> None:
    numbers, count = itertools.count(1), 10_000
    async with mqtt_world(tmp_path) as world, telling(world, tmp_path, "boot-1") as telemetry:
        load = asyncio.create_task(note(telemetry, numbers, count))
        for at in range(1, 6):
            await until_recorded(world, at * 500)
            await world.broker.kill()
            await asyncio.sleep(0.02)
            await world.broker.start()
        await load
        await until_recorded(world, count)
        assert recorded(world) == list(range(1, count + 1))
        assert telemetry._spool.lost_count == 0
        print(f"records {count}, came again and were passed over {world.link.telemetry.counts['doubled']}")


async def test_records_of_an_agent_that_was_killed_arrive_with_those_of_the_next_process(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    async with mqtt_world(tmp_path) as world:
        await world.broker.kill()
        async with telling(world, tmp_path, "boot-1") as telemetry:
            await note(telemetry, numbers, 1_000)
        async with telling(world, tmp_path, "boot-2") as telemetry:
            await note(telemetry, numbers, 1_000)
            await world.broker.start()
            await until_recorded(world, 2_000)
        assert sorted(recorded(world)) == list(range(1, 2_001))


async def test_an_operator_that_was_stopped_takes_over_the_rest_and_nothing_twice(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    async with mqtt_world(tmp_path) as world, telling(world, tmp_path, "boot-1") as telemetry:
        await note(telemetry, numbers, 1_000)
        await until_recorded(world, 500)
    await world.broker.start()
    world.operator.store = MemoryStore()
    try:
        async with telling(world, tmp_path, "boot-2") as telemetry:
            await note(telemetry, numbers, 1_000)
            async with running(world.operator):
                await world.reached()
                async with asyncio.timeout(ALL_S):
                    while len(recorded(world)) < 2_000:
                        await asyncio.sleep(0.05)
                assert sorted(recorded(world)) == list(range(1, 2_001))
    finally:
        await world.broker.kill()


# --- a whole agent ---


class MqttAgent:
    """The agent's process, whose session goes over the broker."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.agents = AgentWorld(folder)
        self.folder = folder
        self.process: asyncio.subprocess.Process

    def config(self) -> Path:
        tls = self.world.broker.tls(Role.AGENT, "oslo-1")
        files = {"ca": str(tls.ca), "cert": str(tls.cert), "key": str(tls.key)}
        path = self.agents.config(zone=ZONE)
        content = yaml.safe_load(path.read_text())
        content["operator"] = {"tls": files, "mqtt": {"brokers": [self.world.broker.address], "session": True}}
        path.write_text(yaml.safe_dump(content))
        return path

    async def start(self) -> None:
        self.process = await self.agents.spawn(self.config())

    def reprice(self, price: int) -> None:
        """Another price, which the agent reads at once; the key pair that instances just read stays as it is."""
        path = self.folder / "agent.yaml"
        content = yaml.safe_load(path.read_text())
        content["inventory"]["price_millieur_per_hour"] = price
        path.write_text(yaml.safe_dump(content))
        self.process.send_signal(signal.SIGHUP)

    def events(self, what: str) -> list[dict[str, Any]]:
        return [line for line in self.agents.log() if line["event"] == what]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with mqtt_world(tmp_path) as started:
        yield started


@pytest.fixture
async def agent(world: World, tmp_path: Path) -> AsyncIterator[MqttAgent]:
    started = MqttAgent(world, tmp_path / "agent")
    (tmp_path / "agent").mkdir(exist_ok=True)
    try:
        await started.start()
        yield started
    finally:
        await started.agents.clean_up()


async def submit(world: World, replicas: int = 1) -> Any:
    channel = world.operator.channel("api", world.operator.certificate(Role.TENANT, "acme"))
    stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(channel)
    wanted = spec(replicas=replicas, artefact=common_pb2.ArtefactRef(name="echo", digest=DIGEST), memory_mib=256)
    await stub.SubmitWorkload(
        service_pb2.SubmitWorkloadRequest(request_id="r1", name="tenants/acme/workloads/ocr", spec=wanted)
    )
    return stub


async def until_running(stub: Any) -> None:
    request = service_pb2.GetWorkloadRequest(name="tenants/acme/workloads/ocr")
    async with asyncio.timeout(WAIT_S):
        while (await stub.GetWorkload(request)).workload.state != workload_pb2.WORKLOAD_STATE_RUNNING:
            await asyncio.sleep(0.05)


async def until_price(world: World, price: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while price not in [
            zone.inventory.price_millieur_per_hour for zone in world.operator.running.application.queries.zones("", 9)
        ]:
            await asyncio.sleep(0.02)


async def test_orders_are_executed_once_and_adverts_converge_while_the_broker_is_killed(
    world: World, agent: MqttAgent
) -> None:
    await world.until_zone("oslo-1", ZoneState.AVAILABLE)
    stub = await submit(world, replicas=3)
    for price in range(901, 905):
        await world.broker.kill()
        agent.reprice(price)
        await world.broker.start()
        await until_price(world, price)
    await until_running(stub)
    assert len(agent.events("instance started")) == 3
    assert agent.events("instance ended") == [] and agent.events("order refused") == []
    assert len(agent.events("session begun")) >= 5


async def test_an_agent_that_is_killed_finds_its_instances_again_over_mqtt(world: World, agent: MqttAgent) -> None:
    await world.until_zone("oslo-1", ZoneState.AVAILABLE)
    stub = await submit(world)
    await until_running(stub)
    agent.process.kill()
    await agent.process.wait()
    await world.until_zone("oslo-1", ZoneState.SILENT)
    await agent.start()
    await world.until_zone("oslo-1", ZoneState.AVAILABLE)
    await until_running(stub)
    assert len(agent.events("instance started")) == 1


async def test_instances_go_on_while_there_is_no_broker(world: World, agent: MqttAgent) -> None:
    await world.until_zone("oslo-1", ZoneState.AVAILABLE)
    await until_running(await submit(world))
    pids = [record["pid"] for record in agent.events("instance started") if "pid" in record]
    await world.broker.kill()
    await world.until_zone("oslo-1", ZoneState.SILENT)
    async with asyncio.timeout(SOON_S):
        while len(agent.events("operator not reached")) < 1:
            await asyncio.sleep(0.05)
    assert agent.events("instance ended") == []
    for pid in pids:
        os.kill(pid, 0)

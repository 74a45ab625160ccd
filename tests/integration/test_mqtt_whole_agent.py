"""A whole agent over a broker: what it measures becomes telemetry, and a broker that hangs is no end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from control_harness import advert, inventory
from hansa_agent.probe_stamp import open_reflector
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.system import SystemClock
from hansa_control.domain.model import ZoneState
from mqtt_world import SOON_S, World, mqtt_world
from test_mqtt_broker_killed import MqttAgent
from test_mqtt_session import stream

from hansa.v1.mqtt_pb2 import TelemetryRecord


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with mqtt_world(tmp_path) as started:
        yield started


@pytest.fixture
async def agent(world: World, tmp_path: Path) -> AsyncIterator[MqttAgent]:
    (tmp_path / "agent").mkdir()
    started = MqttAgent(world, tmp_path / "agent")
    path = started.config()
    content = yaml.safe_load(path.read_text()) | {"probe": {"interval_s": 0.1, "spacing_ms": 1, "count": 5}}
    path.write_text(yaml.safe_dump(content))
    started.process = await started.agents.spawn(path)
    try:
        await world.until_zone("oslo-1", ZoneState.AVAILABLE)
        yield started
    finally:
        await started.agents.clean_up()


def told(world: World) -> list[TelemetryRecord]:
    lines = world.link.telemetry._store.lines("oslo-1")
    return [TelemetryRecord.FromString(line.content) for _, line in lines]


async def test_every_round_of_probes_and_the_health_of_the_inventory_become_telemetry(
    world: World, agent: MqttAgent
) -> None:
    transport, _ = await open_reflector("127.0.0.1:0", SystemClock(), RateLimit(10_000))
    address = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    async with stream(world, "bergen-1") as neighbour:
        await neighbour.greet()
        await neighbour.advertise(advert("inventory", inventory("bergen", probe_address=address)))
        async with asyncio.timeout(SOON_S):
            while sum(record.HasField("probe") for record in told(world)) < 10:
                await asyncio.sleep(0.05)
    transport.close()
    probes = [record.probe for record in told(world) if record.HasField("probe")]
    assert {(one.source_zone, one.target_zone) for one in probes} == {("nordfjord/oslo-1", "nordfjord/bergen-1")}
    assert [one.rtt.sample_count for one in probes[:3]] == [5, 10, 15]
    (health,) = [record.health for record in told(world) if record.HasField("health")]
    assert health.source == "file" and not health.unsound and health.capacity.cpu_millis == 8_000


async def test_a_broker_that_hangs_is_left_and_found_again(world: World, agent: MqttAgent) -> None:
    assert world.broker._process is not None
    begun = len(agent.events("session begun"))
    world.broker._process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(SOON_S):
        while not agent.events("session lost"):
            await asyncio.sleep(0.05)
    assert "silent" in agent.events("session lost")[0]["message"]
    world.broker._process.send_signal(signal.SIGCONT)
    async with asyncio.timeout(2 * SOON_S):
        while len(agent.events("session begun")) == begun:
            await asyncio.sleep(0.05)
    await world.until_zone("oslo-1", ZoneState.AVAILABLE)

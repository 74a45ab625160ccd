"""``hansa-agent check`` where the session goes over a broker, and the numbers that an operator sees of it."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

from hansa_agent.check import Level
from hansa_agent.check_operator import Asking, check_endpoints
from hansa_agent.config import LoadedConfig
from hansa_agent.system import SystemClock
from hansa_control.domain.model import ZoneState
from mqtt_world import SOON_S, World, mqtt_world
from test_mqtt_broker_killed import MqttAgent


def asking(world: World, folder: Path) -> Asking:
    folder.mkdir()
    return Asking(LoadedConfig(MqttAgent(world, folder).config()), SystemClock(), "boot-0")


async def test_the_check_asks_the_operator_by_way_of_the_broker_and_joins_nothing(tmp_path: Path) -> None:
    async with mqtt_world(tmp_path) as world:
        found = await check_endpoints(asking(world, tmp_path / "agent"))
        assert [(one.level, one.subject) for one in found] == [
            (Level.OK, f"operator {world.broker.address}"),
            (Level.OK, "session"),
            (Level.OK, "clock"),
        ]
        assert world.zones() == {}


async def test_the_check_says_that_there_is_no_broker(tmp_path: Path) -> None:
    async with mqtt_world(tmp_path) as world:
        question = asking(world, tmp_path / "agent")
        await world.broker.kill()
        found = await check_endpoints(question)
    assert (found[0].level, "is not reached" in found[0].message) == (Level.PROBLEM, True)


async def test_metrics_tell_of_streams_and_telemetry(tmp_path: Path) -> None:
    async with mqtt_world(tmp_path) as world:
        (tmp_path / "agent").mkdir()
        agent = MqttAgent(world, tmp_path / "agent")
        await agent.start()
        await world.until_zone("oslo-1", ZoneState.AVAILABLE)
        async with asyncio.timeout(SOON_S):
            while not world.link.telemetry.counts["records"]:
                await asyncio.sleep(0.02)
        url = f"http://{world.operator.address('metrics')}/metrics"
        text = (await asyncio.to_thread(urllib.request.urlopen, url)).read().decode()
        await agent.agents.clean_up()
    assert "\nhansa_mqtt_streams 1.0\n" in text and "\nhansa_telemetry_lost_total 0.0\n" in text
    assert "\nhansa_telemetry_records_total 1.0\n" in text

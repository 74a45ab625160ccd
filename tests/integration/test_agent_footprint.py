"""What an agent takes of the machine that it shares with what it runs: memory, and time while nothing happens.

Method: a real agent process with file inventory or the machine's own, one ready instance as a process, one stream
with mutual TLS whose operator asks for a heartbeat a second. Resident memory is VmRSS of /proc/PID/status; time is
utime + stime of /proc/PID/stat over ``IDLE_S`` seconds, so what else the machine does counts little.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agent_harness import World, zone_world
from footprint import cpu_s, rss_mib
from hansa_agent.lean import SETTLED_S

RSS_MIB_MAX = {"file": 57, "machine": 57}
IDLE_PERMILLE_MAX = 10
IDLE_S = 8


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with zone_world(tmp_path) as made:
        made.operator.heartbeat_interval_ms = 1_000
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("source", ["file", "machine"])
async def test_agent_with_one_instance_stays_small_and_idle(world: World, source: str) -> None:
    changes: dict[str, Any] = {"inventory": {"node": "oslo", "source": "machine"}} if source == "machine" else {}
    agent = await world.spawn(world.config(**changes))
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    await asyncio.sleep(2 * SETTLED_S)  # it finds what it still needs again in the first moments after
    began = cpu_s(agent.pid)
    await asyncio.sleep(IDLE_S)
    permille = (cpu_s(agent.pid) - began) / IDLE_S * 1_000
    rss = rss_mib(agent.pid)
    print(f"{source}: {rss:.1f} MiB resident, {permille:.1f} permille of a core")
    assert rss < RSS_MIB_MAX[source]
    assert permille < IDLE_PERMILLE_MAX

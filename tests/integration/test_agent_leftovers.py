"""What an agent advertises while something is there that no record names."""

from __future__ import annotations

from pathlib import Path

from agent_harness import ZONE, zone_world
from engine_fake import FakeEngine

from hansa.v1.common_pb2 import Capacity

HAS = {"cpu_millis": 4_000, "memory_mib": 2_048}


async def test_leftover_is_not_advertised_as_room(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path / "engine.sock")
    marks = {"hansa.zone": ZONE, "hansa.instance": "old-0", "hansa.ordered": "[1500,48,{}]"}
    engine.put("hansa.nordfjell.osl-1.old-0", marks)
    await engine.start()
    try:
        async with zone_world(tmp_path / "zone") as world:
            inventory = {"node": "oslo", "capacity": HAS}
            container = {"socket": str(engine.socket)}
            await world.spawn(world.config(runtime="container", container=container, artefacts=[], inventory=inventory))
            adverts = world.operator.adverts
            await world.operator.until(lambda: "inventory" in adverts and adverts["inventory"].inventory.trouble)
            told = adverts["inventory"].inventory
            assert told.trouble == "instances left over and not gone yet: 1" and not told.cordoned
            assert told.capacity == Capacity(cpu_millis=2_500, memory_mib=2_000)
    finally:
        await engine.close()

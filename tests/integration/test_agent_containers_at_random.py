"""Whatever happens in whatever order, in the end what runs is what is ordered, once each, and nothing else."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251
from pathlib import Path

import pytest
from engine_fake import FakeEngine, Fault
from engine_zone import IMAGE, Zone

NAMES = ("c1-0", "c2-0", "c3-0")
STEPS = 120
SETTLES_S = 0.03


class Walk:
    """One zone to which things happen by chance."""

    def __init__(self, zone: Zone, seed: int) -> None:
        self.zone = zone
        self.chance = random.Random(seed)
        self.wanted: dict[str, int] = {}
        self.is_away = False

    async def step(self) -> None:
        happens = (self.order, self.order, self.die, self.vanish, self.pause, self.leave, self.crash, self.fail)
        await self.chance.choice(happens)()
        await asyncio.sleep(SETTLES_S * self.chance.random())

    async def order(self) -> None:
        name = self.chance.choice(NAMES)
        if self.chance.random() < 0.6:
            self.wanted[name] = self.wanted.get(name, 0) + 1
        else:
            self.wanted.pop(name, None)
        await self.say()

    async def say(self) -> None:
        await self.zone.order(*(self.zone.desired(name, fencing_token=n) for name, n in sorted(self.wanted.items())))

    async def die(self) -> None:
        running = [each for each in self.zone.engine.containers.values() if each.status == "running"]
        if running:
            self.zone.engine.end(self.chance.choice(running), self.chance.choice([0, 1, 137]))

    async def vanish(self) -> None:
        if self.zone.engine.containers:
            self.zone.engine.remove_silently(self.chance.choice(list(self.zone.engine.containers.values())))

    async def pause(self) -> None:
        for each in self.zone.engine.containers.values():
            each.paused = self.chance.random() < 0.3
            self.zone.engine._tell("pause" if each.paused else "unpause", each)

    async def leave(self) -> None:
        if self.is_away:
            await self.zone.engine.start()
        else:
            await self.zone.engine.stop()
        self.is_away = not self.is_away

    async def crash(self) -> None:
        await self.zone.down()
        await self.zone.up()

    async def fail(self) -> None:
        self.zone.engine.faults[len(self.zone.engine.calls) + self.chance.randrange(4)] = self.chance.choice(
            [Fault.CUT, Fault.LOST, Fault.LATE, Fault.BROKEN]
        )

    async def calm(self) -> None:
        """The engine is well from now on, and nobody touches what runs."""
        self.zone.engine.faults = {}
        if self.is_away:
            await self.leave()
        for each in self.zone.engine.containers.values():
            each.paused = False
            self.zone.engine._tell("unpause", each)

    def is_as_wanted(self) -> bool:
        running = [each.labels["hansa.instance"] for each in self.zone.engine.containers.values()]
        return sorted(running) == sorted(self.wanted) and all(self.zone.is_ready(name) for name in self.wanted)


@pytest.mark.parametrize("dialect", ["docker", "podman"])
@pytest.mark.parametrize("seed", range(4))
async def test_after_anything_what_runs_is_what_is_ordered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str, seed: int
) -> None:
    monkeypatch.setattr("hansa_agent.supervisor.HOUSEKEEPING_S", 1.0)
    engine = FakeEngine(tmp_path / "engine.sock", dialect=dialect, images={IMAGE})
    await engine.start()
    zone = Zone(tmp_path, engine)
    await zone.up()
    walk = Walk(zone, seed)
    try:
        for _ in range(STEPS):
            await walk.step()
        await walk.calm()
        await walk.say()
        await zone.until(walk.is_as_wanted)
        walk.wanted = {}
        await walk.say()
        await zone.until(zone.is_empty)
    finally:
        await zone.down()
        await engine.close()

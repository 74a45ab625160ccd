"""What goes wrong, and its repair: processes die, machines lose power, the network is cut, disks are slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from hansa_sim.streams import Stream
from hansa_sim.world import World


class Faults:
    """Does harm to a world and repairs it; everything is told to the trace."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _tell(self, what: str) -> None:
        self._world.trace.add("fault", what)

    # --- single faults ---

    async def crash_operator(self, operator: str, down_s: float) -> None:
        """The control plane is killed and started again on what its store has kept."""
        node = self._world.operators[operator]
        node.kill()
        await asyncio.sleep(down_s)
        node.start()

    def crash_at_commit(self, operator: str, number: int, down_s: float, later_s: float = 0.0) -> None:
        """Kills the control plane at a commit: odd numbers before it takes effect, even ones after; restarts it.

        ``later_s`` later than that moment, to let things happen while the disk is at work.
        """
        node = self._world.operators[operator]
        touch, left = node.on_pause, number

        def crash() -> None:
            node.kill()
            self._world.after(down_s, node.start)

        def on_pause() -> None:
            nonlocal left
            touch()
            left -= 1
            if left == 0 and later_s:
                self._world.after(later_s, crash)
            elif left == 0:
                crash()

        node.on_pause = on_pause

    async def freeze_operator(self, operator: str, for_s: float) -> None:
        """The control plane's machine is suspended and goes on later as if nothing had been."""
        process = self._world.operators[operator].process
        if process is None:
            return
        self._tell(f"{operator} is suspended for {for_s:.1f} s")
        process.freeze()
        await asyncio.sleep(for_s)
        process.thaw()

    async def slow_disk(self, operator: str, for_s: float) -> None:
        """Commits take up to 400 ms each."""
        node = self._world.operators[operator]
        self._tell(f"the disk of {operator} is slow for {for_s:.1f} s")
        before, node.pause_us = node.pause_us, (20_000, 200_000)
        await asyncio.sleep(for_s)
        node.pause_us = min(before, (50, 3_000))

    async def kill_agent(self, zone: str, down_s: float) -> None:
        """The agent alone dies; what it started goes on."""
        node = self._world.zones[zone]
        node.kill_agent()
        await asyncio.sleep(down_s)
        node.start()

    async def lose_power(self, zone: str, down_s: float, disk_survives: bool = True) -> None:  # noqa: FBT001, FBT002
        """Agent and instances end at once; the machine comes back with its disk, or with an empty one."""
        node = self._world.zones[zone]
        node.lose_power()
        await asyncio.sleep(down_s)
        if not disk_survives and node.process is None:
            node.wipe()
        node.start()

    async def cut(self, one: str, other: str, for_s: float) -> None:
        """Nothing gets from one host to the other, either way."""
        self._tell(f"{one} and {other} are cut off from each other for {for_s:.1f} s")
        for path in ((one, other), (other, one)):
            self._world.network.cut(*path)
        await asyncio.sleep(for_s)
        self.heal(one, other)

    async def cut_one_way(self, source: str, target: str, for_s: float) -> None:
        """Nothing gets from source to target; the other direction works."""
        self._tell(f"nothing gets from {source} to {target} for {for_s:.1f} s")
        self._world.network.cut(source, target)
        await asyncio.sleep(for_s)
        self.heal(source, target)

    def heal(self, one: str, other: str) -> None:
        """Both directions work again."""
        self._tell(f"{one} and {other} reach each other again")
        self._world.network.heal(one, other)
        self._world.network.heal(other, one)

    async def reset(self, one: str, other: str) -> None:
        """Every connection between two hosts breaks."""
        self._tell(f"connections between {one} and {other} are reset")
        self._world.network.reset(one, other)

    async def crash_instance(self, zone: str, chance: Stream) -> None:
        """One running instance of a zone ends by itself."""
        machine = self._world.zones[zone].machine
        running = machine.running()
        if running:
            machine.end(chance.choice(running), 139)

    # --- many faults ---

    async def storm(self, duration_s: float, pause_s: tuple[float, float] = (0.1, 3.0)) -> None:
        """Faults of every kind at random times, several at once; returns when the last one is repaired."""
        chance = self._world.streams.stream("storm")
        end_us = self._world.loop.now_us + int(duration_s * 1_000_000)
        async with asyncio.TaskGroup() as group:
            while self._world.loop.now_us < end_us:
                await asyncio.sleep(chance.uniform(*pause_s))
                kinds = self._kinds(chance)
                group.create_task(kinds[chance.choice(sorted(kinds))]())

    def _kinds(self, chance: Stream) -> Mapping[str, Callable[[], asyncio._CoroutineLike[None]]]:
        """One fault of each kind with fresh chances; a kind that is likelier stands twice."""
        operators, zones = sorted(self._world.operators), sorted(self._world.zones)
        operator, zone = chance.choice(operators), chance.choice(zones)
        owner = zone.partition("/")[0]
        other = chance.choice([name for name in operators if name != operator])
        short_s, long_s = chance.uniform(0.05, 3.0), chance.uniform(0.5, 12.0)
        wipe = chance.chance(0.7)
        return {
            "crash instance": lambda: self.crash_instance(zone, chance),
            "crash operator": lambda: self.crash_operator(operator, short_s),
            "crash operator at length": lambda: self.crash_operator(operator, long_s),
            "cut agent": lambda: self.cut(zone, owner, long_s),
            "cut agent one way": lambda: self.cut_one_way(zone, owner, long_s),
            "cut orders": lambda: self.cut_one_way(owner, zone, long_s),
            "cut operators": lambda: self.cut(operator, other, long_s),
            "cut operators one way": lambda: self.cut_one_way(operator, other, long_s),
            "freeze operator": lambda: self.freeze_operator(operator, short_s * 2),
            "kill agent": lambda: self.kill_agent(zone, short_s),
            "kill agent at length": lambda: self.kill_agent(zone, long_s),
            "power": lambda: self.lose_power(zone, long_s, wipe),
            "reset agent": lambda: self.reset(zone, owner),
            "reset operators": lambda: self.reset(operator, other),
            "slow disk": lambda: self.slow_disk(operator, long_s),
        }

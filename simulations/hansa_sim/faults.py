"""What goes wrong, and its repair: processes die, machines lose power, the network is cut, disks are slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from hansa_sim.agents import ZoneNode
from hansa_sim.disks import DiskFault
from hansa_sim.network import Weather
from hansa_sim.operators import OperatorNode
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

    def crash_operator_at_await(self, operator: str, number: int, down_s: float) -> None:
        """The control plane dies at the ``number``-th await from now that any of its tasks comes back from."""
        self.crash_at_await(self._world.operators[operator], number, down_s)

    def crash_agent_at_await(self, zone: str, number: int, down_s: float) -> None:
        """An agent dies at the ``number``-th await from now that any of its tasks comes back from."""
        self.crash_at_await(self._world.zones[zone], number, down_s)

    def crash_at_await(self, node: OperatorNode | ZoneNode, number: int, down_s: float) -> None:
        """A control plane or an agent dies at an await, and is started again."""
        process = node.process
        if process is None:
            return

        def crash() -> None:
            self._tell(f"{process.name} dies at its step {process.step_count}")
            node.kill()
            self._world.after(down_s, node.start)

        process.at_step(number, crash)

    async def power_operator_off(self, operator: str, down_s: float) -> None:
        """The control plane's host loses power: it falls silent, its connections are not reset."""
        node = self._world.operators[operator]
        node.lose_power()
        await asyncio.sleep(down_s)
        node.get_power()

    # --- disks ---

    def fail_commit(self, operator: str, fault: DiskFault) -> None:
        """The next commit fails: before anything of it is durable, or after all of it is."""
        self._tell(f"the next commit of {operator} is {fault}")
        self._world.operators[operator].disk.fail_next(fault)

    async def fill_disk(self, operator: str, for_s: float) -> None:
        """Nothing can be written until somebody makes room."""
        disk = self._world.operators[operator].disk
        self._tell(f"the disk of {operator} is full for {for_s:.1f} s")
        disk.is_full = True
        await asyncio.sleep(for_s)
        disk.is_full = False

    def take_disk(self, operator: str) -> None:
        """The disk goes away and is there again when the process has been started anew."""
        self._tell(f"the disk of {operator} is taken away")
        self._world.operators[operator].store.take_away()

    # --- clocks ---

    async def jump_clock(self, host: str, by_ms: int, for_s: float) -> None:
        """The wall clock of an operator or of a zone jumps, and later it jumps back."""
        node = self._world.operators.get(host) or self._world.zones[host]
        self._tell(f"the wall clock of {host} jumps by {by_ms} ms for {for_s:.1f} s")
        node.skew.ms += by_ms
        await asyncio.sleep(for_s)
        node.skew.ms -= by_ms

    # --- the network ---

    async def foul_weather(self, one: str, other: str, weather: Weather, for_s: float) -> None:
        """The way between two hosts loses, doubles, delays and reorders."""
        self._tell(f"foul weather between {one} and {other} for {for_s:.1f} s")
        self._world.network.set_weather(one, other, weather)
        await asyncio.sleep(for_s)
        self._world.network.set_weather(one, other, None)
        self._tell(f"fair weather between {one} and {other}")

    async def freeze_operator(self, operator: str, for_s: float) -> None:
        """The control plane's machine is suspended and goes on later as if nothing had been."""
        process = self._world.operators[operator].process
        if process is None:
            return
        self._tell(f"{operator} is suspended for {for_s:.1f} s")
        process.freeze()
        await asyncio.sleep(for_s)
        process.thaw()

    async def slow_disk(self, operator: str, for_s: float, pause_us: tuple[int, int] = (20_000, 200_000)) -> None:
        """Commits take long: twice a time between these two each."""
        node = self._world.operators[operator]
        self._tell(f"the disk of {operator} is slow for {for_s:.1f} s")
        before, node.pause_us = node.pause_us, pause_us
        await asyncio.sleep(for_s)
        node.pause_us = min(before, (50, 3_000))

    async def kill_agent(self, zone: str, down_s: float) -> None:
        """The agent alone dies; what it started goes on."""
        node = self._world.zones[zone]
        node.kill()
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

    # --- the end of all faults ---

    def repair(self) -> None:
        """Whatever is broken or may yet break is mended: network, disks, clocks, power; everything is started."""
        self._tell("everything is repaired")
        self._world.network.repair()
        for operator in self._world.operators.values():
            operator.disk.repair()
            operator.pause_us = (50, 3_000)
            operator.get_power()
        nodes: list[OperatorNode | ZoneNode] = [*self._world.operators.values(), *self._world.zones.values()]
        for node in nodes:
            node.skew.ms = 0
            node.start()
            if node.process is not None:
                node.process.thaw()
                node.process.defuse()

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

"""A scenario's day, played by the production code of all its operators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hansa_sim.invariants import Watcher
from hansa_sim.kernel import VirtualLoop
from hansa_sim.latency.fault_schedule import Fault, causes_of, schedule
from hansa_sim.latency.system.bridge import STEPS_MAX, Asked, platform_of, workloads_of
from hansa_sim.latency.system.diary import Diary
from hansa_sim.latency.system.quiet import Quiet
from hansa_sim.latency.system.reach import Reach
from hansa_sim.latency.system.service import Service
from hansa_sim.latency.traffic import Traffic
from hansa_sim.latency.world import World
from hansa_sim.scenario import quiet_logs
from hansa_sim.world import World as Platform

DAY_S = 86_400.0
MEET_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 600.0
SUBMITTED_AT_ONCE = 50
LOOK_EVERY_US = 1_000_000

Watch = Callable[[float, float], None]
"""Told how many seconds of the day have gone by, of how many."""


@dataclass(frozen=True, slots=True)
class Played:
    """A day that was played: what came of it, what broke, and how much of it was left out as quiet."""

    diary: Diary
    traffic: tuple[Traffic, ...]
    asked: tuple[Asked, ...]
    broken: tuple[str, ...]
    duration_s: float
    leapt_s: float
    digest: str
    unplaced: int


def play_day(world: World, watch: Watch = lambda done_s, of_s: None, *, leaps: bool = True) -> Played:
    """The day of a scenario: ``run.duration_s`` of it, or all. ``leaps`` says whether quiet stretches are left out."""
    loop = VirtualLoop(STEPS_MAX)
    day = _Day(world, loop, watch, leaps=leaps)
    with quiet_logs():
        loop.run_main(day.play())
    return day.played()


class _Day:
    def __init__(self, world: World, loop: VirtualLoop, watch: Watch, *, leaps: bool) -> None:
        self._world, self._loop, self._watch = world, loop, watch
        self._platform: Platform = platform_of(world, loop)
        self._asked = workloads_of(world)
        self._reach = Reach(world)
        ways = zip(world.parts, self._reach.rtt_ns(frozenset()), strict=True)
        self._services = [Service(part, self._platform, rtt_ns) for part, rtt_ns in ways]
        self._diary = Diary(world, self._platform, self._asked, self._services)
        self._quiet = Quiet(self._platform, leaps=leaps)
        self._watcher = Watcher(self._platform)
        self._duration_s = world.loaded.scenario.run.duration_s or DAY_S
        self._down: dict[str, int] = {}
        self._links: list[frozenset[str]] = []
        self._looked_us, self._is_unwatched = 0, False
        self._leapt_us = 0

    async def play(self) -> None:
        self._platform.start()
        await self._platform.until(self._have_met, MEET_TIMEOUT_S, "operators know all zones")
        await self._submit_all()
        await self._quiet.settle(SETTLE_TIMEOUT_S)
        self._watcher.look()
        self._loop.on_quiet = self._look
        self._diary.begin()
        before_us = self._loop.leapt_us
        for at_us, act in self._plan():
            await self._quiet.until(self._diary.begin_us + at_us)
            self._watch((self._loop.day_us - self._diary.begin_us) / 1e6, self._duration_s)
            act()
            self._quiet.disturb()
        await self._quiet.until(self._diary.begin_us + round(self._duration_s * 1e6))
        self._diary.end()
        self._leapt_us = self._loop.leapt_us - before_us
        self._platform.end()

    def played(self) -> Played:
        """What came of it."""
        planes = [node.plane for node in self._platform.operators.values() if node.plane is not None]
        unplaced = sum(not one.placements for plane in planes for one in plane.state.workloads.values())
        return Played(
            self._diary,
            tuple(service.traffic for service in self._services),
            self._asked,
            (*self._watcher.broken, *self._platform.deaths()),
            self._duration_s,
            self._leapt_us / 1e6,
            self._platform.trace.digest(),
            unplaced,
        )

    # --- the morning ---

    def _have_met(self) -> bool:
        """Whether every operator sees every zone."""
        planes = [node.plane for node in self._platform.operators.values()]
        return all(
            plane is not None and len(plane.world.snapshot().zones) == len(self._world.zones) for plane in planes
        )

    async def _submit_all(self) -> None:
        for first in range(0, len(self._asked), SUBMITTED_AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for one in self._asked[first : first + SUBMITTED_AT_ONCE]:
                    group.create_task(self._platform.submit(one.home, one.id, one.spec))

    # --- faults ---

    def _plan(self) -> list[tuple[int, Callable[[], None]]]:
        """What is done from outside, by microseconds of the day; what is mended comes before what falls."""
        end_us = round(self._duration_s * 1e6)
        causes = causes_of(self._world.loaded, self._world.ground)
        found: list[tuple[int, int, str, Callable[[], None]]] = []
        for fault in schedule(causes, self._world.loaded.scenario.run.seed, end_us * 1_000):
            begin_us = fault.begin_ns // 1_000
            found.append((begin_us, 1, fault.title, partial(self._fall, fault)))
            # Nothing is mended before it has fallen, however short it is.
            found.append((max(begin_us + 1, fault.end_ns // 1_000), 0, fault.title, partial(self._mend, fault)))
        return [(at_us, act) for at_us, _, _, act in sorted(found, key=lambda one: one[:3]) if at_us < end_us]

    def _fall(self, fault: Fault) -> None:
        for zone in sorted(fault.falls.zones):
            self._down[zone] = self._down.get(zone, 0) + 1
            if self._down[zone] == 1:
                self._platform.zones[zone].lose_power()
        self._links.append(fault.falls.links)
        self._follow_links()
        self._diary.fallen(fault.title, fault.falls.zones)

    def _mend(self, fault: Fault) -> None:
        for zone in sorted(fault.falls.zones):
            self._down[zone] -= 1
            if not self._down[zone]:
                self._platform.zones[zone].start()
        self._links.remove(fault.falls.links)
        self._follow_links()
        self._diary.mended(fault.title)

    def _follow_links(self) -> None:
        fallen = frozenset[str]().union(*self._links)
        for service, rtt_ns in zip(self._services, self._reach.rtt_ns(fallen), strict=True):
            service.rtt_ns = rtt_ns
        self._reach.follow(fallen, self._platform.network)

    # --- looking ---

    def _look(self) -> None:
        """What users get is looked at whenever something may have changed; what must hold, once a second."""
        self._diary.look()
        self._is_unwatched |= self._platform.is_dirty
        self._platform.is_dirty = False
        if self._is_unwatched and self._loop.now_us - self._looked_us >= LOOK_EVERY_US:
            self._looked_us, self._is_unwatched = self._loop.now_us, False
            self._platform.is_dirty = True
            self._watcher.look()

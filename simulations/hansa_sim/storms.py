"""Storms: faults of some kinds, at random times, several at once.

Which kinds a storm is made of is drawn, too: what a few kinds do to each other at length, all kinds together hide
(Groce and others, "Swarm testing", ISSTA 2012).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from hansa_control.domain.model import Fact, FactKind

from hansa_sim.disks import DiskFault
from hansa_sim.faults import Faults
from hansa_sim.geography import declared
from hansa_sim.network import Weather
from hansa_sim.streams import Stream
from hansa_sim.world import World

SKEW_MS_MAX = 300_000
"""What operators tolerate (``Settings.clock_skew_ms_max``)."""


class Storm:
    """Does harm to a world. What it does, and to whom, comes from its own stream of chance."""

    def __init__(self, world: World, faults: Faults, chance: Stream) -> None:
        self._world = world
        self._faults = faults
        self._chance = chance
        self._harms = self._table()
        self._facts: dict[str, tuple[Fact, ...]] = {}

    def kinds(self, count: int) -> tuple[str, ...]:
        """That many kinds of faults, drawn, in order; each is there once."""
        left = sorted(self._harms)
        return tuple(sorted(left.pop(self._chance.integer(0, len(left) - 1)) for _ in range(min(count, len(left)))))

    async def rage(self, kinds: tuple[str, ...], duration_s: float, pause_s: tuple[float, float]) -> None:
        """Faults of these kinds for a time; returns when it is over, and leaves broken what is broken then."""
        end_us = self._world.loop.now_us + int(duration_s * 1_000_000)
        harms: list[asyncio.Task[None]] = []
        while self._world.loop.now_us < end_us:
            await asyncio.sleep(self._chance.uniform(*pause_s))
            harms.append(asyncio.create_task(_run(self._harms[self._chance.choice(kinds)]())))
        await asyncio.sleep(0)  # the last one begins, too
        for harm in harms:
            harm.cancel()
        for ended in await asyncio.gather(*harms, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    # --- whom and how long ---

    def _operator(self) -> str:
        return self._chance.choice(sorted(self._world.operators))

    def _two_operators(self) -> tuple[str, str]:
        one = self._operator()
        return one, self._chance.choice([name for name in sorted(self._world.operators) if name != one])

    def _zone(self) -> str:
        return self._chance.choice(sorted(self._world.zones))

    def _zone_and_owner(self) -> tuple[str, str]:
        zone = self._zone()
        ways = [(zone, zone.partition("/")[0]), (zone.partition("/")[0], zone)]
        return self._chance.choice(ways)

    def _app_and_operator(self) -> tuple[str, str]:
        operator = self._operator()
        hosts = [host for host in sorted(self._world.app_hosts) if host.startswith(f"app {operator}")]
        return (self._chance.choice(hosts), operator) if hosts else self._two_operators()

    def _any_two(self) -> tuple[str, str]:
        draw = self._chance.choice((self._two_operators, self._zone_and_owner, self._app_and_operator))
        return draw()

    def _short_s(self) -> float:
        return self._chance.uniform(0.05, 3.0)

    def _long_s(self) -> float:
        return self._chance.uniform(0.5, 9.0)

    def _step(self) -> int:
        """Mostly soon, sometimes late: which await it is that the process dies at."""
        return self._chance.integer(1, 2 ** self._chance.integer(1, 10))

    def _foul_weather(self) -> Awaitable[None]:
        one, other = self._any_two()
        weather = self._weather()
        if one.startswith("app "):  # what is refused must not come to be done by a double that the app team never sent
            weather = replace(weather, double_share=0.0)
        return self._faults.foul_weather(one, other, weather, self._long_s())

    def _weather(self) -> Weather:
        return Weather(
            latency_us=self._chance.choice((8_000, 40_000, 150_000)),
            jitter_us=self._chance.choice((4_000, 60_000, 400_000)),
            loss_share=self._chance.choice((0.0, 0.05, 0.3)),
            double_share=self._chance.choice((0.0, 0.2, 0.6)),
            straggler_share=self._chance.choice((0.0, 0.1, 0.4)),
        )

    # --- kinds ---

    def _table(self) -> Mapping[str, Callable[[], Awaitable[None] | None]]:
        do = self._faults
        return {
            "agent dies": lambda: do.kill_agent(self._zone(), self._short_s()),
            "agent dies at an await": lambda: do.crash_agent_at_await(self._zone(), self._step(), self._short_s()),
            "clock jumps beyond bounds": lambda: self._jump_clock(SKEW_MS_MAX, 20 * SKEW_MS_MAX),
            "clock jumps within bounds": lambda: self._jump_clock(1, SKEW_MS_MAX // 3),
            "commit acknowledged to nobody": lambda: do.fail_commit(self._operator(), DiskFault.UNACKNOWLEDGED),
            "commit fails": lambda: do.fail_commit(self._operator(), DiskFault.REFUSED),
            "connections break": lambda: do.reset(*self._any_two()),
            "cut": lambda: do.cut(*self._any_two(), self._long_s()),
            "cut one way": lambda: do.cut_one_way(*self._any_two(), self._long_s()),
            "disk full": lambda: do.fill_disk(self._operator(), 2 * self._short_s()),
            "disk slow": lambda: do.slow_disk(self._operator(), self._long_s()),
            "disk stalls": lambda: do.slow_disk(self._operator(), self._short_s(), (500_000, 2_500_000)),
            "disk taken away": lambda: do.take_disk(self._operator()),
            "foul weather": self._foul_weather,
            "instance dies": lambda: do.crash_instance(self._zone(), self._chance),
            "law changes": self._change_law,
            "operator dies": lambda: do.crash_operator(self._operator(), self._long_s()),
            "operator dies at an await": lambda: do.crash_operator_at_await(
                self._operator(), self._step(), self._short_s()
            ),
            "operator freezes": lambda: do.freeze_operator(self._operator(), 2 * self._short_s()),
            "operator loses power": lambda: do.power_operator_off(self._operator(), self._long_s()),
            "zone is replaced": lambda: do.lose_power(self._zone(), self._long_s(), disk_survives=False),
            "zone loses power": lambda: do.lose_power(self._zone(), self._long_s()),
        }

    def _jump_clock(self, low_ms: int, high_ms: int) -> Awaitable[None]:
        host = self._operator() if self._chance.chance(0.5) else self._zone()
        by_ms = self._chance.integer(low_ms, high_ms) * self._chance.choice((-1, 1))
        return self._faults.jump_clock(host, by_ms, self._long_s())

    async def _change_law(self) -> None:
        """An owner tells that its parent is abroad now, and later that it is not any more."""
        node = self._world.zone(self._zone())
        before = self._facts.setdefault(node.name, node.profile.facts)
        node.change_facts(_with_parent(before, "US"))
        try:
            await asyncio.sleep(self._long_s())
        finally:
            node.change_facts(before)


async def _run(harm: Awaitable[None] | None) -> None:
    if harm is not None:
        await harm


def _with_parent(facts: tuple[Fact, ...], country: str) -> tuple[Fact, ...]:
    kept = tuple(fact for fact in facts if fact.kind is not FactKind.ULTIMATE_PARENT_COUNTRY)
    return (*kept, declared(FactKind.ULTIMATE_PARENT_COUNTRY, country))

"""A play of which everything is drawn from the seed: how large the world is, who asks for what, what breaks.

Most worlds are small, because many small ones meet more cases in the same time than few large ones; some are large.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from hansa_control.domain.model import OnChange, WorkloadSpec

from hansa_sim.apps import AppTeam
from hansa_sim.geography import (
    FJORD,
    SKARGARD,
    THREE_OPERATORS,
    TWO_OPERATORS,
    OperatorProfile,
    nordic_spec,
    spread_spec,
)
from hansa_sim.history import History
from hansa_sim.scenario import Stage
from hansa_sim.storms import Storm
from hansa_sim.streams import Streams
from hansa_sim.workload_promise import judge

TINY = (replace(FJORD, zones=FJORD.zones[:1]), replace(SKARGARD, zones=SKARGARD.zones[:1]))


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is and how long its storm lasts."""

    profiles: tuple[OperatorProfile, ...]
    storm_s: float
    pause_s: tuple[float, float]
    teams: int
    names: int


SIZES = {
    "tiny": Size(TINY, 7.0, (0.05, 2.5), 2, 2),
    "small": Size(TWO_OPERATORS, 9.0, (0.05, 2.5), 3, 3),
    "large": Size(THREE_OPERATORS, 20.0, (0.05, 2.0), 4, 8),
}
_LOTS = ("tiny",) * 14 + ("small",) * 5 + ("large",)


def size_of(seed: int) -> str:
    """How large the world of a seed is: a name of SIZES."""
    return Streams(seed).stream("size").choice(_LOTS)


def drawn_profiles(seed: int) -> tuple[OperatorProfile, ...]:
    """The operators of a seed's world."""
    return SIZES[size_of(seed)].profiles


async def play_drawn(stage: Stage) -> None:
    """A storm over app teams that share names; then all is repaired, comes to rest, and what was told is judged."""
    world = stage.world
    size, chance = SIZES[size_of(world.streams.seed)], world.streams.stream("plan")
    storm = Storm(world, stage.faults, world.streams.stream("storm"))
    kinds = storm.kinds(chance.integer(1, 6))
    world.trace.add("world", f"{len(size.profiles)} operators, {size.storm_s:g} s of: {', '.join(kinds)}")
    await world.pass_s(chance.uniform(0.0, 3.0))
    history = History(lambda: world.loop.now_us)
    names = [f"app-{number}" for number in range(size.names)]
    teams = [AppTeam(world, history, chance.choice(sorted(world.operators)), number) for number in range(size.teams)]
    until_us = world.loop.now_us + int(size.storm_s * 1_000_000)
    async with asyncio.TaskGroup() as group:
        for team in teams:
            group.create_task(team.live(names, _specs(chance.integer), until_us))
        group.create_task(storm.rage(kinds, size.storm_s, size.pause_s))
    stage.faults.repair()
    await stage.calm()
    if chance.chance(0.3):
        for team in teams:
            await team.delete_all(names)
        await stage.calm()
    for team in teams:
        await team.look_at_all(names)
    judge(history, stage.watcher.break_)


def _specs(integer: Callable[[int, int], int]) -> list[WorkloadSpec]:
    """What app teams ask for: one replica or two, in one zone or two, and each way to take a change of the law."""
    rules = sorted(OnChange)
    specs = [
        nordic_spec(replicas, access, rules[integer(0, len(rules) - 1)])
        for replicas, access in ((1, "osl"), (2, "sto"), (1, "got"))
    ]
    return [*specs, spread_spec(("osl", "sto"))]

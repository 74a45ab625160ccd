"""Scenarios: a world, what happens in it, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog
from hansa_control.application.ports import RefusalError

from hansa_sim.faults import Faults
from hansa_sim.geography import OperatorProfile
from hansa_sim.invariants import Watcher
from hansa_sim.kernel import Deadlock, StepLimit, VirtualLoop
from hansa_sim.linearizability import TooLarge
from hansa_sim.world import World

CALM_TIMEOUT_S = 120.0
NEWS_S = 7.0
"""How long bad news may take: until a lost zone is noticed and partners know."""
PLAY_TIMEOUT_S = 600.0


@dataclass(slots=True)
class Stage:
    """What a scenario's play works with."""

    world: World
    faults: Faults
    watcher: Watcher

    async def calm(self, timeout_s: float = CALM_TIMEOUT_S) -> None:
        """Waits until nothing is on its way any more, then checks what must hold."""
        await self.world.pass_s(NEWS_S)
        with contextlib.suppress(TimeoutError):
            await self.world.until(lambda: not any(self.watcher.unsettled()), timeout_s, "calm")
        self.world.trace.add("world", "calm")
        self.watcher.check_calm()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named play among operators."""

    name: str
    title: str
    profiles: tuple[OperatorProfile, ...] | Callable[[int], tuple[OperatorProfile, ...]]
    play: Callable[[Stage], Awaitable[None]]

    def profiles_of(self, seed: int) -> tuple[OperatorProfile, ...]:
        """Who plays: always the same, or drawn from the seed."""
        return self.profiles(seed) if callable(self.profiles) else self.profiles


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: the digest of its trace, and every invariant that broke."""

    scenario: str
    seed: int
    digest: str
    lines: tuple[str, ...]
    broken: tuple[str, ...]
    virtual_ms: int
    step_count: int

    @property
    def is_sound(self) -> bool:
        return not self.broken


def run_scenario(scenario: Scenario, seed: int, on_line: Callable[[str], None] | None = None) -> Outcome:
    """Plays a scenario from a seed; ``on_line`` gets the trace as it grows. Whatever breaks is in the outcome."""
    loop = VirtualLoop()
    world = World(loop, seed, scenario.profiles_of(seed), on_line)
    watcher = Watcher(world)
    loop.on_quiet = watcher.look
    with quiet_logs():
        try:
            loop.run_main(_play(scenario, Stage(world, Faults(world), watcher)))
        except* (Deadlock, StepLimit, TimeoutError, RefusalError, TooLarge) as errors:
            for error in errors.exceptions:
                watcher.break_(f"the play ended early: {error!r}")
    for death in world.deaths():
        watcher.break_(f"a process died of itself or met a defect: {death}")
    trace, lines = world.trace.digest(), tuple(world.trace.lines)
    return Outcome(scenario.name, seed, trace, lines, tuple(watcher.broken), world.ended_us // 1_000, world.ended_steps)


async def _play(scenario: Scenario, stage: Stage) -> None:
    stage.world.start()
    try:
        async with asyncio.timeout(PLAY_TIMEOUT_S):
            await scenario.play(stage)
    finally:
        stage.world.end()


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """The parts' own logs would drown what happens; the trace tells it."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)

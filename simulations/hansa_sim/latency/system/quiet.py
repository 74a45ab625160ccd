"""The quiet of a day, left out where nothing can happen in it.

At rest everything that control planes and agents do is periodic: beats, ticks, looks at the law, sweeps. When a whole
period has gone by in which no record changed and nothing is on its way, the next one will do the same, and so will all
until something comes from outside. So whole periods are left out: the calendar goes on, everything that waits goes on
waiting as long as it had to, and every beat comes at the phase at which it would have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from operator import is_

from hansa_control.domain.model import ClaimState, Intake, PlacementState, Upkeep

from hansa_sim.world import World as Platform

SECOND_US = 1_000_000
PERIOD_US = 60 * SECOND_US
"""What all periods at rest divide: ticks of 250 ms, beats of 1 s, the law every 5 s, housekeeping every 10 s, a sweep
over all workloads every 60 s."""

CALM_US = PERIOD_US + 5 * SECOND_US
"""For how long nothing must have changed: a period, and a little for what a sweep sets going."""

STARTING = frozenset({PlacementState.HELD, PlacementState.STARTING})
PENDING = frozenset({ClaimState.HELD, ClaimState.ALLOCATED})
"""What ends by itself, later than a period. Whatever else has not changed for one waits for somebody outside, such as a
release for a zone that has no power."""


class Quiet:
    """Lets a platform's time pass, with leaps or, where ``leaps`` is false, without any."""

    def __init__(self, platform: Platform, *, leaps: bool) -> None:
        self._platform = platform
        self._leaps = leaps
        self._seen: list[object] = []
        self._since_us = platform.loop.now_us

    async def until(self, day_us: int) -> None:
        """Returns at that time of the day."""
        loop = self._platform.loop
        while loop.day_us < day_us:
            left_us = day_us - loop.day_us
            if self._leaps and left_us >= PERIOD_US and self.is_calm():
                loop.leap(left_us // PERIOD_US * PERIOD_US)
                continue
            await asyncio.sleep(min(left_us, SECOND_US) / SECOND_US)
            self._look()

    async def settle(self, timeout_s: float) -> None:
        """Returns when all is calm, or when it has not become so in time."""
        loop = self._platform.loop
        end_us = loop.now_us + round(timeout_s * SECOND_US)
        while loop.now_us < end_us and not self.is_calm():
            await asyncio.sleep(1)
            self._look()

    def is_calm(self) -> bool:
        """Whether nothing has changed for long enough, and nothing is on its way or held for later."""
        is_old = self._platform.loop.now_us - self._since_us >= CALM_US
        return is_old and not any(self._unsettled())

    def disturb(self) -> None:
        """Something is done to the platform from outside."""
        self._since_us = self._platform.loop.now_us

    def _look(self) -> None:
        seen = self._records()
        if len(seen) != len(self._seen) or not all(map(is_, seen, self._seen)):
            self._seen = seen
            self.disturb()

    def _records(self) -> list[object]:
        """What counts of everybody's records, as objects: a record that changes is another object."""
        found: list[object] = []
        for node in self._platform.operators.values():
            plane = node.plane
            found.append(plane)
            if plane is not None:
                found += [workload.placements for workload in plane.state.workloads.values()]
                found += plane.state.claims.values()
                found += plane.state.federations.values()
                found += [session.state for session in plane.world.sessions.values()]
        return found

    def _unsettled(self) -> Iterator[str]:
        for name, node in self._platform.operators.items():
            plane = node.plane
            if plane is None:
                continue
            for workload in plane.state.workloads.values():
                if any(placement.state in STARTING for placement in workload.placements):
                    yield f"{name}: {workload.id} is starting"
            yield from (f"{name}: {one.name}" for one in plane.state.claims.values() if one.state in PENDING)
            names = [*plane.world.sessions, *(f"{partner}>" for partner in node.profile.partners)]
            held = (one for one in names if plane.world.steadiness.seen(one, Upkeep()).intake is Intake.UNSTEADY)
            yield from (f"{name}: {one} is held down" for one in held)

"""Stretches of a day that are left out change nothing: the same moves at the same microsecond."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hansa_control.domain.model import WorkloadId
from hansa_sim.clock import DayClock, VirtualClock
from hansa_sim.geography import TWO_OPERATORS, nordic_spec
from hansa_sim.kernel import VirtualLoop
from hansa_sim.latency.system.day import Played
from hansa_sim.latency.system.quiet import CALM_US, PERIOD_US, SECOND_US, Quiet
from hansa_sim.world import World as Platform
from scenario_texts import TWO_APPS
from system_days import played_day


def seen(played: Played) -> tuple[object, ...]:
    """Everything that a day shows, but for how much of it was left out."""
    diary = played.diary
    sums = [(one.served, one.lost, one.replica_s) for one in diary.sums]
    return (played.digest, diary.happenings, diary.moves, diary.outages, diary.detect_us, sums, played.broken)


@pytest.mark.parametrize(
    "faults",
    [
        "{zone: skargard/stockholm-1, at_s: 333.333, for_s: 61}, {zone: nordavind/oslo-1, at_s: 340, for_s: 5}",
        "{country: SE, parts: zones, at_s: 120, for_s: 700}",
    ],
)
def test_day_with_leaps_is_the_day_without(tmp_path: Path, faults: str) -> None:
    leaping, walking = (played_day(tmp_path, faults, *TWO_APPS, leaps=leaps) for leaps in (True, False))
    assert leaping.leapt_s >= 300
    assert walking.leapt_s == 0
    assert seen(leaping)[1:] == seen(walking)[1:]
    assert leaping.digest == walking.digest


# --- when it is calm ---


def on_platform(play: Any) -> None:
    """Runs ``play(platform, quiet)`` with two operators that have met."""
    loop = VirtualLoop()
    platform = Platform(loop, 1, TWO_OPERATORS)
    quiet = Quiet(platform, leaps=True)

    async def main() -> None:
        platform.start()
        await asyncio.sleep(5)
        work: Coroutine[Any, Any, None] = play(platform, quiet)
        await work

    loop.run_main(main())


def test_it_is_calm_when_nothing_has_changed_for_a_period() -> None:
    async def play(platform: Platform, quiet: Quiet) -> None:
        assert not quiet.is_calm()
        await quiet.settle(600)
        assert quiet.is_calm()
        quiet.disturb()
        assert not quiet.is_calm()

    on_platform(play)


def test_whoever_is_calm_leaps_in_whole_periods_and_walks_the_rest() -> None:
    async def play(platform: Platform, quiet: Quiet) -> None:
        await quiet.settle(600)
        began_us, walked_us = platform.loop.day_us, platform.loop.now_us
        await quiet.until(began_us + 10 * PERIOD_US + 7 * SECOND_US)
        assert platform.loop.leapt_us == 10 * PERIOD_US
        assert platform.loop.now_us - walked_us == 7 * SECOND_US
        assert platform.loop.day_us - began_us == 10 * PERIOD_US + 7 * SECOND_US

    on_platform(play)


def test_a_record_that_changes_ends_the_calm() -> None:
    async def play(platform: Platform, quiet: Quiet) -> None:
        await quiet.settle(600)
        await platform.submit("fjord", WorkloadId("acme", "ocr"), nordic_spec())
        await quiet.until(platform.loop.day_us + 2 * SECOND_US)
        assert not quiet.is_calm()
        await quiet.until(platform.loop.day_us + CALM_US - 10 * SECOND_US)
        assert not quiet.is_calm()

    on_platform(play)


def test_nothing_is_left_out_while_an_instance_starts() -> None:
    async def play(platform: Platform, quiet: Quiet) -> None:
        for zone in platform.zones.values():
            zone.machine.manners = zone.machine.manners.__class__((300_000, 300_000), crash_share=0.0)
            zone.policy = zone.policy.__class__(ready_timeout_ms=400_000)
        platform.zones["fjord/oslo-1"].kill()
        platform.zones["fjord/bergen-1"].kill()
        for name in ("fjord/oslo-1", "fjord/bergen-1"):
            platform.zones[name].start()
        await platform.submit("fjord", WorkloadId("acme", "ocr"), nordic_spec())
        await quiet.until(platform.loop.day_us + 200 * SECOND_US)
        assert platform.loop.leapt_us == 0
        await quiet.until(platform.loop.day_us + 1_000 * SECOND_US)
        assert platform.loop.leapt_us > 0

    on_platform(play)


def test_nothing_is_left_out_while_a_zone_is_held_down_for_coming_and_going() -> None:
    async def play(platform: Platform, quiet: Quiet) -> None:
        plane = platform.plane("fjord")
        assert plane is not None
        for _ in range(6):
            plane.world.came_back("oslo-1")
        began_us = platform.loop.day_us
        await quiet.until(began_us + 75 * SECOND_US)
        assert platform.loop.leapt_us == 0
        await quiet.until(began_us + 600 * SECOND_US)
        assert platform.loop.leapt_us > 0

    on_platform(play)


def test_a_workload_that_is_nowhere_does_not_keep_the_day_awake() -> None:
    async def play(platform: Platform, quiet: Quiet) -> None:
        too_many = nordic_spec(replicas=400)
        await platform.submit("fjord", WorkloadId("acme", "ocr"), too_many)
        await quiet.until(platform.loop.day_us + 600 * SECOND_US)
        assert platform.loop.leapt_us > 0

    on_platform(play)


# --- clocks ---


def test_calendars_go_on_over_a_leap_and_what_waits_goes_on_waiting() -> None:
    loop = VirtualLoop()
    clock, day = VirtualClock(loop), DayClock(loop)

    async def main() -> None:
        waiting = asyncio.ensure_future(asyncio.sleep(10))
        await asyncio.sleep(1)
        wall_ms, monotonic_ms = clock.wall_ms(), clock.monotonic_ms()
        loop.leap(3_600 * SECOND_US)
        assert clock.wall_ms() - wall_ms == 3_600_000
        assert clock.monotonic_ms() == monotonic_ms
        assert day.monotonic_ms() - clock.monotonic_ms() == 3_600_000
        await asyncio.sleep(8.9)
        assert not waiting.done()
        await asyncio.sleep(0.2)
        assert waiting.done()
        assert loop.day_us - loop.now_us == 3_600 * SECOND_US

    loop.run_main(main())


def test_waiting_that_is_given_up_wakes_nobody() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        waiting = asyncio.ensure_future(loop.pass_us(5 * SECOND_US))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.sleep(10)
        assert waiting.cancelled()

    loop.run_main(main())
    assert loop.complaints == []

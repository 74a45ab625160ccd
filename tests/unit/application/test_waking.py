"""Who is looked at next: whoever asked to be looked at later is woken in time, however rarely anybody looks."""

from __future__ import annotations

import asyncio

import pytest
from hansa_control.application.settings import Settings
from hansa_control.application.waking import Wakes


class Clock:
    now_ms = 0

    def monotonic_ms(self) -> int:
        return self.now_ms


class Ids:
    def fraction(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wakes(clock: Clock) -> Wakes:
    return Wakes(Settings("fjord", retry_ms_min=500, retry_ms_max=4_000), (clock, Ids()))  # type: ignore[arg-type]


async def woken(wakes: Wakes) -> list[str]:
    """Everybody who is to be looked at now, in their order."""

    async def turn() -> None:
        return None

    found = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                found.append(await wakes.next(turn, is_fresh=False))
        except TimeoutError:
            return found
        wakes.done(found[-1])


async def test_whoever_asks_for_a_look_later_gets_it_then_and_not_before(wakes: Wakes, clock: Clock) -> None:
    wakes.look_in("ocr", 1_000)
    clock.now_ms = 999
    wakes.tick()
    assert await woken(wakes) == []
    clock.now_ms = 1_000
    wakes.tick()
    assert await woken(wakes) == ["ocr"]
    clock.now_ms = 5_000
    wakes.tick()
    assert await woken(wakes) == []


async def test_a_sooner_wish_counts_and_a_later_one_does_not(wakes: Wakes, clock: Clock) -> None:
    wakes.look_in("ocr", 3_000)
    wakes.look_in("ocr", 1_000)
    wakes.look_in("ocr", 2_000)
    clock.now_ms = 1_000
    wakes.tick()
    assert await woken(wakes) == ["ocr"]


async def test_wishes_that_come_after_a_tick_are_met_though_all_before_were_later(wakes: Wakes, clock: Clock) -> None:
    wakes.look_in("late", 60_000)
    wakes.tick()
    wakes.look_in("soon", 300)
    wakes.look_in("middle", 900)
    for now_ms, expected in ((299, []), (300, ["soon"]), (899, []), (900, ["middle"]), (60_000, ["late"])):
        clock.now_ms = now_ms
        wakes.tick()
        assert await woken(wakes) == expected


async def test_many_are_woken_in_time_by_ticks_of_any_pace(wakes: Wakes, clock: Clock) -> None:
    due = {f"w-{n}": (n * 7_919) % 10_000 + 1 for n in range(200)}
    for name, at_ms in due.items():
        wakes.look_in(name, at_ms)
    seen: dict[str, int] = {}
    for now_ms in range(0, 10_251, 250):
        clock.now_ms = now_ms
        wakes.tick()
        seen |= dict.fromkeys(await woken(wakes), now_ms)
    assert seen == {name: -(-at_ms // 250) * 250 for name, at_ms in due.items()}


async def test_attempts_wait_longer_each_time_until_one_succeeds(wakes: Wakes, clock: Clock) -> None:
    waits = []
    for _ in range(5):
        before_ms = clock.now_ms
        wakes.retry_later("ocr")
        while not await woken(wakes):
            clock.now_ms += 125
            wakes.tick()
        waits.append(clock.now_ms - before_ms)
    assert waits == [250, 500, 1_000, 2_000, 2_000]
    wakes.succeeded("ocr")
    wakes.retry_later("ocr")
    clock.now_ms += 250
    wakes.tick()
    assert await woken(wakes) == ["ocr"]


async def test_whoever_has_succeeded_is_not_woken_for_a_former_failure(wakes: Wakes, clock: Clock) -> None:
    wakes.retry_later("ocr")
    wakes.succeeded("ocr")
    clock.now_ms = 60_000
    wakes.tick()
    assert await woken(wakes) == []


async def test_who_is_woken_during_a_look_is_looked_at_once_more(wakes: Wakes) -> None:
    async def turn() -> None:
        return None

    wakes.wake("ocr")
    wakes.wake("ocr")
    assert await wakes.next(turn, is_fresh=False) == "ocr"
    wakes.wake("ocr")
    wakes.wake("ocr")
    wakes.done("ocr")
    assert await woken(wakes) == ["ocr"]

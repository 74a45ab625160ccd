"""Reports that come at about the same time wait for one another; a single one does not wait."""

from __future__ import annotations

from hansa_control.application.gathering import BUSY_COUNT, WINDOW_MS, Gathering


class NotingClock:
    """Time stands still until it is moved; how long somebody would have slept is noted."""

    def __init__(self) -> None:
        self.now_ms = 1_000
        self.slept_ms: list[int] = []

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    def elapsed_us(self) -> int:
        return self.now_ms * 1_000

    async def sleep_ms(self, duration_ms: int) -> None:
        self.slept_ms.append(duration_ms)


async def _window_of(gathering: Gathering, clock: NotingClock, sources: int) -> None:
    """A whole window in which so many report, and the beginning of the next one."""
    for source in range(sources):
        await gathering.gathered(f"zone-{source}")
    clock.now_ms += WINDOW_MS
    clock.slept_ms.clear()


async def test_who_reports_alone_is_answered_at_once_however_often() -> None:
    clock = NotingClock()
    gathering = Gathering(clock)
    for _ in range(100):
        clock.now_ms += 1
        await gathering.gathered("zone-0")
    assert clock.slept_ms == []


async def test_after_a_busy_window_reports_wait_until_the_end_of_theirs() -> None:
    clock = NotingClock()
    gathering = Gathering(clock)
    await _window_of(gathering, clock, BUSY_COUNT)
    await gathering.gathered("zone-0")
    clock.now_ms += WINDOW_MS - 1
    await gathering.gathered("zone-1")
    assert clock.slept_ms == [WINDOW_MS, 1]


async def test_one_source_less_than_busy_waits_for_nobody() -> None:
    clock = NotingClock()
    gathering = Gathering(clock)
    await _window_of(gathering, clock, BUSY_COUNT - 1)
    await gathering.gathered("zone-0")
    assert clock.slept_ms == []


async def test_a_pause_is_no_busy_window() -> None:
    clock = NotingClock()
    gathering = Gathering(clock)
    await _window_of(gathering, clock, BUSY_COUNT)
    clock.now_ms += WINDOW_MS
    await gathering.gathered("zone-0")
    assert clock.slept_ms == []

"""Who is looked at next: wake-ups that do not double, and attempts that wait longer each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import coroutine

from hansa_control.application.ports import Clock, IdSource
from hansa_control.application.settings import Settings

NEVER_MS = 1 << 62


class Wakes:
    """A queue of workloads, each in it once at most; one that is being looked at is looked at once more afterwards."""

    def __init__(self, settings: Settings, sources: tuple[Clock, IdSource]) -> None:
        self._settings = settings
        self._clock, self._ids = sources
        self._queues: dict[bool, asyncio.Queue[str]] = {False: asyncio.Queue(), True: asyncio.Queue()}
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._retry_at_ms: dict[str, int] = {}
        self._earliest_ms = 0
        self._retry_count: dict[str, int] = {}
        self.is_fresh: Callable[[str], bool] = lambda workload: False

    def wake(self, workload: str) -> None:
        """Asks for a look; asking again before it happens asks nothing more."""
        if workload in self._busy:
            self._again.add(workload)
        elif workload not in self._queued:
            self._queued.add(workload)
            self._queues[self.is_fresh(workload)].put_nowait(workload)

    async def next(self, turn: Callable[[], Awaitable[None]], *, is_fresh: bool) -> str:
        """The workload to look at now, of those that are placed for the first time or of the others, once ``turn`` has
        come; it is busy until ``done``.
        """
        key = await self._queues[is_fresh].get()
        await turn()
        self._queued.discard(key)
        self._busy.add(key)
        return key

    def done(self, workload: str) -> None:
        """The look is over; whoever woke it meanwhile gets another."""
        self._busy.discard(workload)
        if workload in self._again:
            self._again.discard(workload)
            self.wake(workload)

    def tick(self) -> None:
        """Wakes what asked to be looked at again by now."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._earliest_ms:
            return
        due = [key for key, at_ms in self._retry_at_ms.items() if at_ms <= now_ms]
        for key in due:
            del self._retry_at_ms[key]
            self.wake(key)
        self._earliest_ms = min(self._retry_at_ms.values(), default=NEVER_MS)

    def retry_later(self, workload: str) -> int:
        """Asks for a look after a delay that grows with each attempt, jittered; how many there were before this one."""
        count = self._retry_count.get(workload, 0)
        self._retry_count[workload] = min(count + 1, 16)
        bound_ms = min(self._settings.retry_ms_max, self._settings.retry_ms_min * 2**count)
        delay_ms = bound_ms // 2 + int(self._ids.fraction() * bound_ms / 2)
        self._ask_again(workload, self._clock.monotonic_ms() + delay_ms)
        return count

    def look_in(self, workload: str, delay_ms: int) -> None:
        """Asks for a look after a delay, or at the time that it asked for already if that is sooner."""
        at_ms = self._clock.monotonic_ms() + delay_ms
        self._ask_again(workload, min(at_ms, self._retry_at_ms.get(workload, at_ms)))

    def _ask_again(self, workload: str, at_ms: int) -> None:
        self._retry_at_ms[workload] = at_ms
        self._earliest_ms = min(self._earliest_ms, at_ms)

    def succeeded(self, workload: str) -> None:
        """Nothing is to be tried again; the next attempt that fails waits the shortest delay."""
        self._retry_at_ms.pop(workload, None)
        self._retry_count.pop(workload, None)


@coroutine
def _give_way() -> Generator[None]:
    """Lets whoever is ready go first."""
    yield


async def at_once() -> None:
    """A turn that comes as soon as whoever is ready has gone."""
    await _give_way()

"""Time and chance of the real world: the only place where they are read."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from hansa.memory import give_back_code

T = TypeVar("T")

_FIRST = "abcdefghijklmnopqrstuvwxyz"
_REST = _FIRST + "0123456789"
_ID_LENGTH = 20
_ID_COUNT = len(_FIRST) * len(_REST) ** (_ID_LENGTH - 1)


COLLECT_AFTER = (50_000, 20, 50)
"""Objects, and younger collections, after which Python looks for cycles in each of its three generations."""


def rest_collector() -> None:
    """Looks for cycles no more, until ``calm_collector``: what a start makes stays, and each search would go through
    all of it again, which takes as long as making it."""
    gc.collect()
    gc.freeze()
    gc.disable()


def calm_collector() -> None:
    """Sets what is there now aside from the search for cycles, and lets that search come less often.

    A network of 10,000 nodes is half a million objects without a cycle. Looking through all of them takes 60 to 90 ms,
    in the middle of some decision. What of the code has run for the start alone is given back.
    """
    if gc.isenabled():
        gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(*COLLECT_AFTER)
    give_back_code()


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC; may jump."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Milliseconds since some moment; only grows."""
        return time.monotonic_ns() // 1_000_000

    def elapsed_us(self) -> int:
        """Microseconds since some moment, as finely as the machine counts; only grows."""
        return time.perf_counter_ns() // 1_000

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)


class ThreadWorker:
    """Does work in a thread of its own, one job at a time; numpy and HiGHS leave the event loop room meanwhile."""

    async def run(self, job: Callable[[], T]) -> T:
        return await asyncio.to_thread(job)


class SystemIds:
    """Names and jitter from the operating system's entropy; 20 characters hold more than 100 bits."""

    def __init__(self) -> None:
        self._chance = secrets.SystemRandom()

    def new_id(self) -> str:
        """A name that nobody else has; a letter first, so that it is a name anywhere."""
        number, first = divmod(secrets.randbelow(_ID_COUNT), len(_FIRST))
        rest = []
        for _ in range(_ID_LENGTH - 1):
            number, at = divmod(number, len(_REST))
            rest.append(_REST[at])
        return _FIRST[first] + "".join(rest)

    def fraction(self) -> float:
        return self._chance.random()

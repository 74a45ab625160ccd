"""The real clock, the real chance and real names: the only file that touches them."""

from __future__ import annotations

import asyncio
import os
import random  # noqa: TID251
import time
import uuid  # noqa: TID251
from collections.abc import Mapping

from hansa_agent.ports import Instant


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        return Instant(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemIds:
    """Random UUIDs (RFC 9562, version 4)."""

    def new_id(self) -> str:
        return str(uuid.uuid4())


class SystemRandom:
    """The operating system's entropy."""

    def __init__(self) -> None:
        self._source = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        return self._source.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        return self._source.randint(low, high)


def environment() -> Mapping[str, str]:
    """Of this process: the contract of a process that runs as a part of an instance."""
    return os.environ  # noqa: TID251

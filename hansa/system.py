"""The only place of the client where time, chance and fresh ids come from, behind protocols that a test replaces."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251
import time
import uuid  # noqa: TID251
from datetime import UTC, date, datetime
from typing import Protocol


class Clock(Protocol):
    """Time, as the client sees it."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the Unix epoch, UTC."""

    def monotonic_ms(self) -> int:
        """Milliseconds since some fixed moment; never goes back."""

    async def sleep(self, duration_ms: int) -> None:
        """Waits."""


class IdSource(Protocol):
    """Where request ids come from."""

    def new_id(self) -> str:
        """An id that was never given before."""

    def jitter_ms(self, delay_ms: int) -> int:
        """A delay near the given one, so that many clients do not come back at once."""


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)


class SystemIds:
    """Random ids (UUID version 4) and random jitter."""

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def jitter_ms(self, delay_ms: int) -> int:
        """Between four fifths of the delay and the delay."""
        return delay_ms - random.randrange(delay_ms // 5 + 1)  # noqa: S311 - spreads load, keeps no secret


def utc_date(now_ms: int) -> date:
    """The day of a moment (milliseconds since the Unix epoch), UTC: the day as of which law is read."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()

"""Waiting for what the demonstration promises, and keeping account of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hansa_demo.processes import DemoFailed

T = TypeVar("T")
EVERY_S = 0.1


def wait_for(what: str, look: Callable[[], T | None], timeout_s: float = 30.0, every_s: float = 0.2) -> tuple[T, float]:
    """Looks until there is something; answers it and the seconds it took. DemoFailed when time is up."""
    started_s = time.monotonic()  # noqa: TID251
    while True:
        found = look()
        elapsed_s = time.monotonic() - started_s  # noqa: TID251
        if found:
            return found, elapsed_s
        if elapsed_s > timeout_s:
            raise DemoFailed(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)  # noqa: TID251 - the other processes have no event to wait for


async def until(what: str, look: Callable[[], Awaitable[T]], timeout_s: float = 30.0) -> T:
    """The same for what has to be awaited; AssertionError when time is up, because tests use it."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not (found := await look()):
        if loop.time() >= deadline_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(EVERY_S)
    return found


@dataclass(slots=True)
class Account:
    """Every promise of the demonstration, with what was seen of it."""

    rows: list[tuple[str, bool, str]] = field(default_factory=list)

    def note(self, promise: str, seen: str, *, kept: bool) -> None:
        self.rows.append((promise, kept, seen))
        if not kept:
            raise DemoFailed(f"{promise}: {seen}")

    @property
    def kept(self) -> bool:
        return all(kept for _, kept, _ in self.rows)

"""Telling waiters that something changed, without saying what: they look for themselves."""

from __future__ import annotations

import asyncio


class Signal:
    """A version that grows. Waiters say which version they have seen; missed notifications cannot happen."""

    def __init__(self) -> None:
        self.version = 0
        # Woken in the order in which they came, as nothing else would be the same twice.
        self._waiters: dict[asyncio.Future[None], None] = {}

    def notify(self) -> None:
        self.version += 1
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seen: int) -> int:
        """Returns the version as soon as it is greater than ``seen``."""
        while self.version <= seen:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)
        return self.version

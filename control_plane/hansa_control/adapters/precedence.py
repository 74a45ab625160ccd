"""Whoever waits for an answer goes before work that nobody waits for, which still gets on."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

from hansa_control.application.ports import Clock

TURN_EVERY_MS = 50
"""While calls wait, first placings begin this far apart. One takes 5 to 10 ms, so they keep a tenth to a fifth of the
processor however many call.
"""


class Precedence:
    """Calls that are being answered, and turns of the work that gives way to them.

    Only a call that waits, for its commit above all, is seen to be there by others: what is answered from memory is
    answered at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self._answering = _Answering(self._nobody_waits)
        self._in_turn = asyncio.Lock()
        self._next_turn_ms = 0

    def answering(self) -> AbstractContextManager[None]:
        """A call that is being answered."""
        return self._answering

    async def turn(self) -> None:
        """Returns when it is the turn of work that gives way: at once when no call waits, else after the others."""
        async with self._in_turn:
            rest_ms = self._next_turn_ms - self._clock.monotonic_ms()
            if rest_ms > 0:
                await self._until_nobody_waits(rest_ms)
            self._next_turn_ms = self._clock.monotonic_ms() + TURN_EVERY_MS
            await self._clock.sleep_ms(0)  # a row of turns keeps nobody else waiting

    async def _until_nobody_waits(self, most_ms: int) -> None:
        try:
            async with asyncio.timeout(most_ms / 1000):
                await self._nobody_waits.wait()
        except TimeoutError:
            pass


class _Answering(AbstractContextManager[None]):
    """How many calls are being answered. One for all of them, as every call passes here."""

    def __init__(self, nobody_waits: asyncio.Event) -> None:
        self._count = 0
        self._nobody_waits = nobody_waits

    def __enter__(self) -> None:
        self._count += 1
        self._nobody_waits.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._nobody_waits.set()

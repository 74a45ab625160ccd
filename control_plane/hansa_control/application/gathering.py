"""Changes that many report at about the same time, and that nobody else waits for, share a transaction.

A transaction costs as much as a dozen of the reports of agents that it makes durable. An operator of a thousand zones
that each report once a second would write a thousand of them; one that waits for a moment writes fifty.
"""

from __future__ import annotations

from hansa_control.application.ports import Clock

WINDOW_MS = 20
"""For how long a report waits for others at most: little beside the second between two reports of a zone."""

BUSY_COUNT = 4
"""From so many who report in a window on, waiting for others pays; who reports alone is answered at once."""


class Gathering:
    """Windows of time, and how many different sources reported in the last one that was whole."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_ms = clock.monotonic_ms()
        self._sources: set[str] = set()
        self._last_count = 0

    async def gathered(self, source: str) -> None:
        """Returns when a source's report is to be committed: at once, or at the end of the window where many report."""
        now_ms = self._clock.monotonic_ms()
        passed_ms = now_ms - self._began_ms
        if passed_ms >= WINDOW_MS:
            self._last_count = len(self._sources) if passed_ms < 2 * WINDOW_MS else 0
            self._sources.clear()
            self._began_ms, passed_ms = now_ms, 0
        self._sources.add(source)
        if self._last_count >= BUSY_COUNT:
            await self._clock.sleep_ms(WINDOW_MS - passed_ms)

"""Time and names in the simulation, in the forms that the control plane and the agent ask for."""

from __future__ import annotations

from hansa_agent.ports import Instant

from hansa_sim.kernel import VirtualLoop
from hansa_sim.streams import Stream

EPOCH_MS = 1_750_000_000_000
"""Wall clock when a simulation begins: 15 June 2025, 15:06:40 UTC."""


class Skew:
    """By how much a host's wall clock is ahead, in milliseconds; whoever changes it makes the clock jump."""

    def __init__(self, ms: int = 0) -> None:
        self.ms = ms


class VirtualClock:
    """One host's clocks. Monotonic time begins at 0 and never jumps; the wall clock is off by ``skew``."""

    def __init__(self, loop: VirtualLoop, skew: Skew | None = None) -> None:
        self._loop = loop
        self._started_us = loop.now_us
        self._skew = skew or Skew()

    def wall_ms(self) -> int:
        return EPOCH_MS + self._loop.wall_ahead_ms + self._loop.day_us // 1_000 + self._skew.ms

    def monotonic_ms(self) -> int:
        return (self._loop.now_us - self._started_us) // 1_000

    def elapsed_us(self) -> int:
        return self._loop.now_us - self._started_us

    async def sleep_ms(self, duration_ms: int) -> None:
        await self._loop.pass_us(duration_ms * 1_000)

    def now(self) -> Instant:
        return Instant(self.monotonic_ms(), self.wall_ms())

    def monotonic_ns(self) -> int:
        return self.elapsed_us() * 1_000

    def wall_ns(self) -> int:
        return self.wall_ms() * 1_000_000

    async def sleep(self, seconds: float) -> None:
        await self._loop.pass_us(round(seconds * 1_000_000))


class DayClock(VirtualClock):
    """The same with a monotonic time that goes on while the loop leaps, for what remembers longer than a beat."""

    def monotonic_ms(self) -> int:
        return self._loop.day_us // 1_000


class SimIds:
    """Names and jitter from a seeded stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def new_id(self) -> str:
        return self._stream.word()

    def fraction(self) -> float:
        return self._stream.fraction()

"""Flapping is damped: whoever comes and goes repeatedly is held down, longer each time, before it counts again.

After the idea of route flap damping (RFC 2439), with a count instead of a decaying figure of merit: the same in
integers on every machine, and easy to say in words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FREE_RETURNS = 2
HOLD_MS_MIN = 10_000
HOLD_MS_MAX = 300_000
CALM_MS = 600_000
"""Whoever has been there for so long after its last hold-down ended has nothing to its name."""


@dataclass(frozen=True, slots=True)
class Damping:
    """How often somebody has come back with no calm in between, and until when it is held down, monotonic."""

    returns: int = 0
    until_ms: int = 0


def come_back(before: Damping, now_ms: int) -> Damping:
    """After another return. The first two cost nothing; each one after them doubles the hold-down, up to its bound."""
    returns = 1 if now_ms - before.until_ms >= CALM_MS else before.returns + 1
    costly = returns - FREE_RETURNS
    hold_ms = 0 if costly <= 0 else min(HOLD_MS_MAX, HOLD_MS_MIN << min(costly - 1, 16))
    return replace(before, returns=returns, until_ms=now_ms + hold_ms)


def is_held_down(damping: Damping, now_ms: int) -> bool:
    """Whether it does not count yet."""
    return now_ms < damping.until_ms

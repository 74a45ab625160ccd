"""Whether who watches others for their silence was there to hear them.

A process that was frozen, swapped out or moved to another machine finds everybody silent when it goes on. That is its
own absence, and no silence of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attention:
    """looked_ms is when it looked last, monotonic, None before the first time; was_away whether it was away then."""

    looked_ms: int | None = None
    was_away: bool = False


def look(before: Attention, now_ms: int, away_ms_min: int) -> tuple[Attention, int]:
    """After another look, and for how long it was away before it, ms: 0 if it looks again within away_ms_min.

    An absence is excused once: who is late every time is slow, and must find those lost who are.
    """
    gap_ms = 0 if before.looked_ms is None else now_ms - before.looked_ms
    is_away = gap_ms >= away_ms_min
    return Attention(now_ms, is_away), gap_ms if is_away and not before.was_away else 0

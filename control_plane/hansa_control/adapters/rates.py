"""How often somebody may do something."""

from __future__ import annotations

from collections import Counter

from hansa_control.application.ports import Clock, RefusalError
from hansa_control.domain.model import Reason


class TokenBucket:
    """Lets ``rate_per_s`` through in the long run and ``burst`` at once. Counts in thousandths, without floats."""

    def __init__(self, clock: Clock, rate_per_s: int, burst: int) -> None:
        self._clock = clock
        self._rate_per_s = rate_per_s
        self._full_milli = burst * 1000
        self._left_milli = self._full_milli
        self._filled_at_ms = clock.monotonic_ms()

    def take(self) -> None:
        """Takes one; RefusalError LIMIT_EXCEEDED if there is none."""
        now_ms = self._clock.monotonic_ms()
        gained = (now_ms - self._filled_at_ms) * self._rate_per_s
        self._left_milli = min(self._full_milli, self._left_milli + gained)
        self._filled_at_ms = now_ms
        if self._left_milli < 1000:
            raise RefusalError(Reason.LIMIT_EXCEEDED, f"more than {self._rate_per_s} messages a second")
        self._left_milli -= 1000


class PartnerRates:
    """A bucket for each partner, whatever it calls and on however many connections; ``refused`` counts by partner."""

    def __init__(self, clock: Clock, rate_per_s: int, burst: int) -> None:
        self._clock = clock
        self._limits = (rate_per_s, burst)
        self._buckets: dict[str, TokenBucket] = {}
        self.refused: Counter[str] = Counter()

    def take(self, partner: str) -> None:
        """Takes one for a partner; RefusalError LIMIT_EXCEEDED if it has none left."""
        bucket = self._buckets.get(partner)
        if bucket is None:
            bucket = self._buckets[partner] = TokenBucket(self._clock, *self._limits)
        try:
            bucket.take()
        except RefusalError:
            self.refused[partner] += 1
            raise

"""How often is probed: seldom while a way is as it was, often for a while after a change, within a budget. Pure.

A step of the median is found by a two-sided cumulative sum (E. S. Page, Biometrika 41, 1954) over what each probe
deviates from the median, in units of the median absolute deviation, so that it is the same test on any way. A single
outlier, however large, counts for at most ``CLIP``; a step far beyond the jitter is seen after four probes.
"""

from __future__ import annotations

from collections import deque

BASELINE_MIN, BASELINE_MAX = 20, 120
DOUBT = 10
SLACK, ALARM, CLIP = 0.75, 12.0, 4.0
SIGMA_OF_MAD = 1.4826
SCALE_US_MIN, SCALE_PERMILLE_MIN = 100, 10
FAST_FACTOR, FAST_ROUNDS, FAST_MS_MIN = 5, 6, 200
CALM_ROUNDS = 12
LOSSES_ALARMING = 3


class StepDetector:
    """Watches the round-trip times of one way."""

    def __init__(self) -> None:
        self._baseline: deque[int] = deque(maxlen=BASELINE_MAX)
        self._up = self._down = 0.0
        self._rising: list[int] = []
        self._falling: list[int] = []
        self._median_us, self._scale_us = 0.0, 1.0

    def add(self, rtt_us: int) -> int:
        """How many of the last round-trip times belong to a step that is certain now; 0 if none is."""
        if len(self._baseline) < BASELINE_MIN:
            self._learn(rtt_us)
            return 0
        deviation = (rtt_us - self._median_us) / self._scale_us
        deviation = max(-CLIP, min(CLIP, deviation))
        self._up, self._down = max(0.0, self._up + deviation - SLACK), max(0.0, self._down - deviation - SLACK)
        self._rising = [*self._rising, rtt_us] if self._up else []
        self._falling = [*self._falling, rtt_us] if self._down else []
        since = self._rising if self._up > ALARM else self._falling if self._down > ALARM else []
        if not since:
            self._learn(rtt_us)
            return 0
        self._begin(since)
        return len(since)

    def _begin(self, rtts_us: list[int]) -> None:
        self._baseline.clear()
        self._up = self._down = 0.0
        self._rising, self._falling = [], []
        for each in rtts_us:
            self._learn(each)

    def _learn(self, rtt_us: int) -> None:
        self._baseline.append(rtt_us)
        self._median_us = _median(list(self._baseline))
        spread_us = _median([abs(each - self._median_us) for each in self._baseline])
        scale_us = max(SIGMA_OF_MAD * spread_us, SCALE_US_MIN, self._median_us * SCALE_PERMILLE_MIN / 1_000)
        # Median and deviation of a few probes are themselves uncertain.
        self._scale_us = scale_us * (1 + DOUBT / len(self._baseline))


def _median(values: list[int] | list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class Pace:
    """The pause between two rounds to one target: ``interval_ms``, up to ``interval_ms_max`` while nothing happens."""

    def __init__(self, interval_ms: int, interval_ms_max: int) -> None:
        self._interval_ms = interval_ms
        self._interval_ms_max = max(interval_ms, interval_ms_max)
        self._fast_left = 0
        self._calm = 0
        self._lost_before = 0

    def after_round(self, lost_count: int, *, stepped: bool) -> int:
        """Milliseconds until the next round, from what the last one has shown."""
        if stepped or abs(lost_count - self._lost_before) >= LOSSES_ALARMING:
            self._fast_left, self._calm = FAST_ROUNDS, 0
        self._lost_before = lost_count
        if self._fast_left:
            self._fast_left -= 1
            return min(max(self._interval_ms // FAST_FACTOR, FAST_MS_MIN), self._interval_ms)
        self._calm += 1
        return min(self._interval_ms << min(self._calm // CALM_ROUNDS, 10), self._interval_ms_max)


class Budget:
    """Packets that all targets together may be sent a second. Whoever asks is told for how long to wait first."""

    def __init__(self, packets_per_s: int) -> None:
        self._packets_per_s = packets_per_s
        self._free_at_ms = 0.0

    def wait_ms(self, count: int, now_ms: int) -> int:
        """Milliseconds until ``count`` packets may be sent, which are taken from the budget thereby."""
        begin_ms = max(self._free_at_ms, now_ms)
        self._free_at_ms = begin_ms + 1_000 * count / self._packets_per_s
        return int(begin_ms - now_ms)

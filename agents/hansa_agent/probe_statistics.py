"""From single round trips to what is advertised: percentiles over a window, told only when they moved. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from hansa.v1.network_pb2 import LATENCY_BASIS_MEASURED, ProbeResult, RoundTrip

MOVED_PERMILLE = 100
MOVED_US_MIN = 200
LOSS_MOVED_PERMILLE = 20
QUANTUM_US = 10
FRESH_MS = 30_000


class ProbeWindow:
    """The last ``count`` probes to one target, lost ones included (None), in order."""

    def __init__(self, count: int) -> None:
        self._rtts_us: deque[int | None] = deque(maxlen=count)

    def add(self, rtts_us: Iterable[int | None]) -> None:
        """Round-trip times in microseconds, in order of sending."""
        self._rtts_us.extend(rtts_us)

    def keep_last(self, count: int) -> None:
        """Forgets all but the last so many probes, since the way is another one now."""
        for _ in range(len(self._rtts_us) - count):
            self._rtts_us.popleft()

    def result(self, source_zone: str, target_zone: str, observed_at_ms: int) -> ProbeResult | None:
        """The figures; None when nothing came back in the whole window, since nothing was measured then."""
        answered = [rtt for rtt in self._rtts_us if rtt is not None]
        if not answered:
            return None
        ordered = sorted(answered)
        rtt = RoundTrip(
            p50_us=_quantised(percentile(ordered, 50)),
            p95_us=_quantised(percentile(ordered, 95)),
            p99_us=_quantised(percentile(ordered, 99)),
            basis=LATENCY_BASIS_MEASURED,
            sample_count=len(answered),
            observed_at_ms=observed_at_ms,
        )
        lost = len(self._rtts_us) - len(answered)
        return ProbeResult(
            source_zone=source_zone,
            target_zone=target_zone,
            rtt=rtt,
            min_us=ordered[0],
            jitter_us=_quantised(jitter_us(answered)),
            loss_permille=1_000 * lost // len(self._rtts_us),
        )


def percentile(ordered: list[int], percent: int) -> int:
    """The nearest-rank percentile: the smallest value that ``percent`` % of ``ordered`` do not exceed."""
    rank = -(-percent * len(ordered) // 100)
    return ordered[max(rank, 1) - 1]


def jitter_us(rtts_us: list[int]) -> int:
    """Mean difference of successive round-trip times, microseconds (RFC 3550, section 6.4.1, unsmoothed)."""
    differences = [abs(later - earlier) for earlier, later in pairwise(rtts_us)]
    return sum(differences) // len(differences) if differences else 0


def worth_telling(told: ProbeResult | None, fresh: ProbeResult) -> bool:
    """Whether ``fresh`` is to replace what was told: it moved by a tenth, loss changed, or 30 s have passed."""
    if told is None or fresh.rtt.observed_at_ms - told.rtt.observed_at_ms >= FRESH_MS:
        return True
    if abs(fresh.loss_permille - told.loss_permille) >= LOSS_MOVED_PERMILLE:
        return True
    return _moved(told.rtt.p50_us, fresh.rtt.p50_us) or _moved(told.rtt.p95_us, fresh.rtt.p95_us)


def _moved(told_us: int, fresh_us: int) -> bool:
    return abs(fresh_us - told_us) > max(told_us * MOVED_PERMILLE // 1_000, MOVED_US_MIN)


def _quantised(value_us: int) -> int:
    return (value_us + QUANTUM_US // 2) // QUANTUM_US * QUANTUM_US


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_ms: int


class RateLimit:
    """A token bucket per source: ``per_second`` sustained, twice that at once; remembers ``sources_max`` sources."""

    def __init__(self, per_second: int, sources_max: int = 4_096) -> None:
        self._per_second = per_second
        self._sources_max = sources_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allows(self, source: str, now_ms: int) -> bool:
        """Whether ``source`` may be answered now; takes one token if so."""
        full = 2.0 * self._per_second
        bucket = self._buckets.setdefault(source, _Bucket(full, now_ms))
        self._buckets.move_to_end(source)
        if len(self._buckets) > self._sources_max:
            self._buckets.popitem(last=False)
        bucket.tokens = min(full, bucket.tokens + (now_ms - bucket.filled_ms) * self._per_second / 1_000)
        bucket.filled_ms = now_ms
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

"""Packets that are on their way: when each one leaves the relay, or that it is lost. Pure: it is told the time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from hansa_sim.streams import Stream

LATENESS_BUCKET_NS = 10_000
LATENESS_BUCKETS = 2_000
UNDER_WAY_MAX = 100_000
"""Packets at the same time, at most; what comes then is lost, as in a router whose memory is full."""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction between two hosts: how long a packet takes, and the share of packets that never arrive."""

    delay_ns: int
    loss: float = 0.0


class UnderWay:
    """A heap of release times. Packets of one way never overtake one another, because its delay is always the same."""

    def __init__(self, seed: int = 1) -> None:
        self._heap: list[tuple[int, int, int, bytes]] = []
        self._count = 0
        self._chance = Stream(seed, "loss")
        self.lost_count = 0

    def send(self, way: Way | None, target: int, packet: bytes, now_ns: int) -> None:
        """Takes a packet for a host; one without a way, one that chance takes and one too many are lost."""
        if way is None or len(self._heap) >= UNDER_WAY_MAX or (way.loss and self._chance.chance(way.loss)):
            self.lost_count += 1
            return
        self._count += 1
        heapq.heappush(self._heap, (now_ns + way.delay_ns, self._count, target, packet))

    def due(self, now_ns: int) -> tuple[int, int, bytes] | None:
        """The next packet whose time has come: when it was due, the host, the packet; None if there is none yet."""
        if not self._heap or self._heap[0][0] > now_ns:
            return None
        due_ns, _, target, packet = heapq.heappop(self._heap)
        return due_ns, target, packet

    def pause_ns(self, now_ns: int) -> int | None:
        """How long until the next packet is due, 0 if it is late; None while nothing is under way."""
        return max(0, self._heap[0][0] - now_ns) if self._heap else None


class Lateness:
    """How late packets were released, counted in steps of 10 us, so that it never grows."""

    def __init__(self) -> None:
        self._counts = [0] * LATENESS_BUCKETS

    def note(self, late_ns: int) -> None:
        self._counts[min(late_ns // LATENESS_BUCKET_NS, LATENESS_BUCKETS - 1)] += 1

    @property
    def count(self) -> int:
        """Packets released."""
        return sum(self._counts)

    def percentile_us(self, percent: float) -> float:
        """How late so many percent were at most, microseconds; 0 where nothing was released."""
        wanted, below = self.count * percent / 100, 0
        for bucket, count in enumerate(self._counts):
            below += count
            if count and below >= wanted:
                return (bucket + 1) * LATENESS_BUCKET_NS / 1_000
        return 0.0

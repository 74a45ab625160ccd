"""One-way delays, where the clocks of both ends allow it. Pure.

They are told beside the round trip and never made of it. Nothing is decided by them: a reflector may claim any split.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from hansa.v1.network_pb2 import OneWayDelay
from hansa_agent.probe_statistics import percentile
from hansa_agent.stamp_packet import ReflectorPacket, error_us_of, ntp_difference_us

SAMPLES_MIN = 10


class OneWaySample(NamedTuple):
    """One probe: there and back, its round trip, and by how much both clocks together may be off, microseconds."""

    there_us: int
    back_us: int
    error_us: int
    rtt_us: int

    @property
    def is_possible(self) -> bool:
        """Whether neither way goes back in time or takes longer than the round trip, by more than the error."""
        fastest, slowest = sorted((self.there_us, self.back_us))
        return fastest + self.error_us >= 0 and slowest <= self.rtt_us + self.error_us


def sample_of(
    answer: ReflectorPacket, moments_ntp: tuple[int, int], rtt_us: int, own_error_us: int | None
) -> OneWaySample | None:
    """What a probe says, by the wall clocks of both ends; None where a clock follows no time source.

    ``moments_ntp`` are when it was sent and answered by this end's clock, exact and not as the packet has them.
    """
    theirs_us = error_us_of(answer.error_estimate)
    if own_error_us is None or theirs_us is None:
        return None
    sent_ntp, received_ntp = moments_ntp
    there_us = ntp_difference_us(answer.received_ntp, sent_ntp)
    back_us = ntp_difference_us(received_ntp, answer.ntp)
    return OneWaySample(there_us, back_us, own_error_us + theirs_us, rtt_us)


class OneWayWindow:
    """The last samples of one way. One that cannot be empties it: a clock was set, or lies."""

    def __init__(self, count: int) -> None:
        self._samples: deque[OneWaySample] = deque(maxlen=count)

    def add(self, sample: OneWaySample | None) -> None:
        if sample is None or not sample.is_possible:
            self._samples.clear()
        else:
            self._samples.append(sample)

    def clear(self) -> None:
        """The way is another one now."""
        self._samples.clear()

    def result(self) -> OneWayDelay | None:
        """The figures; None unless the largest error of any sample is smaller than both medians."""
        if len(self._samples) < SAMPLES_MIN:
            return None
        there, back = (sorted(each[at] for each in self._samples) for at in (0, 1))
        error_us = max(each.error_us for each in self._samples)
        if error_us >= min(percentile(there, 50), percentile(back, 50)):
            return None
        return OneWayDelay(
            there_p50_us=percentile(there, 50),
            there_p95_us=percentile(there, 95),
            back_p50_us=percentile(back, 50),
            back_p95_us=percentile(back, 95),
            error_us=error_us,
            sample_count=len(self._samples),
        )

"""Which measurements of agents are written down, and which stay in memory until the next one that is.

Agents measure all the time, and a restarted control plane hears each of them again within seconds, as it tells them
what it holds. What it has to know before that is about what was measured: a minute old will do. A round trip that is
shorter than the one that was written last is another matter, for it may prove that a zone is not where it is said to
be, and that must not be forgotten: it is written down at once.
"""

from __future__ import annotations

from typing import NamedTuple

from hansa_control.application.ports import Clock
from hansa_control.domain.model import NodeProbe, ProbeResult

WRITTEN_EVERY_MS = 60_000


class _Written(NamedTuple):
    at_ms: int
    min_us: int


class Measurements:
    """What was written last, by the key of its advert; after a start nothing is known, so each is written once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written: dict[str, _Written] = {}

    def is_due(self, key: str, probe: ProbeResult | NodeProbe) -> bool:
        """Whether this one is to be written, which counts as done."""
        now_ms, before = self._clock.monotonic_ms(), self._written.get(key)
        if before is not None and now_ms - before.at_ms < WRITTEN_EVERY_MS and not _is_shorter(probe, before):
            return False
        self._written[key] = _Written(now_ms, probe.min_us)
        return True

    def forget(self, key: str) -> None:
        """The advert is gone."""
        self._written.pop(key, None)


def _is_shorter(probe: ProbeResult | NodeProbe, before: _Written) -> bool:
    """0 is an answer that nobody measured."""
    return probe.min_us > 0 and (before.min_us == 0 or probe.min_us < before.min_us)

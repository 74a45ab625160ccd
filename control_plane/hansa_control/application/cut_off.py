"""For how long home operators have been silent, and which claims their owner gives up by itself for that."""

from __future__ import annotations

from collections.abc import Iterator

from hansa_control.application.ports import Clock
from hansa_control.domain.model import Claim, OnPartition


class CutOff:
    """Counts by the owner's own clock; after a start, from then on."""

    def __init__(self, operator: str, clock: Clock) -> None:
        self._operator = operator
        self._clock = clock
        self._heard_ms: dict[str, int] = {}
        self._began_ms = clock.monotonic_ms()
        self._watched: dict[tuple[str, str], Claim] = {}

    def heard(self, home: str) -> None:
        """A home operator has said something."""
        self._heard_ms[home] = self._clock.monotonic_ms()

    def note(self, claim: Claim, *, is_held: bool) -> None:
        """A claim as it is now; is_held while it takes capacity."""
        is_asked = claim.spec.on_partition.action is OnPartition.REPLACE and claim.home != self._operator
        if is_asked and is_held:
            self._watched[claim.home, claim.name] = claim
        else:
            self._watched.pop((claim.home, claim.name), None)

    def overdue(self) -> Iterator[tuple[Claim, int]]:
        """Claims whose home operator has been silent for longer than their rule says, each with that silence, ms."""
        now_ms = self._clock.monotonic_ms()
        for _, claim in sorted(self._watched.items()):
            silence_ms = now_ms - self._heard_ms.get(claim.home, self._began_ms)
            if silence_ms > claim.spec.on_partition.after_ms:
                yield claim, silence_ms

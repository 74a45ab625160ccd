"""Fails fast while a partner does not answer, so that deciding does not wait for it again and again."""

from __future__ import annotations

from dataclasses import dataclass

from hansa_control.application.ports import Clock, OwnerUnreachable


@dataclass(frozen=True, slots=True)
class CircuitLimits:
    """After how many failures in a row a circuit opens, and for how long."""

    failures_max: int = 3
    pause_ms: int = 2_000


class Circuit:
    """Opens after some failures in a row, for a pause; then one call may try, and all others wait for its answer.

    opened_count is how often it has opened, spared_count how many calls it has kept from being sent.
    """

    def __init__(self, clock: Clock, partner: str, failures_max: int = 3, pause_ms: int = 2_000) -> None:
        self._clock = clock
        self._partner = partner
        self._failures_max = failures_max
        self._pause_ms = pause_ms
        self._failures = 0
        self._open_until_ms = 0
        self.opened_count = 0
        self.spared_count = 0

    @property
    def is_open(self) -> bool:
        """Whether the partner counts as one that does not answer, though one call may be trying it."""
        return self._failures >= self._failures_max

    def check(self) -> None:
        """OwnerUnreachable while the circuit is open. Whoever passes after a pause tries for all: the next one waits
        for another pause, unless that call succeeds before.
        """
        if not self.is_open:
            return
        left_ms = self._open_until_ms - self._clock.monotonic_ms()
        if left_ms > 0:
            self.spared_count += 1
            told = f"{self._partner} did not answer {self._failures} times; next try in {left_ms} ms"
            raise OwnerUnreachable(told, was_asked=False)
        self._open_until_ms = self._clock.monotonic_ms() + self._pause_ms

    def failed(self) -> None:
        self._failures += 1
        self._open_until_ms = self._clock.monotonic_ms() + self._pause_ms
        if self._failures == self._failures_max:
            self.opened_count += 1

    def succeeded(self) -> None:
        self._failures = 0

"""Fails fast while a partner does not answer, so that deciding does not wait for it again and again."""

from __future__ import annotations

from hansa_control.application.ports import Clock, OwnerUnreachable


class Circuit:
    """Opens after some failures in a row, for a pause; then one call after another may try again."""

    def __init__(self, clock: Clock, partner: str, failures_max: int = 3, pause_ms: int = 2_000) -> None:
        self._clock = clock
        self._partner = partner
        self._failures_max = failures_max
        self._pause_ms = pause_ms
        self._failures = 0
        self._open_until_ms = 0

    def check(self) -> None:
        """OwnerUnreachable while the circuit is open."""
        left_ms = self._open_until_ms - self._clock.monotonic_ms()
        if self._failures >= self._failures_max and left_ms > 0:
            raise OwnerUnreachable(
                f"{self._partner} did not answer {self._failures} times; next try in {left_ms} ms", was_asked=False
            )

    def failed(self) -> None:
        self._failures += 1
        self._open_until_ms = self._clock.monotonic_ms() + self._pause_ms

    def succeeded(self) -> None:
        self._failures = 0

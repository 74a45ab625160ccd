"""What clients asked, when, and what they were told: the only evidence that an app team has.

Times are microseconds of any one clock, so a history of real processes is checked by the same code as a simulated one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What was asked. A list is one LOOK at each name that it could have told."""

    SUBMIT = "SUBMIT"
    DELETE = "DELETE"
    LOOK = "LOOK"


class Outcome(StrEnum):
    """What came of it. UNKNOWN: no answer, or one that leaves open whether it was done; it may still be done later."""

    OK = "OK"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Seen:
    """A workload as an answer showed it; ``spec`` is any text that is equal for equal specs."""

    uid: str
    generation: int
    spec: str
    is_deleting: bool
    revision: int


@dataclass(slots=True)
class Call:
    """One question about one name, and its answer. Without an answer ``answered_us`` is None.

    ``reason`` is that of a refusal; ``seen`` what an OK answer showed, and None for a LOOK that found nothing.
    """

    client: str
    key: str
    verb: Verb
    invoked_us: int = 0
    request_id: str = ""
    spec: str = ""
    etag: int = 0
    outcome: Outcome = Outcome.UNKNOWN
    answered_us: int | None = None
    seen: Seen | None = None
    reason: str = ""

    def __str__(self) -> str:
        span = f"{self.invoked_us / 1e6:.6f}..{'' if self.answered_us is None else f'{self.answered_us / 1e6:.6f}'}"
        asked = " ".join(part for part in (self.verb, self.spec, self.etag and f"if {self.etag}") if part)
        seen = self.seen
        told = seen and f"{seen.uid[:6]} generation {seen.generation} {seen.spec} revision {seen.revision}"
        state = " deleting" if seen and seen.is_deleting else ""
        return (
            f"{span} {self.client}: {asked} [{self.request_id[:6]}] -> {self.outcome} {self.reason}{told or ''}{state}"
        )


class History:
    """Calls in the order in which they began. ``now_us`` is the clock of all of them."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.calls: list[Call] = []
        self._now_us = now_us

    def began(self, call: Call) -> Call:
        """Notes a question that is about to be asked, with the time."""
        call.invoked_us = self._now_us()
        self.calls.append(call)
        return call

    def told(self, call: Call, seen: Seen | None) -> None:
        """Notes that a call was carried out, and what its answer showed."""
        call.outcome, call.seen, call.answered_us = Outcome.OK, seen, self._now_us()

    def refused(self, call: Call, reason: str) -> None:
        """Notes that a call was refused, so that it has changed nothing."""
        call.outcome, call.reason, call.answered_us = Outcome.REFUSED, reason, self._now_us()

    def by_key(self) -> Iterator[tuple[str, list[Call]]]:
        """The calls of each name, names in order."""
        for key in sorted({call.key for call in self.calls}):
            yield key, [call for call in self.calls if call.key == key]

"""The owner's meter: every change of a claim that starts or stops it is a line of the book, in the claim's transaction.

Only the last line of a claim that is not over is in memory; all others are in the store alone.
"""

from __future__ import annotations

from dataclasses import replace

from hansa_control.application.ports import Clock
from hansa_control.application.state import State
from hansa_control.application.usage_ports import Enter, LineQuery
from hansa_control.domain.model import Claim
from hansa_control.domain.usage import UsageLine, metered

TOLD = "usage"
"""The counter of changes of an owner's own book."""


class Meter:
    """Stamps the claims in the operator's own zones, with its wall clock; nobody else does."""

    def __init__(self, operator: str, state: State, clock: Clock) -> None:
        self._operator = operator
        self._state = state
        self._clock = clock
        self._running: dict[tuple[str, str], UsageLine] = {}

    @property
    def line_count(self) -> int:
        """Lines in memory: one for each claim that was confirmed and is not over."""
        return len(self._running)

    async def recover(self) -> None:
        """After loading: takes up every meter where it was. A claim of a release that had none is metered from now."""
        after = 0
        while page := await self._state.lines(LineQuery(self._operator, after=after, unfinished=True)):
            self._running.update({(line.home, line.claim): line for line in page})
            after = page[-1].sequence
        for claim in list(self._state.claims.values()):
            self.observe(claim)

    def observe(self, claim: Claim) -> None:
        """A claim is recorded as it is now; what that means for its meter goes into the same transaction."""
        key = (claim.home, claim.name)
        for line in metered(self._running.get(key), claim, self._operator, self._clock.wall_ms()):
            told = replace(line, sequence=self._state.next_count(TOLD))
            self._state.write(Enter(told))
            if not told.is_final:
                self._running[key] = told
            elif self._running[key].span == told.span:
                del self._running[key]

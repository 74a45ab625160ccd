"""What is still to be made of an instance because the cluster refused it for now, tried again until it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.follower import Outside
from hansa_agent.kubernetes.refusal import ApiRefused

_PAUSE_S_MIN, _PAUSE_S_MAX = 0.5, 15.0


class NotYet(Exception):
    """It cannot be done at present; the text says why, for a person."""


class Unfinished:
    """Work that ``complete`` does in one go, and that may be begun anew; ``why`` says what kept it from it last."""

    def __init__(self, complete: Callable[[], Awaitable[None]], refused: ApiRefused, outside: Outside) -> None:
        self._complete = complete
        self._outside = outside
        self._pause_s = _PAUSE_S_MIN
        self.why = str(refused)
        self._due_ms = self._later(refused.retry_after_s)

    async def done(self) -> bool:
        """Whether all is made by now; tries once if its time has come."""
        if self._outside.clock.now().monotonic_ms < self._due_ms:
            return False
        asked_s = 0.0
        try:
            await self._complete()
            return True
        except (ApiSilent, NotYet) as error:
            self.why = str(error)
        except ApiRefused as refused:
            self.why, asked_s = str(refused), refused.retry_after_s
        self._due_ms = self._later(asked_s)
        return False

    def _later(self, asked_s: float) -> int:
        pause_s = max(asked_s, self._pause_s * self._outside.random.uniform(0.5, 1.0))
        self._pause_s = min(2 * self._pause_s, _PAUSE_S_MAX)
        return self._outside.clock.now().monotonic_ms + int(pause_s * 1_000)

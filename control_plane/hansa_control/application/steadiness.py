"""Who has come and gone too often of late, and is not asked for new workloads until it has been there for a while.

Known in memory alone: a control plane that was restarted begins with everybody's good name.
"""

from __future__ import annotations

from hansa_control.application.ports import Clock
from hansa_control.domain.damping import Damping, come_back, is_held_down
from hansa_control.domain.model import Intake, Upkeep


class Steadiness:
    """Hold-downs by name: a zone of the operator's own, or "operator>" for a partner as a whole."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, Damping] = {}
        self._held: set[str] = set()

    def came_back(self, name: str) -> None:
        """It was given up and is heard again."""
        now_ms = self._clock.monotonic_ms()
        self._known[name] = come_back(self._known.get(name, Damping(until_ms=-(1 << 60))), now_ms)
        if is_held_down(self._known[name], now_ms):
            self._held.add(name)

    def seen(self, name: str, upkeep: Upkeep) -> Upkeep:
        """What holds of it: what its owner has decided, or, where that is nothing, that it is held down."""
        if upkeep.intake is not Intake.OPEN or name not in self._held:
            return upkeep
        damping = self._known[name]
        left_ms = damping.until_ms - self._clock.monotonic_ms()
        until_ms = (self._clock.wall_ms() + left_ms) // 1_000 * 1_000
        note = f"came back {damping.returns} times in a row"
        return Upkeep(Intake.UNSTEADY, note, until_ms, upkeep.windows)

    def released(self) -> tuple[str, ...]:
        """Whose hold-down has ended since this was asked last."""
        now_ms = self._clock.monotonic_ms()
        over = tuple(sorted(name for name in self._held if not is_held_down(self._known[name], now_ms)))
        self._held.difference_update(over)
        return over

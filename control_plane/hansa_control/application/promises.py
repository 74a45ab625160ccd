"""Which promises partners broke: written down as they are met, read by deciding as the weight that is left of them."""

from __future__ import annotations

from collections.abc import Mapping

from hansa_control.application.ports import Clock, Table
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.reputation import Breach, Reputation, after_breach, broken_milli, in_steps


class Promises:
    """The home operator's own record of its partners; nobody else is told."""

    def __init__(self, settings: Settings, records: tuple[State, World], clock: Clock) -> None:
        self._settings = settings
        self._state, self._world = records
        self._clock = clock

    def broken(self, operator: str, breach: Breach) -> None:
        """A partner broke a promise; durable with the next commit. Own zones are judged by their instances alone."""
        if operator == self._settings.operator:
            return
        held = self._state.reputations.get(operator, Reputation(operator))
        now_ms, half_life_ms = self._clock.wall_ms(), self._settings.promise_half_life_ms
        self._state.put(Table.REPUTATION, operator, after_breach(held, breach, now_ms, half_life_ms))
        self.tick()

    def tick(self) -> None:
        """Tells the world what is left to hold against partners; snapshots change when a step of it is forgotten."""
        self._world.hold_against(self._left())

    def _left(self) -> tuple[tuple[str, int], ...]:
        now_ms, half_life_ms = self._clock.wall_ms(), self._settings.promise_half_life_ms
        left = (
            (name, in_steps(broken_milli(held, now_ms, half_life_ms)))
            for name, held in sorted(self._state.reputations.items())
        )
        return tuple((name, milli) for name, milli in left if milli)

    def counts(self) -> Mapping[str, int]:
        """How often each partner broke what, by "broken|operator|breach", and the weight left, by "held|operator"."""
        met = {
            f"broken|{name}|{breach.value}": count
            for name, held in sorted(self._state.reputations.items())
            for breach, count in held.counts
        }
        return {**met, **{f"held|{name}": milli for name, milli in self._left()}}

"""Whether anything has changed that the law is judged by, so that nothing is judged again for nothing."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from hansa_control.application.lawbook import LawDesk
from hansa_control.application.ports import Clock
from hansa_control.application.world import World
from hansa_control.domain.claim_groups import steady_between
from hansa_control.domain.columns import Standing
from hansa_control.domain.snapshot import Measured, Network, Snapshot


class _Basis(NamedTuple):
    """What the law was judged by: the very objects, and the law's version; by wall clock it holds until until_ms."""

    network: Network
    measured: Measured
    standing: Standing
    law: Hashable
    until_ms: int

    def is_of(self, snapshot: Snapshot, law: Hashable) -> bool:
        same_paths = self.network is snapshot.network and self.measured is snapshot.measured
        return same_paths and self.standing is snapshot.columns.standing and self.law == law


class LawWatch:
    """Remembers by what the law was judged last. What is free in zones, and who runs where, is no part of that."""

    def __init__(self, world: World, laws: LawDesk, clock: Clock) -> None:
        self._world = world
        self._laws = laws
        self._clock = clock
        self._basis: _Basis | None = None

    def has_changed(self) -> bool:
        """Whether a link, a measurement, a zone, a fact, the validity of one, or the law is another than at the last
        call.
        """
        snapshot, law, now_ms = self._world.snapshot(), self._laws.version(), self._clock.wall_ms()
        basis = self._basis
        if basis is not None and basis.is_of(snapshot, law) and now_ms < basis.until_ms:
            return False
        standing = snapshot.columns.standing
        facts = tuple(fact for zone in standing.zones for fact in zone.all_facts)
        self._basis = _Basis(snapshot.network, snapshot.measured, standing, law, steady_between(facts, now_ms)[1])
        return True

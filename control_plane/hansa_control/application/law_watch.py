"""What has changed that the law is judged by, so that nothing is judged again for nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

from hansa_control.application.lawbook import LawDesk
from hansa_control.application.ports import Clock
from hansa_control.application.world import World
from hansa_control.domain.claim_groups import steady_between
from hansa_control.domain.columns import Standing, stands_alike
from hansa_control.domain.model import ZoneId
from hansa_control.domain.snapshot import Measured, Network, Snapshot


class _Basis(NamedTuple):
    """What the law was judged by: the very objects, and the law's version; by wall clock it holds until until_ms."""

    network: Network
    measured: Measured
    standing: Standing
    law: Hashable
    until_ms: int


class LawWatch:
    """Remembers by what the law was judged last. What is free in zones, and who runs where, is no part of that."""

    def __init__(self, world: World, laws: LawDesk, clock: Clock) -> None:
        self._world = world
        self._laws = laws
        self._clock = clock
        self._basis: _Basis | None = None

    def changed(self) -> frozenset[ZoneId] | None:
        """The zones in which the law is to be judged again since the last call: whose facts, whose inventory or
        upkeep, or what was measured to or from them, are others. None is every zone: a link, the law, or the validity
        of a fact is another.
        """
        snapshot, law, now_ms = self._world.snapshot(), self._laws.version(), self._clock.wall_ms()
        before = self._basis
        is_steady = before is not None and before.network is snapshot.network and before.law == law
        if before is None or not is_steady or now_ms >= before.until_ms:
            self._basis = _basis(snapshot, law, now_ms)
            return None
        if before.measured is snapshot.measured and before.standing is snapshot.columns.standing:
            return frozenset()
        self._basis = _basis(snapshot, law, now_ms)
        probed = _probed_otherwise(before.measured, snapshot.measured)
        return frozenset([*probed, *_standing_otherwise(before.standing, snapshot.columns.standing)])


def _basis(snapshot: Snapshot, law: Hashable, now_ms: int) -> _Basis:
    standing = snapshot.columns.standing
    facts = tuple(fact for zone in standing.zones for fact in zone.all_facts)
    return _Basis(snapshot.network, snapshot.measured, standing, law, steady_between(facts, now_ms)[1])


def _probed_otherwise(before: Measured, after: Measured) -> Iterator[ZoneId]:
    """Both ends of every probe that is another, and zones that are bounded otherwise by the same ones."""
    if before is after:
        return
    for zone in before.floors.keys() | after.floors.keys():
        if before.floors.get(zone) != after.floors.get(zone):
            yield zone
    pairs = [{(probe.source_zone, probe.target_zone): probe for probe in one.probes} for one in (before, after)]
    for pair in pairs[0].keys() | pairs[1].keys():
        if pairs[0].get(pair) is not pairs[1].get(pair) and pairs[0].get(pair) != pairs[1].get(pair):
            yield from pair


def _standing_otherwise(before: Standing, after: Standing) -> Iterator[ZoneId]:
    """Zones that came, went, or are others."""
    if before is after:
        return
    zones = [{zone.id: zone for zone in one.zones} for one in (before, after)]
    yield from zones[0].keys() ^ zones[1].keys()
    for zone in zones[0].keys() & zones[1].keys():
        former, latter = zones[0][zone], zones[1][zone]
        if former is not latter and not stands_alike(former, latter):
            yield zone

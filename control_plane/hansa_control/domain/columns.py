"""Zones as columns: one array a property, one row a zone, so that a filter is one operation on all zones.

What changes rarely (place, inventory, facts) is in ``Standing`` and shared by all snapshots until it changes; what
changes with every hold (state, free capacity) is in ``Columns``, and a change of a few zones copies the arrays and
patches those rows. Rows are in the order of the zones' ids, so the first of several equals is the first by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.containers import Memo
from hansa_control.domain.model import AcceleratorPool, Intake, Zone, ZoneState

STATES = tuple(ZoneState)
STANDING_KEPT_MAX = 4_000
ASKED_WEIGHT_MAX = 8_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """The accelerator pools of all zones, a row each: by zone, and in a zone in the order in which needs are served.

    zone is the row of the zone; kind the index into kinds, which has one pool for each key and memory; memory_mib that
    of a device, replica_count_max how many of them a replica can get at most. first is where each zone's rows begin,
    one longer than there are zones.
    """

    zone: NDArray[np.int64]
    kind: NDArray[np.int64]
    memory_mib: NDArray[np.int64]
    replica_count_max: NDArray[np.int64]
    first: NDArray[np.int64]
    kinds: tuple[AcceleratorPool, ...]

    def at(self, row: int) -> AcceleratorPool:
        """The pool of a row, with the count of whichever zone it was seen in first."""
        return self.kinds[int(self.kind[row])]


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What zones are, whatever is free in them.

    operator_of is by zone an index into owners. kept holds what was worked out from that alone; asked, by request, what
    was worked out from it and the network.
    """

    zones: tuple[Zone, ...]
    nodes: tuple[str, ...]
    owners: tuple[str, ...]
    operator_of: NDArray[np.int64]
    price_millieur_per_hour: NDArray[np.int64]
    device_watts: NDArray[np.int64]
    pools: Pools
    kept: Memo = field(default_factory=lambda: Memo(STANDING_KEPT_MAX), repr=False)
    asked: Memo = field(default_factory=lambda: Memo(ASKED_WEIGHT_MAX), repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """All zones of a snapshot, by id. state is an index into ``STATES``; devices_free has a row for each pool."""

    standing: Standing
    zones: tuple[Zone, ...]
    state: NDArray[np.int64]
    cpu_free_millis: NDArray[np.int64]
    memory_free_mib: NDArray[np.int64]
    devices_free: NDArray[np.int64]
    cordoned: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.zones)


def build_columns(zones: Sequence[Zone]) -> Columns:
    """Columns of zones that are in the order of their ids, each id once."""
    kept = tuple(zones)
    standing = _standing(kept)
    return Columns(
        standing=standing,
        zones=kept,
        state=_array([STATES.index(zone.state) for zone in kept]),
        cpu_free_millis=_array([zone.free.cpu_millis for zone in kept]),
        memory_free_mib=_array([zone.free.memory_mib for zone in kept]),
        devices_free=_array([n for zone in kept for n in _devices_free(zone)]),
        cordoned=_array([int(_is_closed(zone)) for zone in kept]) > 0,
    )


def patch_columns(columns: Columns, changed: dict[int, Zone]) -> Columns:
    """The columns with other zones in some rows, of the same ids; costs a copy unless what a zone is has changed."""
    if not changed:
        return columns
    zones = list(columns.zones)
    for row, zone in changed.items():
        zones[row] = zone
    if any(not stands_alike(columns.zones[row], zone) for row, zone in changed.items()):
        return build_columns(zones)
    values = changed.values()
    return Columns(
        columns.standing,
        tuple(zones),
        _patched(columns.state, changed, [STATES.index(zone.state) for zone in values]),
        _patched(columns.cpu_free_millis, changed, [zone.free.cpu_millis for zone in values]),
        _patched(columns.memory_free_mib, changed, [zone.free.memory_mib for zone in values]),
        _with_devices(columns, changed),
        columns.cordoned,
    )


def _with_devices(columns: Columns, changed: Mapping[int, Zone]) -> NDArray[np.int64]:
    """The free devices after some zones have changed that have the pools that they had."""
    pools, rows, counts = columns.standing.pools, [], []
    for row, zone in changed.items():
        free = dict(zone.free.accelerators)
        for at in range(pools.first.item(row), pools.first.item(row + 1)):
            rows.append(at)
            counts.append(free.get(pools.at(at).key, 0))
    return _patched(columns.devices_free, rows, counts)


def _patched(array: NDArray[np.int64], rows: Iterable[int], values: list[int]) -> NDArray[np.int64]:
    """The array with other values in some rows; itself where they are the same, so that what follows from it stays."""
    if [array.item(row) for row in rows] == values:
        return array
    other = array.copy()
    for row, value in zip(rows, values, strict=True):
        other[row] = value
    other.setflags(write=False)
    return other


def changed_rows(columns: Columns, zones: Sequence[Zone]) -> dict[int, Zone] | None:
    """The rows in which these zones, in the order of ids, are other values; None if they are not the same ids."""
    if len(zones) != len(columns.zones):
        return None
    changed = {row: zone for row, zone in enumerate(zones) if zone is not columns.zones[row]}
    alike = all(zone.id == columns.zones[row].id for row, zone in changed.items())
    return changed if alike else None


def pools_by_size(pools: tuple[AcceleratorPool, ...]) -> tuple[AcceleratorPool, ...]:
    """Pools, least memory first, ties by key: the order in which a need is served, so that large devices stay free."""
    return tuple(sorted(pools, key=lambda pool: (pool.memory_mib, pool.key)))


def owned_by(columns: Columns, operator: str) -> NDArray[np.bool_]:
    """The zones of an operator."""
    standing = columns.standing
    if operator not in standing.owners:
        return np.zeros(len(columns), dtype=np.bool_)
    return np.asarray(standing.operator_of == standing.owners.index(operator))


def _is_closed(zone: Zone) -> bool:
    """Whether its agent or its owner says that the zone takes in nothing new."""
    return zone.inventory.cordoned or zone.upkeep.intake is not Intake.OPEN


def stands_alike(before: Zone, after: Zone) -> bool:
    """Whether a zone is the same, whatever is free in it and whether its agent is heard."""
    same_facts = before.facts is after.facts or before.facts == after.facts
    if before.upkeep is not after.upkeep and before.upkeep != after.upkeep:
        return False
    if before.origin is not after.origin and before.origin != after.origin:
        return False
    return same_facts and (before.inventory is after.inventory or before.inventory == after.inventory)


def _standing(zones: tuple[Zone, ...]) -> Standing:
    owners = tuple(sorted({zone.id.operator for zone in zones}))
    number = {owner: at for at, owner in enumerate(owners)}
    return Standing(
        zones=zones,
        nodes=tuple(zone.inventory.node for zone in zones),
        owners=owners,
        operator_of=_array([number[zone.id.operator] for zone in zones]),
        price_millieur_per_hour=_array([zone.inventory.price_millieur_per_hour for zone in zones]),
        device_watts=_array([zone.inventory.device_watts for zone in zones]),
        pools=_pools(zones),
    )


def _pools(zones: tuple[Zone, ...]) -> Pools:
    kinds: dict[tuple[str, int], int] = {}
    named: list[AcceleratorPool] = []
    rows: list[tuple[int, int, int, int]] = []
    first = [0]
    for row, zone in enumerate(zones):
        for pool in pools_by_size(zone.inventory.pools):
            kind = kinds.setdefault((pool.key, pool.memory_mib), len(named))
            if kind == len(named):
                named.append(pool)
            rows.append((row, kind, pool.memory_mib, pool.replica_count_max))
        first.append(len(rows))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    table.setflags(write=False)
    return Pools(table[:, 0], table[:, 1], table[:, 2], table[:, 3], _array(first), tuple(named))


def _devices_free(zone: Zone) -> list[int]:
    free = dict(zone.free.accelerators)
    return [free.get(pool.key, 0) for pool in pools_by_size(zone.inventory.pools)]


def _array(values: Sequence[int]) -> NDArray[np.int64]:
    array = np.array(values, dtype=np.int64)
    array.setflags(write=False)
    return array

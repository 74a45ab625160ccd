"""An estate: a world and the workloads that stand in it, as one operator's control plane or a scenario has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hansa_control.domain.agreement import Agreement
from hansa_control.domain.batches import LIVE, without_superseded
from hansa_control.domain.capacity import NOTHING, add, amount_for, capacity_of, count_of
from hansa_control.domain.model import (
    Capacity,
    OnPartition,
    Placement,
    PlacementState,
    WorkloadState,
    ZoneId,
)
from hansa_control.domain.record import snapshot_of
from hansa_control.domain.snapshot import Snapshot
from hansa_control.domain.world_record import StandingWorkload, WorldRecord

CHOICES_TRIED_MAX = 8
"""What a control plane asks of zones for one placement unless it is configured otherwise."""


@dataclass(frozen=True)
class Estate:
    """A world at a moment. Facts are read as of now_ms (wall clock, UTC).

    lost are zones whose agents are not heard, silent are operators whose control planes are not. agreements are those
    that are accepted besides what is in force already, by the operator that offers its zones. cables are names of links
    that fall together.
    """

    snapshot: Snapshot
    workloads: tuple[StandingWorkload, ...]
    now_ms: int
    choices_tried_max: int = CHOICES_TRIED_MAX
    lost: frozenset[ZoneId] = frozenset()
    silent: frozenset[str] = frozenset()
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    cables: Mapping[str, frozenset[str]] = field(default_factory=dict)


def estate_of(record: WorldRecord) -> Estate:
    """The estate that a record tells of."""
    return Estate(snapshot_of(record.snapshot), record.workloads, record.taken_at_ms, record.choices_tried_max)


@dataclass(frozen=True, slots=True)
class Resident:
    """A workload with its placements once everything that starts has started, and what was given up is gone."""

    workload: StandingWorkload
    placements: tuple[Placement, ...]

    @property
    def live(self) -> tuple[Placement, ...]:
        return tuple(placement for placement in self.placements if placement.state in LIVE)

    def amount(self, placement: Placement) -> Capacity:
        """What a placement takes of its zone; nothing that could be given back while no pool has been granted yet."""
        need = self.workload.spec.accelerator
        if need is not None and need.count and not placement.pool:
            return NOTHING
        return amount_for(replace(self.workload.spec, replicas=placement.replicas), placement.pool)


def at_rest(estate: Estate) -> tuple[Snapshot, dict[str, Resident]]:
    """Residents by name, in the order of the estate, and the snapshot with the room that what is given up leaves.

    What is lost is marked so; what starts is taken to answer, since a failure to start is nothing that can be foreseen.
    """
    residents: dict[str, Resident] = {}
    snapshot = estate.snapshot
    for workload in estate.workloads:
        if workload.state is WorkloadState.DELETING:
            told: tuple[Placement, ...] = ()
        else:
            told = tuple(_started(estate, workload, one.placement()) for one in workload.placements)
        stay = tuple(at for at in without_superseded(told) if at.state is not PlacementState.RELEASING)
        resident = Resident(workload, stay)
        gone = [one.placement() for one in workload.placements if one.claim not in {at.claim for at in stay}]
        for placement in gone:
            snapshot = given_back(snapshot, placement.zone, resident.amount(placement))
        if workload.state is not WorkloadState.DELETING:
            residents[workload.name] = resident
    return snapshot, residents


def _started(estate: Estate, workload: StandingWorkload, placement: Placement) -> Placement:
    if placement.state in {PlacementState.RELEASING, PlacementState.HELD}:
        return replace(placement, state=PlacementState.RELEASING)
    if placement.zone in estate.lost and not keeps_silence(estate, workload, placement.zone):
        return replace(placement, state=PlacementState.LOST)
    if placement.state in LIVE:
        return replace(placement, state=PlacementState.READY, has_answered=True)
    return placement


def keeps_silence(estate: Estate, workload: StandingWorkload, zone: ZoneId) -> bool:
    """Whether a workload waits in a zone whose owner is not heard, since its instances may run on there."""
    is_silent = zone in estate.lost and zone.operator in estate.silent and zone.operator != workload.home
    return is_silent and workload.spec.on_partition.action is not OnPartition.REPLACE


def given_back(snapshot: Snapshot, zone: ZoneId, amount: Capacity) -> Snapshot:
    """The snapshot with so much more free in a zone, never more than the zone has; the same where it is not seen."""
    seen = snapshot.zone(zone)
    if seen is None:
        return snapshot
    free, most = add(seen.free, amount), seen.inventory.capacity
    bounded = capacity_of(
        min(free.cpu_millis, most.cpu_millis),
        min(free.memory_mib, most.memory_mib),
        {key: min(count, count_of(most, key)) for key, count in free.accelerators},
    )
    return with_free(snapshot, zone, bounded)


def with_free(snapshot: Snapshot, zone: ZoneId, free: Capacity) -> Snapshot:
    """The snapshot with so much free in a zone that it has."""
    seen = snapshot.zones[snapshot.index[zone]]
    return snapshot.with_changed(snapshot.generation + 1, [replace(seen, free=free)], snapshot.taken_at_ms)

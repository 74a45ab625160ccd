"""Placing one workload in a world that is supposed: the production decision, and the owner's check of every part."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from hansa_control.domain import disclosure
from hansa_control.domain.capacity import amount_for, fits, subtract
from hansa_control.domain.feasibility import refusals_of_zone
from hansa_control.domain.model import (
    AccessLatency,
    Capacity,
    Choice,
    Placement,
    PlacementState,
    Plan,
    WorkloadSpec,
    ZoneId,
)
from hansa_control.domain.placement import Judgement, PlacementRequest, judge
from hansa_control.domain.planning import part_of
from hansa_control.domain.snapshot import Snapshot
from hansa_control.domain.world_record import StandingWorkload

from hansa_sim.what_if.estate import Estate, Resident, given_back, with_free


class Part(NamedTuple):
    """What one zone is asked for, as a control plane asks its owner."""

    zone: ZoneId
    spec: WorkloadSpec
    share_permille: tuple[int, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str


@dataclass(slots=True)
class Room:
    """The world as it becomes while workloads are placed one after another: every part takes its room at once."""

    estate: Estate
    snapshot: Snapshot
    residents: dict[str, Resident]

    def judged(self, asked: StandingWorkload, exclude: Collection[ZoneId], current: frozenset[ZoneId]) -> Judgement:
        """Which zones may have a workload and which is best, as production judges."""
        request = PlacementRequest(asked.spec, asked.home, frozenset(exclude), current=current)
        return judge(request, self.snapshot, self.estate.now_ms)

    def find(self, asked: StandingWorkload, judgement: Judgement) -> list[Part]:
        """The parts of the first choice, or plan, that every owner grants; none where there is none."""
        if asked.spec.zones.maximum > 1:
            return self._find_several(asked, judgement)
        for choice in judgement.choices(self.estate.choices_tried_max):
            part = whole(asked.spec, choice)
            if self.grants(asked, part):
                return [part]
        return []

    def _find_several(self, asked: StandingWorkload, judgement: Judgement) -> list[Part]:
        """All parts of a plan or none; a zone whose owner refuses its part is left out of the next plan."""
        exclude, current = set(judgement.request.exclude), judgement.request.current
        for _ in range(self.estate.choices_tried_max):
            plan = judgement.plan
            if plan is None:
                return []
            parts = parts_of(asked.spec, plan)
            refused = {part.zone for part in parts if not self.grants(asked, part)}
            if not refused:
                return parts
            exclude |= refused
            judgement = self.judged(asked, exclude, current)
        return []

    def grants(self, asked: StandingWorkload, part: Part) -> bool:
        """Whether the zone's owner would hold it: its own demands, its room, and the quotas of an accepted agreement.

        What other operators demand of workloads in their own zones is not known here.
        """
        zone = self.snapshot.zone(part.zone)
        amount = amount_for(part.spec, part.pool)
        if zone is None or not fits(amount, zone.free) or self._exceeds(asked.home, part.zone, amount):
            return False
        if part.zone.operator != asked.home or (part.spec == asked.spec and not _owner_demands_more(asked)):
            return True
        judged = replace(part.spec, residency=asked.owned_residency)
        return not refusals_of_zone(judged, self.snapshot, zone, self.estate.now_ms)[0]

    def _exceeds(self, home: str, zone: ZoneId, amount: Capacity) -> bool:
        agreement = self.estate.agreements.get(zone.operator)
        if agreement is None:
            return False
        held: dict[str, list[Capacity]] = {}
        for resident in self.residents.values():
            for placement in resident.live if resident.workload.home == home else ():
                if placement.zone.operator == zone.operator:
                    held.setdefault(placement.zone.zone, []).append(resident.amount(placement))
        return bool(disclosure.exceeded(agreement, zone.zone, disclosure.Held(held), amount))

    def take(self, name: str, parts: Sequence[Part]) -> None:
        """The parts are a new batch, which answers; what the workload had before is given back."""
        before = self.residents[name]
        number = max((placement.batch for placement in before.placements), default=0) + 1
        placed = tuple(placement_of(before, part, (number, len(parts))) for part in parts)
        self.hold(name, placed, gone=before.placements)

    def hold(self, name: str, placed: Sequence[Placement], gone: Collection[Placement] = ()) -> None:
        """Some placements come and others go: the new ones first, as in production."""
        before = self.residents[name]
        for placement in placed:
            zone = self.snapshot.zones[self.snapshot.index[placement.zone]]
            left = subtract(zone.free, before.amount(placement))
            self.snapshot = with_free(self.snapshot, placement.zone, left)
        stay = tuple(placement for placement in before.placements if placement not in gone)
        self.residents[name] = replace(before, placements=(*stay, *placed))
        for placement in gone:
            self.snapshot = given_back(self.snapshot, placement.zone, before.amount(placement))


def whole(spec: WorkloadSpec, choice: Choice) -> Part:
    """What a zone is asked for that takes a workload alone."""
    replicas = choice.replicas or spec.replicas
    asked = spec if replicas == spec.replicas else replace(spec, replicas=replicas, replicas_max=0)
    return Part(choice.zone, asked, (), choice.latencies, choice.pool)


def parts_of(spec: WorkloadSpec, plan: Plan) -> list[Part]:
    """What each zone of a plan is asked for."""
    return [Part(one.zone, part_of(spec, one), one.share_permille, one.latencies, one.pool) for one in plan.assignments]


def placement_of(resident: Resident, part: Part, batch: tuple[int, int]) -> Placement:
    """The placement that comes of a part; batch is its number, and how many parts it has."""
    return Placement(
        claim=f"{resident.workload.name}#{batch[0]}:{part.zone}",
        zone=part.zone,
        replicas=part.spec.replicas,
        state=PlacementState.READY,
        latencies=part.latencies,
        pool=part.pool,
        generation=resident.workload.generation,
        batch=batch[0],
        share_permille=part.share_permille,
        batch_parts=batch[1],
        has_answered=True,
    )


def _owner_demands_more(asked: StandingWorkload) -> bool:
    return asked.owned_residency != asked.spec.residency

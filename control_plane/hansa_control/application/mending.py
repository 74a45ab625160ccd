"""Replacing the one part of a workload in several zones that is lost, where there is no room for a whole new batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansa_control.application.deciding import Decider
from hansa_control.application.holding import Holder, Part
from hansa_control.application.ports import Clock
from hansa_control.application.settings import Settings
from hansa_control.application.world import World
from hansa_control.domain.batches import Batch
from hansa_control.domain.mending import Standing, stand_ins
from hansa_control.domain.model import Assignment, Placement, PlacementState, Rejection, Workload, ZoneId
from hansa_control.domain.planning import part_of


class Mender:
    """Gives a lost part's replicas and shares to another zone; what answers goes on as it is."""

    def __init__(self, settings: Settings, world: World, deciding: tuple[Decider, Holder], clock: Clock) -> None:
        self._settings, self._world = settings, world
        self._decider, self._holder = deciding
        self._clock = clock

    async def mend(
        self, workload: Workload, batch: Batch, exclude: Mapping[ZoneId, Rejection]
    ) -> tuple[Workload, bool]:
        """The workload, and whether its lost part is replaced. More than one part is lost: nothing is done."""
        lost = [part for part in batch.parts if part.state is PlacementState.LOST]
        if len(lost) != 1 or len(batch.live) != batch.planned_count - 1 or not lost[0].share_permille:
            return workload, False
        deadline_ms = self._clock.monotonic_ms() + self._settings.placing_deadline_ms
        for part in self._parts(workload, batch.live, lost[0], exclude)[: self._settings.choices_tried_max]:
            asked = part._replace(batch=batch.number, batch_parts=batch.planned_count)
            workload, refused, _ = await self._holder.take(workload, [asked], deadline_ms)
            if not refused:
                return workload, True
        return workload, False

    def _parts(
        self, workload: Workload, live: Sequence[Placement], lost: Placement, exclude: Mapping[ZoneId, Rejection]
    ) -> list[Part]:
        """What zones may be asked for in the place of the lost one, best first."""
        spec = self._decider.laws.enforced(workload.spec, workload.id.tenant)
        zones = {zone.id: zone for zone in self._world.snapshot().zones}
        if len(lost.share_permille) != len(spec.access) or any(part.zone not in zones for part in live):
            return []
        share = lost.share_permille
        asked = part_of(spec, Assignment(lost.zone, lost.replicas, lost.pool, share, lost.latencies, None))
        kept = [Standing(zones[part.zone], part.replicas) for part in live]
        decision = self._decider.decide_part(asked, {*exclude, lost.zone})
        able = stand_ins(spec, kept, lost.replicas, (decision.choices, zones), self._clock.wall_ms())
        return [Part(one.zone, asked, share, one.latencies, one.pool) for one in able]

"""Taking the world of this moment as a record, for the people who run the operator. Nothing is changed."""

from __future__ import annotations

from hansa_control.application.lawbook import LawDesk
from hansa_control.application.partnerships import Partnership, Partnerships
from hansa_control.application.ports import Clock, RefusalError
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.model import Reason, Workload
from hansa_control.domain.record import parts_of
from hansa_control.domain.world_record import FORMAT, PartnerStanding, StandingWorkload, WorldRecord, standing_of

WORKLOADS_MAX = 20_000
"""More are not put into one answer: it would be larger than a message may be."""


class WorldTaker:
    """Reads records, world and law."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, World],
        agreed: tuple[LawDesk, Partnerships],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._state, self._world = records
        self._laws, self._partnerships = agreed
        self._clock = clock

    def take(self) -> WorldRecord:
        """The world now. RefusalError LIMIT_EXCEEDED where there are too many workloads for one answer."""
        count = len(self._state.workloads)
        if count > WORKLOADS_MAX:
            raise RefusalError(Reason.LIMIT_EXCEEDED, f"{count} workloads; at most {WORKLOADS_MAX} go into one answer")
        return WorldRecord(
            format=FORMAT,
            home=self._settings.operator,
            taken_at_ms=self._clock.wall_ms(),
            choices_tried_max=self._settings.choices_tried_max,
            snapshot=parts_of(self._world.snapshot()),
            workloads=tuple(map(self._standing, self._state.workloads.values())),
            partners=tuple(map(_partner, self._partnerships.all())),
        )

    def _standing(self, held: Workload) -> StandingWorkload:
        spec = self._laws.enforced(held.spec, held.id.tenant)
        return standing_of(held, self._settings.operator, spec, self._laws.owned(spec).residency)


def _partner(one: Partnership) -> PartnerStanding:
    standing = one.federation.standing if one.federation else None
    return PartnerStanding(
        partner=one.partner,
        uses_ours=one.uses_ours,
        federation=one.federation.state.value if one.federation else "",
        agreement=standing.state.value if standing else "",
        reference=one.reference,
        deadline_ms=standing.deadline_ms if standing else 0,
        valid_until_ms=standing.valid_until_ms if standing else 0,
    )

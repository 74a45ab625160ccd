"""All federations of this operator at a glance, both directions, for the people who run it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hansa_control.application.agreements import AgreementDesk
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World, federation_key
from hansa_control.domain.disclosure import Excess
from hansa_control.domain.model import Federation, ZoneId


class Partnership(NamedTuple):
    """A federation in one direction; federation is None if nobody has proposed it yet.

    uses_ours says that the partner uses this operator's zones, and that quotas and reference are of its agreement;
    lacks names what the partner cannot do and would have to for everything that was agreed.
    """

    partner: str
    uses_ours: bool
    federation: Federation | None
    claims: int
    heard_at_ms: int = 0
    quotas: tuple[Excess, ...] = ()
    reference: str = ""
    lacks: tuple[str, ...] = ()


class Partnerships:
    """Looks at records, and changes none."""

    def __init__(self, settings: Settings, records: tuple[State, World], agreements: AgreementDesk) -> None:
        self._settings = settings
        self._state, self._world = records
        self._agreements = agreements

    def all(self) -> tuple[Partnership, ...]:
        """Both directions of every partner, and what is left of those that are none any more; ordered by name."""
        return tuple(one for partner in self._partners() for one in (self._using_ours(partner), self._used(partner)))

    def _partners(self) -> Iterator[str]:
        me, federations = self._settings.operator, self._state.federations.values()
        sides = {side for federation in federations for side in (federation.home, federation.owner)}
        yield from sorted((sides | self._settings.partners) - {me})

    def _using_ours(self, partner: str) -> Partnership:
        stance, held = self._agreements.stance(partner), self._agreements.federation(partner)
        claims = len(self._world.claims_of(partner))
        reference = stance.agreement.reference if stance else ""
        used = self._agreements.used(partner)
        lacks = self._agreements.lacks(partner)
        return Partnership(
            partner, uses_ours=True, federation=held, claims=claims, quotas=used, reference=reference, lacks=lacks
        )

    def _used(self, partner: str) -> Partnership:
        held = self._state.federations.get(federation_key(self._settings.operator, partner))
        claims = sum(
            placement.zone.operator == partner
            for workload in self._state.workloads.values()
            for placement in workload.placements
        )
        heard_at_ms = self._world.heard_at_ms(ZoneId(partner, ""))
        return Partnership(partner, uses_ours=False, federation=held, claims=claims, heard_at_ms=heard_at_ms)

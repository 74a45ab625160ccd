"""Partners' grants as they come in: verified before anything rests on them, and kept for whoever asks for proof."""

from __future__ import annotations

from itertools import islice

from hansa_control.application.ports import Clock, HoldRequest, SealBroken, Seals, StoredGrant, Table
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.domain.grants import Asked, mismatches, signed_bytes
from hansa_control.domain.model import HoldGrant, Workload, ZoneId
from hansa_control.domain.seals import Seal

LOOKED_AT_MAX = 64


class GrantInvalid(Exception):
    """A grant that does not prove what was asked; the message says every field that does not fit."""


class GrantDesk:
    """Takes grants of partners in. Without ``seals`` nobody signs and nothing is checked: for tests of other things."""

    def __init__(self, settings: Settings, state: State, clock: Clock, seals: Seals | None) -> None:
        self._settings = settings
        self._state = state
        self._clock = clock
        self._seals = seals

    def asked(self, zone: ZoneId, request: HoldRequest, context_id: str) -> Asked:
        """A hold as it is compared with its answer."""
        home = self._settings.operator
        return Asked(zone.operator, home, context_id, request.claim, zone.zone, request.spec, request.lease_ms)

    def take_in(self, workload: Workload, asked: Asked, grant: HoldGrant) -> None:
        """Verifies a grant and keeps it; GrantInvalid if it is not the signed answer to what was asked."""
        if self._seals is None or asked.owner == self._settings.operator:
            return
        if grant.seal is None:
            raise GrantInvalid("it is not signed")
        now_ms = self._clock.wall_ms()
        wrong = mismatches(asked, grant.seal, now_ms, self._settings.clock_skew_ms_max)
        if wrong:
            raise GrantInvalid("; ".join(map(str, wrong)))
        self._check_seal(self._seals, asked.owner, grant.seal, now_ms)
        kept = StoredGrant(str(workload.id), asked.spec, asked.lease_ms, grant.seal, now_ms)
        self._state.put(Table.GRANT, asked.claim, kept)
        if len(self._state.grants) > self._settings.grants_kept_max:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Forgets the oldest grant that nothing runs under any more, if there is one among the oldest."""
        for claim, kept in islice(self._state.grants.items(), LOOKED_AT_MAX):
            workload = self._state.workloads.get(kept.workload)
            if workload is None or all(placement.claim != claim for placement in workload.placements):
                self._state.delete(Table.GRANT, claim)
                return

    @staticmethod
    def _check_seal(seals: Seals, owner: str, seal: Seal, now_ms: int) -> None:
        try:
            seals.check(owner, signed_bytes(seal.terms), seal.signed, now_ms)
        except SealBroken as broken:
            raise GrantInvalid(str(broken)) from broken

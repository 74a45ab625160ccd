"""Partners' grants as they come in: verified before anything rests on them, and kept for whoever asks for proof."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from hansa_control.application.ports import Clock, HoldRequest, SealBroken, Seals, StoredGrant, Table
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.domain.grants import Asked, asked_below, mismatches, outlasts, seals_below, signed_bytes, unfounded
from hansa_control.domain.model import HoldGrant, Origin, Workload, ZoneId
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

    def take_in(self, workload: Workload, asked: Asked, grant: HoldGrant, origin: Origin | None = None) -> None:
        """Verifies a grant and keeps it; GrantInvalid if it is not the signed answer to what was asked.

        origin is that of the zone, where the partner offers it on: then the grants that this one rests on count, too.
        """
        if self._seals is None or asked.owner == self._settings.operator:
            return
        below = self.verify(asked, grant, origin)
        if grant.seal is None:
            return
        now_ms = self._clock.wall_ms()
        kept = StoredGrant(str(workload.id), asked.spec, asked.lease_ms, grant.seal, now_ms, below, origin)
        self._state.put(Table.GRANT, asked.claim, kept)
        if len(self._state.grants) > self._settings.grants_kept_max:
            self._forget_oldest()

    def verify(self, asked: Asked, grant: HoldGrant, origin: Origin | None = None) -> tuple[Seal, ...]:
        """The seals of the grants that a grant rests on, from the partner's to the owner's; GrantInvalid if any of them
        or the grant itself is not the signed answer to what was asked.
        """
        if self._seals is None:
            return ()
        seal = first = self._verified(self._seals, asked, grant.seal)
        if origin is None:
            if grant.underlying is not None:
                raise GrantInvalid("it rests on another grant, and the zone was offered as the partner's own")
            self._check_founded([seal])
            return ()
        try:
            below = seals_below(grant, origin)
        except KeyError as missing:
            raise GrantInvalid(f"{missing.args[0]} does not show the grant that its own rests on") from missing
        for expected, lower in zip(asked_below(asked, seal, below, origin), below, strict=True):
            self._verified(self._seals, expected, lower)
            if wrong := outlasts(seal, lower, self._settings.clock_skew_ms_max):
                raise GrantInvalid(str(wrong))
            seal = lower
        self._check_founded([first, *below])
        return below

    @staticmethod
    def _check_founded(seals: Sequence[Seal]) -> None:
        if wrong := unfounded(seals):
            raise GrantInvalid("; ".join(map(str, wrong)))

    def _verified(self, seals: Seals, asked: Asked, seal: Seal | None) -> Seal:
        if seal is None:
            raise GrantInvalid("it is not signed")
        now_ms = self._clock.wall_ms()
        wrong = mismatches(asked, seal, now_ms, self._settings.clock_skew_ms_max)
        if wrong:
            who = "" if asked.home == self._settings.operator else f"grant of {asked.owner} to {asked.home}: "
            raise GrantInvalid(who + "; ".join(map(str, wrong)))
        self._check_seal(seals, asked.owner, seal, now_ms)
        return seal

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

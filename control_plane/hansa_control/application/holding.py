"""Asking owners for the parts of a batch: hold, confirm, give back, and keep every step so that a crash loses none.

The intent is durable before a partner is asked; in an own zone it is in one journal with the claim, before it, so
that no crash keeps the claim and loses the intent. What became of an intent that a crash cut off is unknown, so it is
released, never assumed: a claim that the owner does not know is released without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from hansa_control.application.grants import GrantDesk, GrantInvalid
from hansa_control.application.journal import Journal
from hansa_control.application.partners import PartnerIngest
from hansa_control.application.ports import (
    Clock,
    HoldRequest,
    Owner,
    OwnerUnreachable,
    RefusalError,
    Refused,
)
from hansa_control.application.promises import Promises
from hansa_control.application.refusing import RefusedHere, owed, owner_rejection, refused_by
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.domain.grants import Asked
from hansa_control.domain.model import (
    AccessLatency,
    ClaimStatus,
    HoldGrant,
    Manifest,
    Origin,
    Placement,
    PlacementState,
    Reason,
    Refusals,
    Rejection,
    Workload,
    WorkloadSpec,
    ZoneId,
)
from hansa_control.domain.refusal_filter import unforeseeable
from hansa_control.domain.reputation import Breach

_HOLD_IS_GONE = frozenset({Reason.HOLD_EXPIRED, Reason.NOT_FOUND, Reason.FENCED})


class Part(NamedTuple):
    """What one zone is asked for, with what is kept of it in the placement.

    batch is the one that it joins, 0 a new one, and batch_parts how many parts that was planned with.
    """

    zone: ZoneId
    spec: WorkloadSpec
    share_permille: tuple[int, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str
    batch: int = 0
    batch_parts: int = 0


class Tried(NamedTuple):
    """The workload after a batch was tried, why it was refused (nothing if granted), how often owners were asked."""

    workload: Workload
    refused: tuple[Rejection, ...]
    holds_asked: int


class _Held(NamedTuple):
    """A grant, and until when its lease runs at least: it began after it was asked for. Monotonic."""

    grant: HoldGrant
    lease_until_ms: int


class Holder:
    """Holds, confirms and gives back; one owner after another, never two at once."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, Journal, PartnerIngest],
        owners: Mapping[str, Owner],
        checking: tuple[GrantDesk, Promises, Clock],
    ) -> None:
        self._settings = settings
        self._grants, self._promises, self._clock = checking
        self._state, self._journal, self._partners = records
        self._owners = owners
        self.on_asked: Callable[[Workload, str, ZoneId, WorkloadSpec], None] = lambda workload, claim, zone, spec: None
        self.origin_of: Callable[[ZoneId], Origin | None] = lambda zone: None
        self.judges_tenants: Callable[[ZoneId], bool] = lambda zone: False
        self.refusals_of: Callable[[ZoneId], Refusals | None] = lambda zone: None
        self.authority_of: Callable[[ZoneId], bytes] = lambda zone: b""

    async def take(self, workload: Workload, parts: list[Part], deadline_ms: int) -> Tried:
        """All parts of a batch: held everywhere first, confirmed only then, so that nothing starts of a batch that an
        owner refuses; what was held elsewhere is given back at once. No hold is waited for beyond deadline_ms
        (monotonic), and none is asked for then.
        """
        if behind := owed(workload, [part.zone for part in parts]):
            return Tried(workload, behind, 0)
        parts = [part._replace(spec=replace(part.spec, asker="")) if part.spec.asker else part for part in parts]
        workload, claims = await self._intend(workload, parts)
        held: list[_Held] = []
        try:
            for part, claim in zip(parts, claims, strict=True):
                held.append(await self._hold(workload, part, claim, deadline_ms))
            statuses = [await self._confirm(workload, one, grant) for one, grant in zip(parts, held, strict=True)]
        except RefusedHere as refusal:
            failed = claims[[part.zone for part in parts].index(refusal.zone)]
            asked = frozenset(claims[: len(held) + 1])
            workload = await self._undo(workload, {claim: claim in asked for claim in claims}, failed, refusal)
            return Tried(workload, refusal.rejections, min(len(held) + 1, len(parts)))
        for claim, one, status in zip(claims, held, statuses, strict=True):
            workload = self._granted(workload, claim, one.grant, status)
        return Tried(workload, (), len(parts))

    async def _hold(self, workload: Workload, part: Part, claim: str, deadline_ms: int) -> _Held:
        asked_at_ms = self._clock.monotonic_ms()
        left_ms = deadline_ms - asked_at_ms
        if left_ms <= 0 and part.zone.operator != self._settings.operator:
            rejection = owner_rejection(part.zone, Reason.PARTNER_UNREACHABLE, "the time for asking was over")
            raise RefusedHere(part.zone, (rejection,), "not asked: the time for asking was over", is_known=True)
        tenant = workload.id.tenant if self.judges_tenants(part.zone) else ""
        lease_ms = self._settings.hold_lease_ms
        request = HoldRequest(claim, part.zone.zone, part.spec, lease_ms, max(left_ms, 1), tenant)
        federation = self._partners.context(part.zone.operator)
        asked = self._grants.asked(part.zone, request, federation.context_id if federation else "")
        try:
            outcome = await self._owner(part.zone).hold(request)
        except (OwnerUnreachable, RefusalError) as failure:
            self._note(part.zone, failure)
            raise refused_by(part.zone, failure) from failure
        if isinstance(outcome, Refused):
            why = "; ".join(f"{r.reason} {r.result.measured} ({r.result.bound})" for r in outcome.rejections)
            if {rejection.reason for rejection in outcome.rejections} - unforeseeable(self.refusals_of(part.zone)):
                self._promises.broken(part.zone.operator, Breach.REFUSED_AFTER_OFFER)
            raise RefusedHere(part.zone, outcome.rejections, why, is_known=True)
        self._take_in(workload, part, asked, outcome)
        return _Held(outcome, asked_at_ms + outcome.lease_ms)

    def _take_in(self, workload: Workload, part: Part, asked: Asked, grant: HoldGrant) -> None:
        try:
            self._grants.take_in(workload, asked, grant, self.origin_of(part.zone))
        except GrantInvalid as invalid:
            self._promises.broken(part.zone.operator, Breach.GRANT_INVALID)
            why = f"its grant does not verify: {invalid}"
            rejection = owner_rejection(part.zone, Reason.GRANT_INVALID, why)
            raise RefusedHere(part.zone, (rejection,), why, is_known=False, is_held=True) from invalid

    async def _confirm(self, workload: Workload, part: Part, held: _Held) -> ClaimStatus:
        manifest = Manifest(str(workload.id), self._settings.client_ca_pem, (workload.client_id,))
        try:
            status = await self._owner(part.zone).confirm(held.grant.claim, held.grant.fencing_token, manifest)
        except (OwnerUnreachable, RefusalError) as failure:
            self._note(part.zone, failure, held.lease_until_ms)
            raise refused_by(part.zone, failure) from failure
        await self._partners.confirmed(part.zone.operator, status)
        return status

    def _note(self, zone: ZoneId, failure: OwnerUnreachable | RefusalError, lease_until_ms: int = 0) -> None:
        """What a failure says of its owner: that it did not answer, or that a hold is gone though its lease runs."""
        if isinstance(failure, OwnerUnreachable):
            if failure.was_asked:
                self._promises.broken(zone.operator, Breach.UNANSWERED)
        elif failure.reason in _HOLD_IS_GONE and self._clock.monotonic_ms() < lease_until_ms:
            self._promises.broken(zone.operator, Breach.LEASE_NOT_KEPT)

    def _owner(self, zone: ZoneId) -> Owner:
        owner = self._owners.get(zone.operator)
        if owner is None:
            raise OwnerUnreachable(f"no way to {zone.operator}", was_asked=False)
        return owner

    async def _undo(self, workload: Workload, asked: Mapping[str, bool], failed: str, refusal: RefusedHere) -> Workload:
        """Nothing is kept of a batch that was refused: what was not asked for is forgotten, what may be held or started
        somewhere is given back. What cannot be given back now stays, to be given back later.
        """
        if refusal.is_known:
            self._journal.warning(workload.id, "HoldRefused", f"{refusal.zone} refused: {refusal.why}")
        else:
            reason = refusal.rejections[0].reason
            self._journal.warning(workload.id, "HoldFailed", f"{refusal.zone}: {reason}: {refusal.why}")
        known = {failed} if refusal.is_known else set()
        kept = tuple(p for p in workload.placements if asked.get(p.claim, True) and p.claim not in known)
        workload = self._journal.record(replace(workload, placements=kept))
        for claim in [p.claim for p in kept if p.claim in asked]:
            message = refusal.why if claim == failed else f"given back: {refusal.zone} has no part of the plan"
            workload = self._give_up(workload, claim, message)
            if claim != failed or refusal.is_held:
                workload = await self._try_to_give_back(workload, _placement(workload, claim))
        return workload

    async def _try_to_give_back(self, workload: Workload, placement: Placement) -> Workload:
        try:
            return await self.give_back(workload, placement, Reason.WORKLOAD_MOVED)
        except (OwnerUnreachable, RefusalError):
            return workload

    async def give_back(self, workload: Workload, placement: Placement, reason: Reason) -> Workload:
        """Tells the owner; once it has taken note, stopping the instances is its duty and the placement is done.
        OwnerUnreachable, RefusalError.
        """
        await self._owner(placement.zone).release(placement.claim, reason)
        self._partners.forget_if_never_offered(placement.zone.operator, placement.claim)
        self._journal.normal(workload.id, "Released", f"{placement.zone} takes back claim {placement.claim}")
        rest = tuple(p for p in workload.placements if p.claim != placement.claim)
        return self._journal.record(replace(workload, placements=rest))

    # --- recording ---

    async def _intend(self, workload: Workload, parts: list[Part]) -> tuple[Workload, list[str]]:
        """The intent to ask for all parts, recorded at once: whatever a crash leaves, it is seen to be incomplete."""
        batch = workload.attempt + 1
        claims = [f"c{workload.uid[:16]}-{batch + n}" for n in range(len(parts))]
        placements = tuple(
            Placement(
                claim=claim,
                zone=part.zone,
                replicas=part.spec.replicas,
                state=PlacementState.HELD,
                latencies=part.latencies,
                endpoint_ca_pem=self.authority_of(part.zone),
                pool=part.pool,
                generation=workload.generation,
                batch=part.batch or batch,
                share_permille=part.share_permille,
                batch_parts=part.batch_parts or len(parts),
            )
            for claim, part in zip(claims, parts, strict=True)
        )
        for claim, part in zip(claims, parts, strict=True):
            self.on_asked(workload, claim, part.zone, part.spec)
        attempt = workload.attempt + len(parts)
        workload = self._journal.record(
            replace(workload, attempt=attempt, placements=(*workload.placements, *placements))
        )
        if any(part.zone.operator != self._settings.operator for part in parts):
            await self._state.commit()
        return workload, claims

    def _granted(self, workload: Workload, claim: str, grant: HoldGrant, status: ClaimStatus) -> Workload:
        placement = _placement(workload, claim)
        granted = replace(
            placement,
            state=PlacementState.STARTING,
            fencing_token=grant.fencing_token,
            pool=grant.pool,
            message=status.message,
        )
        self._journal.normal(workload.id, "Placed", f"{placement.zone} granted claim {claim}")
        return self._journal.record(_with_placement(workload, granted))

    def _give_up(self, workload: Workload, claim: str, message: str) -> Workload:
        placement = replace(_placement(workload, claim), state=PlacementState.RELEASING, message=message)
        return self._journal.record(_with_placement(workload, placement))


def _placement(workload: Workload, claim: str) -> Placement:
    return next(placement for placement in workload.placements if placement.claim == claim)


def _with_placement(workload: Workload, placement: Placement) -> Workload:
    placements = tuple(placement if p.claim == placement.claim else p for p in workload.placements)
    return replace(workload, placements=placements)

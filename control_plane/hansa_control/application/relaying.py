"""Asking behind claims of partners: in a zone that this operator offers on it holds and confirms in its own name first.

To its partner this operator is the owner of the claim, to the next operator of the chain it is home, and both sides are
the same as everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hansa_control.application.grants import GrantDesk, GrantInvalid
from hansa_control.application.lawbook import LawDesk
from hansa_control.application.owner import OwnerService
from hansa_control.application.partners import PartnerIngest
from hansa_control.application.ports import (
    Clock,
    HoldRequest,
    Owner,
    OwnerUnreachable,
    RefusalError,
    Refused,
    Relay,
)
from hansa_control.application.promises import Promises
from hansa_control.application.refusing import owner_rejection
from hansa_control.application.relay_book import RelayBook, relay_key
from hansa_control.application.settings import Settings
from hansa_control.application.settlement import Settlement
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain import ledger
from hansa_control.domain.capacity import amount_for
from hansa_control.domain.feasibility import refusals_of_zone
from hansa_control.domain.grants import Asked, asked_behind, claim_behind
from hansa_control.domain.ledger import ClaimEvent
from hansa_control.domain.model import (
    Claim,
    ClaimState,
    ClaimStatus,
    Handler,
    HoldGrant,
    Manifest,
    Origin,
    Reason,
    Rejection,
    WorkloadId,
    Zone,
    ZoneId,
)
from hansa_control.domain.origin import NAME_LENGTH_MAX
from hansa_control.domain.reputation import Breach

ANSWER_WITHIN_MS = 1_500
"""For how long the operator behind may take: less than whoever asks waits for the answer."""

VIA = "via--"


class RelayHolder:
    """Holds and confirms behind the claims of partners. What becomes of them is followed by ``application.relays``."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, World, PartnerIngest, RelayBook],
        sides: tuple[OwnerService, Mapping[str, Owner], LawDesk],
        checking: tuple[GrantDesk, Promises, Settlement],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._state, self._world, self._partners, self._book = records
        self._owner, self._owners, self._laws = sides
        self._grants, self._promises, self._settlement = checking
        self._clock = clock
        self.on_given_up: Callable[[str], None] = lambda key: None

    def is_for(self, home: str, zone: str, claim: str) -> bool:
        """Whether a partner asks for a zone that this operator offers on, or has a claim in one."""
        if self._book.key_of(home, claim) is not None:
            return True
        return self._world.own_zone(zone) is None and self._owner.origins.zone_for(home, zone) is not None

    def is_behind(self, home: str, claim: str) -> bool:
        """Whether a partner's claim here has, or had, one behind it: what it orders runs there."""
        return self._book.key_of(home, claim) is not None

    async def hold(self, home: str, request: HoldRequest) -> HoldGrant | Refused:
        """Judges the zone as this operator sees it, then holds it behind, and grants what that comes to.

        Idempotent by (home, claim); durable before the operator behind is asked, and on return.
        """
        self._owner.heard_home(home)
        self._owner.expire_holds()
        if (existing := self._world.claim(home, request.claim)) is not None:
            return await self._granted_before(home, existing, request)
        if self._book.key_of(home, request.claim) is not None:
            why = f"claim {request.claim} is being given back"
            return Refused((self._rejection(request.zone, Reason.HOLD_EXPIRED, why),))
        found = self._owner.origins.zone_for(home, request.zone)
        if found is None:
            raise RefusalError(Reason.NOT_FOUND, f"no zone {request.zone} here", "zone")
        stored, zone = found
        outcome = self._judged(home, request, zone)
        if isinstance(outcome, Refused):
            await self._state.commit()
            return outcome
        relay = self._relay(stored.operator, stored.name.partition("/")[2], outcome, request)
        self._owner.put(outcome)
        self._book.put(relay)
        return await self._held_behind(relay, zone, request)

    async def _granted_before(self, home: str, claim: Claim, request: HoldRequest) -> HoldGrant | Refused:
        outcome = self._owner.granted_before(claim, request)
        relay = self._book.of(home, claim.name)
        await self._state.commit()
        if isinstance(outcome, Refused):
            return outcome
        if relay is None or relay.grant is None:
            return Refused((self._rejection(request.zone, Reason.PARTNER_UNREACHABLE, "is being asked for behind"),))
        return self._owner.sealed(home, request, replace(outcome, underlying=relay.grant))

    def _judged(self, home: str, request: HoldRequest, zone: Zone) -> Claim | Refused:
        """The claim as it is held here, or every reason against it on this operator's view of the zone."""
        agreements, origins = self._owner.agreements, self._owner.origins
        if (disagreed := agreements.refusal(home, request.zone, is_passed_on=True)) is not None:
            return Refused((disagreed,))
        if (denied := origins.refusal(home, request.zone, request.spec.on_behalf)) is not None:
            return Refused((denied,))
        spec = self._laws.owned(request.spec)
        rejections, pool = refusals_of_zone(spec, self._world.snapshot(), zone, self._clock.wall_ms())
        if rejections:
            return Refused(agreements.told(home, rejections))
        amount = amount_for(request.spec, pool)
        if excess := agreements.excess(home, request.zone, amount):
            return Refused(excess)
        token = self._state.next_count(f"fence|{request.zone}")
        applied = spec.residency if spec.residency != request.spec.residency else None
        return replace(self._owner.new_claim(home, request, pool, amount, token), policy_applied=applied)

    def _relay(self, owner: str, zone: str, claim: Claim, request: HoldRequest) -> Relay:
        handler = Handler(self._settings.operator, self._settings.legal_facts)
        judged = replace(request.spec, residency=claim.policy_applied or request.spec.residency)
        spec = asked_behind(judged, claim.home, claim.name, handler)
        name = claim_behind(claim.home, claim.name)
        return Relay(claim.home, claim.name, owner, name, zone, spec, request.lease_ms)

    async def _held_behind(self, relay: Relay, zone: Zone, request: HoldRequest) -> HoldGrant | Refused:
        key = relay_key(relay.owner, relay.name)
        self._book.asking.add(key)
        try:
            await self._state.commit()
            asked_at_ms = self._clock.monotonic_ms()
            rejections, grant = await self._ask(relay, zone)
        finally:
            self._book.asking.discard(key)
        claim = self._world.claim(relay.home, relay.claim)
        if grant is None or claim is None or claim.state is not ClaimState.HELD:
            if claim is not None and claim.state is ClaimState.HELD:
                message = "nothing is held behind it"
                self._owner.put(replace(ledger.advance(claim, ClaimEvent.RELEASE), message=message))
            self.on_given_up(key)
            await self._state.commit()
            gone = self._rejection(request.zone, Reason.HOLD_EXPIRED, "it was given back meanwhile")
            return Refused(rejections or (gone,))
        # Counted from before it was asked for, so that what is promised here never outlasts what is promised there.
        until_ms = min(claim.lease_until_ms, asked_at_ms + grant.lease_ms)
        amount = amount_for(request.spec, grant.pool)
        held = replace(claim, pool=grant.pool, amount=amount, lease_until_ms=until_ms)
        self._owner.put(held)
        self._book.put(replace(relay, grant=grant))
        await self._state.commit()
        plain = HoldGrant(held.name, held.fencing_token, max(0, until_ms - self._clock.monotonic_ms()), held.pool)
        return self._owner.sealed(relay.home, request, replace(plain, underlying=grant))

    async def _ask(self, relay: Relay, zone: Zone) -> tuple[tuple[Rejection, ...], HoldGrant | None]:
        """The grant of the operator behind, verified, or why there is none."""
        request = HoldRequest(relay.name, relay.zone, relay.spec, relay.lease_asked_ms, ANSWER_WITHIN_MS)
        federation = self._partners.context(relay.owner)
        context_id = federation.context_id if federation else ""
        own, lease_ms = self._settings.operator, relay.lease_asked_ms
        asked = Asked(relay.owner, own, context_id, relay.name, relay.zone, relay.spec, lease_ms)
        try:
            outcome = await self._way(relay.owner).hold(request)
            if isinstance(outcome, Refused):
                return tuple(replace_zone(one, zone.id) for one in outcome.rejections), None
            self._grants.verify(asked, outcome, _origin_behind(zone))
        except OwnerUnreachable as silent:
            why = f"{relay.owner}, which is behind the zone, does not answer: {silent}"
            return (self._rejection(zone.id.zone, Reason.PARTNER_UNREACHABLE, why),), None
        except RefusalError as refusal:
            why = f"{relay.owner}, which is behind the zone: {refusal.message}"
            return (self._rejection(zone.id.zone, refusal.reason, why),), None
        except GrantInvalid as invalid:
            self._promises.broken(relay.owner, Breach.GRANT_INVALID)
            why = f"the grant of {relay.owner}, which is behind the zone, does not verify: {invalid}"
            return (self._rejection(zone.id.zone, Reason.GRANT_INVALID, why),), None
        return (), outcome

    async def confirm(self, home: str, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        """Confirms behind first: nothing is promised here that is not promised there. Idempotent."""
        self._owner.expire_holds()
        held = await self._owner.to_confirm(home, claim, fencing_token)
        relay = self._book.of(home, claim)
        if relay is None or relay.grant is None:
            raise RefusalError(Reason.HOLD_EXPIRED, f"no hold {claim}: nothing is held behind it")
        if held.state is ClaimState.HELD:
            await self._confirm_behind(relay, manifest)
        return await self._owner.confirm_here(home, claim, fencing_token, manifest)

    async def _confirm_behind(self, relay: Relay, manifest: Manifest) -> None:
        at = ZoneId(relay.owner, relay.zone)
        manifest = replace(manifest, workload=workload_behind(relay))
        self._settlement.asked_for(manifest.workload, relay.name, at, relay.spec)
        await self._state.commit()
        token = relay.grant.fencing_token if relay.grant else 0
        try:
            status = await self._way(relay.owner).confirm(relay.name, token, manifest)
        except OwnerUnreachable as silent:
            why = f"{relay.owner}, which is behind the zone, does not answer: {silent}"
            raise RefusalError(Reason.PARTNER_UNREACHABLE, why) from silent
        await self._partners.confirmed(relay.owner, status)

    # --- parts ---

    def _way(self, owner: str) -> Owner:
        way = self._owners.get(owner)
        if way is None:
            raise OwnerUnreachable(f"no way to {owner}", was_asked=False)
        return way

    def _rejection(self, zone: str, reason: Reason, why: str) -> Rejection:
        return owner_rejection(ZoneId(self._settings.operator, zone), reason, why)


def workload_behind(relay: Relay) -> str:
    """What the operator behind, and this operator's own book, call the workload. Its name at home is nobody's business
    there, and tenants of one name are not the same at two operators.
    """
    tenant = f"{VIA}{relay.home}"[:NAME_LENGTH_MAX].rstrip("-")
    return str(WorkloadId(tenant, relay.name))


def replace_zone(rejection: Rejection, zone: ZoneId) -> Rejection:
    """A refusal of the operator behind, of the zone as it is offered on."""
    return rejection._replace(zone=zone)


def _origin_behind(zone: Zone) -> Origin | None:
    """The origin of a zone as the operator behind offers it to this one; None where that one owns it."""
    if zone.origin is None or len(zone.origin.handlers) < 2:
        return None
    return Origin(zone.origin.zone, zone.origin.handlers[:-1])

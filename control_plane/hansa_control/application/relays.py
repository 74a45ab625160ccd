"""Partners' claims in zones that this operator offers on: each has a claim of this operator's own behind it.

To its partner this operator is the owner of the claim, to the next operator of the chain it is home, and both sides are
the same as everywhere else. Between them is a record, kept before anybody is asked and until the operator behind has
said that it has taken its claim back. What is done follows from that record, from the claim here and from what is told
of the one behind, whatever has happened in between; so a crash loses nothing and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from hansa_control.application.grants import GrantDesk, GrantInvalid
from hansa_control.application.lawbook import LawDesk
from hansa_control.application.owner import OwnerService
from hansa_control.application.partners import PartnerIngest
from hansa_control.application.ports import (
    Clock,
    HoldRequest,
    IdSource,
    Owner,
    OwnerUnreachable,
    RefusalError,
    Refused,
    Relay,
    StoreFailed,
    Table,
)
from hansa_control.application.promises import Promises
from hansa_control.application.refusing import owner_rejection
from hansa_control.application.settings import Settings
from hansa_control.application.settlement import Settlement
from hansa_control.application.state import State
from hansa_control.application.waking import Wakes
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
    OnPartition,
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

_GIVEN_UP = frozenset({ClaimState.RELEASING, ClaimState.RELEASED})
_EVENT_OF: Mapping[ClaimState, ClaimEvent] = {
    ClaimState.SERVING: ClaimEvent.READY,
    ClaimState.ALLOCATED: ClaimEvent.NOT_READY,
    ClaimState.HELD: ClaimEvent.NOT_READY,
    ClaimState.FAILED: ClaimEvent.FAIL,
    ClaimState.LOST: ClaimEvent.ZONE_LOST,
}


def relay_key(owner: str, name: str) -> str:
    return f"{owner}|{name}"


class Relays:
    """Holds, confirms and gives back behind the claims of partners, and tells them what becomes of it."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, World, PartnerIngest],
        sides: tuple[OwnerService, Mapping[str, Owner], LawDesk],
        checking: tuple[GrantDesk, Promises, Settlement],
        sources: tuple[Clock, IdSource],
    ) -> None:
        self._settings = settings
        self._state, self._world, self._partners = records
        self._owner, self._owners, self._laws = sides
        self._grants, self._promises, self._settlement = checking
        self._clock = sources[0]
        self._wakes = Wakes(settings, sources)
        self._of_claim: dict[tuple[str, str], str] = {}
        self._asking: set[str] = set()
        self._gone: set[str] = set()
        self.on_defect: Callable[[str, Exception], None] = lambda key, defect: None

    def recover(self) -> None:
        """After loading: every claim behind another gets a look. What was behind at an operator that is no partner any
        more is given up: nobody can be asked there.
        """
        for key, relay in list(self._state.relays.items()):
            if relay.owner not in self._owners:
                self._state.delete(Table.RELAY, key)
                claim = self._give_up(self._world.claim(relay.home, relay.claim), f"{relay.owner} is no partner")
                if claim is not None:
                    self._owner.put(ledger.advance(claim, ClaimEvent.STOPPED))
        self._of_claim = {(relay.home, relay.claim): key for key, relay in self._state.relays.items()}
        for key in self._state.relays:
            self._wakes.wake(key)

    # --- what partners ask ---

    def is_for(self, home: str, zone: str, claim: str) -> bool:
        """Whether a partner asks for a zone that this operator offers on, or has a claim in one."""
        if (home, claim) in self._of_claim:
            return True
        return self._world.own_zone(zone) is None and self._owner.origins.zone_for(home, zone) is not None

    def is_relayed(self, owner: str, name: str) -> bool:
        """Whether a claim at an owner is behind one of a partner's."""
        return relay_key(owner, name) in self._state.relays

    async def hold(self, home: str, request: HoldRequest) -> HoldGrant | Refused:
        """Judges the zone as this operator sees it, then holds it behind, and grants what that comes to.

        Idempotent by (home, claim); durable before the operator behind is asked, and on return.
        """
        self._owner.heard_home(home)
        self._owner.expire_holds()
        if (existing := self._world.claim(home, request.claim)) is not None:
            return await self._granted_before(home, existing, request)
        if (home, request.claim) in self._of_claim:
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
        self._put(relay)
        return await self._held_behind(relay, zone, request)

    async def _granted_before(self, home: str, claim: Claim, request: HoldRequest) -> HoldGrant | Refused:
        outcome = self._owner.granted_before(claim, request)
        relay = self._state.relays.get(self._of_claim.get((home, claim.name), ""))
        await self._state.commit()
        if isinstance(outcome, Refused):
            return outcome
        if relay is None or relay.grant is None:
            return Refused((self._rejection(request.zone, Reason.PARTNER_UNREACHABLE, "is being asked for behind"),))
        return replace(self._owner.sealed(home, request, outcome), underlying=relay.grant)

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
        self._asking.add(key)
        try:
            await self._state.commit()
            asked_at_ms = self._clock.monotonic_ms()
            rejections, grant = await self._ask(relay, zone)
        finally:
            self._asking.discard(key)
        claim = self._world.claim(relay.home, relay.claim)
        if grant is None or claim is None or claim.state is not ClaimState.HELD:
            self._give_up(claim)
            self._wakes.wake(key)
            await self._state.commit()
            gone = self._rejection(request.zone, Reason.HOLD_EXPIRED, "it was given back meanwhile")
            return Refused(rejections or (gone,))
        # Counted from before it was asked for, so that what is promised here never outlasts what is promised there.
        until_ms = min(claim.lease_until_ms, asked_at_ms + grant.lease_ms)
        amount = amount_for(request.spec, grant.pool)
        held = replace(claim, pool=grant.pool, amount=amount, lease_until_ms=until_ms)
        self._owner.put(held)
        self._put(replace(relay, grant=grant))
        await self._state.commit()
        plain = HoldGrant(held.name, held.fencing_token, max(0, until_ms - self._clock.monotonic_ms()), held.pool)
        return replace(self._owner.sealed(relay.home, request, plain), underlying=grant)

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
        relay = self._state.relays.get(self._of_claim.get((home, claim), ""))
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

    # --- what is told of the claims behind ---

    def told(self, owner: str, name: str) -> None:
        """An operator has said something of a claim of ours, or it has come back."""
        key = relay_key(owner, name)
        if key in self._state.relays:
            self._gone.discard(key)
            self._wakes.wake(key)

    def gone(self, owner: str, name: str) -> None:
        """An operator does not know a claim of ours any more."""
        key = relay_key(owner, name)
        if key in self._state.relays:
            self._gone.add(key)
            self._wakes.wake(key)

    def changed(self, claim: Claim) -> None:
        """A claim here is another now; if there is one behind it, that is to follow."""
        key = self._of_claim.get((claim.home, claim.name))
        if key is not None:
            self._wakes.wake(key)

    def tick(self) -> None:
        """Wakes what asked to be looked at by now, and what only time changes."""
        self._wakes.tick()
        for key, relay in self._state.relays.items():
            if relay.spec.on_partition.action is OnPartition.REPLACE:
                self._wakes.wake(key)

    # --- looking ---

    async def run(self) -> None:
        """Looks at claims behind others until cancelled; an operator that is slow keeps few of the others waiting."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.reconcilers):
                group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            key = await self._wakes.next(_at_once, is_fresh=False)
            try:
                await self.look(key)
            except StoreFailed:
                raise
            except Exception as defect:
                self.on_defect(key, defect)
                self._wakes.retry_later(key)
            finally:
                self._wakes.done(key)

    async def look(self, key: str) -> None:
        """One look at a claim behind another: give it back if that is over, else tell what has become of it."""
        relay = self._state.relays.get(key)
        if relay is None or key in self._asking:
            return
        claim = self._world.claim(relay.home, relay.claim)
        if claim is not None and claim.state not in _GIVEN_UP:
            claim = self._followed(key, relay, claim)
        if claim is None or claim.state in _GIVEN_UP:
            await self._give_back(key, relay)
        await self._state.commit()

    def _followed(self, key: str, relay: Relay, claim: Claim) -> Claim | None:
        """The claim as what is behind it has made it."""
        if claim.state is ClaimState.HELD:
            # A crash has come between asking and the answer: whatever was granted is not known here.
            return claim if relay.grant is not None else self._give_up(claim)
        status = self._world.claim_status(relay.owner, relay.name)
        if key in self._gone or status is None or status.state in _GIVEN_UP:
            return self._give_up(claim, f"{relay.owner}, which is behind the zone, has it no longer")
        if self._is_cut_off(relay):
            return self._give_up(claim, f"cut off: {relay.owner}, which is behind the zone, is not heard")
        seen = claim
        if claim.state is ClaimState.LOST and status.state is not ClaimState.LOST:
            seen = ledger.advance(seen, ClaimEvent.ZONE_BACK)
        seen = ledger.advance(seen, _EVENT_OF[status.state])
        answers = seen.state in {ClaimState.ALLOCATED, ClaimState.SERVING}
        ready, urls = (status.replicas_ready, status.endpoint_urls) if answers else (0, ())
        seen = replace(seen, replicas_ready=ready, endpoint_urls=urls, message=status.message)
        if seen != claim:
            self._owner.put(seen)
        return seen

    def _is_cut_off(self, relay: Relay) -> bool:
        """Whether the operator behind has stopped it by itself, since it has not heard of us for so long."""
        rule = relay.spec.on_partition
        bound_ms = rule.after_ms + self._settings.offer_ttl_ms
        return rule.action is OnPartition.REPLACE and self._world.unheard_ms(relay.owner) > bound_ms

    def _give_up(self, claim: Claim | None, message: str = "nothing is held behind it") -> Claim | None:
        """Gives up a claim here; what is behind it follows."""
        if claim is None or claim.state in _GIVEN_UP:
            return claim
        self._owner.put(replace(ledger.advance(claim, ClaimEvent.RELEASE), message=message))
        return self._world.claim(claim.home, claim.name)

    async def _give_back(self, key: str, relay: Relay) -> None:
        """Gives back what is behind; once its owner has taken note, stopping it is its duty, and this is over."""
        await self._state.commit()
        try:
            await self._way(relay.owner).release(relay.name, Reason.WORKLOAD_MOVED)
        except (OwnerUnreachable, RefusalError):
            self._wakes.retry_later(key)
            return
        self._partners.forget_if_never_offered(relay.owner, relay.name)
        self._wakes.succeeded(key)
        self._gone.discard(key)
        self._of_claim.pop((relay.home, relay.claim), None)
        self._state.delete(Table.RELAY, key)
        claim = self._world.claim(relay.home, relay.claim)
        if claim is not None:
            self._owner.put(ledger.advance(claim, ClaimEvent.STOPPED))
        self._settlement.wake(relay.owner)

    # --- parts ---

    def _put(self, relay: Relay) -> None:
        key = relay_key(relay.owner, relay.name)
        self._of_claim[relay.home, relay.claim] = key
        self._state.put(Table.RELAY, key, relay)

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


async def _at_once() -> None:
    await asyncio.sleep(0)

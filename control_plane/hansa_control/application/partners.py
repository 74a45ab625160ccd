"""Federation: what partners offer us, what we offer them, and under which context."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from hansa_control.application.ingest import Refusals
from hansa_control.application.owner import OwnerService
from hansa_control.application.ports import (
    Clock,
    IdSource,
    OfferBody,
    RefusalError,
    StoredOffer,
    Table,
)
from hansa_control.application.settings import Settings
from hansa_control.application.signals import Signal
from hansa_control.application.state import State
from hansa_control.application.world import World, federation_key, offer_key, status_of
from hansa_control.domain import federation as machine
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.federation import FederationEvent
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    Federation,
    FederationState,
    NetworkLink,
    NetworkNode,
    Reason,
    Standing,
    Zone,
)

_KIND_OF_PREFIX: Mapping[str, type] = {
    "zones": Zone,
    "nodes": NetworkNode,
    "links": NetworkLink,
    "claims": ClaimStatus,
}


class PartnerIngest:
    """Both sides of every federation of this operator: as owner it offers, as home it takes offers over."""

    def __init__(
        self, settings: Settings, state: State, world: World, owner: OwnerService, clock_ids: tuple[Clock, IdSource]
    ) -> None:
        self._settings = settings
        self._state = state
        self._world = world
        self._owner = owner
        self._clock, self._ids = clock_ids
        self._last_heard_ms: dict[str, int] = {}
        self.on_claim: Callable[[str], None] = lambda claim: None
        self.on_claim_gone: Callable[[str, str], None] = lambda owner, claim: None
        self.on_claims_changed: Callable[[str], None] = lambda owner: None
        self.on_partner_changed: Callable[[str], None] = lambda owner: None

    @property
    def offers_signal(self) -> Signal:
        return self._owner.changed

    # --- as owner ---

    async def propose(self, home: str, wall_clock_ms: int) -> Federation:
        """A home operator asks for a federation; the same context is answered as long as it lasts.

        One that is over is answered as such, so that whoever was not there learns of it.
        """
        agreements = self._owner.agreements
        held = agreements.federation(home)
        is_over = held is None or held.state is FederationState.TERMINATED
        if agreements.stance(home) is None or (held is None and not agreements.wants_proposal(home)):
            raise RefusalError(Reason.FEDERATION_INACTIVE, f"there is no agreement with {home}", "home_operator")
        self._check_skew(wall_clock_ms)
        if held is None or (is_over and agreements.wants_proposal(home)):
            proposed = machine.propose(home, self._settings.operator, self._ids.new_id(), self._settings.offer_ttl_ms)
            held = machine.advance(proposed, FederationEvent.ACCEPT)
        held = agreements.follow(held)
        await self._state.commit()
        return replace(held, endpoint_ca_pem=self._settings.endpoint_ca_pem)

    def _check_skew(self, wall_clock_ms: int) -> None:
        skew_ms = abs(wall_clock_ms - self._clock.wall_ms())
        if skew_ms > self._settings.clock_skew_ms_max:
            raise RefusalError(Reason.CLOCK_SKEW, f"the two clocks differ by {skew_ms / 1000:.0f} s", "wall_clock_ms")

    def check_context(self, home: str, context_id: str, *, takes: bool = True) -> None:
        """RefusalError unless the context was minted for this home operator, and is in force.

        Who takes nothing, but gives back, may do so after the end.
        """
        held = self._owner.agreements.federation(home)
        if held is None or (takes and held.state is FederationState.TERMINATED):
            raise RefusalError(Reason.FEDERATION_INACTIVE, f"no federation with {home} is in force", "context_id")
        if held.context_id != context_id:
            raise RefusalError(Reason.IDENTITY_MISMATCH, f"the context is not that of {home}", "context_id")

    def standing(self, home: str) -> Standing | None:
        """How the agreement stands under which a partner uses zones of this operator."""
        return self._owner.agreements.standing(home)

    def offers(self, home: str) -> Mapping[str, OfferBody]:
        """What this operator shows to a partner, as was agreed: zones, the network, and the partner's own claims."""
        agreements = self._owner.agreements
        nodes, links = agreements.shown_network(home)
        offers: dict[str, OfferBody] = {f"nodes/{node.name}": node for node in nodes}
        offers |= {f"links/{link.name}": link for link in links}
        for zone in agreements.shown_zones(home, self._world.own_zones()):
            offers[f"zones/{zone.id.zone}"] = zone
        for claim in self._state.claims.values():
            if claim.home == home and claim.state is not ClaimState.HELD:
                offers[f"claims/{claim.name}"] = status_of(claim)
        return offers

    async def kept(self) -> None:
        """Returns when what ``offers`` answered would survive a crash; StoreFailed.

        A home operator that hears that a claim is gone forgets it: told before that, a crash would bring back a claim
        that nobody will ever release.
        """
        await self._state.commit()

    # --- as home ---

    async def federated(self, federation: Federation) -> None:
        """An owner answered our proposal. If the agreement is over, so is what the owner has offered us."""
        key = federation_key(self._settings.operator, federation.owner)
        is_over = _is_over(federation.standing)
        accepted = replace(federation, state=FederationState.TERMINATED if is_over else FederationState.ACTIVE)
        self._last_heard_ms[federation.owner] = self._clock.monotonic_ms()
        if self._state.federations.get(key) != accepted:
            self._state.put(Table.FEDERATION, key, accepted)
            self._partner_changed(federation.owner)
        if is_over:
            self._withdraw_all(federation.owner)
        await self._state.commit()

    async def told(self, owner: str, standing: Standing | None) -> None:
        """An owner says how its agreement with us stands; None is what we do not understand, and is not good enough."""
        held = self.context(owner)
        if held is not None and held.standing != standing:
            self._state.put(
                Table.FEDERATION,
                federation_key(self._settings.operator, owner),
                replace(held, standing=standing),
            )
            self._partner_changed(owner)
        await self._state.commit()

    def _withdraw_all(self, owner: str) -> None:
        """Forgets what an owner has offered, its word on our claims included: they are placed anew."""
        names = list(self._world.offers_of(owner))
        for name in names:
            self._state.delete(Table.OFFER, offer_key(owner, name))
        self._spread(owner, [], names)

    def context(self, owner: str) -> Federation | None:
        return self._state.federations.get(federation_key(self._settings.operator, owner))

    def held_offers(self, owner: str) -> Mapping[str, str]:
        """Names and etags of what the owner has offered and we still hold."""
        return {name: stored.etag for name, stored in self._world.offers_of(owner).items()}

    async def offered(self, owner: str, updated: Sequence[StoredOffer], removed: Sequence[str]) -> Refusals:
        """Takes over a delta of offers; durable on return."""
        names = {*self._world.offers_of(owner)}.difference(removed)
        refusals, accepted = [], []
        for offer in updated:
            refusal = self._wrong(owner, offer, names)
            if refusal is not None:
                refusals.append(refusal)
                continue
            names.add(offer.name)
            accepted.append(offer)
            self._state.put(Table.OFFER, offer_key(owner, offer.name), offer)
        for name in removed:
            self._state.delete(Table.OFFER, offer_key(owner, name))
        self._spread(owner, [offer.name for offer in accepted], removed)
        await self._state.commit()
        return tuple(refusals)

    def _spread(self, owner: str, updated: Sequence[str], removed: Sequence[str]) -> None:
        for name in updated:
            kind, _, rest = name.partition("/")
            if kind == "claims":
                self.on_claim(rest)
        for name in removed:
            kind, _, rest = name.partition("/")
            if kind == "claims":
                self.on_claim_gone(owner, rest)
        names = (*updated, *removed)
        if any(name.startswith("claims/") for name in names):
            self.on_claims_changed(owner)
        drawn = [offer_key(owner, name) for name in names if name.startswith(("nodes/", "links/"))]
        if drawn:
            self._world.touch_network(drawn)
        if any(not name.startswith("claims/") for name in names):
            self._partner_changed(owner)

    def _wrong(self, owner: str, offer: StoredOffer, names: Collection[str]) -> tuple[str, str, str] | None:
        """What is wrong with an offer beside those of these names: its name, a field, and why; None if nothing."""
        prefix, _, rest = offer.name.partition("/")
        if _KIND_OF_PREFIX.get(prefix) is not type(offer.body):
            return offer.name, "name", f"does not fit a {type(offer.body).__name__}"
        body = offer.body
        if isinstance(body, Zone) and (body.id.operator, body.id.zone) != (owner, rest):
            return offer.name, "zone.name", f"{body.id} is not a zone of {owner} named {rest}"
        if isinstance(body, ClaimStatus) and body.claim != rest:
            return offer.name, "claim.claim", f"{body.claim} is not {rest}"
        if isinstance(body, NetworkNode | NetworkLink) and (wrong := self._wrong_network(owner, offer.name, body)):
            return offer.name, *wrong
        if offer.name not in names and len(names) >= self._settings.offers_per_partner_max:
            return offer.name, "name", f"more than {self._settings.offers_per_partner_max} offers"
        return None

    def _wrong_network(self, owner: str, name: str, body: NetworkNode | NetworkLink) -> tuple[str, str] | None:
        """Nobody redraws the network of another: a name is his who had it first, and nobody carries in others' names.

        Otherwise one partner could move another's node into a country that a policy allows.
        """
        if body.name != name.partition("/")[2]:
            return "name", f"does not name {body.name}"
        others = self._settings.partners - {owner}
        if self._world.owns(name):
            return "name", f"{body.name} is of {self._settings.operator}'s own network"
        if former := [other for other in sorted(others) if offer_key(other, name) in self._state.offers]:
            return "name", f"{body.name} is offered by {former[0]}"
        if isinstance(body, NetworkNode) and self._settings.places_checked and _is_nowhere(body):
            return "node.latitude_deg", "0, 0 is no place, so that nothing measured could refute it; say where it is"
        if isinstance(body, NetworkLink) and body.carrier in {self._settings.operator, *others}:
            return "link.carrier", f"{owner} cannot offer what {body.carrier} carries"
        return None

    async def confirmed(self, owner: str, status: ClaimStatus) -> None:
        """A partner confirmed a claim; kept as if offered, so that the stream tells when it changes or goes.

        Claims on own zones are in the ledger, and nothing would ever take them out of the offers again.
        """
        if owner == self._settings.operator:
            return
        name = f"claims/{status.claim}"
        if offer_key(owner, name) not in self._state.offers:
            self._state.put(Table.OFFER, offer_key(owner, name), StoredOffer(owner, name, "", status))

    def heard(self, owner: str) -> None:
        self._last_heard_ms[owner] = self._clock.monotonic_ms()
        self._world.heard_partner(owner)
        self._advance(owner, FederationEvent.HEARD)

    def disconnected(self, owner: str) -> None:
        """The stream ended; offers live on until their time to live is over."""

    def recover(self) -> None:
        """After loading: every partner has the full time to live to be heard again."""
        for held in self._state.federations.values():
            if held.home == self._settings.operator:
                self._last_heard_ms[held.owner] = self._clock.monotonic_ms()

    def give_up_strangers(self) -> None:
        """Forgets what owners offered that are no partners any more: the operator has given up on what ran there."""
        for held in list(self._state.federations.values()):
            if held.home == self._settings.operator and held.owner not in self._settings.partners:
                self._withdraw_all(held.owner)

    def tick(self) -> None:
        """Finds partners that have not been heard for longer than their offers live."""
        now_ms = self._clock.monotonic_ms()
        for owner, heard_ms in self._last_heard_ms.items():
            held = self.context(owner)
            if held is not None and now_ms - heard_ms > held.offer_ttl_ms:
                self._advance(owner, FederationEvent.TIMED_OUT)

    def _advance(self, owner: str, event: FederationEvent) -> None:
        held = self.context(owner)
        if held is None:
            return
        after = machine.advance(held, event)
        if after != held:
            self._state.put(Table.FEDERATION, federation_key(self._settings.operator, owner), after)
            if (held.state, after.state) == (FederationState.STALE, FederationState.ACTIVE):
                self._world.came_back(f"{owner}>")
            self._partner_changed(owner)

    def _partner_changed(self, owner: str) -> None:
        self._world.touch_partners()
        self.on_partner_changed(owner)


def _is_nowhere(node: NetworkNode) -> bool:
    """Whether a node has no coordinates: distances to it are 0, and no round trip is too short."""
    return (node.latitude_deg, node.longitude_deg) == (0.0, 0.0)


def _is_over(standing: Standing | None) -> bool:
    return standing is not None and standing.state is AgreementState.TERMINATED

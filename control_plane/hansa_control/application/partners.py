"""Federation: what partners offer us, what we offer them, and under which context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hansa_control.application.ingest import Refusals
from hansa_control.application.offer_book import offer_key
from hansa_control.application.offer_checks import wrong_beside, wrong_offer
from hansa_control.application.owner import OwnerService
from hansa_control.application.ports import Clock, IdSource, RefusalError, ShownBody, StoredOffer, Table
from hansa_control.application.settings import Settings
from hansa_control.application.shown_offers import ShownOffers
from hansa_control.application.signals import Signal
from hansa_control.application.state import State
from hansa_control.application.waking import at_once
from hansa_control.application.world import World, federation_key
from hansa_control.domain import federation as machine
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.capabilities import NEEDED_OF_OWNERS, OURS, lacking
from hansa_control.domain.federation import FederationEvent
from hansa_control.domain.model import ClaimStatus, Federation, FederationState, Reason, Standing

VETTED_AT_ONCE = 16


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
        self.authorities_changed = 0
        self._last_heard_ms: dict[str, int] = {}
        self._excused: set[str] = set()
        self._shown: dict[str, ShownOffers] = {}
        self.on_claim: Callable[[str, str], None] = lambda owner, claim: None
        self.on_claim_gone: Callable[[str, str], None] = lambda owner, claim: None
        self.on_claims_changed: Callable[[str], None] = lambda owner: None
        self.on_partner_changed: Callable[[str], None] = lambda owner: None

    @property
    def offers_signal(self) -> Signal:
        return self._owner.changed

    # --- as owner ---

    async def propose(self, home: str, wall_clock_ms: int, capabilities: tuple[str, ...] = OURS) -> Federation:
        """A home operator asks for a federation; the same context is answered as long as it lasts.

        One that is over is answered as such, so that whoever was not there learns of it. What the home operator says
        that it can do counts until it proposes again.
        """
        agreements = self._owner.agreements
        held = agreements.federation(home)
        is_over = held is None or held.state is FederationState.TERMINATED
        if agreements.stance(home) is None or (held is None and not agreements.wants_proposal(home)):
            raise RefusalError(Reason.FEDERATION_INACTIVE, f"there is no agreement with {home}", "home_operator")
        self._check_skew(wall_clock_ms)
        if held is None or (is_over and agreements.wants_proposal(home)):
            proposed = machine.propose(home, self._settings.operator, self._ids.new_id(), self._settings.offer_ttl_ms)
            proposed = replace(proposed, prices=held.prices if held else ())
            held = machine.advance(proposed, FederationEvent.ACCEPT)
        if held.capabilities != capabilities:
            held = replace(held, capabilities=capabilities)
            self._state.put(Table.FEDERATION, federation_key(home, self._settings.operator), held)
            self._owner.changed.notify()
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

    def offers(self, home: str) -> Mapping[str, ShownBody] | None:
        """What this operator shows to a partner, as was agreed: zones, the network, and the partner's own claims. None
        while that is worked out; ``offers_signal`` tells when it is.
        """
        return self._shown_to(home).current()

    def offers_changed(self, home: str, version: int) -> tuple[int, list[str] | None]:
        """The version of ``offers`` as last answered, and the names that differ from a former one; None: any may."""
        return self._shown_to(home).changed(version)

    def _shown_to(self, home: str) -> ShownOffers:
        shown = self._shown.get(home)
        if shown is None:
            shown = self._shown[home] = ShownOffers(self._world, (self._owner.agreements, self._owner.origins), home)
        return shown

    async def kept(self) -> None:
        """Returns when what ``offers`` answered would survive a crash; StoreFailed.

        A home operator that hears that a claim is gone forgets it: told before that, a crash would bring back a claim
        that nobody will ever release.
        """
        await self._state.commit()

    # --- as home ---

    async def federated(self, federation: Federation) -> None:
        """An owner answered our proposal. If the agreement is over, so is what the owner has offered us. RefusalError
        if the owner cannot do what nothing may be used without; what it has granted until now stays as it is.
        """
        if lacks := lacking(federation.capabilities, NEEDED_OF_OWNERS):
            message = f"{federation.owner} does not say that it can do {', '.join(lacks)}; its hansa is too old"
            raise RefusalError(Reason.CAPABILITY_MISSING, message, "capabilities")
        key = federation_key(self._settings.operator, federation.owner)
        is_over = _is_over(federation.standing)
        state = FederationState.TERMINATED if is_over else FederationState.ACTIVE
        former = self._state.federations.get(key)
        self.authorities_changed += former is None or former.endpoint_ca_pem != federation.endpoint_ca_pem
        accepted = replace(federation, state=state, prices=former.prices if former else ())
        self._last_heard_ms[federation.owner] = self._clock.monotonic_ms()
        if former != accepted:
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
        names = list(self._world.offered.of(owner))
        for name in names:
            self._world.offered.forget(owner, name)
        self._spread(owner, [], names)

    def context(self, owner: str) -> Federation | None:
        return self._state.federations.get(federation_key(self._settings.operator, owner))

    def held_offers(self, owner: str) -> Mapping[str, str]:
        """Names and etags of what the owner has offered and we still hold."""
        return {name: stored.etag for name, stored in self._world.offered.of(owner).items()}

    async def offered(self, owner: str, updated: Sequence[StoredOffer], removed: Sequence[str]) -> Refusals:
        """Vets offers and takes over those that are right; durable on return."""
        wrong = await self.vet(owner, updated)
        names = {name for name, _, _ in wrong}
        return *wrong, *await self.take_over(owner, [one for one in updated if one.name not in names], removed)

    async def vet(self, owner: str, offers: Sequence[StoredOffer]) -> Refusals:
        """What is wrong with offers by themselves. Signatures take their time: others get their turn in between."""
        refusals = []
        for index, offer in enumerate(offers, start=1):
            if (wrong := wrong_offer(offer, self._settings, self._owner.chains)) is not None:
                refusals.append(wrong)
            if index % VETTED_AT_ONCE == 0:
                await at_once()
        return tuple(refusals)

    async def take_over(self, owner: str, updated: Sequence[StoredOffer], removed: Sequence[str]) -> Refusals:
        """Takes over, in one go, offers that ``vet`` found right, as far as they are right beside what is held; durable
        on return.
        """
        refusals, accepted = [], []
        leaving = self._world.offered.of(owner).keys() & set(removed)
        for offer in updated:
            refusal = wrong_beside(offer, self._settings, (self._world, self._owner.chains), len(leaving))
            if refusal is not None:
                refusals.append(refusal)
                continue
            accepted.append(offer)
            self._give_way(self._owner.chains.overtaken(offer))
            self._owner.chains.took(offer)
            self._world.offered.put(offer)
        for name in removed:
            self._world.offered.forget(owner, name)
        self._spread(owner, [offer.name for offer in accepted], removed)
        await self._state.commit()
        return tuple(refusals)

    def _give_way(self, offers: Sequence[StoredOffer]) -> None:
        """Forgets what was passed on: its owner itself offers it now, or nobody vouches for it any more."""
        for offer in offers:
            self._world.offered.forget(offer.operator, offer.name)
            self._spread(offer.operator, [], [offer.name])

    def _spread(self, owner: str, updated: Sequence[str], removed: Sequence[str]) -> None:
        for name in updated:
            kind, _, rest = name.partition("/")
            if kind == "claims":
                self.on_claim(owner, rest)
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

    async def confirmed(self, owner: str, status: ClaimStatus) -> None:
        """A partner confirmed a claim; kept as if offered, so that the stream tells when it changes or goes.

        Claims on own zones are in the ledger, and nothing would ever take them out of the offers again.
        """
        if owner == self._settings.operator:
            return
        name = f"claims/{status.claim}"
        if offer_key(owner, name) not in self._state.offers:
            self._world.offered.put(StoredOffer(owner, name, "", status))

    def forget_if_never_offered(self, owner: str, claim: str) -> None:
        """A claim released before the partner's stream named it would never be taken out of the offers by it."""
        stored = self._world.offered.of(owner).get(f"claims/{claim}")
        if stored is not None and not stored.etag:
            self._world.offered.forget(owner, stored.name)

    def heard(self, owner: str) -> None:
        self._last_heard_ms[owner] = self._clock.monotonic_ms()
        self._world.heard_partner(owner)
        self._advance(owner, FederationEvent.HEARD)

    def disconnected(self, owner: str) -> None:
        """The stream ended; offers live on until their time to live is over."""

    def recover(self) -> None:
        """After loading: every partner has the full time to live to be heard again."""
        self._owner.chains.recover()
        for held in self._state.federations.values():
            if held.home == self._settings.operator:
                self._last_heard_ms[held.owner] = self._clock.monotonic_ms()

    def give_up_strangers(self) -> None:
        """Forgets what owners offered that are no partners any more: the operator has given up on what ran there."""
        for held in list(self._state.federations.values()):
            if held.home == self._settings.operator and held.owner not in self._settings.partners:
                self._withdraw_all(held.owner)

    def tick(self, away_ms: int = 0) -> None:
        """Finds partners that have not been heard for longer than their offers live, and chains that have ended.

        Offers are as old as they are, also if this process was away for away_ms before; that is no fault of theirs.
        """
        self._give_way(self._owner.chains.ended())
        self._owner.chains.sweep()
        if self._owner.origins.is_due():
            self._owner.changed.notify()
        now_ms = self._clock.monotonic_ms()
        for owner, heard_ms in self._last_heard_ms.items():
            held = self.context(owner)
            if held is not None and now_ms - heard_ms > held.offer_ttl_ms:
                if held.state is FederationState.ACTIVE and now_ms - heard_ms - away_ms <= held.offer_ttl_ms:
                    self._excused.add(owner)
                self._advance(owner, FederationEvent.TIMED_OUT)

    def _advance(self, owner: str, event: FederationEvent) -> None:
        held = self.context(owner)
        if held is None:
            return
        after = machine.advance(held, event)
        if after != held:
            self._state.put(Table.FEDERATION, federation_key(self._settings.operator, owner), after)
            if (held.state, after.state) == (FederationState.STALE, FederationState.ACTIVE):
                if owner not in self._excused:
                    self._world.came_back(f"{owner}>")
                self._excused.discard(owner)
            self._partner_changed(owner)

    def _partner_changed(self, owner: str) -> None:
        self._world.touch_partners()
        self.on_partner_changed(owner)


def _is_over(standing: Standing | None) -> bool:
    return standing is not None and standing.state is AgreementState.TERMINATED

"""Chains of origin: what partners may offer on, what of theirs is offered on, and which of their chains are believed.

A link is signed when it is first shown, kept, and signed anew when half of its life is over or what it is about has
changed. So a chain that its owner does not renew ends by itself, wherever it has got to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from hansa_control.application.agreements import AgreementDesk
from hansa_control.application.ports import (
    Clock,
    Counter,
    OfferBody,
    SealBroken,
    Seals,
    ShownBody,
    StoredOffer,
    Table,
)
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.agreement import Agreement, AgreementState, names
from hansa_control.domain.capabilities import Capability
from hansa_control.domain.model import (
    ClaimStatus,
    ConstraintResult,
    Handler,
    Intake,
    OnBehalf,
    Origin,
    Reason,
    Rejection,
    Upkeep,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.origin import (
    OPERATORS_MAX,
    Chain,
    Chained,
    LinkTerms,
    Offered,
    OriginLink,
    Receiver,
    alias_of,
    content_of,
    digest_of_link,
    ends_ms,
    fault_of,
    is_passed_on,
    may_go_to,
    operators_of,
    owned_by,
    signed_bytes,
)

ZONES = "zones/"


class Fault(NamedTuple):
    """Why an offer is not taken: the field, and what is wrong with it."""

    field: str
    why: str


class _MadeOf(NamedTuple):
    """What a link is about: as long as it is of the very same, what it says need not be worked out again."""

    body: Offered
    before: Chain
    onward: tuple[str, ...]
    agreed_until_ms: int

    def is_same(self, other: _MadeOf) -> bool:
        return self.body is other.body and self[1:] == other[1:]


class _Signed(NamedTuple):
    """A link that was signed, and what it is of."""

    made_of: _MadeOf
    link: OriginLink


class OriginDesk:
    """Signs what this operator lets go on, and checks what partners pass on. Without ``seals`` nothing is signed, and
    no chain is believed.
    """

    def __init__(
        self, settings: Settings, records: tuple[State, World], agreements: AgreementDesk, clock: Clock
    ) -> None:
        self.seals: Seals | None = None
        self._settings = settings
        self._state, self._world = records
        self._agreements = agreements
        self._clock = clock
        self._links: dict[tuple[str, str], _Signed] = {}
        self._ends: dict[tuple[str, str], int] = {}

    def recover(self) -> None:
        """After loading: until when what partners pass on holds."""
        for stored in self._state.offers.values():
            self.took(stored)

    # --- what is shown to a partner ---

    def lets_go_on(self, home: str) -> bool:
        """Whether a partner may offer anything of this operator's on."""
        agreement = self._agreement(home)
        return agreement is not None and bool(agreement.reoffer.zones)

    def permitted(self, home: str, name: str, body: Offered) -> ShownBody:
        """An own offer, with the permission to offer it on where that is agreed."""
        onward = self._onward(home, name)
        if not onward or self.seals is None:
            return body
        return Chained(body, (self._link(self.seals, home, name, body, ()),))

    def passed_on(self, home: str) -> dict[str, Chained]:
        """What partners offer and this operator offers on, by the name under which it does; the first path counts."""
        agreement = self._agreement(home)
        if agreement is None or not agreement.passes_on or self.seals is None:
            return {}
        if Capability.CHAINS_OF_ORIGIN in self._agreements.lacks(home):
            return {}  # it would take what is passed on for this operator's own
        found: dict[str, Chained] = {}
        paths: set[tuple[str, str]] = set()
        for stored, alias in self._zones_for(home, agreement):
            if (name := ZONES + alias) not in found:
                zone = self._shown_zone(home, stored, alias)
                chain = (*stored.chain, self._link(self.seals, home, name, zone, stored.chain))
                found[name] = Chained(zone, chain)
                paths |= {(stored.operator, operator) for operator in operators_of(stored.chain)}
        paths |= self._networks_for(agreement)
        for partner, owner in sorted(paths):
            for name, stored in sorted(self._world.offered.of(partner).items()):
                body, chain = stored.body, stored.chain
                is_network = chain and not isinstance(body, Zone | ClaimStatus)
                if is_network and owned_by(chain) == owner and self._may_go(chain, home) and name not in found:
                    link = self._link(self.seals, home, name, body, chain)  # type: ignore[arg-type]
                    found[name] = Chained(body, (*chain, link))  # type: ignore[arg-type]
        return found

    def _networks_for(self, agreement: Agreement) -> set[tuple[str, str]]:
        """Whose network is passed on whether any zone is or not, with the partner that shows it: home operators' users
        are there, and the owner of a zone must know the way to them.
        """
        wanted = [pattern.partition("/")[0] for pattern in agreement.passes_on]
        partners = sorted(self._settings.partners)
        shown = {
            (partner, owned_by(stored.chain))
            for partner in partners
            for stored in self._world.offered.of(partner).values()
            if stored.chain
        }
        return {(partner, owner) for partner, owner in shown if names(wanted, owner)}

    def zone_for(self, home: str, alias: str) -> tuple[StoredOffer, Zone] | None:
        """The partner's offer that is behind a zone that this operator offers on to a partner, and the zone as it does;
        None where there is none of this name.
        """
        agreement = self._agreement(home)
        if agreement is None or not agreement.passes_on or self.seals is None:
            return None
        for stored, name in self._zones_for(home, agreement):
            if name == alias:
                return stored, self._shown_zone(home, stored, alias)
        return None

    def is_due(self) -> bool:
        """Whether anything that was signed is to be signed anew by now; it is forgotten, and signed if it is shown."""
        now_ms = self._clock.wall_ms()
        over = [key for key, signed in self._links.items() if _half_ms(signed.link) <= now_ms]
        for key in over:
            del self._links[key]
        return bool(over)

    def _zones_for(self, home: str, agreement: Agreement) -> Iterator[tuple[StoredOffer, str]]:
        """Partners' zones that may be offered on to a partner, with the names under which they are; by name."""
        for stored in sorted(self._world.offered.zones(), key=lambda offer: (offer.operator, offer.name)):
            if not stored.chain or stored.operator == home or not self._may_go(stored.chain, home):
                continue
            owned = zone_owned(stored.chain)
            alias = alias_of(owned)
            is_agreed = names(agreement.passes_on, str(owned))
            if alias is not None and is_agreed and self._world.own_zone(alias) is None:
                yield stored, alias

    def _may_go(self, chain: Chain, home: str) -> bool:
        return may_go_to(chain, home) and ends_ms(chain) > self._clock.wall_ms()

    def _shown_zone(self, home: str, stored: StoredOffer, alias: str) -> Zone:
        own = self._settings.operator
        seen = self._world.partner_zone(ZoneId(stored.operator, stored.name.removeprefix(ZONES)))
        handlers = (*seen.handlers, Handler(own, self._settings.legal_facts))
        zone = replace(seen, id=ZoneId(own, alias), origin=Origin(zone_owned(stored.chain), handlers), heard_at_ms=0)
        if zone.state is ZoneState.AGREEMENT_ENDING:
            # The home operator leaves as it leaves a zone that its owner wants empty: with a new instance first.
            note = f"the agreement of {stored.operator} with {own} is ending"
            zone = replace(zone, upkeep=Upkeep(Intake.DRAINING, note, windows=zone.upkeep.windows))
        return self._agreements.bounded(home, zone)

    def _agreement(self, home: str) -> Agreement | None:
        stance = self._agreements.stance(home)
        return stance.agreement if stance else None

    def _onward(self, home: str, name: str) -> tuple[str, ...]:
        """To whom a partner may offer on what it is shown under this name."""
        agreement, standing = self._agreement(home), self._agreements.standing(home)
        if agreement is None or standing is None or standing.state is not AgreementState.IN_FORCE:
            return ()
        reoffer = agreement.reoffer
        zone = name.removeprefix(ZONES)
        is_named = names(reoffer.zones, zone) if name != zone else bool(reoffer.zones)
        return reoffer.to if is_named else ()

    def _link(self, seals: Seals, home: str, name: str, body: Offered, before: Chain) -> OriginLink:
        """This operator's link to a partner: the one that was signed before, as long as it says the same and half of
        its life is not over.
        """
        now_ms, agreement = self._clock.wall_ms(), self._agreement(home)
        until_ms = agreement.terms.valid_until_ms if agreement else 0
        made_of = _MadeOf(body, before, self._onward(home, name), until_ms)
        known = self._links.get((home, name))
        is_young = known is not None and _half_ms(known.link) > now_ms
        if known is not None and is_young and known.made_of.is_same(made_of):
            return known.link
        terms = self._terms(home, name, made_of, now_ms)
        is_said = known is not None and is_young and _same(known.link.terms, terms)
        link = known.link if known is not None and is_said else OriginLink(terms, seals.sign(signed_bytes(terms)))
        self._links[home, name] = _Signed(made_of, link)
        return link

    def _terms(self, home: str, name: str, made_of: _MadeOf, now_ms: int) -> LinkTerms:
        body, before, onward, until_ms = made_of
        ends = [now_ms + self._settings.origin_life_ms]
        ends += [until_ms] if until_ms else []
        ends += [ends_ms(before)] if before else []
        return LinkTerms(
            by=self._settings.operator,
            to=home,
            onward=onward,
            name=before[0].terms.name if before else name,
            content_digest=content_of(body),
            previous_digest=digest_of_link(before[-1].terms) if before else "",
            facts=self._settings.legal_facts if before else (),
            signed_at_ms=now_ms,
            valid_until_ms=min(ends),
        )

    def refusal(self, home: str, zone: str, said: OnBehalf | None) -> Rejection | None:
        """Why a partner may not have a zone on behalf of others; None if it may, or asks for itself."""
        if said is None:
            return None
        agreement, own = self._agreement(home), self._settings.operator
        others = (said.home, *(handler.operator for handler in said.handlers[1:]))
        chain = (own, *(handler.operator for handler in said.handlers), said.home)
        why = ""
        if not said.handlers or said.handlers[0].operator != home:
            why = f"{home} asks, and is not the first handler"
        elif len(set(chain)) < len(chain):
            why = f"somebody is there twice: {', '.join(chain)}"
        elif len(chain) > OPERATORS_MAX + 1:
            why = f"{len(chain) - 1} operators before the home operator; at most {OPERATORS_MAX}"
        elif denied := [one for one in others if agreement is None or not agreement.reoffer.permits(zone, one)]:
            why = f"{denied[0]} is not permitted"
        if not why:
            return None
        result = ConstraintResult("Origin", why, "permitted by the owner", f"agreement of {own} with {home}")
        return Rejection(ZoneId(own, zone), Reason.ORIGIN_DENIED, result)

    # --- what partners offer ---

    def fault(self, offer: StoredOffer) -> Fault | None:
        """Why a partner's offer is not believed to come from where it says; None if it is."""
        if not offer.chain:
            is_of_another = isinstance(offer.body, Zone) and offer.body.origin is not None
            return Fault("zone.origin", "is set, and there is no chain of origin") if is_of_another else None
        if isinstance(offer.body, ClaimStatus):
            return Fault("chain", "is set on a claim, which comes from nobody else")
        skew_ms, own = self._settings.clock_skew_ms_max, self._settings.operator
        at = Receiver(own, offer.operator, self._clock.wall_ms(), skew_ms)
        if (found := fault_of(offer.chain, offer.name, offer.body, at)) is not None:
            return Fault(*found)
        return self._stranger(offer.chain) or self._superseded(offer) or self._broken(offer.chain, at.now_ms)

    def _stranger(self, chain: Chain) -> Fault | None:
        known = self._settings.partners | self._settings.known_operators
        for index, operator in enumerate(operators_of(chain)):
            if operator not in known:
                return Fault(f"chain[{index}].by", f"{operator} is not known here; name it under known_operators")
        return None

    def _superseded(self, offer: StoredOffer) -> Fault | None:
        first = offer.chain[0].terms
        if is_passed_on(offer.chain) and first.name in self._world.offered.of(first.by):
            return Fault("name", f"{first.by} itself offers {first.name}")
        if first.signed_at_ms < self._state.count(_newest(offer)):
            return Fault("chain[0].signed_at_ms", f"{first.by} has signed {first.name} anew since")
        return None

    def _broken(self, chain: Chain, now_ms: int) -> Fault | None:
        if self.seals is None:
            return Fault("chain", "signatures cannot be checked here")
        for index, link in enumerate(chain):
            try:
                self.seals.check(link.terms.by, signed_bytes(link.terms), link.signed, now_ms)
            except SealBroken as broken:
                return Fault(f"chain[{index}].signature", str(broken))
        return None

    def took(self, offer: StoredOffer) -> None:
        """A partner's offer is taken; of its chain is kept how new it is, so that none that is older is taken again."""
        if not offer.chain:
            self._ends.pop((offer.operator, offer.name), None)
            return
        self._ends[offer.operator, offer.name] = ends_ms(offer.chain)
        signed_at_ms = offer.chain[0].terms.signed_at_ms
        if self._state.count(_newest(offer)) < signed_at_ms:
            self._state.put(Table.COUNTER, _newest(offer), Counter(signed_at_ms))

    def overtaken(self, offer: StoredOffer) -> list[StoredOffer]:
        """What partners have passed on of that which its owner itself offers now: it gives way."""
        if is_passed_on(offer.chain) or isinstance(offer.body, ClaimStatus):
            return []
        name = offer.name
        if isinstance(offer.body, Zone):
            name = f"{ZONES}{alias_of(offer.body.id)}"
        others = sorted(self._settings.partners - {offer.operator})
        held = (self._world.offered.of(other).get(name) for other in others)
        return [one for one in held if one is not None and _is_from(one.chain, offer.operator)]

    def ended(self) -> list[StoredOffer]:
        """Offers that are passed on and whose chain has ended: nobody vouches for them any more."""
        now_ms = self._clock.wall_ms()
        over = [key for key, end_ms in self._ends.items() if end_ms <= now_ms]
        for key in over:
            del self._ends[key]
        held = (self._world.offered.of(operator).get(name) for operator, name in sorted(over))
        return [one for one in held if one is not None and is_passed_on(one.chain) and ends_ms(one.chain) <= now_ms]


def zone_owned(chain: Chain) -> ZoneId:
    """The zone of its owner that a chain is of."""
    return ZoneId(owned_by(chain), chain[0].terms.name.removeprefix(ZONES))


def body_of(shown: ShownBody) -> OfferBody:
    """What is shown, without its chain of origin."""
    return shown.body if isinstance(shown, Chained) else shown


def _is_from(chain: Chain, owner: str) -> bool:
    return is_passed_on(chain) and owned_by(chain) == owner


def _newest(offer: StoredOffer) -> str:
    """The counter of when an owner last signed what a partner offers under a name, wall clock."""
    return f"origin|{offer.operator}|{owned_by(offer.chain)}|{offer.name}"


def _half_ms(link: OriginLink) -> int:
    """When half of a link's life is over."""
    return (link.terms.signed_at_ms + link.terms.valid_until_ms) // 2


def _same(known: LinkTerms, terms: LinkTerms) -> bool:
    """Whether a link says what is to be said, and no longer than it may; when it was signed apart."""
    is_short = known.valid_until_ms <= terms.valid_until_ms
    return is_short and replace(known, signed_at_ms=0, valid_until_ms=0) == replace(
        terms, signed_at_ms=0, valid_until_ms=0
    )

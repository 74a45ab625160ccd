"""What partners may offer on of this operator's, and what of theirs this operator offers on, each with its signed link.

A link is signed when it is first shown, kept, and signed anew when half of its life is over or what it is about has
changed. So a chain that its owner does not renew ends by itself, wherever it has got to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from hansa_control.application.agreements import AgreementDesk
from hansa_control.application.ports import Clock, Seals, ShownBody, StoredOffer
from hansa_control.application.settings import Settings
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
    Claimed,
    LinkTerms,
    Offered,
    OriginLink,
    alias_of,
    claimed_of,
    digest_of_claimed,
    digest_of_link,
    ends_ms,
    may_go_to,
    operators_of,
    owned_by,
    signed_bytes,
)

ZONES = "zones/"

_SHOWN = frozenset(AgreementState) - {AgreementState.PROPOSED, AgreementState.TERMINATED}
"""States of an agreement in which something may run under it. In all but one nothing new is held, whatever is shown."""


class _MadeOf(NamedTuple):
    """What a link is about: as long as it is of the same, what it says need not be worked out again."""

    claimed: Claimed
    before: Chain
    onward: tuple[str, ...]
    agreed_until_ms: int


class _Signed(NamedTuple):
    """A link that was signed, and what it is of."""

    made_of: _MadeOf
    link: OriginLink


class OriginDesk:
    """Signs what this operator lets go on, and what it offers on; without ``seals`` it does neither."""

    def __init__(self, settings: Settings, world: World, agreements: AgreementDesk, clock: Clock) -> None:
        self.seals: Seals | None = None
        self._settings = settings
        self._world = world
        self._agreements = agreements
        self._clock = clock
        self._links: dict[tuple[str, str], _Signed] = {}
        self._renewals = 0
        self._networks_passed_on: dict[str, tuple[object, dict[str, Chained]]] = {}

    # --- what is shown to a partner ---

    def terms(self, home: str) -> object:
        """Equal as long as what is signed to a partner need not be looked at for the agreement's or for time's sake."""
        standing = self._agreements.standing(home)
        return self._agreement(home), standing, self._renewals

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
        return found | self._networks(self.seals, home, frozenset(paths))

    def _networks(self, seals: Seals, home: str, paths: frozenset[tuple[str, str]]) -> dict[str, Chained]:
        """What is passed on of others' networks; kept, since offers are looked at whenever any claim changes."""
        key = (self.terms(home), self._world.offered.chained_count, paths)
        known = self._networks_passed_on.get(home)
        if known is None or known[0] != key:
            known = self._networks_passed_on[home] = key, self._networks_now(seals, home, paths)
        return known[1]

    def _networks_now(self, seals: Seals, home: str, paths: frozenset[tuple[str, str]]) -> dict[str, Chained]:
        found: dict[str, Chained] = {}
        for partner, owner in sorted(paths):
            for name, stored in sorted(self._world.offered.chained(partner).items()):
                body, chain = stored.body, stored.chain
                is_network = not isinstance(body, Zone | ClaimStatus)
                if is_network and owned_by(chain) == owner and self._may_go(chain, home) and name not in found:
                    link = self._link(seals, home, name, body, chain)  # type: ignore[arg-type]
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
            for stored in self._world.offered.chained(partner).values()
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

    def passes_anything_on(self) -> bool:
        """Whether any partner is to be offered zones of others."""
        agreements = map(self._agreement, sorted(self._settings.partners))
        return any(agreement is not None and bool(agreement.passes_on) for agreement in agreements)

    def is_due(self) -> bool:
        """Whether anything that was signed is to be signed anew by now; it is forgotten, and signed if it is shown."""
        now_ms = self._clock.wall_ms()
        over = [key for key, signed in self._links.items() if _half_ms(signed.link) <= now_ms]
        for key in over:
            del self._links[key]
        self._renewals += bool(over)
        return bool(over)

    def _zones_for(self, home: str, agreement: Agreement) -> Iterator[tuple[StoredOffer, str]]:
        """Partners' zones that may be offered on to a partner, with the names under which they are; by name."""
        partners = sorted(self._settings.partners - {home})
        offers = (sorted(self._world.offered.chained(partner).items()) for partner in partners)
        for stored in [stored for of_partner in offers for _, stored in of_partner]:
            if not isinstance(stored.body, Zone) or not self._may_go(stored.chain, home):
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
        if agreement is None or standing is None or standing.state not in _SHOWN:
            return ()
        reoffer = agreement.reoffer
        zone = name.removeprefix(ZONES)
        is_named = names(reoffer.zones, zone) if name != zone else bool(reoffer.zones)
        return reoffer.to if is_named else ()

    def _link(self, seals: Seals, home: str, name: str, body: Offered, before: Chain) -> OriginLink:
        """This operator's link to a partner: the one that was signed before, as long as it says the same and half of
        its life is not over.
        """
        now_ms, agreement, standing = self._clock.wall_ms(), self._agreement(home), self._agreements.standing(home)
        until_ms = agreement.terms.valid_until_ms if agreement else 0
        if standing is not None and standing.deadline_ms:
            until_ms = standing.deadline_ms
        made_of = _MadeOf(claimed_of(body), before, self._onward(home, name), until_ms)
        known = self._links.get((home, name))
        is_young = known is not None and _half_ms(known.link) > now_ms
        if known is not None and is_young and known.made_of == made_of:
            return known.link
        terms = self._terms(home, name, made_of, now_ms)
        is_said = known is not None and is_young and _same(known.link.terms, terms)
        link = known.link if known is not None and is_said else OriginLink(terms, seals.sign(signed_bytes(terms)))
        self._links[home, name] = _Signed(made_of, link)
        return link

    def _terms(self, home: str, name: str, made_of: _MadeOf, now_ms: int) -> LinkTerms:
        claimed, before, onward, until_ms = made_of
        ends = [now_ms + self._settings.origin_life_ms]
        ends += [until_ms] if until_ms else []
        ends += [ends_ms(before)] if before else []
        return LinkTerms(
            by=self._settings.operator,
            to=home,
            onward=onward,
            name=before[0].terms.name if before else name,
            content_digest=digest_of_claimed(claimed),
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


def zone_owned(chain: Chain) -> ZoneId:
    """The zone of its owner that a chain is of."""
    return ZoneId(owned_by(chain), chain[0].terms.name.removeprefix(ZONES))


def _half_ms(link: OriginLink) -> int:
    """When half of a link's life is over."""
    return (link.terms.signed_at_ms + link.terms.valid_until_ms) // 2


def _same(known: LinkTerms, terms: LinkTerms) -> bool:
    """Whether a link says what is to be said, and no longer than it may; when it was signed apart."""
    is_short = known.valid_until_ms <= terms.valid_until_ms
    return is_short and replace(known, signed_at_ms=0, valid_until_ms=0) == replace(
        terms, signed_at_ms=0, valid_until_ms=0
    )

"""The chain of origin of what an operator offers and does not own: who passed it on to whom, each link signed.

The owner signs the first link: that its partner may offer this on, to whom, until when, and what it claims of it (for
a zone its facts and where it stands, for a node or a link of the network everything). Every operator that passes it on
signs a link of its own, which names the one before by its digest and tells who controls the signer legally. A link is
to one operator alone, so that nobody can hand over what was given to another.

Everything here is a pure function of the chain, of what is offered with it, and of the time. That the signatures are
those of the operators is another question, which this does not answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

from hansa_control.domain.agreement import ANYBODY
from hansa_control.domain.canonical import PREFIX, canonical
from hansa_control.domain.model import Fact, Handler, NetworkLink, NetworkNode, Origin, Zone, ZoneId
from hansa_control.domain.residency import LEGAL_KINDS
from hansa_control.domain.seals import Signed

ORIGIN_FORMAT = 1
"""Of what is signed of a link; grows whenever a field is added or means something else."""

OPERATORS_MAX = 3
"""Of a chain, from the owner to the operator that offers: beyond that nobody can say any more who answers for what."""

LIFE_MS_MAX = 86_400_000
"""A permission cannot be called back before it ends, so none may run for longer than a day."""

NAME_LENGTH_MAX = 63
JOINT = "--"

Offered = Zone | NetworkNode | NetworkLink


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """What an operator signs when it passes something on. Its canonical bytes are what is signed.

    onward are the operators to which ``to`` may pass it on, ANYBODY, or none. name is that of the owner's offer
    (``zones/berlin-1``) in every link, content_digest that of ``content_of`` it. facts are on the legal control of
    ``by``; the owner's are with the zone. previous_digest is empty in the first link.
    """

    by: str
    to: str
    onward: tuple[str, ...]
    name: str
    content_digest: str
    previous_digest: str
    facts: tuple[Fact, ...]
    signed_at_ms: int
    valid_until_ms: int
    format: int = ORIGIN_FORMAT

    def permits(self, operator: str) -> bool:
        """Whether ``to`` may pass it on to an operator."""
        return self.onward == ANYBODY or operator in self.onward


@dataclass(frozen=True, slots=True)
class OriginLink:
    """A link of a chain as it was signed."""

    terms: LinkTerms
    signed: Signed


Chain = tuple[OriginLink, ...]


@dataclass(frozen=True, slots=True)
class Chained:
    """Something that is offered, with its chain of origin."""

    body: Offered
    chain: Chain


class Receiver(NamedTuple):
    """Who looks at an offer: its name, the partner that offers, its wall clock, and by how much clocks may differ."""

    own: str
    partner: str
    now_ms: int
    skew_ms: int


class Fault(NamedTuple):
    """What is wrong with a chain: the field, and why."""

    field: str
    why: str


@dataclass(frozen=True, slots=True)
class ZoneClaimed:
    """What an owner claims of a zone and answers for; capacity, price and state change, and are not of it."""

    zone: str
    node: str
    failure_domain: str
    device_watts: int
    facts: tuple[Fact, ...]


Claimed = ZoneClaimed | NetworkNode | NetworkLink


def signed_bytes(terms: LinkTerms) -> bytes:
    """What the signature of a link covers."""
    return canonical(terms)


def digest_of_link(terms: LinkTerms) -> str:
    """The digest by which the next link names this one, "sha256:<hex>"."""
    return PREFIX + sha256(signed_bytes(terms)).hexdigest()


def claimed_of(body: Offered) -> Claimed:
    """What the owner claims of a zone, a node or a link of the network, in the form in which it crosses the wire."""
    if isinstance(body, Zone):
        owned = body.origin.zone if body.origin is not None else body.id
        inventory = body.inventory
        stands = (inventory.node, inventory.failure_domain, inventory.device_watts)
        return ZoneClaimed(str(owned), *stands, body.facts)
    if isinstance(body, NetworkLink) and body.countries is not None:
        countries = tuple(sorted(set(body.countries)))
        return body if countries == body.countries else replace(body, countries=countries)
    return body


def digest_of_claimed(claimed: Claimed) -> str:
    """The digest of what is claimed, "sha256:<hex>"."""
    return PREFIX + sha256(canonical(claimed)).hexdigest()


def content_of(body: Offered) -> str:
    """The digest of what the owner claims of a zone, a node or a link of the network."""
    return digest_of_claimed(claimed_of(body))


def alias_of(zone: ZoneId) -> str | None:
    """The name under which another operator offers a zone of this owner; None where it would be too long, or where the
    owner's own name has ``--`` in it, so that the alias could be of a zone of somebody else.
    """
    if JOINT in zone.operator:
        return None
    name = f"{zone.operator}{JOINT}{zone.zone}"
    return name if len(name) <= NAME_LENGTH_MAX else None


def aliased(name: str, operators: Collection[str]) -> str | None:
    """The operator of these under whose zones' aliases a name falls; None if it is nobody's."""
    operator, joint, _ = name.partition(JOINT)
    return operator if joint and operator in operators else None


def is_passed_on(chain: Chain) -> bool:
    """Whether a chain is of what its last signer does not own; one link alone is an owner's permission."""
    return len(chain) > 1


def owned_by(chain: Chain) -> str:
    """The operator that owns what the chain is of."""
    return chain[0].terms.by


def operators_of(chain: Chain) -> tuple[str, ...]:
    """The operators of a chain, from the owner to the one that offers."""
    return tuple(link.terms.by for link in chain)


def ends_ms(chain: Chain) -> int:
    """Until when a chain holds, wall clock."""
    return min(link.terms.valid_until_ms for link in chain)


def may_go_to(chain: Chain, operator: str) -> bool:
    """Whether every operator of a chain lets it be passed on to this one, and the chain may be so long."""
    permitted = all(link.terms.permits(operator) for link in chain)
    return permitted and operator not in operators_of(chain) and len(chain) < OPERATORS_MAX


def handlers_of(chain: Chain) -> tuple[Handler, ...]:
    """The operators besides the owner through whose hands goes what the chain is of."""
    return tuple(Handler(link.terms.by, link.terms.facts) for link in chain[1:])


def fault_of(chain: Chain, name: str, body: Offered, at: Receiver) -> Fault | None:
    """The first thing that is wrong with a chain, for whoever is offered ``body`` under ``name`` with it; None if
    nothing is, the signatures apart.
    """
    return next(_faults(chain, name, body, at), None)


def _faults(chain: Chain, name: str, body: Offered, at: Receiver) -> Iterator[Fault]:
    operators = operators_of(chain)
    if len(chain) > OPERATORS_MAX:
        yield Fault("chain", f"has {len(chain)} operators ({', '.join(operators)}); at most {OPERATORS_MAX}")
    yield from _loops(operators, at.own)
    for index, link in enumerate(chain):
        for fault in _link_faults(link.terms, index, at):
            yield Fault(f"chain[{index}].{fault.field}", fault.why)
    yield from _joints(chain, at)
    yield from _permissions(chain, at.own)
    yield from _content_faults(chain, name, body)


def _loops(operators: Sequence[str], own: str) -> Iterator[Fault]:
    for index, operator in enumerate(operators):
        if operator == own:
            yield Fault(f"chain[{index}].by", f"{own} is offered what went through its own hands")
        if operator in operators[:index]:
            yield Fault(f"chain[{index}].by", f"{operator} is in the chain twice")


def _link_faults(terms: LinkTerms, index: int, at: Receiver) -> Iterator[Fault]:
    if terms.format != ORIGIN_FORMAT:
        yield Fault("format", f"is {terms.format}; known is {ORIGIN_FORMAT}")
    if terms.signed_at_ms > at.now_ms + at.skew_ms:
        yield Fault("signed_at_ms", f"{terms.signed_at_ms} is later than now, {at.now_ms}")
    if terms.valid_until_ms <= at.now_ms:
        yield Fault("valid_until_ms", f"expired: {terms.valid_until_ms} is not after now, {at.now_ms}")
    if terms.valid_until_ms - terms.signed_at_ms > LIFE_MS_MAX:
        yield Fault("valid_until_ms", f"is more than {LIFE_MS_MAX} ms after signed_at_ms")
    if index == 0 and terms.facts:
        yield Fault("facts", "the owner's are with the zone; leave them empty")
    if wrong := sorted({fact.kind.value for fact in terms.facts} - LEGAL_KINDS):
        yield Fault("facts", f"{wrong[0]} is not on legal control; known are {', '.join(sorted(LEGAL_KINDS))}")


def _joints(chain: Chain, at: Receiver) -> Iterator[Fault]:
    """Whether every link follows the one before, and the last one leads from the partner to the receiver."""
    last = len(chain) - 1
    for index, link in enumerate(chain):
        terms = link.terms
        following = chain[index + 1].terms.by if index < last else at.own
        if index == last and terms.by != at.partner:
            yield Fault(f"chain[{index}].by", f"{terms.by} signed the last link, and {at.partner} offers it")
        if terms.to != following:
            yield Fault(f"chain[{index}].to", f"it was given to {terms.to}, not to {following}")
        expected = digest_of_link(chain[index - 1].terms) if index else ""
        if terms.previous_digest != expected:
            yield Fault(f"chain[{index}].previous_digest", "is not that of the link before")


def _permissions(chain: Chain, own: str) -> Iterator[Fault]:
    """Whether every operator permits everybody behind its partner, the receiver at the end included."""
    receivers = [link.terms.to for link in chain]
    for index, link in enumerate(chain):
        for receiver in receivers[index + 1 :]:
            if not link.terms.permits(receiver):
                allowed = ", ".join(link.terms.onward) or "nobody"
                yield Fault(
                    f"chain[{index}].onward", f"{link.terms.by} permits {allowed} to be offered it, not {receiver}"
                )


def _content_faults(chain: Chain, name: str, body: Offered) -> Iterator[Fault]:
    owner, first = owned_by(chain), chain[0].terms
    digest = content_of(body)
    for index, link in enumerate(chain):
        if link.terms.name != first.name:
            yield Fault(f"chain[{index}].name", f"is {link.terms.name}, and {owner} signed {first.name}")
        if link.terms.content_digest != digest:
            who = "signed otherwise" if index == 0 else "passed on otherwise"
            field = "zone facts, node, failure domain or device power" if isinstance(body, Zone) else f"what {name} is"
            yield Fault(f"chain[{index}].content_digest", f"{field}: {link.terms.by} {who}")
    if isinstance(body, Zone):
        yield from _zone_faults(chain, first.name, name, body)
    elif name != first.name:
        yield Fault("name", f"{owner} signed {first.name}")


def _zone_faults(chain: Chain, owned_name: str, name: str, zone: Zone) -> Iterator[Fault]:
    owned = ZoneId(owned_by(chain), owned_name.partition("/")[2])
    if not is_passed_on(chain):
        if name != owned_name or zone.origin is not None:
            yield Fault("zone.origin", f"is set, and {owned.operator} offers a zone of its own")
        return
    if name != f"zones/{alias_of(owned)}":
        yield Fault("zone.name", f"{owned} is offered on under {alias_of(owned)}")
    if zone.origin != Origin(owned, handlers_of(chain)):
        yield Fault("zone.origin", "is not what the chain says")

"""Whatever a partner makes up, only what the owner has signed for it, for this receiver, and for now is believed."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from hansa_control.domain.agreement import ANYBODY
from hansa_control.domain.model import (
    Capacity,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Inventory,
    Origin,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.origin import (
    LIFE_MS_MAX,
    OPERATORS_MAX,
    Chain,
    LinkTerms,
    OriginLink,
    Receiver,
    alias_of,
    content_of,
    digest_of_link,
    fault_of,
    handlers_of,
    is_passed_on,
    signed_bytes,
)
from hansa_control.domain.seals import Signed
from hypothesis import example, given
from hypothesis import strategies as st

OWNER, BETWEEN, OTHER, OWN = "waldnetz", "skargard", "blueridge", "nordavind"
NOW_MS = 1_800_000_000_000
AT = Receiver(OWN, BETWEEN, NOW_MS, 1_000)


def fact(country: str) -> Fact:
    return Fact(FactKind.SITE_COUNTRY, country, Evidence(EvidenceKind.DECLARATION, "i", "s", 1, 2**52, ""))


def zone(owner: str, name: str, country: str) -> Zone:
    inventory = Inventory("berlin", "", Capacity(1, 1), (), (), "", 0, "file", cordoned=False)
    return Zone(ZoneId(owner, name), inventory, Capacity(1, 1), (fact(country),), ZoneState.AVAILABLE, 1, 0)


def signed(terms: LinkTerms, by: str = "") -> OriginLink:
    """A link signed by whoever it names, or by somebody else; a digest stands for the signature."""
    return OriginLink(terms, Signed("x", sha256((by or terms.by).encode() + signed_bytes(terms)).digest(), b""))


def is_signed(link: OriginLink) -> bool:
    return link == signed(link.terms)


TRUE_ZONE = zone(OWNER, "berlin-1", "DE")


def permission(**changes: object) -> OriginLink:
    """What the owner has signed for skargard; changes are of the terms."""
    plain = LinkTerms(
        OWNER, BETWEEN, (OWN,), "zones/berlin-1", content_of(TRUE_ZONE), "", (), NOW_MS - 10, NOW_MS + 10_000
    )
    return signed(replace(plain, **changes))  # type: ignore[arg-type]


ISSUED = (
    permission(),
    permission(to=OTHER, onward=ANYBODY),
    permission(onward=(OTHER,)),
    permission(onward=()),
    permission(valid_until_ms=NOW_MS),
    permission(signed_at_ms=NOW_MS + 100_000, valid_until_ms=NOW_MS + 200_000),
    permission(valid_until_ms=NOW_MS + LIFE_MS_MAX + 1),
    permission(name="zones/berlin-2", content_digest=content_of(zone(OWNER, "berlin-2", "DE"))),
)
"""Everything that the owner has signed: for others, for others' partners, over, and not begun."""

operators = st.sampled_from([OWNER, BETWEEN, OTHER, OWN])
texts = st.sampled_from(["zones/berlin-1", "zones/berlin-2", f"zones/{alias_of(TRUE_ZONE.id)}"])
times = st.sampled_from([NOW_MS - 10, NOW_MS, NOW_MS + 5_000, NOW_MS + 10_000, NOW_MS + LIFE_MS_MAX])
zones = st.sampled_from([zone(OWNER, "berlin-1", "DE"), zone(OWNER, "berlin-1", "NO"), zone(OWNER, "berlin-2", "DE")])


@st.composite
def forged(draw: st.DrawFn, before: Chain) -> OriginLink:
    """A link of skargard's making: signed by itself, in whoever's name."""
    terms = LinkTerms(
        by=draw(operators),
        to=draw(operators),
        onward=draw(st.sampled_from([(), (OWN,), (OTHER,), ANYBODY])),
        name=draw(texts),
        content_digest=content_of(draw(zones)),
        previous_digest=digest_of_link(before[-1].terms) if before and draw(st.booleans()) else "",
        facts=(),
        signed_at_ms=draw(times),
        valid_until_ms=draw(times),
    )
    return signed(terms, BETWEEN)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Links that were signed by the owner for whomever, and links that skargard makes up, in any order."""
    chain: Chain = ()
    for _ in range(draw(st.integers(1, OPERATORS_MAX + 1))):
        link = draw(st.one_of(st.sampled_from(ISSUED), forged(chain)))
        chain = (*chain, link)
    return chain


def honest(first: OriginLink) -> Chain:
    """The chain that skargard makes of a permission of the owner's, as it should."""
    terms = replace(
        first.terms, by=BETWEEN, to=OWN, onward=(), previous_digest=digest_of_link(first.terms), signed_at_ms=NOW_MS
    )
    return (first, signed(terms))


def offered(claimed: Zone, chain: Chain) -> tuple[str, Zone]:
    if not is_passed_on(chain):
        return f"zones/{claimed.id.zone}", claimed
    alias = alias_of(claimed.id) or ""
    return f"zones/{alias}", replace(claimed, id=ZoneId(BETWEEN, alias), origin=Origin(claimed.id, handlers_of(chain)))


@given(chains(), zones)
@example(honest(ISSUED[0]), TRUE_ZONE)
@example(honest(ISSUED[1]), TRUE_ZONE)
@example(honest(ISSUED[2]), TRUE_ZONE)
@example(honest(ISSUED[3]), TRUE_ZONE)
@example(honest(ISSUED[4]), TRUE_ZONE)
@example(honest(ISSUED[5]), TRUE_ZONE)
@example(honest(ISSUED[6]), TRUE_ZONE)
@example(honest(ISSUED[7]), zone(OWNER, "berlin-2", "NO"))
def test_what_is_believed_of_another_is_what_its_owner_has_signed_for_us_by_this_partner(
    chain: Chain, claimed: Zone
) -> None:
    name, body = offered(claimed, chain)
    if fault_of(chain, name, body, AT) is not None or not all(map(is_signed, chain)):
        return
    if not is_passed_on(chain):
        assert chain[0].terms.by == BETWEEN
        return
    first = chain[0].terms
    assert chain[0] in ISSUED or first.by != OWNER
    assert first.by not in {OWN, BETWEEN}
    if first.by == OWNER:
        assert (first.to, first.onward, claimed) == (BETWEEN, (OWN,), TRUE_ZONE)
        assert first.signed_at_ms <= NOW_MS < first.valid_until_ms <= NOW_MS + LIFE_MS_MAX


def test_a_permission_for_others_is_refused_by_whom_it_permits() -> None:
    for first, allowed in ((ISSUED[2], OTHER), (ISSUED[3], "nobody")):
        chain = honest(first)
        fault = fault_of(chain, *offered(TRUE_ZONE, chain), AT)
        assert fault == ("chain[0].onward", f"{OWNER} permits {allowed} to be offered it, not {OWN}")


def test_the_honest_chain_is_believed() -> None:
    chain = honest(ISSUED[0])
    assert fault_of(chain, *offered(TRUE_ZONE, chain), AT) is None
    assert all(map(is_signed, chain))


@given(st.lists(operators, min_size=2, max_size=6))
def test_a_chain_that_is_too_long_or_comes_back_is_never_believed(by: list[str]) -> None:
    chain: Chain = ()
    for index, operator in enumerate(by):
        following = by[index + 1] if index + 1 < len(by) else OWN
        previous = digest_of_link(chain[-1].terms) if chain else ""
        terms = permission(by=operator, to=following, onward=ANYBODY, previous_digest=previous).terms
        chain = (*chain, signed(replace(terms, content_digest=content_of(zone(by[0], "berlin-1", "DE")))))
    at = AT._replace(partner=by[-1])
    owned = zone(by[0], "berlin-1", "DE")
    alias = alias_of(owned.id) or ""
    body = replace(owned, id=ZoneId(by[-1], alias), origin=Origin(owned.id, handlers_of(chain)))
    is_sound = len(by) <= OPERATORS_MAX and len({*by, OWN}) == len(by) + 1
    assert (fault_of(chain, f"zones/{alias}", body, at) is None) == is_sound

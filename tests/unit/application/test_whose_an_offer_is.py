"""What an owner has signed stays its own, whatever the operator between leaves out, withdraws or replaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import three_operators as stage
from hansa_control.application.ports import StoredOffer
from hansa_control.domain.agreement import Stance
from hansa_control.domain.model import (
    AccessDemand,
    Capacity,
    Inventory,
    NetworkNode,
    ResidencyPolicy,
    TransitRule,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.model import LegalRule as Control
from hansa_control.domain.origin import (
    LIFE_MS_MAX,
    Chain,
    LinkTerms,
    Offered,
    OriginLink,
    alias_of,
    aliased,
    content_of,
    digest_of_link,
    signed_bytes,
)
from home_operator import spec
from three_operators import (
    ALIAS,
    BETWEEN,
    HOME,
    OWNER,
    YARD,
    Agreement,
    Three,
    control,
    link,
    node,
    offer_at_home,
    seals_of,
    three_operators,
)

OTHER = "blueridge"
NAME = f"zones/{ALIAS}"
MOVED = node("rostock", "DE", 54.1, 12.1)
PERMITTED = frozenset({"NO", "SE", "DE"})


@pytest.fixture
def through_poland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The owner's way to its zone leads through PL, and the owner has signed so."""
    nodes, links = stage.NETWORKS[OWNER]
    monkeypatch.setitem(stage.NETWORKS, OWNER, ((node("rostock", "PL", 54.1, 14.5), nodes[1]), links))
    yield


async def passed(known: tuple[str, ...] = (OWNER, OTHER)) -> Three:
    three = await three_operators(known=known)
    assert await three.spread() == {}
    return three


async def refused(three: Three, *offers: StoredOffer, removed: tuple[str, ...] = ()) -> dict[str, str]:
    """The fields for which home refuses what the one between offers, by name; all else is taken."""
    found = await three.home.plane.partners.offered(BETWEEN, list(offers), list(removed))
    return {name: field for name, field, _ in found}


def bare(body: Offered, name: str) -> StoredOffer:
    return StoredOffer(BETWEEN, name, "bare", body)


def signed_by(owner: str, name: str, body: Offered, now_ms: int) -> Chain:
    """What an owner has let the one between pass on."""
    until_ms = now_ms + 3_600_000
    first = LinkTerms(owner, BETWEEN, (HOME,), name, content_of(body), "", (), now_ms, until_ms)
    last = LinkTerms(BETWEEN, HOME, (), name, content_of(body), digest_of_link(first), (), now_ms, until_ms)
    return tuple(OriginLink(one, seals_of(one.by, ()).sign(signed_bytes(one))) for one in (first, last))


async def choices(three: Three, policy: ResidencyPolicy, access: str = "oslo") -> list[str]:
    asked = replace(spec(), access=(AccessDemand(access, 1_000),), residency=policy)
    decision = (await three.home.plane.workloads.plan(YARD, asked))[0]
    return [str(choice.zone) for choice in decision.choices]


@pytest.mark.usefixtures("through_poland")
async def test_a_node_that_its_owner_signed_is_not_redrawn_without_a_chain() -> None:
    three = await passed()
    policy = ResidencyPolicy(transit=TransitRule(PERMITTED))
    assert await choices(three, policy) == []
    assert await refused(three, bare(MOVED, "nodes/rostock")) == {"nodes/rostock": "chain"}
    assert await choices(three, policy) == []


@pytest.mark.usefixtures("through_poland")
@pytest.mark.parametrize("waits_ms", [0, 2 * LIFE_MS_MAX])
async def test_to_withdraw_a_node_first_does_not_help_as_long_as_the_owners_link_leads_there(waits_ms: int) -> None:
    three = await passed()
    assert await refused(three, removed=("nodes/rostock",)) == {}
    await three.home.start()
    three.clock.now_ms += waits_ms
    assert await refused(three, bare(MOVED, "nodes/rostock")) == {"nodes/rostock": "chain"}
    assert await choices(three, ResidencyPolicy(transit=TransitRule(PERMITTED))) == []


async def test_a_link_of_another_is_not_redrawn_within_the_time_that_a_permission_may_hold() -> None:
    three = await passed()
    short = bare(link("rostock", "berlin", BETWEEN), "links/rostock--berlin")
    assert await refused(three, short) == {short.name: "chain"}
    assert await refused(three, removed=(short.name,)) == {}
    assert await refused(three, short) == {short.name: "chain"}
    three.clock.now_ms += LIFE_MS_MAX + 1
    assert await refused(three, short) == {}


async def test_nobody_says_without_a_chain_what_an_operator_carries_that_is_known_by_its_authority_alone() -> None:
    three = await passed()
    assert await refused(three, bare(link("visby", "berlin", OWNER), "links/visby--berlin")) == {
        "links/visby--berlin": "link.carrier"
    }
    assert await refused(three, bare(link("visby", "berlin", BETWEEN), "links/visby--berlin")) == {}


async def test_what_one_owner_signed_does_not_take_the_place_of_what_another_did() -> None:
    three = await passed()
    body = node("berlin", "NO", 59.0, 10.0)
    chain = signed_by(OTHER, "nodes/berlin", body, three.clock.wall_ms())
    offer = replace(bare(body, "nodes/berlin"), chain=chain)
    assert await refused(three, offer) == {"nodes/berlin": "chain"}
    assert await refused(three, removed=("nodes/berlin",)) == {}
    assert await refused(three, offer) == {"nodes/berlin": "chain"}


@pytest.mark.parametrize("is_signed", [False, True])
async def test_a_zone_does_not_stand_on_ground_that_its_owner_has_not_signed(is_signed: bool) -> None:
    zone = offer_at_home(await passed(), NAME)
    three = await three_operators(known=(OWNER, OTHER))
    body = node("berlin", "NO", 59.0, 10.0)
    chain = signed_by(OTHER, "nodes/berlin", body, three.clock.wall_ms()) if is_signed else ()
    assert await refused(three, replace(bare(body, "nodes/berlin"), chain=chain)) == {}
    assert await refused(three, zone) == {NAME: "zone.inventory.node"}
    assert NAME not in three.home.plane.world.offered.of(BETWEEN)


async def test_the_node_of_a_zone_that_was_never_shown_is_not_drawn_by_the_one_between() -> None:
    three = await passed()
    zone = offer_at_home(three, NAME)
    three = await three_operators(known=(OWNER, OTHER))
    assert await refused(three, zone) == {}
    body = node("berlin", "NO", 59.0, 10.0)
    assert await refused(three, bare(body, "nodes/berlin")) == {"nodes/berlin": "chain"}
    assert await three.spread() == {}, "the owner's own is taken"


async def test_a_zone_does_not_become_the_offerers_own_by_leaving_out_where_it_comes_from() -> None:
    three = await three_operators()
    await three.advertise(*control("US"))
    assert await three.spread() == {}
    rule = ResidencyPolicy(legal=Control(PERMITTED))
    held = offer_at_home(three, NAME)
    stripped = replace(held, chain=(), etag="x", body=replace(held.body, origin=None, facts=control("SE")))  # type: ignore[type-var]
    assert await refused(three, stripped) == {NAME: "chain"}
    assert await refused(three, removed=(NAME,)) == {}
    assert await refused(three, stripped) == {NAME: "zone.origin"}
    assert await choices(three, rule, "rostock") == []


async def test_neither_does_it_by_a_chain_that_begins_with_the_offerer() -> None:
    three = await passed()
    held = offer_at_home(three, NAME)
    body = replace(held.body, origin=None)  # type: ignore[type-var]
    now_ms = three.clock.wall_ms()
    terms = LinkTerms(BETWEEN, HOME, (), NAME, content_of(body), "", (), now_ms, now_ms + 1_000)  # type: ignore[arg-type]
    own = (OriginLink(terms, seals_of(BETWEEN, ()).sign(signed_bytes(terms))),)
    assert await refused(three, replace(held, chain=own, body=body, etag="x")) == {NAME: "chain"}
    assert await refused(three, removed=(NAME,)) == {}
    assert await refused(three, replace(held, chain=own, body=body, etag="x")) == {NAME: "zone.origin"}


@pytest.mark.parametrize(
    ("zone", "field"),
    [
        (f"{OTHER}--reno-1", "zone.origin"),
        (f"{HOME}--oslo-1", "zone.origin"),
        ("far--1", None),
        (f"{BETWEEN}--1", None),
    ],
)
async def test_a_partners_own_zone_is_not_named_like_one_of_another_operator(zone: str, field: str | None) -> None:
    three = await passed()
    inventory = Inventory("visby", "", Capacity(), (), (), "", 0, "file", cordoned=False)
    body = Zone(ZoneId(BETWEEN, zone), inventory, Capacity(), (), ZoneState.AVAILABLE, 1, 0)
    found = await refused(three, bare(body, f"zones/{zone}"))
    assert found == ({f"zones/{zone}": field} if field else {})


async def test_an_owner_that_becomes_a_partner_offers_its_own_as_ever() -> None:
    three = await passed()
    held = dict(three.home.plane.world.offered.of(BETWEEN))
    three.home.agreements.agreed[OWNER] = Stance(Agreement())
    await three.home.start()
    await three.federate()
    names = ("nodes/berlin", "nodes/rostock", "links/rostock--berlin")
    own: list[Any] = [replace(held[name], operator=OWNER, chain=(), etag="own") for name in names]
    assert await three.home.plane.partners.offered(OWNER, own, []) == ()
    assert isinstance(three.home.plane.world.offered.of(OWNER)["nodes/berlin"].body, NetworkNode)
    assert "nodes/berlin" not in three.home.plane.world.offered.of(BETWEEN)
    assert await refused(three, bare(MOVED, "nodes/rostock")) == {"nodes/rostock": "chain"}


def test_an_alias_is_of_one_operator_alone() -> None:
    assert alias_of(ZoneId("a--b", "c")) is None
    assert alias_of(ZoneId("a", "b--c")) == "a--b--c"
    assert aliased("a--b--c", {"a", "b", "a--b"}) == "a"
    assert aliased("a-b", {"a"}) is None

"""Whose network it is: names of nodes and links belong to whom they were first heard from."""

from __future__ import annotations

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import StoredOffer
from hansa_control.application.settings import Settings
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import (
    Federation,
    FederationState,
    LatencyBasis,
    LinkKind,
    NetworkLink,
    NetworkNode,
    RoundTrip,
)
from home_operator import HOME, IN_FORCE, CountedIds, HandClock

FIRST, SECOND = "skargard", "waldnetz"


def node(country: str, name: str = "umea") -> NetworkNode:
    return NetworkNode(name, name, country, 63.8, 20.3, access_point=True)


def link(carrier: str) -> NetworkLink:
    rtt = RoundTrip(1, 1, 1, LatencyBasis.MODELLED)
    return NetworkLink("umea--oslo", "umea", "oslo", 1, rtt, (), carrier, LinkKind.TERRESTRIAL)


async def home() -> ControlPlane:
    surroundings = Surroundings(MemoryStore(), HandClock(), CountedIds(), {})
    plane = ControlPlane(Settings(HOME, partners=frozenset({FIRST, SECOND})), ((node("NO", "oslo"),), ()), surroundings)
    await plane.start()
    for owner in (FIRST, SECOND):
        await plane.partners.federated(
            Federation(HOME, owner, "context-1", FederationState.ACTIVE, 6_000, b"", IN_FORCE, OURS)
        )
    return plane


async def test_a_node_that_another_partner_offers_is_refused_and_stays_where_it_was() -> None:
    plane = await home()
    assert await plane.partners.offered(FIRST, [StoredOffer(FIRST, "nodes/umea", "e1", node("SE"))], []) == ()
    refusals = await plane.partners.offered(SECOND, [StoredOffer(SECOND, "nodes/umea", "e1", node("NO"))], [])
    assert refusals == (("nodes/umea", "name", "umea is offered by skargard"),)
    (umea,) = [one for one in plane.world.snapshot().nodes if one.name == "umea"]
    assert umea.country == "SE"


async def test_a_node_may_change_at_the_hand_of_its_owner_and_is_free_once_it_is_gone() -> None:
    plane = await home()
    await plane.partners.offered(FIRST, [StoredOffer(FIRST, "nodes/umea", "e1", node("SE"))], [])
    assert await plane.partners.offered(FIRST, [StoredOffer(FIRST, "nodes/umea", "e2", node("FI"))], []) == ()
    await plane.partners.offered(FIRST, [], ["nodes/umea"])
    assert await plane.partners.offered(SECOND, [StoredOffer(SECOND, "nodes/umea", "e1", node("SE"))], []) == ()


async def test_a_link_may_be_carried_by_a_stranger_but_not_by_another_member_of_the_federation() -> None:
    plane = await home()
    for carrier, field in ((HOME, "link.carrier"), (SECOND, "link.carrier"), (FIRST, ""), ("telefjord", "")):
        refusals = await plane.partners.offered(FIRST, [StoredOffer(FIRST, "links/umea--oslo", "e", link(carrier))], [])
        assert "".join(refusal[1] for refusal in refusals) == field, carrier

"""Federation from both sides: contexts, what is offered, what is taken over, and what becomes stale."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hansa_control.application.partners import VETTED_AT_ONCE
from hansa_control.application.ports import HoldRequest, RefusalError, StoredOffer
from hansa_control.application.settings import Settings
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    Federation,
    FederationState,
    HoldGrant,
    NetworkNode,
    Reason,
    ZoneId,
    ZoneState,
)
from home_operator import OWNER, HandOwner, home_operator, offered_zone, spec
from owner_operator import MANIFEST, ME, PARTNER, ZONE, owner_side

TTL_MS = 6_000


# --- as owner -------------------------------------------------------------------------------------------------------


async def test_a_federation_is_proposed_once_and_its_context_is_answered_again() -> None:
    side = await owner_side()
    first = await side.plane.partners.propose(PARTNER, side.clock.wall_ms())
    again = await side.plane.partners.propose(PARTNER, side.clock.wall_ms())
    assert first == again
    assert first.state is FederationState.ACTIVE


async def test_a_context_survives_a_restart() -> None:
    side = await owner_side()
    first = await side.plane.partners.propose(PARTNER, side.clock.wall_ms())
    again = await owner_side(side.store.reopen())
    again.plane.partners.check_context(PARTNER, first.context_id)


async def test_without_an_agreement_there_is_no_federation() -> None:
    side = await owner_side()
    with pytest.raises(RefusalError) as refused:
        await side.plane.partners.propose("stranger", side.clock.wall_ms())
    assert refused.value.reason is Reason.FEDERATION_INACTIVE


async def test_a_clock_an_hour_off_is_refused() -> None:
    side = await owner_side()
    with pytest.raises(RefusalError) as refused:
        await side.plane.partners.propose(PARTNER, side.clock.wall_ms() + 3_600_000)
    assert (refused.value.reason, refused.value.field) == (Reason.CLOCK_SKEW, "wall_clock_ms")


async def test_a_context_counts_for_the_home_it_was_minted_for_and_nobody_else() -> None:
    side = await owner_side(settings=Settings(ME, partners=frozenset({PARTNER, "other"})))
    mine = await side.plane.partners.propose(PARTNER, side.clock.wall_ms())
    await side.plane.partners.propose("other", side.clock.wall_ms())
    with pytest.raises(RefusalError) as refused:
        side.plane.partners.check_context("other", mine.context_id)
    assert refused.value.reason is Reason.IDENTITY_MISMATCH
    with pytest.raises(RefusalError) as unknown:
        side.plane.partners.check_context("stranger", mine.context_id)
    assert unknown.value.reason is Reason.FEDERATION_INACTIVE


async def test_offers_are_zones_network_and_the_partners_own_confirmed_claims() -> None:
    side = await owner_side()
    grant = await side.hold("c1")
    assert isinstance(grant, HoldGrant)
    assert set(side.plane.partners.offers(PARTNER)) == {f"zones/{ZONE}", "nodes/oslo"}
    await side.plane.owner.confirm(PARTNER, "c1", grant.fencing_token, MANIFEST)
    assert "claims/c1" in side.plane.partners.offers(PARTNER)
    assert "claims/c1" not in side.plane.partners.offers("other")


# --- as home --------------------------------------------------------------------------------------------------------


async def test_offers_of_a_partner_that_is_silent_for_longer_than_they_live_are_stale() -> None:
    plane = await home_operator(HandOwner())
    clock = plane._clock  # type: ignore[attr-defined]
    clock.now_ms += TTL_MS + 1
    plane.partners.tick()
    assert [zone.state for zone in plane.world.partner_zones()] == [ZoneState.STALE]
    assert plane.decider.decide(spec()).choices == ()
    plane.partners.heard(OWNER)
    assert [zone.state for zone in plane.world.partner_zones()] == [ZoneState.AVAILABLE]


async def test_a_partner_has_its_whole_time_to_live_after_a_restart() -> None:
    plane = await home_operator(HandOwner())
    await plane.state.commit()
    again = await home_operator(HandOwner(), plane._store.reopen())  # type: ignore[attr-defined]
    clock = again._clock  # type: ignore[attr-defined]
    clock.now_ms += TTL_MS
    again.partners.tick()
    assert [zone.state for zone in again.world.partner_zones()] == [ZoneState.AVAILABLE]


@pytest.mark.parametrize(
    ("offer", "field"),
    [
        (StoredOffer(OWNER, "nodes/oslo-9", "e", offered_zone()), "name"),
        (StoredOffer(OWNER, "zones/other", "e", offered_zone()), "zone.name"),
        (StoredOffer(OWNER, "zones/oslo-9", "e", replace(offered_zone(), id=ZoneId("x", "oslo-9"))), "zone.name"),
        (
            StoredOffer(OWNER, "claims/c1", "e", ClaimStatus("c2", ClaimState.SERVING, 1, (), "", 1)),
            "claim.claim",
        ),
        (StoredOffer(OWNER, "nodes/brg", "e", NetworkNode("osl", "", "NO", 1, 1, access_point=False)), "name"),
    ],
)
async def test_an_offer_that_is_not_what_its_name_says_is_refused_and_changes_nothing(
    offer: StoredOffer, field: str
) -> None:
    plane = await home_operator(HandOwner())
    before = plane.partners.held_offers(OWNER)
    assert [(name, where) for name, where, _ in await plane.partners.offered(OWNER, [offer], [])] == [
        (offer.name, field)
    ]
    assert plane.partners.held_offers(OWNER) == before


async def test_a_refused_offer_does_not_hinder_the_others_of_its_delta() -> None:
    plane = await home_operator(HandOwner())
    good = StoredOffer(OWNER, "nodes/brg", "e", NetworkNode("brg", "", "NO", 60, 5, access_point=True))
    bad = StoredOffer(OWNER, "nodes/osl", "e", NetworkNode("other", "", "NO", 1, 1, access_point=False))
    refused = await plane.partners.offered(OWNER, [bad, good], [])
    assert [name for name, _, _ in refused] == ["nodes/osl"]
    assert plane.partners.held_offers(OWNER)["nodes/brg"] == "e"


async def test_while_many_offers_are_vetted_others_have_their_turn() -> None:
    plane = await home_operator(HandOwner())
    vetting = asyncio.create_task(plane.partners.vet(OWNER, many_nodes(VETTED_AT_ONCE * 10)))
    turns = 0
    while not vetting.done():
        await asyncio.sleep(0)
        turns += 1
    assert vetting.result() == ()
    assert turns >= 10


def many_nodes(count: int) -> list[StoredOffer]:
    bodies = [NetworkNode(f"n{at}", "", "NO", 60, 5, access_point=True) for at in range(count)]
    return [StoredOffer(OWNER, f"nodes/{body.name}", "e", body) for body in bodies]


async def test_a_withdrawn_zone_is_not_seen_any_more() -> None:
    plane = await home_operator(HandOwner())
    await plane.partners.offered(OWNER, [], ["zones/oslo-9"])
    assert plane.world.partner_zones() == ()
    assert plane.decider.decide(spec()).zones_evaluated == 0


async def test_an_owner_cannot_offer_another_operators_claims_as_its_own() -> None:
    plane = await home_operator(HandOwner())
    told = ClaimStatus("c1", ClaimState.SERVING, 1, ("https://evil.example:1",), "", 1)
    await plane.partners.offered(OWNER, [StoredOffer(OWNER, "claims/c1", "e", told)], [])
    assert plane.world.claim_status("another", "c1") is None


async def test_a_new_context_of_the_owner_replaces_the_old() -> None:
    plane = await home_operator(HandOwner())
    mine = plane.settings.operator
    await plane.partners.federated(
        Federation(mine, OWNER, "context-2", FederationState.ACTIVE, TTL_MS, capabilities=OURS)
    )
    held = plane.partners.context(OWNER)
    assert held is not None
    assert held.context_id == "context-2"


async def test_an_owner_that_does_not_sign_its_grants_is_not_used_and_what_it_granted_stays() -> None:
    plane = await home_operator(HandOwner())
    before = plane.partners.context(OWNER)
    unsigned = Federation(plane.settings.operator, OWNER, "context-2", FederationState.ACTIVE, TTL_MS)
    with pytest.raises(RefusalError) as refused:
        await plane.partners.federated(unsigned)
    assert (refused.value.reason, refused.value.field) == (Reason.CAPABILITY_MISSING, "capabilities")
    assert "signed-grants" in str(refused.value)
    assert plane.partners.context(OWNER) == before


async def test_a_hold_request_carries_no_manifest() -> None:
    """What crosses a border before a zone is chosen is minimal; the tenant is named only where the owner judges it."""
    fields = {"claim", "zone", "spec", "lease_ms", "answer_within_ms", "tenant"}
    assert set(HoldRequest.__dataclass_fields__) == fields

"""Federation as the home operator sees it: what it believes of a partner, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hansa_control.application.ports import StoredOffer
from hansa_control.domain.model import ClaimState, ClaimStatus, LinkKind, NetworkLink, NetworkNode, Reason, ZoneState
from hansa_control.domain.units import modelled_link_rtt
from home_operator import HOME, OWNER, YARD, offered_zone
from home_stage import OFFER_TTL_MS, OTHER, Stage, home_stage, inventory, placed_stage, stage_with_a_spare

BERGEN = NetworkNode("bergen", "Bergen", "NO", 60.4, 5.3, access_point=True)


# --- what is taken over ---


async def test_what_was_offered_is_there_after_a_crash() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    again = await stage.restart()
    assert again.plane.partners.held_offers(OWNER) == {"zones/oslo-9": "e1"}
    assert [str(zone.id) for zone in again.plane.world.partner_zones()] == [f"{OWNER}/oslo-9"]


async def test_a_newer_offer_of_the_same_name_takes_the_place_of_the_older() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    (zone,) = stage.plane.world.partner_zones()
    assert zone.inventory.cordoned
    assert stage.plane.partners.held_offers(OWNER) == {"zones/oslo-9": "e2"}


def link(name: str, carrier: str = OWNER) -> NetworkLink:
    rtt = modelled_link_rtt(300_000)
    return NetworkLink(name, "oslo", "bergen", 300_000, rtt, (), carrier, LinkKind.TERRESTRIAL)


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("zones/oslo-9", BERGEN, "name"),
        ("inventory", inventory(), "name"),
        ("plans/x", BERGEN, "name"),
        ("zones/oslo-9/x", offered_zone(), "zone.name"),
        ("nodes/oslo", replace(BERGEN, name="oslo", country="SE"), "name"),
        ("links/a--b", link("b--a"), "name"),
        ("links/a--b", link("a--b", carrier=HOME), "link.carrier"),
        ("links/a--b", link("a--b", carrier=OTHER), "link.carrier"),
    ],
)
async def test_what_an_owner_cannot_offer_is_refused(name: str, body: Any, field: str) -> None:
    stage = await home_stage()
    refusals = await stage.offered(OWNER, name, body)
    assert [(refused, where) for refused, where, _ in refusals] == [(name, field)]
    assert stage.plane.partners.held_offers(OWNER) == {}


async def test_a_name_of_the_network_is_his_who_had_it_first() -> None:
    stage = await home_stage()
    assert await stage.offered(OWNER, "nodes/bergen", BERGEN) == ()
    ((name, field, why),) = await stage.offered(OTHER, "nodes/bergen", replace(BERGEN, country="SE"))
    assert (name, field, why) == ("nodes/bergen", "name", f"bergen is offered by {OWNER}")
    await stage.withdraw(OWNER, "nodes/bergen")
    assert await stage.offered(OTHER, "nodes/bergen", replace(BERGEN, country="SE")) == ()


def nodes(*names: str) -> list[StoredOffer]:
    return [StoredOffer(OWNER, f"nodes/{name}", f"e-{name}", replace(BERGEN, name=name)) for name in names]


async def test_one_delta_cannot_exceed_the_limit_of_offers() -> None:
    stage = await home_stage(offers_per_partner_max=2)
    refusals = await stage.plane.partners.offered(OWNER, nodes("a", "b", "c", "d"), [])
    assert [name for name, _, _ in refusals] == ["nodes/c", "nodes/d"]
    assert set(stage.plane.partners.held_offers(OWNER)) == {"nodes/a", "nodes/b"}


async def test_at_the_limit_what_is_held_may_change_and_be_exchanged() -> None:
    stage = await home_stage(offers_per_partner_max=2)
    partners = stage.plane.partners
    assert await partners.offered(OWNER, nodes("a", "b"), []) == ()
    assert await partners.offered(OWNER, nodes("b", "a"), []) == ()
    assert await partners.offered(OWNER, nodes("c"), ["nodes/a"]) == ()
    assert set(partners.held_offers(OWNER)) == {"nodes/b", "nodes/c"}


async def test_the_limit_of_one_partner_is_not_that_of_another() -> None:
    stage = await home_stage(offers_per_partner_max=1)
    await stage.offer(OWNER, "oslo-9")
    await stage.offer(OTHER, "oslo-5")
    assert len(stage.plane.world.partner_zones()) == 2


async def test_removing_what_is_not_held_changes_nothing() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await stage.withdraw(OWNER, "zones/oslo-8", "claims/c1")
    assert list(stage.plane.partners.held_offers(OWNER)) == ["zones/oslo-9"]


async def test_one_partner_cannot_remove_what_another_offers() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await stage.withdraw(OTHER, "zones/oslo-9")
    assert list(stage.plane.partners.held_offers(OWNER)) == ["zones/oslo-9"]


async def test_one_partner_cannot_speak_for_a_claim_at_another() -> None:
    stage = await stage_with_a_spare()
    (placement,) = stage.workload.placements
    lie = ClaimStatus(placement.claim, ClaimState.SERVING, 1, ("https://evil.example:1",), "", 1)
    assert await stage.offered(OTHER, f"claims/{placement.claim}", lie) == ()
    await stage.look()
    assert stage.plane.queries.endpoint(YARD).urls == placement.endpoint_urls


async def test_a_partners_new_network_is_routed_over_at_once() -> None:
    stage = await home_stage()
    before = stage.plane.world.snapshot()
    await stage.offered(OWNER, "nodes/bergen", BERGEN)
    after = stage.plane.world.snapshot()
    assert [node.name for node in before.nodes] == ["oslo"]
    assert [node.name for node in after.nodes] == ["bergen", "oslo"]
    assert after.generation > before.generation


# --- time to live ---


def zone_state(stage: Stage) -> ZoneState:
    (zone,) = stage.plane.world.partner_zones()
    return zone.state


async def test_offers_live_for_their_time_and_not_longer() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    stage.clock.now_ms += OFFER_TTL_MS
    stage.plane.partners.tick()
    assert zone_state(stage) is ZoneState.AVAILABLE
    stage.clock.now_ms += 1
    stage.plane.partners.tick()
    assert zone_state(stage) is ZoneState.STALE


async def test_a_lost_stream_alone_makes_nothing_stale() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    stage.plane.partners.disconnected(OWNER)
    assert zone_state(stage) is ZoneState.AVAILABLE


async def test_a_stale_partners_workloads_stay_where_they_are() -> None:
    stage = await placed_stage()
    stage.clock.now_ms += OFFER_TTL_MS + 1
    stage.plane.partners.tick()
    await stage.look()
    assert stage.placed == [f"{OWNER}/oslo-9 READY"]


async def test_a_partner_that_is_heard_again_places_who_waited_for_it() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    stage.clock.now_ms += OFFER_TTL_MS + 1
    stage.plane.partners.tick()
    await stage.submit()
    await stage.rest()
    assert [one.reason for one in stage.decision.rejections] == [Reason.OFFER_STALE]
    stage.plane.partners.heard(OWNER)
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 STARTING"]


async def test_a_stale_federation_stays_stale_over_a_restart_until_the_partner_is_heard() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    stage.clock.now_ms += OFFER_TTL_MS + 1
    stage.plane.partners.tick()
    await stage.plane.state.commit()
    again = await stage.restart()
    assert zone_state(again) is ZoneState.STALE
    again.plane.partners.heard(OWNER)
    assert zone_state(again) is ZoneState.AVAILABLE


async def test_a_partner_that_is_never_heard_again_after_a_restart_goes_stale() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    again = await stage.restart()
    again.clock.now_ms += OFFER_TTL_MS + 1
    again.plane.partners.tick()
    assert zone_state(again) is ZoneState.STALE


async def test_hearing_somebody_with_whom_there_is_no_federation_does_nothing() -> None:
    stage = await home_stage()
    stage.plane.partners.heard("stranger")
    stage.plane.partners.tick()
    assert {federation.owner for federation in stage.plane.state.federations.values()} == {OWNER, OTHER}


async def test_partners_zones_are_not_passed_on_to_other_partners() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1")
    await stage.offer(OWNER, "oslo-9")
    await stage.offered(OWNER, "nodes/bergen", BERGEN)
    assert set(stage.plane.partners.offers(OTHER)) == {"zones/oslo-1", "nodes/oslo"}

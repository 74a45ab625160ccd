"""What partners offer and agents measure, joined into the view of one operator, and the view after a restart."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.application.ports import Table
from hansa_control.application.world import status_of
from hansa_control.domain.agent_session import SessionState
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    FactKind,
    ZoneId,
    ZoneState,
)
from own_zones import (
    GOTEBORG,
    OPERATOR,
    OSLO,
    PARTNER,
    OwnZones,
    fact,
    inventory,
    partner_zone,
    probe,
    two_operators,
    with_oslo,
)

MINE, THERE, PARTNERS = ZoneId(OPERATOR, OSLO), ZoneId(OPERATOR, GOTEBORG), ZoneId(PARTNER, "malmo-9")
SITE = fact(FactKind.SITE_COUNTRY, "NO")


# --- partners -------------------------------------------------------------------------------------------------------


async def test_a_partner_that_is_not_heard_makes_its_zones_stale_and_nothing_else() -> None:
    operator = await two_operators()
    before = operator.plane.world.partner_zones()[0]
    operator.pass_ms(operator.plane.settings.offer_ttl_ms, heard=[OSLO, GOTEBORG])
    assert operator.plane.world.partner_zones()[0] is before
    operator.pass_ms(1, heard=[OSLO, GOTEBORG])
    assert operator.plane.world.partner_zones() == (replace(before, state=ZoneState.STALE),)
    assert operator.zone().state is ZoneState.AVAILABLE


async def test_a_partner_that_is_heard_again_has_its_zones_back_as_offered() -> None:
    operator = await two_operators()
    operator.pass_ms(operator.plane.settings.offer_ttl_ms + 1)
    operator.plane.partners.heard(PARTNER)
    assert operator.plane.world.partner_zones() == (partner_zone(),)


async def test_offers_without_a_federation_are_stale() -> None:
    operator = await two_operators()
    operator.plane.state.delete(Table.FEDERATION, f"{OPERATOR}>{PARTNER}")
    operator.plane.world.touch_partners()
    assert operator.plane.world.partner_zones()[0].state is ZoneState.STALE


async def test_what_the_owner_says_of_its_zone_is_seen_as_long_as_it_is_heard() -> None:
    operator = await with_oslo()
    await operator.federate(("zones/malmo-9", partner_zone(state=ZoneState.SILENT)))
    assert operator.plane.world.partner_zones()[0].state is ZoneState.SILENT


async def test_offers_are_told_apart_by_the_whole_name_of_the_operator() -> None:
    operator = await two_operators()
    assert list(operator.plane.world.offered.of(PARTNER)) == ["zones/malmo-9"]
    assert operator.plane.world.offered.of(PARTNER[:-1]) == {}


async def test_it_is_known_when_an_agent_and_when_a_partner_was_heard_last() -> None:
    operator = await two_operators()
    assert operator.plane.world.heard_at_ms(PARTNERS) == 0
    operator.pass_ms(1_000, heard=[OSLO])
    heard_oslo_ms = operator.clock.wall_ms()
    operator.pass_ms(500, heard=[GOTEBORG])
    operator.plane.partners.heard(PARTNER)
    world = operator.plane.world
    assert world.heard_at_ms(MINE) == heard_oslo_ms
    assert world.heard_at_ms(THERE) == world.heard_at_ms(PARTNERS) == operator.clock.wall_ms()
    assert world.heard_at_ms(ZoneId(OPERATOR, "bergen-1")) == 0


# --- claims of ours and of others -----------------------------------------------------------------------------------


async def test_the_status_of_an_own_claim_is_that_of_the_ledger() -> None:
    operator = await with_oslo()
    await operator.serving("c1", home=OPERATOR)
    assert operator.plane.world.claim_status(OPERATOR, "c1") == status_of(operator.claim("c1", OPERATOR))
    assert operator.plane.world.claim_status(OPERATOR, "c2") is None


async def test_the_status_of_a_claim_at_a_partner_is_what_it_said_last_even_if_a_claim_here_has_its_name() -> None:
    operator = await with_oslo()
    await operator.serving("c1", home=OPERATOR)
    assert operator.plane.world.claim_status(PARTNER, "c1") is None
    told = ClaimStatus("c1", ClaimState.FAILED, 0, (), "no", 3)
    await operator.federate(("claims/c1", told), ("zones/malmo-9", partner_zone()))
    assert operator.plane.world.claim_status(PARTNER, "c1") == told


# --- what was measured ----------------------------------------------------------------------------------------------


def floors(operator: OwnZones, zone: ZoneId = THERE) -> dict[str, int]:
    """The slowest median towards a zone, by the node from which it was measured."""
    measured = operator.plane.world.snapshot().measured.floors.get(zone, {})
    return {at: rtt.p50_us for at, rtt in measured.items()}


async def test_a_probe_bounds_the_paths_both_ways_until_it_is_measured_anew_or_withdrawn() -> None:
    operator = await two_operators()
    assert floors(operator) == {}
    await operator.say(OSLO, "probes/there", probe(MINE, THERE, 9_000))
    assert (floors(operator, THERE), floors(operator, MINE)) == ({"oslo": 9_000}, {"goteborg": 9_000})
    await operator.say(OSLO, "probes/there", probe(MINE, THERE, 7_000))
    assert floors(operator) == {"oslo": 7_000}
    await operator.plane.agents.adverts(OSLO, [], ["probes/there"])
    assert floors(operator) == {}
    assert operator.plane.world.snapshot().probes == ()


async def test_a_zone_that_moves_to_another_node_takes_its_measurements_with_it() -> None:
    operator = await two_operators()
    await operator.say(OSLO, "probes/there", probe(MINE, THERE, 9_000))
    assert floors(operator) == {"oslo": 9_000}
    await operator.say(OSLO, "inventory", inventory("nowhere"))
    assert floors(operator) == {"nowhere": 9_000}


async def test_a_probe_to_an_own_zone_counts_as_soon_as_that_is_known_and_no_longer_than_it_is() -> None:
    operator = await with_oslo()
    await operator.say(OSLO, "probes/there", probe(MINE, THERE, 9_000))
    assert floors(operator) == {}
    await operator.connect(GOTEBORG, "goteborg")
    assert floors(operator) == {"oslo": 9_000}
    await operator.plane.agents.adverts(GOTEBORG, [], ["inventory"])
    assert floors(operator) == {}


async def test_a_probe_to_a_partners_zone_counts_as_soon_as_that_is_offered_and_no_longer_than_it_is() -> None:
    operator = await with_oslo()
    await operator.say(OSLO, "probes/partners", probe(MINE, PARTNERS, 8_000))
    assert floors(operator, PARTNERS) == {}
    await operator.federate(("zones/malmo-9", partner_zone()))
    assert floors(operator, PARTNERS) == {"oslo": 8_000}
    await operator.plane.partners.offered(PARTNER, [], ["zones/malmo-9"])
    assert floors(operator, PARTNERS) == {}


async def test_measurements_are_worked_out_anew_only_when_zones_or_probes_change() -> None:
    operator = await two_operators()
    await operator.say(OSLO, "probes/there", probe(MINE, THERE, 9_000))
    before = operator.plane.world.snapshot().measured
    await operator.hold()
    operator.pass_ms(operator.plane.settings.quiet_after_ms)
    assert operator.plane.world.snapshot().measured is before


async def test_probes_are_in_the_order_of_source_and_name() -> None:
    operator = await two_operators()
    there, here = probe(THERE, MINE, 1), [probe(MINE, THERE, 2), probe(MINE, PARTNERS, 3)]
    await operator.say(OSLO, "probes/b", here[1])
    await operator.say(OSLO, "probes/a", here[0])
    await operator.say(GOTEBORG, "probes/a", there)
    assert operator.plane.world.snapshot().probes == (there, *here)


# --- after a restart ------------------------------------------------------------------------------------------------


async def test_a_restart_sees_the_same_zones_claims_and_probes_but_has_heard_nobody_yet() -> None:
    operator = await two_operators()
    await operator.say(OSLO, "probes/there", probe(MINE, THERE, 9_000))
    await operator.say(OSLO, "facts/SITE_COUNTRY/0", SITE)
    await operator.serving("c1")
    before = operator.plane.world.snapshot()
    again = await operator.crash_and_restart()
    after = again.plane.world.snapshot()
    seen = [replace(zone, state=ZoneState.AVAILABLE, generation=0) for zone in after.zones]
    assert seen == [replace(zone, generation=0) for zone in before.zones]
    assert [zone.state for zone in after.zones] == [ZoneState.SILENT, ZoneState.SILENT, ZoneState.AVAILABLE]
    assert after.probes == before.probes
    assert again.plane.world.claims_in(OSLO) == operator.plane.world.claims_in(OSLO)
    assert again.plane.world.instances == operator.plane.world.instances


async def test_after_a_restart_every_zone_has_the_whole_time_to_be_heard_again() -> None:
    operator = await two_operators()
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    assert operator.zone().state is ZoneState.LOST
    again = await operator.crash_and_restart()
    again.pass_ms(again.plane.settings.lost_after_ms - 1)
    assert {session.state for session in again.plane.world.sessions.values()} == {SessionState.SILENT}
    again.pass_ms(1, heard=[GOTEBORG])
    assert again.zone(OSLO).state is ZoneState.LOST
    assert again.zone(GOTEBORG).state is ZoneState.AVAILABLE


async def test_a_claim_in_a_zone_that_is_not_known_any_more_is_kept_all_the_same() -> None:
    operator = await with_oslo()
    await operator.hold()
    await operator.plane.agents.adverts(OSLO, [], ["inventory"])
    again = await operator.crash_and_restart()
    assert again.plane.world.own_zones() == ()
    assert [claim.name for claim in again.plane.world.claims_in(OSLO)] == ["c1"]
    await again.connect(OSLO)
    assert again.free_cpu() == 3_000


async def test_a_partner_stays_as_stale_as_it_was_until_it_is_heard() -> None:
    operator = await two_operators()
    operator.pass_ms(operator.plane.settings.offer_ttl_ms + 1)
    await operator.plane.state.commit()
    again = await operator.crash_and_restart()
    assert again.plane.world.partner_zones()[0].state is ZoneState.STALE
    again.plane.partners.heard(PARTNER)
    assert again.plane.world.partner_zones()[0].state is ZoneState.AVAILABLE

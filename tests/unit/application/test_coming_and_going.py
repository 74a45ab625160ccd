"""Zones and partners that come and go too often are held down for a while, and it is said why."""

from __future__ import annotations

from hansa_control.domain.agent_session import SessionState
from hansa_control.domain.model import FederationState, Intake, Reason
from home_operator import OWNER
from home_stage import OFFER_TTL_MS, Stage, home_stage
from own_zones import OSLO, SETTINGS, OwnZones, reasons, with_oslo


def flap(operator: OwnZones, times: int) -> None:
    """The zone's agent is lost and comes back."""
    for number in range(times):
        operator.pass_ms(SETTINGS.lost_after_ms)
        operator.greet(OSLO, f"boot-{number + 2}")


async def test_a_zone_that_came_back_once_or_twice_is_asked_at_once() -> None:
    operator = await with_oslo()
    flap(operator, 2)
    await operator.allocated("c1")


async def test_a_zone_that_comes_and_goes_takes_nothing_new_until_it_has_been_there_for_a_while() -> None:
    operator = await with_oslo()
    grant = await operator.serving("c1")
    flap(operator, 3)
    outcome = await operator.hold("c2")
    assert reasons(outcome) == [Reason.ZONE_UNSTEADY]
    assert "came back 3 times" in outcome.rejections[0].result.measured  # type: ignore[union-attr]
    assert operator.claim("c1").fencing_token == grant.fencing_token, "what runs there stays"
    operator.pass_ms(9_999, heard=(OSLO,))
    assert not operator.plane.world.release_held_down()
    operator.pass_ms(1, heard=(OSLO,))
    assert operator.plane.world.release_held_down()
    await operator.allocated("c2")


async def test_partners_are_told_of_a_zone_that_is_held_down() -> None:
    operator = await with_oslo()
    flap(operator, 3)
    assert operator.zone().upkeep.intake is Intake.UNSTEADY


async def unheard_and_back(stage: Stage, times: int) -> None:
    for _ in range(times):
        stage.clock.now_ms += OFFER_TTL_MS + 1
        stage.plane.partners.tick()
        stage.plane.partners.heard(OWNER)
    await stage.rest()


async def test_a_partner_that_comes_and_goes_is_held_down_as_a_whole() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await unheard_and_back(stage, 3)
    await stage.submit()
    await stage.rest()
    assert [one.reason for one in stage.decision.rejections] == [Reason.ZONE_UNSTEADY]
    await stage.after(10_000)
    assert stage.plane.world.release_held_down()
    stage.plane.reconciler.wake_waiting()
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 STARTING"]


async def test_a_control_plane_that_was_frozen_loses_no_zone_for_its_own_absence() -> None:
    operator = await with_oslo()
    grant = await operator.serving("c1")
    operator.pass_ms(1_000)
    operator.clock.now_ms += 60_000
    operator.plane.agents.tick(away_ms=60_000)
    assert operator.plane.world.sessions[OSLO].state is SessionState.LIVE
    assert operator.claim("c1").fencing_token == grant.fencing_token
    operator.pass_ms(SETTINGS.lost_after_ms - 1_001)
    assert operator.plane.world.sessions[OSLO].state is SessionState.SILENT
    operator.pass_ms(1)
    assert operator.plane.world.sessions[OSLO].state is SessionState.LOST, "its silence before and after counts"


async def test_a_partner_is_stale_after_an_absence_of_ones_own_and_no_worse_for_it() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    for _ in range(4):
        stage.clock.now_ms += OFFER_TTL_MS + 1
        stage.plane.partners.tick(away_ms=OFFER_TTL_MS)
        held = stage.plane.partners.context(OWNER)
        assert held is not None and held.state is FederationState.STALE
        stage.plane.partners.heard(OWNER)
    await stage.submit()
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 STARTING"]


async def test_a_partner_that_was_silent_before_the_absence_is_not_excused_by_it() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    for _ in range(3):
        stage.clock.now_ms += 2 * OFFER_TTL_MS + 2
        stage.plane.partners.tick(away_ms=OFFER_TTL_MS)
        stage.plane.partners.heard(OWNER)
    await stage.submit()
    await stage.rest()
    assert [one.reason for one in stage.decision.rejections] == [Reason.ZONE_UNSTEADY]

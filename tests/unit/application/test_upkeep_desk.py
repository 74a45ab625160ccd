"""What an operator decides on its own zones: kept durably, told in offers, and what is left in a zone and why."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Intake, Reason, SiteWish, Window, Zone, ZoneId, ZoneSide
from own_zones import GOTEBORG, OPERATOR, OSLO, PARTNER, OwnZones, inventory, reasons, with_oslo

ZONE = ZoneId(OPERATOR, OSLO)
HOUR_MS = 3_600_000


def offered(operator: OwnZones) -> Zone:
    zone = operator.plane.partners.offers(PARTNER)[f"zones/{OSLO}"]
    assert isinstance(zone, Zone)
    return zone


def night(operator: OwnZones) -> Window:
    begin_ms = operator.clock.wall_ms() + 2 * HOUR_MS
    return Window(begin_ms, begin_ms + HOUR_MS, HOUR_MS, "new switch")


async def test_a_cordoned_zone_refuses_holds_and_keeps_what_it_has() -> None:
    operator = await with_oslo()
    await operator.serving("c1")
    await operator.plane.upkeep.cordon(ZONE, "broken fan")
    assert reasons(await operator.hold("c2")) == [Reason.ZONE_CORDONED]
    assert len(operator.ordered()) == 1


async def test_a_drained_zone_says_so_to_whoever_asks_for_a_place() -> None:
    operator = await with_oslo()
    await operator.plane.upkeep.drain(ZONE, "", 0)
    assert reasons(await operator.hold()) == [Reason.ZONE_DRAINING]
    await operator.plane.upkeep.uncordon(ZONE)
    await operator.allocated("c2")


async def test_partners_see_a_change_in_the_offer_with_another_generation() -> None:
    operator = await with_oslo()
    before = offered(operator)
    await operator.plane.upkeep.drain(ZONE, "new switch", 0)
    after = offered(operator)
    assert (after.upkeep.intake, after.upkeep.note) == (Intake.DRAINING, "new switch")
    assert after.generation == before.generation + 1


async def test_what_was_asked_survives_a_crash() -> None:
    operator = await with_oslo()
    window = night(operator)
    await operator.plane.upkeep.announce(ZONE, window)
    again = await operator.crash_and_restart()
    assert again.plane.upkeep.upkeep(ZONE).windows == (window,)
    again.greet(OSLO)
    assert reasons(await again.hold()) == [Reason.ZONE_MAINTENANCE]


async def test_maintenance_begins_and_ends_by_itself() -> None:
    operator = await with_oslo()
    await operator.plane.upkeep.announce(ZONE, night(operator))
    seen = []
    for _ in range(4):
        seen.append(offered(operator).upkeep.intake)
        operator.pass_ms(HOUR_MS, heard=(OSLO,))
        operator.plane.upkeep.tick()
    assert seen == [Intake.MAINTENANCE, Intake.DRAINING, Intake.DRAINING, Intake.OPEN]
    assert operator.plane.state.upkeep == {}


async def test_a_refused_hold_names_the_maintenance_and_its_times() -> None:
    operator = await with_oslo()
    await operator.plane.upkeep.announce(ZONE, night(operator))
    outcome = await operator.hold()
    assert reasons(outcome) == [Reason.ZONE_MAINTENANCE]
    assert "UTC" in outcome.rejections[0].result.measured  # type: ignore[union-attr]
    assert "new switch" in outcome.rejections[0].result.measured  # type: ignore[union-attr]


async def test_what_is_left_is_told_with_its_reason() -> None:
    operator = await with_oslo()
    await operator.serving("c1")
    await operator.plane.upkeep.drain(ZONE, "", 0)
    (left,) = operator.plane.upkeep.occupants(ZONE)
    assert (left.claim, left.home, left.why) == ("c1", PARTNER, f"{PARTNER} has not moved it yet")
    await operator.release("c1")
    (left,) = operator.plane.upkeep.occupants(ZONE)
    assert left.why == "given back; it is being stopped"


@pytest.mark.parametrize(
    ("zone", "reason", "message"),
    [
        (ZoneId(PARTNER, OSLO), Reason.PERMISSION_DENIED, "only its owner"),
        (ZoneId(OPERATOR, "oslo-2"), Reason.NOT_FOUND, f"did you mean {OSLO}"),
    ],
)
async def test_nobody_decides_on_a_zone_that_is_not_his_or_is_none(zone: ZoneId, reason: Reason, message: str) -> None:
    operator = await with_oslo()
    with pytest.raises(RefusalError, match=message) as refused:
        await operator.plane.upkeep.cordon(zone, "")
    assert refused.value.reason is reason


async def test_a_deadline_that_has_passed_is_refused() -> None:
    operator = await with_oslo()
    with pytest.raises(RefusalError) as refused:
        await operator.plane.upkeep.drain(ZONE, "", operator.clock.wall_ms())
    assert refused.value.field == "due_ms"


async def test_other_zones_go_on_taking_in_workloads() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.plane.upkeep.drain(ZONE, "", 0)
    await operator.allocated("c1", zone=GOTEBORG)


async def wish(operator: OwnZones, asked: SiteWish | None) -> None:
    await operator.say(OSLO, "inventory", inventory(wish=asked))


async def test_the_operator_does_not_lift_what_the_site_asks() -> None:
    operator = await with_oslo()
    await wish(operator, SiteWish(is_cordoned=True, note="power"))
    await operator.plane.upkeep.cordon(ZONE, "fan")
    assert (await operator.plane.upkeep.uncordon(ZONE)).sides == (ZoneSide.SITE,)
    outcome = await operator.hold()
    assert reasons(outcome) == [Reason.ZONE_CORDONED]
    assert outcome.rejections[0].result.measured == "cordoned by the site: power"  # type: ignore[union-attr]
    await wish(operator, None)
    await operator.allocated("c2")


async def test_the_site_does_not_lift_what_the_operator_decides() -> None:
    operator = await with_oslo()
    await operator.plane.upkeep.drain(ZONE, "fan", 0)
    await wish(operator, SiteWish(is_cordoned=True))
    await wish(operator, None)
    assert operator.plane.upkeep.decided(ZONE).operator.intake is Intake.DRAINING
    outcome = await operator.hold()
    assert outcome.rejections[0].result.measured == "being drained by the operator: fan"  # type: ignore[union-attr]


async def test_a_drain_that_the_site_asks_for_is_told_to_partners_without_the_wish_itself() -> None:
    operator = await with_oslo()
    await wish(operator, SiteWish(is_drained=True, note="power"))
    assert operator.plane.world.drained_zones() == {ZONE}
    zone = offered(operator)
    assert (zone.upkeep.intake, zone.upkeep.sides, zone.inventory.wish) == (Intake.DRAINING, (ZoneSide.SITE,), None)


async def test_maintenance_that_the_site_announces_begins_and_ends_by_itself_and_survives_a_crash() -> None:
    operator = await with_oslo()
    await wish(operator, SiteWish(windows=(night(operator),)))
    operator = await operator.crash_and_restart()
    operator.greet(OSLO)
    seen = []
    for _ in range(4):
        seen.append(offered(operator).upkeep.intake)
        operator.pass_ms(HOUR_MS, heard=(OSLO,))
        operator.plane.upkeep.tick()
    assert seen == [Intake.MAINTENANCE, Intake.DRAINING, Intake.DRAINING, Intake.OPEN]

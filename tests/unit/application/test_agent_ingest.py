"""What agents may say, what of it is taken over, and what it sets off."""

from __future__ import annotations

from typing import Any

import pytest
from hansa_control.application.measurements import WRITTEN_EVERY_MS
from hansa_control.application.ports import AdvertBody, StoreFailed
from hansa_control.application.settings import Settings
from hansa_control.domain.model import FactKind, HoldGrant, InstanceState, ZoneId
from own_zones import (
    GOTEBORG,
    OPERATOR,
    OSLO,
    OwnZones,
    advert,
    fact,
    instance,
    inventory,
    own_zones,
    probe,
    with_oslo,
)

MINE, OTHER = ZoneId(OPERATOR, OSLO), ZoneId(OPERATOR, GOTEBORG)
GRANT = HoldGrant("c1", 7, 0, "")
SITE = fact(FactKind.SITE_COUNTRY, "NO")
GOOD: dict[str, AdvertBody] = {
    "inventory": inventory(),
    "facts/SITE_COUNTRY/0": SITE,
    f"probes/{OTHER}": probe(MINE, OTHER, 4_000),
    "instances/c1-7-0": instance(GRANT),
}


async def said(operator: OwnZones, *adverts: tuple[str, Any], removed: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """What the operator answers to a delta of oslo's agent."""
    return await operator.plane.agents.adverts(OSLO, [advert(OSLO, *one) for one in adverts], removed)


# --- adverts taken over ---------------------------------------------------------------------------------------------


async def test_every_kind_of_advert_is_taken_over_and_survives_a_crash() -> None:
    operator = await own_zones()
    operator.greet(OSLO)
    assert await said(operator, *GOOD.items()) == ()
    again = await operator.crash_and_restart()
    for world in (operator.plane.world, again.plane.world):
        assert world.inventory(OSLO) == GOOD["inventory"]
        assert world.own_zones()[0].facts == (SITE,)
        assert world.probes() == (GOOD[f"probes/{OTHER}"],)
        assert world.instances[OSLO] == {"c1-7-0": instance(GRANT)}


async def measured(operator: OwnZones, rtt_us: int) -> int:
    """How many changes of records a measurement of oslo's agent takes."""
    before = operator.plane.state.put_count
    seen = advert(OSLO, f"probes/{OTHER}", probe(MINE, OTHER, rtt_us), etag=f"e{rtt_us}")
    assert await operator.plane.agents.adverts(OSLO, [seen], []) == ()
    return operator.plane.state.put_count - before


async def test_of_measurements_one_a_minute_is_written_and_the_last_is_believed() -> None:
    operator = await with_oslo()
    assert [await measured(operator, 4_000 + at) for at in range(5)] == [1, 0, 0, 0, 0]
    assert operator.plane.world.probes() == (probe(MINE, OTHER, 4_004),)
    assert operator.plane.state.adverts[f"{OSLO}|probes/{OTHER}"].body == probe(MINE, OTHER, 4_004)
    operator.clock.now_ms += WRITTEN_EVERY_MS - 1
    assert await measured(operator, 4_500) == 0
    operator.clock.now_ms += 1
    assert [await measured(operator, 4_501), await measured(operator, 4_502)] == [1, 0]


async def test_a_measurement_that_was_not_written_is_heard_again_after_a_crash() -> None:
    operator = await with_oslo()
    for rtt_us in (4_000, 4_001):
        await measured(operator, rtt_us)
    name, wall_ms = f"probes/{OTHER}", operator.clock.wall_ms()
    assert operator.plane.agents.welcome(OSLO, "boot-1", wall_ms)[name] == "e4001"
    again = await operator.crash_and_restart()
    assert again.plane.world.probes() == (probe(MINE, OTHER, 4_000),)
    # The agent holds another one, by its etag, so its first delta has it.
    assert again.plane.agents.welcome(OSLO, "boot-1", wall_ms)[name] == "e4000"
    assert await measured(again, 4_001) == 1


async def test_a_round_trip_that_is_shorter_survives_a_crash_at_once() -> None:
    """It may prove that a zone is not where it is said to be."""
    operator = await with_oslo()
    assert [await measured(operator, rtt_us) for rtt_us in (4_000, 3_999, 4_000, 3_999)] == [1, 1, 0, 0]
    again = await operator.crash_and_restart()
    assert again.plane.world.probes() == (probe(MINE, OTHER, 3_999),)


async def test_a_measurement_that_was_only_in_memory_is_gone_when_it_is_removed() -> None:
    operator = await with_oslo()
    for rtt_us in (4_000, 4_001):
        await measured(operator, rtt_us)
    assert await said(operator, removed=(f"probes/{OTHER}",)) == ()
    again = await operator.crash_and_restart()
    assert (operator.plane.world.probes(), again.plane.world.probes()) == ((), ())
    assert await measured(again, 4_001) == 1


async def test_adverts_that_cannot_be_kept_are_not_acknowledged() -> None:
    operator = await with_oslo()
    operator.store.fail("disk full")
    with pytest.raises(StoreFailed, match="disk full"):
        await said(operator, ("facts/SITE_COUNTRY/0", SITE))


async def test_removed_adverts_are_gone_from_world_and_store() -> None:
    operator = await own_zones()
    operator.greet(OSLO)
    await said(operator, *GOOD.items())
    assert await said(operator, removed=tuple(GOOD)) == ()
    again = await operator.crash_and_restart()
    for world in (operator.plane.world, again.plane.world):
        assert (world.own_zones(), world.probes()) == ((), ())
        assert world.instances.get(OSLO, {}) == {}


async def test_removing_what_was_never_said_changes_nothing_that_was() -> None:
    operator = await with_oslo()
    before = operator.zone()
    assert await said(operator, removed=("facts/SITE_COUNTRY/9", "instances/none", "probes/none")) == ()
    assert operator.zone() == before


async def test_adverts_and_removals_are_counted_and_refusals_are_not() -> None:
    operator = await with_oslo()
    before = operator.plane.agents.advert_count
    await said(operator, ("facts/SITE_COUNTRY/0", SITE), ("facts/wrong/0", SITE), removed=("probes/x",))
    assert operator.plane.agents.advert_count == before + 2


async def test_zones_of_an_operator_do_not_share_adverts_of_the_same_name() -> None:
    operator = await with_oslo(title="Here")
    await operator.connect(GOTEBORG, "goteborg", title="There")
    assert [zone.inventory.title for zone in operator.plane.world.own_zones()] == ["There", "Here"]
    await said(operator, removed=("inventory",))
    assert [zone.id.zone for zone in operator.plane.world.own_zones()] == [GOTEBORG]


# --- adverts refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "field", "message"),
    [
        ("inventory", SITE, "name", "does not fit a Fact"),
        ("facts/SITE_COUNTRY/0", inventory(), "name", "does not fit a Inventory"),
        ("gossip/0", SITE, "name", "does not fit a Fact"),
        ("Facts/SITE_COUNTRY/0", SITE, "name", "does not fit a Fact"),
        ("", SITE, "name", "does not fit a Fact"),
        ("inventory/2", inventory(), "name", "a zone has one inventory, of that name"),
        ("inventory", inventory("osl"), "inventory.node", "no node osl in this operator's network; did you mean oslo?"),
        ("inventory", inventory("Hamborg"), "inventory.node", "; did you mean hamburg?"),
        ("inventory", inventory("zzz"), "inventory.node", "no node zzz in this operator's network"),
        ("facts/HEADQUARTERS_COUNTRY/0", SITE, "name", "does not name the kind SITE_COUNTRY"),
        ("facts", SITE, "name", "does not name the kind SITE_COUNTRY"),
        ("facts/site_country/0", SITE, "name", "does not name the kind SITE_COUNTRY"),
        ("instances/c1-7-1", instance(GRANT), "name", "does not name the instance c1-7-0"),
        ("instances/c1-7-0/x", instance(GRANT), "name", "does not name the instance c1-7-0"),
        (
            "probes/x",
            probe(OTHER, MINE, 4_000),
            "probe.source_zone",
            "is nordavind/goteborg-1, but the agent is of zone oslo-1",
        ),
        (
            "probes/x",
            probe(ZoneId("skargard", OSLO), MINE, 4_000),
            "probe.source_zone",
            "is skargard/oslo-1, but the agent is of zone oslo-1",
        ),
    ],
)
async def test_an_advert_that_is_wrong_is_refused_by_the_field_that_is_wrong(
    name: str, body: AdvertBody, field: str, message: str
) -> None:
    operator = await own_zones()
    operator.greet(OSLO)
    ((refused, wrong, why),) = await said(operator, (name, body))
    assert (refused, wrong) == (name, field)
    assert why.endswith(message)
    assert operator.plane.state.adverts == {}
    assert operator.plane.agents.welcome(OSLO, "boot-1", operator.clock.wall_ms()) == {}


async def test_a_refused_advert_leaves_what_was_held_under_its_name_with_its_etag() -> None:
    operator = await with_oslo(title="Before")
    ((refused, _, _),) = await said(operator, ("inventory", inventory("atlantis"), "e2"))
    assert refused == "inventory"
    assert operator.zone().inventory.title == "Before"
    assert operator.plane.agents.welcome(OSLO, "boot-1", operator.clock.wall_ms()) == {"inventory": "e1"}


async def test_a_wrong_advert_does_not_keep_the_right_ones_of_its_delta_out() -> None:
    operator = await own_zones()
    operator.greet(OSLO)
    wrong: dict[str, AdvertBody] = {"instances/other": instance(GRANT), "facts/x/0": SITE}
    refusals = await said(operator, *wrong.items(), *GOOD.items())
    assert [name for name, _, _ in refusals] == list(wrong)
    assert [stored.name for stored in operator.plane.state.adverts.values()] == list(GOOD)


async def small_operator(adverts_max: int) -> OwnZones:
    operator = await own_zones(settings=Settings(OPERATOR, adverts_per_zone_max=adverts_max))
    await operator.connect(OSLO)
    return operator


def facts(count: int, value: str = "NO") -> list[tuple[str, AdvertBody]]:
    return [(f"facts/SITE_COUNTRY/{number}", fact(FactKind.SITE_COUNTRY, value)) for number in range(count)]


async def test_a_zone_may_not_say_more_than_the_limit_in_one_delta_either() -> None:
    operator = await small_operator(3)
    refusals = await said(operator, *facts(4))
    assert refusals == tuple((f"facts/SITE_COUNTRY/{number}", "name", "more than 3 adverts") for number in (2, 3))
    assert len(operator.plane.state.adverts) == 3


async def test_a_full_zone_may_still_change_and_remove_what_it_said() -> None:
    operator = await small_operator(3)
    await said(operator, *facts(2))
    assert await said(operator, *facts(2, "SE")) == ()
    assert [one.value for one in operator.zone().facts] == ["SE", "SE"]
    ((refused, _, _),) = await said(operator, *facts(3)[2:])
    await said(operator, removed=("facts/SITE_COUNTRY/0",))
    assert await said(operator, (refused, SITE)) == ()


async def test_the_limit_is_each_zones_own_and_holds_after_a_restart() -> None:
    operator = await small_operator(3)
    await said(operator, *facts(2))
    await operator.connect(GOTEBORG, "goteborg", SITE, SITE)
    again = await operator.crash_and_restart()
    again.greet(OSLO)
    assert len(await said(again, *facts(3)[2:])) == 1


# --- what adverts set off -------------------------------------------------------------------------------------------


async def test_new_inventory_and_facts_wake_who_waits_for_a_zone_and_measurements_do_not() -> None:
    operator = await with_oslo()
    told: list[ZoneId] = []
    operator.plane.agents.on_zone_changed = told.append
    await said(operator, (f"probes/{OTHER}", probe(MINE, OTHER, 1)), ("instances/c1-7-0", instance(GRANT)))
    assert told == []
    await said(operator, ("facts/SITE_COUNTRY/0", SITE))
    await said(operator, ("inventory", inventory(cordoned=True)))
    await said(operator, removed=("facts/SITE_COUNTRY/0",))
    assert told == [MINE] * 3


async def test_what_is_told_of_one_instance_replaces_what_was_told_before() -> None:
    operator = await with_oslo()
    grant = await operator.allocated()
    for state in (InstanceState.STARTING, InstanceState.READY):
        await operator.report(instance(grant, state))
    assert [one.state for one in operator.plane.world.instances[OSLO].values()] == [InstanceState.READY]

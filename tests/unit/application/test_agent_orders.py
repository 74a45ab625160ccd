"""What each agent is to do: the instances that it is to run and the zones that it is to probe."""

from __future__ import annotations

import pytest
from hansa_control.application.settings import Settings
from hansa_control.domain.model import DesiredInstance, ProbeTarget, ZoneId, ZoneState
from own_zones import GOTEBORG, OPERATOR, OSLO, PARTNER, OwnZones, inventory, own_zones, partner_zone, with_oslo

HAMBURG = "hamburg-1"
SMALL = Settings(OPERATOR, partners=frozenset({PARTNER}), probe_targets_max=3)


async def three_zones(settings: Settings = SMALL) -> OwnZones:
    operator = await own_zones(settings=settings)
    for zone, at in ((OSLO, "oslo"), (GOTEBORG, "goteborg"), (HAMBURG, "hamburg")):
        await operator.connect(zone, at)
    return operator


def targets(operator: OwnZones, zone: str = OSLO) -> dict[str, str]:
    """Addresses that a zone's agent is to probe, by zone."""
    orders = operator.plane.agents.orders(zone).values()
    return {str(order.zone): order.address for order in orders if isinstance(order, ProbeTarget)}


async def test_an_agent_probes_every_other_zone_of_its_operator_and_not_its_own() -> None:
    operator = await three_zones()
    assert targets(operator, OSLO) == {
        "nordavind/goteborg-1": "goteborg.test:862",
        "nordavind/hamburg-1": "hamburg.test:862",
    }
    assert list(targets(operator, HAMBURG)) == ["nordavind/goteborg-1", "nordavind/oslo-1"]


async def test_an_order_is_named_by_its_kind_and_by_what_it_is_about() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.allocated()
    orders = operator.plane.agents.orders(OSLO)
    assert list(orders) == ["instances/c1-1-0", "probe-targets/nordavind/goteborg-1"]
    assert [type(order) for order in orders.values()] == [DesiredInstance, ProbeTarget]


async def test_zones_of_partners_are_probed_too_even_one_of_the_same_name() -> None:
    operator = await with_oslo()
    await operator.federate(("zones/malmo-9", partner_zone("malmo-9")), (f"zones/{OSLO}", partner_zone(OSLO)))
    assert targets(operator) == {"skargard/malmo-9": "malmo-9.test:862", "skargard/oslo-1": "oslo-1.test:862"}


async def test_a_partner_that_is_not_heard_is_probed_on() -> None:
    operator = await with_oslo()
    await operator.federate(("zones/malmo-9", partner_zone()))
    operator.pass_ms(operator.plane.settings.offer_ttl_ms + 1, heard=[OSLO])
    assert operator.plane.world.partner_zones()[0].state is ZoneState.STALE
    assert list(targets(operator)) == ["skargard/malmo-9"]


async def test_what_has_no_probe_address_or_is_lost_to_its_owner_is_not_probed() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg", probe_address="")
    await operator.federate(("zones/malmo-9", partner_zone(state=ZoneState.LOST)))
    assert targets(operator) == {}


async def test_a_lost_zone_is_not_probed_and_the_others_are_told() -> None:
    operator = await three_zones()
    seen = operator.plane.agents.orders_signal(OSLO).version
    operator.pass_ms(SMALL.lost_after_ms, heard=[OSLO, HAMBURG])
    assert list(targets(operator)) == ["nordavind/hamburg-1"]
    assert operator.plane.agents.orders_signal(OSLO).version > seen


@pytest.mark.parametrize("greets", [True, False], ids=["on a new stream", "on the old stream"])
async def test_a_zone_that_is_back_is_probed_again_and_the_others_are_told(greets: bool) -> None:
    operator = await three_zones()
    operator.pass_ms(SMALL.lost_after_ms, heard=[OSLO, HAMBURG])
    seen = operator.plane.agents.orders_signal(OSLO).version
    if greets:
        operator.plane.agents.welcome(GOTEBORG, "boot-2", operator.clock.wall_ms())
    else:
        operator.plane.agents.heard(GOTEBORG)
    assert list(targets(operator)) == ["nordavind/goteborg-1", "nordavind/hamburg-1"]
    assert operator.plane.agents.orders_signal(OSLO).version > seen


async def test_a_zone_that_moves_is_probed_at_its_new_address_and_the_others_are_told() -> None:
    operator = await three_zones()
    seen = operator.plane.agents.orders_signal(OSLO).version
    await operator.say(GOTEBORG, "inventory", inventory("goteborg", probe_address="moved.test:862"))
    assert targets(operator)["nordavind/goteborg-1"] == "moved.test:862"
    assert operator.plane.agents.orders_signal(OSLO).version > seen


async def test_new_offers_of_a_partner_are_told_to_every_agent() -> None:
    operator = await three_zones()
    signals = [operator.plane.agents.orders_signal(zone) for zone in (OSLO, GOTEBORG, HAMBURG)]
    seen = [signal.version for signal in signals]
    await operator.federate(("zones/malmo-9", partner_zone()))
    assert all(signal.version > before for signal, before in zip(signals, seen, strict=True))


async def test_what_changes_nothing_of_what_is_probed_wakes_nobody() -> None:
    operator = await three_zones()
    await operator.federate(*[(f"zones/z{number}", partner_zone(f"z{number}")) for number in range(5)])
    signal = operator.plane.agents.orders_signal(OSLO)
    seen = signal.version
    await operator.federate(("zones/z9", partner_zone("z9")))
    await operator.say(GOTEBORG, "inventory", inventory("goteborg", probe_address="goteborg.test:862"))
    assert signal.version == seen, "beyond the limit, or as it was"
    await operator.federate(("zones/a1", partner_zone("a1")))
    assert signal.version > seen


async def test_an_agent_probes_no_more_than_the_limit_first_by_name() -> None:
    operator = await three_zones()
    offers = [(f"zones/z{number}", partner_zone(f"z{number}")) for number in range(5)]
    await operator.federate(*reversed(offers))
    assert list(targets(operator)) == ["nordavind/goteborg-1", "nordavind/hamburg-1", "skargard/z0"]


async def test_the_limit_on_probes_is_none_on_instances() -> None:
    operator = await three_zones()
    for number in range(4):
        await operator.allocated(f"c{number}")
    assert len(operator.ordered()) == 4


async def test_a_zone_that_was_never_heard_has_orders_only_to_probe() -> None:
    operator = await with_oslo()
    assert operator.plane.agents.orders("bergen-1") == {
        "probe-targets/nordavind/oslo-1": ProbeTarget(ZoneId(OPERATOR, OSLO), "oslo.test:862")
    }

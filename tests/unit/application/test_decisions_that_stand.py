"""A decision is made once for those who ask for the same at the same moment, and anew as soon as it may be another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.deciding import STANDS_FOR_MS
from hansa_control.application.ports import StoredOffer
from hansa_control.domain.model import Capacity, Decision, Intake, Upkeep, WorkloadId, Zone, ZoneId, ZoneState
from hansa_control.domain.record import verify
from home_operator import OWNER, HandClock, HandOwner, home_operator, offered_zone, spec

BEST = offered_zone()
OTHER = replace(BEST, id=ZoneId(OWNER, "oslo-8"), inventory=replace(BEST.inventory, price_millieur_per_hour=200))
OF_ONE = Capacity(1_000, 512)


async def opened() -> ControlPlane:
    plane = await home_operator(HandOwner())
    await offer(plane, OTHER)
    return plane


async def offer(plane: ControlPlane, zone: Zone) -> None:
    name = f"zones/{zone.id.zone}"
    await plane.partners.offered(OWNER, [StoredOffer(OWNER, name, f"e{plane.state.put_count}", zone)], [])


async def decided(plane: ControlPlane, number: int, cpu_millis: int = 1_000) -> Decision:
    name = WorkloadId("harbour", f"quay-{number}")
    await plane.workloads.submit("team", f"q{number}", name, spec(cpu_millis), f"q{number}")
    return plane.decider.decide_anew(plane.state.workloads[str(name)], ())


def with_free(zone: Zone, free: Capacity) -> Zone:
    return replace(zone, free=free, generation=zone.generation + 1)


async def test_who_asks_for_the_same_at_the_same_moment_shares_a_decision() -> None:
    plane = await opened()
    first, second = await decided(plane, 1), await decided(plane, 2)
    assert second is first
    assert plane.decider.decision_count == 1
    assert first.choices[0].zone == BEST.id


async def test_a_shared_decision_can_be_verified_by_each_who_shares_it() -> None:
    plane = await opened()
    await decided(plane, 1)
    await offer(plane, with_free(BEST, Capacity(15_000, 65_024)))
    assert verify(plane.decider.records.record(await decided(plane, 2))) == ()


async def test_a_decision_stands_while_zones_have_less_and_its_first_has_room() -> None:
    plane = await opened()
    first = await decided(plane, 1)
    for left in (4_000, 1_000):
        await offer(plane, with_free(BEST, Capacity(left, 65_536)))
        assert await decided(plane, left) is first
    await offer(plane, with_free(BEST, Capacity(999, 65_536)))
    assert (await decided(plane, 2)).choices[0].zone == OTHER.id


Change = Callable[[Zone, Zone], Zone]


@pytest.mark.parametrize(
    "change",
    [
        lambda best, other: replace(best, state=ZoneState.SILENT),
        lambda best, other: replace(other, state=ZoneState.LOST),
        lambda best, other: replace(other, upkeep=Upkeep(Intake.DRAINING)),
        lambda best, other: replace(other, inventory=replace(other.inventory, price_millieur_per_hour=1)),
        lambda best, other: with_free(other, Capacity(16_000, 70_000)),
        lambda best, other: replace(other, id=ZoneId(OWNER, "oslo-7")),
    ],
    ids=["silent", "lost", "draining", "cheaper", "more free", "another zone"],
)
async def test_a_decision_is_made_anew_when_anything_else_has_changed(change: Change) -> None:
    plane = await opened()
    first = await decided(plane, 1)
    await offer(plane, change(BEST, OTHER))
    assert await decided(plane, 2) is not first
    assert plane.decider.decision_count == 2


async def test_a_decision_stands_for_a_moment_and_no_longer() -> None:
    plane = await opened()
    clock = plane.law_watch._clock
    assert isinstance(clock, HandClock)
    first = await decided(plane, 1)
    clock.now_ms += STANDS_FOR_MS - 1
    assert await decided(plane, 2) is first
    clock.now_ms += 1
    assert await decided(plane, 3) is not first


async def test_who_asks_for_something_else_gets_a_decision_of_its_own() -> None:
    plane = await opened()
    assert await decided(plane, 1) is not await decided(plane, 2, cpu_millis=2_000)


async def test_workloads_that_share_a_decision_keep_the_same_record() -> None:
    plane = await home_operator(owner := HandOwner())
    owner.go_on.set()
    names = [WorkloadId("harbour", f"quay-{number}") for number in range(2)]
    for name in names:
        await plane.workloads.submit("team", f"r-{name.workload}", name, spec(), name.workload)
        await plane.reconciler.look(str(name))
    one, other = (plane.state.recent_decisions[str(name)] for name in names)
    assert one is other
    assert one.decision.choices[0].zone == BEST.id

"""A workload of a higher priority has no room: others give way, elsewhere first, and say why where they wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.ports import HoldRequest, StoredAdvert
from hansa_control.domain.model import (
    Disruption,
    InstanceState,
    InstanceStatus,
    PlacementState,
    Workload,
    WorkloadId,
    WorkloadSpec,
    WorkloadState,
)
from home_operator import HOME, OWNER, spec
from home_stage import Stage, home_stage

LOW, HIGH = WorkloadId("harbour", "low"), WorkloadId("harbour", "high")
ZONE = "oslo-1"
ANY = Disruption()


def wants(priority: int, disruption: Disruption = ANY) -> WorkloadSpec:
    """All of the own zone."""
    return replace(spec(), cpu_millis=16_000, priority=priority, disruption=disruption)


def of(stage: Stage, name: WorkloadId) -> Workload:
    return stage.plane.queries.workload(name)


def placed(stage: Stage, name: WorkloadId) -> list[str]:
    return [f"{one.zone} {one.state}" for one in of(stage, name).placements]


async def obey(stage: Stage) -> None:
    """The own zone's agent does what it is told, at once, and everybody looks at what came of it."""
    agents = stage.plane.agents
    for _ in range(4):
        orders = agents.orders(ZONE)
        held = stage.plane.world.instances.get(ZONE, {})
        running = {
            name: InstanceStatus(
                one.instance, one.claim, InstanceState.READY, "https://10.0.0.1:1", 0, "", one.fencing_token, 1
            )
            for name, one in orders.items()
            if name.startswith("instances/")
        }
        adverts = [StoredAdvert(ZONE, name, "e1", status) for name, status in running.items()]
        gone = [f"instances/{name}" for name in held if f"instances/{name}" not in running]
        agents.order_acked(ZONE, list(orders))
        assert await agents.adverts(ZONE, adverts, gone) == ()
        await stage.rest()


async def stage_that_is_full(disruption: Disruption = ANY) -> Stage:
    """The one zone of its own is taken by the workload of priority 0, which answers."""
    stage = await home_stage()
    await stage.own_zone(ZONE)
    await stage.submit(wants(0, disruption), name=LOW)
    await stage.rest()
    await obey(stage)
    assert placed(stage, LOW) == [f"{HOME}/{ZONE} READY"]
    return stage


async def test_a_higher_priority_takes_the_place_of_a_lower_one_that_then_waits_and_says_why() -> None:
    stage = await stage_that_is_full()
    await stage.submit(wants(10), name=HIGH)
    await stage.rest()
    await obey(stage)
    assert placed(stage, HIGH) == [f"{HOME}/{ZONE} READY"]
    assert (of(stage, LOW).state, placed(stage, LOW)) == (WorkloadState.UNPLACEABLE, [])
    preempted = next(one for one in of(stage, LOW).conditions if one.type == "Preempted")
    assert (preempted.status.value, preempted.reason) == ("TRUE", "HigherPriority")
    assert f"{HIGH} of priority 10" in preempted.message


async def test_who_gives_way_goes_elsewhere_first_if_there_is_a_place() -> None:
    stage = await stage_that_is_full()
    await stage.offer(OWNER, "oslo-9", price_millieur_per_hour=900_000)
    await stage.submit(replace(wants(10), price_millieur_per_hour_max=500_000), name=HIGH)
    await stage.rest()
    assert placed(stage, LOW) == [f"{HOME}/{ZONE} READY", f"{OWNER}/oslo-9 STARTING"]
    assert placed(stage, HIGH) == [], "the new instance of the lower one has to answer first"
    assert not any(one.type == "Preempted" for one in of(stage, LOW).conditions)


@pytest.mark.parametrize("disruption", [Disruption(preemptible=False), Disruption(min_available=1)])
async def test_who_may_not_be_disturbed_stays(disruption: Disruption) -> None:
    stage = await stage_that_is_full(disruption)
    await stage.submit(wants(10), name=HIGH)
    await stage.rest()
    await obey(stage)
    assert placed(stage, LOW) == [f"{HOME}/{ZONE} READY"]
    assert of(stage, HIGH).state is WorkloadState.UNPLACEABLE


async def test_the_same_priority_takes_nobodys_place() -> None:
    stage = await stage_that_is_full()
    await stage.submit(wants(0), name=HIGH)
    await stage.rest()
    assert placed(stage, LOW) == [f"{HOME}/{ZONE} READY"]


async def test_a_plan_says_who_would_give_way_and_moves_nobody() -> None:
    stage = await stage_that_is_full()
    decision, _ = await stage.plane.workloads.plan(HIGH, wants(10))
    (victim,) = stage.plane.workloads.would_preempt(HIGH, wants(10), decision)
    assert (victim.workload, victim.priority, str(victim.zone)) == (str(LOW), 0, f"{HOME}/{ZONE}")
    await stage.rest()
    assert of(stage, LOW).placements[0].state is PlacementState.READY


async def test_who_had_to_wait_is_placed_again_as_soon_as_there_is_room() -> None:
    stage = await stage_that_is_full()
    await stage.submit(wants(10), name=HIGH)
    await stage.rest()
    await obey(stage)
    await stage.delete(name=HIGH)
    await stage.rest()
    await obey(stage)
    stage.plane._wake_for_freed()
    await stage.rest()
    await obey(stage)
    assert placed(stage, LOW) == [f"{HOME}/{ZONE} READY"]
    assert next(one for one in of(stage, LOW).conditions if one.type == "Preempted").status.value == "FALSE"


async def test_room_that_is_being_made_is_not_given_to_somebody_else() -> None:
    stage = await stage_that_is_full()
    await stage.submit(wants(10), name=HIGH)
    await stage.rest()
    third = WorkloadId("harbour", "third")
    await stage.submit(wants(5), name=third)
    await obey(stage)
    assert placed(stage, HIGH) == [f"{HOME}/{ZONE} READY"]
    assert placed(stage, third) == []


async def test_a_partners_claim_in_the_own_zone_never_gives_way() -> None:
    stage = await home_stage()
    await stage.own_zone(ZONE)
    await stage.plane.owner.hold(OWNER, HoldRequest("theirs", ZONE, wants(0), 5_000))
    await stage.submit(wants(10), name=HIGH)
    await stage.rest()
    assert of(stage, HIGH).state is WorkloadState.UNPLACEABLE
    assert stage.plane.world.claim(OWNER, "theirs") is not None

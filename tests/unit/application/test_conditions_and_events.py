"""What is said of a workload: conditions that tell its state, and events that tell its story."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hansa_control.domain.model import (
    ClaimState,
    ConditionStatus,
    EventLevel,
    LatencyBudget,
    OnChange,
    WorkloadId,
    WorkloadState,
)
from home_operator import OWNER, YARD, spec
from home_stage import KEY, OTHER, Stage, home_stage, norwegian, placed_stage, site_fact, stage_with_a_spare

GATE = WorkloadId("harbour", "gate-ocr")


# --- conditions ---


async def test_a_running_workload_is_placed_ready_lawful_and_not_stranded() -> None:
    stage = await placed_stage()
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "FALSE"}
    assert stage.condition("Placed").message == f"{OWNER}/oslo-9"
    assert stage.condition("Ready").reason == "Running"


async def test_conditions_come_once_each_and_by_name() -> None:
    stage = await placed_stage()
    types = [one.type for one in stage.workload.conditions]
    assert types == sorted(set(types))


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        (ClaimState.ALLOCATED, WorkloadState.STARTING, "Starting"),
        (ClaimState.LOST, WorkloadState.UNPLACEABLE, "Unplaceable"),
        (ClaimState.FAILED, WorkloadState.UNPLACEABLE, "Unplaceable"),
    ],
)
async def test_what_does_not_answer_is_not_ready_and_why(told: ClaimState, state: WorkloadState, reason: str) -> None:
    stage = await placed_stage()
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    await stage.tell(told)
    await stage.look()
    assert stage.workload.state is state
    condition = stage.condition("Ready")
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, reason)


async def test_a_condition_keeps_the_time_since_which_it_holds() -> None:
    stage = await placed_stage()
    since_ms = stage.condition("Ready").changed_at_ms
    stage.clock.now_ms += 1_000
    await stage.look(times=2)
    assert stage.condition("Ready").changed_at_ms == since_ms
    await stage.tell(ClaimState.ALLOCATED)
    await stage.look()
    assert stage.condition("Ready").changed_at_ms == since_ms + 1_000


async def test_looking_at_what_is_as_it_should_be_changes_nothing() -> None:
    stage = await placed_stage()
    before, events = stage.workload, stage.events()
    await stage.look(times=3)
    assert stage.workload == before
    assert stage.events() == events


async def test_a_stranded_workload_that_is_looked_at_again_changes_nothing() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.DRAIN), country="SE")
    stage.clock.now_ms = 60_000
    await stage.look()
    before = replace(stage.workload, attempt=0)
    await stage.look(times=3)
    assert replace(stage.workload, attempt=0) == before


async def test_a_workload_that_moves_stays_ready_all_the_time() -> None:
    stage = await placed_stage(zones=("oslo-8", "oslo-9"))
    since_ms = stage.condition("Ready").changed_at_ms
    stage.clock.now_ms += 1_000
    await stage.submit(spec(2_000))
    for told in (None, None, ClaimState.SERVING):
        if told is not None:
            await stage.tell(told)
        await stage.look()
        condition = stage.condition("Ready")
        assert (condition.status, condition.changed_at_ms) == (ConditionStatus.TRUE, since_ms)


async def test_ready_names_the_generation_that_answers_not_the_one_that_is_asked_for() -> None:
    stage = await placed_stage(zones=("oslo-8", "oslo-9"))
    await stage.submit(spec(2_000))
    await stage.look(times=2)
    assert stage.condition("Ready").observed_generation == 1
    assert stage.condition("Placed").observed_generation == 2
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert stage.condition("Ready").observed_generation == 2


async def test_a_spec_that_fits_nowhere_is_stranded_and_still_placed() -> None:
    stage = await placed_stage()
    await stage.submit(replace(spec(), latency=LatencyBudget(95, 1)))
    await stage.look()
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "TRUE"}
    assert stage.condition("Stranded").message == "0/1 zones feasible: 1 LatencyBound"
    await stage.submit(spec())
    await stage.look()
    assert stage.conditions()["Stranded"] == "FALSE"


async def test_a_workload_that_is_being_deleted_is_not_ready() -> None:
    stage = await placed_stage()
    stage.owners[OWNER].silent = {"release"}
    await stage.delete()
    await stage.look()
    condition = stage.condition("Ready")
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, "Deleting")


async def test_a_broken_policy_says_what_was_found_and_what_was_asked() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.KEEP_AND_ALERT))
    await stage.offer(OWNER, "oslo-9", facts=(site_fact("SE", 60_000),))
    await stage.look()
    condition = stage.condition("Lawful")
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, "PolicyBroken")
    assert "SE" in condition.message
    assert "NO" in condition.message
    assert stage.event("PolicyBroken") == f"{OWNER}/oslo-9: {condition.message}"


async def test_a_policy_that_is_broken_a_second_time_is_told_a_second_time() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.KEEP_AND_ALERT))
    for country in ("SE", "NO", "SE"):
        await stage.offer(OWNER, "oslo-9", facts=(site_fact(country, 60_000),))
        await stage.look(times=2)
    assert stage.events().count("PolicyBroken") == 2


async def test_every_change_is_another_revision() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    revisions = [(await stage.submit()).revision]
    for told in (None, ClaimState.SERVING, ClaimState.ALLOCATED, ClaimState.SERVING):
        if told is not None:
            await stage.tell(told)
        await stage.look()
        revisions.append(stage.workload.revision)
    assert revisions == sorted(set(revisions))


# --- events ---


async def story(stage: Stage) -> list[str]:
    return [f"{event.level.value[0]} {event.reason}" for event in stage.plane.queries.events(YARD, 0)]


async def test_a_life_without_mishap_is_told_in_its_order() -> None:
    stage = await placed_stage()
    await stage.delete()
    await stage.look()
    assert await story(stage) == ["N Submitted", "N Placed", "N Ready", "N Deleting", "N Released", "N Deleted"]


async def test_mishaps_are_warnings() -> None:
    stage = await stage_with_a_spare()
    stage.owners[OWNER].silent = {"release"}
    await stage.tell(ClaimState.LOST, "the zone is not heard")
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    await stage.look()
    await stage.tell(ClaimState.SERVING, at=1)
    await stage.look()
    assert (await story(stage))[3:] == ["W ZoneLost", "N Placed", "N Ready", "W Retrying"]
    assert stage.event("ZoneLost") == f"{OWNER}/oslo-9 is lost: the zone is not heard"


async def test_going_and_coming_is_told_each_time_and_staying_is_not() -> None:
    stage = await placed_stage()
    for told in (ClaimState.ALLOCATED, ClaimState.ALLOCATED, ClaimState.SERVING, ClaimState.SERVING):
        await stage.tell(told, "restarting")
        await stage.look()
    assert [one for one in stage.events() if one in {"Ready", "NotReady"}] == ["Ready", "NotReady", "Ready"]


async def test_a_release_that_keeps_failing_is_told_now_and_then_only() -> None:
    stage = await placed_stage()
    stage.owners[OWNER].silent = {"release"}
    await stage.delete()
    await stage.look(times=20)
    assert stage.events().count("Retrying") == 3


async def test_events_have_their_time_and_a_number_that_grows() -> None:
    stage = await home_stage()
    await stage.submit()
    stage.clock.now_ms += 500
    await stage.delete()
    first, second = stage.plane.queries.events(YARD, 0)
    assert second.sequence > first.sequence
    assert second.at_ms - first.at_ms == 500
    assert {first.level, second.level} == {EventLevel.NORMAL}


async def test_numbers_of_events_go_on_after_a_restart() -> None:
    stage = await home_stage()
    await stage.submit()
    (first,) = stage.plane.queries.events(YARD, 0)
    again = await stage.restart()
    await again.delete()
    assert [event.reason for event in again.plane.queries.events(YARD, first.sequence)] == ["Deleting"]


async def test_events_of_one_workload_are_not_those_of_another() -> None:
    stage = await home_stage()
    await stage.submit()
    await stage.submit(name=GATE)
    assert [event.workload for event in stage.plane.queries.events(GATE, 0)] == [str(GATE)]


async def test_the_oldest_events_are_forgotten_when_there_are_too_many() -> None:
    stage = await home_stage(events_kept_max=3)
    for cpu_millis in range(1_000, 1_005):
        await stage.submit(spec(cpu_millis))
    assert [event.message for event in stage.plane.queries.events(YARD, 0)] == [
        "generation 3",
        "generation 4",
        "generation 5",
    ]


async def test_whoever_watches_is_woken_by_every_change_and_by_the_end() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    signal = stage.plane.queries.workload_signal(YARD)

    async def woken_by(work: object) -> bool:
        waiting = asyncio.create_task(signal.wait(signal.version))
        await asyncio.sleep(0)
        await work  # type: ignore[misc]
        await asyncio.sleep(0)
        waiting.cancel()
        return waiting.done() and not waiting.cancelled()

    assert await woken_by(stage.submit())
    assert await woken_by(stage.look(times=2))
    assert not await woken_by(stage.look())
    assert await woken_by(stage.delete())
    assert await woken_by(stage.look())
    assert KEY not in stage.plane.state.workloads


async def test_whoever_watches_one_workload_is_not_woken_by_another() -> None:
    stage = await home_stage()
    await stage.submit()
    before = stage.plane.queries.workload_signal(YARD).version
    await stage.submit(name=GATE)
    assert stage.plane.queries.workload_signal(YARD).version == before


async def test_what_was_tried_in_vain_and_where_is_told() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await stage.offer(OTHER, "oslo-5", price_millieur_per_hour=200)
    stage.owners[OWNER].silent = {"hold"}
    stage.owners[OTHER].refuse("oslo-5")
    await stage.submit()
    await stage.look()
    assert await story(stage) == ["N Submitted", "W HoldFailed", "W HoldRefused", "W NoFeasibleZone", "N Released"]
    assert stage.event("NoFeasibleZone") == "0/2 zones feasible: 2 OwnerConsent"

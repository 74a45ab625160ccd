"""A submit that expects the answer of a plan gets it, or is refused with what has changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application import expectations
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Decision, Reason, WorkloadId, WorkloadSpec
from hansa_control.domain.overlay import Overlay
from home_operator import OWNER, YARD, spec
from home_stage import OTHER, TEAM, Stage, home_stage, placed_stage

GATE = WorkloadId("harbour", "gate-ocr")


async def planned(stage: Stage, wanted: WorkloadSpec | None = None) -> Decision:
    decision, _ = await stage.plane.workloads.plan(YARD, wanted or spec())
    return decision


def expect(
    stage: Stage, generation: int, wanted: WorkloadSpec | None = None, request_id: str = "r1", name: WorkloadId = YARD
) -> None:
    stage.plane.workloads.expect(generation, TEAM, request_id, name, wanted or spec())


def refused(stage: Stage, generation: int, **changes: object) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        expect(stage, generation, **changes)  # type: ignore[arg-type]
    assert (caught.value.reason, caught.value.field) == (Reason.GENERATION_CHANGED, "expect_generation")
    return caught.value


async def test_what_was_planned_is_accepted_as_long_as_nothing_happens() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    expect(stage, (await planned(stage)).snapshot_generation)


async def test_a_world_that_moved_without_changing_the_answer_is_accepted() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    plan = await planned(stage)
    await stage.offer(OTHER, "dear-1", price_millieur_per_hour=90_000)
    assert (await planned(stage)).snapshot_generation > plan.snapshot_generation
    expect(stage, plan.snapshot_generation)


async def test_a_better_zone_changes_the_answer_and_is_told() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    plan = await planned(stage)
    await stage.offer(OTHER, "cheap-1", price_millieur_per_hour=1)
    message = refused(stage, plan.snapshot_generation).message
    assert f"was {OWNER}/oslo-9 x 1 at generation {plan.snapshot_generation}" in message
    assert f"now is {OTHER}/cheap-1 x 1 at {plan.snapshot_generation + 1}; plan again" in message


async def test_what_became_infeasible_and_what_became_feasible_are_changes() -> None:
    stage = await home_stage()
    infeasible = await planned(stage)
    await stage.offer(OWNER, "oslo-9")
    assert "was infeasible at" in refused(stage, infeasible.snapshot_generation).message
    feasible = await planned(stage)
    await stage.withdraw(OWNER, "zones/oslo-9")
    assert "now is infeasible at" in refused(stage, feasible.snapshot_generation).message


async def test_nothing_is_expected_by_default() -> None:
    expect(await home_stage(), 0)


async def test_a_generation_without_a_plan_of_this_spec_for_this_workload_is_refused() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    generation = (await planned(stage)).snapshot_generation
    assert "plan again" in refused(stage, generation + 1).message
    assert "plan again" in refused(stage, generation, wanted=spec(2_000)).message
    assert "plan again" in refused(stage, generation, name=GATE).message


async def test_plans_of_before_a_restart_are_not_remembered() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    generation = (await planned(stage)).snapshot_generation
    again = await stage.restart()
    assert "is remembered; plan again" in refused(again, generation).message


async def test_the_oldest_plan_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectations, "ANSWERS_KEPT_MAX", 2)
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    generation = (await planned(stage)).snapshot_generation
    await planned(stage, spec(2_000))
    await planned(stage)  # asked again, so it is not the oldest any more
    await planned(stage, spec(3_000))
    expect(stage, generation)
    refused(stage, generation, wanted=spec(2_000))


async def test_a_plan_in_a_supposed_world_is_no_promise() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    supposed = Overlay(zones_removed=())
    found = await stage.plane.workloads.plan_under(replace(supposed, nodes_removed=()), YARD, spec())
    refused(stage, found.decision.snapshot_generation)


async def test_a_submit_that_is_repeated_or_changes_nothing_expects_nothing() -> None:
    stage = await placed_stage()
    expect(stage, 999, request_id="fresh")  # the spec that is kept
    expect(stage, 999, wanted=spec(2_000), request_id="r1")  # the request id of the first submit
    refused(stage, 999, wanted=spec(2_000), request_id="fresh")


async def test_a_running_workload_that_would_stay_is_the_same_answer() -> None:
    stage = await placed_stage()
    plan = await planned(stage, spec(2_000))
    assert plan.snapshot_generation
    expect(stage, plan.snapshot_generation, wanted=spec(2_000), request_id="fresh")

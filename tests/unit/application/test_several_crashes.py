"""A process that dies at any await while it places one workload in several zones: nothing orphaned, nothing twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hansa_control.domain.model import ClaimState, PlacementState, ResidencyPolicy, WorkloadSpec
from home_operator import HOME, OWNER, YARD
from home_stage import KEY, OTHER, Stage, home_stage
from several_stage import FIRST, SECOND, SPARE, answering_stage, in_two, offers, tell
from test_reconcile_crashes import crashed_at, held_by_nobody

STEPS_MAX = 80


async def settled(stage: Stage) -> None:
    """All that starts answers, as often as it takes."""
    for _ in range(6):
        await stage.look()
        starting = [str(p.zone) for p in stage.workload.placements if p.state is PlacementState.STARTING]
        for zone in starting:
            if not zone.startswith(HOME):
                await tell(stage, zone, ClaimState.SERVING)


def is_whole(stage: Stage) -> bool:
    placements = stage.workload.placements
    return len({p.batch for p in placements}) == 1 and len(placements) == placements[0].batch_parts


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("refused", [False, True])
async def test_a_crash_at_any_step_of_placing_leaves_one_batch(*, own: bool, refused: bool) -> None:
    for step in range(STEPS_MAX):
        stage = await home_stage()
        await (stage.own_zone("oslo-1") if own else offers(stage, {SECOND: 110}))
        await offers(stage, {FIRST: 100, SPARE: 200})
        wanted = in_two()
        if own:
            wanted = replace(wanted, residency=ResidencyPolicy())
        if refused:
            stage.owners[OWNER].refuse("oslo-9")

        async def work(stage: Stage = stage, wanted: WorkloadSpec = wanted) -> None:
            await stage.submit(wanted, request_id="r")
            await stage.look()

        if not await crashed_at(stage, step, work):
            assert step >= 8, "crashes at too few steps"
            return
        again = await stage.restart()
        again.owners[OWNER].rejections = ()
        await again.submit(wanted, request_id="r")
        await again.look(times=4)
        assert held_by_nobody(again) == set(), step
        assert is_whole(again), (step, again.placed)
        assert {p.state for p in again.workload.placements} == {PlacementState.STARTING}, step
        assert len({p.zone for p in again.workload.placements}) == 2, step
    raise AssertionError("the work does not end")


async def test_a_crash_at_any_step_of_a_move_leaves_users_with_a_batch_and_no_orphan() -> None:
    for step in range(STEPS_MAX):
        stage = await answering_stage()

        async def work(stage: Stage = stage) -> None:
            await stage.submit(in_two(cpu_millis=2_000), request_id="r")
            await stage.look()
            for zone in (FIRST, SECOND):
                await tell(stage, zone, ClaimState.SERVING)
            await stage.look()

        if not await crashed_at(stage, step, work):
            assert step >= 16, "crashes at too few steps"
            return
        again = await stage.restart()
        assert len(again.plane.queries.endpoint(YARD).zones) == 2, step
        await again.submit(in_two(cpu_millis=2_000), request_id="r")
        await settled(again)
        assert held_by_nobody(again) == set(), step
        assert is_whole(again), (step, again.placed)
        assert {p.generation for p in again.workload.placements} == {2}, step
    raise AssertionError("the work does not end")


async def test_a_crash_at_any_step_of_replacing_a_lost_part_leaves_the_other_answering() -> None:
    for step in range(STEPS_MAX):
        stage = await answering_stage()

        async def work(stage: Stage = stage) -> None:
            await tell(stage, FIRST, ClaimState.LOST)
            await stage.offer(OWNER, "oslo-9", cordoned=True)
            await stage.look(times=2)

        if not await crashed_at(stage, step, work):
            assert step >= 10, "crashes at too few steps"
            return
        again = await stage.restart()
        assert again.plane.queries.endpoint(YARD).zones, step
        await again.offer(OWNER, "oslo-9", cordoned=True)
        if any(str(p.zone) == FIRST for p in again.workload.placements):
            await tell(again, FIRST, ClaimState.LOST)
        await settled(again)
        assert held_by_nobody(again) == set(), step
        assert is_whole(again), (step, again.placed)
        assert Counter(str(p.zone) for p in again.workload.placements) == Counter([SECOND, SPARE]), step
    raise AssertionError("the work does not end")


async def test_a_crash_at_any_step_of_a_deletion_leaves_nothing_of_any_part() -> None:
    for step in range(STEPS_MAX):
        stage = await answering_stage()

        async def work(stage: Stage = stage) -> None:
            await stage.delete(request_id="r")
            await stage.look()

        if not await crashed_at(stage, step, work):
            assert step >= 8, "crashes at too few steps"
            return
        again = await stage.restart()
        if KEY in again.plane.state.workloads:
            await again.delete(request_id="r")
        await again.look(times=2)
        assert KEY not in again.plane.state.workloads, step
        assert (stage.owners[OWNER].taken, stage.owners[OTHER].taken) == (set(), set()), step
    raise AssertionError("the work does not end")

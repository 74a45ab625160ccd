"""A process that dies at any await of placing, moving or deleting leaves nothing orphaned and nothing placed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hansa_control.domain.model import ClaimState, PlacementState
from home_operator import HOME, OWNER, YARD, spec
from home_stage import KEY, OTHER, OwnerByScript, Stage, home_stage, placed_stage


async def crashed_at(stage: Stage, step: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Runs into the step at which the process dies; False if the work was done before."""
    stage.fuse.left = step
    stage.fuse.blown.clear()
    doing = asyncio.ensure_future(work())
    blown = asyncio.create_task(stage.fuse.blown.wait())
    await asyncio.wait({doing, blown}, return_when=asyncio.FIRST_COMPLETED)
    died = not doing.done()
    stage.fuse.left = None if not died else 0
    for task in (doing, blown):
        task.cancel()
    await asyncio.gather(doing, blown, return_exceptions=True)
    return died


def taken(stage: Stage) -> set[tuple[str, str]]:
    """Every claim that some owner counts as ours."""
    claims = stage.plane.state.claims.values()
    own = {(HOME, one.name) for one in claims if one.state is not ClaimState.RELEASING}
    return own | {(owner.operator, claim) for owner in stage.owners.values() for claim in owner.taken}


def held_by_nobody(stage: Stage) -> set[tuple[str, str]]:
    """What an owner counts and the workload does not, or the other way round."""
    return {(one.zone.operator, one.claim) for one in stage.workload.placements} ^ taken(stage)


@pytest.mark.parametrize("where", ["partner", "own"])
async def test_a_crash_at_any_step_of_placing_leaves_one_claim_and_one_placement(where: str) -> None:
    for step in range(40):
        stage = await home_stage()
        await (stage.offer(OWNER, "oslo-9") if where == "partner" else stage.own_zone("oslo-1"))

        async def work(stage: Stage = stage) -> None:
            await stage.submit(request_id="r")
            await stage.look()

        if not await crashed_at(stage, step, work):
            assert step >= (4 if where == "own" else 8), "crashes at too few steps"
            return
        again = await stage.restart()
        await again.offer(OTHER, "oslo-5", price_millieur_per_hour=0)
        await again.submit(request_id="r")
        await again.look(times=3)
        assert len(again.workload.placements) == 1, step
        assert held_by_nobody(again) == set(), step
        assert again.workload.placements[0].state is PlacementState.STARTING, step
    raise AssertionError("the work does not end")


async def test_a_crash_at_any_step_of_a_move_leaves_no_orphan_and_an_answering_placement() -> None:
    for step in range(40):
        stage = await placed_stage(zones=("oslo-8", "oslo-9"))

        async def work(stage: Stage = stage) -> None:
            await stage.submit(spec(2_000), request_id="r")
            await stage.look()
            await stage.tell(ClaimState.SERVING)
            await stage.look()

        if not await crashed_at(stage, step, work):
            assert step >= 12, "crashes at too few steps"
            return
        again = await stage.restart()
        assert again.plane.queries.endpoint(YARD).urls, step
        await again.submit(spec(2_000), request_id="r")
        await again.look(times=2)
        await again.tell(ClaimState.SERVING)
        await again.look(times=2)
        assert [one.generation for one in again.workload.placements] == [2], step
        assert held_by_nobody(again) == set(), step
    raise AssertionError("the work does not end")


async def test_a_crash_at_any_step_of_a_deletion_leaves_nothing() -> None:
    for step in range(20):
        stage = await placed_stage()
        partner: OwnerByScript = stage.owners[OWNER]

        async def work(stage: Stage = stage) -> None:
            await stage.delete(request_id="r")
            await stage.look()

        if not await crashed_at(stage, step, work):
            assert step >= 6, "crashes at too few steps"
            return
        again = await stage.restart()
        if KEY in again.plane.state.workloads:
            await again.delete(request_id="r")
        await again.look(times=2)
        assert KEY not in again.plane.state.workloads, step
        assert partner.taken == set(), step
    raise AssertionError("the work does not end")

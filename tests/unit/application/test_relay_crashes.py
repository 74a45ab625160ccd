"""The operator between dies at any await of holding, confirming or giving back: nothing is left, nothing is twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.domain.grants import claim_behind
from hansa_control.domain.model import AccessDemand, WorkloadSpec, WorkloadState
from home_operator import spec
from home_stage import Fuse
from three_operators import BETWEEN, HOME, OWNER, YARD, Three, three_operators

ROUNDS = 8


def wanted() -> WorkloadSpec:
    return replace(spec(), access=(AccessDemand("rostock", 1_000),))


async def fused() -> tuple[Three, Fuse]:
    """All three have heard of one another, and the one between has a fuse in its store and on its way to the owner."""
    three, fuse = await three_operators(), Fuse()
    three.between.plane.state._store = three.between.plane._store = three.between.store = MemoryStore(fuse.step)
    await three.between.start()
    three.between.way.step = fuse.step
    await three.federate()
    assert await three.spread() == {}
    return three, fuse


async def crashed_at(fuse: Fuse, step: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Runs into the step at which the one between dies; False if the work was done before."""
    fuse.left = step
    fuse.blown.clear()
    doing = asyncio.ensure_future(work())
    blown = asyncio.create_task(fuse.blown.wait())
    await asyncio.wait({doing, blown}, return_when=asyncio.FIRST_COMPLETED)
    died = not doing.done()
    for task in (doing, blown):
        task.cancel()
    await asyncio.gather(doing, blown, return_exceptions=True)
    fuse.left = None
    return died


async def restart(three: Three) -> None:
    await three.between.start()
    three.between.plane.partners.heard(OWNER)


async def settle(three: Three) -> None:
    """Everybody looks at everything again and again, and open holds run out."""
    for _ in range(ROUNDS):
        three.tick(11_000)
        await three.follow()
        await three.run_orders()
        await three.follow()
        await three.look_if_any()


def is_one_to_one(three: Three) -> bool:
    """Every claim here has the one behind, and there is no other behind."""
    here, behind = three.between.plane.world.claims_of(HOME), three.owner.plane.world.claims_of(BETWEEN)
    relays = three.between.plane.state.relays.values()
    return {claim_behind(HOME, name) for name in here} == set(behind) == {relay.name for relay in relays} and {
        relay.claim for relay in relays
    } == set(here)


async def test_a_crash_at_any_step_of_placing_ends_in_one_claim_with_one_behind() -> None:
    for step in range(60):
        three, fuse = await fused()

        async def work(three: Three = three) -> None:
            await three.submit(wanted())
            await three.look()

        died = await crashed_at(fuse, step, work)
        if died:
            await restart(three)
        await settle(three)
        workload = three.home.plane.queries.workload(YARD)
        assert (workload.state, len(workload.placements)) == (WorkloadState.RUNNING, 1), step
        assert is_one_to_one(three), step
        assert set(three.between.plane.world.claims_of(HOME)) == {workload.placements[0].claim}, step
        if not died:
            assert step >= 10, "crashes at too few steps"
            return
    raise AssertionError("the work was never done")


async def test_a_crash_at_any_step_of_giving_back_leaves_nothing_anywhere() -> None:
    for step in range(60):
        three, fuse = await fused()
        await three.submit(wanted())
        await three.look()
        await settle(three)

        async def work(three: Three = three) -> None:
            await three.home.plane.workloads.delete("spiffe://a/b", "d1", YARD, "", "x")
            await three.look_if_any()
            await three.follow()

        died = await crashed_at(fuse, step, work)
        if died:
            await restart(three)
        await settle(three)
        assert str(YARD) not in three.home.plane.state.workloads, step
        assert dict(three.owner.plane.world.claims_of(BETWEEN)) == {}, step
        assert dict(three.between.plane.world.claims_of(HOME)) == {}, step
        assert dict(three.between.plane.state.relays) == {}, step
        if not died:
            assert step >= 4, "crashes at too few steps"
            return
    raise AssertionError("the work was never done")

"""What app teams ask while a look at their workload waits for an owner."""

from __future__ import annotations

import asyncio

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import PlacementState, Reason, WorkloadState
from home_operator import YARD, HandOwner, home_operator, spec

KEY = str(YARD)


async def test_deletion_during_a_hold_is_not_forgotten_and_the_claim_is_released() -> None:
    owner = HandOwner()
    plane = await home_operator(owner)
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    look = asyncio.create_task(plane.reconciler.look(KEY))
    await owner.asked.wait()
    await plane.workloads.delete("team", "r2", YARD, "", "d2")
    owner.go_on.set()
    await look
    assert plane.queries.workload(YARD).state is WorkloadState.DELETING
    await plane.reconciler.look(KEY)
    assert owner.released == [(owner.held[0].claim, Reason.WORKLOAD_DELETED)]
    with pytest.raises(RefusalError, match="there is no"):
        plane.queries.workload(YARD)


async def test_a_new_spec_during_a_hold_is_placed_too_before_the_old_one_goes() -> None:
    owner = HandOwner()
    plane = await home_operator(owner)
    await plane.workloads.submit("team", "r1", YARD, spec(1_000), "d1")
    look = asyncio.create_task(plane.reconciler.look(KEY))
    await owner.asked.wait()
    await plane.workloads.submit("team", "r2", YARD, spec(2_000), "d2")
    owner.go_on.set()
    await look
    assert [request.spec.cpu_millis for request in owner.held] == [1_000]
    await plane.reconciler.look(KEY)
    assert [request.spec.cpu_millis for request in owner.held] == [1_000, 2_000]
    placements = plane.queries.workload(YARD).placements
    assert [placement.generation for placement in placements] == [1, 2]
    assert {placement.state for placement in placements} == {PlacementState.STARTING}
    assert owner.released == []


async def test_a_crash_in_the_middle_of_a_hold_leaves_an_intent_that_is_released() -> None:
    owner = HandOwner()
    plane = await home_operator(owner)
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    look = asyncio.create_task(plane.reconciler.look(KEY))
    await owner.asked.wait()
    look.cancel()
    await asyncio.gather(look, return_exceptions=True)
    owner.go_on.set()
    again = await home_operator(owner, plane._store.reopen())  # type: ignore[attr-defined]
    await again.reconciler.look(KEY)
    first, second = owner.held
    assert owner.released == [(first.claim, Reason.WORKLOAD_MOVED)]
    assert first.claim != second.claim
    assert [placement.claim for placement in again.queries.workload(YARD).placements] == [second.claim]


async def test_a_claim_released_before_the_stream_named_it_leaves_nothing_behind() -> None:
    owner = HandOwner()
    owner.go_on.set()
    plane = await home_operator(owner)
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    await plane.reconciler.look(KEY)
    assert len(plane.partners.held_offers("skargard")) == 2
    await plane.workloads.delete("team", "r2", YARD, "", "d2")
    await plane.reconciler.look(KEY)
    assert list(plane.partners.held_offers("skargard")) == ["zones/oslo-9"]

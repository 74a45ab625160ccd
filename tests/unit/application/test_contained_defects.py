"""A defect met at one workload stays there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hansa_control.application.ports import HoldRequest, Refused, StoreFailed
from hansa_control.domain.model import HoldGrant, PlacementState, WorkloadId
from home_operator import YARD, HandOwner, home_operator, spec

OTHER = WorkloadId("harbour", "gate-ocr")


@dataclass
class BrokenOnce(HandOwner):
    """Meets a defect at the first hold, whatever it is."""

    defects_left: int = 1
    defect: Exception = field(default_factory=lambda: ZeroDivisionError("by a defect"))

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        if self.defects_left:
            self.defects_left -= 1
            raise self.defect
        return await super().hold(request)


async def test_a_defect_at_one_workload_is_told_and_the_others_are_placed() -> None:
    owner = BrokenOnce()
    owner.go_on.set()
    plane = await home_operator(owner)
    told: list[tuple[str, Exception]] = []
    plane.reconciler.on_defect = lambda workload, defect: told.append((workload, defect))
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    await plane.workloads.submit("team", "r2", OTHER, spec(), "d2")
    work = asyncio.create_task(plane.reconciler.run())
    async with asyncio.timeout(10):
        while not any(p.state is PlacementState.STARTING for p in plane.queries.workload(OTHER).placements):
            await plane.queries.workload_signal(OTHER).wait(plane.queries.workload_signal(OTHER).version)
    assert not work.done()
    work.cancel()
    assert [workload for workload, _ in told] == [str(YARD)]
    events = plane.queries.events(YARD, 0)
    assert any(event.reason == "Defect" and "by a defect" in event.message for event in events)


async def test_a_failed_store_is_not_contained() -> None:
    owner = BrokenOnce(defect=StoreFailed("disk full"))
    plane = await home_operator(owner)
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    with pytest.raises(ExceptionGroup) as failed:
        async with asyncio.timeout(10):
            await plane.reconciler.run()
    assert failed.group_contains(StoreFailed, match="disk full")

"""App teams are told of a change, also by a refusal, when it would survive a crash, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError, StoreFailed
from hansa_control.domain.model import Reason, Workload, WorkloadId
from home_operator import YARD, HandOwner, home_operator, spec

Question = Callable[[ControlPlane], Awaitable[object]]


class SlowDisk:
    """Lets commits wait while it ``rests``."""

    def __init__(self) -> None:
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def pause(self) -> None:
        await self.may_write.wait()


async def settled(asked: asyncio.Future[object]) -> bool:
    """Whether a question has been answered after everybody had a turn."""
    for _ in range(20):
        await asyncio.sleep(0)
    return asked.done()


async def stage() -> tuple[ControlPlane, SlowDisk]:
    disk = SlowDisk()
    return await home_operator(HandOwner(), MemoryStore(disk.pause)), disk


async def get(plane: ControlPlane) -> Workload:
    return await plane.queries.kept_workload(YARD)


async def list_all(plane: ControlPlane) -> tuple[Workload, ...]:
    return await plane.queries.kept_workloads("harbour", "", 10)


async def submit_again(plane: ControlPlane) -> Workload:
    return await plane.workloads.submit("others", "r9", YARD, spec(), "d9")


async def delete_another_revision(plane: ControlPlane) -> Workload:
    return await plane.workloads.delete("others", "r8", YARD, "77", "d8")


@pytest.mark.parametrize("ask", [get, list_all, submit_again])
async def test_a_submit_is_shown_when_it_is_durable(ask: Question) -> None:
    plane, disk = await stage()
    disk.may_write.clear()
    submitting = asyncio.ensure_future(plane.workloads.submit("team", "r1", YARD, spec(), "d1"))
    asked = asyncio.ensure_future(ask(plane))
    assert not await settled(asked)
    disk.may_write.set()
    await asyncio.gather(submitting, asked)


@pytest.mark.parametrize(
    ("ask", "reason"), [(delete_another_revision, Reason.ETAG_MISMATCH), (submit_again, Reason.ALREADY_EXISTS)]
)
async def test_a_refusal_that_shows_a_change_waits_until_it_is_durable(ask: Question, reason: Reason) -> None:
    plane, disk = await stage()
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    disk.may_write.clear()
    deleting = asyncio.ensure_future(plane.workloads.delete("team", "r2", YARD, "", "d2"))
    await asyncio.sleep(0)
    asked = asyncio.ensure_future(ask(plane))
    assert not await settled(asked)
    disk.may_write.set()
    await deleting
    with pytest.raises(RefusalError) as refused:
        await asked
    assert refused.value.reason is reason


async def test_that_nothing_is_there_any_more_is_told_when_it_is_durable() -> None:
    plane, disk = await stage()
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    await plane.workloads.delete("team", "r2", YARD, "", "d2")
    disk.may_write.clear()
    looking = asyncio.ensure_future(plane.reconciler.look(str(YARD)))
    await asyncio.sleep(0)
    assert str(YARD) not in plane.state.workloads
    asked = asyncio.ensure_future(get(plane))
    assert not await settled(asked)
    disk.may_write.set()
    await looking
    with pytest.raises(RefusalError, match="there is no"):
        await asked


async def test_what_is_durable_is_told_at_once_while_others_are_written() -> None:
    plane, disk = await stage()
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    disk.may_write.clear()
    other = asyncio.ensure_future(plane.workloads.submit("team", "r2", WorkloadId("harbour", "quay"), spec(), "d2"))
    await asyncio.sleep(0)
    asked = asyncio.ensure_future(get(plane))
    assert await settled(asked)
    disk.may_write.set()
    await other


async def test_an_event_is_told_when_it_is_durable_and_with_it_nothing_that_came_later() -> None:
    plane, disk = await stage()
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    disk.may_write.clear()
    plane.journal.warning(YARD, "First", "not on disk yet")
    asked = asyncio.ensure_future(plane.queries.kept_story(YARD, 0))
    assert not await settled(asked)
    plane.journal.warning(YARD, "Second", "after the question")
    disk.may_write.set()
    workload, events = await asked
    assert workload is not None
    assert [event.reason for event in events] == ["Submitted", "First"]


async def test_what_a_failing_disk_never_kept_is_told_to_nobody_who_watches() -> None:
    store = MemoryStore()
    plane = await home_operator(HandOwner(), store)
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    store.fail("disk full")
    plane.journal.warning(YARD, "Ready", "told too early")
    with pytest.raises(StoreFailed, match="disk full"):
        await plane.queries.kept_story(YARD, 0)
    again = await home_operator(HandOwner(), store.reopen())
    assert "Ready" not in [event.reason for event in again.queries.events(YARD, 0)]

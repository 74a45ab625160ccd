"""What app teams ask: submitting and deleting, once, again, and with an id that was used."""

from __future__ import annotations

import pytest
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError
from hansa_control.application.settings import Settings
from hansa_control.domain.model import Reason, Workload, WorkloadId, WorkloadState
from home_operator import YARD, HandOwner, home_operator, spec
from owner_operator import ME, owner_side


async def plane_with_yard() -> ControlPlane:
    plane = await home_operator(HandOwner())
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    return plane


def kept(plane: ControlPlane) -> Workload:
    return plane.queries.workload(YARD)


async def forgotten(plane: ControlPlane) -> None:
    """The workload is deleted under r2 and gone."""
    await plane.workloads.delete("team", "r2", YARD, "", "d2")
    await plane.reconciler.look(str(YARD))
    assert str(YARD) not in plane.state.workloads


async def test_what_was_accepted_is_known_after_a_restart() -> None:
    plane = await plane_with_yard()
    again = await home_operator(HandOwner(), plane._store.reopen())  # type: ignore[attr-defined]
    assert again.queries.workload(YARD) == kept(plane)


async def test_the_same_request_twice_is_one_workload() -> None:
    plane = await plane_with_yard()
    again = await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    assert again == kept(plane)
    assert again.generation == 1


async def test_a_request_id_used_for_another_payload_is_refused() -> None:
    plane = await plane_with_yard()
    with pytest.raises(RefusalError) as refused:
        await plane.workloads.submit("team", "r1", WorkloadId("harbour", "other"), spec(), "d9")
    assert refused.value.reason is Reason.REQUEST_ID_REUSED
    with pytest.raises(RefusalError) as refused:
        await plane.workloads.delete("team", "r1", YARD, "", "d9")
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


async def test_request_ids_are_each_callers_own() -> None:
    plane = await plane_with_yard()
    other = await plane.workloads.submit("others", "r1", WorkloadId("quay", "ocr"), spec(), "d7")
    assert other.id == WorkloadId("quay", "ocr")


async def test_a_request_id_is_remembered_after_a_restart() -> None:
    plane = await plane_with_yard()
    again = await home_operator(HandOwner(), plane._store.reopen())  # type: ignore[attr-defined]
    with pytest.raises(RefusalError) as refused:
        await again.workloads.submit("team", "r1", YARD, spec(2_000), "d2")
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


async def test_another_spec_is_a_new_generation() -> None:
    plane = await plane_with_yard()
    changed = await plane.workloads.submit("team", "r2", YARD, spec(2_000), "d2")
    assert (changed.generation, changed.spec.cpu_millis, changed.uid) == (2, 2_000, kept(plane).uid)


async def test_a_late_repetition_of_an_older_spec_changes_nothing() -> None:
    plane = await plane_with_yard()
    await plane.workloads.submit("team", "r2", YARD, spec(2_000), "d2")
    late = await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    assert late == kept(plane)
    assert (late.generation, late.spec.cpu_millis) == (2, 2_000)


async def test_a_repeated_request_does_not_bring_a_deleted_workload_back() -> None:
    plane = await plane_with_yard()
    await forgotten(plane)
    with pytest.raises(RefusalError) as refused:
        await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    assert refused.value.reason is Reason.NOT_FOUND
    await plane.workloads.submit("team", "r3", YARD, spec(), "d1")
    assert kept(plane).state is WorkloadState.PENDING


async def test_a_workload_that_is_being_deleted_is_not_submitted_again() -> None:
    plane = await plane_with_yard()
    await plane.workloads.delete("team", "r2", YARD, "", "d2")
    with pytest.raises(RefusalError) as refused:
        await plane.workloads.submit("team", "r3", YARD, spec(), "d3")
    assert refused.value.reason is Reason.ALREADY_EXISTS


async def test_deleting_with_an_old_etag_is_refused_and_changes_nothing() -> None:
    plane = await plane_with_yard()
    before = kept(plane)
    with pytest.raises(RefusalError) as refused:
        await plane.workloads.delete("team", "r2", YARD, "99", "d2")
    assert refused.value.reason is Reason.ETAG_MISMATCH
    assert kept(plane) == before


async def test_the_same_deletion_twice_is_one_even_with_an_etag() -> None:
    plane = await plane_with_yard()
    etag = str(kept(plane).revision)
    first = await plane.workloads.delete("team", "r2", YARD, etag, "d2")
    assert await plane.workloads.delete("team", "r2", YARD, etag, "d2") == first


async def test_a_late_repetition_of_a_deletion_spares_the_next_workload_of_that_name() -> None:
    plane = await plane_with_yard()
    await forgotten(plane)
    await plane.workloads.submit("team", "r3", YARD, spec(), "d3")
    with pytest.raises(RefusalError) as refused:
        await plane.workloads.delete("team", "r2", YARD, "", "d2")
    assert refused.value.reason is Reason.NOT_FOUND
    assert kept(plane).state is WorkloadState.PENDING


async def test_deleting_what_is_not_there_is_not_found() -> None:
    plane = await home_operator(HandOwner())
    with pytest.raises(RefusalError) as refused:
        await plane.workloads.delete("team", "r1", YARD, "", "d1")
    assert refused.value.reason is Reason.NOT_FOUND


async def test_there_is_a_limit_to_workloads() -> None:
    side = await owner_side(settings=Settings(ME, workloads_max=1))
    await side.plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    with pytest.raises(RefusalError) as refused:
        await side.plane.workloads.submit("team", "r2", WorkloadId("harbour", "two"), spec(), "d2")
    assert refused.value.reason is Reason.LIMIT_EXCEEDED


async def test_planning_changes_nothing_and_says_where_it_runs_now() -> None:
    plane = await home_operator(HandOwner())
    decision, current = await plane.workloads.plan(YARD, spec())
    assert [str(choice.zone) for choice in decision.choices] == ["skargard/oslo-9"]
    assert current.zone == ""
    assert str(YARD) not in plane.state.workloads

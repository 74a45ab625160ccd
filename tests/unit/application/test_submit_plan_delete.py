"""What app teams ask, and what they may rely on when they are answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hansa_control.application.ports import RefusalError, StoreFailed, Table
from hansa_control.domain.model import ClaimState, Reason, WorkloadId, WorkloadState
from home_operator import OWNER, YARD, spec
from home_stage import KEY, TEAM, home_stage, placed_stage

GATE = WorkloadId("harbour", "gate-ocr")


async def refused(work: object) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        await work  # type: ignore[misc]
    return caught.value


# --- submit ---


async def test_a_submitted_workload_is_pending_until_somebody_has_looked() -> None:
    stage = await home_stage()
    accepted = await stage.submit()
    assert (accepted.state, accepted.generation, accepted.revision) == (WorkloadState.PENDING, 1, 1)
    assert (accepted.client_id, accepted.placements) == (TEAM, ())
    assert accepted.created_at_ms == stage.clock.wall_ms()
    assert stage.events() == ["Submitted"]


async def test_what_was_accepted_is_there_after_a_crash() -> None:
    stage = await home_stage()
    accepted = await stage.submit()
    again = await stage.restart()
    assert again.workload == accepted
    assert again.events() == ["Submitted"]


async def test_nobody_is_answered_before_the_workload_is_durable() -> None:
    stage = await home_stage()
    stage.fuse.left = 0
    asked = asyncio.create_task(stage.submit())
    await stage.fuse.blown.wait()
    assert not asked.done()
    again = await stage.restart()
    assert KEY not in again.plane.state.workloads
    asked.cancel()


async def test_a_store_that_fails_refuses_the_answer() -> None:
    stage = await home_stage()
    stage.store.fail("no space left")
    with pytest.raises(StoreFailed, match="no space left"):
        await stage.submit()


async def test_accepting_wakes_the_reconciler() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await stage.submit()
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 STARTING"]


async def test_the_same_request_twice_is_accepted_once() -> None:
    stage = await home_stage()
    first = await stage.submit(request_id="r")
    second = await stage.submit(request_id="r")
    assert second == first
    assert stage.events() == ["Submitted"]


async def test_a_request_repeated_after_a_crash_is_still_the_same() -> None:
    stage = await home_stage()
    first = await stage.submit(request_id="r")
    again = await stage.restart()
    assert await again.submit(request_id="r") == first


async def test_a_late_repetition_does_not_bring_an_older_spec_back() -> None:
    stage = await home_stage()
    await stage.submit(spec(1_000), request_id="r")
    newer = await stage.submit(spec(2_000))
    assert await stage.submit(spec(1_000), request_id="r") == newer
    assert stage.workload.spec.cpu_millis == 2_000


async def test_a_late_repetition_does_not_bring_a_deleted_workload_back() -> None:
    stage = await home_stage()
    await stage.submit(request_id="r")
    await stage.delete()
    await stage.look()
    refusal = await refused(stage.submit(request_id="r"))
    assert refusal.reason is Reason.NOT_FOUND
    assert KEY not in stage.plane.state.workloads


async def test_a_request_id_with_another_payload_is_refused_and_changes_nothing() -> None:
    stage = await home_stage()
    first = await stage.submit(spec(1_000), request_id="r")
    refusal = await refused(stage.submit(spec(2_000), request_id="r"))
    assert (refusal.reason, refusal.field) == (Reason.REQUEST_ID_REUSED, "request_id")
    assert stage.workload == first


async def test_request_ids_of_one_caller_are_not_those_of_another() -> None:
    stage = await home_stage()
    await stage.submit(spec(1_000), request_id="r", name=YARD, caller="spiffe://a")
    await stage.submit(spec(2_000), request_id="r", name=GATE, caller="spiffe://b")
    assert [one.id for one in stage.plane.queries.workloads("harbour", "", 9)] == [GATE, YARD]


async def test_an_id_used_for_submitting_cannot_be_used_for_deleting() -> None:
    stage = await home_stage()
    await stage.submit(request_id="r")
    assert (await refused(stage.delete(request_id="r"))).reason is Reason.REQUEST_ID_REUSED
    assert stage.workload.state is WorkloadState.PENDING


async def test_a_refused_request_does_not_use_up_its_id() -> None:
    stage = await home_stage(workloads_max=1)
    await stage.submit(name=GATE)
    assert (await refused(stage.submit(request_id="r"))).reason is Reason.LIMIT_EXCEEDED
    await stage.delete(name=GATE)
    await stage.plane.reconciler.look(str(GATE))
    assert (await stage.submit(request_id="r")).generation == 1


async def test_the_oldest_request_is_forgotten_when_there_are_too_many() -> None:
    stage = await home_stage(requests_kept_max=2)
    for request_id in ("z", "y", "x"):
        await stage.submit(request_id=request_id)
    assert list(stage.plane.state.requests) == [f"{TEAM}|y", f"{TEAM}|x"]


async def test_after_a_restart_too_the_oldest_request_is_forgotten_first() -> None:
    stage = await home_stage(requests_kept_max=2)
    for request_id in ("z", "a"):
        await stage.submit(request_id=request_id)
        stage.clock.now_ms += 1
    again = await stage.restart()
    await again.submit(request_id="m")
    assert list(again.plane.state.requests) == [f"{TEAM}|a", f"{TEAM}|m"]


async def test_the_same_spec_under_another_request_changes_nothing() -> None:
    stage = await home_stage()
    first = await stage.submit()
    assert await stage.submit() == first
    assert stage.events() == ["Submitted"]


async def test_another_spec_is_the_next_generation_of_the_same_workload() -> None:
    stage = await home_stage()
    first = await stage.submit(spec(1_000))
    second = await stage.submit(spec(2_000))
    assert (second.generation, second.uid, second.created_at_ms) == (2, first.uid, first.created_at_ms)
    assert second.revision > first.revision
    assert stage.event("SpecChanged") == "generation 2"


async def test_a_changed_spec_is_durable_when_answered() -> None:
    stage = await home_stage()
    await stage.submit(spec(1_000))
    await stage.submit(spec(2_000))
    again = await stage.restart()
    assert (again.workload.spec.cpu_millis, again.workload.generation) == (2_000, 2)


async def test_no_more_workloads_than_the_limit_but_those_there_may_change() -> None:
    stage = await home_stage(workloads_max=1)
    await stage.submit(spec(1_000))
    assert (await refused(stage.submit(name=GATE))).reason is Reason.LIMIT_EXCEEDED
    assert (await stage.submit(spec(2_000))).generation == 2


async def test_a_name_that_is_being_deleted_is_taken_until_it_is_gone() -> None:
    stage = await placed_stage()
    stage.owners[OWNER].silent = {"release"}
    await stage.delete()
    await stage.look()
    refusal = await refused(stage.submit())
    assert (refusal.reason, refusal.field) == (Reason.ALREADY_EXISTS, "name")
    stage.owners[OWNER].silent = set()
    await stage.look()
    again = await stage.submit()
    assert (again.generation, again.state, again.placements) == (1, WorkloadState.PENDING, ())


# --- plan ---


async def test_planning_changes_nothing() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    before = dict(stage.plane.state.claims), dict(stage.plane.state.workloads), dict(stage.plane.state.recent_decisions)
    decision, (zone, _) = await stage.plane.workloads.plan(YARD, spec())
    assert ([str(choice.zone) for choice in decision.choices], zone) == ([f"{OWNER}/oslo-9"], "")
    after = dict(stage.plane.state.claims), dict(stage.plane.state.workloads), dict(stage.plane.state.recent_decisions)
    assert after == before
    assert stage.owners[OWNER].held == []


async def test_a_plan_that_fits_nowhere_says_why() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    decision, _ = await stage.plane.workloads.plan(YARD, spec())
    assert decision.choices == ()
    assert [(str(one.zone), one.reason) for one in decision.rejections] == [(f"{OWNER}/oslo-9", Reason.ZONE_CORDONED)]


async def test_a_plan_counts_what_the_workload_holds_already_as_free() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1", cpu_millis=1_000)
    await stage.submit(spec(1_000))
    await stage.look()
    own, (zone, _) = await stage.plane.workloads.plan(YARD, spec(1_000))
    others, (nowhere, _) = await stage.plane.workloads.plan(GATE, spec(1_000))
    assert ([str(choice.zone) for choice in own.choices], zone) == (["nordavind/oslo-1"], "nordavind/oslo-1")
    assert (others.choices, nowhere) == ((), "")
    assert [one.reason for one in others.rejections] == [Reason.CPU_EXHAUSTED]


async def test_a_plan_does_not_count_what_is_being_given_back_as_free() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1", cpu_millis=1_000)
    await stage.submit(spec(1_000))
    await stage.look()
    await stage.delete()
    await stage.look()
    decision, (zone, _) = await stage.plane.workloads.plan(YARD, spec(1_000))
    assert (decision.choices, zone) == ((), "")


async def test_a_plan_names_the_zone_of_the_newest_placement() -> None:
    stage = await placed_stage(zones=("oslo-8", "oslo-9"))
    assert (await stage.plane.workloads.plan(YARD, spec()))[1].zone == f"{OWNER}/oslo-8"
    await stage.offer(OWNER, "oslo-8", cordoned=True)
    await stage.submit(spec(2_000))
    await stage.look()
    assert stage.placed == [f"{OWNER}/oslo-8 READY", f"{OWNER}/oslo-9 STARTING"]
    assert (await stage.plane.workloads.plan(YARD, spec()))[1].zone == f"{OWNER}/oslo-9"


# --- delete ---


async def test_deleting_marks_and_is_done_when_the_owner_has_taken_note() -> None:
    stage = await placed_stage()
    claim = stage.workload.placements[0].claim
    marked = await stage.delete()
    assert marked.state is WorkloadState.DELETING
    assert stage.owners[OWNER].released == []
    await stage.look()
    assert stage.owners[OWNER].released == [(claim, Reason.WORKLOAD_DELETED)]
    assert KEY not in stage.plane.state.workloads
    assert KEY not in stage.plane.state.recent_decisions


async def test_deleting_wakes_the_reconciler() -> None:
    stage = await placed_stage()
    await stage.delete()
    await stage.rest()
    assert KEY not in stage.plane.state.workloads


async def test_a_deletion_survives_a_crash() -> None:
    stage = await placed_stage()
    await stage.delete()
    again = await stage.restart()
    assert again.workload.state is WorkloadState.DELETING
    await again.rest()
    assert KEY not in again.plane.state.workloads
    assert again.owners[OWNER].taken == set()


async def test_deleting_what_is_not_there_is_not_found() -> None:
    stage = await home_stage()
    refusal = await refused(stage.delete())
    assert (refusal.reason, refusal.field) == (Reason.NOT_FOUND, "name")


async def test_deleting_twice_is_deleting_once() -> None:
    stage = await placed_stage()
    first = await stage.delete()
    second = await stage.delete()
    assert second == first
    assert stage.events().count("Deleting") == 1


async def test_an_etag_of_another_revision_refuses_the_deletion() -> None:
    stage = await home_stage()
    seen = await stage.submit(spec(1_000))
    await stage.submit(spec(2_000))
    refusal = await refused(stage.delete(etag=str(seen.revision)))
    assert (refusal.reason, refusal.field) == (Reason.ETAG_MISMATCH, "etag")
    assert stage.workload.state is WorkloadState.PENDING
    assert (await stage.delete(etag=str(stage.workload.revision))).state is WorkloadState.DELETING


async def test_a_repeated_deletion_does_not_fail_on_the_etag_that_it_changed_itself() -> None:
    stage = await placed_stage()
    etag = str(stage.workload.revision)
    first = await stage.delete(request_id="r", etag=etag)
    assert await stage.delete(request_id="r", etag=etag) == first


async def test_a_late_repetition_does_not_delete_the_next_workload_of_that_name() -> None:
    stage = await home_stage()
    await stage.submit()
    await stage.delete(request_id="r")
    await stage.look()
    successor = await stage.submit()
    assert (await refused(stage.delete(request_id="r"))).reason is Reason.NOT_FOUND
    assert stage.workload == successor


async def test_what_was_never_placed_is_gone_at_the_first_look() -> None:
    stage = await home_stage()
    await stage.submit(replace(spec(), replicas=2))
    await stage.delete()
    await stage.look()
    assert KEY not in stage.plane.state.workloads


async def test_a_forgotten_workload_leaves_only_its_events_and_requests() -> None:
    stage = await placed_stage()
    await stage.tell(ClaimState.SERVING)
    await stage.delete()
    await stage.look()
    await stage.withdraw(OWNER, *[name for name in stage.plane.partners.held_offers(OWNER) if name[:6] == "claims"])
    state = stage.plane.state
    assert {table for table in Table if state._tables[table]} == {  # everything that is kept
        Table.OFFER,
        Table.FEDERATION,
        Table.REQUEST,
        Table.EVENT,
        Table.COUNTER,
    }
    assert list(state.offers) == [f"{OWNER}|zones/oslo-9"]
    assert stage.events()[-1] == "Deleted"

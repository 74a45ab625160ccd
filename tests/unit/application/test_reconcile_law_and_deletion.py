"""Facts that run out under a placed workload, and deletions in every state."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import ClaimState, OnChange, Reason, WorkloadState
from home_operator import OWNER, YARD, spec
from home_stage import KEY, OTHER, Stage, norwegian, placed_stage, site_fact, stage_with_a_spare

ZONE, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"


async def expired(stage: Stage) -> None:
    """The claim of skargard's zone to be in Norway runs out."""
    stage.clock.now_ms = 60_000
    for owner in stage.owners:
        stage.plane.partners.heard(owner)


async def test_a_drained_workload_answers_from_its_old_place_until_the_new_one_is_ready() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.DRAIN))
    await stage.look()
    assert stage.placed == [f"{ZONE} READY"]
    await expired(stage)
    await stage.look(times=2)
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} STARTING"]
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert stage.placed == [f"{SPARE} READY"]
    assert stage.conditions()["Lawful"] == "TRUE"


async def test_a_workload_that_cannot_be_drained_is_stranded_until_its_law_holds_again() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.DRAIN), country="SE")
    await expired(stage)
    await stage.look(times=2)
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} READY"], WorkloadState.RUNNING)
    assert stage.conditions() == {"Lawful": "FALSE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "TRUE"}
    assert stage.events().count("PolicyBroken") == 1
    await stage.offer(OWNER, "oslo-9", facts=(site_fact("NO", 600_000),))
    await stage.look()
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "FALSE"}


async def test_keeping_and_alerting_moves_nothing_and_says_so_once() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.KEEP_AND_ALERT))
    await expired(stage)
    await stage.look(times=3)
    assert stage.placed == [f"{ZONE} READY"]
    assert stage.conditions()["Lawful"] == "FALSE"
    assert stage.events().count("PolicyBroken") == 1
    assert stage.owners[OTHER].held == []


async def test_terminating_gives_the_claim_back_at_once_and_places_anew() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.TERMINATE))
    claim = stage.workload.placements[0].claim
    await expired(stage)
    await stage.look()
    assert stage.owners[OWNER].released == [(claim, Reason.WORKLOAD_MOVED)]
    assert (stage.placed, stage.workload.state) == ([f"{SPARE} STARTING"], WorkloadState.STARTING)


async def test_terminating_where_nothing_else_fits_runs_nowhere() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.TERMINATE), country="SE")
    stage.owners[OWNER].silent = {"release"}
    await expired(stage)
    await stage.look()
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} RELEASING"], WorkloadState.UNPLACEABLE)
    with pytest.raises(RefusalError):
        stage.plane.queries.endpoint(YARD)
    stage.owners[OWNER].silent = set()
    await stage.after(stage.plane.settings.retry_ms_max)
    assert (stage.placed, stage.owners[OWNER].taken) == ([], set())


async def test_the_law_is_looked_at_without_anybody_saying_that_it_changed() -> None:
    stage = await stage_with_a_spare(norwegian(OnChange.DRAIN))
    await expired(stage)
    stage.plane._check_law()
    await stage.rest()
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} STARTING"]


# --- deletion ---


@pytest.mark.parametrize("state", [ClaimState.ALLOCATED, ClaimState.SERVING, ClaimState.LOST, ClaimState.FAILED])
async def test_whatever_has_become_of_a_claim_deleting_gives_it_back(state: ClaimState) -> None:
    stage = await placed_stage()
    claim = stage.workload.placements[0].claim
    await stage.tell(state)
    await stage.delete()
    await stage.look()
    assert stage.owners[OWNER].released == [(claim, Reason.WORKLOAD_DELETED)]
    assert KEY not in stage.plane.state.workloads


async def test_deleting_in_the_middle_of_a_move_gives_both_claims_back() -> None:
    stage = await placed_stage(zones=("oslo-8", "oslo-9"))
    await stage.submit(spec(2_000))
    await stage.look()
    claims = {one.claim for one in stage.workload.placements}
    await stage.delete()
    await stage.look()
    assert {claim for claim, _ in stage.owners[OWNER].released} == claims
    assert KEY not in stage.plane.state.workloads


async def test_a_deletion_waits_for_an_owner_that_does_not_answer() -> None:
    stage = await placed_stage()
    stage.owners[OWNER].silent = {"release"}
    await stage.delete()
    await stage.rest()
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} RELEASING"], WorkloadState.DELETING)
    assert stage.event("Retrying").endswith(f"{OWNER} does not answer")
    await stage.after(stage.plane.settings.retry_ms_max)
    assert KEY in stage.plane.state.workloads
    stage.owners[OWNER].silent = set()
    await stage.after(stage.plane.settings.retry_ms_max)
    assert KEY not in stage.plane.state.workloads


async def test_a_deletion_goes_on_after_a_restart() -> None:
    stage = await placed_stage()
    stage.owners[OWNER].silent = {"release"}
    await stage.delete()
    await stage.rest()
    again = await stage.restart()
    stage.owners[OWNER].silent = set()
    await again.rest()
    assert KEY not in again.plane.state.workloads


async def test_a_claim_that_is_gone_is_not_given_back() -> None:
    stage = await placed_stage()
    await stage.delete()
    await stage.withdraw(OWNER, f"claims/{stage.workload.placements[0].claim}")
    await stage.look()
    assert KEY not in stage.plane.state.workloads
    assert stage.owners[OWNER].released == []

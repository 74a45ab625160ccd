"""Keeping: what owners, agents and facts change, and what follows for a workload that was placed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.ports import OwnerUnreachable
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    LatencyBudget,
    PlacementState,
    Reason,
    WorkloadId,
    WorkloadState,
    ZoneState,
)
from home_operator import OWNER, YARD, spec
from home_stage import OTHER, URL, Stage, home_stage, placed_stage, site_fact, stage_with_a_spare

ZONE, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"


# --- ready and not ready ---


async def test_a_placement_answers_as_soon_as_its_owner_says_so() -> None:
    stage = await placed_stage()
    assert stage.placed == [f"{ZONE} READY"]
    assert stage.workload.state is WorkloadState.RUNNING
    assert stage.plane.queries.endpoint(YARD).urls == (URL,)


async def test_an_owners_word_wakes_the_workload_of_that_claim() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await stage.submit()
    await stage.rest()
    await stage.tell(ClaimState.SERVING)
    await stage.rest()
    assert stage.placed == [f"{ZONE} READY"]


async def test_an_owners_word_wakes_the_workload_after_a_restart_too() -> None:
    stage = await (await placed_stage()).restart()
    await stage.rest()
    await stage.tell(ClaimState.ALLOCATED, "restarting")
    await stage.rest()
    assert stage.placed == [f"{ZONE} STARTING"]


async def test_an_instance_that_stops_answering_keeps_its_place_and_answers_again() -> None:
    stage = await stage_with_a_spare()
    await stage.tell(ClaimState.ALLOCATED, "0 of 1 replicas ready")
    await stage.look()
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} STARTING"], WorkloadState.STARTING)
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} READY"], WorkloadState.RUNNING)
    assert stage.owners[OTHER].held == []


# --- lost ---


async def lost(stage: Stage) -> None:
    await stage.offer(OWNER, "oslo-9", state=ZoneState.LOST, facts=(site_fact("NO", 60_000),))
    await stage.tell(ClaimState.LOST, "the zone is not heard")


async def test_a_lost_placement_moves_and_its_claim_is_given_back_once_the_other_answers() -> None:
    stage = await stage_with_a_spare()
    claim = stage.workload.placements[0].claim
    await lost(stage)
    await stage.look()
    assert stage.placed == [f"{ZONE} LOST", f"{SPARE} STARTING"]
    assert stage.owners[OWNER].released == []
    await stage.tell(ClaimState.SERVING, at=1)
    await stage.look()
    assert stage.placed == [f"{SPARE} READY"]
    assert stage.owners[OWNER].released == [(claim, Reason.WORKLOAD_MOVED)]


async def test_the_claim_on_a_lost_zone_is_given_back_when_its_owner_answers_again() -> None:
    stage = await stage_with_a_spare()
    stage.owners[OWNER].silent = {"release"}
    await lost(stage)
    await stage.look()
    await stage.tell(ClaimState.SERVING, at=1)
    await stage.look()
    assert stage.placed == [f"{ZONE} RELEASING", f"{SPARE} READY"]
    stage.owners[OWNER].silent = set()
    await stage.after(stage.plane.settings.retry_ms_max)
    assert stage.placed == [f"{SPARE} READY"]
    assert stage.owners[OWNER].taken == set()


async def test_what_comes_back_before_another_answers_serves_until_that_one_does() -> None:
    stage = await stage_with_a_spare()
    await lost(stage)
    await stage.look()
    await stage.tell(ClaimState.SERVING, at=0)
    await stage.look()
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} STARTING"]
    assert stage.workload.state is WorkloadState.RUNNING
    assert stage.plane.queries.endpoint(YARD).urls == (URL,)
    await stage.tell(ClaimState.SERVING, at=1)
    await stage.after(stage.plane.settings.linger_ms)
    assert stage.placed == [f"{SPARE} READY"]


async def test_what_comes_back_is_kept_where_its_replacement_fails() -> None:
    stage = await stage_with_a_spare()
    await lost(stage)
    await stage.look()
    await stage.tell(ClaimState.FAILED, "exit code 1", at=1)
    await stage.tell(ClaimState.SERVING, at=0)
    await stage.look()
    assert stage.placed == [f"{ZONE} READY"]


async def test_what_is_lost_and_fits_nowhere_else_waits_and_comes_back() -> None:
    stage = await placed_stage()
    await lost(stage)
    await stage.look()
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} LOST"], WorkloadState.UNPLACEABLE)
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "FALSE", "Ready": "FALSE", "Stranded": "TRUE"}
    assert stage.owners[OWNER].released == []
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} READY"], WorkloadState.RUNNING)
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "FALSE"}


async def test_a_stranded_workload_takes_the_next_zone_that_appears() -> None:
    stage = await placed_stage()
    await lost(stage)
    await stage.rest()
    await stage.offer(OTHER, "oslo-5")
    await stage.rest()
    assert stage.placed == [f"{ZONE} LOST", f"{SPARE} STARTING"]
    assert stage.conditions()["Stranded"] == "FALSE"


async def test_a_spec_that_changes_while_an_owner_is_asked_in_vain_is_what_the_look_goes_on_with() -> None:
    stage = await stage_with_a_spare()
    stage.owners[OWNER].silent = {"release"}
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look()
    assert stage.placed == [f"{ZONE} RELEASING", f"{SPARE} STARTING"]

    async def asked_in_vain(claim: str, reason: Reason) -> ClaimStatus:
        await stage.submit(spec(2_000))
        raise OwnerUnreachable("no answer")

    stage.owners[OWNER].release = asked_in_vain  # type: ignore[method-assign]
    seen = await stage.plane.reconciler._releaser.release_given_up(stage.workload)
    assert (seen.generation, seen.spec) == (2, spec(2_000))


# --- failed ---


async def test_a_failed_instance_is_given_up_and_placed_elsewhere() -> None:
    stage = await stage_with_a_spare()
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look()
    assert stage.placed == [f"{SPARE} STARTING"]
    assert stage.event("InstanceFailed") == f"{ZONE}: exit code 1"
    assert [reason for _, reason in stage.owners[OWNER].released] == [Reason.WORKLOAD_MOVED]


async def test_what_an_owner_calls_starting_for_ever_is_given_up_and_placed_elsewhere() -> None:
    stage = await stage_with_a_spare()
    await stage.tell(ClaimState.ALLOCATED, "pulling the image")
    await stage.look()
    await stage.after(stage.plane.settings.start_within_ms - 1)
    assert stage.placed == [f"{ZONE} STARTING"]
    await stage.after(1)
    assert stage.placed == [f"{SPARE} STARTING"]
    assert stage.event("InstanceFailed") == f"{ZONE}: not ready within 900 s: pulling the image"


async def test_what_is_ready_and_not_any_more_has_its_whole_time_again() -> None:
    stage = await stage_with_a_spare()
    for state in (ClaimState.ALLOCATED, ClaimState.SERVING, ClaimState.ALLOCATED):
        await stage.after(stage.plane.settings.start_within_ms - 1)
        await stage.tell(state)
        await stage.look()
    await stage.after(stage.plane.settings.start_within_ms - 1)
    assert stage.placed == [f"{ZONE} STARTING"]


async def test_a_zone_where_an_instance_failed_is_left_alone_for_a_while() -> None:
    stage = await placed_stage()
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look()
    assert (stage.placed, stage.workload.state) == ([], WorkloadState.UNPLACEABLE)
    await stage.after(stage.plane.settings.failed_zone_pause_ms - 1)
    assert stage.placed == []
    await stage.after(stage.plane.settings.retry_ms_max)
    assert stage.placed == [f"{ZONE} STARTING"]


async def test_a_zone_that_is_left_alone_is_counted_and_says_why() -> None:
    stage = await placed_stage()
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look()
    decision = stage.plane.state.recent_decisions[str(stage.workload.id)].decision
    assert [(str(r.zone), r.reason) for r in decision.rejections] == [(ZONE, Reason.INSTANCE_FAILED)]
    assert decision.zones_evaluated == 1
    assert "60 s left" in decision.rejections[0].result.measured


async def test_a_zone_that_failed_one_workload_is_open_to_another() -> None:
    stage = await placed_stage()
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look()
    gate = WorkloadId("harbour", "gate-ocr")
    await stage.submit(name=gate)
    await stage.plane.reconciler.look(str(gate))
    assert [str(one.zone) for one in stage.plane.queries.workload(gate).placements] == [ZONE]


# --- claims that end at their owner ---


async def test_a_claim_that_its_owner_no_longer_knows_is_placed_anew() -> None:
    stage = await placed_stage()
    former = stage.workload.placements[0].claim
    await stage.withdraw(OWNER, f"claims/{former}")
    await stage.rest()
    (placement,) = stage.workload.placements
    assert placement.claim != former
    assert stage.event("ClaimGone") == f"{ZONE} no longer knows {former}"
    assert stage.owners[OWNER].released == []


async def test_a_claim_that_went_just_before_a_crash_is_placed_anew_after_it() -> None:
    stage = await placed_stage()
    former = stage.workload.placements[0].claim
    await stage.withdraw(OWNER, f"claims/{former}")
    again = await stage.restart()
    await again.rest()
    assert [one.claim != former for one in again.workload.placements] == [True]
    assert "ClaimGone" in again.events()


async def test_an_own_claim_that_is_not_in_the_ledger_is_placed_anew() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1")
    await stage.submit()
    await stage.look()
    former = stage.workload.placements[0].claim
    claim = stage.plane.state.claims[f"nordavind|{former}"]
    stage.plane.world.put_claim(replace(claim, state=ClaimState.RELEASED))
    await stage.look()
    assert [one.claim != former for one in stage.workload.placements] == [True]
    assert former in stage.event("ClaimGone")


async def test_another_partner_cannot_take_a_claim_away() -> None:
    stage = await stage_with_a_spare()
    claim = stage.workload.placements[0].claim
    await stage.withdraw(OTHER, f"claims/{claim}")
    await stage.look()
    assert stage.placed == [f"{ZONE} READY"]
    assert "ClaimGone" not in stage.events()


@pytest.mark.parametrize("state", [ClaimState.RELEASING, ClaimState.RELEASED])
async def test_a_claim_that_its_owner_takes_back_is_placed_anew(state: ClaimState) -> None:
    stage = await stage_with_a_spare()
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    await stage.tell(state, "maintenance")
    await stage.look()
    assert stage.placed == [f"{SPARE} STARTING"]


# --- another spec ---


async def test_the_old_placement_answers_until_the_new_one_does() -> None:
    stage = await placed_stage(zones=("oslo-8", "oslo-9"))
    await stage.submit(spec(2_000))
    await stage.look(times=2)
    assert [(one.generation, one.state) for one in stage.workload.placements] == [
        (1, PlacementState.READY),
        (2, PlacementState.STARTING),
    ]
    assert stage.plane.queries.endpoint(YARD).claim == stage.workload.placements[0].claim
    assert stage.owners[OWNER].released == []
    former = stage.workload.placements[0].claim
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert [(one.generation, one.state) for one in stage.workload.placements] == [(2, PlacementState.READY)]
    assert stage.owners[OWNER].released == [(former, Reason.WORKLOAD_MOVED)]


async def test_a_spec_that_fits_nowhere_leaves_the_old_placement_answering() -> None:
    stage = await placed_stage()
    await stage.submit(replace(spec(), latency=LatencyBudget(95, 1)))
    await stage.look(times=2)
    assert (stage.placed, stage.workload.state) == ([f"{ZONE} READY"], WorkloadState.RUNNING)
    assert stage.conditions()["Stranded"] == "TRUE"
    assert stage.plane.queries.endpoint(YARD).urls == (URL,)


async def test_a_new_placement_that_fails_leaves_the_old_one_and_is_tried_elsewhere() -> None:
    stage = await stage_with_a_spare()
    await stage.submit(spec(2_000))
    await stage.look()
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look()
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} STARTING"]


async def test_an_older_placement_that_comes_back_does_not_win_over_the_newest() -> None:
    stage = await stage_with_a_spare()
    await stage.submit(spec(2_000))
    await stage.look()
    await stage.tell(ClaimState.ALLOCATED, at=0)
    await stage.tell(ClaimState.SERVING, at=1)
    await stage.tell(ClaimState.SERVING, at=0)
    newest = stage.workload.placements[1].claim
    await stage.look()
    assert [one.claim for one in stage.workload.placements] == [newest]

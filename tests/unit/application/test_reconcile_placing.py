"""Placing: which owner is asked, what a refusal or a silence leads to, and what a crash leaves."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import (
    ClaimState,
    ConditionStatus,
    Manifest,
    Reason,
    WorkloadState,
    ZoneState,
)
from home_operator import HOME, OWNER, spec
from home_stage import KEY, OTHER, TEAM, Stage, home_stage, placed_stage


async def stage_of_two(**changes: int) -> Stage:
    """The workload is submitted; skargard's zone is the cheaper one, havnby's the next best."""
    stage = await home_stage(**changes)
    await stage.offer(OWNER, "oslo-9", price_millieur_per_hour=100)
    await stage.offer(OTHER, "oslo-5", price_millieur_per_hour=200)
    await stage.submit()
    return stage


# --- the best choice ---


async def test_the_best_choice_is_held_and_confirmed_and_nobody_else_is_asked() -> None:
    stage = await stage_of_two()
    await stage.look()
    (request,) = stage.owners[OWNER].held
    assert (request.zone, request.spec, request.lease_ms) == ("oslo-9", spec(), stage.plane.settings.hold_lease_ms)
    assert stage.owners[OWNER].confirmed == [(request.claim, 1, Manifest(KEY, b"", (TEAM,)))]
    assert stage.owners[OTHER].held == []
    assert stage.placed == [f"{OWNER}/oslo-9 STARTING"]
    assert stage.workload.state is WorkloadState.STARTING


async def test_a_placement_keeps_what_its_claim_and_its_path_are() -> None:
    stage = await stage_of_two()
    await stage.look()
    (placement,) = stage.workload.placements
    assert placement.claim == stage.owners[OWNER].held[0].claim
    assert (placement.fencing_token, placement.replicas, placement.generation) == (1, 1, 1)
    assert [latency.path for latency in placement.latencies] == [("oslo",)]
    assert placement.endpoint_ca_pem == OWNER.encode()
    assert placement.message == "ordered"


async def test_the_decision_is_kept_with_every_choice() -> None:
    stage = await stage_of_two()
    await stage.offer(OTHER, "oslo-6", cordoned=True)
    await stage.look()
    assert [str(choice.zone) for choice in stage.decision.choices] == [f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"]
    assert [(str(one.zone), one.reason) for one in stage.decision.rejections] == [
        (f"{OTHER}/oslo-6", Reason.ZONE_CORDONED)
    ]


async def test_an_own_zone_is_taken_without_asking_a_partner() -> None:
    stage = await stage_of_two()
    await stage.own_zone("oslo-1")
    await stage.look()
    assert stage.placed == [f"{HOME}/oslo-1 STARTING"]
    (claim,) = stage.plane.state.claims.values()
    assert (claim.home, claim.state) == (HOME, ClaimState.ALLOCATED)
    assert stage.owners[OWNER].held == stage.owners[OTHER].held == []


async def test_a_second_look_asks_nobody_again() -> None:
    stage = await stage_of_two()
    await stage.look(times=3)
    assert len(stage.owners[OWNER].held) == 1


async def test_looking_at_what_is_not_there_does_nothing() -> None:
    stage = await home_stage()
    await stage.look()
    assert stage.plane.state.workloads == {}


# --- refusals and silence ---


async def test_a_refused_hold_tries_the_next_choice_and_owes_nothing() -> None:
    stage = await stage_of_two()
    stage.owners[OWNER].refuse("oslo-9")
    await stage.look()
    assert stage.placed == [f"{OTHER}/oslo-5 STARTING"]
    assert stage.owners[OWNER].released == []
    assert stage.event("HoldRefused") == f"{OWNER}/oslo-9 refused: OWNER_REFUSED no room (granted)"


async def test_a_refusal_is_kept_in_the_decision_in_place_of_the_choice() -> None:
    stage = await stage_of_two()
    stage.owners[OWNER].refuse("oslo-9", Reason.GPU_EXHAUSTED, "0 free")
    await stage.look()
    assert [str(choice.zone) for choice in stage.decision.choices] == [f"{OTHER}/oslo-5"]
    (rejection,) = stage.decision.rejections
    assert (str(rejection.zone), rejection.reason, rejection.result.measured) == (
        f"{OWNER}/oslo-9",
        Reason.GPU_EXHAUSTED,
        "0 free",
    )


async def test_a_silent_partner_leaves_a_release_to_do_and_the_next_is_tried() -> None:
    stage = await stage_of_two()
    partner = stage.owners[OWNER]
    partner.silent = {"hold", "release"}
    await stage.look()
    assert stage.placed == [f"{OWNER}/oslo-9 RELEASING", f"{OTHER}/oslo-5 STARTING"]
    assert [(one.reason, one.result.measured) for one in stage.decision.rejections] == [
        (Reason.PARTNER_UNREACHABLE, f"{OWNER} does not answer")
    ]
    partner.silent = set()
    await stage.after(stage.plane.settings.retry_ms_min)
    assert partner.released == [(partner.held[0].claim, Reason.WORKLOAD_MOVED)]
    assert stage.placed == [f"{OTHER}/oslo-5 STARTING"]


@pytest.mark.parametrize("verb", ["hold", "confirm"])
async def test_what_became_of_an_unanswered_call_is_never_assumed(verb: str) -> None:
    stage = await stage_of_two()
    stage.owners[OWNER].silent = {verb}
    await stage.look()
    partner = stage.owners[OWNER]
    assert partner.released == [(partner.held[0].claim, Reason.WORKLOAD_MOVED)]
    assert partner.taken == set()
    assert stage.placed == [f"{OTHER}/oslo-5 STARTING"]


@pytest.mark.parametrize(
    ("verb", "reason"),
    [("hold", Reason.NOT_FOUND), ("hold", Reason.FEDERATION_INACTIVE), ("confirm", Reason.HOLD_EXPIRED)],
)
async def test_a_refused_call_is_released_and_its_reason_kept(verb: str, reason: Reason) -> None:
    stage = await stage_of_two()
    stage.owners[OWNER].refusals[verb] = RefusalError(reason, "not today")
    await stage.look()
    assert stage.placed == [f"{OTHER}/oslo-5 STARTING"]
    assert [(one.reason, one.result.measured) for one in stage.decision.rejections] == [(reason, "not today")]
    assert stage.event("HoldFailed") == f"{OWNER}/oslo-9: {reason}: not today"
    assert stage.owners[OWNER].taken == set()


async def test_every_attempt_has_a_claim_of_its_own() -> None:
    stage = await stage_of_two()
    stage.owners[OWNER].silent = {"confirm"}
    stage.owners[OTHER].silent = {"confirm"}
    await stage.look(times=2)
    claims = [request.claim for owner in stage.owners.values() for request in owner.held]
    assert len(claims) == len(set(claims)) == 4


async def test_no_more_choices_are_tried_than_the_limit() -> None:
    stage = await stage_of_two(choices_tried_max=1)
    stage.owners[OWNER].refuse("oslo-9")
    await stage.look()
    assert stage.owners[OTHER].held == []
    assert stage.workload.state is WorkloadState.UNPLACEABLE


async def test_a_zone_of_somebody_to_whom_no_way_leads_is_given_up() -> None:
    stage = await stage_of_two()
    del stage.plane.reconciler._placer.holder._owners[OWNER]  # type: ignore[attr-defined]
    await stage.look()
    assert stage.workload.placements[-1].zone.operator == OTHER
    assert stage.placed[0] == f"{OWNER}/oslo-9 RELEASING"


# --- nothing fits ---


async def test_where_nothing_fits_it_is_said_once_and_why() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    await stage.submit()
    await stage.look(times=3)
    assert stage.workload.state is WorkloadState.UNPLACEABLE
    assert stage.events().count("NoFeasibleZone") == 1
    condition = stage.condition("Placed")
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, "NoFeasibleZone")
    assert condition.message == stage.event("NoFeasibleZone") == "0/1 zones feasible: 1 ZoneState"
    assert "Stranded" not in stage.conditions()


async def test_a_workload_waiting_for_a_zone_is_placed_when_one_appears() -> None:
    stage = await home_stage()
    await stage.submit()
    await stage.rest()
    assert stage.workload.state is WorkloadState.UNPLACEABLE
    await stage.offer(OWNER, "oslo-9")
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 STARTING"]
    assert stage.conditions()["Placed"] == "TRUE"


async def test_a_workload_waiting_for_a_zone_is_placed_when_an_own_one_is_heard() -> None:
    stage = await home_stage()
    await stage.submit()
    await stage.rest()
    await stage.own_zone("oslo-1")
    await stage.rest()
    assert stage.placed == [f"{HOME}/oslo-1 STARTING"]


async def test_what_fits_nowhere_again_after_it_ran_is_said_again() -> None:
    stage = await placed_stage()
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look(times=2)
    assert stage.events().count("NoFeasibleZone") == 1
    assert stage.workload.state is WorkloadState.UNPLACEABLE
    await stage.offer(OTHER, "oslo-5")
    await stage.rest()
    await stage.offer(OTHER, "oslo-5", cordoned=True)
    await stage.tell(ClaimState.FAILED, "exit code 1")
    await stage.look()
    assert stage.events().count("NoFeasibleZone") == 2


# --- trying again ---


async def waited_ms(stage: Stage) -> int:
    """How long it takes from one look in vain until the next, to 50 ms."""
    looks = stage.plane.decider.decision_count
    for step in range(1, 1_000):
        await stage.after(50)
        if stage.plane.decider.decision_count > looks:
            return step * 50
    raise AssertionError("nobody looked again")


async def test_the_wait_doubles_up_to_its_bound() -> None:
    stage = await home_stage(retry_ms_min=400, retry_ms_max=2_000)
    stage.ids.share = 0.0
    await stage.submit()
    await stage.rest()
    assert [await waited_ms(stage) for _ in range(5)] == [200, 400, 800, 1_000, 1_000]


@pytest.mark.parametrize(("share", "expected_ms"), [(0.0, 1_000), (0.5, 1_500), (0.999, 2_000)])
async def test_half_of_the_wait_is_chance(share: float, expected_ms: int) -> None:
    stage = await home_stage(retry_ms_min=2_000, retry_ms_max=2_000)
    stage.ids.share = share
    await stage.submit()
    await stage.rest()
    assert await waited_ms(stage) == expected_ms


async def test_after_a_placement_the_wait_begins_anew() -> None:
    stage = await home_stage(retry_ms_min=400, retry_ms_max=60_000)
    stage.ids.share = 0.0
    await stage.submit()
    await stage.rest()
    assert [await waited_ms(stage) for _ in range(4)] == [200, 400, 800, 1_600]
    await stage.offer(OWNER, "oslo-9")
    await stage.rest()
    await stage.offer(OWNER, "oslo-9", state=ZoneState.LOST)
    await stage.tell(ClaimState.LOST)
    await stage.rest()
    assert await waited_ms(stage) == 200

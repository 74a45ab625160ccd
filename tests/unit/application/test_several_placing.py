"""One workload in several zones: all parts of a plan are granted, or nothing is kept of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import (
    ClaimState,
    PlacementState,
    Reason,
    SpreadLevel,
    SpreadRule,
    WorkloadState,
    ZoneBounds,
)
from home_operator import HOME, OWNER, YARD, spec
from home_stage import KEY, OTHER, Stage, home_stage
from several_stage import FIRST, SECOND, SPARE, answering_stage, in_two, offers, started_stage, tell


async def test_a_workload_is_placed_in_two_own_zones_and_a_partners() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1")
    await stage.own_zone("oslo-2")
    await stage.offer(OWNER, "oslo-9")
    await stage.submit(replace(spec(), replicas=3, zones=ZoneBounds(3, 3)))
    await stage.look()
    assert stage.placed == [f"{HOME}/oslo-1 STARTING", f"{HOME}/oslo-2 STARTING", f"{FIRST} STARTING"]
    assert {(one.batch, one.batch_parts, one.replicas) for one in stage.workload.placements} == {(1, 3, 1)}
    assert {claim.state for claim in stage.plane.state.claims.values()} == {ClaimState.ALLOCATED}
    assert sum(one.share_permille[0] for one in stage.workload.placements) == 1_000


async def test_no_part_is_confirmed_before_all_are_held() -> None:
    stage = await home_stage()
    await offers(stage, {FIRST: 100, SECOND: 110})
    stage.owners[OWNER].refuse("oslo-9")
    await stage.submit(in_two())
    await stage.look()
    assert (stage.owners[OWNER].confirmed, stage.owners[OTHER].confirmed) == ([], [])
    assert (stage.placed, stage.owners[OTHER].taken) == ([], set())
    assert stage.workload.state is WorkloadState.UNPLACEABLE


async def test_a_refused_part_gives_the_others_back_and_the_next_plan_avoids_the_zone() -> None:
    stage = await home_stage()
    await offers(stage, {FIRST: 100, SECOND: 110, SPARE: 200})
    stage.owners[OWNER].refuse("oslo-9")
    await stage.submit(in_two())
    await stage.look()
    assert stage.placed == [f"{SECOND} STARTING", f"{SPARE} STARTING"]
    assert stage.owners[OTHER].taken == {one.claim for one in stage.workload.placements}
    refused = [one for one in stage.decision.rejections if str(one.zone) == FIRST]
    assert [one.reason for one in refused] == [Reason.OWNER_REFUSED]
    assert stage.decision.zones_evaluated == 3


async def test_an_owner_that_does_not_answer_costs_the_others_nothing_and_is_asked_to_release_later() -> None:
    stage = await home_stage()
    await offers(stage, {FIRST: 100, SECOND: 110, SPARE: 200})
    stage.owners[OWNER].silent = {"confirm", "release"}
    await stage.submit(in_two())
    await stage.look()
    assert stage.placed == [f"{FIRST} RELEASING", f"{SECOND} STARTING", f"{SPARE} STARTING"]
    stage.owners[OWNER].silent = set()
    await stage.after(stage.plane.settings.retry_ms_max)
    assert stage.placed == [f"{SECOND} STARTING", f"{SPARE} STARTING"]
    assert stage.owners[OWNER].taken == set()


async def test_what_an_owner_does_not_take_back_keeps_its_zone_out_of_the_next_plan() -> None:
    stage = await home_stage()
    await offers(stage, {FIRST: 100, SECOND: 110})
    stage.owners[OWNER].refuse("oslo-9")
    stage.owners[OTHER].silent = {"release"}
    await stage.submit(in_two())
    await stage.look(times=4)
    assert stage.placed == [f"{SECOND} RELEASING"]
    assert (len(stage.owners[OTHER].held), len(stage.owners[OTHER].taken)) == (1, 1)


@pytest.mark.parametrize(("most", "asked"), [(1, 2), (3, 2), (4, 4), (8, 6)])
async def test_owners_are_asked_as_often_as_choices_may_be_tried_and_for_one_plan_at_least(
    most: int, asked: int
) -> None:
    stage = await home_stage(choices_tried_max=most)
    await offers(stage, {f"{OTHER}/a-{n}": 100 + n for n in range(1, 9)})
    await offers(stage, {f"{OWNER}/b-{n}": 10 + n for n in range(1, 4)})
    rule = SpreadRule(SpreadLevel.OPERATOR, domains_min=2)
    await stage.submit(replace(in_two(), spread=(rule,)))
    stage.owners[OWNER].refusals["hold"] = RefusalError(Reason.OWNER_REFUSED, "no room")
    await stage.look()
    assert len(stage.owners[OWNER].held) + len(stage.owners[OTHER].held) == asked
    assert stage.workload.state is WorkloadState.UNPLACEABLE
    assert stage.owners[OTHER].taken == set()


async def test_where_zones_do_not_add_up_to_a_plan_the_condition_says_why() -> None:
    stage = await home_stage()
    await offers(stage, {FIRST: 100})
    await stage.submit(in_two())
    await stage.look()
    assert (stage.workload.state, stage.placed) == (WorkloadState.UNPLACEABLE, [])
    placed = stage.condition("Placed")
    assert (placed.status, placed.reason) == ("FALSE", "NoFeasiblePlan")
    assert placed.message.startswith("fewer than 2 zones are feasible; 1/1 zones feasible")
    assert "Stranded" not in stage.conditions()


async def test_domains_that_are_too_few_lead_nowhere_until_there_are_enough() -> None:
    stage = await home_stage()
    await offers(stage, {SECOND: 100, SPARE: 110})
    await stage.submit(replace(in_two(), spread=(SpreadRule(SpreadLevel.OPERATOR, domains_min=2),)))
    await stage.look()
    assert "too few domains" in stage.condition("Placed").message
    await offers(stage, {FIRST: 300})
    await stage.rest()
    assert sorted(stage.placed) == [f"{SECOND} STARTING", f"{FIRST} STARTING"]


async def test_only_when_all_parts_answer_is_it_ready_and_what_answers_is_handed_out_before() -> None:
    stage = await started_stage()
    await tell(stage, SECOND, ClaimState.SERVING)
    await stage.look()
    ready = stage.condition("Ready")
    assert (ready.status, ready.reason) == ("FALSE", "PartlyReady")
    assert ready.message == f"1 of 2 zones answer: {SECOND}"
    assert [one.zone for one in stage.plane.queries.endpoint(YARD).zones] == [SECOND]
    await tell(stage, FIRST, ClaimState.SERVING)
    await stage.look()
    assert (stage.condition("Ready").status, stage.workload.state) == ("TRUE", WorkloadState.RUNNING)


async def test_another_spec_starts_in_new_claims_everywhere_before_the_old_ones_stop() -> None:
    stage = await answering_stage(spare=False)
    old = {one.claim for one in stage.workload.placements}
    await stage.submit(in_two(cpu_millis=2_000))
    await stage.look(times=2)
    states = [one.state.value for one in stage.workload.placements]
    assert states == ["READY", "READY", "STARTING", "STARTING"]
    await tell(stage, FIRST, ClaimState.SERVING)
    await stage.look()
    assert {one.claim for one in stage.plane.queries.endpoint(YARD).zones} == old
    await tell(stage, SECOND, ClaimState.SERVING)
    await stage.look()
    assert {one.generation for one in stage.workload.placements} == {2}
    assert not old & {one.claim for one in stage.plane.queries.endpoint(YARD).zones}
    assert old & (stage.owners[OWNER].taken | stage.owners[OTHER].taken) == set()


async def test_another_spec_while_the_first_batch_starts_ends_in_the_newest_alone() -> None:
    stage = await started_stage()
    await stage.submit(in_two(cpu_millis=2_000))
    await stage.look(times=2)
    await stage.submit(in_two(cpu_millis=3_000))
    for _ in range(4):
        await stage.look()
        for zone in (FIRST, SECOND):
            await tell(stage, zone, ClaimState.SERVING)
    await stage.look(times=2)
    assert stage.placed == [f"{SECOND} READY", f"{FIRST} READY"]
    assert {one.generation for one in stage.workload.placements} == {3}
    assert {len(owner.taken) for owner in stage.owners.values()} == {1}


async def test_from_one_zone_to_two_and_back_it_answers_all_the_time() -> None:
    stage = await home_stage()
    await offers(stage, {FIRST: 100, SECOND: 110})
    one = replace(in_two(), replicas=1, zones=ZoneBounds())
    for wanted in (one, in_two(), one):
        await stage.submit(wanted)
        await stage.look()
        for zone in {str(p.zone) for p in stage.workload.placements}:
            await tell(stage, zone, ClaimState.SERVING)
        await stage.look(times=2)
        assert [p.state for p in stage.workload.placements] == [PlacementState.READY] * wanted.zones.maximum
        assert stage.condition("Ready").status == "TRUE"


@pytest.mark.parametrize("answering", [0, 1, 2])
async def test_deleting_gives_every_part_back(answering: int) -> None:
    stage = await started_stage()
    for zone in (FIRST, SECOND)[:answering]:
        await tell(stage, zone, ClaimState.SERVING)
    await stage.look()
    await stage.delete()
    await stage.look()
    assert {owner.operator: owner.taken for owner in stage.owners.values()} == {OWNER: set(), OTHER: set()}
    assert KEY not in stage.plane.state.workloads


async def test_deleting_waits_for_the_owner_of_the_last_part() -> None:
    stage: Stage = await answering_stage()
    stage.owners[OTHER].silent = {"release"}
    await stage.delete()
    await stage.look()
    assert stage.placed == [f"{SECOND} RELEASING"]
    stage.owners[OTHER].silent = set()
    await stage.after(stage.plane.settings.retry_ms_max)
    assert KEY not in stage.plane.state.workloads

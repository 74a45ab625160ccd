"""A workload in several zones loses a part, or the law in one: what answers goes on until a whole batch does."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import ClaimState, OnChange, WorkloadState
from home_operator import OWNER, YARD
from home_stage import OTHER, Stage, site_fact
from several_stage import FIRST, SECOND, SPARE, answering_stage, in_two, offers, started_stage, tell


def endpoints(stage: Stage) -> list[str]:
    return [one.zone for one in stage.plane.queries.endpoint(YARD).zones]


async def until_ready(stage: Stage, *zones: str) -> None:
    for zone in zones:
        await tell(stage, zone, ClaimState.SERVING)
    await stage.look(times=2)


async def lost(stage: Stage, zone: str) -> None:
    """The zone's owner says that it does not hear it any more, and offers it no more."""
    await tell(stage, zone, ClaimState.LOST)
    await stage.withdraw(zone.split("/")[0], f"zones/{zone.split('/')[1]}")


# --- a part is lost ---


async def test_a_lost_zone_is_replaced_by_a_whole_batch_while_the_other_part_answers() -> None:
    stage = await answering_stage()
    await lost(stage, FIRST)
    await stage.look()
    assert endpoints(stage) == [SECOND]
    assert stage.condition("Ready").reason == "PartlyReady"
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{SECOND} STARTING", f"{SPARE} STARTING", f"{FIRST} LOST"]
    await until_ready(stage, SECOND, SPARE)
    assert endpoints(stage) == [SECOND, SPARE]
    assert stage.placed == [f"{SECOND} READY", f"{SPARE} READY"]
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "FALSE"}
    assert stage.owners[OWNER].taken == set()


async def test_a_lost_zone_without_a_spare_leaves_the_other_part_stranded_and_its_return_mends_it() -> None:
    stage = await answering_stage(spare=False)
    await lost(stage, FIRST)
    await stage.look(times=2)
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{FIRST} LOST"]
    # Of a zone that is offered no more nothing is known, and what is lost there may run on.
    assert stage.conditions() == {"Lawful": "FALSE", "Placed": "FALSE", "Ready": "FALSE", "Stranded": "TRUE"}
    assert stage.condition("Stranded").message.startswith("fewer than 2 zones are feasible")
    assert stage.workload.state is WorkloadState.RUNNING
    await offers(stage, {FIRST: 100})
    await until_ready(stage, FIRST)
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "FALSE"}
    assert len(stage.workload.placements) == 2


async def test_a_stranded_part_is_looked_at_again_until_there_is_room() -> None:
    stage = await answering_stage(spare=False)
    await lost(stage, FIRST)
    await stage.look()
    await offers(stage, {SPARE: 200})
    await stage.after(stage.plane.settings.retry_ms_max)
    assert f"{SPARE} STARTING" in stage.placed


async def test_a_part_that_fails_is_replaced_although_nothing_is_left_of_it() -> None:
    stage = await answering_stage()
    await tell(stage, FIRST, ClaimState.FAILED, "the image cannot be pulled")
    await stage.look()
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{SECOND} STARTING", f"{SPARE} STARTING"]
    await until_ready(stage, SECOND, SPARE)
    assert stage.placed == [f"{SECOND} READY", f"{SPARE} READY"]


async def test_a_part_that_its_owner_does_not_know_any_more_is_replaced() -> None:
    stage = await answering_stage()
    gone = next(one for one in stage.workload.placements if str(one.zone) == FIRST)
    stage.plane.reconciler.claim_gone(OWNER, gone.claim)
    await stage.look(times=2)
    # An owner that lost a claim counts for less, so that its zone is not the best one any more.
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{SECOND} STARTING", f"{SPARE} STARTING"]


async def test_a_part_that_fails_before_any_answered_takes_the_batch_with_it() -> None:
    stage = await started_stage()
    await offers(stage, {SPARE: 200})
    await tell(stage, FIRST, ClaimState.FAILED)
    await stage.look()
    assert stage.placed == [f"{SECOND} STARTING", f"{SPARE} STARTING"]
    assert {one.batch for one in stage.workload.placements} == {3}
    assert len(stage.owners[OTHER].taken) == 2


async def test_a_part_that_flaps_after_the_other_is_gone_is_kept_for_want_of_better() -> None:
    stage = await answering_stage(spare=False)
    await tell(stage, FIRST, ClaimState.FAILED)
    await stage.look()
    await tell(stage, SECOND, ClaimState.ALLOCATED, "0 of 1 replicas ready")
    await stage.look(times=2)
    assert stage.placed == [f"{SECOND} STARTING"]
    await until_ready(stage, SECOND)
    assert endpoints(stage) == [SECOND]


async def test_a_move_that_loses_a_part_is_given_up_and_users_stay() -> None:
    stage = await answering_stage()
    await stage.submit(in_two(cpu_millis=2_000))
    await stage.look()
    await tell(stage, FIRST, ClaimState.FAILED)
    await stage.look(times=2)
    assert endpoints(stage) == [SECOND, FIRST]
    assert sorted(stage.placed[2:]) == [f"{SECOND} STARTING", f"{SPARE} STARTING"]
    await until_ready(stage, SECOND, SPARE)
    assert endpoints(stage) == [SECOND, SPARE]
    assert [len(owner.taken) for owner in stage.owners.values()] == [0, 2]


async def test_a_move_whose_zone_is_lost_does_not_wait_for_it() -> None:
    stage = await answering_stage()
    await stage.submit(in_two(cpu_millis=2_000))
    await stage.look()
    await tell(stage, FIRST, ClaimState.LOST)
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    await stage.look(times=2)
    assert sorted(stage.placed[2:]) == [f"{SECOND} STARTING", f"{SPARE} STARTING"]


async def test_batches_do_not_pile_up_while_one_after_another_fails() -> None:
    stage = await answering_stage()
    await tell(stage, FIRST, ClaimState.LOST)
    for _ in range(6):
        await stage.look()
        for zone in {str(one.zone) for one in stage.workload.placements if one.state.value == "STARTING"}:
            await tell(stage, zone, ClaimState.FAILED)
        await stage.look()
        await stage.after(stage.plane.settings.failed_zone_pause_ms)
        assert len({one.batch for one in stage.workload.placements}) <= 2
        assert SECOND in endpoints(stage)


async def test_two_lost_zones_run_nowhere_and_come_back() -> None:
    stage = await answering_stage(spare=False)
    await lost(stage, FIRST)
    await lost(stage, SECOND)
    await stage.look()
    assert (stage.workload.state, stage.condition("Stranded").status) == (WorkloadState.UNPLACEABLE, "TRUE")
    with pytest.raises(RefusalError):
        stage.plane.queries.endpoint(YARD)
    await offers(stage, {FIRST: 100, SECOND: 110})
    await until_ready(stage, FIRST, SECOND)
    assert stage.workload.state is WorkloadState.RUNNING


# --- the law is broken in a part ---

EXPIRING = {FIRST: 60_000}


async def expired(stage: Stage) -> None:
    """The claim of the first zone to be in Norway runs out."""
    stage.clock.now_ms = 60_000
    for owner in stage.owners:
        stage.plane.partners.heard(owner)


async def test_draining_one_part_moves_all_and_both_answer_until_then() -> None:
    stage = await answering_stage(in_two(OnChange.DRAIN), EXPIRING)
    await expired(stage)
    await stage.look(times=2)
    assert endpoints(stage) == [SECOND, FIRST]
    assert stage.condition("Lawful").status == "FALSE"
    assert stage.event("PolicyBroken").startswith(FIRST)
    await until_ready(stage, SECOND, SPARE)
    assert stage.placed == [f"{SECOND} READY", f"{SPARE} READY"]
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "FALSE"}


async def test_draining_without_a_spare_is_stranded_and_answers_from_both() -> None:
    stage = await answering_stage(in_two(OnChange.DRAIN), EXPIRING, spare=False)
    await expired(stage)
    await stage.look(times=2)
    assert endpoints(stage) == [SECOND, FIRST]
    assert stage.conditions() == {"Lawful": "FALSE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "TRUE"}


async def test_terminating_stops_the_unlawful_part_at_once_and_keeps_the_other_until_a_batch_answers() -> None:
    stage = await answering_stage(in_two(OnChange.TERMINATE), EXPIRING)
    await expired(stage)
    await stage.look()
    assert stage.owners[OWNER].taken == set()
    assert endpoints(stage) == [SECOND]
    assert stage.condition("Ready").reason == "PartlyReady"
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{SECOND} STARTING", f"{SPARE} STARTING"]


async def test_terminating_without_a_spare_leaves_the_lawful_part() -> None:
    stage = await answering_stage(in_two(OnChange.TERMINATE), EXPIRING, spare=False)
    await expired(stage)
    await stage.look(times=2)
    assert (stage.placed, endpoints(stage)) == ([f"{SECOND} READY"], [SECOND])
    assert stage.conditions() == {"Lawful": "TRUE", "Placed": "FALSE", "Ready": "FALSE", "Stranded": "TRUE"}


async def test_terminating_does_not_wait_for_a_move_that_is_under_way() -> None:
    stage = await answering_stage(in_two(OnChange.TERMINATE), EXPIRING)
    await stage.offer(OWNER, "oslo-9", cordoned=True, facts=(site_fact("NO", 60_000),))
    await stage.submit(in_two(OnChange.TERMINATE, cpu_millis=2_000))
    await stage.look()
    assert f"{SPARE} STARTING" in stage.placed
    await expired(stage)
    await stage.look()
    assert stage.owners[OWNER].taken == set()
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{SECOND} STARTING", f"{SPARE} STARTING"]


async def test_a_move_to_where_the_law_ends_is_given_up() -> None:
    stage = await answering_stage(in_two(OnChange.DRAIN), spare=False)
    await stage.offer(OWNER, "oslo-9", cordoned=True, facts=(site_fact("NO", 600_000),))
    await stage.offer(OWNER, "oslo-8", facts=(site_fact("NO", 60_000),))
    await stage.submit(in_two(OnChange.DRAIN, cpu_millis=2_000))
    await stage.look()
    assert f"{OWNER}/oslo-8 STARTING" in stage.placed
    await expired(stage)
    await stage.look(times=2)
    assert f"{OWNER}/oslo-8 STARTING" not in stage.placed
    assert endpoints(stage) == [SECOND, FIRST]


async def test_keeping_and_alerting_moves_no_part() -> None:
    stage = await answering_stage(in_two(OnChange.KEEP_AND_ALERT), EXPIRING)
    before = stage.placed
    await expired(stage)
    await stage.look(times=3)
    assert (stage.placed, stage.condition("Lawful").status) == (before, "FALSE")
    assert stage.events().count("PolicyBroken") == 1


async def test_keeping_and_alerting_replaces_a_lost_part_without_the_unlawful_zone() -> None:
    stage = await answering_stage(in_two(OnChange.KEEP_AND_ALERT), EXPIRING)
    await offers(stage, {f"{OTHER}/oslo-3": 300})
    await expired(stage)
    await tell(stage, SECOND, ClaimState.LOST)
    await stage.offer(OTHER, "oslo-5", cordoned=True)
    await stage.look()
    assert endpoints(stage) == [FIRST]
    moved = [f"{OTHER}/oslo-3 STARTING", f"{SECOND} LOST", f"{SPARE} STARTING", f"{FIRST} READY"]
    assert sorted(stage.placed) == moved

"""A zone that its owner wants empty: what runs there moves, the new instance first, or stays and says why."""

from __future__ import annotations

from hansa_control.domain.model import ClaimState, Intake, Reason, Upkeep, WorkloadState
from home_operator import OWNER
from home_stage import OTHER, URL, Stage, home_stage, placed_stage, site_fact, stage_with_a_spare

ZONE, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"
DRAINING = Upkeep(Intake.DRAINING, "new switch")


async def drain(stage: Stage, upkeep: Upkeep = DRAINING) -> None:
    await stage.offer(OWNER, "oslo-9", facts=(site_fact("NO", 60_000),), upkeep=upkeep)
    stage.plane._wake_where_drained()
    await stage.rest()


async def test_a_workload_leaves_a_drained_zone_and_the_old_instance_answers_until_the_new_one_does() -> None:
    stage = await stage_with_a_spare()
    await drain(stage)
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} STARTING"]
    assert stage.plane.queries.endpoint(stage.workload.id).zone == ZONE
    await stage.tell(ClaimState.SERVING)
    await stage.rest()
    assert stage.placed == [f"{SPARE} READY"]
    assert [reason for _, reason in stage.owners[OWNER].released] == [Reason.WORKLOAD_MOVED]


async def test_what_is_superseded_goes_on_answering_while_users_hear_of_the_new_place() -> None:
    stage = await home_stage(linger_ms=4_000)
    await stage.offer(OWNER, "oslo-9")
    await stage.submit()
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    await stage.offer(OTHER, "oslo-5", price_millieur_per_hour=200)
    await drain(stage)
    await stage.tell(ClaimState.SERVING)
    await stage.rest()
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} READY"]
    assert stage.plane.queries.endpoint(stage.workload.id).zone == SPARE
    await stage.after(3_900)
    assert stage.owners[OWNER].released == []
    await stage.after(200)
    assert stage.placed == [f"{SPARE} READY"]


async def test_a_workload_with_nowhere_else_to_go_keeps_running_and_is_stranded() -> None:
    stage = await placed_stage()
    await drain(stage)
    assert stage.placed == [f"{ZONE} READY"]
    assert stage.workload.state is WorkloadState.RUNNING
    assert stage.condition("Stranded").status.value == "TRUE"
    assert "ZoneState" in stage.condition("Stranded").message
    assert stage.events().count("ZoneDraining") == 1
    assert stage.plane.queries.endpoint(stage.workload.id).urls == (URL,)


async def test_a_stranded_workload_stays_when_the_zone_is_opened_again() -> None:
    stage = await placed_stage()
    await drain(stage)
    await drain(stage, Upkeep())
    assert stage.placed == [f"{ZONE} READY"]
    assert stage.condition("Stranded").status.value == "FALSE"


async def test_a_cordon_moves_nobody() -> None:
    stage = await stage_with_a_spare()
    await drain(stage, Upkeep(Intake.CORDONED))
    assert stage.placed == [f"{ZONE} READY"]
    assert stage.owners[OTHER].held == []


async def test_nobody_is_placed_in_a_zone_that_is_being_drained_and_why_not_says_so() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", upkeep=DRAINING)
    await stage.submit()
    await stage.rest()
    (rejection,) = stage.decision.rejections
    assert rejection.reason is Reason.ZONE_DRAINING
    assert "new switch" in rejection.result.measured

"""A workload goes back to the zones that it prefers when they have a place again, and not before it has settled."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.model import ClaimState, Preferences, Selector, WorkloadSpec
from home_operator import OWNER, spec
from home_stage import OTHER, Stage, home_stage

ZONE, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"
SETTLED_MS = 60_000


def preferring(*operators: str) -> WorkloadSpec:
    tiers = tuple(Selector(operators=frozenset({name})) for name in operators)
    return replace(spec(), preferences=Preferences(ordered=tiers))


async def second_best() -> Stage:
    """A workload that prefers the first partner and answers at the other, which alone had a zone."""
    stage = await home_stage()
    await stage.offer(OTHER, "oslo-5")
    await stage.submit(preferring(OWNER, OTHER))
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert stage.placed == [f"{SPARE} READY"]
    return stage


async def settle(stage: Stage) -> None:
    stage.clock.now_ms += SETTLED_MS
    for owner in stage.owners:
        stage.plane.partners.heard(owner)


async def test_a_better_tier_that_has_a_place_again_is_gone_back_to_first_ready_then_stop() -> None:
    stage = await second_best()
    await stage.offer(OWNER, "oslo-9")
    await settle(stage)
    await stage.look()
    assert stage.placed == [f"{SPARE} READY", f"{ZONE} STARTING"]
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert stage.placed == [f"{ZONE} READY"]


async def test_nothing_moves_before_the_workload_has_settled() -> None:
    stage = await second_best()
    await stage.offer(OWNER, "oslo-9")
    await stage.look(times=3)
    assert stage.placed == [f"{SPARE} READY"]


async def test_another_zone_of_the_same_tier_is_no_reason_to_move() -> None:
    stage = await second_best()
    await stage.offer(OTHER, "oslo-4")
    await settle(stage)
    await stage.look(times=2)
    assert stage.placed == [f"{SPARE} READY"]
    assert len(stage.owners[OTHER].held) == 1


async def test_without_preferences_a_cheaper_zone_is_no_reason_to_move() -> None:
    stage = await home_stage()
    await stage.offer(OTHER, "oslo-5")
    await stage.submit(spec())
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.offer(OWNER, "oslo-9", price_millieur_per_hour=1)
    await settle(stage)
    await stage.look(times=2)
    assert stage.placed == [f"{SPARE} READY"]


async def test_a_better_tier_that_refuses_leaves_the_workload_and_its_explanation_as_they_were() -> None:
    stage = await second_best()
    before = stage.decision
    await stage.offer(OWNER, "oslo-9")
    stage.owners[OWNER].refuse("oslo-9")
    await settle(stage)
    await stage.look(times=3)
    assert stage.placed == [f"{SPARE} READY"]
    assert stage.decision == before
    assert len(stage.owners[OWNER].held) == 1
    assert stage.conditions().get("Stranded") != "TRUE"

"""The network splits between a home operator and the owner of the zone: which side goes on is the workload's to say."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.model import ClaimState, OnPartition, PartitionRule, Reason
from home_operator import OWNER, spec
from home_stage import OFFER_TTL_MS, OTHER, Stage, home_stage
from own_zones import OSLO, PARTNER, OwnZones, with_oslo

REPLACE = PartitionRule(OnPartition.REPLACE, 30_000)
ZONE, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"


async def placed_at(rule: PartitionRule) -> Stage:
    """The workload answers in skargard's zone; havnby's is free."""
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await stage.offer(OTHER, "oslo-5", price_millieur_per_hour=200)
    await stage.submit(replace(spec(), on_partition=rule))
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.rest()
    return stage


async def silence(stage: Stage, duration_ms: int) -> None:
    """The owner is not heard for so long; the other partner is."""
    for _ in range(duration_ms // 1_000):
        stage.clock.now_ms += 1_000
        stage.plane.partners.heard(OTHER)
        stage.plane.partners.tick()
        stage.plane.reconciler.tick()
    await stage.rest()


async def test_by_default_the_instance_goes_on_however_long_the_split_lasts() -> None:
    stage = await placed_at(PartitionRule())
    await silence(stage, 300_000)
    assert stage.placed == [f"{ZONE} READY"]


async def test_the_home_operator_places_it_elsewhere_after_the_owner_has_stopped_it() -> None:
    stage = await placed_at(REPLACE)
    await silence(stage, 30_000 + OFFER_TTL_MS)
    assert stage.placed == [f"{ZONE} READY"], "until now the owner may run it still"
    stage.owners[OWNER].silent.add("release")
    await silence(stage, 1_000)
    assert stage.placed == [f"{ZONE} RELEASING", f"{SPARE} STARTING"]


async def test_after_healing_what_was_cut_off_is_given_back() -> None:
    stage = await placed_at(REPLACE)
    stage.owners[OWNER].silent.add("release")
    await silence(stage, 40_000)
    stage.owners[OWNER].silent.clear()
    stage.plane.partners.heard(OWNER)
    await stage.after(15_000)
    assert stage.placed == [f"{SPARE} STARTING"]
    assert [reason for _, reason in stage.owners[OWNER].released] == [Reason.WORKLOAD_MOVED]


async def test_a_short_split_moves_nobody() -> None:
    stage = await placed_at(REPLACE)
    await silence(stage, 20_000)
    await stage.after(1_000)
    await silence(stage, 20_000)
    assert stage.placed == [f"{ZONE} READY"]


def hear_nobody(operator: OwnZones, duration_ms: int) -> None:
    operator.pass_ms(duration_ms, heard=(OSLO,))
    operator.plane.owner.stop_where_home_is_cut_off()


async def test_the_owner_stops_its_part_without_hearing_from_home() -> None:
    operator = await with_oslo()
    await operator.serving("c1", on_partition=REPLACE)
    hear_nobody(operator, 30_000)
    assert operator.state_of("c1") is ClaimState.SERVING
    hear_nobody(operator, 1)
    assert operator.state_of("c1") is ClaimState.RELEASING
    assert operator.ordered() == []


async def test_the_owner_keeps_what_is_to_be_kept_and_what_is_its_own() -> None:
    operator = await with_oslo()
    await operator.serving("c1")
    await operator.serving("c2", home="nordavind", on_partition=REPLACE)
    hear_nobody(operator, 1_000_000)
    assert (operator.state_of("c1"), operator.state_of("c2", "nordavind")) == (ClaimState.SERVING, ClaimState.SERVING)


async def test_a_word_from_home_begins_the_time_anew() -> None:
    operator = await with_oslo()
    await operator.serving("c1", on_partition=REPLACE)
    for _ in range(3):
        hear_nobody(operator, 20_000)
        operator.plane.owner.heard_home(PARTNER)
    assert operator.state_of("c1") is ClaimState.SERVING


async def test_an_owner_that_restarts_counts_from_its_start() -> None:
    operator = await with_oslo()
    await operator.serving("c1", on_partition=REPLACE)
    again = await operator.crash_and_restart()
    again.greet(OSLO)
    hear_nobody(again, 30_001)
    assert again.state_of("c1") is ClaimState.RELEASING

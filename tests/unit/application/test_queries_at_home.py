"""What a home operator answers of its workloads, of its own zones and of those of its partners."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError, StoredAdvert
from hansa_control.domain.model import (
    ClaimState,
    LatencyBasis,
    NetworkNode,
    PlacementState,
    ProbeResult,
    Reason,
    RoundTrip,
    WorkloadId,
    ZoneId,
)
from home_operator import HOME, OWNER, YARD, spec
from home_stage import OTHER, URL, Stage, home_stage, placed_stage, stage_with_a_spare

ZONE, SPARE = ZoneId(OWNER, "oslo-9"), ZoneId(OTHER, "oslo-5")


# --- endpoints ---


async def test_the_endpoint_is_that_of_the_newest_placement_that_answers() -> None:
    stage = await placed_stage(zones=("oslo-8", "oslo-9"))
    await stage.submit(spec(2_000))
    await stage.look()
    older, newer = stage.workload.placements
    assert stage.plane.queries.endpoint(YARD).claim == older.claim
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    endpoint = stage.plane.queries.endpoint(YARD)
    assert (endpoint.claim, endpoint.urls, endpoint.ca_pem) == (newer.claim, (URL,), OWNER.encode())


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (ClaimState.ALLOCATED, Reason.UNAVAILABLE),
        (ClaimState.LOST, Reason.NO_FEASIBLE_ZONE),
        (ClaimState.FAILED, Reason.NO_FEASIBLE_ZONE),
    ],
)
async def test_what_does_not_answer_has_no_endpoint(told: ClaimState, reason: Reason) -> None:
    stage = await placed_stage()
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    await stage.tell(told)
    await stage.look()
    with pytest.raises(RefusalError) as refusal:
        stage.plane.queries.endpoint(YARD)
    assert refusal.value.reason is reason


async def test_what_is_being_deleted_has_no_endpoint() -> None:
    stage = await placed_stage()
    stage.owners[OWNER].silent = {"release"}
    await stage.delete()
    await stage.look()
    with pytest.raises(RefusalError, match="DELETING") as refusal:
        stage.plane.queries.endpoint(YARD)
    assert refusal.value.reason is Reason.UNAVAILABLE


# --- explanations ---


async def test_then_and_now_are_two_answers() -> None:
    stage = await stage_with_a_spare()
    decided_at_ms = (await stage.plane.queries.explain(YARD, None)).decided_at_ms
    await stage.offer(OWNER, "oslo-9", cordoned=True)
    stage.clock.now_ms += 1_000
    explained = await stage.plane.queries.explain(YARD, None)
    assert [choice.zone for choice in explained.decision.choices] == [ZONE]
    assert [choice.zone for choice in explained.now.choices] == [SPARE]
    assert [(one.zone, one.reason) for one in explained.now.rejections] == [(ZONE, Reason.ZONE_CORDONED)]
    assert (explained.current.zone, explained.decided_at_ms) == (str(ZONE), decided_at_ms)


async def test_an_explanation_can_be_of_one_zone_only() -> None:
    stage = await stage_with_a_spare()
    await stage.offer(OTHER, "oslo-5", cordoned=True)
    explained = await stage.plane.queries.explain(YARD, SPARE)
    assert (explained.decision.choices, explained.decision.rejections) == ((), ())
    assert explained.now.choices == ()
    assert [(one.zone, one.reason) for one in explained.now.rejections] == [(SPARE, Reason.ZONE_CORDONED)]
    assert [choice.zone for choice in (await stage.plane.queries.explain(YARD, ZONE)).now.choices] == [ZONE]


async def test_explaining_changes_nothing() -> None:
    stage = await stage_with_a_spare()
    before, kept = stage.workload, stage.plane.state.recent_decisions[str(YARD)]
    await stage.plane.queries.explain(YARD, None)
    assert stage.workload == before
    assert stage.plane.state.recent_decisions[str(YARD)] == kept


async def test_a_decision_is_explained_after_a_restart_too() -> None:
    stage = await placed_stage()
    again = await stage.restart()
    assert [choice.zone for choice in (await again.plane.queries.explain(YARD, None)).decision.choices] == [ZONE]


async def test_a_workload_that_runs_nowhere_is_explained_by_its_refusals() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    stage.owners[OWNER].refuse("oslo-9")
    await stage.submit()
    await stage.look()
    explained = await stage.plane.queries.explain(YARD, None)
    assert explained.current.zone == ""
    assert [one.reason for one in explained.decision.rejections] == [Reason.OWNER_REFUSED]


# --- lists ---


async def test_pages_of_workloads_follow_one_another_without_gap_or_double() -> None:
    stage = await home_stage()
    names = [f"w{number:02}" for number in range(7)]
    for name in reversed(names):
        await stage.submit(name=WorkloadId("harbour", name))
    seen: list[str] = []
    after = ""
    while page := stage.plane.queries.workloads("harbour", after, 3):
        assert len(page) <= 3
        seen += [one.id.workload for one in page]
        after = str(page[-1].id)
    assert seen == names


async def test_a_tenant_whose_name_begins_like_anothers_sees_its_own_workloads_only() -> None:
    stage = await home_stage()
    for tenant in ("harbour", "harbour-2", "harbours"):
        await stage.submit(name=WorkloadId(tenant, "ocr"))
    assert [one.id.tenant for one in stage.plane.queries.workloads("harbour", "", 9)] == ["harbour"]


async def zones_of_three() -> Stage:
    stage = await home_stage()
    await stage.own_zone("oslo-1")
    await stage.offer(OWNER, "oslo-9")
    await stage.offer(OTHER, "oslo-5")
    return stage


async def test_zones_own_and_offered_come_in_one_order() -> None:
    stage = await zones_of_three()
    everything = [str(zone.id) for zone in stage.plane.queries.zones("", 9)]
    assert everything == [f"{OTHER}/oslo-5", f"{HOME}/oslo-1", f"{OWNER}/oslo-9"]
    assert [str(zone.id) for zone in stage.plane.queries.zones("", 2)] == everything[:2]
    assert [str(zone.id) for zone in stage.plane.queries.zones(everything[1], 2)] == everything[2:]


async def test_a_zone_says_when_its_agent_or_its_owner_was_last_heard() -> None:
    stage = await zones_of_three()
    began_ms = stage.clock.wall_ms()
    stage.clock.now_ms += 1_000
    stage.plane.partners.heard(OWNER)
    stage.clock.now_ms += 1_000
    stage.plane.agents.heard("oslo-1")
    heard = {str(zone.id): zone.heard_at_ms for zone in stage.plane.queries.zones("", 9)}
    assert heard == {
        f"{OTHER}/oslo-5": 0,
        f"{HOME}/oslo-1": began_ms + 2_000,
        f"{OWNER}/oslo-9": began_ms + 1_000,
    }


async def test_a_tick_of_time_alone_does_not_say_that_somebody_was_heard() -> None:
    stage = await zones_of_three()
    before = {str(zone.id): zone.heard_at_ms for zone in stage.plane.queries.zones("", 9)}
    stage.clock.now_ms += 3_000
    stage.plane.agents.tick()
    stage.plane.partners.tick()
    assert {str(zone.id): zone.heard_at_ms for zone in stage.plane.queries.zones("", 9)} == before


# --- network and numbers ---


def probe(target: ZoneId) -> ProbeResult:
    rtt = RoundTrip(4_000, 5_000, 6_000, LatencyBasis.MEASURED, 10, 1)
    return ProbeResult(ZoneId(HOME, "oslo-1"), target, rtt, 3_900, 50, 0)


async def test_what_was_measured_stands_beside_what_the_model_says() -> None:
    stage = await zones_of_three()
    unseen = ZoneId(OWNER, "nowhere-1")
    adverts = [StoredAdvert("oslo-1", f"probes/{target}", "e1", probe(target)) for target in (ZONE, unseen)]
    assert await stage.plane.agents.adverts("oslo-1", adverts, []) == ()
    modelled = {measured.target_zone: model for measured, model in stage.plane.queries.network().probes}
    assert set(modelled) == {ZONE, unseen}
    assert modelled[unseen] is None
    assert modelled[ZONE] is not None
    assert modelled[ZONE].basis is not LatencyBasis.MEASURED


async def test_the_network_is_the_operators_own_and_that_of_its_partners() -> None:
    stage = await home_stage()
    bergen = NetworkNode("bergen", "Bergen", "NO", 60.4, 5.3, access_point=True)
    await stage.offered(OWNER, "nodes/bergen", bergen)
    view = stage.plane.queries.network()
    assert [node.name for node in view.nodes] == ["bergen", "oslo"]
    assert view.generation == stage.plane.world.snapshot().generation


async def test_counts_are_of_what_is_there_now() -> None:
    stage = await zones_of_three()
    await stage.submit()
    await stage.submit(name=WorkloadId("harbour", "big"), wanted=spec(99_000))
    await stage.look()
    await stage.plane.reconciler.look("tenants/harbour/workloads/big")
    counts = stage.plane.queries.counts()
    assert {key: counts[key] for key in sorted(counts) if key != "decisions"} == {
        "claims|ALLOCATED": 1,
        "federations|ACTIVE": 2,
        "workloads|STARTING": 1,
        "workloads|UNPLACEABLE": 1,
        "zones|AVAILABLE": 1,
    }
    assert counts["decisions"] == 2
    assert stage.workload.placements[0].state is PlacementState.STARTING

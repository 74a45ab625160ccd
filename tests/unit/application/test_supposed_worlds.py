"""Plans in worlds that are not, and records of decisions that were made."""

from __future__ import annotations

import pytest
from hansa_control.application import records
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import (
    ClaimState,
    Fact,
    FactKind,
    Reason,
    ResidencyPolicy,
    SiteRule,
    ZoneId,
)
from hansa_control.domain.overlay import FactGiven, Overlay
from hansa_control.domain.record import verify
from home_operator import OWNER, YARD, spec
from home_stage import OTHER, home_stage, norwegian, placed_stage, site_fact

OSLO_9 = ZoneId(OWNER, "oslo-9")


async def test_a_supposed_world_is_shown_beside_the_present_one_and_changes_nothing() -> None:
    stage = await placed_stage(zones=("oslo-9", "oslo-8"))
    before = (stage.placed, stage.plane.world.snapshot())
    found = await stage.plane.workloads.plan_under(Overlay(zones_removed=(OSLO_9,)), YARD, spec())
    assert [str(choice.zone) for choice in found.present.choices] == [str(OSLO_9), f"{OWNER}/oslo-8"]
    assert [str(choice.zone) for choice in found.decision.choices] == [f"{OWNER}/oslo-8"]
    assert found.current.zone == str(OSLO_9)
    assert found.decision.snapshot_generation == found.present.snapshot_generation
    await stage.rest()
    assert (stage.placed, stage.plane.world.snapshot()) == before


async def test_a_supposed_fact_and_a_supposed_law_count() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", facts=(site_fact("NO", 60_000),))
    plan = stage.plane.workloads.plan_under
    evidence = site_fact("NO", 60_000).evidence
    swedish = FactGiven(OSLO_9, Fact(FactKind.SITE_COUNTRY, "SE", evidence), instead=True)
    found = await plan(Overlay(facts=(swedish,)), YARD, norwegian())
    assert {rejection.reason for rejection in found.decision.rejections} >= {Reason.SITE_COUNTRY_DENIED}
    assert len(found.present.choices) == 1
    denied = ResidencyPolicy(site=SiteRule(None, frozenset({"NO"})))
    found = await plan(Overlay(policy=denied), YARD, spec())
    assert (len(found.decision.choices), len(found.present.choices)) == (0, 1)
    assert found.decision.policy is not None
    assert found.decision.policy.site == SiteRule(None, frozenset({"NO"}))


async def test_what_the_workload_occupies_counts_as_free_in_a_supposed_world_too() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1", cpu_millis=1_000)
    await stage.submit()
    await stage.look()
    assert stage.placed == ["nordavind/oslo-1 STARTING"]
    assert stage.plane.world.snapshot().zones[0].free.cpu_millis == 0
    denied = ResidencyPolicy(site=SiteRule(None, frozenset({"DE"})))
    found = await stage.plane.workloads.plan_under(Overlay(policy=denied), YARD, spec())
    assert {rejection.reason for rejection in found.decision.rejections} == {Reason.SITE_COUNTRY_UNKNOWN}
    assert len(found.present.choices) == 1


async def test_an_overlay_that_does_not_fit_is_refused_by_its_field() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    with pytest.raises(RefusalError) as caught:
        await stage.plane.workloads.plan_under(Overlay(zones_removed=(ZoneId(OWNER, "oslo-0"),)), YARD, spec())
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_FIELD, "overlay.zones_removed[0]")
    assert f"did you mean '{OSLO_9}'?" in caught.value.message


# --- records ---


async def test_a_plan_has_a_digest_and_a_record_that_verifies() -> None:
    stage = await placed_stage(zones=("oslo-9", "oslo-8"))
    decision, _ = await stage.plane.workloads.plan(YARD, spec(2_000))
    record = stage.plane.workloads.record(decision)
    assert decision.digest.startswith("sha256:")
    assert record.digest == decision.digest == record.decision.digest
    assert record.inputs.request.current == {OSLO_9}
    assert not record.inputs.hypothetical
    assert verify(record) == ()


async def test_a_record_of_a_supposed_world_says_so_and_verifies() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    found = await stage.plane.workloads.plan_under(Overlay(zones_removed=(OSLO_9,)), YARD, spec())
    record = stage.plane.workloads.record(found.decision)
    assert record.inputs.hypothetical
    assert record.inputs.snapshot.zones == ()
    assert verify(record) == ()
    assert found.present.digest != found.decision.digest


async def test_the_decision_that_placed_a_workload_verifies_though_the_world_went_on() -> None:
    stage = await placed_stage(zones=("oslo-9", "oslo-8", "oslo-7", "oslo-6", "oslo-5"))
    await stage.offer(OTHER, "cheap-1", price_millieur_per_hour=1)
    record = await stage.plane.queries.record(YARD)
    assert len(record.inputs.snapshot.zones) == 5
    assert record.evidenced == stage.plane.settings.choices_evidenced_max
    assert record.digest == stage.decision.digest
    assert verify(record) == ()


async def test_what_an_owner_refused_is_in_the_record() -> None:
    stage = await home_stage()
    stage.owners[OWNER].refuse("oslo-9")
    await stage.offer(OWNER, "oslo-9", price_millieur_per_hour=1)
    await stage.offer(OTHER, "oslo-5")
    await stage.submit()
    await stage.look()
    assert stage.placed == [f"{OTHER}/oslo-5 STARTING"]
    record = await stage.plane.queries.record(YARD)
    assert [str(rejection.zone) for rejection in record.afterwards] == [str(OSLO_9)]
    assert verify(record) == ()


async def test_a_zone_that_failed_and_was_left_out_is_in_the_record() -> None:
    stage = await placed_stage()
    await stage.offer(OTHER, "oslo-5", price_millieur_per_hour=5_000)
    await stage.tell(ClaimState.FAILED, "out of memory")
    await stage.look(2)
    record = await stage.plane.queries.record(YARD)
    assert record.inputs.request.exclude == {OSLO_9}
    assert record.left_out == 1
    assert verify(record) == ()


async def test_after_a_restart_only_the_digest_is_left() -> None:
    stage = await placed_stage()
    digest = stage.decision.digest
    again = await stage.restart()
    kept = await again.plane.state.decision(str(YARD))
    assert kept is not None and kept.decision.digest == digest
    with pytest.raises(RefusalError, match=f"only its digest can be compared: {digest}") as caught:
        await again.plane.queries.record(YARD)
    assert caught.value.reason is Reason.UNAVAILABLE


async def test_plans_do_not_crowd_out_the_decisions_that_placed_workloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECENT_MAX", 2)
    stage = await placed_stage()
    first, _ = await stage.plane.workloads.plan(YARD, spec(1_001))
    for cpu_millis in (1_002, 1_003):
        await stage.plane.workloads.plan(YARD, spec(cpu_millis))
    assert verify(await stage.plane.queries.record(YARD)) == ()
    with pytest.raises(RefusalError, match="not kept any more"):
        stage.plane.workloads.record(first)


async def test_supposed_worlds_are_not_hoarded_and_crowd_out_nothing_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "SUPPOSED_MAX", 2)
    monkeypatch.setattr(records, "RECENT_MAX", 4)
    stage = await placed_stage()
    real, _ = await stage.plane.workloads.plan(YARD, spec(1_001))
    found = [
        await stage.plane.workloads.plan_under(Overlay(policy=denying(country)), YARD, spec(1_001))
        for country in ("RU", "CN", "IR")
    ]
    for supposed in found[1:]:
        assert verify(stage.plane.workloads.record(supposed.decision)) == ()
    with pytest.raises(RefusalError, match="not kept any more"):
        stage.plane.workloads.record(found[0].decision)
    assert verify(stage.plane.workloads.record(real)) == ()


def denying(country: str) -> ResidencyPolicy:
    return ResidencyPolicy(site=SiteRule(None, frozenset({country})))


async def test_a_workload_without_a_decision_has_no_record() -> None:
    stage = await home_stage()
    await stage.submit()
    with pytest.raises(RefusalError, match="has not been decided yet"):
        await stage.plane.queries.record(YARD)

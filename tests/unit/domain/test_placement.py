from __future__ import annotations

from dataclasses import replace

from deciding_world import L4, LINKS, NODES, NOW_MS, SLICE, facts, link, spec, zone
from hansa_control.domain.explain import failing_constraints, histogram, rejections_of
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    Capacity,
    LatencyBudget,
    LegalRule,
    Reason,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.snapshot import Snapshot, build_snapshot

NORDIC = frozenset({"NO", "SE"})
OSLO = zone("nordavind/oslo-1", at="oslo")
UMEA = zone("skargard/umea-1", at="umea")
BODO = zone("nordavind/bodo-1", at="bodo")


def world(*zones: Zone) -> Snapshot:
    return build_snapshot(12, zones, NODES, LINKS, NOW_MS)


def chosen(wanted: WorkloadSpec, *zones: Zone, home: str = "elsewhere") -> list[str]:
    decision = decide(PlacementRequest(wanted, home), world(*zones), NOW_MS)
    return [str(choice.zone) for choice in decision.choices]


def fix(wanted: WorkloadSpec, *zones: Zone) -> str:
    return decide(PlacementRequest(wanted, "nordavind"), world(*zones), NOW_MS).nearest_fix


def test_every_zone_is_either_a_choice_or_rejected() -> None:
    decision = decide(PlacementRequest(spec(latency=LatencyBudget(95, 20_000)), "x"), world(OSLO, UMEA, BODO), NOW_MS)
    assert [str(choice.zone) for choice in decision.choices] == ["nordavind/oslo-1"]
    assert {str(rejection.zone) for rejection in decision.rejections} == {"nordavind/bodo-1", "skargard/umea-1"}
    assert (decision.zones_evaluated, decision.snapshot_generation, decision.elapsed_us) == (3, 12, 0)


def test_excluded_zones_are_neither_chosen_nor_rejected_nor_counted() -> None:
    request = PlacementRequest(spec(), "x", frozenset({OSLO.id}))
    decision = decide(request, world(OSLO, UMEA), NOW_MS)
    assert [choice.zone for choice in decision.choices] == [UMEA.id]
    assert (decision.rejections, decision.zones_evaluated) == ((), 1)


def test_an_empty_world_gives_an_empty_decision() -> None:
    decision = decide(PlacementRequest(spec(), "x"), world(), NOW_MS)
    assert (decision.choices, decision.rejections, decision.zones_evaluated, decision.nearest_fix) == ((), (), 0, "")


def test_the_nearer_zone_is_better() -> None:
    assert chosen(spec(), BODO, UMEA, OSLO) == ["nordavind/oslo-1", "skargard/umea-1", "nordavind/bodo-1"]


def test_demand_weighs_latency() -> None:
    at_bodo = (AccessDemand("oslo", 1), AccessDemand("bodo", 99))
    assert chosen(spec(access=at_bodo), OSLO, BODO)[0] == "nordavind/bodo-1"
    at_oslo = (AccessDemand("oslo", 99), AccessDemand("bodo", 1))
    assert chosen(spec(access=at_oslo), OSLO, BODO)[0] == "nordavind/oslo-1"


def test_of_two_like_zones_the_cheaper_is_better() -> None:
    dear = zone("a/oslo", inventory={"price_millieur_per_hour": 3_000})
    assert chosen(spec(), dear, zone("b/oslo")) == ["b/oslo", "a/oslo"]


def test_of_two_like_zones_the_one_that_wastes_less_memory_is_better() -> None:
    large = zone("a/oslo", pools=(replace(L4, model="H100", memory_mib=81_559),))
    assert chosen(spec(accelerator=AcceleratorNeed((), 1, 16_000)), large, zone("b/oslo")) == ["b/oslo", "a/oslo"]


def test_of_two_like_zones_ones_own_is_better_and_else_the_first_by_id() -> None:
    assert chosen(spec(), zone("a/oslo"), zone("b/oslo"), home="b") == ["b/oslo", "a/oslo"]
    assert chosen(spec(), zone("b/oslo"), zone("a/oslo"), home="c") == ["a/oslo", "b/oslo"]


def test_a_silent_zone_comes_after_one_that_is_heard() -> None:
    assert chosen(spec(), replace(OSLO, state=ZoneState.SILENT), BODO) == ["nordavind/bodo-1", "nordavind/oslo-1"]


def test_a_score_is_the_sum_of_its_terms() -> None:
    for choice in decide(PlacementRequest(spec(), "x"), world(OSLO, UMEA), NOW_MS).choices:
        assert abs(choice.score - sum(term.value for term in choice.terms)) < 1e-8


def test_a_remembered_choice_follows_a_change_of_its_zone() -> None:
    cheap, dear = zone("a/oslo"), zone("a/oslo", inventory={"price_millieur_per_hour": 9_000})
    snapshot = world(cheap, zone("b/oslo"))
    best = []
    for first in (cheap, dear, cheap):
        later = snapshot.with_zones(13, [first, zone("b/oslo")], NOW_MS)
        best.append(decide(PlacementRequest(spec(), "x"), later, NOW_MS).choices[0].zone.operator)
    assert best == ["a", "b", "a"]


def test_home_is_part_of_what_is_remembered() -> None:
    snapshot = world(zone("a/oslo"), zone("b/oslo"))
    first = [decide(PlacementRequest(spec(), home), snapshot, NOW_MS).choices[0].zone.operator for home in "abab"]
    assert first == ["a", "b", "a", "b"]


def test_the_nearest_fix_for_latency_names_the_budget_that_suffices_and_the_nearest_zone() -> None:
    assert fix(spec(latency=LatencyBudget(95, 10_000)), UMEA, BODO) == (
        "raise the latency budget to 21.2 ms -> skargard/umea-1"
    )


def test_the_nearest_fix_for_transit_names_the_country_that_opens_a_path() -> None:
    rules = ResidencyPolicy(transit=TransitRule(frozenset({"NO"})))
    assert fix(spec(residency=rules), BODO) == "allow transit through SE -> nordavind/bodo-1"


def test_the_nearest_fix_for_transit_names_both_countries_where_one_does_not_do() -> None:
    rules = ResidencyPolicy(transit=TransitRule(frozenset({"NO"})))
    by_finland = [x for x in LINKS if x.name != "goteborg--umea"]
    snapshot = build_snapshot(1, [BODO], NODES, by_finland, NOW_MS)
    decision = decide(PlacementRequest(spec(residency=rules), "x"), snapshot, NOW_MS)
    assert decision.nearest_fix == "allow transit through FI and SE -> nordavind/bodo-1"


def test_the_nearest_fix_for_transit_may_need_a_carrier() -> None:
    rules = ResidencyPolicy(transit=TransitRule(frozenset({"NO", "SE", "FI"}), frozenset({"nordnett"})))
    assert fix(spec(residency=rules), BODO) == "allow carrier nordnett -> nordavind/bodo-1"


def test_the_nearest_fix_for_site_and_for_control() -> None:
    finnish = zone("skargard/helsinki-1", at="helsinki")
    assert fix(spec(residency=ResidencyPolicy(site=SiteRule(NORDIC))), finnish) == (
        "allow sites in FI -> skargard/helsinki-1"
    )
    american = replace(OSLO, facts=facts(parent="US"))
    legal = ResidencyPolicy(legal=LegalRule(NORDIC))
    assert fix(spec(residency=legal), american) == "allow control from US -> nordavind/oslo-1"
    reached = replace(OSLO, facts=facts(law="US-CLOUD-ACT"))
    laws = ResidencyPolicy(legal=LegalRule(NORDIC, frozenset({"US-CLOUD-ACT"})))
    assert fix(spec(residency=laws), reached) == "accept the law US-CLOUD-ACT -> nordavind/oslo-1"


def test_the_nearest_fix_for_accelerators() -> None:
    sliced = zone(pools=(SLICE,))
    assert fix(spec(accelerator=AcceleratorNeed(("H100",), 1, 16_000)), sliced) == (
        "ask for 9984 MiB of accelerator memory -> nordavind/oslo-1"
    )
    assert fix(spec(accelerator=AcceleratorNeed(("L40S",), 1, 16_000)), OSLO) == (
        "accept accelerator nvidia/L4 -> nordavind/oslo-1"
    )


def test_the_nearest_fix_for_a_full_zone_is_as_many_replicas_as_fit() -> None:
    tight = replace(OSLO, free=Capacity(64_000, 65_536, ((L4.key, 3),)))
    assert fix(spec(replicas=5), tight) == "ask for 3 replicas -> nordavind/oslo-1"
    full = replace(OSLO, free=Capacity(64_000, 65_536))
    assert fix(spec(replicas=5), full) == ""


def test_a_longer_budget_is_proposed_before_a_wider_law() -> None:
    rules = ResidencyPolicy(transit=TransitRule(NORDIC))
    finnish = zone("skargard/helsinki-1", at="helsinki")
    proposed = fix(spec(residency=rules, latency=LatencyBudget(95, 20_000)), finnish, UMEA)
    assert proposed == "raise the latency budget to 29.2 ms -> skargard/umea-1"


def test_no_fix_is_named_that_would_leave_another_constraint_failing() -> None:
    both = replace(UMEA, facts=facts(site="DE"))
    wanted = spec(residency=ResidencyPolicy(site=SiteRule(NORDIC)), latency=LatencyBudget(95, 10_000))
    assert fix(wanted, both) == ""


def test_an_unknown_fact_cannot_be_relaxed_away() -> None:
    assert fix(spec(residency=ResidencyPolicy(site=SiteRule(NORDIC))), replace(OSLO, facts=())) == ""


def test_a_fix_that_is_followed_makes_the_zone_feasible() -> None:
    wanted = spec(latency=LatencyBudget(95, 10_000))
    assert "21.2 ms" in fix(wanted, UMEA)
    assert chosen(replace(wanted, latency=LatencyBudget(95, 21_200)), UMEA) == ["skargard/umea-1"]


def test_the_histogram_counts_zones_by_constraint_and_leaves_out_what_was_not_evaluated() -> None:
    rules = ResidencyPolicy(transit=TransitRule(frozenset({"NO", "FI"})))
    wanted = spec(residency=rules, latency=LatencyBudget(95, 10_000))
    lost = replace(BODO, state=ZoneState.LOST)
    decision = decide(PlacementRequest(wanted, "x"), world(OSLO, UMEA, lost), NOW_MS)
    counted = histogram(decision)
    assert counted.counts == (("TransitResidency", 2), ("ZoneState", 1))
    assert counted.describe() == "1/3 zones feasible: 2 TransitResidency, 1 ZoneState (1 zone fails 2 or more)"
    assert failing_constraints(decision.rejections)[lost.id] == ("ZoneState", "TransitResidency")


def test_a_histogram_of_nothing_but_feasible_zones_is_short() -> None:
    assert histogram(decide(PlacementRequest(spec(), "x"), world(OSLO), NOW_MS)).describe() == "1/1 zones feasible"


def test_the_reasons_of_one_zone_are_found_again() -> None:
    decision = decide(PlacementRequest(spec(latency=LatencyBudget(95, 1)), "x"), world(OSLO, UMEA), NOW_MS)
    assert [x.reason for x in rejections_of(decision, UMEA.id)] == [Reason.LATENCY_EXCEEDED]
    assert rejections_of(decision, ZoneId("no", "where")) == ()


def test_a_link_that_appears_changes_the_answer_on_a_new_snapshot_only() -> None:
    wanted = spec(latency=LatencyBudget(95, 20_000))
    old = world(UMEA)
    new = build_snapshot(13, [UMEA], NODES, (*LINKS, link("oslo", "umea", 1_000)), NOW_MS)
    request = PlacementRequest(wanted, "x")
    assert [bool(decide(request, at, NOW_MS).choices) for at in (old, new, old)] == [False, True, False]

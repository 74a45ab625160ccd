from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from deciding_world import ARTEFACT, DAY_MS, H100, L4, LINKS, NODES, NOW_MS, SLICE, facts, link, spec, zone
from hansa_control.domain.feasibility import FilterOutcome, filter_zone, filter_zones, judge_zones, unlawful
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    ArtefactRef,
    Capacity,
    DataClass,
    DataSource,
    LatencyBasis,
    LatencyBudget,
    LegalRule,
    NetworkLink,
    ProbeResult,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneState,
)
from hansa_control.domain.network import NetworkChange
from hansa_control.domain.snapshot import Measured, Snapshot, build_snapshot

NORDIC = frozenset({"NO", "SE"})
STRICT = ResidencyPolicy(SiteRule(NORDIC), LegalRule(NORDIC, frozenset({"US-CLOUD-ACT"})), TransitRule(NORDIC))


def world(*zones: Zone, links: Iterable[NetworkLink] = LINKS) -> Snapshot:
    return build_snapshot(12, zones, NODES, links, NOW_MS)


def judge(wanted: WorkloadSpec, candidate: Zone, links: Iterable[NetworkLink] = LINKS) -> FilterOutcome:
    return filter_zone(wanted, world(candidate, links=links), candidate, NOW_MS)


def failing(outcome: FilterOutcome) -> list[tuple[str, Reason]]:
    return [(rejection.result.constraint, rejection.reason) for rejection in outcome.rejections]


def test_a_zone_that_fits_passes_every_constraint_and_names_path_and_pool() -> None:
    outcome = judge(spec(residency=STRICT), zone())
    assert outcome.rejections == ()
    assert {result.constraint for result in outcome.passed} == {
        "ZoneState", "SiteResidency", "LegalControl", "TransitResidency", "LatencyBound", "ArtefactAllowed",
        "GpuModel", "GpuMemory", "GpuCapacity", "CpuCapacity", "MemoryCapacity", "Location",
    }  # fmt: skip
    assert outcome.pool == "nvidia/L4"
    assert [found.path for found in outcome.latencies] == [("oslo",)]


def test_an_absent_rule_restricts_nothing_even_where_facts_are_missing() -> None:
    assert judge(spec(), zone(facts=())).rejections == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": ZoneState.LOST}, ("ZoneState", Reason.ZONE_LOST)),
        ({"state": ZoneState.STALE}, ("ZoneState", Reason.OFFER_STALE)),
        ({"inventory": {"cordoned": True}}, ("ZoneState", Reason.ZONE_CORDONED)),
        ({"facts": facts(parent="US")}, ("LegalControl", Reason.LEGAL_CONTROL_DENIED)),
        ({"inventory": {"artefacts": ()}}, ("ArtefactAllowed", Reason.ARTEFACT_NOT_ALLOWED)),
        ({"free": Capacity(3_999, 65_536, ((L4.key, 4),))}, ("CpuCapacity", Reason.CPU_EXHAUSTED)),
        ({"free": Capacity(64_000, 8_191, ((L4.key, 4),))}, ("MemoryCapacity", Reason.MEMORY_EXHAUSTED)),
        ({"free": Capacity(64_000, 65_536, ((L4.key, 1),))}, ("GpuCapacity", Reason.GPU_EXHAUSTED)),
        ({"inventory": {"node": "atlantis"}}, ("Reachability", Reason.UNREACHABLE)),
    ],
)
def test_each_single_fault_of_a_zone_gives_its_own_reason(
    changes: dict[str, Any], expected: tuple[str, Reason]
) -> None:
    found = [x for x in failing(judge(spec(residency=STRICT), zone(**changes))) if x[1] is not Reason.NOT_EVALUATED]
    assert found == [expected]


def test_a_site_that_is_not_where_its_node_stands_fails_by_law_and_by_place() -> None:
    assert failing(judge(spec(residency=STRICT), zone(facts=facts(site="DE")))) == [
        ("SiteResidency", Reason.SITE_COUNTRY_DENIED),
        ("Location", Reason.SITE_COUNTRY_UNKNOWN),
    ]


def test_a_silent_zone_is_still_feasible() -> None:
    assert judge(spec(), zone(state=ZoneState.SILENT)).rejections == ()


def test_exactly_what_is_free_is_enough() -> None:
    assert judge(spec(), zone(free=Capacity(4_000, 8_192, ((L4.key, 2),)))).rejections == ()


def test_an_artefact_of_the_same_name_and_another_digest_is_not_allowed_and_says_so() -> None:
    other = ArtefactRef(ARTEFACT.name, "sha256:" + "cd" * 32)
    (rejection,) = judge(spec(artefact=other), zone()).rejections
    assert rejection.reason is Reason.ARTEFACT_NOT_ALLOWED
    assert rejection.result.measured == f"allowed as {ARTEFACT.digest}"


def test_a_missing_model_leaves_memory_and_devices_unevaluated_not_passed() -> None:
    outcome = judge(spec(accelerator=AcceleratorNeed(("L40S",), 1, 40_000)), zone())
    assert failing(outcome) == [
        ("GpuModel", Reason.GPU_MODEL_MISSING),
        ("GpuMemory", Reason.NOT_EVALUATED),
        ("GpuCapacity", Reason.NOT_EVALUATED),
    ]
    assert outcome.pool == ""


def test_a_slice_of_the_right_model_fails_by_memory() -> None:
    outcome = judge(spec(accelerator=AcceleratorNeed(("H100",), 1, 40_000)), zone(pools=(SLICE,)))
    rejection = outcome.rejections[0]
    assert rejection.reason is Reason.GPU_MEMORY_TOO_SMALL
    assert rejection.result.measured == "9984 MiB on nvidia/H100/mig-1g.10gb"
    assert rejection.result.bound == ">= 40000 MiB"


def test_a_zone_without_accelerators_lacks_every_model_and_serves_who_needs_none() -> None:
    assert judge(spec(accelerator=AcceleratorNeed((), 1, 0)), zone(pools=())).rejections[0].reason is (
        Reason.GPU_MODEL_MISSING
    )
    assert judge(spec(accelerator=None), zone(pools=())).rejections == ()


def test_the_pool_is_the_smallest_that_suffices() -> None:
    assert judge(spec(accelerator=AcceleratorNeed((), 1, 0)), zone(pools=(H100, L4))).pool == "nvidia/L4"


def test_latency_over_the_budget_is_told_with_path_basis_and_percentile() -> None:
    outcome = judge(spec(latency=LatencyBudget(95, 20_000)), zone("skargard/umea-1", at="umea"))
    (rejection,) = outcome.rejections
    assert rejection.reason is Reason.LATENCY_EXCEEDED
    assert rejection.result.measured == "p95 21.2 ms from oslo"
    assert rejection.result.bound == "<= 20 ms"
    assert rejection.result.evidence == "path oslo > goteborg > helsinki > umea, modelled"


def test_latency_exactly_at_the_budget_passes_and_one_microsecond_less_does_not() -> None:
    exact = judge(spec(), zone("skargard/umea-1", at="umea")).latencies[0].rtt_us
    for slack_us, feasible in ((0, True), (-1, False)):
        outcome = judge(spec(latency=LatencyBudget(95, exact + slack_us)), zone("skargard/umea-1", at="umea"))
        assert (not outcome.rejections) is feasible


def test_without_a_lawful_path_latency_is_not_evaluated_and_never_passes() -> None:
    only_by_finland = [x for x in LINKS if x.name != "goteborg--umea"]
    outcome = judge(spec(residency=STRICT), zone("skargard/umea-1", at="umea"), only_by_finland)
    assert failing(outcome) == [
        ("TransitResidency", Reason.TRANSIT_DENIED),
        ("LatencyBound", Reason.NOT_EVALUATED),
    ]
    result = outcome.rejections[0].result
    assert (result.measured, result.bound) == ("crosses FI from oslo", "{NO,SE}")
    assert result.evidence == "link goteborg--helsinki, carrier nordnett, network of snapshot 12"
    assert "LatencyBound" not in {passed.constraint for passed in outcome.passed}
    assert outcome.latencies == ()


def test_each_access_point_has_its_own_verdict_and_one_bad_one_spoils_the_zone() -> None:
    users = (AccessDemand("oslo", 1), AccessDemand("helsinki", 1))
    outcome = judge(spec(residency=STRICT, access=users), zone())
    assert failing(outcome) == [
        ("TransitResidency", Reason.TRANSIT_DENIED),
        ("LatencyBound", Reason.NOT_EVALUATED),
    ]
    assert [found.access_point for found in outcome.latencies] == ["oslo"]
    assert not {"TransitResidency", "LatencyBound"} & {passed.constraint for passed in outcome.passed}


@pytest.mark.parametrize("name", ["atlantis", "buoy"])
def test_an_unknown_access_point_or_a_node_where_no_traffic_enters_rejects(name: str) -> None:
    nodes = (*NODES, replace(NODES[0], name="buoy", access_point=False))
    snapshot = build_snapshot(1, (), nodes, (*LINKS, link("buoy", "oslo")), NOW_MS)
    outcome = filter_zone(spec(access=(AccessDemand(name, 1),)), snapshot, zone(), NOW_MS)
    assert failing(outcome) == [
        ("AccessPointKnown", Reason.ACCESS_POINT_UNKNOWN),
        ("LatencyBound", Reason.NOT_EVALUATED),
    ]


def test_every_reason_of_a_hopeless_zone_is_kept() -> None:
    hopeless = zone(
        at="atlantis", state=ZoneState.LOST, facts=facts("DE", "US", "US", "US-CLOUD-ACT"), free=Capacity(),
        inventory={"cordoned": True, "artefacts": (), "node": "atlantis"},
    )  # fmt: skip
    reasons = {reason for _, reason in failing(judge(spec(residency=STRICT), hopeless))}
    assert reasons >= {
        Reason.ZONE_LOST, Reason.ZONE_CORDONED, Reason.SITE_COUNTRY_DENIED, Reason.LEGAL_CONTROL_DENIED,
        Reason.UNREACHABLE, Reason.ARTEFACT_NOT_ALLOWED, Reason.GPU_EXHAUSTED, Reason.CPU_EXHAUSTED,
        Reason.MEMORY_EXHAUSTED, Reason.NOT_EVALUATED,
    }  # fmt: skip


def test_an_owner_judges_a_zone_by_the_value_it_gives_not_by_the_one_in_the_snapshot() -> None:
    shown = zone()
    truth = replace(shown, free=Capacity())
    assert filter_zone(spec(), world(shown), shown, NOW_MS).rejections == ()
    assert filter_zone(spec(), world(shown), truth, NOW_MS).rejections != ()


def test_remembered_verdicts_follow_a_change_of_capacity() -> None:
    before = world(zone())
    assert not filter_zones(spec(), before, before.zones, NOW_MS)[0].rejections
    after = before.with_zones(13, [zone(free=Capacity(), generation=2)], NOW_MS)
    assert filter_zones(spec(), after, after.zones, NOW_MS)[0].rejections


def test_remembered_verdicts_end_when_a_fact_expires_and_begin_when_it_becomes_valid() -> None:
    snapshot = world(zone())
    wanted = spec(residency=STRICT)
    for now_ms, feasible in ((NOW_MS, True), (NOW_MS + DAY_MS, False), (NOW_MS, True), (NOW_MS - DAY_MS - 1, False)):
        (outcome,) = filter_zones(wanted, snapshot, snapshot.zones, now_ms)
        assert (not outcome.rejections) is feasible
        assert outcome == filter_zone(wanted, world(zone()), zone(), now_ms)


def test_remembered_verdicts_follow_a_change_of_facts_and_of_place() -> None:
    wanted = spec(residency=STRICT)
    snapshot = world(zone())
    filter_zones(wanted, snapshot, snapshot.zones, NOW_MS)
    for changed in (zone(facts=facts(site="DE")), zone(at="helsinki"), zone()):
        later = snapshot.with_zones(13, [changed], NOW_MS)
        (outcome,) = filter_zones(wanted, later, later.zones, NOW_MS)
        assert outcome == filter_zone(wanted, world(changed), changed, NOW_MS)


@pytest.mark.parametrize("first", [NOW_MS, NOW_MS + 20, NOW_MS - 20])
def test_each_zone_is_judged_at_the_time_that_is_asked_for_whatever_was_asked_before(first: int) -> None:
    short, long = facts(), facts()
    span = replace(short[0].evidence, valid_from_ms=NOW_MS - 10, valid_until_ms=NOW_MS + 10)
    brief = zone("nordavind/oslo-1", facts=(replace(short[0], evidence=span), *short[1:]))
    snapshot = world(zone("nordavind/oslo-0", facts=long), brief, zone("nordavind/oslo-2", facts=long))
    wanted = spec(residency=STRICT)
    judge_zones(wanted, snapshot, first)
    for now_ms, refused in (
        (NOW_MS + 20, [1]),
        (NOW_MS, []),
        (NOW_MS - 20, [1]),
        (NOW_MS - 10, []),
        (NOW_MS + 10, [1]),
    ):
        assert np.flatnonzero(judge_zones(wanted, snapshot, now_ms).failing).tolist() == refused


@pytest.mark.parametrize("first", [NOW_MS, NOW_MS + 20, NOW_MS - 20])
def test_a_claim_that_contradicts_the_place_counts_while_it_is_valid_whatever_was_asked_before(first: int) -> None:
    true = facts()
    brief = replace(true[0].evidence, valid_from_ms=NOW_MS - 10, valid_until_ms=NOW_MS + 10)
    false = zone("nordavind/oslo-1", facts=(replace(true[0], value="DE", evidence=brief), *true))
    snapshot = world(zone("nordavind/oslo-0"), false, zone("nordavind/oslo-2"))
    wanted = spec(residency=ResidencyPolicy(transit=TransitRule(NORDIC)))
    judge_zones(wanted, snapshot, first)
    for now_ms, refused in ((NOW_MS + 20, []), (NOW_MS, [1]), (NOW_MS - 20, []), (NOW_MS - 10, [1]), (NOW_MS + 10, [])):
        verdicts = judge_zones(wanted, snapshot, now_ms)
        assert np.flatnonzero(verdicts.failing).tolist() == refused
        assert {x.result.constraint for x in verdicts.rejections()} == ({"Location"} if refused else set())


@pytest.mark.parametrize(
    ("changes", "wanted", "expected"),
    [
        ({}, {}, []),
        ({"free": Capacity(), "state": ZoneState.LOST}, {}, []),
        ({"at": "umea"}, {"latency": LatencyBudget(95, 1)}, []),
        ({"facts": facts(parent="US")}, {}, ["LegalControl"]),
        ({"facts": facts(site="SE")}, {}, ["Location"]),
        ({"at": "helsinki"}, {}, ["SiteResidency", "TransitResidency", "LatencyBound"]),
        ({}, {"access": (AccessDemand("oslo", 1), AccessDemand("helsinki", 1))}, ["TransitResidency", "LatencyBound"]),
        ({}, {"data_sources": (DataSource("x", "helsinki", "SE", DataClass.INPUT),)}, ["TransitResidency"]),
        ({}, {"data_sources": (DataSource("x", "oslo", "FI", DataClass.INPUT),)}, ["SiteResidency"]),
    ],
)
def test_the_law_alone_says_of_what_runs_what_the_filters_say_of_it(
    changes: dict[str, Any], wanted: dict[str, Any], expected: list[str]
) -> None:
    one, asked = zone(**changes), spec(residency=STRICT, **wanted)
    snapshot = world(zone("nordavind/oslo-0"), one)
    row = snapshot.index[one.id]
    found = unlawful(asked, snapshot, row, NOW_MS)
    assert [x.result.constraint for x in found] == expected
    assert {x.zone for x in found} <= {one.id}
    assert set(found) <= set(filter_zone(asked, snapshot, one, NOW_MS).rejections)


@pytest.mark.parametrize("changed", [link("umea", "bodo", 9_000), link("goteborg", "helsinki", 1_000)])
@pytest.mark.parametrize("sources", [(), (DataSource("x", "goteborg", "SE", DataClass.INPUT),)])
def test_remembered_verdicts_follow_a_change_of_links(changed: NetworkLink, sources: tuple[DataSource, ...]) -> None:
    """The first changes no round trip to the zones, so that what was found of them stays; the second does."""
    zones = (zone(), zone("skargard/helsinki-1", at="helsinki"), zone("skargard/umea-1", at="umea"))
    wanted = spec(residency=ResidencyPolicy(transit=TransitRule(NORDIC | {"FI"})), data_sources=sources)
    before = world(*zones)
    first = judge_zones(wanted, before, NOW_MS)
    assert [len(first.outcome(row).latencies) for row in range(3)] == [1, 1, 1]
    network = before.network.with_changes(13, NetworkChange(links=(changed,)))
    after = judge_zones(wanted, before.updated(13, zones, NOW_MS, network), NOW_MS)
    links = [changed if x.name == changed.name else x for x in LINKS]
    anew = judge_zones(wanted, build_snapshot(13, zones, NODES, links, NOW_MS), NOW_MS)
    assert [after.outcome(row) for row in range(3)] == [anew.outcome(row) for row in range(3)]


def test_remembered_verdicts_follow_new_measurements_and_depend_on_whose_they_are() -> None:
    nodes = tuple(
        replace(x, latitude_deg=lat, longitude_deg=lon)
        for x, (lat, lon) in zip(
            NODES, ((59.9, 10.7), (57.7, 12.0), (63.8, 20.3), (67.3, 14.4), (60.2, 24.9)), strict=True
        )
    )
    ours, theirs = zone(), zone("skargard/bodo-1", at="bodo")
    wanted = spec(residency=ResidencyPolicy(SiteRule(NORDIC)))
    before = build_snapshot(12, (ours, theirs), nodes, LINKS, NOW_MS)
    assert not judge_zones(wanted, before, NOW_MS, "nordavind").failing.any()
    rtt = RoundTrip(1_000, 1_000, 1_000, LatencyBasis.MEASURED, 10, NOW_MS)
    probes = (ProbeResult(ours.id, theirs.id, rtt, 1_000, 10, 0),)
    measured = Measured.between(probes, (ours, theirs))
    after = before.updated(13, before.zones, NOW_MS, measured=measured)
    for own, refused in (("nordavind", [1]), ("skargard", [0]), ("nordavind", [1])):
        verdicts = judge_zones(wanted, after, NOW_MS, own)
        assert np.flatnonzero(verdicts.failing).tolist() == refused
        assert {x.reason for x in verdicts.rejections()} == {Reason.LOCATION_IMPLAUSIBLE}
    slow = ProbeResult(ours.id, theirs.id, replace(rtt, p50_us=90_000, p95_us=90_000, p99_us=90_000), 90_000, 10, 0)
    later = after.updated(14, after.zones, NOW_MS, measured=Measured.between((slow,), (ours, theirs)))
    assert [x.reason for x in judge_zones(wanted, later, NOW_MS, "nordavind").rejections()] == [Reason.LATENCY_EXCEEDED]


def test_remembered_verdicts_follow_a_change_of_a_nodes_country() -> None:
    wanted = spec(residency=ResidencyPolicy(SiteRule(NORDIC)))
    snapshot = world(zone())
    for country, constraints in (("NO", []), ("DE", ["Location"]), ("NO", [])):
        network = snapshot.network.with_changes(13, NetworkChange(nodes=(replace(NODES[0], country=country),)))
        snapshot = snapshot.updated(13, snapshot.zones, NOW_MS, network)
        found = judge_zones(wanted, snapshot, NOW_MS).rejections()
        assert [x.result.constraint for x in found] == constraints

"""What the oracle found wrong with deciding, each by hand and as small as it gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    AccessDemand,
    Capacity,
    FactKind,
    LatencyBasis,
    LatencyBudget,
    LegalRule,
    LinkKind,
    NetworkLink,
    NetworkNode,
    ProbeResult,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    ServiceProfile,
    ServiceTime,
    TransitRule,
    WorkloadSpec,
    Zone,
)
from hansa_control.domain.placement import decide
from oracle_worlds import ARTEFACT, NOW_MS, Stream, World, random_zone

L4 = AcceleratorPool("nvidia", "L4", 24_576, 8)


def zone(name: str, node: str) -> Zone:
    made = random_zone(Stream(2), name, (node, "NO"), is_mild=True)
    pools = replace(made.inventory, pools=(L4,), price_millieur_per_hour=1_000)
    return replace(
        made,
        id=made.id._replace(operator="nordavind"),
        inventory=pools,
        free=Capacity(16_000, 64_000, (("nvidia/L4", 8),)),
    )


def world(spec: WorkloadSpec) -> World:
    nodes = tuple(NetworkNode(name, "", "NO", 0.0, 0.0, access_point=True) for name in ("oslo", "hamar"))
    link = NetworkLink(
        "l", "oslo", "hamar", 0, RoundTrip(1, 1, 1, LatencyBasis.MODELLED), (), "x", LinkKind.TERRESTRIAL
    )
    return World(nodes, (link,), (zone("h", "hamar"), zone("o", "oslo")), (), spec, "nordavind")


def spec(**other: object) -> WorkloadSpec:
    users = (AccessDemand("oslo", 1_000),)
    made = WorkloadSpec(ARTEFACT, None, 1_000, 1_000, 1, users, LatencyBudget(95, 25_000), ResidencyPolicy())
    return replace(made, **other)  # type: ignore[arg-type]


def probe(p50_us: int, p95_us: int, sample_count: int) -> ProbeResult:
    oslo, hamar = zone("o", "oslo").id, zone("h", "hamar").id
    rtt = RoundTrip(p50_us, p95_us, p95_us, LatencyBasis.MEASURED, sample_count, NOW_MS)
    return ProbeResult(oslo, hamar, rtt, p50_us, 0, 0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_measurement_of_few_probes_does_not_hide_one_of_many(order: tuple[int, int]) -> None:
    few, many = probe(20_000, 50_000, 10), probe(3_000, 33_000, 1_000)
    measured = replace(world(spec()), probes=tuple((few, many)[n] for n in order))
    decision = decide(measured.request(), measured.snapshot(), NOW_MS)
    found = [x for x in decision.rejections if x.zone.zone == "h"]
    assert [(x.reason, x.result.measured) for x in found] == [(Reason.LATENCY_EXCEEDED, "p95 33 ms from oslo")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_percentile_of_few_probes_does_not_count_for_the_number_of_others(order: tuple[int, int]) -> None:
    few, many = probe(3_000, 50_000, 10), probe(9_000, 11_000, 1_000)
    measured = replace(world(spec()), probes=tuple((few, many)[n] for n in order))
    decision = decide(measured.request(), measured.snapshot(), NOW_MS)
    rtts = {x.zone.zone: x.latencies[0].rtt_us for x in decision.choices}
    assert rtts["h"] == 11_000


def test_devices_that_are_free_are_not_exhausted_where_no_number_of_replicas_serves_in_time() -> None:
    slow = ServiceProfile((ServiceTime("", 400_000, 400_000, 400_000, 0),))
    asked = spec(accelerator=AcceleratorNeed((), 1, 0), latency=LatencyBudget(95, 25_000, 30_000), service=slow)
    one = world(asked)
    reasons = [(x.result.constraint, x.reason) for x in decide(one.request(), one.snapshot(), NOW_MS).rejections]
    assert set(reasons) == {("ResponseBound", Reason.LATENCY_EXCEEDED), ("GpuCapacity", Reason.NOT_EVALUATED)}


def test_a_zone_is_not_refused_for_the_cpu_and_price_of_replicas_that_would_not_serve_in_time_either() -> None:
    slow = ServiceProfile((ServiceTime("", 400_000, 400_000, 400_000, 0),))
    budget = LatencyBudget(95, 25_000, 30_000)
    one = world(spec(latency=budget, service=slow, replicas_max=40, price_millieur_per_hour_max=2_000))
    reasons = {x.reason for x in decide(one.request(), one.snapshot(), NOW_MS).rejections}
    assert reasons == {Reason.LATENCY_EXCEEDED}


def test_what_a_zone_without_accelerators_lacks_is_told_in_the_replicas_of_the_request() -> None:
    one = world(spec(accelerator=AcceleratorNeed((), 2, 0), replicas=3))
    bare = replace(one.zones[1], inventory=replace(one.zones[1].inventory, pools=()))
    for zones in ((one.zones[0], bare), (bare,)):
        asked = replace(one, zones=zones)
        decision = decide(asked.request(), asked.snapshot(), NOW_MS)
        told = [x.result.bound for x in decision.rejections if x.result.constraint == "GpuCapacity"]
        assert told == [">= 6 (2 x 3 replicas)"]


def test_the_attachment_that_bars_a_zone_is_named_as_that_zones_and_not_as_a_neighbours() -> None:
    law = ResidencyPolicy(transit=TransitRule(None, frozenset({"nordavind"})))
    one = world(spec(residency=law))
    two = replace(one, zones=(zone("a", "oslo"), zone("o", "oslo")))
    told = {
        x.zone.zone: x.result.evidence
        for x in decide(two.request(), two.snapshot(), NOW_MS).rejections
        if x.reason is Reason.TRANSIT_DENIED
    }
    assert {name: f"link oslo--nordavind/{name}," in words for name, words in told.items()} == {"a": True, "o": True}


@pytest.mark.parametrize(("share", "most", "is_feasible"), [("0", 0, True), ("0.01", 0, False), ("39", 39, True)])
def test_an_owner_without_foreign_holders_passes_where_none_are_allowed(
    share: str, most: int, is_feasible: bool
) -> None:
    one = world(spec(residency=ResidencyPolicy(legal=LegalRule(None, foreign_share_percent_max=most))))
    zones = tuple(
        replace(
            at,
            facts=tuple(replace(x, value=share) if x.kind is FactKind.FOREIGN_SHARE_PERCENT else x for x in at.facts),
        )
        for at in one.zones
    )
    asked = replace(one, zones=zones)
    assert bool(decide(asked.request(), asked.snapshot(), NOW_MS).choices) is is_feasible

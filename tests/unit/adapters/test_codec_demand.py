"""Bounds, spread, service, preferences, objective and data sources from outside: taken, given defaults, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hansa_control.adapters import codec_service, codec_workload
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Objective, Preferences, Reason, ServiceProfile, WorkloadSpec, ZoneBounds

from hansa.v1 import common_pb2, workload_pb2, workload_service_pb2

DIGEST = "sha256:" + "0" * 64
Change = Callable[[Any], None]


def time(model: str, mean_us: int = 40_000) -> workload_pb2.ServiceTime:
    return workload_pb2.ServiceTime(model=model, mean_us=mean_us, p95_us=55_000, p99_us=80_000, scv_permille=200)


def source(name: str) -> workload_pb2.DataSource:
    return workload_pb2.DataSource(name=name, node="oslo", country="NO", data=common_pb2.DATA_CLASS_INPUT)


def plain_spec() -> workload_pb2.WorkloadSpec:
    return workload_pb2.WorkloadSpec(
        artefact=common_pb2.ArtefactRef(name="ocr", digest=DIGEST),
        cpu_millis=500,
        memory_mib=512,
        replicas=2,
        access=[workload_pb2.AccessDemand(access_point="oslo", demand_millirps=10)],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=25_000),
    )


def whole_spec() -> workload_pb2.WorkloadSpec:
    spec = plain_spec()
    spec.replicas_max = 6
    spec.zones.CopyFrom(workload_pb2.ZoneBounds(minimum=2, maximum=4))
    spec.spread.append(workload_pb2.SpreadRule(level=workload_pb2.SPREAD_LEVEL_COUNTRY, domains_min=2))
    spec.spread.append(
        workload_pb2.SpreadRule(level=workload_pb2.SPREAD_LEVEL_ZONE, domains_min=1, replicas_per_domain_max=2)
    )
    spec.service.CopyFrom(
        workload_pb2.ServiceProfile(
            times=[time("L40S"), time("nvidia/H100/mig-1g.10gb"), time("")],
            concurrency=4,
            request_bytes=200_000,
            response_bytes=2_000,
        )
    )
    spec.latency.response_us_max = 120_000
    spec.preferences.ordered.append(workload_pb2.Selector(operators=["nordavind"], zones=["skargard/umea-1"]))
    spec.preferences.soft.append(
        workload_pb2.SoftConstraint(selector=workload_pb2.Selector(countries=["NO"]), weight_permille=200)
    )
    spec.objective.CopyFrom(workload_pb2.Objective(latency_permille=1_000, carbon_permille=50))
    spec.data_sources.extend([source("plates"), source("archive")])
    spec.price_millieur_per_hour_max = 12_500
    return spec


def read(spec: workload_pb2.WorkloadSpec) -> WorkloadSpec:
    return codec_workload.spec_in(spec, "it")


def refusal_after(change: Change) -> RefusalError:
    spec = whole_spec()
    read(spec)
    change(spec)
    with pytest.raises(RefusalError) as refusal:
        read(spec)
    assert refusal.value.reason is Reason.INVALID_FIELD
    return refusal.value


def set_to(path: str, value: Any) -> Change:
    """Sets a field by its dotted path, indices as numbers."""

    def change(message: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            message = message[int(step)] if step.isdigit() else getattr(message, step)
        setattr(message, last, value)

    return change


def test_absent_parts_have_the_defaults() -> None:
    spec = read(plain_spec())
    assert (spec.replicas_max, spec.zones, spec.spread) == (0, ZoneBounds(1, 1), ())
    assert (spec.service, spec.preferences, spec.objective) == (None, Preferences(), Objective(1_000, 50, 0))
    assert (spec.data_sources, spec.price_millieur_per_hour_max, spec.latency.response_us_max) == ((), 0, 0)


def test_a_replica_serves_one_request_at_once_if_nothing_is_said() -> None:
    spec = whole_spec()
    spec.service.ClearField("concurrency")
    service = read(spec).service
    assert isinstance(service, ServiceProfile)
    assert service.concurrency == 1


def test_an_unset_country_of_a_data_source_is_unknown() -> None:
    spec = whole_spec()
    spec.data_sources[0].country = ""
    assert [found.country for found in read(spec).data_sources] == [None, "NO"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("replicas_max", -1), "replicas_max"),
        (set_to("replicas_max", 1_001), "replicas_max"),
        (set_to("zones.minimum", 0), "zones.minimum"),
        (set_to("zones.maximum", 0), "zones.maximum"),
        (set_to("spread.0.level", 0), "spread[0].level"),
        (set_to("spread.0.level", 9), "spread[0].level"),
        (set_to("spread.0.level", workload_pb2.SPREAD_LEVEL_ZONE), "spread[1]"),
        (set_to("spread.0.domains_min", 0), "spread[0].domains_min"),
        (set_to("spread.0.domains_min", 1), "spread[0]"),
        (set_to("spread.1.replicas_per_domain_max", -1), "spread[1].replicas_per_domain_max"),
        (lambda s: s.spread.extend(s.spread[0] for _ in range(3)), "spread"),
        (lambda s: s.service.ClearField("times"), "service.times"),
        (lambda s: s.service.times.extend(time(f"M{n}") for n in range(40)), "service.times"),
        (set_to("service.times.1.model", "l40s"), "service.times[1]"),
        (set_to("service.times.2.model", "L4/8"), "service.times[2].model"),
        (set_to("service.times.2.model", "nvidia/"), "service.times[2].model"),
        (set_to("service.times.2.model", "nvidia/H100/mig-big"), "service.times[2].model"),
        (lambda s: s.service.times.append(time("L4")), "service.times[2].model"),
        (set_to("service.times.0.mean_us", 0), "service.times[0].mean_us"),
        (set_to("service.times.0.mean_us", 3_600_000_001), "service.times[0].mean_us"),
        (set_to("service.times.0.scv_permille", -1), "service.times[0].scv_permille"),
        (set_to("service.times.0.scv_permille", 100_001), "service.times[0].scv_permille"),
        (set_to("service.concurrency", -1), "service.concurrency"),
        (set_to("service.concurrency", 10_001), "service.concurrency"),
        (set_to("service.request_bytes", -1), "service.request_bytes"),
        (set_to("service.response_bytes", 2**40 + 1), "service.response_bytes"),
        (set_to("service.concurrency", 10_000), "service.concurrency"),
        (set_to("latency.response_us_max", -1), "latency.response_us_max"),
        (lambda s: s.preferences.ordered[0].operators.append("Solvik"), "preferences.ordered[0].operators[1]"),
        (lambda s: s.preferences.ordered[0].operators.append("nordavind"), "preferences.ordered[0].operators[1]"),
        (lambda s: s.preferences.ordered[0].zones.append("umea-1"), "preferences.ordered[0].zones[1]"),
        (lambda s: s.preferences.ordered[0].zones.append("skargard/umea-1"), "preferences.ordered[0].zones[1]"),
        (
            lambda s: s.preferences.ordered[0].operators.extend(f"o{n}" for n in range(300)),
            "preferences.ordered[0].operators",
        ),
        (lambda s: s.preferences.ordered.add(), "preferences.ordered[1]"),
        (lambda s: s.preferences.ordered.extend(s.preferences.ordered[0] for _ in range(16)), "preferences.ordered"),
        (lambda s: s.preferences.soft.extend(s.preferences.soft[0] for _ in range(32)), "preferences.soft"),
        (lambda s: s.preferences.soft[0].selector.countries.append("UK"), "preferences.soft[0].selector.countries[1]"),
        (set_to("preferences.soft.0.selector.predicate", "x" * 1_001), "preferences.soft[0].selector.predicate"),
        (set_to("preferences.soft.0.selector.predicate", "a\nb"), "preferences.soft[0].selector.predicate"),
        (
            set_to("preferences.soft.0.selector.predicate", "zone.coutry == 'NO'"),
            "preferences.soft[0].selector.predicate",
        ),
        (lambda s: s.preferences.soft[0].ClearField("selector"), "preferences.soft[0].selector"),
        (set_to("preferences.soft.0.weight_permille", 0), "preferences.soft[0].weight_permille"),
        (set_to("preferences.soft.0.weight_permille", 1_000_001), "preferences.soft[0].weight_permille"),
        (set_to("objective.price_permille", -1), "objective.price_permille"),
        (set_to("objective.carbon_permille", 1_000_001), "objective.carbon_permille"),
        (lambda s: s.objective.Clear(), "objective"),
        (set_to("data_sources.1.name", "plates"), "data_sources[1]"),
        (set_to("data_sources.0.name", "Plates"), "data_sources[0].name"),
        (set_to("data_sources.0.node", ""), "data_sources[0].node"),
        (set_to("data_sources.0.country", "NOR"), "data_sources[0].country"),
        (set_to("data_sources.0.data", 0), "data_sources[0].data"),
        (lambda s: s.data_sources.extend(source(f"s{n}") for n in range(40)), "data_sources"),
        (set_to("price_millieur_per_hour_max", -1), "price_millieur_per_hour_max"),
    ],
)
def test_a_malformed_part_is_refused_by_its_field(change: Change, field: str) -> None:
    assert refusal_after(change).field == f"it.{field}"


@pytest.mark.parametrize(
    ("change", "field", "nearest"),
    [
        (set_to("replicas_max", 1), "replicas_max", "the nearest is 2"),
        (set_to("zones.minimum", 5), "zones.minimum", "the nearest is 4"),
        (set_to("zones.maximum", 7), "zones.maximum", "the nearest is 6"),
        (set_to("spread.0.domains_min", 5), "spread[0].domains_min", "the nearest is 4"),
        (set_to("replicas", 0), "replicas", "the nearest is 1"),
        (set_to("service.times.0.p95_us", 39_999), "service.times[0].p95_us", "the nearest is 40000"),
        (set_to("service.times.0.p99_us", 54_999), "service.times[0].p99_us", "the nearest is 55000"),
        (set_to("latency.percentile", 96), "latency.percentile", "the nearest is 95"),
        (lambda s: s.ClearField("service"), "latency.response_us_max", "the nearest without one is 0"),
        (set_to("data_sources.0.country", "Norway"), "data_sources[0].country", "did you mean 'NO'"),
    ],
)
def test_fields_that_contradict_each_other_are_refused_with_the_nearest_value(
    change: Change, field: str, nearest: str
) -> None:
    refusal = refusal_after(change)
    assert refusal.field == f"it.{field}"
    assert nearest in str(refusal)


def test_more_replicas_than_the_domains_may_hold_are_refused_with_how_many_each_would_need() -> None:
    spec = whole_spec()
    spec.replicas, spec.replicas_max = 9, 9
    with pytest.raises(RefusalError) as refusal:
        read(spec)
    assert refusal.value.field == "it.spread[1].replicas_per_domain_max"
    assert "the nearest is 3" in str(refusal.value)
    spec.spread[1].replicas_per_domain_max = 3
    assert read(spec).replicas == 9


def test_one_replica_does_not_spread_over_two_zones_by_default() -> None:
    spec = plain_spec()
    spec.spread.append(workload_pb2.SpreadRule(level=workload_pb2.SPREAD_LEVEL_OPERATOR, domains_min=2))
    with pytest.raises(RefusalError, match=r"zones\.maximum is 1; the nearest is 1"):
        read(spec)


# --- submissions ---


def submission(expect_generation: int) -> workload_service_pb2.SubmitWorkloadRequest:
    name = "tenants/acme/workloads/ocr"
    return workload_service_pb2.SubmitWorkloadRequest(
        request_id="r1", name=name, spec=plain_spec(), expect_generation=expect_generation
    )


def test_a_submission_carries_the_generation_that_it_was_planned_on() -> None:
    assert codec_service.submit_in(submission(8812)).expect_generation == 8812
    assert codec_service.submit_in(submission(0)).expect_generation == 0


def test_a_generation_below_zero_is_refused() -> None:
    with pytest.raises(RefusalError) as refusal:
        codec_service.submit_in(submission(-1))
    assert refusal.value.field == "expect_generation"


def test_another_expected_generation_is_another_payload() -> None:
    """So that a request id cannot be used again with another expectation and be answered from before."""
    first, second = (codec_service.submit_in(submission(n)) for n in (1, 2))
    assert first.payload_digest != second.payload_digest

"""Replicas, zones, spread, service, preferences and data sources of a workload file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hansa_control.adapters import codec_workload

from hansa.errors import HansaError
from hansa.spec_demand import OPTIONAL_KEYS
from hansa.spec_file import parse_workload_text
from hansa.spec_service import quantile_us
from hansa.v1 import common_pb2, workload_pb2

HEAD = f"""\
kind: Workload
name: yard-ocr
artefact: ocr-server@sha256:{"5e" * 32}
resources: {{cpu: 500m, memory: 1GiB}}
users: [{{access_point: oslo, requests_per_s: 5}}]
residency: none
"""
LATENCY = "latency: {rtt_ms_max: 24}"
SERVICE = "service: {times: {mean_ms: 40}}"


def spec(*lines: str, latency: str = LATENCY) -> workload_pb2.WorkloadSpec:
    return parse_workload_text("\n".join([HEAD + latency, *lines]), "havneby").spec


def refusal(*lines: str, latency: str = LATENCY) -> HansaError:
    with pytest.raises(HansaError) as caught:
        parse_workload_text("\n".join([HEAD + latency, *lines]), "havneby", source="yard.yaml")
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.message.startswith("yard.yaml:")
    return caught.value


def assert_kept_as_sent(sent: workload_pb2.WorkloadSpec) -> None:
    """hansa plan compares what is kept with the file, so the control plane must give back the same message."""
    assert codec_workload.spec_out(codec_workload.spec_in(sent, "spec")) == sent


# --- what is read ---


def test_a_file_without_the_new_keys_is_the_same_message_as_before() -> None:
    found = spec()
    assert found.replicas == 1
    assert [field.name for field, _ in found.ListFields()] == [
        "artefact",
        "cpu_millis",
        "memory_mib",
        "replicas",
        "access",
        "latency",
        "residency",
    ]
    assert_kept_as_sent(found)


def test_a_file_with_everything_is_read_whole() -> None:
    found = spec(
        "replicas: {min: 2, max: 6}",
        "zones: {min: 2, max: 4}",
        "spread: [{level: country, at_least: 2}, {level: zone, replicas_at_most: 2}]",
        "service:",
        "  times: [{accelerator: L40S, mean_ms: 40, p95_ms: 55, p99_ms: 80, scv: 0.2}]",
        "  concurrency: 4",
        "  request_kib: 200",
        "  response_kib: 0.5",
        "prefer:",
        "  ordered: [{operators: [solvik, nordavind]}, {countries: [SE, NO], zones: [skargard/umea-1]}]",
        "  wishes: [{countries: [NO], weight: 0.2}, {predicate: 'zone.renewable_percent > 80', weight: 0.1}]",
        "objective: {latency: 0.5, carbon: 2}",
        "data_sources: [{name: plates, node: oslo, country: NO, data: input}, {name: lake, node: umea, data: backup}]",
        "price_eur_per_hour_max: 12.5",
        latency="latency: {percentile: 99, rtt_ms_max: 24, response_ms_max: 120}",
    )
    expected = spec()
    expected.replicas, expected.replicas_max = 2, 6
    expected.latency.CopyFrom(workload_pb2.LatencyBudget(percentile=99, rtt_us_max=24_000, response_us_max=120_000))
    expected.zones.CopyFrom(workload_pb2.ZoneBounds(minimum=2, maximum=4))
    expected.spread.add(level=workload_pb2.SPREAD_LEVEL_COUNTRY, domains_min=2)
    expected.spread.add(level=workload_pb2.SPREAD_LEVEL_ZONE, domains_min=1, replicas_per_domain_max=2)
    expected.service.CopyFrom(workload_pb2.ServiceProfile(concurrency=4, request_bytes=204_800, response_bytes=512))
    expected.service.times.add(model="L40S", mean_us=40_000, p95_us=55_000, p99_us=80_000, scv_permille=200)
    expected.preferences.ordered.add(operators=["nordavind", "solvik"])
    expected.preferences.ordered.add(countries=["NO", "SE"], zones=["skargard/umea-1"])
    expected.preferences.soft.add(selector=workload_pb2.Selector(countries=["NO"]), weight_permille=200)
    green = workload_pb2.Selector(predicate="zone.renewable_percent > 80")
    expected.preferences.soft.add(selector=green, weight_permille=100)
    expected.objective.CopyFrom(workload_pb2.Objective(latency_permille=500, price_permille=50, carbon_permille=2_000))
    expected.data_sources.add(name="plates", node="oslo", country="NO", data=common_pb2.DATA_CLASS_INPUT)
    expected.data_sources.add(name="lake", node="umea", data=common_pb2.DATA_CLASS_BACKUP)
    expected.price_millieur_per_hour_max = 12_500
    assert found == expected
    assert_kept_as_sent(found)


def test_the_documented_file_is_valid_and_has_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs/workload-file.md").read_text(encoding="utf-8")
    written = page.partition("```yaml\n")[2].partition("```")[0]
    found = parse_workload_text(written, "havneby").spec
    codec_workload.spec_in(found, "spec")
    assert [key for key in OPTIONAL_KEYS if f"\n{key}:" not in written or f"\n| `{key}" not in page] == []


@pytest.mark.parametrize(
    "lines",
    [
        ("replicas: 1", "zones: 1", "objective: {latency: 1.0, price: 0.05, carbon: 0}"),
        ("zones: {max: 1}",),
        ("replicas: {min: 1, max: 1}",),
    ],
)
def test_what_is_written_as_it_is_by_default_is_the_same_as_left_out(lines: tuple[str, ...]) -> None:
    assert spec(*lines) == spec()


def test_a_number_of_zones_is_exactly_so_many() -> None:
    found = spec("replicas: 3", "zones: 2")
    assert (found.zones.minimum, found.zones.maximum) == (2, 2)
    assert_kept_as_sent(found)


def test_replicas_and_zones_begin_at_one_if_only_the_most_is_given() -> None:
    found = spec("replicas: {max: 3}", "zones: {max: 3}")
    assert (found.replicas, found.replicas_max) == (1, 3)
    assert (found.zones.minimum, found.zones.maximum) == (1, 3)
    assert_kept_as_sent(found)


@pytest.mark.parametrize("times", ["{mean_ms: 40}", "[{mean_ms: 40}]", "[{mean_ms: 40, scv: 1}]"])
def test_a_single_service_time_needs_no_list_and_is_exponential(times: str) -> None:
    (time,) = spec(f"service: {{times: {times}}}").service.times
    assert (time.model, time.mean_us, time.scv_permille) == ("", 40_000, 1_000)
    assert (time.p95_us, time.p99_us) == (119_830, 184_207)


def test_a_replica_serves_one_request_at_once_if_nothing_is_said() -> None:
    service = spec(SERVICE).service
    assert (service.concurrency, service.request_bytes, service.response_bytes) == (1, 0, 0)


@pytest.mark.parametrize(
    ("written", "p95_us", "p99_us"),
    [
        ("mean_ms: 40, scv: 0", 40_000, 40_000),
        ("mean_ms: 40, scv: 0, p95_ms: 50", 50_000, 50_000),
        ("mean_ms: 40, p99_ms: 100", 100_000, 100_000),
        ("mean_ms: 40, p95_ms: 300", 300_000, 300_000),
        ("mean_ms: 40, p95_ms: 60", 60_000, 184_207),
    ],
)
def test_a_percentile_that_is_written_bounds_the_one_that_is_left_out(written: str, p95_us: int, p99_us: int) -> None:
    (time,) = spec(f"service: {{times: {{{written}}}}}").service.times
    assert (time.p95_us, time.p99_us) == (p95_us, p99_us)


def test_every_pool_and_every_kind_of_data_can_be_named() -> None:
    found = spec("service: {times: [{accelerator: nvidia/H100/mig-1g.10gb, mean_ms: 1}, {mean_ms: 2}]}")
    assert [time.model for time in found.service.times] == ["nvidia/H100/mig-1g.10gb", ""]
    assert_kept_as_sent(found)
    for word in ("input", "output", "weights", "logs", "telemetry", "backup", "artefact"):
        assert spec(f"data_sources: [{{name: a, node: b, data: {word}}}]").data_sources[0].data


# --- percentiles that are left out ---


@pytest.mark.parametrize("scv_permille", [0, 1, 10, 100, 200, 500, 800, 999, 1_000])
@pytest.mark.parametrize("percentile", [95, 99])
def test_percentiles_are_never_below_those_of_the_gamma_distribution_and_little_above(
    scv_permille: int, percentile: int
) -> None:
    from scipy.stats import gamma

    found = quantile_us(1_000_000, scv_permille, percentile)
    shape = 1000 / max(scv_permille, 1e-9)
    true_us: Any = 1_000_000 * gamma.ppf(percentile / 100, shape, scale=1 / shape) if scv_permille else 1_000_000
    assert 0.999_999_9 * true_us <= found <= 1.02 * true_us


@pytest.mark.parametrize("scv_permille", [1_001, 4_000, 100_000])
def test_percentiles_of_what_varies_more_hold_for_the_worst_distribution_of_two_values(scv_permille: int) -> None:
    for percentile in (95, 99):
        deviation_us = 1_000_000 * (scv_permille / 1000) ** 0.5
        tail = 1 - percentile / 100
        worst_us = 1_000_000 + deviation_us * ((1 - tail) / tail) ** 0.5
        assert worst_us - 1 <= quantile_us(1_000_000, scv_permille, percentile) <= worst_us + 1


def test_percentiles_grow_with_variation() -> None:
    for percentile in (95, 99):
        figures = [quantile_us(1_000_000, scv, percentile) for scv in range(0, 3_000, 10)]
        assert figures == sorted(figures)


def test_the_largest_figures_that_a_file_may_give_are_taken_by_the_control_plane() -> None:
    assert_kept_as_sent(
        spec(
            "replicas: 1000",
            "zones: 1000",
            "service: {times: {mean_ms: 3600000, scv: 100}, concurrency: 10, request_kib: 1073741824}",
            "objective: {latency: 1000, price: 1000, carbon: 1000}",
            "prefer: {wishes: [{countries: [NO], weight: 1000}]}",
            "price_eur_per_hour_max: 1000000000",
            latency="latency: {rtt_ms_max: 60000, response_ms_max: 3600000}",
        )
    )


# --- what is refused ---


@pytest.mark.parametrize(
    ("line", "field", "part"),
    [
        ("replicas: {min: 3, max: 2}", "replicas.max", "nearest valid: 3"),
        ("replicas: {min: 2}", "replicas", "'max' is missing"),
        ("replicas: {least: 2, max: 3}", "replicas.least", "unknown key"),
        ("replicas: [2]", "replicas", "single value"),
        ("zones: 2", "zones", "nearest valid: 1"),
        ("zones: {min: 2, max: 1}", "zones.max", "nearest valid: 2"),
        ("zones: 0", "zones", "nearest valid: 1"),
        ("spread: []", "spread", "at least one rule"),
        ("spread: {level: zone}", "spread", "expected a list"),
        ("spread: [{at_least: 2}]", "spread[0]", "'level' is missing"),
        ("spread: [{level: rack, at_least: 2}]", "spread[0].level", "zone, failure-domain, operator, country"),
        ("spread: [{level: contry, at_least: 2}]", "spread[0].level", "did you mean country?"),
        ("spread: [{level: zone}]", "spread[0]", "restricts nothing"),
        ("spread: [{level: zone, at_least: 1}]", "spread[0].at_least", "nearest valid: 2"),
        ("spread: [{level: country, at_least: 2}]", "spread[0].at_least", "nearest valid: 1"),
        (
            "spread: [{level: zone, replicas_at_most: 1}, {level: zone, replicas_at_most: 2}]",
            "spread[1].level",
            "stands twice",
        ),
        ("replicas: 5\nzones: 2\nspread: [{level: zone, replicas_at_most: 2}]", "spread[0].replicas_at_most", ": 3"),
        ("service: {concurrency: 4}", "service", "'times' is missing"),
        ("service: {times: []}", "service.times", "at least one"),
        ("service: {times: {mean: 4}}", "service.times.mean", "did you mean mean_ms?"),
        ("service: {times: {mean_ms: 0}}", "service.times.mean_ms", "nearest valid: 0.001"),
        ("service: {times: {mean_ms: 0.0005}}", "service.times.mean_ms", "nearest valid: 0.001"),
        ("service: {times: {mean_ms: 4, p95_ms: 3}}", "service.times.p95_ms", "less than mean_ms; nearest valid: 4"),
        ("service: {times: {mean_ms: 4, p95_ms: 9, p99_ms: 8}}", "service.times.p99_ms", "nearest valid: 9"),
        ("service: {times: {mean_ms: 4, p99_ms: 3}}", "service.times.p99_ms", "nearest valid: 4"),
        ("service: {times: {mean_ms: 4, scv: -1}}", "service.times.scv", "nearest valid: 0"),
        ("service: {times: {mean_ms: 4, scv: 101}}", "service.times.scv", "nearest valid: 100"),
        ("service: {times: {mean_ms: 4, scv: nan}}", "service.times.scv", "at least 0"),
        ("service: {times: {mean_ms: 4, accelerator: L4/2}}", "service.times.accelerator", "no accelerator"),
        (
            "service: {times: [{accelerator: L4, mean_ms: 1}, {accelerator: l4, mean_ms: 2}]}",
            "service.times[1]",
            "l4 has a service time already",
        ),
        ("service: {times: [{mean_ms: 1}, {accelerator: L4, mean_ms: 2}]}", "service.times[1]", "put that one last"),
        (f"{SERVICE[:-1]}, concurrency: 0}}", "service.concurrency", "nearest valid: 1"),
        (f"{SERVICE[:-1]}, request_kb: 1}}", "service.request_kb", "did you mean request_kib?"),
        ("prefer: {}", "prefer", "prefers nothing"),
        ("prefer: {ordered: [{}]}", "prefer.ordered[0]", "chooses no zones"),
        ("prefer: {ordered: [{operators: []}]}", "prefer.ordered[0].operators", "at least one"),
        ("prefer: {ordered: [{operators: [Nordavind]}]}", "prefer.ordered[0].operators[0]", "nordavind"),
        ("prefer: {ordered: [{countries: [UK]}]}", "prefer.ordered[0].countries[0]", "did you mean GB?"),
        ("prefer: {ordered: [{zones: [oslo-1]}]}", "prefer.ordered[0].zones[0]", "OPERATOR/ZONE"),
        ("prefer: {ordered: [{operator: [a]}]}", "prefer.ordered[0].operator", "did you mean operators?"),
        ("prefer: {wishes: [{countries: [NO]}]}", "prefer.wishes[0]", "'weight' is missing"),
        ("prefer: {wishes: [{weight: 1}]}", "prefer.wishes[0]", "chooses no zones"),
        ("prefer: {wishes: [{countries: [NO], weight: 0}]}", "prefer.wishes[0].weight", "nearest valid: 0.001"),
        ('prefer: {wishes: [{predicate: "a\\nb", weight: 1}]}', "prefer.wishes[0].predicate", "one line"),
        ("objective: {latency: 0, price: 0, carbon: 0}", "objective", "weighs nothing"),
        ("objective: {cost: 1}", "objective.cost", "valid: carbon, latency, price"),
        ("objective: {price: -0.1}", "objective.price", "nearest valid: 0"),
        ("data_sources: []", "data_sources", "at least one"),
        ("data_sources: [{name: a, node: b}]", "data_sources[0]", "'data' is missing"),
        ("data_sources: [{name: a, node: b, data: inputs}]", "data_sources[0].data", "did you mean input?"),
        ("data_sources: [{name: a, node: b, data: input, country: uk}]", "data_sources[0].country", "mean GB?"),
        ("data_sources: [{name: a, node: Oslo, data: input}]", "data_sources[0].node", "nearest valid: oslo"),
        (
            "data_sources: [{name: a, node: b, data: input}, {name: a, node: c, data: logs}]",
            "data_sources[1].name",
            "stands twice",
        ),
        ("price_eur_per_hour_max: 0", "price_eur_per_hour_max", "nearest valid: 0.001"),
        ("price_eur_per_hour_max: 1.2345", "price_eur_per_hour_max", "nearest valid: 1.235"),
        ("price_eur_max: 1", "price_eur_max", "did you mean price_eur_per_hour_max?"),
    ],
)
def test_what_is_malformed_is_refused_with_field_line_and_nearest_value(line: str, field: str, part: str) -> None:
    error = refusal(line)
    assert error.field == field
    assert part in error.message


def test_a_bound_on_the_response_needs_a_service_profile() -> None:
    latency = "latency: {rtt_ms_max: 24, response_ms_max: 120}"
    error = refusal(latency=latency)
    assert error.field == "latency.response_ms_max"
    assert error.message == "yard.yaml:7: needs service beside latency, with how long a request takes"
    assert spec(SERVICE, latency=latency).latency.response_us_max == 120_000

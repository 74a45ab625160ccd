from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from hansa.errors import HansaError
from hansa.spec_file import load_workload, parse_workload_text
from hansa.v1 import residency_pb2, workload_pb2

DIGEST = "sha256:" + "5e" * 32
LINES = {
    "kind": "kind: Workload",
    "name": "name: yard-ocr",
    "artefact": f"artefact: {{name: ocr-server, digest: {DIGEST}}}",
    "accelerators": "accelerators: {any_of: [L40S, H100], count: 1, memory_gib_min: 40}",
    "resources": "resources: {cpu: 500m, memory: 1GiB}",
    "replicas": "replicas: 1",
    "users": "users: [{access_point: oslo, requests_per_s: 5}, {access_point: goteborg, requests_per_s: 0.5}]",
    "latency": "latency: {percentile: 95, rtt_ms_max: 24}",
    "residency": "residency: {data: [SE, NO], control: [NO], transit: [NO, SE], deny_laws: [US-CLOUD-ACT]}",
}


def text(**changes: str | None) -> str:
    lines = {**LINES, **changes}
    return "\n".join(line for line in lines.values() if line is not None)


def spec(**changes: str | None) -> workload_pb2.WorkloadSpec:
    return parse_workload_text(text(**changes), "havneby").spec


def refusal(**changes: str | None) -> HansaError:
    with pytest.raises(HansaError) as caught:
        parse_workload_text(text(**changes), "havneby", source="yard.yaml")
    assert caught.value.reason == "INVALID_FIELD"
    return caught.value


def test_a_whole_file_becomes_a_spec() -> None:
    found = parse_workload_text(text(), "havneby")
    assert str(found.name) == "tenants/havneby/workloads/yard-ocr"
    assert (found.spec.artefact.name, found.spec.artefact.digest) == ("ocr-server", DIGEST)
    assert (found.spec.cpu_millis, found.spec.memory_mib, found.spec.replicas) == (500, 1024, 1)
    assert [(user.access_point, user.demand_millirps) for user in found.spec.access] == [
        ("oslo", 5000),
        ("goteborg", 500),
    ]
    assert (found.spec.latency.percentile, found.spec.latency.rtt_us_max) == (95, 24_000)


def test_norway_is_a_country_and_no_boolean() -> None:
    policy = spec().residency
    assert list(policy.site.countries_allowed) == ["NO", "SE"]
    assert list(policy.legal.countries_allowed) == ["NO"]
    assert list(policy.legal.laws_denied) == ["US-CLOUD-ACT"]


def test_what_may_be_left_out_has_its_default() -> None:
    found = spec(replicas=None, accelerators=None, latency="latency: {rtt_ms_max: 20.5}")
    assert found.replicas == 1
    assert not found.HasField("accelerator")
    assert (found.latency.percentile, found.latency.rtt_us_max) == (95, 20_500)
    assert found.residency.on_change == residency_pb2.ON_CHANGE_DRAIN


@pytest.mark.parametrize(
    ("written", "models", "count", "memory_mib"),
    [
        ("H100:2", ["H100"], 2, 0),
        ("L40S", ["L40S"], 1, 0),
        ("[L40S:2, H100:2]", ["L40S", "H100"], 2, 0),
        ("{any_of: H100:4}", ["H100"], 4, 0),
        ("{count: 2, memory_mib_min: 20000}", [], 2, 20_000),
        ("{any_of: [L40S], memory_gib_min: 1.5}", ["L40S"], 1, 1_536),
    ],
)
def test_accelerators_are_read_as_teams_type_them(written: str, models: list[str], count: int, memory_mib: int) -> None:
    need = spec(accelerators=f"accelerators: {written}").accelerator
    assert (list(need.any_of), need.count, need.memory_mib_min) == (models, count, memory_mib)


def test_the_short_form_of_an_artefact_is_read() -> None:
    assert spec(artefact=f"artefact: ocr-server@{DIGEST}").artefact.digest == DIGEST


@pytest.mark.parametrize(("cpu", "millis"), [("500m", 500), ("2", 2000), ("0.25", 250), ("1.5", 1500)])
def test_cpu_is_read_in_cores_and_thousandths(cpu: str, millis: int) -> None:
    assert spec(resources=f"resources: {{cpu: {cpu}, memory: 512Mi}}").cpu_millis == millis


def test_no_residency_must_be_said_and_then_restricts_nothing() -> None:
    policy = spec(residency="residency: none").residency
    assert not (policy.HasField("site") or policy.HasField("legal") or policy.HasField("transit"))
    assert "residency" in refusal(residency=None).message


def test_only_the_parts_that_are_named_restrict() -> None:
    policy = spec(residency="residency: {data: [DE], deny_laws: [], on_change: keep-and-alert}").residency
    assert policy.HasField("site")
    assert not (policy.HasField("legal") or policy.HasField("transit"))
    assert policy.on_change == residency_pb2.ON_CHANGE_KEEP_AND_ALERT


def test_a_group_of_countries_is_read_as_of_the_day_that_is_given() -> None:
    written = text(residency="residency: {data: [Nordic]}")
    found = parse_workload_text(written, "havneby", as_of=date(2026, 11, 22)).spec
    assert list(found.residency.site.countries_allowed) == ["DK", "FI", "IS", "NO", "SE"]
    with pytest.raises(HansaError, match="no group of countries"):
        parse_workload_text(written, "havneby")


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one() -> None:
    error = refusal(residency="residency:\n  data: [NO]\n  trasnit: [NO]")
    assert error.field == "residency.trasnit"
    assert error.message == "yard.yaml:11: unknown key 'trasnit'; did you mean transit?"


@pytest.mark.parametrize(
    ("key", "line", "field", "part"),
    [
        ("kind", "kind: Job", "kind", "not one of Workload"),
        ("kind", None, "", "key 'kind' is missing"),
        ("name", "name: Yard_OCR", "name", "nearest valid: yard-ocr"),
        ("name", "name: [a]", "name", "expected a single value"),
        ("residency", "residency:", "residency", "is empty; expected rules as in {data: [NO, SE]}"),
        ("resources", "resources: {cpu: 0, memory: 1GiB}", "resources.cpu", "between 1m and 1000; nearest valid: 1m"),
        ("resources", "resources: {cpu: 1000000000000, memory: 1GiB}", "resources.cpu", "nearest valid: 1000"),
        ("resources", "resources: {cpu: 1000001m, memory: 1GiB}", "resources.cpu", "nearest valid: 1000"),
        ("resources", "resources: {cpu: 1.50001, memory: 1GiB}", "resources.cpu", "no amount of CPU, for example 500m"),
        ("resources", "resources: {cpu: 1.50001, memory: 1GiB}", "resources.cpu", "nearest valid: 1501m"),
        ("resources", "resources: {cpu: 1e999999, memory: 1GiB}", "resources.cpu", "nearest valid: 1000"),
        ("resources", "resources: {cpu: -2, memory: 1GiB}", "resources.cpu", "nearest valid: 1m"),
        ("name", 'name: "ocr\\ud800"', "name", "holds half of a surrogate pair"),
        (
            "residency",
            'residency: {transit: [NO], deny_carriers: ["\\udfff"]}',
            "residency.deny_carriers[0]",
            "surrogate",
        ),
        ("artefact", "artefact: {name: ocr, digest: latest}", "artefact.digest", "64 hex digits"),
        ("artefact", "artefact: ocr-server", "artefact", "NAME@sha256"),
        ("accelerators", "accelerators: {ordered: [H100]}", "accelerators.ordered", "unknown key"),
        ("accelerators", "accelerators: [L40S:1, H100:2]", "accelerators", "same count"),
        ("accelerators", "accelerators: [L40S, L40S]", "accelerators", "stands twice"),
        ("accelerators", "accelerators: []", "accelerators", "at least one model"),
        ("accelerators", "accelerators: 'H100:0'", "accelerators", "between 1 and 1024"),
        ("accelerators", "accelerators: {any_of: H100:2, count: 3}", "accelerators.count", "stands in any_of already"),
        ("accelerators", "accelerators: {memory_gib_min: 1, memory_mib_min: 1}", "accelerators.memory_mib_min", "both"),
        ("resources", "resources: {cpu: '0.0001', memory: 1GiB}", "resources.cpu", "no amount of CPU"),
        ("resources", "resources: {cpu: 1, memory: 1GB}", "resources.memory", "512MiB or 1GiB"),
        ("resources", "resources: {cpu: 1, memory: 2GB}", "resources.memory", "nearest valid: 1908MiB"),
        ("resources", "resources: {cpu: 1, memory: 2GB}", "resources.memory", "did you mean 2GiB?"),
        ("resources", "resources: {cpu: 1, memory: 512m}", "resources.memory", "did you mean 512MiB?"),
        ("resources", "resources: {cpu: 1, memory: 2gib}", "resources.memory", "nearest valid: 2048MiB"),
        ("resources", "resources: {cpu: 1, memory: 99TiB}", "resources.memory", "nearest valid: 67108864MiB"),
        ("resources", "resources: {cpu: 1, memory: plenty}", "resources.memory", "or 1GiB"),
        ("resources", "resources: {cpu: 1, memory: 0.0001GiB}", "resources.memory", "whole number of MiB"),
        ("replicas", "replicas: 0", "replicas", "nearest valid: 1"),
        ("replicas", "replicas: 99999999999999999999999", "replicas", "nearest valid: 1000"),
        ("replicas", "replicas: two", "replicas", "not a whole number"),
        ("users", "users: []", "users", "at least one access point"),
        ("users", "users: [oslo]", "users[0]", "expected a mapping"),
        ("users", "users: [{access_point: oslo}]", "users[0]", "requests_per_s"),
        ("users", "users: [{access_point: oslo, requests_per_s: -1}]", "users[0].requests_per_s", "more than 0"),
        ("users", "users: [{access_point: oslo, requests_per_s: nan}]", "users[0].requests_per_s", "more than 0"),
        (
            "users",
            "users: [{access_point: oslo, requests_per_s: 0.0001}]",
            "users[0].requests_per_s",
            "finer than 1/1000",
        ),
        (
            "users",
            "users: [{access_point: a, requests_per_s: 1}, {access_point: a, requests_per_s: 1}]",
            "users[1].access_point",
            "stands twice",
        ),
        ("latency", "latency: {percentile: 90, rtt_ms_max: 24}", "latency.percentile", "50, 95, 99"),
        ("latency", "latency: {rtt_ms_max: fast}", "latency.rtt_ms_max", "not a number"),
        ("latency", "latency: {rtt_ms_max: 1e999999}", "latency.rtt_ms_max", "at most"),
        ("residency", "residency: {}", "residency", "restricts nothing"),
        ("residency", "residency: {data: []}", "residency.data", "at least one country"),
        ("residency", "residency: {data: [no]}", "residency.data[0]", "did you mean NO?"),
        ("residency", "residency: {data: [UK]}", "residency.data[0]", "did you mean GB?"),
        ("residency", "residency: {data: NO}", "residency.data", "expected a list"),
        ("residency", "residency: {data: [NO], deny_laws: [X]}", "residency.deny_laws", "needs control"),
        ("residency", "residency: {data: [NO], deny_carriers: [x]}", "residency.deny_carriers", "needs transit"),
        ("residency", "residency: {data: [NO], on_change: drian}", "residency.on_change", "did you mean drain?"),
        ("residency", "residency: {data: [NO], data: [SE]}", "residency.data", "stands twice, first in line 9"),
    ],
)
def test_what_is_malformed_is_refused_with_field_and_line(key: str, line: str | None, field: str, part: str) -> None:
    error = refusal(**{key: line})
    assert error.field == field
    assert part in error.message
    assert error.message.startswith("yard.yaml:")


@pytest.mark.parametrize(
    "content",
    ["", "# nothing", "a: [", "a: b: c", "- x", "!!python/object:os.system {}", "---\na: 1\n---\nb: 2", "[" * 5000],
)
def test_what_is_no_document_is_refused_without_a_traceback(content: str) -> None:
    with pytest.raises(HansaError) as caught:
        parse_workload_text(content, "havneby", source="x.yaml")
    assert caught.value.reason == "INVALID_FIELD"


def test_a_file_is_read_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "yard.yaml"
    path.write_text(text())
    assert load_workload(path, "havneby").spec == spec()
    path.write_text(text(replicas="replica: 2"))
    with pytest.raises(HansaError, match=r"yard\.yaml:6: unknown key 'replica'; did you mean replicas\?"):
        load_workload(path, "havneby")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HansaError, match=r"NOT_FOUND \(file\): .*absent\.yaml"):
        load_workload(tmp_path / "absent.yaml", "havneby")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HansaError, match="not UTF-8"):
        load_workload(tmp_path / "binary.yaml", "havneby")
    (tmp_path / "large.yaml").write_bytes(b"#" * 1_100_000)
    with pytest.raises(HansaError, match="larger than"):
        load_workload(tmp_path / "large.yaml", "havneby")

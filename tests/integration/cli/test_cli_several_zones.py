"""`hansa plan` and `hansa endpoint` of a workload in several zones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cli_canned as canned
import pytest
from cli_fake_service import FakeService

from hansa.v1 import workload_pb2, workload_service_pb2

Hansa = Callable[..., Any]


@pytest.fixture
def in_two(workload_file: Path, service: FakeService) -> Path:
    """A workload file that asks for two zones, and an operator that plans them."""
    workload_file.write_text(canned.YARD_OCR_YAML.replace("replicas: 1", "replicas: 2") + ZONES_YAML)
    zones = ("nordavind/oslo-1", "solvik/sto-1")
    assignments = [workload_pb2.Assignment(zone=zone, replicas=1, share_permille=[500]) for zone in zones]
    service.plan.decision.plan.CopyFrom(workload_pb2.Plan(assignments=assignments))
    return workload_file


ZONES_YAML = "zones: {min: 2, max: 2}\n"


def test_a_plan_of_what_runs_in_no_zone_is_a_change(hansa: Hansa, in_two: Path) -> None:
    answer = hansa("plan", "-f", in_two)
    assert (answer.code, answer.out.splitlines()[0]) == (
        1,
        "change: yard-ocr would be placed in nordavind/oslo-1 and solvik/sto-1",
    )


def test_a_plan_that_leaves_a_zone_is_a_change_that_names_all(hansa: Hansa, in_two: Path, service: FakeService) -> None:
    service.plan.current_zone = "nordavind/oslo-1"
    service.plan.current_zones.extend(["nordavind/oslo-1", "skargard/umea-1"])
    answer = hansa("plan", "-f", in_two)
    assert (answer.code, answer.out.splitlines()[0]) == (
        1,
        "change: yard-ocr would move from nordavind/oslo-1 and skargard/umea-1 to nordavind/oslo-1 and solvik/sto-1",
    )


def test_a_plan_of_the_zones_where_it_runs_is_no_change_but_for_its_spec(
    hansa: Hansa, in_two: Path, service: FakeService
) -> None:
    service.plan.current_zone = "nordavind/oslo-1"
    service.plan.current_zones.extend(["nordavind/oslo-1", "solvik/sto-1"])
    answer = hansa("plan", "-f", in_two)
    assert (answer.code, "its spec changes" in answer.out) == (1, True)
    assert hansa("submit", "-f", in_two).code == 0
    service.workloads[canned.NAME].spec.CopyFrom(service.called("SubmitWorkload")[-1].spec)
    answer = hansa("plan", "-f", in_two)
    assert (answer.code, answer.out.splitlines()[0]) == (
        0,
        "no change: yard-ocr is in nordavind/oslo-1 and solvik/sto-1 already, as it should be",
    )


def test_zones_that_do_not_add_up_to_a_plan_are_infeasible_and_it_says_why(
    hansa: Hansa, in_two: Path, service: FakeService
) -> None:
    service.plan.decision.ClearField("plan")
    service.plan.decision.nearest_fix = "fewer than 2 zones are feasible"
    answer = hansa("plan", "-f", in_two)
    assert answer.code == 2
    told = "infeasible: there is no plan for yard-ocr together: fewer than 2 zones are feasible"
    assert answer.out.splitlines()[0] == told
    assert "nearest fix" not in answer.out


def test_the_endpoints_of_several_zones_come_with_their_shares_and_authorities(
    hansa: Hansa, service: FakeService, tmp_path: Path
) -> None:
    for zone, permille in (("nordavind/oslo-1", 750), ("solvik/sto-1", 250)):
        share = workload_service_pb2.AccessShare(access_point="oslo", share_permille=permille)
        one = workload_service_pb2.ZoneEndpoint(
            zone=zone,
            endpoint_urls=["https://h:1"],
            replicas=1,
            shares=[share],
            endpoint_ca_pem=zone.encode(),
        )
        service.zone_endpoints.append(one)
    answer = hansa("endpoint", "yard-ocr", "--ca-file", tmp_path / "zones.pem")
    assert [line.split()[0] for line in answer.out.splitlines()] == ["ZONE", "nordavind/oslo-1", "solvik/sto-1"]
    assert "75 %" in answer.out
    bundle = (tmp_path / "zones.pem").read_bytes()
    assert bundle.startswith(canned.CA_PEM)
    assert bundle.endswith(b"nordavind/oslo-1\nsolvik/sto-1\n")
    answer = hansa("endpoint", "yard-ocr", "-o", "json")
    data = json.loads(answer.out)
    assert [(one["zone"], one["shares"][0]["share_permille"]) for one in data["zones"]] == [
        ("nordavind/oslo-1", 750),
        ("solvik/sto-1", 250),
    ]

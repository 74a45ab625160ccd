"""``hansa optimize --plan`` against a real server: what people and programs read, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cli_fake_service import FakeService

from hansa.errors import HansaError
from hansa.v1 import optimization_pb2, reason_pb2, workload_pb2

Hansa = Callable[..., Any]


def felt(p95_us: int, headroom_us: int) -> optimization_pb2.FeltLatency:
    return optimization_pb2.FeltLatency(p95_us=p95_us, headroom_us=headroom_us)


def plan() -> optimization_pb2.Optimization:
    """Three moves, one of them mending, and one workload each without a zone and left alone."""
    mended = workload_pb2.Rejection(zone="nordavind/umea-1", reason=reason_pb2.REASON_SITE_COUNTRY_DENIED)
    moves = [
        optimization_pb2.WorkloadMove(
            workload=f"tenants/harbour/workloads/{name}",
            kind=optimization_pb2.MOVE_KIND_MOVE,
            origin="nordavind/umea-1",
            target=target,
            replicas=2,
            pool="nvidia/L4",
            gain=gain,
            terms=[workload_pb2.ScoreTerm(name="latency", value=gain)],
            before=felt(31_400, 2_000),
            after=felt(12_300, 21_000),
            hazards=hazards,
        )
        for name, target, gain, hazards in (
            ("yard-ocr", "nordavind/oslo-1", 0.42, []),
            ("gate-ocr", "skargard/stockholm-1", 0.21, [optimization_pb2.MOVE_HAZARD_PARTNER]),
            ("crane-asr", "skargard/stockholm-1", 0.11, [optimization_pb2.MOVE_HAZARD_PARTNER]),
        )
    ]
    moves[0].mends.append(mended)
    totals = {"placed": 4, "carbon_mg_per_hour": 21_000}
    return optimization_pb2.Optimization(
        moves=moves,
        gain=0.74,
        before=optimization_pb2.FleetTotals(
            latency_permille=412, price_millieur_per_hour=9_120, zones=4, violations=1, **totals
        ),
        after=optimization_pb2.FleetTotals(latency_permille=231, price_millieur_per_hour=9_480, zones=2, **totals),
        unhoused=[
            optimization_pb2.UnhousedWorkload(
                workload="tenants/harbour/workloads/log-nlp",
                zone="waldnetz/hamburg-1",
                proven=True,
                message="no lawful zone: 4 Location, 2 GpuMemory; it stays although SITE_COUNTRY_DENIED",
            )
        ],
        unmoved=[optimization_pb2.UnmovedWorkload(workload="tenants/harbour/workloads/map", message="it is spread")],
        workloads=4,
        snapshot_generation=8_812,
        elapsed_us=1_900_000,
    )


def test_moves_are_shown_in_order_with_gain_and_risk_and_exit_1(hansa: Hansa, service: FakeService) -> None:
    service.optimization = plan()
    answer = hansa("optimize", "--plan")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[0] == "3 moves for 4 workloads: score +0.740 (latency +0.740), 1 violation mended"
    rows = [line.split() for line in lines if line.strip().startswith(("1 ", "2 ", "3 "))][-3:]
    assert [row[1:4] for row in rows] == [
        ["yard-ocr", "nordavind/umea-1", "nordavind/oslo-1"],
        ["gate-ocr", "nordavind/umea-1", "skargard/stockholm-1"],
        ["crane-asr", "nordavind/umea-1", "skargard/stockholm-1"],
    ]
    assert "a partner owns the zone and may refuse  2-3" in answer.out
    assert "no lawful zone: 4 Location, 2 GpuMemory" in answer.out
    assert "it is spread" in answer.out
    assert "nothing was moved" in answer.err


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(
    hansa: Hansa, service: FakeService, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    service.optimization = plan()
    out = hansa("optimize", "--plan").out
    assert max(len(line) for line in out.splitlines()) <= columns
    assert "nordavind/oslo-1" in out


def test_nothing_to_gain_is_exit_0(hansa: Hansa, service: FakeService) -> None:
    answer = hansa("optimize", "--plan")
    assert answer.code == 0
    assert answer.out.startswith("nothing to gain: 3 workloads packed anew, none would move")


def test_programs_read_the_whole_plan(hansa: Hansa, service: FakeService) -> None:
    service.optimization = plan()
    answer = hansa("optimize", "--plan", "-o", "json")
    data = json.loads(answer.out)
    assert answer.code == 1
    assert data["moves"][0]["workload"] == "tenants/harbour/workloads/yard-ocr"
    assert data["moves"][0]["mends"][0]["reason"] == "SITE_COUNTRY_DENIED"
    assert "gap" not in data


def test_the_optimum_is_asked_for_and_its_proof_is_told(hansa: Hansa, service: FakeService) -> None:
    service.optimization.gap = 0.0
    answer = hansa("optimize", "--plan", "--exact", "--exact-time-s", "5")
    assert "proven: no packing is better" in answer.out
    (asked,) = service.called("OptimizePlacements")
    assert (asked.exact, asked.exact_time_ms_max) == (True, 5_000)


def test_acting_is_refused(hansa: Hansa, service: FakeService) -> None:
    answer = hansa("optimize")
    assert answer.code == 255
    assert "acting comes with planned moves; use --plan" in answer.err
    assert service.called("OptimizePlacements") == []


def test_a_time_for_a_proof_that_is_not_asked_for_is_refused(hansa: Hansa, service: FakeService) -> None:
    answer = hansa("optimize", "--plan", "--exact-time-s", "5")
    assert (answer.code, "--exact" in answer.err) == (255, True)


def test_a_refusal_of_the_operator_is_an_error(hansa: Hansa, service: FakeService) -> None:
    service.failures["OptimizePlacements"] = [HansaError("LIMIT_EXCEEDED", "too many")]
    answer = hansa("optimize", "--plan")
    assert (answer.code, "LIMIT_EXCEEDED" in answer.err) == (255, True)

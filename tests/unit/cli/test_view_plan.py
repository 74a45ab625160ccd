"""Joint plans as people see them."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from hansa.cli.documents import Document, Line, Screen, Styled
from hansa.cli.figures import carbon_per_hour, percent, power
from hansa.cli.output import message_data
from hansa.cli.view_plan import assignment_table, joined, plan_blocks, planned_zones
from hansa.v1 import workload_pb2


def spec(*access_points: str) -> workload_pb2.WorkloadSpec:
    return workload_pb2.WorkloadSpec(
        access=[workload_pb2.AccessDemand(access_point=name) for name in access_points or ("oslo", "goteborg")],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=24_000),
    )


def latency(access_point: str, rtt_us: int) -> workload_pb2.AccessLatency:
    return workload_pb2.AccessLatency(access_point=access_point, rtt_us=rtt_us)


def plan() -> workload_pb2.Plan:
    return workload_pb2.Plan(
        assignments=[
            workload_pb2.Assignment(
                zone="nordavind/oslo-1",
                replicas=2,
                share_permille=[1000, 375],
                latencies=[latency("oslo", 4_400), latency("goteborg", 14_200)],
                fallback="skargard/stockholm-1",
            ),
            workload_pb2.Assignment(
                zone="skargard/umea-1", replicas=1, share_permille=[0, 625], latencies=[latency("goteborg", 18_900)]
            ),
        ],
        predicted=[
            workload_pb2.PredictedLatency(
                access_point="oslo",
                p50_us=45_000,
                p95_us=83_400,
                p99_us=120_300,
                rtt_us=4_400,
                wait_us=24_000,
                service_us=55_000,
            )
        ],
        price_millieur_per_hour=4_350,
        power_watts=1_050,
        carbon_mg_per_hour=19_960,
    )


def decision(of: workload_pb2.Plan | None = None) -> workload_pb2.Decision:
    zones = ("nordavind/oslo-1", "waldnetz/hamburg-1")
    choices = [workload_pb2.Choice(zone=zone) for zone in zones]
    return workload_pb2.Decision(choices=choices, plan=of, margin=0.12, pivotal="price")


def shown(document: Document, capsys: pytest.CaptureFixture[str], width_columns: int = 0) -> list[str]:
    Screen(width_columns=width_columns).show(document)
    return [row.rstrip() for row in capsys.readouterr().out.splitlines()]


def test_a_plan_over_several_zones_shows_shares_fallbacks_latency_margin_and_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(plan_blocks(decision(plan()), spec()), capsys) == [
        "",
        "Zones together",
        "ZONE              REPLICAS  USERS AT   SHARE  RTT p95  FALLBACK",
        "nordavind/oslo-1         2  oslo       100 %   4.4 ms  skargard/stockholm-1",
        "                            goteborg  37.5 %  14.2 ms",
        "skargard/umea-1          1  goteborg  62.5 %  18.9 ms  none",
        "",
        "Predicted response time",
        "ACCESS POINT      p50      p95       p99  RTT + WAIT + SERVICE AT p95",
        "oslo          45.0 ms  83.4 ms  120.3 ms   4.4 ms + 24.0 ms + 55.0 ms",
        "won by 0.120 over waldnetz/hamburg-1, decided by price",
        "price 4.35 EUR/h, power 1.1 kW, carbon 20.0 gCO2/h",
    ]


@pytest.mark.parametrize("width_columns", [80, 120])
def test_a_plan_fits_a_terminal_without_a_line_that_is_cut(
    capsys: pytest.CaptureFixture[str], width_columns: int
) -> None:
    rows = shown(plan_blocks(decision(plan()), spec()), capsys, width_columns)
    assert max(cell_len(row) for row in rows) <= width_columns
    assert "nordavind/oslo-1         2  oslo       100 %   4.4 ms  skargard/stockholm-1" in rows


def test_without_service_times_nothing_is_said_of_waiting_and_service(capsys: pytest.CaptureFixture[str]) -> None:
    unserved = plan()
    del unserved.predicted[0]
    unserved.predicted.add(access_point="oslo", p50_us=5_400, p95_us=7_100, p99_us=7_600, rtt_us=7_100)
    rows = shown(plan_blocks(decision(unserved), spec()), capsys)
    at = rows.index("Predicted round trip (the request gives no service times)")
    assert rows[at + 1 : at + 3] == ["ACCESS POINT     p50     p95     p99", "oslo          5.4 ms  7.1 ms  7.6 ms"]


def test_a_plan_with_one_zone_needs_no_table_but_names_its_fallback(capsys: pytest.CaptureFixture[str]) -> None:
    one = plan()
    del one.assignments[1], one.predicted[:]
    rows = shown(plan_blocks(decision(one), spec()), capsys)
    assert rows[0] == "if nordavind/oslo-1 fails: skargard/stockholm-1"
    assert not [row for row in rows if "Zones together" in row or "Predicted" in row]
    one.assignments[0].fallback = ""
    assert shown(plan_blocks(decision(one), spec()), capsys)[0] == (
        "if nordavind/oslo-1 fails: no lawful zone takes over"
    )


def test_a_decision_without_a_plan_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(plan_blocks(workload_pb2.Decision(), spec()), capsys) == []
    assert shown(plan_blocks(decision(), spec()), capsys) == ["won by 0.120 over waldnetz/hamburg-1, decided by price"]


def test_what_is_not_known_of_power_and_carbon_is_said_to_be_unknown() -> None:
    unknown = plan()
    unknown.ClearField("power_watts")
    unknown.ClearField("carbon_mg_per_hour")
    last = plan_blocks(decision(unknown), spec())[-1]
    assert isinstance(last, Line)
    assert last.cells == ("price 4.35 EUR/h, power unknown, carbon unknown",)
    data = message_data(unknown)
    assert "power_watts" not in data and "carbon_mg_per_hour" not in data
    unknown.power_watts = 0
    assert message_data(unknown)["power_watts"] == 0


def test_a_zone_that_serves_nobody_and_a_spec_that_has_changed_are_shown_too() -> None:
    idle = plan()
    idle.assignments[1].share_permille[:] = [0, 0]
    assert assignment_table(idle, spec()).rows[-1] == ("skargard/umea-1", "1", "-", "-", "-", "none")
    assert [row[2] for row in assignment_table(plan(), spec("oslo")).rows] == ["#1", "#2", "#2"]


def test_the_place_of_a_decision_is_its_zones_or_the_best_choice() -> None:
    assert joined(planned_zones(decision())) == "nordavind/oslo-1"
    assert joined(planned_zones(decision(plan()))) == "nordavind/oslo-1 and skargard/umea-1"
    three = plan()
    three.assignments.add(zone="waldnetz/berlin-1")
    assert joined(planned_zones(decision(three))) == "nordavind/oslo-1, skargard/umea-1 and waldnetz/berlin-1"


def test_shares_power_and_carbon_are_readable() -> None:
    assert [percent(permille) for permille in (1000, 375, 5)] == ["100 %", "37.5 %", "0.5 %"]
    assert [power(watts) for watts in (0, 999, 1_000, 12_340)] == ["0 W", "999 W", "1.0 kW", "12.3 kW"]
    assert carbon_per_hour(1_234) == "1.2 gCO2/h"


def test_the_pivotal_term_stands_out() -> None:
    (won,) = plan_blocks(decision(), spec())
    assert isinstance(won, Line)
    assert Styled("price", "bold") in won.cells

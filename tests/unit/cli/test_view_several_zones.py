"""A workload in several zones as people see it: zones, replicas and shares, on terminals of several widths."""

from __future__ import annotations

import pytest
from shown_resources import NOW_MS, condition, placement, shown, workload

from hansa.cli.view_workload import describe_document, endpoint_document, share_text, state_text, workload_table
from hansa.v1 import workload_pb2, workload_service_pb2

Capsys = pytest.CaptureFixture[str]
ZONES = ("nordavind/oslo-1", "skargard/umea-1", "waldnetz/berlin-1")
SHARES = ((1000, 400), (0, 600), (0, 0))


def latencies(*names: str) -> list[workload_pb2.AccessLatency]:
    return [workload_pb2.AccessLatency(access_point=name, rtt_us=9_000, path=[name]) for name in names]


def parts(count: int = 3, batch: int = 1, state: str = "READY") -> list[workload_pb2.Placement]:
    served = (("oslo", "bergen"), ("bergen",), ("oslo", "bergen"))
    return [
        placement(
            ZONES[n],
            state,
            claim=f"c-{batch + n}",
            replicas=1,
            batch=batch,
            batch_parts=count,
            share_permille=SHARES[n],
            latencies=latencies(*served[n]),
            endpoint_urls=[f"https://10.0.{n}.1:8443"] if state == "READY" else [],
            message="1 of 1 replicas ready",
        )
        for n in range(count)
    ]


def row(capsys: Capsys, *placements: workload_pb2.Placement, wide: bool = False) -> list[str]:
    line = shown(capsys, workload_table([workload("RUNNING", *placements)], NOW_MS, wide=wide))[1]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_row_counts_the_replicas_of_all_zones_and_names_them_if_they_are_few(capsys: Capsys) -> None:
    assert row(capsys, *parts(2))[2:4] == ["nordavind/oslo-1, skargard/umea-1", "2/2"]
    assert row(capsys, *parts(3))[2:4] == ["nordavind/oslo-1 +2", "3/3"]
    assert row(capsys, *parts(3), wide=True)[2] == ", ".join(ZONES)


def test_while_it_moves_replicas_count_once_and_zones_are_named_once(capsys: Capsys) -> None:
    assert row(capsys, *parts(2), *parts(2, batch=3, state="STARTING"))[2:4] == [
        "nordavind/oslo-1, skargard/umea-1",
        "2/2",
    ]


def test_a_part_that_is_lost_is_missing_in_the_count(capsys: Capsys) -> None:
    assert row(capsys, parts(2)[0], placement(ZONES[1], "LOST", batch=1, replicas=1))[2:4] == [
        "nordavind/oslo-1",
        "1/2",
    ]


def test_shares_are_named_by_access_point() -> None:
    assert [share_text(part) for part in parts()] == ["oslo 100 %\nbergen 40 %", "bergen 60 %", "standby"]
    assert share_text(placement("nordavind/oslo-1", "READY")) == "all"


@pytest.mark.parametrize("columns", [80, 120])
def test_a_description_shows_the_share_of_each_zone_and_keeps_to_the_terminal(columns: int, capsys: Capsys) -> None:
    held = workload("RUNNING", *parts())
    held.conditions.append(condition("Ready", "FALSE", "2 of 3 zones answer: nordavind/oslo-1, skargard/umea-1"))
    lines = shown(capsys, describe_document(held, [], NOW_MS), columns)
    assert max(map(len, lines)) <= columns
    words = " ".join(lines).split()
    for word in ("SHARE", "standby", *ZONES):
        assert word in words
    text = "\n".join(lines)
    for share in ("oslo 100 %", "bergen 40 %", "bergen 60 %"):
        assert share in text


def test_where_no_terminal_is_every_placement_is_one_line(capsys: Capsys) -> None:
    lines = shown(capsys, describe_document(workload("RUNNING", *parts()), [], NOW_MS))
    assert [line for line in lines if "https://10.0.0.1:8443" in line and "oslo 100 %, bergen 40 %" in line]


def test_paths_to_a_zone_are_shown_once_while_it_moves(capsys: Capsys) -> None:
    held = workload("RUNNING", *parts(2), *parts(2, batch=3, state="STARTING"))
    lines = shown(capsys, describe_document(held, [], NOW_MS), 120)
    assert sum(line.startswith("Paths to nordavind/oslo-1") for line in lines) == 1


def test_a_workload_in_one_zone_shows_no_shares(capsys: Capsys) -> None:
    lines = shown(capsys, describe_document(workload("RUNNING", placement(ZONES[0], "READY")), [], NOW_MS), 120)
    assert not any("SHARE" in line for line in lines)


def test_what_is_watched_names_every_zone_with_its_state() -> None:
    update = workload_service_pb2.WatchWorkloadResponse(workload=workload("RUNNING", *parts(2)))
    assert state_text(update) == "RUNNING nordavind/oslo-1 (ready), skargard/umea-1 (ready)"


@pytest.mark.parametrize("columns", [0, 80, 120])
def test_endpoints_are_told_with_the_share_of_each_access_point(columns: int, capsys: Capsys) -> None:
    found = workload_service_pb2.FindEndpointResponse(
        zones=[
            workload_service_pb2.ZoneEndpoint(
                zone=ZONES[0],
                endpoint_urls=["https://10.0.0.1:8443"],
                replicas=2,
                shares=[
                    workload_service_pb2.AccessShare(access_point="oslo", share_permille=1000),
                    workload_service_pb2.AccessShare(access_point="bergen", share_permille=375),
                ],
            ),
            workload_service_pb2.ZoneEndpoint(zone=ZONES[1], endpoint_urls=["https://10.0.1.1:8443"], replicas=1),
        ]
    )
    lines = shown(capsys, endpoint_document(found), columns)
    assert [line.split() for line in lines] == [
        ["ZONE", "REPLICAS", "USERS", "AT", "SHARE", "ENDPOINTS"],
        ["nordavind/oslo-1", "2", "oslo", "100", "%", "https://10.0.0.1:8443"],
        ["bergen", "37.5", "%"],
        ["skargard/umea-1", "1", "-", "-", "https://10.0.1.1:8443"],
    ]

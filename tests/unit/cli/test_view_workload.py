"""Workloads as people see them, without a terminal and on terminals of several widths."""

from __future__ import annotations

import pytest
from shown_resources import NOW_MS, condition, event, latency, placement, shown, spec, workload

from hansa.cli.documents import Styled
from hansa.cli.view_workload import (
    accelerator_text,
    describe_document,
    headline,
    live_placements,
    residency_text,
    state_cell,
    state_text,
    update_document,
    workload_table,
)
from hansa.v1 import common_pb2, residency_pb2, workload_pb2, workload_service_pb2

Capsys = pytest.CaptureFixture[str]
PATH = ["oslo", "arendal", "kristiansand", "stavanger", "bergen"]


def running() -> workload_pb2.Workload:
    ready = placement("nordavind/oslo-1", "READY", endpoint_urls=["https://10.0.0.1:8443"], latencies=[latency(PATH)])
    return workload("RUNNING", placement("solvik/sto-1", "STARTING"), ready, placement("nordavind/bod-1", "LOST"))


def update(
    held: workload_pb2.Workload, *events: common_pb2.Event, deleted: bool = False
) -> workload_service_pb2.WatchWorkloadResponse:
    return workload_service_pb2.WatchWorkloadResponse(workload=held, events=events, deleted=deleted)


# --- tables ---


def test_a_row_names_the_zones_in_use_the_readiest_first_and_counts_what_answers(capsys: Capsys) -> None:
    header, row = shown(capsys, workload_table([running()], NOW_MS, wide=False))
    assert header.split("  ")[0] == "NAME"
    cells = [cell.strip() for cell in row.split("  ") if cell.strip()]
    assert cells == ["yard-ocr", "RUNNING", "nordavind/oslo-1, solvik/sto-1", "2/2", "14.8 ms", "ocr-server", "2 h"]


def test_a_workload_that_is_nowhere_has_dashes_and_no_replica(capsys: Capsys) -> None:
    row = shown(capsys, workload_table([workload("UNPLACEABLE")], NOW_MS, wide=False))[1]
    assert row.split() == ["yard-ocr", "UNPLACEABLE", "-", "0/2", "-", "ocr-server", "2", "h"]


def test_wide_adds_endpoints_generation_uid_and_what_matters_most(capsys: Capsys) -> None:
    held = running()
    held.conditions.append(condition("Lawful", "FALSE", "SiteResidency: DE"))
    row = shown(capsys, workload_table([held], NOW_MS, wide=True))[1]
    assert row.endswith("https://10.0.0.1:8443  3           7f3a9e12  SiteResidency: DE")


def test_no_workload_is_said_in_words(capsys: Capsys) -> None:
    assert shown(capsys, workload_table([], NOW_MS, wide=True), 80) == ["no workloads"]


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_table_keeps_to_the_terminal_and_never_breaks_a_name(columns: int, capsys: Capsys) -> None:
    lines = shown(capsys, workload_table([running(), workload("PENDING")], NOW_MS, wide=False), columns)
    assert max(map(len, lines)) <= columns
    assert len(lines) == 3
    assert ("ARTEFACT" in lines[0]) == (columns > 80)
    assert "nordavind/oslo-1, solvik/sto-1" in lines[1]


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_a_description_keeps_to_the_terminal_and_loses_no_word(columns: int, capsys: Capsys) -> None:
    held = running()
    held.conditions.append(condition("Stranded", "TRUE", "0/10 zones feasible: 3 LatencyBound, 2 SiteResidency " * 2))
    document = describe_document(held, [event(1, "Submitted", "accepted by nordavind")], NOW_MS)
    lines = shown(capsys, document, columns)
    assert max(map(len, lines)) <= columns
    words = " ".join(lines).split()
    assert {"Stranded", "LatencyBound,", "nordavind/bod-1", "Submitted", "STARTING"} <= set(words)


# --- description ---


def test_a_description_has_its_parts_in_order_and_a_path_a_zone_in_use(capsys: Capsys) -> None:
    held = running()
    held.conditions.append(condition("Ready", "TRUE"))
    lines = shown(capsys, describe_document(held, [event(1, "Submitted")], NOW_MS))
    assert lines[0] == "yard-ocr  RUNNING"
    heads = ["Placements", "Paths to nordavind/oslo-1", "Conditions", "Events"]
    assert [line for line in lines if line in heads] == heads
    assert any("oslo > arendal > kristiansand > stavanger > bergen" in line for line in lines)
    assert "users         oslo (2.5/s)" in lines
    assert "resources     1.5 CPU, 1.5 GiB, 2 replicas" in lines
    assert "latency       p95 <= 24.5 ms round trip" in lines


def test_a_description_without_placements_has_no_empty_headings(capsys: Capsys) -> None:
    lines = shown(capsys, describe_document(workload("PENDING"), [], NOW_MS))
    assert not {"Placements", "Conditions", "Events"} & set(lines)


def test_a_description_shows_the_last_twenty_events(capsys: Capsys) -> None:
    events = [event(number, f"Event{number}") for number in range(30)]
    lines = shown(capsys, describe_document(workload(), events, NOW_MS))
    assert [line.split()[1] for line in lines[-20:]] == [f"Event{number}" for number in range(10, 30)]


# --- words ---


def test_needs_are_told_in_words() -> None:
    wanted = spec()
    assert accelerator_text(wanted) == "2 x L40S or H100, at least 40 GiB each"
    wanted.accelerator.ClearField("any_of")
    wanted.accelerator.memory_mib_min = 0
    assert accelerator_text(wanted) == "2 x any model"
    wanted.ClearField("accelerator")
    assert accelerator_text(wanted) == "none"


def test_the_rule_is_told_in_words_and_no_rule_is_none() -> None:
    assert residency_text(spec().residency) == (
        "data in {NO,SE}; control in {NO} and no US-CLOUD-ACT; transit in {NO} and not by blueridge; "
        "on change keep-and-alert"
    )
    assert residency_text(residency_pb2.ResidencyPolicy()) == "none"
    only = residency_pb2.ResidencyPolicy(transit=residency_pb2.TransitRule(countries_allowed=["NO"]))
    assert residency_text(only) == "transit in {NO}; on change drain"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([condition("Ready", "TRUE", "fine")], "2 of 2 replicas ready"),
        ([condition("Lawful", "FALSE", "not lawful")], "not lawful"),
        ([condition("Stranded", "TRUE", "nowhere to go")], "nowhere to go"),
        ([condition("Stranded", "FALSE", "all is well")], "2 of 2 replicas ready"),
        ([condition("Ready", "UNKNOWN", "who knows"), condition("Lawful", "FALSE", "later")], "who knows"),
        ([condition("Ready", "FALSE")], "2 of 2 replicas ready"),
    ],
)
def test_what_matters_most_is_a_condition_that_is_not_as_it_should_be(
    conditions: list[common_pb2.Condition], expected: str
) -> None:
    held = running()
    held.conditions.extend(conditions)
    assert headline(held) == expected


def test_placements_that_are_given_up_are_not_in_use() -> None:
    states = ["RELEASING", "HELD", "LOST", "READY", "STARTING"]
    held = workload("RUNNING", *(placement(f"a/{state.lower()}", state) for state in states))
    assert [p.zone for p in live_placements(held)] == ["a/ready", "a/starting", "a/held"]


@pytest.mark.parametrize(
    ("state", "style"), [("RUNNING", "green"), ("UNPLACEABLE", "bold red"), ("LOST", "red"), ("42", "")]
)
def test_a_state_has_its_colour_and_an_unknown_one_has_none(state: str, style: str) -> None:
    assert state_cell(state) == Styled(state, style)


# --- watching ---


def test_the_state_of_a_watched_workload_is_one_line() -> None:
    assert state_text(update(running())) == "RUNNING nordavind/oslo-1 (ready), solvik/sto-1 (starting)"
    assert state_text(update(workload("PENDING"))) == "PENDING"
    assert state_text(update(running(), deleted=True)) == "GONE"
    nowhere = workload("UNPLACEABLE")
    nowhere.conditions.append(condition("Placed", "FALSE", "0/4 zones feasible"))
    assert state_text(update(nowhere)) == "UNPLACEABLE 0/4 zones feasible"


def test_an_update_shows_its_events_and_the_state_only_when_that_is_new(capsys: Capsys) -> None:
    told = update(running(), event(1, "Placed", "in oslo"), event(2, "ZoneLost", "gone", warning=True))
    before = state_text(told)
    assert [line.split()[1:] for line in shown(capsys, update_document(told, before, NOW_MS))] == [
        ["Placed", "in", "oslo"],
        ["ZoneLost", "gone"],
    ]
    lines = shown(capsys, update_document(told, "PENDING", NOW_MS))
    assert lines[-1].split(maxsplit=1)[1].startswith("RUNNING")
    assert shown(capsys, update_document(update(running()), before, NOW_MS)) == []


def test_what_an_update_tells_stands_in_one_column(capsys: Capsys) -> None:
    told = update(workload("PENDING"), event(1, "Up", "first"), event(2, "NoFeasibleZoneAnywhere", "second"))
    lines = shown(capsys, update_document(told, "", NOW_MS))
    assert lines[0].index("first") == len("14:15:00  ") + 14
    assert lines[1].endswith("NoFeasibleZoneAnywhere  second")

from __future__ import annotations

import pytest
import yaml

from hansa.cli.actions_workload import is_ready, outcome
from hansa.cli.options import OutputFormat, Until
from hansa.cli.output import enum_label, formatted, message_data
from hansa.v1 import common_pb2, workload_pb2, workload_service_pb2

RUNNING = workload_pb2.WORKLOAD_STATE_RUNNING
UNPLACEABLE = workload_pb2.WORKLOAD_STATE_UNPLACEABLE
PENDING = workload_pb2.WORKLOAD_STATE_PENDING


def update(
    state: workload_pb2.WorkloadState.ValueType, *, deleted: bool = False
) -> workload_service_pb2.WatchWorkloadResponse:
    workload = workload_pb2.Workload(state=state, generation=2)
    return workload_service_pb2.WatchWorkloadResponse(workload=workload, deleted=deleted)


@pytest.mark.parametrize(
    ("state", "deleted", "until", "code"),
    [
        (PENDING, False, Until.READY, None),
        (RUNNING, False, Until.READY, 0),
        (RUNNING, False, None, None),
        (RUNNING, False, Until.GONE, None),
        (UNPLACEABLE, False, Until.READY, 2),
        (UNPLACEABLE, False, None, 2),
        (UNPLACEABLE, False, Until.GONE, None),
        (RUNNING, True, Until.GONE, 0),
        (RUNNING, True, None, 0),
        (RUNNING, True, Until.READY, 255),
    ],
)
def test_what_an_update_means_for_the_exit_code(
    state: workload_pb2.WorkloadState.ValueType, deleted: bool, until: Until | None, code: int | None
) -> None:
    assert outcome(update(state, deleted=deleted), until) == code


@pytest.mark.parametrize(
    ("status", "generation", "ready"),
    [
        (common_pb2.CONDITION_STATUS_TRUE, 2, True),
        (common_pb2.CONDITION_STATUS_TRUE, 0, True),
        (common_pb2.CONDITION_STATUS_TRUE, 1, False),
        (common_pb2.CONDITION_STATUS_FALSE, 2, False),
    ],
)
def test_a_ready_condition_counts_only_for_the_newest_spec(
    status: common_pb2.ConditionStatus.ValueType, generation: int, ready: bool
) -> None:
    workload = update(RUNNING).workload
    workload.conditions.add(type="Ready", status=status, observed_generation=generation)
    assert is_ready(workload) is ready


def test_data_for_programs_has_numbers_short_enums_and_pem_text() -> None:
    workload = workload_pb2.Workload(name="n", state=RUNNING, created_at_ms=1_790_000_000_000)
    workload.placements.add(zone="a/b", endpoint_ca_pem=b"-----BEGIN")
    data = message_data(workload)
    assert data["state"] == "RUNNING"
    assert data["created_at_ms"] == 1_790_000_000_000
    assert data["placements"][0]["endpoint_ca_pem"] == "-----BEGIN"
    assert data["conditions"] == []
    assert "spec" not in data


def test_an_unknown_enum_value_is_shown_as_its_number() -> None:
    workload = workload_pb2.Workload()
    workload.ParseFromString(b"\x30\x63")
    assert enum_label(workload, "state") == "99"


def test_yaml_quotes_norway() -> None:
    assert formatted({"countries": ["NO"]}, OutputFormat.YAML) == "countries:\n- 'NO'"
    assert formatted({"a": 1}, OutputFormat.YAML, one_line=True) == "---\na: 1"
    assert formatted({"a": "ø"}, OutputFormat.JSON, one_line=True) == '{"a": "ø"}'
    hostile = {"a": "ø\x7f\x9b\u202e"}
    for output in (OutputFormat.JSON, OutputFormat.YAML):
        shown = formatted(hostile, output, one_line=True)
        assert shown.replace("\n", "").isprintable()
        assert yaml.safe_load(shown) == hostile

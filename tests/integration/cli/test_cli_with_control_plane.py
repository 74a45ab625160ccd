"""The command line against a control plane that really decides, holds, orders and keeps: plan, submit, watch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hansa_control.adapters.authority import Role
from operator_thread import OperatorThread
from real_command import FORMATS, ZONES, Hansa, Write

# --- plan ---


def test_plan_of_something_new_exits_1_names_the_zone_and_keeps_nothing(real: Hansa, write: Write) -> None:
    answer = real("plan", "-f", write())
    assert answer.code == 1
    assert answer.lines[0] == "change: yard-ocr would be placed in nordfjord/oslo-1"
    assert real("get").out == "no workloads\n"


def test_plan_of_what_runs_exits_0(real: Hansa, placed: Path) -> None:
    answer = real("plan", "-f", placed)
    assert (answer.code, answer.lines[0]) == (
        0,
        "no change: yard-ocr is in nordfjord/oslo-1 already, as it should be",
    )


def test_plan_with_another_spec_exits_1_though_the_zone_stays(real: Hansa, placed: Path, write: Write) -> None:
    answer = real("plan", "-f", write(memory="memory: 128MiB"))
    assert (answer.code, answer.lines[0]) == (1, "change: yard-ocr stays in nordfjord/oslo-1, its spec changes")


def test_plan_that_would_move_exits_1_and_names_both_zones(real: Hansa, placed: Path, write: Write) -> None:
    answer = real("plan", "-f", write(accelerators="any_of: [L4], ", memory="memory: 64MiB"))
    assert answer.code == 2, "an L4 has no 40 GiB"
    path = write()
    path.write_text(path.read_text().replace("any_of: [L40S], count: 1, memory_gib_min: 40", "any_of: [L4]"))
    answer = real("plan", "-f", path)
    assert answer.code == 1
    assert answer.lines[0] == "change: yard-ocr would move from nordfjord/oslo-1 to nordfjord/bergen-1"


@pytest.mark.parametrize("output", FORMATS)
def test_plan_that_no_zone_satisfies_exits_2_in_every_format(output: str, real: Hansa, write: Write) -> None:
    answer = real("plan", "-f", write(budget="rtt_ms_max: 6"), "-o", output)
    assert answer.code == 2
    if output in ("table", "wide"):
        assert answer.lines[0].startswith("0/3 zones feasible for yard-ocr:  ")
        assert answer.lines[-1].startswith("nearest fix: raise the latency budget to ")
    else:
        data = yaml.safe_load(answer.out)
        assert (data["feasible"], data["change"]) == (False, False)
        assert {r["zone"] for r in data["decision"]["rejections"]} == {f"nordfjord/{zone.name}" for zone in ZONES}


def test_plan_of_a_file_that_is_not_there_exits_255(real: Hansa, tmp_path: Path) -> None:
    answer = real("plan", "-f", tmp_path / "absent.yaml")
    assert (answer.code, answer.out) == (255, "")
    assert answer.err == f"error: NOT_FOUND (file): {tmp_path}/absent.yaml: No such file or directory\n"


# --- submit, get, describe ---


def test_submit_answers_at_once_and_with_wait_once_it_runs(real: Hansa, write: Write) -> None:
    early = real("submit", "-f", write(), "-o", "json")
    assert early.code == 0
    assert early.data()["state"] in {"PENDING", "STARTING", "RUNNING"}
    late = real("submit", "-f", write(), "--wait", "--timeout-s", "20", "-o", "json")
    assert late.code == 0
    assert (late.data()["state"], late.data()["uid"]) == ("RUNNING", early.data()["uid"])
    assert late.err.splitlines()[-1] == "RUNNING nordfjord/oslo-1 (ready)"


def test_submit_again_with_another_spec_makes_a_new_generation_and_moves(
    real: Hansa, placed: Path, write: Write
) -> None:
    answer = real("submit", "-f", write(memory="memory: 128MiB"), "--wait", "--timeout-s", "20", "-o", "json")
    assert answer.code == 0
    assert answer.data()["generation"] == 2
    reasons = [event["reason"] for event in real("describe", "yard-ocr", "-o", "json").data()["events"]]
    assert reasons[0] == "Submitted"
    assert reasons.count("SpecChanged") == 1


def test_submit_and_wait_of_what_no_zone_satisfies_exits_2_and_is_kept(real: Hansa, write: Write) -> None:
    answer = real("submit", "-f", write(budget="rtt_ms_max: 6"), "--wait", "--timeout-s", "20")
    assert answer.code == 2
    assert "UNPLACEABLE 0/3 zones feasible" in answer.err
    assert real("get", "yard-ocr", "-o", "json").data()["state"] == "UNPLACEABLE"


def test_get_shows_the_same_workload_in_every_format(real: Hansa, placed: Path) -> None:
    header, row = real("get", "yard-ocr").lines
    assert header.split()[:3] == ["NAME", "STATE", "ZONE"]
    assert row.split()[:4] == ["yard-ocr", "RUNNING", "nordfjord/oslo-1", "1/1"]
    wide = real("get", "yard-ocr", "-o", "wide").lines[1]
    data = real("get", "yard-ocr", "-o", "json").data()
    assert wide.startswith(row.rpartition("ocr-server")[0])
    assert data["uid"] in wide and data["placements"][0]["endpoint_urls"][0] in wide
    assert yaml.safe_load(real("get", "yard-ocr", "-o", "yaml").out) == data
    assert (data["state"], data["placements"][0]["zone"]) == ("RUNNING", "nordfjord/oslo-1")


def test_get_of_all_is_ordered_by_name(real: Hansa, write: Write) -> None:
    for name in ("gate", "quay", "crane"):
        assert real("submit", "-f", write(name, budget="rtt_ms_max: 6")).code == 0
    assert [line.split()[0] for line in real("list").lines[1:]] == ["crane", "gate", "quay"]


def test_describe_tells_spec_place_paths_conditions_and_events(real: Hansa, placed: Path) -> None:
    answer = real("describe", "yard-ocr")
    text = answer.out
    assert "data in {NO}; control in {NO}; transit in {NO}; on change drain" in text
    assert "1 x L40S, at least 40 GiB each" in text
    assert "bergen > oslo" in text
    told = [event["reason"] for event in real("describe", "yard-ocr", "-o", "json").data()["events"]]
    assert told[-3:] == ["Submitted", "Placed", "Ready"]
    assert all(reason in text for reason in told[-3:])


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(real: Hansa, placed: Path) -> None:
    for command in ("get", "describe", "why", "why-not", "endpoint", "watch", "delete"):
        answer = real(command, "yrad-ocr")
        assert (answer.code, answer.out) == (255, ""), command
        assert "NOT_FOUND (name)" in answer.err and "did you mean yard-ocr?" in answer.err, command
        assert answer.err.count("\n") == 1, command


# --- watch, delete ---


def test_watch_until_ready_shows_what_happened_and_exits_0(real: Hansa, placed: Path) -> None:
    answer = real("watch", "yard-ocr", "--until", "ready", "--timeout-s", "20")
    assert answer.code == 0
    assert answer.lines[0].split()[1] == "Submitted"
    assert answer.lines[-1].split()[1:] == ["RUNNING", "nordfjord/oslo-1", "(ready)"]


def test_watch_of_what_is_nowhere_exits_2_with_one_json_object_a_line(real: Hansa, write: Write) -> None:
    real("submit", "-f", write(budget="rtt_ms_max: 6"))
    answer = real("watch", "yard-ocr", "--timeout-s", "20", "-o", "json")
    assert answer.code == 2
    assert json.loads(answer.lines[-1])["workload"]["state"] == "UNPLACEABLE"


def test_watch_gives_up_after_its_time_with_what_it_saw_last(real: Hansa, placed: Path) -> None:
    answer = real("watch", "yard-ocr", "--until", "gone", "--timeout-s", "0.3")
    assert answer.code == 255
    assert answer.err.endswith("not gone within 0.3 s; last seen: RUNNING nordfjord/oslo-1 (ready)\n")


def test_delete_waits_until_its_owner_has_the_capacity_back(real: Hansa, placed: Path) -> None:
    assert real("delete", "yard-ocr", "--wait", "--timeout-s", "20").out == "yard-ocr is gone\n"
    assert real("get").out == "no workloads\n"
    assert "2/2 L40S" in next(line for line in real("zones").lines if "oslo-1" in line)
    assert real("delete", "yard-ocr").code == 255


def test_delete_without_waiting_says_that_it_has_begun(real: Hansa, placed: Path) -> None:
    assert real("delete", "yard-ocr").out == "yard-ocr is being deleted\n"
    assert real("watch", "yard-ocr", "--until", "gone", "--timeout-s", "20").code in (0, 255)


# --- wrong files, wrong callers, no server ---


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message"),
    [
        ("replicas: 1", "replcas: 1", 6, "unknown key 'replcas'; did you mean replicas?"),
        ("  control:", "  contol:", 12, "unknown key 'contol'; did you mean control?"),
        ("rtt_ms_max: 40", "rtt_max_ms: 40", 9, "unknown key 'rtt_max_ms'; did you mean rtt_ms_max?"),
        ("['NO']", "[NOR]", 11, "'NOR' is no country code"),
        ("percentile: 95", "percentile: 90", 9, "'90' is not one of 50, 95, 99"),
        ("replicas: 1", "replicas: 0", 6, "0 is not between 1 and 1000; nearest valid: 1"),
        ("cpu: 100m", "cpu: lots", 5, "'lots' is no amount of CPU"),
        ("name: yard-ocr", "name: Yard OCR", 2, "nearest valid: yard-ocr"),
        ("kind: Workload", "kind: Workloads", 1, "did you mean Workload?"),
        ("latency:", "replicas:", 9, "key 'replicas' stands twice, first in line 6"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_the_nearest_right_word(
    right: str, wrong: str, line: int, message: str, real: Hansa, write: Write
) -> None:
    path = write()
    path.write_text(path.read_text().replace(right, wrong, 1))
    for command in ("plan", "submit"):
        answer = real(command, "-f", path)
        assert (answer.code, answer.out, answer.err.count("\n")) == (255, "", 1)
        assert f"{path}:{line}: " in answer.err
        assert message in answer.err
    assert real("get").out == "no workloads\n"


def test_an_access_point_that_nobody_knows_leaves_no_zone(real: Hansa, write: Write) -> None:
    path = write()
    path.write_text(path.read_text().replace("access_point: bergen", "access_point: atlantis"))
    answer = real("plan", "-f", path, "-o", "json")
    assert answer.code == 2
    assert {r["reason"] for r in answer.data()["decision"]["rejections"]} >= {"ACCESS_POINT_UNKNOWN"}


def test_another_tenants_workloads_are_not_to_be_seen(real: Hansa, placed: Path, nordfjord: OperatorThread) -> None:
    rival = nordfjord.write_profile("rival")
    assert real("--profile", rival, "get").out == "no workloads\n"
    answer = real("--profile", rival, "get", "tenants/acme/workloads/yard-ocr")
    assert answer.code == 255
    assert answer.err.startswith("error: PERMISSION_DENIED") and "[request " in answer.err


def test_an_agents_certificate_asks_in_vain(real: Hansa, nordfjord: OperatorThread) -> None:
    stolen = nordfjord.write_profile("oslo-1", name="stolen", role=Role.AGENT)
    answer = real("--profile", stolen, "zones")
    assert answer.code == 255
    assert answer.err.startswith("error: PERMISSION_DENIED: ") and answer.err.count("\n") == 1


@pytest.mark.parametrize("words", [("get",), ("zones",), ("why", "x"), ("watch", "x"), ("delete", "x")])
def test_an_operator_that_is_not_there_is_one_line_and_255(
    words: tuple[str, ...], real: Hansa, nordfjord: OperatorThread
) -> None:
    nowhere = nordfjord.write_profile(name="nowhere", port=1)
    limit = ("--timeout-s", "0.7") if words[0] == "watch" else ()
    answer = real("--profile", nowhere, "--call-timeout-s", "0.5", *words, *limit)
    assert (answer.code, answer.out, answer.err.count("\n")) == (255, "", 1)
    assert answer.err.startswith("error: UNAVAILABLE: ")

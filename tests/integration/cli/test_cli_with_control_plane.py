"""The command line against a control plane that really decides, holds, orders and keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hansa_control.adapters.authority import Role
from operator_thread import L4, L40S, OperatorThread, ZoneByHand
from structlog.testing import capture_logs

from hansa.cli.main import main

DIGEST = "sha256:" + "a" * 64
ZONES = (
    ZoneByHand("oslo-1", "oslo", L40S, probes="bergen-1"),
    ZoneByHand("oslo-2", "oslo", L40S, parent="US", price_millieur_per_hour=400),
    ZoneByHand("bergen-1", "bergen", L4, price_millieur_per_hour=200),
)
FORMATS = ("table", "wide", "json", "yaml")
SPEC = """\
kind: Workload
name: {name}
artefact: {{name: ocr-server, digest: {digest}}}
accelerators: {{any_of: [L40S], count: 1, memory_gib_min: 40}}
resources: {{cpu: 100m, memory: 64MiB}}
replicas: 1
users:
  - {{access_point: bergen, requests_per_s: 5}}
latency: {{percentile: 95, rtt_ms_max: 40}}
residency:
  data: ['NO']
  control: ['NO']
  transit: ['NO']
  on_change: drain
"""


class Result:
    """What a command wrote and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def data(self) -> Any:
        return json.loads(self.out)


Hansa = Callable[..., Result]
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def nordfjord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorThread]:
    thread = OperatorThread(tmp_path_factory.mktemp("nordfjord"), *ZONES)
    with capture_logs():  # a server in the same process would write between the command's lines
        thread.start()
        yield thread
        thread.close()


@pytest.fixture
def real(
    nordfjord: OperatorThread, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Hansa]:
    """The command as an app team has it; every workload that is left at the end is deleted."""
    monkeypatch.setenv("HANSA_PROFILE", str(nordfjord.write_profile()))
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*words: Any) -> Result:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        written = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Result(stopped.value.code, written.out, written.err)

    yield call
    for workload in call("get", "-o", "json").data()["workloads"]:
        assert call("delete", workload["name"], "--wait", "--timeout-s", "20").code == 0


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a workload file, with parts of its text replaced."""

    def written(name: str = "yard-ocr", **changes: str) -> Path:
        text = SPEC.format(name=name, digest=DIGEST)
        for old, new in changes.items():
            marked = {"budget": "rtt_ms_max: 40", "memory": "memory: 64MiB", "accelerators": "any_of: [L40S], "}[old]
            assert marked in text
            text = text.replace(marked, new)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return path

    return written


@pytest.fixture
def placed(real: Hansa, write: Write) -> Path:
    """A workload that runs in oslo-1."""
    path = write()
    assert real("submit", "-f", path, "--wait", "--timeout-s", "20").code == 0
    return path


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


# --- why, why-not ---


def test_why_names_the_zone_the_sum_of_its_score_and_what_holds(real: Hansa, placed: Path) -> None:
    lines = real("why", "yard-ocr").lines
    assert lines[0] == "yard-ocr is in nordfjord/oslo-1 (choice 1 of 1, on nvidia/L40S)"
    score, _, terms = lines[2].removeprefix("score ").partition(" = ")
    choice = real("why", "yard-ocr", "-o", "json").data()["decision"]["choices"][0]
    assert float(score) == pytest.approx(choice["score"], abs=0.001)
    assert sum(term["value"] for term in choice["terms"]) == pytest.approx(choice["score"], abs=0.001)
    assert all(term["name"] in terms for term in choice["terms"])
    held = [line.split()[0] for line in lines if line.startswith(("SiteResidency", "LegalControl", "LatencyBound"))]
    assert set(held) == {"SiteResidency", "LegalControl", "LatencyBound"}
    assert any("nordfjord/oslo-1 is still the best" in line for line in lines)


def rejected(result: Result) -> list[list[str]]:
    """Zone and constraint of every row of a why-not table."""
    rows = [line.split()[:2] for line in result.lines if line.startswith("nordfjord/")]
    return [row for row in rows if row[1][0].isupper()]


def test_why_not_hides_what_was_not_evaluated_and_counts_it(real: Hansa, placed: Path) -> None:
    table = real("why-not", "yard-ocr")
    assert rejected(table) == [["nordfjord/bergen-1", "GpuModel"], ["nordfjord/oslo-2", "LegalControl"]]
    assert "2 constraints were not evaluated, for an earlier one (-o wide)" in table.lines
    assert table.lines[0] == "1/3 zones feasible for yard-ocr:  1 GpuModel, 1 LegalControl"


def test_why_not_wide_shows_what_was_not_evaluated_with_its_reason(real: Hansa, placed: Path) -> None:
    wide = real("why-not", "yard-ocr", "-o", "wide")
    assert ["nordfjord/bergen-1", "GpuMemory"] in rejected(wide)
    assert ["nordfjord/bergen-1", "GpuCapacity"] in rejected(wide)
    assert [line.split()[-1] for line in wide.lines].count("NOT_EVALUATED") == 2
    assert "not evaluated, for an earlier one" not in wide.out


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_why_not_for_programs_has_every_row(output: str, real: Hansa, placed: Path) -> None:
    data = yaml.safe_load(real("why-not", "yard-ocr", "-o", output).out)
    rows = [(r["zone"], r["result"]["constraint"], r["reason"]) for r in data["decision"]["rejections"]]
    assert ("nordfjord/bergen-1", "GpuMemory", "NOT_EVALUATED") in rows
    assert ("nordfjord/oslo-2", "LegalControl", "LEGAL_CONTROL_DENIED") in rows
    assert data["current_zone"] == "nordfjord/oslo-1"


def test_why_not_of_one_zone_says_what_it_fails_alone(real: Hansa, placed: Path) -> None:
    answer = real("why-not", "yard-ocr", "--zone", "nordfjord/oslo-2")
    assert answer.lines[0] == "nordfjord/oslo-2 is not feasible for yard-ocr"
    assert rejected(answer)[0] == ["nordfjord/oslo-2", "LegalControl"]
    assert "ultimate parent US" in answer.out
    assert real("why-not", "yard-ocr", "--zone", "nordfjord/oslo-1").out == "yard-ocr is in nordfjord/oslo-1\n"


def test_why_not_of_a_zone_that_is_not_there_is_an_error(real: Hansa, placed: Path) -> None:
    answer = real("why-not", "yard-ocr", "--zone", "nordfjord/oslo-9")
    assert answer.code == 255
    assert answer.err.startswith("error: NOT_FOUND (zone): ") and answer.err.count("\n") == 1


def test_why_not_of_what_is_nowhere_has_the_fix_last(real: Hansa, write: Write) -> None:
    real("submit", "-f", write(budget="rtt_ms_max: 6"), "--wait", "--timeout-s", "20")
    answer = real("why-not", "yard-ocr")
    assert answer.lines[-1].startswith("nearest fix: raise the latency budget to ")
    assert answer.lines[-1].endswith("-> nordfjord/oslo-1")


# --- zones, network, endpoint ---


def test_zones_are_the_same_in_every_format(real: Hansa, placed: Path) -> None:
    names = [f"nordfjord/{zone.name}" for zone in sorted(ZONES, key=lambda zone: zone.name)]
    table, wide = real("zones"), real("zones", "-o", "wide")
    assert [line.split()[0] for line in table.lines[1:]] == names
    assert [line.split()[0] for line in wide.lines[1:]] == names
    data = real("zones", "-o", "json").data()["zones"]
    assert ["/".join(zone["name"].split("/")[1::2]) for zone in data] == names
    assert "1/2 L40S" in table.lines[2] and "15.9/16" in table.lines[2]
    assert "US-CLOUD-ACT" in table.lines[3]
    assert "ultimate_parent_country=US (declaration by nordfjord until " in wide.lines[3]
    again = yaml.safe_load(real("zones", "-o", "yaml").out)["zones"]
    assert [zone["inventory"] for zone in again] == [zone["inventory"] for zone in data]


def test_network_marks_the_model_and_probes_stand_beside_it(real: Hansa) -> None:
    table = real("network").lines
    assert table[0].endswith(": 2 nodes, 1 link (0 measured, 1 modelled), 1 probed pair")
    assert "modelled" in table[2] and "oslo--bergen" in table[2]
    probes = real("network", "--probes").lines
    assert probes[2].startswith("nordfjord/oslo-1") and "measured n=40" in probes[2] and "modelled" in probes[2]
    assert "access point" in real("network", "-o", "wide").out
    data = real("network", "-o", "json").data()
    assert {node["name"] for node in data["nodes"]} == {"oslo", "bergen"}
    assert yaml.safe_load(real("network", "-o", "yaml").out)["links"][0]["rtt"]["basis"] == "MODELLED"


def test_endpoint_is_where_the_instance_is_with_the_authority_that_vouches_for_it(
    real: Hansa, placed: Path, nordfjord: OperatorThread, tmp_path: Path
) -> None:
    answer = real("endpoint", "yard-ocr", "--ca-file", tmp_path / "authority.pem")
    assert answer.code == 0
    assert answer.out.startswith("https://c") and answer.out.endswith(".nordfjord.example:8443\n")
    assert (tmp_path / "authority.pem").read_bytes() == nordfjord.operator.authority.cert_pem
    assert real("endpoint", "yard-ocr", "-o", "json").data()["zone"] == "nordfjord/oslo-1"


def test_endpoint_of_what_is_nowhere_says_that_no_zone_is_lawful(real: Hansa, write: Write) -> None:
    real("submit", "-f", write(budget="rtt_ms_max: 6"), "--wait", "--timeout-s", "20")
    answer = real("endpoint", "yard-ocr")
    assert answer.code == 255
    assert answer.err.startswith("error: NO_FEASIBLE_ZONE: ") and answer.err.count("\n") == 1


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


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_as_a_process_it_keeps_to_the_terminals_width(
    columns: int, real: Hansa, placed: Path, nordfjord: OperatorThread
) -> None:
    command = [sys.executable, "-m", "hansa.cli.main", "--profile", str(nordfjord.write_profile()), "zones"]
    environment = {"COLUMNS": str(columns), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("nordfjord/")] == [
        "nordfjord/bergen-1",
        "nordfjord/oslo-1",
        "nordfjord/oslo-2",
    ]

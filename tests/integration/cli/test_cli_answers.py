"""What the command line answers about a control plane that really decides: why, why not, zones, network, endpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from operator_thread import OperatorThread
from real_command import ZONES, Hansa, Result, Write

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
    title = lines.index("Segments as they are now")
    assert lines[title + 1].split() == ["USERS", "AT", "FROM", "TO", "CARRIER", "COUNTRIES"]
    assert (lines[title + 2].split()[:3], lines[title + 2].split()[-1]) == (["bergen", "bergen", "oslo"], "NO")
    (path,) = real("why", "yard-ocr", "-o", "json").data()["paths"]
    assert [segment["countries"] for segment in path["segments"]] == [["NO"]]


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

"""What if, records and their verification on the command line, against a control plane that really decides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hansa_control.adapters import verify_command
from real_command import Hansa, Write
from typer.testing import CliRunner

ZONE = "nordfjord/oslo-1"
L4 = "any_of: [L40S], count: 1, memory_gib_min: 40"


@pytest.fixture
def small(write: Write) -> Path:
    """A workload that fits two zones, and is in oslo-1 with an L40S or in bergen-1 with an L4."""
    path = write()
    path.write_text(path.read_text().replace(L4, "any_of: [L40S, L4]"))
    return path


def verified(path: Path, *options: str) -> tuple[int, str]:
    found = CliRunner().invoke(verify_command.app, [str(path), *options])
    return found.exit_code, found.stdout


# --- supposed worlds ---


def test_a_plan_that_would_go_elsewhere_exits_1_and_shows_what_changes(real: Hansa, small: Path) -> None:
    best = real("plan", "-f", small, "-o", "json").data()["decision"]["choices"][0]["zone"]
    answer = real("plan", "-f", small, "--without", best)
    assert answer.code == 1
    assert answer.lines[0] == f"hypothetical: without zone {best}"
    assert answer.lines[1] == "nothing was changed; this is not the world as it is"
    assert re.match(rf"change: yard-ocr would run in nordfjord/\S+ x 1 instead of {best} x 1", answer.lines[2])
    assert re.search(rf"^runs in +{best} x 1 +nordfjord/\S+ x 1$", answer.out, re.MULTILINE)
    assert re.search(rf"^{best} +feasible +is not there$", answer.out, re.MULTILINE)
    assert real("get").out == "no workloads\n"


def test_a_plan_that_stays_exits_0(real: Hansa, small: Path) -> None:
    answer = real("plan", "-f", small, "--without", "nordfjord/oslo-2")
    assert answer.code == 0
    assert answer.lines[2].startswith("no change: yard-ocr would run in nordfjord/")


def test_a_plan_that_becomes_infeasible_exits_2_and_says_why(real: Hansa, write: Write) -> None:
    answer = real("plan", "-f", write(), "--cut", "oslo--bergen")
    assert answer.code == 2
    assert answer.lines[2] == f"infeasible: yard-ocr would run nowhere, instead of running in {ZONE} x 1"
    assert "0/3 zones feasible for yard-ocr" in answer.out
    assert real("plan", "-f", write(), "--deny-country", "NO").code == 2
    assert real("plan", "-f", write(), "--with-fact", f"{ZONE}:ULTIMATE_PARENT_COUNTRY=US").code == 2


def test_a_file_and_programs(real: Hansa, write: Write, tmp_path: Path) -> None:
    overlay = tmp_path / "what-if.yaml"
    overlay.write_text("kind: Overlay\nlinks_removed: [oslo--bergen]\n")
    answer = real("plan", "-f", write(), "--overlay", overlay, "-o", "json")
    data = answer.data()
    assert (answer.code, data["feasible"], data["change"], data["hypothetical"]) == (2, False, True, True)
    assert {"what": "runs in", "present": f"{ZONE} x 1", "supposed": "nowhere"} in data["changes"]
    assert data["present"]["choices"][0]["zone"] == ZONE
    assert data["decision"]["choices"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cut", "oslo--bergn"), "(overlay.links_removed[0]): there is no link 'oslo--bergn'; did you mean"),
        (("--without", "nordfjord/oslo-9"), "(overlay.zones_removed[0]): there is no zone 'nordfjord/oslo-9'; did"),
        (("--with-fact", "oslo-1"), "(--with-fact): 'oslo-1' is not OPERATOR/ZONE:KIND=VALUE"),
        (("--overlay", "absent.yaml"), "absent.yaml: No such file"),
    ],
)
def test_what_does_not_fit_exits_255(options: tuple[str, str], message: str, real: Hansa, write: Write) -> None:
    answer = real("plan", "-f", write(), *options)
    assert (answer.code, answer.out) == (255, "")
    assert message in answer.err


# --- expected generations ---


def test_submit_expects_the_generation_of_its_plan(real: Hansa, write: Write) -> None:
    generation = real("plan", "-f", write(), "-o", "json").data()["decision"]["snapshot_generation"]
    assert real("submit", "-f", write(), "--expect-generation", generation).code == 0
    answer = real("submit", "-f", write("gate-ocr"), "--expect-generation", generation)
    assert answer.code == 255
    assert answer.err.startswith("error: GENERATION_CHANGED (expect_generation): no plan of this spec")
    assert "plan again" in answer.err


# --- records ---


Run = Callable[[Path], tuple[int, str]]


def test_the_record_of_a_plan_verifies_and_a_changed_one_does_not(real: Hansa, write: Write, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    answer = real("plan", "-f", write(), "--record", record, "-o", "json")
    digest = answer.data()["decision"]["digest"]
    assert answer.code == 1
    assert answer.data()["record"] == ""
    assert f"hansa verify-decision {record} --digest {digest}" in answer.err
    code, out = verified(record, "--digest", digest)
    assert (code, out.partition(":")[0]) == (0, "SAME")
    tree = json.loads(record.read_text())
    tree["inputs"]["snapshot"]["zones"][0]["facts"][0]["value"] = "SE"
    record.write_text(json.dumps(tree))
    code, out = verified(record)
    assert (code, out.partition(":")[0]) == (1, "DIFFERENT")


def test_the_record_of_what_runs_verifies(real: Hansa, placed: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    answer = real("why", "yard-ocr", "--record", record)
    assert answer.code == 0
    assert verified(record)[0] == 0


def test_a_record_that_cannot_be_written_is_an_error(real: Hansa, write: Write, tmp_path: Path) -> None:
    answer = real("plan", "-f", write(), "--record", tmp_path / "absent" / "record.json")
    assert answer.code == 255
    assert "(--record)" in answer.err

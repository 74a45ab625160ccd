"""Who may have a twin, what is refused before anything starts, and what is left of runs that were killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from hansa_sim.latency.command import app
from hansa_sim.latency.twin import namespaces
from hansa_sim.latency.twin.client import Instances
from hansa_sim.latency.twin.namespaces import PREFIX, Run, TwinImpossible, check_machine, remove_left
from scenario_texts import written
from twin_worlds import ALL_CALM, EVERYBODY
from typer.testing import CliRunner

SECOND_APP = """  - name: second
    home: skargard
    latency: {rtt_ms_max: 60, response_ms_max: 300}
    residency: none
    service: {times: [{mean_ms: 20}]}
users:
  - {access_point: oslo, requests_per_s: 2, app: second}
"""


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which the user is root and has every command; runs and namespaces are kept in a folder."""
    runs, spaces = tmp_path / "runs", tmp_path / "netns"
    spaces.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda command: f"/usr/bin/{command}")
    monkeypatch.setattr(namespaces, "RUNS", runs)
    monkeypatch.setattr(namespaces, "NAMESPACES", spaces)
    monkeypatch.setattr(namespaces, "TUN", tmp_path / "tun")
    (tmp_path / "tun").touch()
    return runs


def said(*arguments: str | Path) -> tuple[int, str]:
    """How the command ended, and what it said on standard error."""
    done = CliRunner().invoke(app, ["twin", *map(str, arguments)])
    return done.exit_code, done.stderr


# --- refusals ---


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    code, error = said(written(tmp_path, EVERYBODY, *ALL_CALM))
    assert (code, error) == (2, "error: the twin makes network namespaces, which only root may; run it as root\n")


@pytest.mark.parametrize("missing", ["ip", "nsenter", "setpriv"])
def test_a_command_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, root: Path, missing: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None if command == missing else command)
    with pytest.raises(TwinImpossible, match=rf"needs the commands {missing} \(packages"):
        check_machine()


def test_a_kernel_without_tun_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tun").unlink()
    with pytest.raises(TwinImpossible, match="load the kernel module tun"):
        check_machine()


def test_a_bad_scenario_is_an_error_with_file_line_and_key(root: Path, tmp_path: Path) -> None:
    path = written(tmp_path, ("    home: nordavind", "    hom: nordavind"))
    code, error = said(path)
    assert code == 2
    assert error.startswith(f"{path}:") and "hom: unknown key" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--points", "olso"], "--points: the scenario has no 'olso'"),
        (["--zones", "oslo-1"], "--zones: the scenario has no 'oslo-1'"),
    ],
)
def test_a_part_that_is_not_there_is_an_error(root: Path, tmp_path: Path, options: list[str], message: str) -> None:
    code, error = said(written(tmp_path, EVERYBODY, *ALL_CALM), *options)
    assert code == 2 and error.startswith(message)


def test_several_apps_are_more_than_a_twin_runs(root: Path, tmp_path: Path) -> None:
    named = tuple(
        (f"access_point: {at}, requests", f"access_point: {at}, app: ocr, requests")
        for at in ("oslo", "bergen", "malmo")
    )
    code, error = said(written(tmp_path, EVERYBODY, *ALL_CALM, *named, ("users:\n", SECOND_APP)))
    assert (code, error) == (2, "error: a twin runs one app; the scenario has ocr, second\n")


def test_tokens_in_batches_are_more_than_a_twin_serves(root: Path, tmp_path: Path) -> None:
    counts = "prompt: {mean: 300}, generated: {mean: 20}"
    tokens = f"service: {{tokens: {{{counts}, engines: [{{step_ms: 10, kv_tokens: 20000}}]}}}}"
    hansa = ("policies: [nearest]", "policies: [hansa]")
    scenario = written(tmp_path, EVERYBODY, ("service: {times: [{mean_ms: 20}]}", tokens), hansa)
    code, error = said(scenario)
    assert (code, error) == (2, "error: a twin's servers take times of their own; ocr serves tokens in batches\n")


def test_more_requests_than_a_machine_can_send_are_refused(root: Path, tmp_path: Path) -> None:
    code, error = said(written(tmp_path, EVERYBODY), "--seconds", "600")
    assert code == 2 and "50000 in all" in error


def test_a_scenario_that_places_nothing_has_no_twin(root: Path, tmp_path: Path) -> None:
    nobody = ("data: [NO, SE]", "data: [FR]")
    code, error = said(written(tmp_path, *ALL_CALM, nobody))
    assert code == 2 and error.startswith("error: the simulation places nothing: ")


def test_a_zone_at_another_operators_node_is_refused_before_its_control_plane_does(root: Path, tmp_path: Path) -> None:
    path = written(tmp_path, EVERYBODY, *ALL_CALM, ("node: hamburg\n", "node: malmo\n"))
    code, error = said(path)
    assert code == 2 and "waldnetz/hamburg-1 stands at malmo, a node of skargard" in error
    assert "--zones" in error


def test_nothing_is_made_for_what_is_refused(root: Path, tmp_path: Path) -> None:
    said(written(tmp_path, EVERYBODY), "--seconds", "600")
    assert not root.exists()


# --- what runs leave ---


def test_a_run_names_its_namespaces_and_takes_its_record_with_it(root: Path, tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.namespace("zone/nordavind/oslo-1") == f"{PREFIX}{os.getpid()}-zone.nordavind.oslo-1"
    assert (root / run.name).read_text() == str(tmp_path)
    run.remove()
    run.remove()
    assert list(root.iterdir()) == []


def test_what_starts_in_a_namespace_dies_with_the_twin(root: Path, tmp_path: Path) -> None:
    run = Run(tmp_path)
    words = run.inside("users/oslo", ["python", "-m", "it"])
    assert words[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert f"--net={tmp_path / 'netns' / run.namespace('users/oslo')}" in words
    assert words[-3:] == ["python", "-m", "it"]
    run.remove()


def test_what_a_killed_run_has_left_is_removed_with_its_folder(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"{PREFIX}abc"
    (folder / "logs").mkdir(parents=True)
    root.mkdir()
    (root / "4711").write_text(str(folder))
    assert remove_left() == ["4711"]
    assert not folder.exists() and list(root.iterdir()) == []


def test_a_folder_that_is_not_a_twins_is_left_alone(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "letters"
    mine.mkdir()
    root.mkdir()
    (root / "4711").write_text(str(mine))
    (root / "4712").write_text("")
    assert remove_left() == ["4711", "4712"]
    assert mine.exists()


def test_a_run_that_goes_on_is_left_alone(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    record = root / "4711"
    record.write_text(str(tmp_path / f"{PREFIX}abc"))
    with record.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert remove_left() == []
        assert record.exists()
    assert remove_left() == ["4711"]


# --- users ---


def test_a_request_goes_to_the_instance_with_the_fewest_of_its_users() -> None:
    instances = Instances(["https://198.18.0.4:8500", "https://198.18.0.4:8501/"])
    first, second = (instances.take() for _ in range(2))
    assert (first, second) == ("https://198.18.0.4:8500/infer", "https://198.18.0.4:8501/infer")
    assert instances.take() == first
    instances.give_back(second)
    assert instances.take() == second

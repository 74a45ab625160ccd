"""The demonstration's processes: started, killed for good, and never mistaken for somebody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hansa_agent.processes import boot_id, mark_of
from hansa_demo import processes as demo_processes
from hansa_demo.check import wait_for
from hansa_demo.prepare import Prepared
from hansa_demo.processes import Answer, DemoFailed, Processes, end_left_running, environment, instance_pids, is_alive

ZONE = "nordavind/oslo-1"
SLEEPER = "import signal, sys\nprint('up', flush=True)\nsignal.pause()\n"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return Prepared(tmp_path, "sha256:0")


@pytest.fixture
def running(prepared: Prepared) -> Iterator[Processes]:
    processes = Processes(prepared)
    yield processes
    processes.stop_all()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process in a session of its own; all are ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SLEEPER, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, cwd=cwd)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def begin(running: Processes, name: str, program: str = SLEEPER) -> int:
    """A process of the world that is nothing but Python, once it has said something."""
    running._start(name, [sys.executable, "-c", program])
    wait_for("its first word", lambda: running.log(name).read_bytes(), 20.0, 0.01)
    return running.pids()[name]


def leave_mark(prepared: Prepared, instance: str, text: str) -> None:
    folder = prepared.operator("nordavind") / "state" / "oslo-1" / "instances" / instance
    folder.mkdir(parents=True)
    (folder / "process").write_text(text)


def marked(pid: int) -> str:
    mark = mark_of(pid)
    return f"{mark.pid} {mark.start_ticks} {mark.boot_id}\n"


# --- starting and killing ---


def test_a_killed_process_is_gone_and_no_longer_expected_to_run(running: Processes) -> None:
    pid = begin(running, "nordavind")
    assert running.names() == ("nordavind",)
    running.kill("nordavind")
    assert not is_alive(pid)
    assert running.names() == ()
    running.check_alive()


def test_a_kill_is_a_kill_even_for_who_does_not_listen(running: Processes) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\nsignal.pause()\n"
    pid = begin(running, "nordavind", deaf)
    os.kill(pid, signal.SIGTERM)
    assert is_alive(pid)
    running.kill("nordavind")
    assert not is_alive(pid)


def test_what_a_killed_process_had_started_lives_on(running: Processes) -> None:
    parent = (
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], start_new_session=True)\n"
        "print(child.pid, flush=True)\nsignal.pause()\n"
    )
    begin(running, ZONE, parent)
    child = int(running.log(ZONE).read_text())
    running.kill(ZONE)
    try:
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_process_that_has_ended_is_told_with_its_last_words(running: Processes) -> None:
    begin(running, "skargard", "import sys\nprint('out of paper', flush=True)\nsys.exit(3)\n")
    running._running["skargard"].wait(20)
    with pytest.raises(DemoFailed, match=r"skargard ended with 3:\nout of paper"):
        running.check_alive()


def test_stopping_lets_a_process_say_farewell_and_leaves_none(running: Processes) -> None:
    polite = (
        "import signal, sys\ndef bye(*_):\n    print('bye', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, bye)\nprint('up', flush=True)\nsignal.pause()\n"
    )
    pids = [begin(running, "skargard", polite), begin(running, ZONE)]
    running.stop_all()
    assert not any(map(is_alive, pids))
    assert running.pids() == {}
    assert running.log("skargard").read_text().split() == ["up", "bye"]


def test_a_second_start_writes_on_in_the_same_log(running: Processes) -> None:
    for word in ("first", "second"):
        running._start("waldnetz", [sys.executable, "-c", f"print('{word}')"])
        running._running["waldnetz"].wait(20)
    assert running.log("waldnetz").read_text().split() == ["first", "second"]


def test_zones_of_the_same_name_have_different_logs(running: Processes) -> None:
    assert running.log("a/oslo-1") != running.log("b/oslo-1")
    assert running.log(ZONE).parent == running.logs


def test_processes_get_nothing_of_the_callers_environment_but_the_search_path(
    running: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSA_LISTEN__API", "127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "33")
    assert set(environment()) <= {"PATH", "HOME", "LANG", "PYTHONUNBUFFERED"}
    assert environment(100)["COLUMNS"] == "100"


# --- logs ---


def test_log_lines_are_the_json_objects_among_what_was_said(running: Processes) -> None:
    running.log(ZONE).write_text('Traceback (most recent call last):\n{"event": "ready"}\n3\n["a"]\n{not json}\n\n')
    assert running.log_lines(ZONE) == [{"event": "ready"}]


def test_a_line_that_is_being_written_is_passed_over(running: Processes) -> None:
    running.log(ZONE).write_text('{"event": "ready"}\n{"event": "ready", "ports": {"api": 1}')
    assert running.log_lines(ZONE) == [{"event": "ready"}]


# --- who is alive ---


def test_neither_a_process_that_never_was_nor_one_that_waits_to_be_reaped_is_alive(start: Start) -> None:
    process = start()
    assert is_alive(process.pid)
    process.kill()
    wait_for("its end", lambda: not is_alive(process.pid), 20.0, 0.01)
    assert Path(f"/proc/{process.pid}").exists(), "it was reaped by somebody else"
    assert not is_alive(2**22 + 1)


def test_an_instance_that_its_agent_wrote_down_is_found(prepared: Prepared, start: Start) -> None:
    process = start()
    leave_mark(prepared, "c1-1-0", marked(process.pid))
    assert instance_pids(prepared, ZONE) == [process.pid]
    assert instance_pids(prepared, "nordavind/bergen-1") == []


def test_a_number_that_another_process_has_by_now_is_no_instance(prepared: Prepared, start: Start) -> None:
    stranger = start()
    ticks = mark_of(stranger.pid).start_ticks
    leave_mark(prepared, "earlier", f"{stranger.pid} {ticks - 1} {boot_id()}\n")
    leave_mark(prepared, "before-the-machine-started", f"{stranger.pid} {ticks} another-boot\n")
    assert instance_pids(prepared, ZONE) == []


@pytest.mark.parametrize("text", ["", "not a number", "12", "1 2 3 4"])
def test_a_mark_that_cannot_be_read_is_no_instance(text: str, prepared: Prepared) -> None:
    leave_mark(prepared, "torn", text)
    assert instance_pids(prepared, ZONE) == []


def test_a_zone_dies_with_its_instances_and_with_nobody_else(
    running: Processes, prepared: Prepared, start: Start
) -> None:
    agent = begin(running, ZONE)
    instance, stranger = start(), start()
    leave_mark(prepared, "c1-1-0", marked(instance.pid))
    leave_mark(prepared, "c0-1-0", f"{stranger.pid} {mark_of(stranger.pid).start_ticks - 1} {boot_id()}\n")
    assert running.kill_zone(ZONE) == [instance.pid]
    assert instance.wait(20) == -signal.SIGKILL
    assert not is_alive(agent)
    assert is_alive(stranger.pid)


def test_stopping_everything_ends_instances_of_agents_that_are_long_dead(
    running: Processes, prepared: Prepared, start: Start
) -> None:
    orphan = start()
    leave_mark(prepared, "c1-1-0", marked(orphan.pid))
    running.stop_all()
    assert orphan.wait(20) == -signal.SIGKILL


# --- what was left running ---


def program(folder: Path, name: str) -> str:
    """A path that ends like one of hansa's programs; only its place among the words of a process counts."""
    return str(folder / "bin" / name)


def test_a_world_left_running_is_ended_and_forgotten(prepared: Prepared, start: Start, tmp_path: Path) -> None:
    config = str(prepared.operator("nordavind") / "control-plane.yaml")
    control_plane, instance = start(program(tmp_path, "hansa-control"), config), start()
    (tmp_path / "pids").write_text(f"{control_plane.pid}")
    leave_mark(prepared, "c1-1-0", marked(instance.pid))
    assert end_left_running(prepared) == 2
    assert [control_plane.wait(20), instance.wait(20)] == [-signal.SIGKILL] * 2
    assert end_left_running(prepared) == 0


def test_a_world_named_by_a_relative_path_is_ended_too(
    prepared: Prepared, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("bin/hansa-agent", f"{tmp_path.name}/nordavind/agents/oslo-1.yaml", cwd=tmp_path.parent)
    (tmp_path / "pids").write_text(str(process.pid))
    assert end_left_running(prepared) == 1
    assert process.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize(
    "words",
    [
        ("less", "{world}/logs/nordavind.log"),
        ("hansa-control", "serve", "--config", "/elsewhere/control-plane.yaml"),
        ("vi", "/tmp/hansa-demo-abc/hansa-notes.txt"),
    ],
)
def test_a_number_that_somebody_else_has_by_now_is_left_alone(
    words: tuple[str, ...], prepared: Prepared, start: Start, tmp_path: Path
) -> None:
    stranger = start(*(word.format(world=tmp_path) for word in words))
    (tmp_path / "pids").write_text(f"{stranger.pid} {2**22 + 1}")
    assert end_left_running(prepared) == 0
    assert is_alive(stranger.pid)


def test_a_world_that_never_ran_is_ended_without_a_word(prepared: Prepared) -> None:
    assert end_left_running(prepared) == 0


# --- asking ---


def test_the_command_line_runs_as_the_app_team_and_tells_how_it_ended(running: Processes) -> None:
    answer = running.hansa("get")
    assert answer.exit_code == 255
    assert answer.err.startswith("error: NOT_FOUND") and str(running._prepared.profile) in answer.err
    assert answer.out == ""
    assert answer.seconds > 0


def test_an_answer_that_is_no_json_fails_with_what_was_said_instead() -> None:
    assert Answer(0, '{"a": 1}', "", 0.1).json() == {"a": 1}
    with pytest.raises(DemoFailed, match="UNAVAILABLE"):
        Answer(255, "", "error: UNAVAILABLE: away", 0.1).json()


def test_programs_are_those_that_the_demonstration_starts() -> None:
    assert {path.name for path in demo_processes.BIN.iterdir()} >= {*demo_processes.PROGRAMS, "hansa"}

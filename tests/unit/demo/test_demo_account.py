"""Waiting, keeping account, showing it, and how a run ends."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hansa_demo import main as demo_main
from hansa_demo import playing
from hansa_demo.check import Account, wait_for
from hansa_demo.ocr_client import Recognition
from hansa_demo.prepare import Prepared
from hansa_demo.processes import Answer, DemoFailed
from hansa_demo.stage import Stage, images, recognition_table, summary
from hansa_demo.yard_images import YardImage
from rich.console import Console
from typer.testing import CliRunner

# --- waiting ---


def test_what_is_there_already_is_answered_at_the_first_look() -> None:
    looks: list[int] = []
    found, took_s = wait_for("a light", lambda: looks.append(1) or "green", timeout_s=0.0, every_s=5.0)
    assert (found, len(looks)) == ("green", 1)
    assert took_s < 1.0


def test_what_comes_later_is_waited_for_and_nothing_empty_counts() -> None:
    answers: Iterator[Any] = iter([None, "", 0, [], "here"])
    found, _ = wait_for("an answer", lambda: next(answers), timeout_s=5.0, every_s=0.001)
    assert found == "here"


def test_what_never_comes_is_named_with_the_time_that_was_given() -> None:
    looks: list[int] = []
    with pytest.raises(DemoFailed, match=r"^not within 0 s: the ferry$"):
        wait_for("the ferry", lambda: looks.append(1), timeout_s=0.02, every_s=0.005)
    assert len(looks) >= 2


def test_a_failure_while_looking_is_not_taken_for_nothing_yet() -> None:
    def broken() -> str:
        raise DemoFailed("nordavind ended with 1")

    with pytest.raises(DemoFailed, match="nordavind ended"):
        wait_for("anything", broken, timeout_s=5.0)


# --- account ---


def test_a_promise_that_is_kept_is_noted() -> None:
    account = Account()
    account.note("the lamp burns", "seen", kept=True)
    assert account.kept
    assert account.rows == [("the lamp burns", True, "seen")]


def test_a_promise_that_is_broken_is_noted_and_ends_the_play() -> None:
    account = Account()
    account.note("one", "seen", kept=True)
    with pytest.raises(DemoFailed, match=r"^the lamp burns: it is dark$"):
        account.note("the lamp burns", "it is dark", kept=False)
    assert not account.kept
    assert [kept for _, kept, _ in account.rows] == [True, False]


def test_accounts_are_not_shared_between_runs() -> None:
    Account().note("one", "seen", kept=True)
    assert Account().rows == []


# --- showing ---


def shown(block: Any, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(block)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def image(number: str = "HNSU 123456 5") -> YardImage:
    corner = (0.0, 0.0)
    return YardImage(b"", number, (corner,) * 4, "AB 1234 C", (corner,) * 4)


def test_the_table_sets_what_was_read_beside_what_stood_there_with_place_and_times() -> None:
    box = ((12.4, 30.6), (90.0, 30.0), (90.0, 50.0), (12.0, 50.0))
    answer = Recognition(("HNSU 123456 5", "AB 1234 C"), (box, box), (0.9, 0.9), server_ms=41.4, client_ms=52.6)
    header, row = shown(recognition_table([image()], [answer])).splitlines()
    assert header.split("  ")[1].strip() == "in the image"
    assert [part.strip() for part in row.split("   ") if part.strip()] == [
        "HNSU 123456 5 | AB 1234 C",
        "HNSU 123456 5, AB 1234 C",
        "12,31",
        "41 ms",
        "53 ms",
    ]


def test_an_image_in_which_nothing_was_read_has_a_row_all_the_same() -> None:
    row = shown(recognition_table([image()], [Recognition((), (), (), 1.0, 2.0)])).splitlines()[1]
    assert " - " in row
    assert row.rstrip().endswith("2 ms")


def test_images_and_answers_that_do_not_pair_are_an_error() -> None:
    with pytest.raises(ValueError, match="argument"):
        recognition_table([image(), image()], [Recognition((), (), (), 1.0, 2.0)])


def test_images_of_a_run_differ_from_those_before() -> None:
    numbers = [drawn.container_number for drawn in (*images(1, 2), *images(11, 2))]
    assert len(set(numbers)) == 4


def test_the_summary_counts_what_was_kept_and_marks_what_was_not() -> None:
    account = Account(rows=[("agents resume", True, "0.4 s"), ("nothing is lost", False, "one is")])
    text = shown(summary(account, 81.6), 100)
    assert "1 of 2 promises seen in 82 s" in text
    rows = [line for line in text.splitlines() if "resume" in line or "lost" in line]
    assert [row.split()[1] for row in rows] == ["ok", "NOT"]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_summary_fits_the_terminal(width: int) -> None:
    account = Account(rows=[("a promise that is rather long in its words " * 2, True, "seen " * 30)])
    assert {len(line) for line in shown(summary(account, 1.0), width).splitlines()} == {width}


def stage_of(tmp_path: Path, width: int = 100) -> Stage:
    return Stage(Prepared(tmp_path, "sha256:0"), Console(width=width, file=io.StringIO(), force_terminal=False))


def written(stage: Stage) -> str:
    return str(stage.console.file.getvalue())  # type: ignore[attr-defined]


def test_what_a_command_printed_is_shown_as_it_is_and_cropped_to_the_terminal(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, 40)
    stage.show(Answer(0, "[red]not markup[/red]\n" + "x" * 80, "", 0.1))
    assert written(stage).splitlines() == ["    [red]not markup[/red]", "    " + "x" * 36]


def test_a_command_that_only_failed_shows_its_error(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    stage.show(Answer(255, "", "error: UNAVAILABLE: away\n", 0.1))
    assert "error: UNAVAILABLE: away" in written(stage)


def test_a_promise_seen_on_the_stage_is_in_the_account(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    stage.seen("it burns", "bright")
    with pytest.raises(DemoFailed):
        stage.seen("it shines", "dark", kept=False)
    assert [kept for _, kept, _ in stage.account.rows] == [True, False]
    assert "NOT" in written(stage).splitlines()[1]


def answering(stage: Stage, answers: dict[str, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.processes, "hansa", lambda *words, columns=0: answers[words[0]])


@pytest.mark.parametrize(
    ("placements", "zone"),
    [
        ("[]", ""),
        ('[{"zone": "a/b", "state": "STARTING"}]', ""),
        ('[{"zone": "a/b", "state": "READY"}]', "a/b"),
        ('[{"zone": "a/b", "state": "READY"}, {"zone": "c/d", "state": "READY"}]', "c/d"),
        ('[{"zone": "a/b", "state": "LOST"}, {"zone": "c/d", "state": "RELEASING"}]', ""),
    ],
)
def test_a_workloads_zone_is_that_of_the_newest_placement_that_answers(
    placements: str, zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(tmp_path)
    answering(stage, {"get": Answer(0, f'{{"placements": {placements}}}', "", 0.1)}, monkeypatch)
    assert stage.zone_of("yard-ocr") == zone


def test_no_endpoint_is_none_and_not_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(tmp_path)
    answering(stage, {"endpoint": Answer(255, "", "error: UNAVAILABLE", 0.1)}, monkeypatch)
    assert stage.endpoint("yard-ocr") is None
    with pytest.raises(DemoFailed, match="yard-ocr has no endpoint"):
        stage.recognise("yard-ocr", [])
    urls = Answer(0, '{"endpoint_urls": ["https://h:1"], "endpoint_ca_pem": "PEM"}', "", 0.1)
    answering(stage, {"endpoint": urls}, monkeypatch)
    assert stage.endpoint("yard-ocr") == ("https://h:1", b"PEM")


def test_a_workload_that_cannot_be_got_fails_with_the_commands_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(tmp_path)
    answering(stage, {"get": Answer(255, "", "error: NOT_FOUND (name): there is no\n", 0.1)}, monkeypatch)
    with pytest.raises(DemoFailed, match="NOT_FOUND"):
        stage.zone_of("yard-ocr")


def test_waiting_on_the_stage_ends_as_soon_as_a_process_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(tmp_path)

    def dead() -> None:
        raise DemoFailed("nordavind ended with -11")

    monkeypatch.setattr(stage.processes, "check_alive", dead)
    with pytest.raises(DemoFailed, match="nordavind ended with -11"):
        stage.wait("anything", lambda: None, 30.0)


# --- how a run ends ---

Play = Callable[[Stage], None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[bool, list[str]]]]:
    """Plays something else on a real stage without processes; answers the outcome and what was done at the end."""
    before = signal.getsignal(signal.SIGTERM)

    def play(act: Play, *, keep: bool = False, directory: Path | None = tmp_path / "world") -> tuple[bool, list[str]]:
        done: list[str] = []
        monkeypatch.setattr(playing, "play", act)
        monkeypatch.setattr(playing.Stage, "__init__", _quiet_stage)
        monkeypatch.setattr("hansa_demo.processes.Processes.stop_all", lambda self: done.append("stopped"))
        monkeypatch.setattr(playing.tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
        return playing.play_demo(directory, 100, keep=keep), done

    yield play
    signal.signal(signal.SIGTERM, before)


_made = Stage.__init__


def _quiet_stage(stage: Stage, prepared: Prepared, console: Console) -> None:
    _made(stage, prepared, Console(width=console.width, file=io.StringIO()))


def test_a_run_that_keeps_its_promises_succeeds_and_stops_everything(run: Any) -> None:
    assert run(lambda stage: stage.seen("it burns", "bright")) == (True, ["stopped"])


def test_a_run_that_breaks_a_promise_fails_and_stops_everything(run: Any) -> None:
    assert run(lambda stage: stage.seen("it burns", "dark", kept=False)) == (False, ["stopped"])


def test_a_run_cut_off_between_two_promises_fails(run: Any) -> None:
    def cut_off(stage: Stage) -> None:
        stage.seen("it burns", "bright")
        raise DemoFailed("not within 30 s: the second lamp")

    assert run(cut_off)[0] is False


def test_a_defect_stops_everything_and_is_not_hidden(run: Any) -> None:
    def broken(stage: Stage) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(broken)


def test_what_is_kept_running_is_not_stopped_and_its_processes_are_written_down(run: Any, tmp_path: Path) -> None:
    assert run(lambda stage: None, keep=True) == (True, [])
    assert (tmp_path / "world" / "pids").read_text() == ""


def test_a_temporary_world_is_forgotten_after_success_and_left_after_failure(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "hansa-demo-"
    run(lambda stage: stage.seen("it burns", "dark", kept=False), directory=None)
    assert (folder / "profile.yaml").exists()
    playing.remove(folder)
    run(lambda stage: None, directory=None)
    assert not folder.exists()


@pytest.mark.parametrize(("kept", "code"), [(True, 0), (False, 1)])
def test_the_exit_status_says_whether_every_promise_was_kept(
    kept: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "play_demo", lambda directory, width, *, keep: kept)
    assert CliRunner().invoke(demo_main.app, ["run"]).exit_code == code


@pytest.mark.parametrize("name", ["loopback", "compose"])
def test_prepare_writes_and_starts_nothing(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    result = CliRunner().invoke(demo_main.app, ["prepare", "--directory", str(folder), "--addressing", name])
    assert result.exit_code == 0
    assert (folder / "nordavind" / "control-plane.yaml").exists()
    assert not (folder / "logs").exists()

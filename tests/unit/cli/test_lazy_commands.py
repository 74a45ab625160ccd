from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, version

import pytest
import typer

from hansa.cli import lazy
from hansa.cli.main import main

HEAVY = ("grpc", "google.protobuf", "hansa_control", "hansa_sim", "hansa_agent", "hansa_demo", "numpy", "yaml")
broken = typer.Typer()


@broken.command()
def shout(word: str) -> None:
    print(word.upper())


@broken.command()
def fail() -> None:
    raise typer.Exit(3)


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    points = {
        "absent": EntryPoint("absent", "no_such_package.main:app", lazy.ENTRY_POINT_GROUP),
        "good": EntryPoint("good", f"{__name__}:broken", lazy.ENTRY_POINT_GROUP),
    }
    monkeypatch.setattr(lazy, "found", lambda: points)
    return points


def code_of(*args: str) -> object:
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    return stopped.value.code


def test_the_version_is_told_and_nothing_else_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--version", "plan") == 0
    assert capsys.readouterr().out == f"hansa {version('hansa')}\n"


def test_help_lists_commands_of_entry_points_without_importing_anything_heavy() -> None:
    program = (
        "import sys\nfrom hansa.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stopped:\n    assert stopped.code == 0\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\nassert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "why-not" in done.stdout and "sim" in done.stdout


def test_every_command_of_hansa_itself_says_what_it_is_for() -> None:
    assert lazy.found().keys() <= lazy._SUMMARIES.keys()


def test_a_command_of_an_entry_point_runs_and_keeps_its_exit_code(
    points: dict[str, EntryPoint], capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("good", "shout", "ahoy") == 0
    assert capsys.readouterr().out == "AHOY\n"
    assert code_of("good", "fail") == 3


def test_an_absent_package_fails_alone_and_says_what_is_missing(
    points: dict[str, EntryPoint], capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("absent", "run") == 255
    error = capsys.readouterr().err
    assert error.startswith("error: NOT_FOUND: the command absent cannot be loaded from no_such_package.main:app")
    assert error.count("\n") == 1
    assert code_of("--help") == 0
    assert "absent" in capsys.readouterr().out


def test_an_unknown_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("whynot") == 255
    assert "did you mean why-not?" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("completion", shell) == 0
    assert "_HANSA_COMPLETE" in capsys.readouterr().out


def test_completion_offers_commands() -> None:
    environment = {"_HANSA_COMPLETE": "complete_bash", "COMP_WORDS": "hansa why", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "hansa.cli.main"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "why-not" in done.stdout


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("plan",), "--file"),
        (("get", "-o", "xml"), "is not one of"),
        (("submit", "-f", "x", "--timeout-s", "-1"), "timeout-s"),
        (("get", "--nonsense"), "--nonsense"),
    ],
)
def test_wrong_usage_is_one_line_and_255(args: tuple[str, ...], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*args) == 255
    error = capsys.readouterr().err
    assert part in error
    assert error.startswith("error: ") and error.count("\n") == 1


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of() == 0
    assert "why-not" in capsys.readouterr().out

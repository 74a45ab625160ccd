"""One run of the demonstration: prepare, play, sum up, clean up or leave running."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from hansa_demo.addressing import LoopbackAddressing
from hansa_demo.prepare import Prepared, now_ms, prepare, remove
from hansa_demo.processes import DemoFailed
from hansa_demo.stage import Stage, summary
from hansa_demo.story import play

PLAIN_COLUMNS = 120


def play_demo(directory: Path | None, width: int, *, keep: bool) -> bool:
    """Plays all steps in ``directory`` or a new temporary one; whether every promise was kept."""
    folder = directory or Path(tempfile.mkdtemp(prefix="hansa-demo-"))
    stage = Stage(prepare(folder, LoopbackAddressing(), now_ms()), _console(width))
    failure = _play(stage, keep=keep)
    stage.console.print()
    stage.console.print(summary(stage.account, stage.elapsed_s))
    if failure:
        stage.console.print(f"[bold red]failed:[/bold red] {failure}", highlight=False)
    kept = not failure and stage.account.kept
    if keep:
        _tell_how(stage)
    elif kept and directory is None:
        remove(folder)
    else:
        stage.console.print(f"  logs and stores are in {folder}", highlight=False, soft_wrap=True)
    return kept


def _play(stage: Stage, *, keep: bool) -> str:
    """What failed; empty if nothing did."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + signal.SIGTERM))
    left_running = False
    try:
        play(stage)
        left_running = keep
    except DemoFailed as failed:
        left_running = keep
        return str(failed)
    finally:
        if not left_running:
            stage.processes.stop_all()
    return ""


def _tell_how(stage: Stage) -> None:
    prepared: Prepared = stage.prepared
    folder = shlex.quote(str(prepared.directory))
    (prepared.directory / "pids").write_text(" ".join(map(str, stage.processes.pids().values())), encoding="utf-8")
    for line in (
        "It is left running. Talk to it, then end it:",
        f"  export HANSA_PROFILE={shlex.quote(str(prepared.profile))}",
        "  .venv/bin/hansa zones; .venv/bin/hansa get; .venv/bin/hansa why gate-ocr",
        f"  less {shlex.quote(str(stage.processes.logs))}/*.log",
        f"  .venv/bin/hansa demo stop --directory {folder}",
    ):
        stage.console.print(line, highlight=False, soft_wrap=True)


def _console(width: int) -> Console:
    if width:
        return Console(width=width)
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_COLUMNS)

"""``hansa demo``: the main job on this machine, for real, in under two minutes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="demo", help="Shows the main job with real processes on loopback.", no_args_is_help=True)


class AddressingName(StrEnum):
    LOOPBACK = "loopback"
    COMPOSE = "compose"


@app.command("run")
def run(
    directory: Annotated[Path | None, typer.Option(help="Where everything is written; new or empty.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running and say how to talk to it.")] = False,
    width: Annotated[int, typer.Option(min=0, help="Columns to draw for; 0 asks the terminal.")] = 0,
) -> None:
    """Plays all steps. Exits 1 if any promise was not kept."""
    from hansa_demo.playing import play_demo

    raise typer.Exit(0 if play_demo(directory, width, keep=keep) else 1)


@app.command("ha")
def high_availability() -> None:
    """Kills the leading control plane of two, under load, and shows what app teams saw. Needs PostgreSQL.

    Exits 1 if any promise was not kept, 2 if PostgreSQL or its driver is not installed.
    """
    from rich.console import Console

    try:
        from hansa_demo.high_availability import play_high_availability
    except ModuleNotFoundError as error:
        typer.echo(f"error: {error.name} is missing: pip install 'hansa[demo,postgres]'", err=True)
        raise typer.Exit(2) from error

    try:
        kept = play_high_availability(Console())
    except FileNotFoundError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(0 if kept else 1)


@app.command("stop")
def stop(directory: Annotated[Path, typer.Option(help="The directory of a demonstration left running.")]) -> None:
    """Ends a demonstration that was left running, and its instances."""
    from hansa_demo.prepare import Prepared
    from hansa_demo.processes import end_left_running

    count = end_left_running(Prepared(directory, ""))
    typer.echo(f"ended {count} processes", err=True)


@app.command("prepare")
def prepare_only(
    directory: Annotated[Path, typer.Option(help="Where everything is written; new or empty.")],
    addressing: Annotated[AddressingName, typer.Option(help="For processes here or for containers.")] = (
        AddressingName.LOOPBACK
    ),
) -> None:
    """Writes authorities, certificates, configuration and workloads, and starts nothing."""
    from hansa_demo.addressing import ComposeAddressing, LoopbackAddressing
    from hansa_demo.prepare import now_ms, prepare

    prepare(directory, ComposeAddressing() if addressing is AddressingName.COMPOSE else LoopbackAddressing(), now_ms())
    typer.echo(f"written to {directory}", err=True)

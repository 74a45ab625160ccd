"""The command ``hansa simulate twin``: a scenario as real processes, and whether the prediction holds."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hansa_sim.latency.scenario_file import ScenarioError, load_scenario
from hansa_sim.latency.twin.cast import TwinFailed
from hansa_sim.latency.twin.choosing import chosen_part
from hansa_sim.latency.twin.namespaces import PREFIX, Run, TwinImpossible, check_machine, remove_left
from hansa_sim.latency.twin.plan import TooLarge
from hansa_sim.latency.twin.predicted import TooMany
from hansa_sim.latency.twin.results import TwinResult, as_json, table_of, words_of
from hansa_sim.latency.twin.run import Prepared, prepare_twin, run_twin
from hansa_sim.latency.world import build_world

MISSED_EXIT_CODE, REFUSED_EXIT_CODE, FAILED_EXIT_CODE = 1, 2, 3
WIDTH = 160

File = Annotated[Path, typer.Argument(metavar="SCENARIO.YAML", help="The scenario; docs/simulation.md has every key.")]
app = typer.Typer()

Points = Annotated[
    list[str] | None,
    typer.Option(metavar="NODE", help="Only users at this access point; may be given several times."),
]
Zones = Annotated[
    list[str] | None, typer.Option(metavar="OPERATOR/ZONE", help="Only this zone; may be given several times.")
]
Seconds = Annotated[float, typer.Option(min=2, max=600, help="How long users send requests.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the folder with configurations and logs.")]
Output = Annotated[str, typer.Option("-o", "--output", help="table, or json on standard output.")]


@app.command("twin")
def twin(
    file: Annotated[
        Path, typer.Argument(metavar="SCENARIO.YAML", help="The scenario; docs/simulation.md has every key.")
    ],
    *,
    points: Points = None,
    zones: Zones = None,
    seconds: Seconds = 30.0,
    keep: Keep = False,
    output: Output = "table",
) -> None:
    """Run a scenario as real processes in network namespaces (root only), and compare with the prediction.

    Exits 0 if the prediction holds, 1 if it does not, 2 on bad input or where there can be no twin, 3 if it failed.
    """
    if output not in {"table", "json"}:
        raise typer.BadParameter(f"{output!r} is neither table nor json")
    result = _played(_prepared(file, (points or [], zones or []), seconds), keep=keep)
    if output == "json":
        typer.echo(json.dumps(as_json(result), allow_nan=False))
    else:
        terminal = Console()
        console = terminal if terminal.is_terminal else Console(width=WIDTH)
        console.print(table_of(result))
        for words in words_of(result):
            console.print(words, highlight=False, soft_wrap=True)
    raise typer.Exit(0 if result.holds else MISSED_EXIT_CODE)


def _prepared(file: Path, part: tuple[list[str], list[str]], seconds: float) -> Prepared:
    try:
        check_machine()
        world = chosen_part(build_world(load_scenario(file)), *part)
        return prepare_twin(world, seconds)
    except (ScenarioError, TooLarge, TooMany, TwinImpossible, TwinFailed) as error:
        typer.echo(f"{error}" if isinstance(error, ScenarioError) else f"error: {error}", err=True)
        raise typer.Exit(REFUSED_EXIT_CODE) from error


def _played(prepared: Prepared, *, keep: bool) -> TwinResult:
    for left in remove_left():
        typer.echo(f"removed what run {left} had left", err=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    run = Run(folder)
    try:
        return _with_signals(prepared, run)
    except TwinFailed as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED_EXIT_CODE) from error
    finally:
        run.remove()
        if keep:
            typer.echo(f"configurations and logs are in {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _with_signals(prepared: Prepared, run: Run) -> TwinResult:
    """SIGTERM and SIGHUP end the twin as Ctrl-C does: everything is taken down."""
    console = Console(stderr=True)

    async def played() -> TwinResult:
        task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else sys.exit)
        with console.status("twin") as status:

            def say(what: str) -> None:
                status.update(what)
                if not console.is_terminal:
                    console.print(what, highlight=False)

            return await run_twin(prepared, run, say)

    with suppress(asyncio.CancelledError):
        return asyncio.run(played())
    raise typer.Exit(128 + signal.SIGTERM)

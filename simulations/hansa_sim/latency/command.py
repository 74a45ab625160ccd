"""The command ``hansa simulate``: what users will feel, before anything is signed, deployed or cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from hansa.printable import printable
from hansa_sim.latency import command_what_if
from hansa_sim.latency.calibrate_command import calibrate_file
from hansa_sim.latency.checked import check_document
from hansa_sim.latency.frames import EXTRA, write_table
from hansa_sim.latency.out_folder import REFUSED_EXIT_CODE, told_of
from hansa_sim.latency.records import point_records, row_records, zone_records
from hansa_sim.latency.replications import Progress as Sofar
from hansa_sim.latency.replications import Watch
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import Results, as_json
from hansa_sim.latency.run import run_scenario, runnable_world
from hansa_sim.latency.scenario_changes import Change, ChangeError
from hansa_sim.latency.scenario_file import Loaded, ScenarioError, load_scenario
from hansa_sim.latency.scenario_run import REQUESTS_MAX
from hansa_sim.latency.sweeps.command import app as sweep_app
from hansa_sim.latency.system.figures import playable_world, run_day
from hansa_sim.latency.table import tables_of, words_of
from hansa_sim.latency.twin.command import app as twin
from hansa_sim.latency.world import World, build_world

WIDTH = 190

app = typer.Typer(help="Simulate what users will feel under a policy, an agreement or a law.", no_args_is_help=True)
app.add_typer(sweep_app)
app.registered_commands += command_what_if.app.registered_commands

app.add_typer(twin)


class Engine(StrEnum):
    """STEADY: requests by the event and the static engine. SYSTEM: a day of control planes and agents themselves."""

    STEADY = "steady"
    SYSTEM = "system"


ENGINE_HELP = "steady: all policies, request by request; system: hansa alone, a day of all control planes and agents."

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Instead of what the file says, such as run.requests=1000000."),
]
Output = Annotated[str, typer.Option("-o", "--output", help="table, or json on standard output.")]
File = Annotated[Path, typer.Argument(metavar="SCENARIO.YAML", help="The scenario; docs/simulation.md has every key.")]


@app.callback()
def main() -> None:
    """Simulate what users will feel: policies side by side on one scenario, with the production law and routing."""


@app.command("check")
def check(file: File, changes: Changes = None, output: Output = "table") -> None:
    """Read a scenario and build its world; exit 2 with file, line and key of what is wrong."""
    _check_form(output)
    found = check_document(_world(file, changes))
    if output == "json":
        typer.echo(json.dumps(found, allow_nan=False))
        return
    for line in _check_words(found):
        typer.echo(printable(line))


def _check_words(found: dict[str, Any]) -> Iterator[str]:
    if (taken := found["snapshot"]) is not None:
        yield (
            f"the world of {taken['home']}: {taken['nodes']} nodes, {taken['links']} links, {taken['zones']} zones, "
            f"{taken['workloads']} workloads, {taken['placed']} of which have a place"
        )
    if not (apps := found["apps"]):
        return
    yield f"{found['scenario']}: {found['title']}"
    lawful, points = (sum(app[key] for app in apps) for key in ("lawful", "access_points"))
    yield (
        f"{found['nodes']} nodes, {found['links']} links, {found['zones']} zones of {found['operators']} operators, "
        f"{lawful} of {points} access points have a lawful zone"
    )
    for app in apps:
        of = f"{app['app']}: " if len(apps) > 1 else ""
        yield from (f"  {of}{point}: {reason}" for point, reason in app["why_not"].items())


def _check_form(output: str) -> None:
    if output not in {"table", "json"}:
        raise typer.BadParameter(f"{output!r} is neither table nor json")


@app.command("run")
def run(
    file: File,
    changes: Changes = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's seed.")] = None,
    requests: Annotated[
        int | None,
        typer.Option(min=1_000, max=REQUESTS_MAX, help="Requests of each policy, instead of the scenario's."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json and report.html; made if need be.")] = None,
    engine: Annotated[Engine, typer.Option(help=ENGINE_HELP)] = Engine.STEADY,
    output: Output = "table",
) -> None:
    """Run a scenario and compare its policies."""
    _check_form(output)
    given = [] if seed is None else [f"run.seed={seed}"]
    given += [] if requests is None else ["run.duration_s=null", f"run.requests={requests}"]
    world = _world(file, [*(changes or ()), *given], runnable_world if engine is Engine.STEADY else playable_world)
    _make(out)
    results = _results(world, engine)
    if out is not None:
        with told_of(out):
            _write(results, out)
    if output == "json":
        typer.echo(json.dumps(as_json(results), allow_nan=False))
        return
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=WIDTH)
    for table in tables_of(results, console.width):
        console.print(table)
    for words in words_of(results):
        console.print(Text(printable(words)), soft_wrap=True)


app.command("calibrate")(calibrate_file)


def _results(world: World, engine: Engine) -> Results:
    with _progress() as watch:
        if engine is Engine.STEADY:
            return run_scenario(world, watch)
        return run_day(world, lambda s, of_s: watch(Sofar("hansa, system", round(s), round(of_s), s, None)))


def _world(file: Path, changes: list[str] | None, build: Callable[[Loaded], World] = build_world) -> World:
    try:
        return build(load_scenario(file, [Change.of(one) for one in changes or ()]))
    except ChangeError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    except ScenarioError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(REFUSED_EXIT_CODE) from error


@contextmanager
def _progress() -> Iterator[Watch]:
    """A bar on standard error: the row that runs, requests a second, simulated time and the p99 so far."""
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    more = (TextColumn("{task.fields[rate]} req/s"), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, *more, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def watch(sofar: Sofar) -> None:
            task = tasks.get(sofar.row)
            if task is None:
                task = tasks[sofar.row] = bar.add_task(sofar.row, total=sofar.total, rate="-", said="")
            speed = bar.tasks[task].speed
            p99 = "" if sofar.p99_ms is None else f", p99 {sofar.p99_ms:.1f} ms"
            said = f"{sofar.simulated_s:.0f} simulated s{p99}"
            bar.update(task, completed=sofar.done, rate=f"{speed:,.0f}" if speed else "-", said=said)

        yield watch


def _make(out: Path | None) -> None:
    """The folder, before anything is run for it."""
    if out is not None:
        with told_of(out):
            out.mkdir(parents=True, exist_ok=True)


def _write(results: Results, out: Path) -> None:
    text = json.dumps(as_json(results), indent=1, allow_nan=False)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")
    (out / "report.html").write_text(report_of(results), encoding="utf-8")
    tables = {"rows": row_records, "zones": zone_records, "points": point_records}
    written = [write_table(records(results), out / name) for name, records in tables.items()]
    tell_of = ", ".join(str(path) for path in written)
    without = "" if written[0].suffix == ".parquet" else f" (Parquet: {EXTRA})"
    typer.echo(f"{out / 'results.json'}, {out / 'report.html'}, {tell_of}{without} written", err=True)

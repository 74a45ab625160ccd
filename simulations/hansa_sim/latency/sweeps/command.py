"""The command ``hansa simulate sweep``: one scenario under many settings, on many processes, resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hansa.names import hint
from hansa_sim.latency.frames import EXTRA, write_lines, write_table
from hansa_sim.latency.out_folder import REFUSED_EXIT_CODE, told_of
from hansa_sim.latency.scenario_changes import ChangeError
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.sweeps.grid import Axis, points_of
from hansa_sim.latency.sweeps.journal import JournalBusy
from hansa_sim.latency.sweeps.page import page_of_sweep
from hansa_sim.latency.sweeps.playing import Status
from hansa_sim.latency.sweeps.study import ClusterError, Engine, Points, Sofar, Swept, Watch, records_of, swept
from hansa_sim.latency.sweeps.summary import Summary, as_json, figures_of, summary_of, table_of_sweep, words_of_sweep
from hansa_sim.latency.sweeps.workers import Processes

FAILED_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130
WIDTH = 150
ROWS = "rows"

app = typer.Typer()


class EngineName(StrEnum):
    """Where points are played."""

    PROCESSES = "processes"
    DASK = "dask"


@app.command("sweep")
def sweep(
    file: Annotated[Path, typer.Argument(metavar="SCENARIO.YAML", help="The scenario that points change.")],
    out: Annotated[Path, typer.Option(help="Folder for the journal and the results; a sweep there is gone on with.")],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUES", help="100,200,400 or 1..8 or 0.5..2..0.5; all are combined."),
    ] = None,
    points: Annotated[
        Path | None, typer.Option(help="CSV of points: keys in its first line; combined with what --set gives.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, max=1024, help="Processes on this machine; 0 is one a core.")] = 0,
    engine: Annotated[EngineName, typer.Option(help=r"dask needs hansa\[sim-dask].")] = EngineName.PROCESSES,
    scheduler: Annotated[str, typer.Option(help="Dask: address such as tls://HOST:8786; left out: one here.")] = "",
    tls: Annotated[
        Path | None, typer.Option(help="Dask: YAML with tls_ca_file, tls_client_cert and tls_client_key.")
    ] = None,
    least: Annotated[str, typer.Option(metavar="FIGURE", help="The figure of rows that is to be least.")] = "mean_ms",
    output: Annotated[str, typer.Option("-o", "--output", help="table, or json on standard output.")] = "table",
) -> None:
    """Play a scenario at every combination of values. What is finished stays finished, whatever happens."""
    if output not in {"table", "json"}:
        raise typer.BadParameter(f"{output!r} is neither table nor json")
    try:
        grid = points_of([*([Axis.of_file(points)] if points else []), *(Axis.of(one) for one in values or ())])
        out.mkdir(parents=True, exist_ok=True)
        with _progress() as watch:
            done = _swept((file, grid, out), _engine(engine, jobs or os.cpu_count() or 1, scheduler, tls), watch)
    except ChangeError as error:
        raise typer.BadParameter(str(error), param_hint="--points" if str(points) in str(error) else "--set") from error
    except (ScenarioError, JournalBusy, ClusterError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(REFUSED_EXIT_CODE) from error
    except OSError as error:
        typer.echo(f"--out {out}: {error.strerror or error}", err=True)
        raise typer.Exit(REFUSED_EXIT_CODE) from error
    summary = _checked(done, least)
    with told_of(out):
        _write(done, summary, out)
    if output == "json":
        typer.echo(json.dumps(as_json(done, summary), allow_nan=False))
    else:
        _show(done, summary)
    if done.count(Status.FAILED):
        raise typer.Exit(FAILED_EXIT_CODE)


def _swept(what: tuple[Path, Points, Path], engine: Engine, watch: Watch) -> Swept:
    last = Sofar(0, len(what[1]), 0)

    def tell(sofar: Sofar) -> None:
        nonlocal last
        last = sofar
        watch(sofar)

    try:
        return swept(*what, engine, tell)
    except KeyboardInterrupt:
        points = f"{last.done} of {last.total} points"
        typer.echo(f"stopped with {points} done; the same command goes on from there", err=True)
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None


def _engine(name: EngineName, jobs: int, scheduler: str, tls: Path | None) -> Engine:
    if name is EngineName.PROCESSES:
        if scheduler or tls:
            raise typer.BadParameter("is for --engine dask", param_hint="--scheduler" if scheduler else "--tls")
        return Processes(jobs)
    try:
        from hansa_sim.latency.sweeps.dask_cluster import DaskCluster
    except ImportError as error:
        raise typer.BadParameter("dask is not installed: pip install 'hansa[sim-dask]'") from error
    return DaskCluster(scheduler, jobs, tls)


@contextmanager
def _progress() -> Iterator[Watch]:
    """A bar on standard error: points done of all, and how long the rest will take."""
    columns = (TextColumn("points"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("points", total=None)
        yield lambda sofar: bar.update(task, completed=sofar.done, total=sofar.total)


def _checked(done: Swept, least: str) -> Summary:
    figures = figures_of(done)
    if figures and least not in figures:
        raise typer.BadParameter(f"no figure {least!r}{hint(least, figures)}", param_hint="--least")
    return summary_of(done, least)


def _write(done: Swept, summary: Summary, out: Path) -> None:
    records = records_of(done)
    table = write_table(records, out / ROWS)
    write_lines(records, out / f"{ROWS}.jsonl")
    page = out / "sweep.html"
    page.write_text(page_of_sweep(done, summary, Path(done.bundle.name).stem), encoding="utf-8")
    why = "" if table.suffix == ".parquet" else f" (Parquet: {EXTRA})"
    if done.unused:
        typer.echo(f"{done.unused} points in the journal are of other settings, scenarios or code: not used", err=True)
    typer.echo(f"{table}{why}, {out / ROWS}.jsonl and {page} written; {done.before} points were there before", err=True)


def _show(done: Swept, summary: Summary) -> None:
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=WIDTH)
    if summary.figures:
        console.print(table_of_sweep(summary))
    for words in words_of_sweep(done, summary):
        console.print(words, highlight=False, markup=False, soft_wrap=True)

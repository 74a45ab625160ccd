"""The commands ``hansa simulate snapshot`` and ``hansa simulate what-if``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from hansa_control.adapters.decision_record import RecordUnreadable
from hansa_control.adapters.world_record import read_world
from rich.console import Console

from hansa.errors import HansaError
from hansa.printable import printable
from hansa.profile import load_profile
from hansa_sim.latency.estates import estate_in
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario
from hansa_sim.latency.world import build_world
from hansa_sim.what_if.answer import Answer, answer
from hansa_sim.what_if.changes import Changes, SuppositionError
from hansa_sim.what_if.estate import Estate, estate_of
from hansa_sim.what_if.live import ask, write_scenario
from hansa_sim.what_if.words import access_table, as_json, lines_of, table_of

BROKEN_EXIT_CODE, REFUSED_EXIT_CODE = 1, 2
WIDTH = 190

Profile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The operator's own profile, with its control plane's certificate."),
]
File = Annotated[
    Path | None,
    typer.Argument(metavar="[SCENARIO.YAML]", help="A scenario or a snapshot; left out: the running operator."),
]
Cut = Annotated[
    list[str] | None, typer.Option(metavar="WHAT", help="link:A/B or link:NAME, cable:NAME, carrier:OPERATOR.")
]
Fail = Annotated[
    list[str] | None, typer.Option(metavar="WHAT", help="zone:OPERATOR/ZONE, operator:NAME, country:NO, node:NAME.")
]
Drain = Annotated[list[str] | None, typer.Option(metavar="WHAT", help="zone:OPERATOR/ZONE, to be emptied.")]
Accept = Annotated[list[str] | None, typer.Option(metavar="WHAT", help="agreement:FILE, which a partner offers.")]
Law = Annotated[Path | None, typer.Option(metavar="FILE", help="A law file that demands more of every workload.")]
Output = Annotated[str, typer.Option("-o", "--output", help="table, or json on standard output.")]


app = typer.Typer()
"""Commands of ``hansa simulate``, beside those of its own module."""


@app.command("snapshot")
def snapshot(
    out: Annotated[Path, typer.Option(metavar="FILE.yaml", help="The scenario; its world is written beside it.")],
    profile: Profile = None,
) -> None:
    """Take a running operator's world into a scenario: zones, network, workloads, where they run, partners."""
    try:
        written = write_scenario(ask(load_profile(profile)), out)
    except (HansaError, RecordUnreadable) as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"--out {out}: {error.strerror or error}")
    typer.echo(f"{written[0]} and {written[1]} written", err=True)


@app.command("what-if")
def what_if(
    file: File = None,
    profile: Profile = None,
    cut: Cut = None,
    fail: Fail = None,
    drain: Drain = None,
    accept: Accept = None,
    law: Law = None,
    output: Output = "table",
) -> None:
    """Say what would move where, who would break a promise, and what has no lawful place. Nothing is changed.

    Exits 0 where every promise is kept, 1 where one would be broken, 2 where what is asked does not fit the world.
    """
    if output not in {"table", "json"}:
        raise typer.BadParameter(f"{output!r} is neither table nor json")
    if file is not None and profile is not None:
        why = f"asks a running operator, and {file} is given to be asked instead; leave one of the two out"
        raise typer.BadParameter(why, param_hint="--profile")
    changes = Changes(tuple(cut or ()), tuple(fail or ()), tuple(drain or ()), tuple(accept or ()), law)
    try:
        found = answer(_estate(file, profile), changes)
    except (HansaError, RecordUnreadable, ScenarioError, SuppositionError) as error:
        _refuse(str(error))
    if output == "json":
        typer.echo(json.dumps(as_json(found), allow_nan=False))
    else:
        _show(found)
    if found.breaks_promise:
        raise typer.Exit(BROKEN_EXIT_CODE)


def _estate(file: Path | None, profile: Path | None) -> Estate:
    """What is asked about: a file's world, else that of the operator that the profile names."""
    if file is not None:
        return estate_in(build_world(load_scenario(file)))
    return estate_of(read_world(ask(load_profile(profile))))


def _refuse(message: str) -> NoReturn:
    typer.echo(printable(message), err=True)
    raise typer.Exit(REFUSED_EXIT_CODE)


def _show(found: Answer) -> None:
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=WIDTH)
    for line in lines_of(found):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
    for table in (table_of(found), access_table(found)):
        if table is not None:
            console.print()
            console.print(table)

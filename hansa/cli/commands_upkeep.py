"""Commands on an operator's own zones: declarations only, as in ``main``. They need the operator's own profile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from hansa.cli import parameters as of
from hansa.cli.options import OutputFormat

top = typer.Typer()
"""Commands that stand beside those of ``main``."""
app = typer.Typer(help="Announce maintenance of the operator's own zones.", no_args_is_help=True)

Zone = Annotated[str, typer.Argument(metavar="ZONE", help="Zone of the operator, for example oslo-1.")]
Note = Annotated[str, typer.Option(metavar="TEXT", help="Why; shown to partners and app teams.")]
Deadline = Annotated[str, typer.Option(metavar="DURATION", help="By when it is to be empty: 90s, 10m, 2h.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Ask for it and leave.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help="Begin, ISO 8601; UTC without an offset.")]
UntilTime = Annotated[str, typer.Option("--until", metavar="TIME", help="End, likewise.")]
Lead = Annotated[str, typer.Option(metavar="DURATION", help="How long before the begin to start moving away.")]


def _run(ctx: typer.Context, output: OutputFormat, action: Callable[[Any], Any]) -> None:
    from hansa.cli.session import Settings, run

    profile, timeout_ms = ctx.obj
    run(Settings(profile, timeout_ms), output, action)


@top.command()
def cordon(ctx: typer.Context, zone: Zone, *, note: Note = "", output: of.Output = OutputFormat.TABLE) -> None:
    """Take nothing new into a zone of the operator's own; what runs there stays."""
    from hansa.cli import actions_upkeep as actions

    _run(ctx, output, lambda session: actions.cordon(session, zone, note))


@top.command()
def uncordon(ctx: typer.Context, zone: Zone, *, output: of.Output = OutputFormat.TABLE) -> None:
    """Open a zone again: neither cordoned nor drained. Announced maintenance stays announced."""
    from hansa.cli import actions_upkeep as actions

    _run(ctx, output, lambda session: actions.uncordon(session, zone))


@top.command()
def drain(
    ctx: typer.Context,
    zone: Zone,
    *,
    deadline: Deadline = "10m",
    note: Note = "",
    no_wait: NoWait = False,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Empty a zone: what runs there moves away, the new instance first. Exits 0 when it is empty, 2 when the deadline
    finds something left; that keeps running, and the zone stays cordoned.
    """
    from hansa.cli import actions_upkeep as actions

    _run(ctx, output, lambda session: actions.drain(session, zone, actions.Drain(deadline, note, not no_wait)))


@app.command()
def announce(
    ctx: typer.Context,
    zone: Zone,
    *,
    begin: From,
    end: UntilTime,
    lead: Lead = "1h",
    note: Note = "",
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Announce a window: from now on nothing new is placed there, and what runs there moves away before it begins."""
    from hansa.cli import actions_upkeep as actions

    _run(ctx, output, lambda session: actions.announce(session, zone, (begin, end), lead, note))


@app.command()
def withdraw(
    ctx: typer.Context,
    zone: Zone,
    *,
    begin: From = "",
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Take back the window of that begin; every window of the zone without one."""
    from hansa.cli import actions_upkeep as actions

    _run(ctx, output, lambda session: actions.withdraw(session, zone, begin))


@app.command()
def show(ctx: typer.Context, zone: Zone, *, output: of.Output = OutputFormat.TABLE) -> None:
    """Show what was decided about a zone, and what is in it still, and why."""
    from hansa.cli import actions_upkeep as actions

    _run(ctx, output, lambda session: actions.show(session, zone))

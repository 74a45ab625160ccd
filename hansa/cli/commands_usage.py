"""The commands ``usage`` and ``settle``: declarations only, as in ``main``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hansa.cli.options import OutputFormat
from hansa.cli.parameters import Output

_MOMENT = "2026-11, 2026-11-22 or 2026-11-22T10:30Z; UTC."
Since = Annotated[str, typer.Option(metavar="MOMENT", help=f"From here: {_MOMENT} Else this month.")]
Until = Annotated[str, typer.Option(metavar="MOMENT", help="Until just before here; else now.")]


def usage(ctx: typer.Context, *, since: Since = "", until: Until = "", output: Output = OutputFormat.TABLE) -> None:
    """Show what the tenant's workloads used, by operator and accelerator. The operator itself is told everybody's."""
    from hansa.cli import actions_usage as actions

    _run(ctx, output, lambda session: actions.usage(session, since, until))


def settle(
    ctx: typer.Context,
    *,
    partner: Annotated[str, typer.Option(metavar="OPERATOR", help="One partner; all without.")] = "",
    since: Since = "",
    until: Until = "",
    output: Output = OutputFormat.TABLE,
) -> None:
    """Compare the operator's book of usage with its partners'. Exits 0 (no difference), 1 (differences) or 255 (error).

    For the operator alone: a profile with the certificate of its control plane.
    """
    from hansa.cli import actions_usage as actions

    _run(ctx, output, lambda session: actions.settle(session, partner, since, until))


def _run(ctx: typer.Context, output: OutputFormat, action: Any) -> None:
    from hansa.cli.session import Settings, run

    profile, timeout_ms = ctx.obj
    run(Settings(profile, timeout_ms), output, action)

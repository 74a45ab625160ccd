"""The ``hansa law`` commands: declarations only, as in ``main``. They need no server and no profile."""

from __future__ import annotations

from typing import Annotated

import typer

from hansa.cli.options import OutputFormat

app = typer.Typer(
    help="Show presets, groups of countries and laws: what they say on a day, and on which sources.",
    no_args_is_help=True,
)

Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to write the answer.")]
AsOf = Annotated[str, typer.Option("--as-of", metavar="DATE", help="As of this day (YYYY-MM-DD); today without.")]


@app.command("list")
def list_presets(output: Output = OutputFormat.TABLE) -> None:
    """List the presets, each with its version and what it restricts."""
    from hansa.cli import actions_law as actions

    raise typer.Exit(actions.list_presets(output))


@app.command()
def show(
    preset: Annotated[str, typer.Argument(metavar="PRESET[@DATE]", help="For example gdpr-eea.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show what a preset stands for, what it does not promise, its sources, and its policy in full."""
    from hansa.cli import actions_law as actions

    raise typer.Exit(actions.show_preset(preset, output))


@app.command()
def groups(
    group: Annotated[str, typer.Argument(metavar="[GROUP]", help="For example EEA; all without.")] = "",
    *,
    as_of: AsOf = "",
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show groups of countries as of a day; one of them with every membership, its dates and its source."""
    from hansa.cli import actions_law as actions

    raise typer.Exit(actions.show_group(group, as_of, output) if group else actions.list_groups(as_of, output))


@app.command()
def laws(output: Output = OutputFormat.TABLE) -> None:
    """List the laws of third countries that deny_laws and facts name."""
    from hansa.cli import actions_law as actions

    raise typer.Exit(actions.list_laws(output))

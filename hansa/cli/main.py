"""The ``hansa`` command line: declarations only. What a command does is imported when it is used."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from hansa.cli import commands_law, commands_upkeep, commands_usage, exits
from hansa.cli import parameters as of
from hansa.cli.config import quiet_transport
from hansa.cli.lazy import LazyGroup
from hansa.cli.options import OutputFormat, Shell, Until

_EPILOG = (
    "Exit codes: 0 done (plan, optimize: no change), 1 plan: submitting would change something, optimize: moves are "
    "proposed, settle: books differ, 2 no zone is feasible "
    "(plan, submit --wait, watch) or something is left (drain), 255 error, 130 interrupted. Answers go to "
    "standard output, notes and errors to standard error."
)

app = typer.Typer(
    name="hansa",
    cls=LazyGroup,
    help="Places inference near its users, across operators and borders, within the law for site, owner and path.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(commands_law.app, name="law")
app.command()(commands_usage.usage)
app.command()(commands_usage.settle)
app.add_typer(commands_upkeep.app, name="maintenance")
app.registered_commands.extend(commands_upkeep.top.registered_commands)


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - typer gives it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hansa {version('hansa')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    profile: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Endpoint, tenant, certificates. Else HANSA_PROFILE, else ~/.config/hansa/."),
    ] = None,
    call_timeout_s: Annotated[float, typer.Option(min=0.1, help="Deadline of each call, seconds.")] = 10.0,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    ctx.obj = (profile, int(call_timeout_s * 1000))


def _run(ctx: typer.Context, output: OutputFormat, action: Any, *, subject: str = "") -> None:
    from hansa.cli.session import Settings, run

    profile, timeout_ms = ctx.obj
    run(Settings(profile, timeout_ms), output, action, subject=subject)


@app.command()
def plan(
    ctx: typer.Context,
    *,
    file: of.File,
    overlay: of.OverlayFile = None,
    cut: of.Cut = None,
    without: of.Without = None,
    with_fact: of.WithFact = None,
    deny_country: of.DenyCountry = None,
    record: of.Record = None,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Decide without acting. Exits 0 (no change), 1 (change) or 2 (no feasible zone).

    With something supposed, it is a change if the plan is another than in the world as it is.
    """
    from hansa.cli import actions_workload as actions
    from hansa.overlay_options import Supposed

    given = (tuple(values or ()) for values in (cut, without, with_fact, deny_country))
    _run(ctx, output, lambda session: actions.plan(session, file, Supposed(overlay, *given), record))


@app.command()
def submit(
    ctx: typer.Context,
    *,
    file: of.File,
    expect_generation: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=2**63 - 1, help="Refuse if the plan made on generation N is outdated."),
    ] = 0,
    wait: of.Wait = False,
    timeout_s: of.TimeoutS = 120,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Hand a workload in, or change it. With --wait, exits 0 when it is ready and 2 when no zone is feasible."""
    from hansa.cli import actions_workload as actions

    _run(
        ctx,
        output,
        lambda session: actions.submit(
            session, file, wait=wait, timeout_s=timeout_s, expect_generation=expect_generation
        ),
    )


@app.command()
def optimize(
    ctx: typer.Context,
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would move, and move nothing.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Look for the proven optimum, too; for small fleets.")] = False,
    exact_time_s: Annotated[float, typer.Option(min=0, max=600, help="Longest search for it; 0 is 30 s.")] = 0,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Pack all workloads anew: what would move, gain, risk. Exits 0 (nothing to gain) or 1 (moves proposed)."""
    from hansa.cli import actions_optimize as actions

    asked = actions.Asked(plan, exact, int(exact_time_s * 1000))
    _run(ctx, output, lambda session: actions.optimize(session, asked))


@app.command("get")
def get_workloads(
    ctx: typer.Context, name: of.AnyName = "", *, watch: of.Watch = False, output: of.Output = OutputFormat.TABLE
) -> None:
    """Show one workload or all."""
    from hansa.cli import actions_workload as actions

    _run(ctx, output, lambda session: actions.get(session, name, watched=watch), subject=name)


@app.command("list")
def list_workloads(ctx: typer.Context, *, watch: of.Watch = False, output: of.Output = OutputFormat.TABLE) -> None:
    """Show all workloads; the same as get."""
    get_workloads(ctx, watch=watch, output=output)


@app.command()
def describe(ctx: typer.Context, name: of.Name, output: of.Output = OutputFormat.TABLE) -> None:
    """Show everything about a workload: spec, placements, paths, conditions, events."""
    from hansa.cli import actions_workload as actions

    _run(ctx, output, lambda session: actions.describe(session, name), subject=name)


@app.command("watch")
def watch_workload(
    ctx: typer.Context,
    name: of.Name,
    *,
    until: Annotated[Until | None, typer.Option(help="Stop when it is so.")] = None,
    timeout_s: of.TimeoutS = 0,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Follow a workload. Exits 0 when it is ready or gone as asked, 2 when no lawful zone is left."""
    from hansa.cli import actions_workload as actions

    _run(ctx, output, lambda session: actions.watch(session, name, until=until, timeout_s=timeout_s), subject=name)


@app.command()
def why(
    ctx: typer.Context,
    name: of.Name,
    *,
    record: of.Record = None,
    grants: of.Grants = None,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Show why a workload is where it is: score, paths, constraints with evidence, history."""
    from hansa.cli import actions_decision as actions

    _run(ctx, output, lambda session: actions.why(session, name, record, grants), subject=name)


@app.command("why-not")
def why_not(
    ctx: typer.Context,
    name: of.Name,
    *,
    zone: Annotated[str, typer.Option(metavar="OPERATOR/ZONE", help="Only this zone.")] = "",
    as_decided: Annotated[
        bool, typer.Option("--as-decided", help="As it was when the workload was placed, not as it is now.")
    ] = False,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Show every constraint that the other zones fail, measured against its bound, and the nearest fix."""
    from hansa.cli import actions_decision as actions

    _run(ctx, output, lambda session: actions.why_not(session, name, zone=zone, as_decided=as_decided), subject=name)


@app.command()
def delete(
    ctx: typer.Context,
    name: of.Name,
    *,
    wait: of.Wait = False,
    timeout_s: of.TimeoutS = 120,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Stop and forget a workload. With --wait, exits when it is gone."""
    from hansa.cli import actions_workload as actions

    _run(ctx, output, lambda session: actions.delete(session, name, wait=wait, timeout_s=timeout_s), subject=name)


@app.command()
def zones(ctx: typer.Context, *, watch: of.Watch = False, output: of.Output = OutputFormat.TABLE) -> None:
    """Show the zones that the operator sees, its own and its partners'."""
    from hansa.cli import actions_zone as actions

    _run(ctx, output, lambda session: actions.zones(session, watched=watch))


@app.command()
def network(
    ctx: typer.Context,
    *,
    probes: Annotated[bool, typer.Option("--probes", help="What zones measured, beside the model.")] = False,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Show the network: links with round-trip times, and whether they are measured or modelled."""
    from hansa.cli import actions_zone as actions

    _run(ctx, output, lambda session: actions.network(session, probes=probes))


@app.command()
def partners(ctx: typer.Context, *, output: of.Output = OutputFormat.TABLE) -> None:
    """Show federations, for the operator: whose zones, state, version, quota, deadline. Needs its own certificate."""
    from hansa.cli import actions_partner as actions

    _run(ctx, output, actions.partners)


@app.command()
def endpoint(
    ctx: typer.Context,
    name: of.Name,
    *,
    ca_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the endpoint's authority here.")] = None,
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Show where to send requests now."""
    from hansa.cli import actions_workload as actions

    _run(ctx, output, lambda session: actions.endpoint(session, name, ca_file=ca_file), subject=name)


@app.command()
def explain(
    reason: Annotated[
        str,
        typer.Argument(
            metavar="[REASON]", help="For example LATENCY_EXCEEDED, or a constraint as tables name it; all without."
        ),
    ] = "",
    output: of.Output = OutputFormat.TABLE,
) -> None:
    """Say what a reason means and what to do about it."""
    from hansa.cli import actions_decision as actions

    raise typer.Exit(actions.explain_reason(reason, output) if reason else actions.list_reasons(output))


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print a completion script: source <(hansa completion bash)."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name="hansa", complete_var="_HANSA_COMPLETE", shell=shell.value))


def main(args: list[str] | None = None) -> None:
    """Runs the command line and leaves the process with its exit code; an error is one line on standard error."""
    given = sys.argv[1:] if args is None else args
    quiet_transport()
    try:
        code = app(given, prog_name="hansa", standalone_mode=False)
    except KeyboardInterrupt:
        code = exits.INTERRUPTED
    except BrokenPipeError:
        code = _reader_gone()
    except SystemExit as left:
        # The command-line library turns a closed pipe into exit 1, which here would say "plan: change".
        code = _reader_gone() if isinstance(left.__context__, BrokenPipeError) else left.code
    except Exception as error:
        code = _code_of(error, with_traceback="--debug" in given)
    raise SystemExit(code if isinstance(code, int) else exits.OK)


def _reader_gone() -> int:
    """Whoever reads the answer has had enough of it; nothing more is to be said, to nobody."""
    sys.stderr.close()
    return exits.OK


def _code_of(error: Exception, *, with_traceback: bool) -> int:
    """Reports an error; the kinds of the command-line library are told by name, as it keeps their classes to itself."""
    kind = type(error).__name__
    if kind == "Abort":
        return exits.INTERRUPTED
    if kind == "NoArgsIsHelpError":
        return exits.OK
    _report(error, with_traceback=with_traceback)
    return exits.ERROR


def _report(error: Exception, *, with_traceback: bool) -> None:
    if with_traceback:
        traceback.print_exception(error)
    from hansa.printable import printable

    print(printable(f"error: {_one_line(error)}"), file=sys.stderr)


def _one_line(error: Exception) -> str:
    """The error as a single line: reason, field, message, request id."""
    from hansa.errors import HansaError

    if isinstance(error, HansaError):
        request = f" [request {error.request_id}]" if error.request_id else ""
        return " ".join(f"{error}{request}".split())
    format_message = getattr(error, "format_message", None)
    if callable(format_message):
        command = getattr(getattr(error, "ctx", None), "command_path", "hansa")
        text = str(format_message()).replace("Value error, ", "")
        return " ".join(f"{text} (see {command} --help)".split())
    return " ".join(f"INTERNAL: {type(error).__name__}: {error} (--debug shows the traceback)".split())


if __name__ == "__main__":
    main()

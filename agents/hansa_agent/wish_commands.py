"""Commands of those who keep the machines: what they ask of the operator, through the agent that runs here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from hansa.errors import HansaError
from hansa_agent.config_sections import Section
from hansa_agent.site_wish import NOTHING, Wish, WishFile, WishUnreadable, WishWindow
from hansa_agent.system import SystemClock

EXIT_REFUSED = 1

app = typer.Typer()
Config = Annotated[Path, typer.Option("--config", "-c", help="The agent's configuration, YAML.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; partners and app teams are shown it.")]


@app.command()
def cordon(config: Config, *, why: Why = "") -> None:
    """Ask that nothing new comes here; what runs stays. The operator cannot lift it."""
    _change(config, lambda wish: _with(wish, cordoned=True, note=why or wish.note))


@app.command()
def uncordon(config: Config) -> None:
    """Take cordon and drain back. Announced maintenance stays, and so does whatever the operator has decided itself."""
    _change(config, lambda wish: _with(wish, cordoned=False, drained=False, note="", due_ms=0), starts_over=True)


@app.command()
def drain(
    config: Config,
    *,
    by: Annotated[str, typer.Option(metavar="TIME", help="By when it is to be empty: ISO 8601, or 10m, 2h.")] = "",
    why: Why = "",
) -> None:
    """Ask that nothing new comes here and what runs moves away, the new instance first. Nothing is stopped by it."""
    _change(config, lambda wish: _with(wish, cordoned=True, drained=True, due_ms=_due_ms(by), note=why or wish.note))


@app.command()
def maintenance(
    config: Config,
    *,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Begin, ISO 8601; UTC without an offset.")
    ] = None,
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End, likewise.")] = "",
    lead: Annotated[str, typer.Option(metavar="DURATION", help="How long before to start moving away.")] = "1h",
    why: Why = "",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take back the window that begins at --from; without it, all.")
    ] = False,
) -> None:
    """Announce a window: nothing new comes here that would run into it, and what runs moves away before."""
    if withdraw:
        _change(config, lambda wish: _withdrawn(wish, begin))
    else:
        _change(config, lambda wish: _announced(wish, (begin or "", end, lead), why))


@app.command()
def status(config: Config) -> None:
    """Print what the site asks. Exits with 1 if it cannot be read; the agent then takes nothing new."""
    try:
        wish = _file_of(config).read()
    except WishUnreadable as unreadable:
        _refuse(f"{unreadable}; the agent takes nothing new until `hansa-agent uncordon`")
    for text in lines(wish):
        typer.echo(text)


def lines(wish: Wish) -> list[str]:
    """A wish in words."""
    state = "drained" if wish.drained else "cordoned" if wish.cordoned else "open"
    due = f", to be empty by {_utc(wish.due_ms)}" if wish.due_ms else ""
    note = f" ({wish.note})" if wish.note else ""
    windows = [
        f"maintenance  {_utc(one.from_ms)} to {_utc(one.until_ms)}{f' ({one.note})' if one.note else ''}"
        for one in wish.windows
    ]
    return [f"site         {state}{due}{note}", *windows]


def _change(config: Path, changed: Callable[[Wish], Wish], *, starts_over: bool = False) -> None:
    file = _file_of(config)
    with _refusals(), file.alone():
        try:
            before = file.read()
        except WishUnreadable as unreadable:
            if not starts_over:
                _refuse(f"{unreadable}; `hansa-agent uncordon` starts over")
            typer.echo(f"{unreadable}; what it asked is gone, windows too", err=True)
            before = NOTHING
        now_ms = SystemClock().now().wall_ms
        windows = tuple(one for one in before.windows if one.until_ms > now_ms)
        after = changed(_with(before, windows=windows))
        file.write(after)
    for text in lines(after):
        typer.echo(text)


def _with(wish: Wish, **changes: object) -> Wish:
    return Wish.model_validate({**wish.model_dump(), **changes})


def _announced(wish: Wish, times: tuple[str, str, str], why: str) -> Wish:
    from hansa.cli.times import duration_ms, moment_ms

    from_ms, until_ms = moment_ms(times[0], "--from"), moment_ms(times[1], "--to")
    if until_ms <= SystemClock().now().wall_ms:
        _refuse("--to: has passed")
    window = WishWindow(from_ms=from_ms, until_ms=until_ms, lead_ms=duration_ms(times[2], "--lead"), note=why)
    others = [one for one in wish.windows if one.from_ms != from_ms]
    return _with(wish, windows=tuple(sorted((*others, window), key=lambda one: one.from_ms)))


def _withdrawn(wish: Wish, begin: str | None) -> Wish:
    from hansa.cli.times import moment_ms

    from_ms = 0 if begin is None else moment_ms(begin, "--from")
    if from_ms and all(one.from_ms != from_ms for one in wish.windows):
        known = ", ".join(_utc(one.from_ms) for one in wish.windows)
        _refuse(f"--from: no window begins then{f'; windows begin at {known}' if known else ''}")
    return _with(wish, windows=tuple(one for one in wish.windows if from_ms and one.from_ms != from_ms))


def _due_ms(by: str) -> int:
    from hansa.cli.times import duration_ms, moment_ms

    if not by:
        return 0
    now_ms = SystemClock().now().wall_ms
    due_ms = now_ms + duration_ms(by, "--by") if by[-1] in "smhd" and by[0].isdigit() else moment_ms(by, "--by")
    if due_ms <= now_ms:
        _refuse("--by: has passed")
    return due_ms


class _Place(Section):
    state_dir: Path


def _file_of(config: Path) -> WishFile:
    """The wish file of the agent of a configuration, of which nothing else is looked at, so that it may be broken."""
    import yaml

    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        state_dir = config.resolve().parent / _Place(state_dir=content["state_dir"]).state_dir
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        _refuse(f"{config}: no state_dir can be read from it: {type(error).__name__}: {error}")
    if not state_dir.is_dir():
        _refuse(f"{state_dir} is not there; the agent makes it when it first starts")
    return WishFile(state_dir)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except HansaError as error:
        _refuse(str(error))
    except ValidationError as error:
        _refuse("; ".join(each["msg"] for each in error.errors()))
    except OSError as error:
        _refuse(f"{error.filename}: {error.strerror}")


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(EXIT_REFUSED)

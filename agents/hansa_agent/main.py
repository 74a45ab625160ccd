"""The command ``hansa-agent``."""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hansa.memory import give_back
from hansa_agent import lean  # first of all
from hansa_agent.artefacts import ArtefactUnreadable, artefact_digest
from hansa_agent.config import LoadedConfig
from hansa_agent.config_yaml import ConfigError
from hansa_agent.inventory import pool_key
from hansa_agent.logs import configure_logs
from hansa_agent.runner import Agent, Outside, StateDirTaken, StateDirUnusable
from hansa_agent.system import SystemClock, SystemIds, SystemRandom

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits(3)."""

app = typer.Typer(no_args_is_help=True, help="The agent of one zone.", pretty_exceptions_enable=False)
ConfigKey = Annotated[
    str | None,
    typer.Option("--config-key", metavar="BASE64", help="Ed25519 public key that the configuration is signed with."),
]


@app.command()
def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="The agent's configuration, YAML.")],
    *,
    config_key: ConfigKey = None,
    stop_instances: Annotated[
        bool, typer.Option("--stop-instances", help="Stop all instances, too, when the agent is told to end.")
    ] = False,
) -> None:
    """Advertise the zone to its operator and run what the operator orders.

    On SIGTERM or SIGINT the agent ends and its instances GO ON RUNNING, so that it can be upgraded without stopping
    inference; the next agent on the same state directory adopts them. --stop-instances stops them instead. On SIGHUP
    it reads inventory, facts, artefacts and refusals again. With --config-key the configuration must be signed.
    """
    loaded = _loaded(config, config_key)
    configure_logs(loaded.config.log_level, loaded.config.zone)
    outside = Outside(SystemClock(), SystemIds(), SystemRandom(), metadata.version("hansa"))
    try:
        asyncio.run(_serve(loaded, outside, stop_instances=stop_instances))
    except (StateDirTaken, ConfigError) as error:
        _fail(str(error))
    except StateDirUnusable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


@app.command()
def digest(files: Annotated[list[Path], typer.Argument(help="The artefact's files and directories.")]) -> None:
    """Print the digest of an artefact made of FILES, for an allow-list or a workload."""
    try:
        typer.echo(artefact_digest(files))
    except ArtefactUnreadable as error:
        _fail(str(error))


@app.command(name="sign-config")
def sign_config(
    config: Annotated[Path, typer.Argument(help="The agent's configuration.")],
    *,
    key: Annotated[Path, typer.Option("--key", help="Ed25519 private key, PEM (openssl genpkey -algorithm ed25519).")],
) -> None:
    """Write the signature beside CONFIG and print the public key that --config-key pins.

    To be done where configurations are made, not where the agent runs: the private key does not belong there.
    """
    from hansa_agent.config_signature import SignatureRefused, sign

    try:
        typer.echo(sign(config, key))
    except SignatureRefused as error:
        _fail(str(error))


@app.command()
def inventory() -> None:
    """Print what an agent with the inventory source "machine" would advertise of this machine."""
    from hansa_agent.inventory_machine import MachineSource

    configure_logs("warning", "-")
    machine = MachineSource(SystemClock()).look()
    typer.echo(f"source      {machine.source}")
    typer.echo(f"cpu_millis  {machine.capacity.cpu_millis}")
    typer.echo(f"memory_mib  {machine.capacity.memory_mib}")
    if machine.trouble:
        typer.echo(f"trouble     {machine.trouble}")
    for pool in machine.pools:
        typer.echo(f"pool        {pool_key(pool)}  count {pool.count}  memory_mib {pool.memory_mib}")


@app.command()
def check(
    config: Annotated[Path, typer.Option("--config", "-c", help="The agent's configuration, YAML.")],
    *,
    config_key: ConfigKey = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table",
) -> None:
    """Say in plain words what the agent would see and what it may not, before anything is joined.

    Exits with 0 if all is well, with 78 if there are problems. Nothing is started, written or joined.
    """
    from hansa_agent.check import as_json, as_lines, exit_status
    from hansa_agent.check_run import findings_of

    if output not in ("table", "json"):
        _fail(f"--output is table or json, not {output!r}")
    configure_logs("error", "-")
    found = asyncio.run(findings_of(config, SystemClock(), SystemIds(), _pinned(config_key)))
    typer.echo(as_json(found) if output == "json" else "\n".join(as_lines(found)))
    sys.exit(exit_status(found, strict=strict))


def main() -> None:
    """Entry point."""
    (app if sys.argv[1:2] == ["serve"] else whole_app())()


def whole_app() -> typer.Typer:
    """The command with those of the site, too, which an agent that serves has no memory to spare for."""
    if not app.registered_groups:
        from hansa_agent import wish_commands

        app.add_typer(wish_commands.app)
    return app


async def _serve(loaded: LoadedConfig, outside: Outside, *, stop_instances: bool) -> None:
    agent = Agent(loaded, outside)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, agent.reload)
    loop.call_later(lean.SETTLED_S, give_back)
    await agent.run(stop, stop_instances=stop_instances)


def _loaded(path: Path, config_key: str | None) -> LoadedConfig:
    try:
        return LoadedConfig(path, _pinned(config_key))
    except ConfigError as error:
        _fail(str(error))


def _pinned(config_key: str | None) -> str:
    """The key that is pinned; none only where the option was not given, for an empty one pins nothing."""
    if config_key == "":
        _fail("--config-key is empty; leave it out for a configuration that is not signed")
    return config_key or ""


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(EXIT_CONFIG)


if __name__ == "__main__":
    main()

"""``hansa-control mqtt``: what an operator needs for its broker, and what came in over it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from hansa.mqtt_topics import access_rules
from hansa.v1.mqtt_pb2 import TelemetryRecord
from hansa_control.adapters.telemetry_store import TelemetryStore

EXIT_USAGE = 2

app = typer.Typer(no_args_is_help=True, help="The operator's MQTT broker, and telemetry.")


@app.command()
def acl(
    operator: Annotated[str, typer.Option(help="The operator's name.")],
    zone: Annotated[list[str], typer.Option(help="A zone whose agent speaks MQTT; repeat.")],
) -> None:
    """Print the broker's access rules: every agent may write and read in its own zone's topics only."""
    try:
        typer.echo(access_rules(operator, zone), nl=False)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from error


@app.command()
def telemetry(
    file: Annotated[Path, typer.Option(help="telemetry.db in the control plane's data_dir.")],
    zone: Annotated[str, typer.Option(help="The zone.")],
    since_ms: Annotated[int, typer.Option(min=0, help="Recorded since, milliseconds since the Unix epoch.")] = 0,
) -> None:
    """Print what a zone has told, one JSON object a line, in the order of recording."""
    try:
        if not file.is_file():
            raise OSError(f"{file}: no such file")
        store = TelemetryStore(file)
        for spool, line in store.lines(zone, since_ms):
            record = MessageToDict(TelemetryRecord.FromString(line.content), preserving_proto_field_name=True)
            typer.echo(json.dumps({"spool": spool, **record}))
        if lost := store.lost_count(zone):
            typer.echo(f"{lost} records were lost in the zone before they could be sent", err=True)
    except (OSError, sqlite3.Error) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from error

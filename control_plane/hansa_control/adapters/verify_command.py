"""``hansa verify-decision``: makes a recorded decision again and says whether it is the same. Needs no server.

Exit codes: 0 the same, 1 different, 255 the file cannot be read or is no record.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hansa.cli.documents import Document, Line, Styled, Table, line
from hansa.cli.figures import plural, timestamp
from hansa.cli.options import OutputFormat
from hansa.cli.output import formatted
from hansa.cli.session import new_screen
from hansa_control.adapters.decision_record import RecordUnreadable, read_record
from hansa_control.domain.record import DecisionRecord, Difference, verify

EXIT_SAME, EXIT_DIFFERENT, EXIT_UNREADABLE = 0, 1, 255
SHOWN_MAX = 20
VALUE_LENGTH_MAX = 80

app = typer.Typer(help="Make a recorded decision again, and say same or different.")


@app.command("verify-decision")
def verify_decision(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A record: plan or why with --record wrote it.")],
    digest: Annotated[str, typer.Option(metavar="SHA256", help="The digest that the operator showed.")] = "",
    output: Annotated[OutputFormat, typer.Option("--output", "-o", help="How to write the answer.")] = (
        OutputFormat.TABLE
    ),
) -> None:
    """Make a recorded decision again, and say same or different.

    A record that was changed together with its digest is sound in itself: --digest, from the operator's own answer,
    says that it is the operator's. Exits 0 (same), 1 (different) or 255 (unreadable).
    """
    try:
        record = read_record(file.read_bytes())
    except (OSError, RecordUnreadable) as error:
        typer.echo(f"error: {file}: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(EXIT_UNREADABLE) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers that nobody measured are told as differences
        found = [*_foreign(record, digest), *verify(record)]
    if output.for_programs:
        typer.echo(formatted(_data(record, found), output))
    else:
        new_screen(output).show(_document(record, found, is_wide=output is OutputFormat.WIDE))
    raise typer.Exit(EXIT_DIFFERENT if found else EXIT_SAME)


def _foreign(record: DecisionRecord, digest: str) -> list[Difference]:
    """The digest is not the one that was shown."""
    return [Difference("digest", record.digest, digest)] if digest and digest != record.digest else []


def _data(record: DecisionRecord, found: Sequence[Difference]) -> dict[str, object]:
    return {
        "same": not found,
        "digest": record.digest,
        "hypothetical": record.inputs.hypothetical,
        "decided_at_ms": record.inputs.decided_at_ms,
        "snapshot_generation": record.inputs.snapshot.generation,
        "differences": [one._asdict() for one in found],
    }


def _document(record: DecisionRecord, found: Sequence[Difference], *, is_wide: bool) -> Document:
    inputs, count = record.inputs, len(record.inputs.snapshot.zones)
    world = "a supposed world" if inputs.hypothetical else "the world"
    told = f"decided {timestamp(inputs.decided_at_ms)} on {world} of generation {inputs.snapshot.generation}"
    head = [line(Styled(f"{told}: {plural(count, 'zone')}, {len(record.decision.choices)} feasible", "dim"))]
    digest = line(Styled(record.digest, "dim"))
    if not found:
        return [line(Styled("SAME", "bold green"), ": deciding again gives the recorded decision"), *head, digest]
    verb = "does" if len(found) == 1 else "do"
    verdict = f": {plural(len(found), 'field')} of the record {verb} not follow from the others"
    shown = found if is_wide else found[:SHOWN_MAX]
    length_max = sys.maxsize if is_wide else VALUE_LENGTH_MAX
    table = _table(shown, length_max)
    return [line(Styled("DIFFERENT", "bold red"), verdict), *head, digest, table, *_more(len(found) - len(shown))]


def _table(found: Sequence[Difference], length_max: int) -> Table:
    rows = tuple((one.field, _short(one.recorded, length_max), _short(one.recomputed, length_max)) for one in found)
    return Table(("FIELD", "RECORDED", "MADE AGAIN"), rows, fixed=frozenset())


def _short(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else f"{text[: length_max - 3]}..."


def _more(count: int) -> list[Line]:
    return [line(Styled(f"and {plural(count, 'field')} more (-o wide)", "dim"))] if count > 0 else []

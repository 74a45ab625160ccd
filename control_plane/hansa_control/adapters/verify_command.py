"""``hansa verify-decision``: makes a recorded decision again and says whether it is the same. Needs no server.

Exit codes: 0 the same, 1 different, 255 the file cannot be read or is no record.
"""

from __future__ import annotations

import re
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
from hansa.errors import said
from hansa.printable import printable
from hansa_control.adapters.decision_record import RecordUnreadable, read_record
from hansa_control.domain.record import DecisionRecord, Difference, verify

EXIT_SAME, EXIT_DIFFERENT, EXIT_UNREADABLE = 0, 1, 255
SHOWN_MAX = 20
VALUE_LENGTH_MAX = 80

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

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
    if digest and not _DIGEST.fullmatch(digest):
        raise _unreadable(f"--digest: {digest!r} is not sha256: and 64 hex digits in lower case{_nearest(digest)}")
    try:
        record = read_record(file.read_bytes())
    except OSError as error:
        raise _unreadable(said(error)) from error
    except RecordUnreadable as error:
        raise _unreadable(f"{file}: {said(error)}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers that nobody measured are told as differences
        found = verify(record)
    if output.for_programs:
        typer.echo(formatted(_data(record, found, digest), output))
    else:
        new_screen(output).show(_document(record, found, digest, is_wide=output is OutputFormat.WIDE))
    raise typer.Exit(EXIT_DIFFERENT if found or _is_foreign(record, digest) else EXIT_SAME)


def _unreadable(message: str) -> typer.Exit:
    typer.echo(printable(f"error: {message}"), err=True)
    return typer.Exit(EXIT_UNREADABLE)


def _nearest(digest: str) -> str:
    """What was probably meant: the digits without what stands before them, or in capitals."""
    meant = f"sha256:{digest.lower().removeprefix('sha256:')}"
    return f"; did you mean {meant}?" if _DIGEST.fullmatch(meant) else ""


def _is_foreign(record: DecisionRecord, digest: str) -> bool:
    """Whether a digest was shown, and it is another's: the record may be sound and not the one that is asked for."""
    return bool(digest) and digest != record.digest


def _data(record: DecisionRecord, found: Sequence[Difference], digest: str) -> dict[str, object]:
    shown = {"digest_shown": digest} if digest else {}
    return {
        "same": not found and not _is_foreign(record, digest),
        "sound": not found,
        "digest": record.digest,
        **shown,
        "hypothetical": record.inputs.hypothetical,
        "decided_at_ms": record.inputs.decided_at_ms,
        "snapshot_generation": record.inputs.snapshot.generation,
        "differences": [one._asdict() for one in found],
    }


def _document(record: DecisionRecord, found: Sequence[Difference], digest: str, *, is_wide: bool) -> Document:
    inputs, count = record.inputs, len(record.inputs.snapshot.zones)
    world = "a supposed world" if inputs.hypothetical else "the world"
    told = f"decided {timestamp(inputs.decided_at_ms)} on {world} of generation {inputs.snapshot.generation}"
    head = [line(Styled(f"{told}: {plural(count, 'zone')}, {len(record.decision.choices)} feasible", "dim"))]
    head.append(line(Styled(record.digest, "dim")))
    if _is_foreign(record, digest):
        head.append(line(Styled(f"{digest} was shown: this is the record of another decision", "yellow")))
    if not found and _is_foreign(record, digest):
        verdict = ": the record is sound, but it is not of the decision that was shown"
        return [line(Styled("DIFFERENT", "bold red"), verdict), *head]
    if not found:
        return [line(Styled("SAME", "bold green"), ": deciding again gives the recorded decision"), *head]
    verb = "does" if len(found) == 1 else "do"
    verdict = f": {plural(len(found), 'field')} of the record {verb} not follow from the others"
    shown = found if is_wide else found[:SHOWN_MAX]
    length_max = sys.maxsize if is_wide else VALUE_LENGTH_MAX
    table = _table(shown, length_max)
    return [line(Styled("DIFFERENT", "bold red"), verdict), *head, table, *_more(len(found) - len(shown))]


def _table(found: Sequence[Difference], length_max: int) -> Table:
    rows = tuple((one.field, _short(one.recorded, length_max), _short(one.recomputed, length_max)) for one in found)
    return Table(("FIELD", "RECORDED", "MADE AGAIN"), rows, fixed=frozenset())


def _short(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else f"{text[: length_max - 3]}..."


def _more(count: int) -> list[Line]:
    return [line(Styled(f"and {plural(count, 'field')} more (-o wide)", "dim"))] if count > 0 else []

"""What is said where a folder for results cannot be written: no room, no right, no folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

REFUSED_EXIT_CODE = 2


@contextmanager
def told_of(out: Path) -> Iterator[None]:
    """Ends the command with a line and exit code 2 where the system refuses to write to ``out``."""
    try:
        yield
    except OSError as error:
        typer.echo(f"--out {out}: {error.strerror or error}", err=True)
        raise typer.Exit(REFUSED_EXIT_CODE) from error

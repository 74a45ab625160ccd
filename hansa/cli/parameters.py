"""Parameters that commands of ``main`` share, or that are too many to stand there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hansa.cli.options import OutputFormat

Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to write the answer.")]
File = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="Workload file (YAML).")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Workload, short or full name.")]
AnyName = Annotated[str, typer.Argument(metavar="[NAME]", help="Workload; all of the tenant without one.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again at every change.")]
Record = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write all that it was decided on, for verify-decision.")
]
Grants = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the signed grants that it runs under, for verify-grant.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is so.")]
TimeoutS = Annotated[float, typer.Option("--timeout-s", min=0, help="Longest wait, seconds; 0 is for ever.")]

OverlayFile = Annotated[Path | None, typer.Option("--overlay", metavar="FILE", help="Suppose what it says (YAML).")]
Cut = Annotated[list[str] | None, typer.Option(metavar="LINK", help="Suppose a link is cut; repeat.")]
Without = Annotated[list[str] | None, typer.Option(metavar="OPERATOR/ZONE", help="Suppose a zone is gone; repeat.")]
WithFact = Annotated[list[str] | None, typer.Option(metavar="OPERATOR/ZONE:KIND=VALUE", help="Suppose a fact; repeat.")]
DenyCountry = Annotated[
    list[str] | None, typer.Option(metavar="CC", help="Suppose no zone in and no path across it; repeat.")
]

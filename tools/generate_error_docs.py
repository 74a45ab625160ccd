"""Writes docs/errors.md from the registry of reasons (reason.proto), the gRPC code table and the advice for people.

``make docs`` calls it; tests/architecture/test_reasons.py compares the page with what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hansa.errors import grpc_code
from hansa.reasons import EXPLANATIONS

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto/hansa/v1/reason.proto"
PAGE = ROOT / "docs/errors.md"
GROUPS = (
    (range(1, 40), "Why a zone is rejected"),
    (range(40, 60), "Why a promise is not kept"),
    (range(60, 1000), "Why a call fails"),
)
HEAD = """\
# Reasons

<!-- Written by tools/generate_error_docs.py (`make docs`) from proto/hansa/v1/reason.proto. Do not edit. -->

Whatever hansa refuses, it refuses with one of these reasons. On the wire a refusal is a gRPC status with the code below
and a `google.rpc.ErrorInfo` whose `reason` is the name and whose `domain` is `hansa.v1`; a wrong field is named in
`google.rpc.BadRequest`, a time to wait in `google.rpc.RetryInfo`. In a decision the same names stand beside the
measured value and the bound. Only UNAVAILABLE is retried by the client on its own. Names and numbers are never used
again for something else. `hansa explain REASON` prints a row of this page.
"""


@dataclass(frozen=True)
class Entry:
    """One reason as reason.proto states it; the name without the wire's prefix."""

    name: str
    number: int
    meaning: str


def read_registry(proto: str) -> list[Entry]:
    """The reasons of the proto text with their comments, in order of number; raises ValueError for one without."""
    entries: list[Entry] = []
    comment: list[str] = []
    for line in proto.splitlines():
        if found := re.fullmatch(r"\s*//\s?(.*)", line):
            comment.append(found[1])
        elif found := re.fullmatch(r"\s*REASON_(\w+)\s*=\s*(\d+);", line):
            if not comment:
                raise ValueError(f"{found[1]} has no comment in reason.proto")
            entries.append(Entry(found[1], int(found[2]), " ".join(comment)))
            comment = []
        else:
            comment = []
    return sorted((entry for entry in entries if entry.number), key=lambda entry: entry.number)


def render_page(proto: str) -> str:
    """The whole page."""
    return "\n".join([HEAD, *_tables(read_registry(proto))])


def _tables(entries: list[Entry]) -> Iterator[str]:
    for numbers, title in GROUPS:
        yield f"## {title}\n"
        yield "| reason | no. | gRPC code | meaning | what to do |"
        yield "|---|---|---|---|---|"
        for entry in entries:
            if entry.number in numbers:
                yield _row(entry)
        yield ""


def _row(entry: Entry) -> str:
    advice = EXPLANATIONS[entry.name].advice if entry.name in EXPLANATIONS else ""
    cells = (f"`{entry.name}`", str(entry.number), grpc_code(entry.name).name, entry.meaning, advice)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render_page(PROTO.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

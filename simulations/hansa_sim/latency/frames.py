"""Records as data frames and as files: Parquet where ``hansa[sim-frames]`` is installed, else CSV, and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hansa_sim.latency.records import Record

if TYPE_CHECKING:
    from polars import DataFrame

EXTRA = "pip install 'hansa[sim-frames]'"


class FramesMissing(RuntimeError):
    """polars is not installed."""

    def __init__(self) -> None:
        super().__init__(f"data frames and Parquet need polars: {EXTRA}")


def frame_of(records: Sequence[Record]) -> DataFrame:
    """A polars frame; a column that no record knows a value of is of floats. FramesMissing without polars."""
    try:
        import polars
    except ImportError as error:
        raise FramesMissing from error
    names = columns_of(records)
    types = {name: polars.Float64 for name in names if all(record.get(name) is None for record in records)}
    columns = {name: [record.get(name) for record in records] for name in names}
    return polars.DataFrame(columns, schema_overrides=types, strict=False)


def columns_of(records: Sequence[Record]) -> list[str]:
    """Every name that a record has, in the order of the record that has most."""
    longest = max(records, key=len, default={})
    return [*longest, *sorted({name for record in records for name in record} - set(longest))]


def write_table(records: Sequence[Record], stem: Path) -> Path:
    """Writes ``stem.parquet``, or ``stem.csv`` without polars; answers which."""
    try:
        frame = frame_of(records)
    except FramesMissing:
        return _write(stem.with_name(f"{stem.name}.csv"), csv_of(records))
    path = stem.with_name(f"{stem.name}.parquet")
    content = BytesIO()  # polars' own writing to a full disk does not say so
    frame.write_parquet(content)
    path.write_bytes(content.getvalue())
    return path


def write_lines(records: Sequence[Record], path: Path) -> Path:
    """Writes one JSON object a line."""
    return _write(path, "".join(f"{json.dumps(record, allow_nan=False)}\n" for record in records))


def csv_of(records: Sequence[Record]) -> str:
    """The records with a line of names first; what is not known is empty."""
    text = StringIO()
    writer = csv.DictWriter(text, columns_of(records), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_plain(record) for record in records)
    return text.getvalue()


def _plain(record: Record) -> dict[str, Any]:
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in record.items()}


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path

"""Reads recorded requests to language models in the formats in which they are published.

- Azure LLM inference traces of 2023 (P. Patel et al., "Splitwise", ISCA 2024): CSV with ``TIMESTAMP``,
  ``ContextTokens``, ``GeneratedTokens``.
- Mooncake (R. Qin et al., FAST 2025): JSON lines with ``timestamp`` in ms, ``input_length``, ``output_length``; or the
  same as CSV with ``timestamp_ms``. Other keys and columns may be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.bounded_file import open_table
from hansa.names import hint

Ints = NDArray[np.int64]
Row = tuple[int, int, int]
"""When, ns; prompt tokens; generated tokens."""

AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOONCAKE_TABLE = ("timestamp_ms", "input_length", "output_length")
MOONCAKE = ("timestamp", "input_length", "output_length")
MS_NS, SECOND_NS = 1_000_000, 1_000_000_000
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)?")
TOKENS_MAX = 100_000_000
TABLE_KEYS = {**dict.fromkeys(AZURE, "Azure"), **dict.fromkeys(MOONCAKE_TABLE, "Mooncake")}


class TraceFileError(ValueError):
    """A file that is not as it should be: ``FILE:LINE:COLUMN: what``."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """N requests: when since the first, ns, nondecreasing; and their tokens, one at least each."""

    at_ns: Ints
    prompt: Ints
    generated: Ints

    def __len__(self) -> int:
        return len(self.at_ns)

    @property
    def period_ns(self) -> int:
        """After how long it begins again: its length, and one gap more of the mean length."""
        span = int(self.at_ns[-1])
        return max(1, span + span // max(1, len(self) - 1))

    @property
    def rate_rps(self) -> float:
        """Its mean rate."""
        return len(self) * SECOND_NS / self.period_ns

    def faster(self, times: float) -> Trace:
        """The same, so many times as fast."""
        at_ns = np.rint(self.at_ns / times).astype(np.int64) if times != 1 else self.at_ns
        return Trace(at_ns, self.prompt, self.generated)

    def count(self, first: int, length_ns: int) -> int:
        """How many requests come in so much time from the request numbered ``first`` on."""
        rounds, rest_ns = divmod(int(self.at_ns[first]) + length_ns, self.period_ns)
        return rounds * len(self) + int(np.searchsorted(self.at_ns, rest_ns)) - first

    def part(self, first: int, length_ns: int) -> Trace:
        """What comes in so much time from the request numbered ``first`` on; from the beginning again after the end."""
        begin = int(self.at_ns[first])
        rounds = (begin + length_ns) // self.period_ns + 1
        at_ns = (self.at_ns[None, :] + self.period_ns * np.arange(rounds)[:, None]).ravel() - begin
        which = slice(first, first + self.count(first, length_ns))
        return Trace(at_ns[which], np.tile(self.prompt, rounds)[which], np.tile(self.generated, rounds)[which])


def read_trace(path: Path) -> Trace:
    """The requests of a file, in order of time. Raises TraceFileError with line and column of what is wrong."""
    try:
        state = path.stat()
    except OSError as error:
        raise TraceFileError(f"{path}: {error.strerror or error}") from error
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int, size: int) -> Trace:
    """Kept by what tells one state of a file from another."""
    try:
        with open_table(path) as lines:
            rows = list(_rows(path, enumerate(lines, start=1)))
    except (OSError, UnicodeDecodeError) as error:
        raise TraceFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if len(rows) < 2:
        raise TraceFileError(f"{path}: {len(rows)} requests; two are the least from which a rate is known")
    columns = np.array(rows, dtype=np.int64)
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    if columns[0, 0] == columns[-1, 0]:
        raise TraceFileError(f"{path}: all requests at the same moment: no rate is known")
    return Trace(columns[:, 0] - columns[0, 0], np.maximum(columns[:, 1], 1), np.maximum(columns[:, 2], 1))


def _rows(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
    number, first = next(lines, (1, ""))
    if first.lstrip().startswith("{"):
        yield _json_row(f"{path}:{number}", first)
        yield from (_json_row(f"{path}:{number}", line) for number, line in lines if line.strip())
        return
    parse, places = _columns_of(path, first)
    for number, line in lines:
        if line.strip():
            yield _table_row(f"{path}:{number}", line.rstrip("\r\n"), parse, places)


def _columns_of(path: Path, header: str) -> tuple[Callable[[str], int | None], list[int]]:
    """How moments are written, and in which columns the three figures are."""
    names = [name.strip() for name in header.split(",")]
    for wanted, parse in ((AZURE, _moment_ns), (MOONCAKE_TABLE, _milliseconds_ns)):
        if wanted[0] in names:
            for name in wanted:
                if name not in names:
                    raise TraceFileError(f"{path}:1:1: column {name} is missing{hint(name, names)}")
            return parse, [names.index(name) for name in wanted]
    known = f"{','.join(AZURE)} (Azure) or {','.join(MOONCAKE_TABLE)} (Mooncake), or JSON lines of Mooncake"
    raise TraceFileError(f"{path}:1:1: no trace begins like this{hint(names[0], TABLE_KEYS)}; known: {known}")


def _table_row(where: str, line: str, parse: Callable[[str], int | None], places: list[int]) -> Row:
    cells = line.split(",")
    values: list[int] = []
    for at, place in enumerate(places):
        if place >= len(cells):
            raise TraceFileError(f"{where}:{len(line) + 1}: {len(cells)} columns; the header has more")
        value = parse(cells[place].strip()) if at == 0 else _tokens(cells[place].strip())
        if value is None:
            column = sum(len(cell) + 1 for cell in cells[:place]) + 1
            what = "a moment" if at == 0 else f"a number of tokens from 0 to {TOKENS_MAX}"
            raise TraceFileError(f"{where}:{column}: {cells[place].strip()!r} is not {what}")
        values.append(value)
    return values[0], values[1], values[2]


def _json_row(where: str, line: str) -> Row:
    try:
        document = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        raise TraceFileError(f"{where}:{error.colno}: not JSON: {error.msg}") from error
    except ValueError as error:  # a number of thousands of digits
        raise TraceFileError(f"{where}:1: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise TraceFileError(f"{where}:1: not a JSON object")
    for key in MOONCAKE:
        if key not in document:
            raise TraceFileError(f"{where}:1: {key} is missing{hint(key, list(document))}")
    moment, prompt, generated = (_json_number(where, line, document, key) for key in MOONCAKE)
    return round(moment * MS_NS), int(prompt), int(generated)


def _json_number(where: str, line: str, document: dict[str, Any], key: str) -> float:
    value = document[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_moment = key == MOONCAKE[0]
    if not is_number or not 0 <= value <= (1e13 if is_moment else TOKENS_MAX) or not (is_moment or value == int(value)):
        raise TraceFileError(f"{where}:{line.find(key) + 1}: {key} is {value!r}")
    return float(value)


def _tokens(text: str) -> int | None:
    if not text.isascii() or not text.isdigit():
        return None
    # Python reads no number of thousands of digits.
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(TOKENS_MAX)) and int(digits) <= TOKENS_MAX else None


def _milliseconds_ns(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value * MS_NS) if 0 <= value <= 1e13 else None


def _moment_ns(text: str) -> int | None:
    """Nanoseconds since 1970, to the last digit that is written."""
    found = MOMENT.fullmatch(text)
    if found is None:
        return None
    day, time, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{'+00:00' if zone in (None, 'Z') else zone}").astimezone(UTC)
    except (ValueError, OverflowError):  # no such day, or none in UTC
        return None
    return int(moment.timestamp()) * SECOND_NS + int((fraction or "0").ljust(9, "0"))

"""Reads what a vLLM server noted of its requests: JSON lines with tokens and time stamps in seconds.

``input_toks``, ``output_toks``, ``arrival_time`` (wall clock), and of the server's own clock ``queued_ts``,
``scheduled_ts``, ``first_token_ts`` and ``last_token_ts``, as LLMServingSim's benchmark writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.bounded_file import open_table
from hansa.names import hint

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

COUNTS = ("input_toks", "output_toks")
STAMPS = ("arrival_time", "queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
SECOND_NS = 1e9
TOKENS_MAX, STAMP_S_MAX = 100_000_000, 9e9
"""Stamps up to this, in seconds, are still whole nanoseconds in 64 bits."""


class ServedFileError(ValueError):
    """A file that is not as it should be, with its line and column."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """N requests in order of arrival, and when each was seen: ns since the first arrival."""

    arrival_ns: Ints
    prompt: Ints
    generated: Ints
    first_ns: Ints
    last_ns: Ints

    @property
    def whole_ns(self) -> Ints:
        """(N,): from arrival to the last token."""
        return np.asarray(self.last_ns - self.arrival_ns)

    @property
    def to_first_ns(self) -> Ints:
        """(N,): from arrival to the first token."""
        return np.asarray(self.first_ns - self.arrival_ns)


def read_served(path: Path) -> Served:
    """The requests of a file. Raises ServedFileError with line and column of what is wrong.

    The two clocks are laid upon each other where a request was queued soonest after it arrived.
    """
    try:
        with open_table(path) as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ServedFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    rows = [_row(f"{path}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise ServedFileError(f"{path}: no request in it")
    counts = np.array([row[: len(COUNTS)] for row in rows], dtype=np.int64)
    arrival, queued, _, first, last = np.array([row[len(COUNTS) :] for row in rows]).T
    arrival = arrival + (queued - arrival).min()
    order, begin = np.argsort(arrival, kind="stable"), arrival.min()
    times = [np.rint((stamp[order] - begin) * SECOND_NS).astype(np.int64) for stamp in (arrival, first, last)]
    return Served(times[0], counts[order, 0], counts[order, 1], times[1], times[2])


def _row(where: str, line: str) -> list[float]:
    try:
        document = json.loads(line)
    except json.JSONDecodeError as error:
        raise ServedFileError(f"{where}:{error.colno}: not JSON: {error.msg}") from error
    except ValueError as error:  # a number of thousands of digits
        raise ServedFileError(f"{where}:1: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ServedFileError(f"{where}:1: not a JSON object")
    row = [_number(where, line, document, key) for key in (*COUNTS, *STAMPS)]
    for (earlier, before), (key, stamp) in pairwise(zip(STAMPS[1:], row[len(COUNTS) + 1 :], strict=True)):
        if stamp < before:
            raise ServedFileError(f"{where}:{line.find(key) + 1}: {key} is before {earlier}")
    return row


def _number(where: str, line: str, document: dict[str, Any], key: str) -> float:
    if key not in document:
        raise ServedFileError(f"{where}:1: {key} is missing{hint(key, list(document))}")
    value = document[key]
    least, most = (1, TOKENS_MAX) if key in COUNTS else (0, STAMP_S_MAX)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        what = f"{key} is {value!r}; a number of {least} at least is needed, and {most:.0f} at most"
        raise ServedFileError(f"{where}:{line.find(key) + 1}: {what}")
    if key in COUNTS and value != int(value):
        what = f"{key} is {value!r}; tokens are whole"
        raise ServedFileError(f"{where}:{line.find(key) + 1}: {what}")
    return value

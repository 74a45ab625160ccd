"""What a sweep goes over: values of keys, and the points that they span.

``KEY=100,200,400`` lists values; ``KEY=1..8`` counts; ``KEY=0.5..2..0.5`` steps; ``KEY=1..3,10`` is both. Commas inside
of brackets, braces and quotes belong to a value, so ``policies=[nearest],[hansa]`` are two lists. Every value is YAML,
as in a scenario.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import prod
from pathlib import Path

from hansa.bounded_file import open_table
from hansa_sim.latency.scenario_changes import Change, ChangeError

POINTS_MAX = 100_000
SPAN = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?")
OPENING, CLOSING, QUOTES = "[{(", "]})", "\"'"


@dataclass(frozen=True, slots=True)
class Axis:
    """Changes that take turns: each a value of one key, or values of several keys that go together."""

    steps: tuple[tuple[Change, ...], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """What it changes."""
        return tuple(change.key for change in self.steps[0])

    @classmethod
    def of(cls, assignment: str) -> Axis:
        """Reads ``KEY=VALUES``; ChangeError where it is not that."""
        change = Change.of(assignment)
        texts = [text for part in _split(change.text) for text in _span(Change(change.key, part)) or [part]]
        if not all(texts):
            raise ChangeError(f"{assignment!r} has an empty value")
        if doubles := sorted({text for text in texts if texts.count(text) > 1}):
            raise ChangeError(f"{change.key} has {doubles[0]} twice")
        return cls(tuple((Change(change.key, text),) for text in texts))

    @classmethod
    def of_file(cls, path: Path) -> Axis:
        """Reads points of a CSV file: keys in the first line, in each other line the values of one point."""
        try:
            with open_table(path) as file:
                lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ChangeError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        if len(lines) < 2:
            raise ChangeError(f"{path}: a line of keys and at least one of values are needed")
        for number, line in enumerate(lines[1:], 2):
            if len(line) != len(lines[0]) or not all(line):
                raise ChangeError(f"{path}:{number}: every line has one value for each of {', '.join(lines[0])}")
        return cls(tuple(tuple(map(Change, lines[0], line)) for line in lines[1:]))


def points_of(axes: Sequence[Axis]) -> list[tuple[Change, ...]]:
    """All combinations, the last axis first; ChangeError where a key is given twice or there are too many."""
    keys = [key for axis in axes for key in axis.keys]
    if doubles := sorted({key for key in keys if keys.count(key) > 1}):
        raise ChangeError(f"{doubles[0]} is given twice")
    count = prod(len(axis.steps) for axis in axes)
    if count > POINTS_MAX:
        raise ChangeError(f"these are {count} points; the most are {POINTS_MAX}")
    return [tuple(itertools.chain(*steps)) for steps in itertools.product(*(axis.steps for axis in axes))]


def _span(change: Change) -> list[str]:
    found = SPAN.fullmatch(change.text)
    if found is None:
        return []
    low, high = Decimal(found[1]), Decimal(found[2])
    step = Decimal(found[3] or 1)
    if step <= 0 or low > high:
        raise ChangeError(f"{change.text!r} is no span such as 1..8 or 100..500..100")
    count = int((high - low) / step) + 1
    if count > POINTS_MAX:
        raise ChangeError(f"{change.key}={change.text} are {count} values; the most are {POINTS_MAX}")
    return [f"{low + n * step:f}" for n in range(count)]


def _split(text: str) -> Iterator[str]:
    depth, quote, begin = 0, "", 0
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in QUOTES:
            quote = sign
        elif sign == "," and depth == 0:
            yield text[begin:at].strip()
            begin = at + 1
        else:
            depth += (sign in OPENING) - (sign in CLOSING)
    yield text[begin:].strip()

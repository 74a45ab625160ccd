"""What a filter is: one hard constraint, evaluated for all zones at once, that can say of each zone why.

Evaluating is arithmetic on columns; words are made afterwards, for the zones that somebody asks about, from the same
immutable inputs, so that they are the reasons of that very evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.columns import Columns
from hansa_control.domain.model import ConstraintResult, Reason, Rejection, WorkloadSpec
from hansa_control.domain.snapshot import Network, Snapshot

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Question(NamedTuple):
    """What is asked: a request, of the zones of a snapshot, at a wall-clock time (ms, UTC), by operator ``own``."""

    spec: WorkloadSpec
    snapshot: Snapshot
    now_ms: int
    own: str

    @property
    def columns(self) -> Columns:
        return self.snapshot.columns

    @property
    def network(self) -> Network:
        return self.snapshot.network


class Filter(Protocol):
    """One constraint, or several that share their working."""

    @property
    def failing(self) -> Mask:
        """Zones that it refuses, a row each."""
        ...

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Every reason for which it refuses the zones of these rows, all of them failing."""
        ...

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of a zone, failing or not."""
        ...


def rejected(columns: Columns, row: int, reason: Reason, result: ConstraintResult) -> tuple[int, Rejection]:
    """A rejection of the zone in a row."""
    return row, Rejection(columns.zones[row].id, reason, result)


def rows_of(mask: Mask) -> list[int]:
    """The rows in which a mask is set."""
    rows: list[int] = np.flatnonzero(mask).tolist()
    return rows


def inventory_of(columns: Columns, row: int) -> str:
    """Evidence: whose inventory, at which generation."""
    zone = columns.zones[row]
    return f"inventory of {zone.id.operator}/{zone.id.zone}, generation {zone.generation}"


def free_in(columns: Columns, row: int) -> str:
    """Evidence: whose free capacity, at which generation."""
    zone = columns.zones[row]
    return f"free in {zone.id.operator}/{zone.id.zone}, generation {zone.generation}"

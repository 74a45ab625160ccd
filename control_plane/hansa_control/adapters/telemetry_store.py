"""Telemetry of the own zones on disk: a SQLite file of its own, because nothing that is decided rests on it.

A record has the name of its spool and its number there; of each spool is kept how far it was taken over, in the same
transaction as the records, so that what is sent twice is there once. Calls block and belong in a thread; any thread,
one at a time, and closing waits for the one that is under way.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS telemetry (
    zone TEXT NOT NULL, spool TEXT NOT NULL, sequence INTEGER NOT NULL,
    recorded_at_ms INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, kind TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (zone, spool, sequence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS telemetry_by_time ON telemetry (received_at_ms);
CREATE TABLE IF NOT EXISTS spool (
    zone TEXT NOT NULL, spool TEXT NOT NULL, sequence INTEGER NOT NULL, received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (zone, spool)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS loss (zone TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class TelemetryLine:
    """One record; ``content`` is the wire's TelemetryRecord."""

    sequence: int
    recorded_at_ms: int
    kind: str
    content: bytes


@dataclass(frozen=True, slots=True)
class SpoolPart:
    """Records of one spool of a zone in rising order; ``last`` is the highest number, of records left out, too."""

    zone: str
    spool: str
    last: int
    lost_count: int
    lines: Sequence[TelemetryLine]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a part: how many of its records were new, and how many more of the zone's are lost."""

    new_count: int
    newly_lost: int


READ_AT_ONCE = 1_000
"""Records read under the lock before others have their turn."""


class TelemetryStore:
    """``sqlite3.Error`` from every call when the file cannot be used, or has been closed."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)
        # A connection that is closed under a statement of another thread ends the process with a signal.
        self._lock = threading.RLock()

    def take(self, parts: Iterable[SpoolPart], now_ms: int) -> list[Taken]:
        """Takes parts over in one transaction; on disk on return."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            return [self._take(part, now_ms) for part in parts]

    def forget_before(self, moment_ms: int) -> int:
        """Removes what was received before a moment; how many records."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM spool WHERE received_at_ms < ?", (moment_ms,))
            return self._connection.execute("DELETE FROM telemetry WHERE received_at_ms < ?", (moment_ms,)).rowcount

    def lines(self, zone: str, since_ms: int = 0) -> Iterator[tuple[str, TelemetryLine]]:
        """Spool and record, in the order of recording, of one zone since a moment."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT spool, sequence, recorded_at_ms, kind, content FROM telemetry"
                " WHERE zone = ? AND recorded_at_ms >= ? ORDER BY recorded_at_ms, spool, sequence",
                (zone, since_ms),
            )
        while some := self._some_of(rows):
            yield from ((spool, TelemetryLine(*rest)) for spool, *rest in some)

    def _some_of(self, rows: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        with self._lock:
            return rows.fetchmany(READ_AT_ONCE)

    def lost_count(self, zone: str) -> int:
        """Records that the zone's agent has said are lost."""
        with self._lock:
            row = self._connection.execute("SELECT count FROM loss WHERE zone = ?", (zone,)).fetchone()
        return 0 if row is None else int(row[0])

    def close(self) -> None:
        """Waits for the call that is under way; whoever calls later is told."""
        with self._lock:
            self._connection.close()

    def _take(self, part: SpoolPart, now_ms: int) -> Taken:
        key = part.zone, part.spool
        row = self._connection.execute("SELECT sequence FROM spool WHERE zone = ? AND spool = ?", key).fetchone()
        known = 0 if row is None else int(row[0])
        fresh = [line for line in part.lines if line.sequence > known]
        self._connection.executemany(
            "INSERT INTO telemetry VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*key, line.sequence, line.recorded_at_ms, now_ms, line.kind, line.content) for line in fresh],
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO spool VALUES (?, ?, ?, ?)", (*key, max(known, part.last), now_ms)
        )
        return Taken(len(fresh), self._note_loss(part.zone, part.lost_count))

    def _note_loss(self, zone: str, count: int) -> int:
        """A smaller count than before is that of a state folder that was begun anew."""
        before = self.lost_count(zone)
        if count == before:
            return 0
        self._connection.execute("INSERT OR REPLACE INTO loss VALUES (?, ?)", (zone, count))
        return count - before if count > before else count

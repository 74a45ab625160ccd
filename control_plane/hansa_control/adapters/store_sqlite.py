"""Records in one SQLite file: the embedded store of a control plane."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from hansa_control.adapters.store_schema import DELETE, Net, keys_deleted, rows_put
from hansa_control.adapters.store_sql import Patience, SqlStore
from hansa_control.adapters.store_version import bring_up
from hansa_control.application.ports import StoreFailed

_UPSERT = (
    "INSERT INTO hansa_record (kind, key, body, checksum) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, checksum = excluded.checksum"
)
"""As the driver takes it: what else turns names into places costs as much for each row as writing it."""

_IN_USE = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})
_NO_ROOM = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
"""A full disk, and a quota or a limit that is reached. What is read or synced wrongly never passes."""


class SqliteStore(SqlStore):
    """A Store in a file that this process alone may open; see ``SqlStore``."""

    def __init__(self, path: Path, busy_timeout_ms: int = 1000, patience: Patience | None = None) -> None:
        super().__init__(SqliteDatabase(path, busy_timeout_ms), patience)


class SqliteDatabase:
    """One file, opened for this process alone; see ``store_sql.Database``."""

    def __init__(self, path: Path, busy_timeout_ms: int) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms

    @property
    def name(self) -> str:
        return str(self._path)

    def open(self) -> Connection:
        _make_private(self._path)
        connection = _engine(self._path, self._busy_timeout_ms).connect()
        try:
            with connection.begin():
                bring_up(connection)
        except BaseException:
            self.close(connection)
            raise
        return connection

    def check(self, connection: Connection) -> None:
        findings = connection.exec_driver_sql("PRAGMA quick_check(1)").scalars().all()
        if findings != ["ok"]:
            raise StoreFailed(f"the file is corrupt: {findings[0]}")

    def write(self, connection: Connection, net: Net) -> None:
        if puts := rows_put(net):
            rows = [(row["kind"], row["key"], row["body"], row["checksum"]) for row in puts]
            connection.exec_driver_sql(_UPSERT, rows)
        if deletes := keys_deleted(net):
            connection.execute(DELETE, deletes)

    keeps_connection = True

    def may_pass(self, error: Exception) -> bool:
        """Want of room alone: whatever else a file refuses, it refuses because of what it is."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        if isinstance(cause, OSError):
            return cause.errno in {errno.ENOSPC, errno.EDQUOT}
        return getattr(cause, "sqlite_errorname", "") in _NO_ROOM

    def explained(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        if getattr(cause, "sqlite_errorname", "") in _IN_USE:
            return "in use by another process; each control plane needs a file of its own"
        if getattr(cause, "sqlite_errorname", "") == "SQLITE_IOERR_WRITE":
            return f"{cause}: cannot be written to; a quota or a limit is reached, or the disk fails"
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
        return str(cause)

    def close(self, connection: Connection) -> None:
        connection.close()
        connection.engine.dispose()


def _make_private(path: Path) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)


def _engine(path: Path, busy_timeout_ms: int) -> Engine:
    url = URL.create("sqlite", database=str(path))
    # Without an isolation level the driver leaves BEGIN and COMMIT to us.
    engine = create_engine(url, connect_args={"isolation_level": None, "timeout": busy_timeout_ms / 1000})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # The lock comes before the first access to the log, so that no second process ever gets as far as reading.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise StoreFailed(f"SQLite cannot keep a write-ahead log here (it offers {mode})")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN EXCLUSIVE")

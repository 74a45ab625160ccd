"""Records in one SQLite file: the embedded store of a control plane."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, bindparam, create_engine, delete, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hansa_control.adapters.store_schema import (
    RECORDS,
    keys_deleted,
    net_of,
    prepare,
    read_all,
    rows_put,
)
from hansa_control.application.ports import Change, Record, StoreFailed, Table

ResultT = TypeVar("ResultT")

_INSERT = insert(RECORDS)
_UPSERT = _INSERT.on_conflict_do_update(
    index_elements=[RECORDS.c.kind, RECORDS.c.key],
    set_={"body": _INSERT.excluded.body, "checksum": _INSERT.excluded.checksum},
)
_DELETE = delete(RECORDS).where(RECORDS.c.kind == bindparam("kind"), RECORDS.c.key == bindparam("key"))

_IN_USE = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})


class SqliteStore:
    """A Store in a file that this process alone may open. It is opened by the first ``load`` or ``commit``.

    One thread does all the work, in the order of the calls. Commits that wait while another is written are written
    together, in one transaction. After the first failure every call fails: later changes must not survive a gap.
    Cancelling a caller does not cancel its commit.
    """

    def __init__(self, path: Path, busy_timeout_ms: int = 1000) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: Connection | None = None
        self._waiting: deque[Sequence[Change]] = deque()
        self._failure = ""
        self._closed = False

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        return await self._on_thread(self._load)

    async def commit(self, changes: Sequence[Change]) -> None:
        self._waiting.append(tuple(changes))
        await self._on_thread(self._write_waiting)

    async def close(self) -> None:
        """Waits for the commits before it. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect))
        self._thread.shutdown(wait=False)

    async def _on_thread(self, job: Callable[[], ResultT]) -> ResultT:
        if self._closed:
            raise StoreFailed(f"{self._path}: the store is closed")
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, job))

    # From here on everything runs on the store's thread.

    def _guarded(self, job: Callable[[], ResultT]) -> ResultT:
        if self._failure:
            raise StoreFailed(self._failure)
        try:
            return job()
        except (StoreFailed, SQLAlchemyError, sqlite3.Error, OSError) as error:
            self._failure = f"{self._path}: {_explanation(error)}"
            raise StoreFailed(self._failure) from error

    def _load(self) -> Mapping[Table, Mapping[str, Record]]:
        connection = self._opened()
        with connection.begin():
            findings = connection.exec_driver_sql("PRAGMA quick_check(1)").scalars().all()
            if findings != ["ok"]:
                raise StoreFailed(f"the file is corrupt: {findings[0]}")
            return read_all(connection)

    def _write_waiting(self) -> None:
        changes: list[Change] = []
        while self._waiting:
            changes.extend(self._waiting.popleft())
        if not changes:
            return
        net = net_of(changes)
        puts, deletes = rows_put(net), keys_deleted(net)
        connection = self._opened()
        with connection.begin():
            if puts:
                connection.execute(_UPSERT, puts)
            if deletes:
                connection.execute(_DELETE, deletes)

    def _opened(self) -> Connection:
        if self._connection is None:
            _make_private(self._path)
            self._connection = _engine(self._path, self._busy_timeout_ms).connect()
            with self._connection.begin():
                prepare(self._connection)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection.engine.dispose()
            self._connection = None


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


def _explanation(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if getattr(cause, "sqlite_errorname", "") in _IN_USE:
        return "in use by another process; each control plane needs a file of its own"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    return str(cause)

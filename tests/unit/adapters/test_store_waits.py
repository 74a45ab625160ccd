"""A store that what may pass stops: it waits, says why, overtakes nothing, and gives up in the end."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adapter_doubles import ClockByHand
from hansa_control.adapters.store_schema import Net
from hansa_control.adapters.store_sql import Patience, SqlStore
from hansa_control.adapters.store_sqlite import SqliteDatabase, SqliteStore
from hansa_control.application.ports import Counter, Put, StoreFailed, Table
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

PATIENCE_MS = 10_000


class Full(SqliteDatabase):
    """A file on a disk that is full for as long as ``error`` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, busy_timeout_ms=100)
        self.error: Exception | None = None
        self.closed_count = 0

    def write(self, connection: Connection, net: Net) -> None:
        if self.error is not None:
            raise self.error
        super().write(connection, net)

    def close(self, connection: Connection) -> None:
        self.closed_count += 1
        super().close(connection)


class Waiting(ClockByHand):
    """Tells when somebody sleeps, and lets a test do something then."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None

    async def sleep_ms(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        self.meanwhile()
        await asyncio.sleep(0)


def no_room() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def put(name: str, value: int) -> Put:
    return Put(Table.COUNTER, name, Counter(value))


async def kept(path: Path) -> dict[str, int]:
    store = SqliteStore(path)
    found = await store.load()
    await store.close()
    return {key: record.value for key, record in found[Table.COUNTER].items()}  # type: ignore[union-attr]


async def test_a_commit_without_room_waits_says_why_and_is_durable_when_there_is_room_again(tmp_path: Path) -> None:
    clock, database = Waiting(), Full(tmp_path / "records.sqlite")
    store = SqlStore(database, Patience(clock, PATIENCE_MS))
    await store.commit([put("before", 1)])
    assert store.trouble == ""
    database.error = no_room()
    seen: list[str] = []

    def meanwhile() -> None:
        seen.append(store.trouble)
        if len(seen) == 3:
            database.error = None

    clock.meanwhile = meanwhile
    await store.commit([put("during", 2)])
    assert len(seen) == 3
    assert set(seen) == {f"{tmp_path / 'records.sqlite'}: No space left on device"}
    assert store.trouble == ""
    assert database.closed_count == 0, "nobody else may get at the file meanwhile"
    await store.close()
    assert await kept(tmp_path / "records.sqlite") == {"before": 1, "during": 2}


async def test_what_is_committed_meanwhile_does_not_overtake_what_waits(tmp_path: Path) -> None:
    clock, database = Waiting(), Full(tmp_path / "records.sqlite")
    store = SqlStore(database, Patience(clock, PATIENCE_MS))
    await store.commit([put("n", 1)])
    database.error = no_room()
    later: list[asyncio.Task[None]] = []

    def meanwhile() -> None:
        if not later:
            later.append(asyncio.create_task(store.commit([put("n", 3)])))
        elif len(later) == 1:
            database.error = None

    clock.meanwhile = meanwhile
    await store.commit([put("n", 2)])
    await later[0]
    await store.close()
    assert await kept(tmp_path / "records.sqlite") == {"n": 3}


async def test_without_room_for_too_long_the_store_fails_for_good(tmp_path: Path) -> None:
    clock, database = Waiting(), Full(tmp_path / "records.sqlite")
    store = SqlStore(database, Patience(clock, PATIENCE_MS))
    await store.commit([put("before", 1)])
    database.error = no_room()
    with pytest.raises(StoreFailed, match="No space left on device"):
        await store.commit([put("lost", 2)])
    database.error = None
    with pytest.raises(StoreFailed, match="No space left on device"):
        await store.commit([put("after", 3)])
    await store.close()
    assert await kept(tmp_path / "records.sqlite") == {"before": 1}


def sqlite_error(name: str) -> OperationalError:
    cause: Any = sqlite3.OperationalError(name)
    cause.sqlite_errorname = name
    return OperationalError("statement", {}, cause)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (sqlite_error("SQLITE_FULL"), True),
        (sqlite_error("SQLITE_IOERR_WRITE"), True),
        (no_room(), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        # What was to be synced and was not may be lost though the next sync succeeds.
        (sqlite_error("SQLITE_IOERR_FSYNC"), False),
        (sqlite_error("SQLITE_IOERR_READ"), False),
        (sqlite_error("SQLITE_CORRUPT"), False),
        (sqlite_error("SQLITE_BUSY"), False),
        (OSError(errno.EIO, "Input/output error"), False),
        (StoreFailed("the file is corrupt"), False),
    ],
)
def test_want_of_room_may_pass_and_nothing_else(tmp_path: Path, error: Exception, passes: bool) -> None:
    assert SqliteDatabase(tmp_path / "any", 100).may_pass(error) is passes

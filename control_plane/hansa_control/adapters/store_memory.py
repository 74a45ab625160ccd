"""Records in memory: a store for tests and the simulation, which can crash, be slow and fail on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from hansa_control.application.ports import (
    READ_ONE_BY_ONE,
    RECORD_TYPES,
    Change,
    Delete,
    Put,
    Record,
    StoreFailed,
    Table,
)
from hansa_control.application.usage_ports import Enter, LineQuery
from hansa_control.domain.usage import LineKey, UsageLine


async def _no_pause() -> None:
    pass


class MemoryStore:
    """A Store whose records live as long as the object, or as those that ``reopen`` makes of it.

    ``pause`` is awaited before and after each commit takes effect, as a disk would take its time; a commit that is
    cancelled in the first pause is not durable, in the second it is.
    """

    def __init__(self, pause: Callable[[], Awaitable[None]] = _no_pause) -> None:
        self._records: dict[Table, dict[str, Record]] = {table: {} for table in Table}
        self.book: dict[LineKey, UsageLine] = {}
        self._pause = pause
        self._turn = asyncio.Lock()
        self._failure = ""
        self.trouble = ""

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        self._check()
        loaded = {table: held for table, held in self._records.items() if table not in READ_ONE_BY_ONE}
        return {table: dict(sorted(records.items())) for table, records in loaded.items()}

    async def read(self, table: Table, key: str) -> Record | None:
        self._check()
        return self._records[table].get(key)

    async def commit(self, changes: Sequence[Change]) -> None:
        async with self._turn:
            await self._pause()
            self._check()
            for change in changes:
                self._check_type(change)
            for change in changes:
                self._apply(change)
            await self._pause()

    async def lines(self, query: LineQuery) -> Sequence[UsageLine]:
        self._check()
        found = sorted((line for line in self.book.values() if _is_wanted(line, query)), key=lambda one: one.sequence)
        return found[: query.limit]

    async def keep(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        self._failure = self._failure or "the store is closed"

    def fail(self, message: str) -> None:
        """Every call from now on fails with this message, as after a full disk."""
        self._failure = message

    def reopen(self) -> MemoryStore:
        """The records as a restarted process finds them. This object, the dead process's, refuses from now on."""
        successor = MemoryStore(self._pause)
        successor._records = self._records
        self._records = {table: {} for table in Table}
        successor.book, self.book = self.book, {}
        self.fail("another process has the store")
        return successor

    def _check(self) -> None:
        if self._failure:
            raise StoreFailed(self._failure)

    def _check_type(self, change: Change) -> None:
        if isinstance(change, Put) and type(change.record) is not RECORD_TYPES[change.table]:
            self._failure = f"record {change.key!r} cannot be stored: it is no record of table {change.table}"
            raise StoreFailed(self._failure)

    def _apply(self, change: Change) -> None:
        if isinstance(change, Put):
            self._records[change.table][change.key] = change.record
        elif isinstance(change, Delete):
            self._records[change.table].pop(change.key, None)
        elif isinstance(change, Enter):
            self.book[change.line.key] = change.line
        else:
            gone = (change.owner, change.home)
            for key, line in list(self.book.items()):
                is_old = line.until_ms < change.before_ms and line.sequence <= change.upto_sequence
                if (line.owner, line.home) == gone and line.is_final and is_old:
                    del self.book[key]


def _is_wanted(line: UsageLine, query: LineQuery) -> bool:
    return (
        line.owner == query.owner
        and query.home in ("", line.home)
        and line.sequence > query.after
        and (query.period is None or query.period.overlaps(line))
        and query.tenant in ("", line.tenant)
        and not (query.unfinished and line.is_final)
    )

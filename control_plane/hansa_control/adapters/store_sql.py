"""What every SQL store does alike: one thread, one connection, commits that wait together in one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hansa_control.adapters.store_book import read_lines, write_book
from hansa_control.adapters.store_schema import Net, check_after, net_of, read_all, read_one
from hansa_control.application.ports import READ_ONE_BY_ONE, Change, Clock, Record, StoreFailed, Table
from hansa_control.application.usage_ports import LineQuery
from hansa_control.domain.usage import UsageLine

ResultT = TypeVar("ResultT")

log = structlog.get_logger(__name__)

PAUSE_MS, PAUSE_MS_MAX = 50, 1_000


class Database(Protocol):
    """Where records are, and what is particular to it. Every call comes from the store's one thread."""

    @property
    def name(self) -> str:
        """What people call it in messages: a path, or host and database; never a password."""
        ...

    def open(self) -> Connection:
        """A connection to tables of the present schema, which this process alone writes to; StoreFailed if not."""
        ...

    def check(self, connection: Connection) -> None:
        """StoreFailed if the database itself knows that it is damaged."""
        ...

    def write(self, connection: Connection, net: Net) -> None:
        """Writes within the transaction that is open; StoreFailed if this process may not any more."""
        ...

    def may_pass(self, error: Exception) -> bool:
        """Whether the same, done again, may succeed. ``write`` is harmless if done twice."""
        ...

    @property
    def keeps_connection(self) -> bool:
        """Whether what may pass is tried again on the same connection, so that nobody else gets in meanwhile."""
        ...

    def explained(self, error: Exception) -> str:
        """One sentence for people."""
        ...

    def close(self, connection: Connection) -> None: ...


class Interrupted(Exception):
    """What a job met may pass: it is to be done again, later. ``why`` is one sentence for people."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Patience(NamedTuple):
    """For how long what may pass is tried again, and by which clock."""

    clock: Clock
    duration_ms: int


class SqlStore:
    """A Store in a database that this process alone writes to. It is opened by the first ``load`` or ``commit``.

    One thread does all the work, in the order of the calls. Commits that wait while another is written are written
    together, in one transaction. After the first failure every call fails: later changes must not survive a gap.
    Cancelling a caller does not cancel its commit.
    """

    def __init__(self, database: Database, patience: Patience | None = None) -> None:
        self._database = database
        self._patience = patience
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: Connection | None = None
        self._waiting: deque[Sequence[Change]] = deque()
        self._failure = ""
        self._closed = False
        self.trouble = ""

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        return await self.persisting(self._load)

    async def read(self, table: Table, key: str) -> Record | None:
        read = partial(read_one, table=table, key=key)
        return await self.persisting(partial(self.in_transaction, read))

    async def commit(self, changes: Sequence[Change]) -> None:
        self._waiting.append(tuple(changes))
        await self.persisting(self._write_waiting)

    async def lines(self, query: LineQuery) -> Sequence[UsageLine]:
        return await self.persisting(lambda: self.in_transaction(lambda connection: read_lines(connection, query)))

    async def keep(self) -> None:
        """Looks through what was not loaded, then waits for ever: nothing else is known of what nobody writes to."""
        await self.look_through()
        await asyncio.get_running_loop().create_future()

    async def look_through(self) -> None:
        """StoreFailed if a record that ``load`` left out is not what was written. Commits get their turn between."""
        for table in sorted(READ_ONE_BY_ONE):
            after: str | None = None
            while True:
                check = partial(check_after, table=table, after=after)
                after = await self.persisting(partial(self.in_transaction, check))
                if after is None:
                    break

    async def close(self) -> None:
        """Waits for the commits before it. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect))
        self._thread.shutdown(wait=False)

    async def persisting(self, job: Callable[[], ResultT]) -> ResultT:
        """Does a job after those before it, again while what stops it may pass; another failure is the store's, for
        good."""
        if self._patience is None:
            return await self._on_thread(job)
        clock, pause_ms = self._patience.clock, PAUSE_MS
        until_ms = clock.monotonic_ms() + self._patience.duration_ms
        while clock.monotonic_ms() < until_ms:
            try:
                done = await self._on_thread(job, may_be_again=True)
                self._told("")
                return done
            except Interrupted as interrupted:
                self._told(interrupted.why)
                await clock.sleep_ms(pause_ms)
                pause_ms = min(2 * pause_ms, PAUSE_MS_MAX)
        return await self._on_thread(job)

    def _told(self, trouble: str) -> None:
        """Says once that what is written has to wait, and once that it need not any more."""
        if trouble and not self.trouble:
            log.error("store_waits", error=trouble)
        elif self.trouble and not trouble:
            log.info("store_goes_on", after=self.trouble)
        self.trouble = trouble

    async def _on_thread(self, job: Callable[[], ResultT], *, may_be_again: bool = False) -> ResultT:
        if self._closed:
            raise StoreFailed(f"{self._database.name}: the store is closed")
        loop = asyncio.get_running_loop()
        guarded = partial(self._guarded, job, may_be_again=may_be_again)
        return await asyncio.shield(loop.run_in_executor(self._thread, guarded))

    # From here on everything runs on the store's thread.

    def in_transaction(self, job: Callable[[Connection], ResultT]) -> ResultT:
        connection = self._opened()
        with connection.begin():
            return job(connection)

    def _guarded(self, job: Callable[[], ResultT], *, may_be_again: bool) -> ResultT:
        if self._failure:
            raise StoreFailed(self._failure)
        try:
            return job()
        except (StoreFailed, SQLAlchemyError, OSError) as error:
            why = f"{self._database.name}: {self._database.explained(error)}"
            if may_be_again and self._database.may_pass(error):
                if not self._database.keeps_connection:
                    self._disconnect()
                raise Interrupted(why) from error
            self._failure = why
            raise StoreFailed(why) from error

    def _load(self) -> Mapping[Table, Mapping[str, Record]]:
        return self.in_transaction(self._checked_records)

    def _checked_records(self, connection: Connection) -> Mapping[Table, Mapping[str, Record]]:
        self._database.check(connection)
        return read_all(connection)

    def _write_waiting(self) -> None:
        changes: list[Change] = []
        while self._waiting:
            changes.extend(self._waiting.popleft())
        try:
            if changes:
                self.in_transaction(partial(self._write, net_of(changes), changes))
        except BaseException:
            # Whoever writes next writes these first: nothing may overtake them.
            self._waiting.appendleft(changes)
            raise

    def _write(self, net: Net, changes: Sequence[Change], connection: Connection) -> None:
        self._database.write(connection, net)
        write_book(connection, changes)

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.open()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._database.close(connection)

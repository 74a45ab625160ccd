"""Records in a PostgreSQL database, which several control planes of one operator reach and one at a time writes to.

Who writes is said by one row of ``hansa_leader``: a number that grows with each holder (the fencing token), and until
when, by the database's own clock, so that the clocks of the replicas do not matter. Each transaction renews the row of
this number first: when another holder has taken over, no row is found and nothing is written. Taking over waits for the
row like any other transaction, so what the former holder was told to be durable is there to be read.

A connection that breaks is opened again, and what was being written is written again: the records are the same, and
nobody else may have written in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg import conninfo
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from hansa_control.adapters.store_schema import Net, Row, RowKey, keys_deleted, rows_put
from hansa_control.adapters.store_sql import Patience, SqlStore
from hansa_control.adapters.store_version import bring_up
from hansa_control.application.ports import Clock, Record, StoreFailed, Table

DUTY = "write"

log = structlog.get_logger(__name__)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MIGRATION_LOCK = 0x68616E7361
_PAUSE_S, _PAUSE_S_MAX = 0.05, 1.0
_PASSING = ("08", "57P")
"""Classes of SQLSTATE that speak of the connection or of a server that goes or comes; 53 (no room) is none of them."""
_PASSING_TOO = frozenset({"25006", "40001", "40P01"})
"""A server that is a standby by now, and two transactions that got in each other's way."""

_CONNECTING: Mapping[str, Any] = {
    "target_session_attrs": "read-write",
    "connect_timeout": 5,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
    "application_name": "hansa-control",
    # Whatever the server's default is: what is acknowledged has to survive a power cut.
    "options": "-c synchronous_commit=on -c timezone=UTC",
}

# One statement and one array a column, whatever the number of rows: half as much again as a statement a row.
_UPSERT = text(
    "INSERT INTO hansa_record (kind, key, body, checksum) SELECT * FROM unnest("
    "CAST(:kind AS text[]), CAST(:key AS text[]), CAST(:body AS bytea[]), CAST(:checksum AS bigint[])) "
    "ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, checksum = excluded.checksum"
)
_DELETE = text(
    "DELETE FROM hansa_record USING unnest(CAST(:kind AS text[]), CAST(:key AS text[])) AS gone (kind, key) "
    "WHERE hansa_record.kind = gone.kind AND hansa_record.key = gone.key"
)

_HELD = text("SELECT holder, epoch, extract(epoch FROM until - clock_timestamp()) FROM hansa_leader WHERE duty = :duty")
_TAKE = text(
    "INSERT INTO hansa_leader AS held (duty, epoch, holder, until) "
    "VALUES (:duty, 1, :holder, clock_timestamp() + make_interval(secs => :lease_s)) "
    "ON CONFLICT (duty) DO UPDATE SET epoch = held.epoch + 1, holder = excluded.holder, until = excluded.until "
    "RETURNING epoch"
)
_RENEW = text(
    "UPDATE hansa_leader SET until = clock_timestamp() + make_interval(secs => :lease_s) "
    "WHERE duty = :duty AND epoch = :epoch"
)
_LEAVE = text("UPDATE hansa_leader SET until = clock_timestamp() WHERE duty = :duty AND epoch = :epoch")


class Leadership(NamedTuple):
    """Which of the replicas this process is, how long its lead lasts if it is not renewed, and for how long it goes on
    trying to reach the database before it gives up."""

    holder: str
    lease_ms: int = 3_000
    patience_ms: int = 30_000


class NotLeader(StoreFailed):
    """Another replica writes; for ``left_ms`` at least."""

    def __init__(self, holder: str, left_ms: int) -> None:
        super().__init__(f"{holder} writes to this database, for another {left_ms / 1_000:.1f} s at least")
        self.holder = holder
        self.left_ms = left_ms


def check_url(url: str) -> str:
    """What people may read of a URL. ValueError if it is none, has a password in it, or trusts the network."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ValueError(f"not a PostgreSQL URL: {str(error).strip()}") from None
    if "password" in parts:
        raise ValueError("has a password in it; name a file that has it: passfile=/path")
    host = str(parts.get("hostaddr") or parts.get("host") or "")
    hosts = host.split(",")
    trusted = all(one.startswith("/") or one in _LOOPBACK for one in hosts) and host
    if not trusted and parts.get("sslmode") != "verify-full":
        raise ValueError(f"host {host or '(not given)'} needs sslmode=verify-full and sslrootcert=/path")
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{host}{port}/{parts.get('dbname', '')}"


class PostgresStore(SqlStore):
    """A Store in a database of which this process is the one that writes; see ``SqlStore``.

    ``load`` waits until this process leads. From then on the lead is renewed, thrice a lease, until ``close`` gives it
    up.
    """

    def __init__(self, url: str, leadership: Leadership, clock: Clock) -> None:
        self._postgres = PostgresDatabase(url, leadership)
        super().__init__(self._postgres, Patience(clock, leadership.patience_ms))
        self._clock = clock
        self._interval_ms = leadership.lease_ms // 3
        self._renewing: asyncio.Task[None] | None = None

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        other = await self.persisting(self._follows)
        if other is not None:
            log.info("store_follows", leader=other.holder, left_ms=other.left_ms)
        while other is not None:
            await self._clock.sleep_ms(min(self._interval_ms, other.left_ms + 10))
            other = await self.persisting(self._follows)
        log.info("store_leads", epoch=self._postgres.epoch)
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._keep_renewing())
            self._renewing.add_done_callback(_told_elsewhere)
        return await super().load()

    async def keep(self) -> None:
        """StoreFailed as soon as another replica has taken over, or the database was away for too long."""
        if self._renewing is None:
            raise StoreFailed(f"{self._postgres.name}: nothing is loaded")
        await self.look_through()
        await asyncio.shield(self._renewing)

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        with suppress(StoreFailed):
            await self._on_thread(self._leave)
        await super().close()

    async def _keep_renewing(self) -> None:
        while True:
            await self._clock.sleep_ms(self._interval_ms)
            await self.persisting(self._renew)

    # On the store's thread.

    def _follows(self) -> NotLeader | None:
        """Which other replica leads; None once this one does."""
        try:
            self.in_transaction(self._postgres.renew)
        except NotLeader as other:
            return other
        return None

    def _renew(self) -> None:
        self._write_waiting()
        self.in_transaction(self._postgres.renew)

    def _leave(self) -> None:
        if self._postgres.epoch:
            self._write_waiting()
            self.in_transaction(self._postgres.leave)


class PostgresDatabase:
    """One database, and this process's lead in it; see ``store_sql.Database``."""

    def __init__(self, url: str, leadership: Leadership) -> None:
        self.name = check_url(url)
        self._leadership = leadership
        self._epoch = 0
        parts = conninfo.conninfo_to_dict(url)
        self._engine = create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(**{**_CONNECTING, **parts}), poolclass=NullPool
        )

    @property
    def epoch(self) -> int:
        """The number of this process's lead, 0 if it never led."""
        return self._epoch

    def open(self) -> Connection:
        """A connection; the first one takes the lead and brings the schema up. NotLeader if another replica leads."""
        connection = self._engine.connect()
        try:
            if not self._epoch:
                with connection.begin():
                    epoch = self._take_lead(connection)
                # Not before it is committed: a number that was rolled back may be another's.
                self._epoch = epoch
        except BaseException:
            self.close(connection)
            raise
        return connection

    def _take_lead(self, connection: Connection) -> int:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if connection.execute(text("SELECT to_regclass('hansa_leader') IS NOT NULL")).scalar_one():
            held = connection.execute(_HELD, {"duty": DUTY}).one_or_none()
            if held is not None and held[0] != self._leadership.holder and held[2] > 0:
                raise NotLeader(held[0], int(held[2] * 1_000))
        bring_up(connection)
        return int(connection.execute(_TAKE, self._values()).scalar_one())

    def check(self, connection: Connection) -> None:
        """Nothing beyond the checksums of the records: PostgreSQL refuses by itself what it finds damaged."""

    def write(self, connection: Connection, net: Net) -> None:
        self.renew(connection)
        if puts := rows_put(net):
            connection.execute(_UPSERT, _columns(puts))
        if deletes := keys_deleted(net):
            connection.execute(_DELETE, _columns(deletes))

    def renew(self, connection: Connection) -> None:
        """Makes the lead last longer; StoreFailed if another replica has it."""
        if connection.execute(_RENEW, self._values()).rowcount != 1:
            holder = connection.execute(_HELD, {"duty": DUTY}).one()[0]
            raise StoreFailed(f"{holder} has taken over the writing")

    def leave(self, connection: Connection) -> None:
        """Lets the next replica in at once."""
        connection.execute(_LEAVE, self._values())

    def _values(self) -> dict[str, object]:
        lease_s = self._leadership.lease_ms / 1_000
        return {"duty": DUTY, "holder": self._leadership.holder, "lease_s": lease_s, "epoch": self._epoch}

    keeps_connection = False

    def may_pass(self, error: Exception) -> bool:
        if not isinstance(error, DBAPIError):
            return False
        state = getattr(error.orig, "sqlstate", None)
        if state is None:
            return error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)
        return state.startswith(_PASSING) or state in _PASSING_TOO

    def explained(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        return " ".join(str(cause).split())

    def close(self, connection: Connection) -> None:
        # A connection that is broken may fail to close, and there is nothing more to say about it.
        with suppress(Exception):
            connection.close()


def _told_elsewhere(renewing: asyncio.Task[None]) -> None:
    """A failure is the store's: whoever commits or keeps hears of it. Asking for it here keeps asyncio quiet."""
    if not renewing.cancelled():
        renewing.exception()


def _columns(rows: Sequence[Row] | Sequence[RowKey]) -> dict[str, list[object]]:
    return {name: [row[name] for row in rows] for name in rows[0]}  # type: ignore[literal-required]

"""The book of usage in the SQL stores: one row a line, read by page and never all at once.

The same statements do in SQLite and in PostgreSQL. Rows are columns, not records in JSON, so that a line costs no more
than a row and the database finds those of a period by itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Row,
    Select,
    String,
    bindparam,
    delete,
    or_,
    select,
    text,
)
from sqlalchemy import Table as SqlTable

from hansa_control.adapters.store_schema import METADATA
from hansa_control.application.ports import Change, StoreFailed
from hansa_control.application.usage_ports import Enter, LineQuery, Strike
from hansa_control.domain.usage import UsageLine

USAGE = SqlTable(
    "hansa_usage",
    METADATA,
    Column("owner", String, primary_key=True),
    Column("home", String, primary_key=True),
    Column("claim", String, primary_key=True),
    Column("fencing_token", BigInteger, primary_key=True, autoincrement=False),
    Column("span", Integer, primary_key=True, autoincrement=False),
    Column("zone", String, nullable=False),
    Column("workload", String, nullable=False),
    Column("pool", String, nullable=False),
    Column("accelerators", BigInteger, nullable=False),
    Column("cpu_millis", BigInteger, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("is_final", Boolean, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("asked_at_ms", BigInteger, nullable=False),
    Column("given_back_at_ms", BigInteger, nullable=False),
    Column("tenant", String, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    Index("hansa_usage_told", "owner", "sequence"),
    sqlite_with_rowid=False,
)

_FIELDS = tuple(field.name for field in fields(UsageLine))
_VALUES = attrgetter(*_FIELDS)
"""What ``dataclasses.astuple`` answers for a line, whose fields are plain, at a tenth of the cost."""

_COLUMNS = tuple(column.name for column in USAGE.columns)
_KEY = tuple(column.name for column in USAGE.primary_key.columns)
_UPSERT = text(
    f"INSERT INTO hansa_usage ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"  # noqa: S608 - names of columns
    f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEY)
)
_STRIKE = delete(USAGE).where(
    USAGE.c.owner == bindparam("of_owner"),
    USAGE.c.home == bindparam("of_home"),
    USAGE.c.is_final.is_(True),
    USAGE.c.until_ms < bindparam("before_ms"),
    USAGE.c.sequence <= bindparam("upto_sequence"),
)


def write_book(connection: Connection, changes: Sequence[Change]) -> None:
    """Makes the changes of the book within the transaction that is open; the last of a line counts."""
    last = {change.line.key: change.line for change in changes if isinstance(change, Enter)}
    if last:
        connection.execute(_UPSERT, [_row(line) for line in last.values()])
    for change in changes:
        if isinstance(change, Strike):
            bounds = {"before_ms": change.before_ms, "upto_sequence": change.upto_sequence}
            connection.execute(_STRIKE, {"of_owner": change.owner, "of_home": change.home, **bounds})


def read_lines(connection: Connection, query: LineQuery) -> list[UsageLine]:
    """The lines that are wanted, in the order of their sequence; StoreFailed if one is not what was written."""
    return [_line(row) for row in connection.execute(_statement(query))]


def _statement(query: LineQuery) -> Select[tuple[object, ...]]:
    wanted = select(*(USAGE.c[name] for name in (*_FIELDS, "checksum")))
    wanted = wanted.where(USAGE.c.owner == query.owner, USAGE.c.sequence > query.after)
    if query.home:
        wanted = wanted.where(USAGE.c.home == query.home)
    if query.tenant:
        wanted = wanted.where(USAGE.c.tenant == query.tenant)
    if query.unfinished:
        wanted = wanted.where(USAGE.c.is_final.is_(False))
    if query.period is not None:
        runs_on = or_(USAGE.c.until_ms == 0, USAGE.c.until_ms > query.period.since_ms)
        wanted = wanted.where(USAGE.c.from_ms < query.period.until_ms, runs_on)
    return wanted.order_by(USAGE.c.sequence).limit(query.limit)


def _row(line: UsageLine) -> dict[str, object]:
    return {**dict(zip(_FIELDS, _VALUES(line), strict=True)), "tenant": line.tenant, "checksum": _checksum(line)}


def _line(row: Row[tuple[object, ...]]) -> UsageLine:
    values: tuple[Any, ...] = tuple(row)  # in the order of the statement
    line = UsageLine(*values[:-1])
    if values[-1] != _checksum(line):
        raise StoreFailed(f"line {tuple(line.key)} of the book of usage does not match its checksum")
    return line


def _checksum(line: UsageLine) -> int:
    return zlib.crc32(repr(_VALUES(line)).encode())

"""The tables of the SQL stores, in SQLAlchemy Core, and what every SQL store does with them on a connection."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import groupby, pairwise
from operator import itemgetter
from typing import TypedDict

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    and_,
    bindparam,
    column,
    delete,
    select,
    table,
)
from sqlalchemy import Table as SqlTable

from hansa_control.adapters import record_codec
from hansa_control.application.ports import READ_ONE_BY_ONE, Change, Delete, Put, Record, StoreFailed, Table

CHECKED_AT_ONCE = 50
"""Records that are looked through while commits wait: a few milliseconds."""

PACKING_EFFORT = 1
"""Of zlib's nine: a decision of 28 zones becomes a tenth in a fraction of a millisecond."""

_IN_PARTS = {"yield_per": 500}

METADATA = MetaData()

SCHEMA = SqlTable(
    "hansa_schema",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

REVISIONS = table("alembic_version", column("version_num"))
"""Alembic's own, which its migrations make."""

RECORDS = SqlTable(
    "hansa_record",
    METADATA,
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

LEADERS = SqlTable(
    "hansa_leader",
    METADATA,
    Column("duty", String, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", String, nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
    sqlite_with_rowid=False,
)
"""Who writes to a database that several processes reach, until when by its own clock; ``epoch`` grows with each."""

_COLUMNS = (RECORDS.c.kind, RECORDS.c.key, RECORDS.c.body, RECORDS.c.checksum)
_READ = select(RECORDS.c.body, RECORDS.c.checksum).where(
    RECORDS.c.kind == bindparam("of_kind"), RECORDS.c.key == bindparam("of_key")
)
DELETE = delete(RECORDS).where(RECORDS.c.kind == bindparam("kind"), RECORDS.c.key == bindparam("key"))


class Row(TypedDict):
    kind: str
    key: str
    body: bytes
    checksum: int


class RowKey(TypedDict):
    kind: str
    key: str


def row_of(change: Put) -> Row:
    """The row that a change puts; StoreFailed if the record has no form."""
    table, key = change.table, change.key
    try:
        body = _form_of(table)(change.record)
        return Row(kind=table.value, key=key, body=body, checksum=checksum(table, key, body))
    except ValueError as error:
        raise StoreFailed(f"record {key!r} cannot be stored: {error}") from error


@cache
def _form_of(table: Table) -> Callable[[Record], bytes]:
    form = partial(record_codec.encode, table)
    if table not in READ_ONE_BY_ONE:
        return form
    return record_codec.Shared(lambda record: zlib.compress(form(record), PACKING_EFFORT))


Net = dict[tuple[Table, str], Row | None]
"""What changes come to, by table and key; None deletes."""


def net_of(changes: Sequence[Change]) -> Net:
    """What the changes of records come to if made in order; StoreFailed if a record has no form."""
    last = {(change.table, change.key): change for change in changes if isinstance(change, Put | Delete)}
    return {at: row_of(change) if isinstance(change, Put) else None for at, change in last.items()}


def rows_put(net: Net) -> list[Row]:
    return [row for row in net.values() if row is not None]


def keys_deleted(net: Net) -> list[RowKey]:
    return [RowKey(kind=table.value, key=key) for (table, key), row in net.items() if row is None]


def read_all(connection: Connection) -> Mapping[Table, Mapping[str, Record]]:
    """Records by table and key, ordered by key, every table named but those that are read one by one; StoreFailed if a
    record is not what was written.
    """
    records: dict[Table, dict[str, Record]] = {table: {} for table in Table if table not in READ_ONE_BY_ONE}
    reader = record_codec.Reader()
    for kinds in _between_those_read_one_by_one():
        found = connection.execute(select(*_COLUMNS).where(kinds), execution_options=_IN_PARTS)
        for part in found.partitions():
            for kind, rows in groupby(part, key=itemgetter(0)):
                _read(records, kind, [(key, _body(kind, key, body), stated) for _, key, body, stated in rows], reader)
    return {table: dict(sorted(of.items())) for table, of in records.items()}


def read_one(connection: Connection, table: Table, key: str) -> Record | None:
    """A record; None if there is none, StoreFailed if it is not what was written."""
    row = connection.execute(_READ, {"of_kind": table.value, "of_key": key}).one_or_none()
    if row is None:
        return None
    body = _body(table.value, key, row.body)
    _check(table, [(key, body, row.checksum)])
    return _decoded(table, key, body)


def check_after(connection: Connection, table: Table, after: str | None) -> str | None:
    """Looks through a few records whose keys follow ``after``; answers the last key, None if there was none.

    StoreFailed if one does not match its checksum: what does is what was written, and that was read back then.
    """
    wanted = select(*_COLUMNS).where(RECORDS.c.kind == table.value).order_by(RECORDS.c.key).limit(CHECKED_AT_ONCE)
    found = connection.execute(wanted if after is None else wanted.where(RECORDS.c.key > after)).all()
    _check(table, [(key, _body(table.value, key, body), stated) for _, key, body, stated in found])
    return found[-1].key if found else None


def _between_those_read_one_by_one() -> list[ColumnElement[bool]]:
    """Kinds by ranges, which the database finds without looking at any record between them."""
    apart = sorted(table.value for table in READ_ONE_BY_ONE)
    ranges = [RECORDS.c.kind < apart[0], RECORDS.c.kind > apart[-1]]
    within = [and_(RECORDS.c.kind > low, RECORDS.c.kind < high) for low, high in pairwise(apart)]
    return [*ranges, *within]


Found = tuple[str, bytes, int]
"""Key, body and checksum of a row."""


def _body(kind: str, key: str, found: object) -> bytes:
    """A body as a database hands it out; StoreFailed if it is none: SQLite keeps the type with every value."""
    if not isinstance(found, bytes | memoryview):
        raise StoreFailed(f"{kind} record {key!r} is corrupt: its body is a {type(found).__name__}, not bytes")
    return bytes(found)


def _read(
    records: Mapping[Table, dict[str, Record]], kind: str, rows: Sequence[Found], reader: record_codec.Reader
) -> None:
    """Puts the records that these rows of one kind are under their keys."""
    try:
        table = Table(kind)
    except ValueError as error:
        raise StoreFailed(f"{kind} record {rows[0][0]!r} is corrupt: {error}") from error
    _check(table, rows)
    try:
        read = reader.decode_all(table, [body for _, body, _ in rows])
    except record_codec.RecordInvalid:
        read = [_decoded(table, key, body) for key, body, _ in rows]
    records[table].update(zip([key for key, _, _ in rows], read, strict=True))


def _decoded(table: Table, key: str, body: bytes) -> Record:
    try:
        return record_codec.decode(table, body if body.startswith(b"{") else zlib.decompress(body))
    except (ValueError, zlib.error) as error:
        raise StoreFailed(f"{table.value} record {key!r} is corrupt: {error}") from error


def _check(table: Table, rows: Sequence[Found]) -> None:
    begun = zlib.crc32(f"{table.value}\0".encode())
    for key, body, stated in rows:
        if stated != zlib.crc32(body, zlib.crc32(f"{key}\0".encode(), begun)):
            raise StoreFailed(f"{table.value} record {key!r} is corrupt: it does not match its checksum")


def checksum(table: Table, key: str, body: bytes) -> int:
    """Of a row: a body under another key or of another table does not match."""
    return zlib.crc32(body, zlib.crc32(f"{table.value}\0{key}\0".encode()))

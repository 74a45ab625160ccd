"""The tables of the SQL stores, in SQLAlchemy Core, and what every SQL store does with them on a connection."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import TypedDict

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    bindparam,
    delete,
    select,
)
from sqlalchemy import Table as SqlTable

from hansa_control.adapters import record_codec
from hansa_control.application.packed_table import PackedTable, Packing
from hansa_control.application.ports import Change, Delete, Put, Record, StoreFailed, Table

ROWS_READ_AT_ONCE = 500
PACKING_EFFORT = 1
"""Of zlib's nine: a decision of 28 zones becomes a tenth in a fraction of a millisecond."""

METADATA = MetaData()

SCHEMA = SqlTable(
    "hansa_schema",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

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
    try:
        body = _form_of(change.table)(change.record)
        checksum = _checksum(change.table, change.key, body)
    except ValueError as error:
        raise StoreFailed(f"record {change.key!r} cannot be stored: {error}") from error
    return Row(kind=change.table.value, key=change.key, body=body, checksum=checksum)


@cache
def _form_of(table: Table) -> Callable[[Record], bytes]:
    form = partial(record_codec.encode, table)
    return record_codec.Shared(form) if table is Table.DECISION else form


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
    """Every record by table and key, ordered by key, every table named; StoreFailed if one is not what was written.

    Decisions stay packed: they are most of what is stored, and hardly ever read.
    """
    statement = select(RECORDS.c.kind, RECORDS.c.key, RECORDS.c.body, RECORDS.c.checksum)
    found = connection.execute(statement, execution_options={"yield_per": ROWS_READ_AT_ONCE})
    records, packed = _records((kind, key, bytes(body), checksum) for kind, key, body, checksum in found)
    tables: dict[Table, Mapping[str, Record]] = {table: dict(sorted(of.items())) for table, of in records.items()}
    return tables | {table: PackedTable(packing_of(table), dict(sorted(of.items()))) for table, of in packed.items()}


def packing_of(table: Table) -> Packing[Record]:
    """How records of a table are kept in memory while nobody asks for them; what does not come back is StoreFailed."""

    def unpack(body: bytes) -> Record:
        try:
            return record_codec.decode(table, zlib.decompress(body))
        except ValueError as error:
            raise StoreFailed(f"a {table.value} record is not what this version reads: {error}") from error

    def pack(record: Record) -> bytes:
        return zlib.compress(record_codec.written(table, record), PACKING_EFFORT)

    return Packing(record_codec.Shared(pack), unpack)


def _records(
    rows: Iterable[tuple[str, str, bytes, int]],
) -> tuple[dict[Table, dict[str, Record]], dict[Table, dict[str, bytes]]]:
    """Records by table, and those of tables that stay packed."""
    packed: dict[Table, dict[str, bytes]] = {Table.DECISION: {}}
    records: dict[Table, dict[str, Record]] = {table: {} for table in Table if table not in packed}
    for kind, key, body, checksum in rows:
        try:
            table = Table(kind)
            if checksum != _checksum(table, key, body):
                raise ValueError("it does not match its checksum")
            if table in packed:
                packed[table][key] = zlib.compress(body, PACKING_EFFORT)
            else:
                records[table][key] = record_codec.decode(table, body)
        except ValueError as error:
            raise StoreFailed(f"{kind} record {key!r} is corrupt: {error}") from error
    return records, packed


def _checksum(table: Table, key: str, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(f"{table.value}\0{key}\0".encode()))

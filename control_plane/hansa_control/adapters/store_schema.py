"""The tables of the SQL stores, in SQLAlchemy Core, and what every SQL store does with them on a connection."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, String, inspect, select
from sqlalchemy import Table as SqlTable

from hansa_control.adapters import record_codec
from hansa_control.application.ports import Change, Put, Record, StoreFailed, Table

SCHEMA_VERSION = 1
"""Grows with every change of the tables or of a record's form that an older process would not understand."""

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
        body = record_codec.encode(change.table, change.record)
        checksum = _checksum(change.table, change.key, body)
    except ValueError as error:
        raise StoreFailed(f"record {change.key!r} cannot be stored: {error}") from error
    return Row(kind=change.table.value, key=change.key, body=body, checksum=checksum)


Net = dict[tuple[Table, str], Row | None]
"""What changes come to, by table and key; None deletes."""


def net_of(changes: Sequence[Change]) -> Net:
    """What the changes come to if made in order; StoreFailed if a record has no form."""
    last = {(change.table, change.key): change for change in changes}
    return {at: row_of(change) if isinstance(change, Put) else None for at, change in last.items()}


def rows_put(net: Net) -> list[Row]:
    return [row for row in net.values() if row is not None]


def keys_deleted(net: Net) -> list[RowKey]:
    return [RowKey(kind=table.value, key=key) for (table, key), row in net.items() if row is None]


def prepare(connection: Connection) -> None:
    """Makes the tables in an empty database, else checks whose they are and of which version; StoreFailed."""
    names = inspect(connection).get_table_names()
    if not names:
        METADATA.create_all(connection)
        connection.execute(SCHEMA.insert(), {"version": SCHEMA_VERSION})
        return
    if SCHEMA.name not in names or RECORDS.name not in names:
        raise StoreFailed("this database holds something else than records of hansa")
    version = connection.execute(select(SCHEMA.c.version)).scalar_one_or_none()
    if version != SCHEMA_VERSION:
        raise StoreFailed(_version_refusal(version))


def read_all(connection: Connection) -> Mapping[Table, Mapping[str, Record]]:
    """Every record by table and key, ordered by key, every table named; StoreFailed if one is not what was written."""
    statement = select(RECORDS.c.kind, RECORDS.c.key, RECORDS.c.body, RECORDS.c.checksum)
    rows = ((kind, key, bytes(body), checksum) for kind, key, body, checksum in connection.execute(statement))
    return _records(sorted(rows))


def _records(rows: Iterable[tuple[str, str, bytes, int]]) -> Mapping[Table, Mapping[str, Record]]:
    records: dict[Table, dict[str, Record]] = {table: {} for table in Table}
    for kind, key, body, checksum in rows:
        try:
            table = Table(kind)
            if checksum != _checksum(table, key, body):
                raise ValueError("it does not match its checksum")
            records[table][key] = record_codec.decode(table, body)
        except ValueError as error:
            raise StoreFailed(f"{kind} record {key!r} is corrupt: {error}") from error
    return records


def _checksum(table: Table, key: str, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(f"{table.value}\0{key}\0".encode()))


def _version_refusal(version: int | None) -> str:
    if version is None:
        return "the database does not say of which schema version it is"
    age = "newer" if version > SCHEMA_VERSION else "older"
    return f"schema version {version} is {age} than version {SCHEMA_VERSION}, which this program reads and writes"

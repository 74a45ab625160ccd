"""Which schema a database has: as a rule the present one, which is seen without what changes schemas."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select

from hansa_control.adapters.store_schema import RECORDS, REVISIONS, SCHEMA

LATEST = "0004"
"""The revision that this program reads and writes: the last of ``migrations``."""


def bring_up(connection: Connection) -> None:
    """Within the caller's transaction, makes the schema the present one; StoreFailed if it is not ours or newer."""
    if not _is_latest(connection):
        # Loading Alembic takes longer than reading ten thousand records.
        from hansa_control.adapters.store_migrations import migrate

        migrate(connection)


def _is_latest(connection: Connection) -> bool:
    if not {SCHEMA.name, RECORDS.name, REVISIONS.name} <= set(inspect(connection).get_table_names()):
        return False
    said = connection.execute(select(SCHEMA.c.version)).scalars().all()
    revisions = connection.execute(select(REVISIONS.c.version_num)).scalars().all()
    return list(said) == [int(LATEST)] and list(revisions) == [LATEST]

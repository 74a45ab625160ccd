"""Brings the tables of a database to the schema that this program reads and writes; forward only.

Revisions are Alembic's. Besides its own table there is ``hansa_schema``, with the number of the latest revision:
release 0.1.0 knows nothing else, and by it refuses a database that is too new for it.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, inspect, select

from hansa_control.adapters.store_schema import RECORDS, REVISIONS, SCHEMA
from hansa_control.application.ports import StoreFailed

FIRST = "0001"
_HOME = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """Runs the migrations that are missing, within the caller's transaction. StoreFailed if it is not ours or newer."""
    config = _config(connection)
    latest = ScriptDirectory.from_config(config).get_current_head() or ""
    if _adopted(connection, config) != latest:
        command.upgrade(config, latest)
        connection.execute(delete(SCHEMA))
        connection.execute(insert(SCHEMA), {"version": int(latest)})


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_HOME))
    return config


def _adopted(connection: Connection, config: Config) -> str:
    """The database's revision; one of release 0.1.0, which had no revisions, is given its own."""
    names = set(inspect(connection).get_table_names())
    if not names:
        return ""
    if not {SCHEMA.name, RECORDS.name} <= names:
        raise StoreFailed("this database holds something else than records of hansa")
    said = _said(connection)
    if REVISIONS.name not in names and said == int(FIRST):
        command.stamp(config, FIRST)
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None or int(found) != said:
        raise StoreFailed(f"the database says two things of its schema: version {said}, revision {found}")
    return found


def _said(connection: Connection) -> int:
    """What ``hansa_schema`` says; StoreFailed if that is nothing, or a version that this program does not know."""
    version = connection.execute(select(SCHEMA.c.version)).scalar_one_or_none()
    if version is None:
        raise StoreFailed("the database does not say of which schema version it is")
    latest = int(ScriptDirectory(str(_HOME)).get_current_head() or 0)
    if version > latest:
        message = f"schema version {version} is newer than version {latest}, which this program reads and writes"
        raise StoreFailed(message)
    if version < int(FIRST):
        raise StoreFailed(f"schema version {version} is older than version {int(FIRST)}, the first that was released")
    return int(version)

"""The schema goes forward from the first release: what release 0.1.0 wrote is read, and nothing is half done."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from hansa_control.adapters import store_migrations
from hansa_control.adapters.store_postgres import Leadership, PostgresStore
from hansa_control.adapters.store_schema import METADATA
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.adapters.store_version import LATEST
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import READ_ONE_BY_ONE, Counter, Put, Store, StoredDecision, StoreFailed, Table
from hansa_control.application.usage_ports import LineQuery
from hansa_control.domain.model import Claim, ClaimState, Workload
from hansa_demo.postgres_server import PostgresServer
from sqlalchemy import create_engine, inspect

RELEASE = json.loads((Path(__file__).parent / "release_0_1_0.json").read_text(encoding="utf-8"))
"""The tables of release 0.1.0, and one record of each kind, as that release wrote them to a file."""
FIRST_TABLES = {Table(row["kind"]) for row in RELEASE["records"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sqlite"


def written_by_the_first_release(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in RELEASE["tables"]:
            connection.execute(statement)
        connection.execute("INSERT INTO hansa_schema VALUES (1)")
        for row in RELEASE["records"]:
            values = (row["kind"], row["key"], row["body"].encode(), row["checksum"])
            connection.execute("INSERT INTO hansa_record VALUES (?, ?, ?, ?)", values)
    connection.close()


def kept_of(table: Table) -> list[str]:
    """The keys that the first release wrote."""
    return ["k"] if table in FIRST_TABLES else []


def ask(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(statement).fetchall()
    connection.close()
    return found


async def lines_of(path: Path) -> list[object]:
    store = SqliteStore(path)
    found = await store.lines(LineQuery("nordavind"))
    await store.close()
    return list(found)


async def test_what_the_first_release_wrote_is_read_and_goes_on(path: Path) -> None:
    written_by_the_first_release(path)
    store: Store = SqliteStore(path)
    records = await store.load()
    decision = await store.read(Table.DECISION, "k")
    await store.commit([Put(Table.COUNTER, "more", Counter(2))])
    await store.close()
    loaded = [table for table in Table if table not in READ_ONE_BY_ONE]
    assert {table: sorted(kept) for table, kept in records.items()} == {table: kept_of(table) for table in loaded}
    assert isinstance(decision, StoredDecision) and decision.decision.zones_evaluated
    assert await lines_of(path) == []
    claim, workload = records[Table.CLAIM]["k"], records[Table.WORKLOAD]["k"]
    assert isinstance(claim, Claim) and claim.state is ClaimState.HELD and claim.fencing_token == 7
    assert isinstance(workload, Workload) and workload.spec.residency.site.countries_allowed == {"NO", "SE"}
    assert ask(path, "SELECT version FROM hansa_schema") == [(4,)]
    assert ask(path, "SELECT version_num FROM alembic_version") == [("0004",)]
    assert len(ask(path, "SELECT key FROM hansa_record")) == len(FIRST_TABLES) + 1


async def test_a_second_start_migrates_nothing(path: Path) -> None:
    for number in range(2):
        store = SqliteStore(path)
        await store.commit([Put(Table.COUNTER, str(number), Counter(1))])
        await store.close()
    assert ask(path, "SELECT version FROM hansa_schema") == [(4,)]


def test_the_schema_that_a_start_takes_for_the_present_one_is_the_last_migration() -> None:
    assert ScriptDirectory(str(store_migrations._HOME)).get_current_head() == LATEST


async def test_a_start_on_the_present_schema_asks_nobody_how_to_migrate(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for expected in (1, 1):
        store = SqliteStore(path)
        await store.commit([Put(Table.COUNTER, "a", Counter(1))])
        assert len((await store.load())[Table.COUNTER]) == expected
        await store.close()
        monkeypatch.setattr(store_migrations, "migrate", None)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_by_the_first_release(path)
    before = ask(path, "SELECT name, sql FROM sqlite_master ORDER BY name")

    broken = tmp_path / "migrations"
    shutil.copytree(store_migrations._HOME, broken)
    second = broken / "versions" / "r0002_leader.py"
    second.write_text(second.read_text() + '    op.execute("DELETE FROM hansa_record")\n    raise OSError("no room")\n')
    monkeypatch.setattr(store_migrations, "_HOME", broken)
    store = SqliteStore(path)
    with pytest.raises(StoreFailed, match="no room"):
        await store.load()
    await store.close()
    assert ask(path, "SELECT name, sql FROM sqlite_master ORDER BY name") == before
    assert len(ask(path, "SELECT key FROM hansa_record")) == len(FIRST_TABLES)


async def test_migrations_give_the_tables_that_the_program_uses(path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    for store in (SqliteStore(path), PostgresStore(url, Leadership("op-0"), SystemClock())):
        await store.load()
        await store.close()
    for address in (f"sqlite:///{path}", url.replace("postgresql://", "postgresql+psycopg://")):
        engine = create_engine(address)
        found = inspect(engine)
        for table in METADATA.tables.values():
            columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
            assert columns == {column.name: column.nullable for column in table.columns}, (address, table.name)
            assert found.get_pk_constraint(table.name)["constrained_columns"] == list(table.primary_key.columns.keys())
        engine.dispose()

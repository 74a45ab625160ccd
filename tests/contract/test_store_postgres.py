"""What the PostgreSQL store promises beyond the port: one writer, fenced; and to outlive its server's restarts."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from hansa_control.adapters.store_postgres import Leadership, PostgresStore, check_url
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import Counter, Put, StoreFailed, Table
from hansa_demo.postgres_server import PostgresServer

COMMITTER = """
import asyncio, sys
from hansa_control.adapters.store_postgres import Leadership, PostgresStore
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import Counter, Put, StoredRequest, Table

async def write(store, writer):
    n = 0
    while True:
        n += 1
        other = StoredRequest("x", "", n)
        await store.commit([Put(Table.REQUEST, f"{writer}-{n}", other), Put(Table.COUNTER, writer, Counter(n))])
        print(writer, n, flush=True)

async def main():
    store = PostgresStore(sys.argv[1], Leadership(sys.argv[2], lease_ms=600), SystemClock())
    await store.load()
    await asyncio.gather(*(write(store, f"w{n}") for n in range(4)))

asyncio.run(main())
"""


def one(key: str, value: int = 1) -> list[Put]:
    return [Put(Table.COUNTER, key, Counter(value))]


async def numbers(store: PostgresStore) -> dict[str, int]:
    records = (await store.load())[Table.COUNTER]
    return {key: record.value for key, record in records.items() if isinstance(record, Counter)}


def sql(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def committer(url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", COMMITTER, url, "op-0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def promised(said: str) -> dict[str, int]:
    pairs = (line.split() for line in said.splitlines(keepends=True) if line.endswith("\n"))
    return {writer: int(n) for writer, n in pairs}


async def test_a_killed_writer_is_followed_when_its_lease_is_over_and_loses_nothing(
    url: str, committer: subprocess.Popen[str]
) -> None:
    second = PostgresStore(url, Leadership("op-1", lease_ms=600), SystemClock())
    follows = asyncio.create_task(second.load())
    await asyncio.to_thread(committer.stdout.readline)  # type: ignore[union-attr]
    assert not follows.done()
    committer.send_signal(signal.SIGKILL)
    said = promised(committer.communicate()[0])
    records = await follows
    for writer, n in said.items():
        kept = records[Table.COUNTER][writer]
        assert isinstance(kept, Counter) and kept.value >= n
        of_writer = {key for key in records[Table.REQUEST] if key.startswith(f"{writer}-")}
        assert of_writer == {f"{writer}-{k}" for k in range(1, kept.value + 1)}
    await second.close()


async def test_a_frozen_writer_that_was_followed_writes_nothing_more(
    url: str, committer: subprocess.Popen[str]
) -> None:
    committer.send_signal(signal.SIGSTOP)
    second = PostgresStore(url, Leadership("op-1", lease_ms=600), SystemClock())
    await second.load()
    before = await numbers(second)
    committer.send_signal(signal.SIGCONT)
    await asyncio.to_thread(committer.communicate)
    assert committer.returncode == 1
    await second.commit(one("mine"))
    after = await numbers(second)
    await second.close()
    assert after == {**before, "mine": 1}


async def test_a_writer_that_was_followed_is_told_by_whom(url: str) -> None:
    first = PostgresStore(url, Leadership("op-0", lease_ms=60_000), SystemClock())
    await first.load()
    # Whoever restarts under the same name takes over at once: the process before it is dead, or will be told.
    second = PostgresStore(url, Leadership("op-0", lease_ms=60_000), SystemClock())
    await second.load()
    with pytest.raises(StoreFailed, match="op-0 has taken over the writing"):
        await first.commit(one("late"))
    with pytest.raises(StoreFailed, match="op-0 has taken over the writing"):
        await first.commit(one("later"))
    assert await numbers(second) == {}
    await first.close()
    await second.commit(one("mine"))
    await second.close()


async def test_an_idle_writer_that_was_followed_hears_of_it(url: str) -> None:
    first = PostgresStore(url, Leadership("op-0", lease_ms=300), SystemClock())
    await first.load()
    second = PostgresStore(url, Leadership("op-0", lease_ms=300), SystemClock())
    await second.load()
    async with asyncio.timeout(20):
        with pytest.raises(StoreFailed, match="op-0 has taken over the writing"):
            await first.keep()
    await first.close()
    await second.close()


async def test_a_store_that_is_closed_lets_the_next_one_in_at_once(url: str) -> None:
    first = PostgresStore(url, Leadership("op-0", lease_ms=3_600_000), SystemClock())
    await first.commit(one("a"))
    await first.close()
    second = PostgresStore(url, Leadership("op-1", lease_ms=3_600_000), SystemClock())
    async with asyncio.timeout(10):
        assert await numbers(second) == {"a": 1}
    await second.close()


async def test_an_idle_writer_stays_the_writer(url: str) -> None:
    first = PostgresStore(url, Leadership("op-0", lease_ms=1_000), SystemClock())
    await first.load()
    second = PostgresStore(url, Leadership("op-1", lease_ms=1_000), SystemClock())
    follows = asyncio.create_task(second.load())
    # Three leases long, by the database's own clock.
    await asyncio.to_thread(sql, url, "SELECT pg_sleep(3)")
    assert not follows.done()
    await first.commit(one("a"))
    await first.close()
    assert Counter(1) in (await follows)[Table.COUNTER].values()
    await second.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_commits_wait_while_the_server_restarts(own_postgres: PostgresServer, mode: str) -> None:
    store = PostgresStore(own_postgres.new_database(), Leadership("op-0"), SystemClock())
    await store.commit(one("before"))
    await asyncio.to_thread(own_postgres.stop, mode)
    waiting = [asyncio.create_task(store.commit(one(f"n{n}"))) for n in range(20)]
    await asyncio.to_thread(own_postgres.start)
    await asyncio.gather(*waiting)
    assert await numbers(store) == {"before": 1} | {f"n{n}": 1 for n in range(20)}
    await store.close()


async def test_every_acknowledged_commit_outlives_a_server_killed_under_load(own_postgres: PostgresServer) -> None:
    store = PostgresStore(own_postgres.new_database(), Leadership("op-0"), SystemClock())
    await store.load()
    acknowledged: dict[str, int] = {}
    stop = asyncio.Event()

    async def write(writer: str) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await store.commit(one(writer, n))
            acknowledged[writer] = n

    writers = [asyncio.create_task(write(f"w{n}")) for n in range(8)]
    for _ in range(3):
        await asyncio.to_thread(own_postgres.stop, "immediate")
        await asyncio.to_thread(own_postgres.start)
        await store.commit(one("between"))
    stop.set()
    await asyncio.gather(*writers)
    kept = await numbers(store)
    await store.close()
    assert len(acknowledged) == 8
    assert {writer: kept[writer] for writer in acknowledged} == acknowledged


async def test_a_server_that_stays_away_is_the_stores_failure(own_postgres: PostgresServer) -> None:
    store = PostgresStore(own_postgres.new_database(), Leadership("op-0", patience_ms=200), SystemClock())
    await store.commit(one("a"))
    own_postgres.stop("immediate")
    with pytest.raises(StoreFailed, match=r"postgresql://127.0.0.1:\d+/hansa_1: .*onnection"):
        await store.commit(one("b"))
    await store.close()


async def test_a_database_of_something_else_is_refused_and_left_alone(url: str) -> None:
    sql(url, "CREATE TABLE invoice (number integer)")
    store = PostgresStore(url, Leadership("op-0"), SystemClock())
    with pytest.raises(StoreFailed, match="something else than records of hansa"):
        await store.load()
    await store.close()
    assert sql(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("invoice",)]


async def test_a_record_that_was_tampered_with_is_refused(url: str) -> None:
    store = PostgresStore(url, Leadership("op-0"), SystemClock())
    await store.commit(one("a", 7))
    await store.close()
    sql(url, "UPDATE hansa_record SET body = convert_to('{\"value\":9}', 'UTF8')")
    again = PostgresStore(url, Leadership("op-0"), SystemClock())
    with pytest.raises(StoreFailed, match="counter record 'a' is corrupt: it does not match its checksum"):
        await again.load()
    await again.close()


async def test_commits_are_durable_whatever_the_servers_default(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()
    sql(url, "ALTER DATABASE hansa_1 SET synchronous_commit = off")
    store = PostgresStore(url, Leadership("op-0"), SystemClock())
    await store.load()
    shown = store.in_transaction(lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar())
    await store.close()
    assert shown == "on"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://hansa:secret@127.0.0.1/hansa", "has a password in it"),
        ("postgresql://hansa@db.nordavind.example/hansa", "host db.nordavind.example needs sslmode=verify-full"),
        ("postgresql://hansa@127.0.0.1,db.nordavind.example/hansa", "needs sslmode=verify-full"),
        ("postgresql:///hansa", "needs sslmode=verify-full"),
        ("mysql://hansa@127.0.0.1/hansa", "not a PostgreSQL URL"),
        ("postgresql://hansa@127.0.0.1/hansa?sslmod=x", "not a PostgreSQL URL"),
    ],
)
def test_an_unsafe_url_is_refused_and_says_no_secret(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)


def test_a_url_is_shown_without_the_names_of_files() -> None:
    url = "postgresql://hansa@db.nordavind.example:5432/hansa?sslmode=verify-full&sslrootcert=/etc/ca&passfile=/etc/p"
    assert check_url(url) == "postgresql://db.nordavind.example:5432/hansa"

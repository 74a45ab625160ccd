"""Durable commits a second of each store, beside a bare loop of the same driver on the same machine in the same run.

A commit is one record of 200 bytes, one at a time or 128 in flight, which then share transactions; the floor of both
is a loop that inserts one row and commits, by the driver alone: sqlite3 with full sync, psycopg against that server.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
from hansa_control.adapters.store_postgres import Leadership, PostgresStore
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import Put, Store, StoredRequest, Table
from hansa_demo.postgres_server import PostgresServer

ALONE, TOGETHER, IN_FLIGHT = 400, 12_800, 128
BODY = "x" * 200


def rows() -> list[dict[str, object]]:
    """Commits a second, and their ratio to the bare loop."""
    table = []
    with tempfile.TemporaryDirectory() as folder:
        sqlite_store = SqliteStore(Path(folder) / "state.db")
        table += asyncio.run(_measured("sqlite", sqlite_store, lambda: _bare_sqlite(Path(folder) / "bare.db")))
    try:
        server = PostgresServer()
    except FileNotFoundError:
        return table
    try:
        url = server.new_database()
        store = PostgresStore(url, Leadership("op-0"), SystemClock())
        table += asyncio.run(_measured("postgres", store, lambda: _bare_postgres(url)))
    finally:
        server.close()
    return table


async def _measured(name: str, store: Store, bare: Callable[[], float]) -> list[dict[str, object]]:
    await store.load()
    alone = await _rate(ALONE, lambda: _submit(store, "a", ALONE))
    floor = bare()
    together = await _rate(TOGETHER, lambda: _all_in_flight(store))
    await store.close()
    return [_row(f"store.{name}.1_in_flight", alone, floor), _row(f"store.{name}.128_in_flight", together, floor)]


async def _rate(count: int, work: Callable[[], Awaitable[None]]) -> float:
    began_s = time.perf_counter()
    await work()
    return count / (time.perf_counter() - began_s)


async def _submit(store: Store, writer: str, count: int) -> None:
    for number in range(count):
        await store.commit([Put(Table.REQUEST, f"{writer}-{number}", StoredRequest(BODY, "", number))])


async def _all_in_flight(store: Store) -> None:
    await asyncio.gather(*(_submit(store, f"w{n}", TOGETHER // IN_FLIGHT) for n in range(IN_FLIGHT)))


def _bare_sqlite(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE bare (key TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
    began_s = time.perf_counter()
    for number in range(ALONE):
        connection.execute("INSERT INTO bare VALUES (?, ?)", (str(number), BODY))
    rate = ALONE / (time.perf_counter() - began_s)
    connection.close()
    return rate


def _bare_postgres(url: str) -> float:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE bare (key text PRIMARY KEY, body text)")
        connection.commit()
        began_s = time.perf_counter()
        for number in range(ALONE):
            connection.execute("INSERT INTO bare VALUES (%s, %s)", (str(number), BODY))
            connection.commit()
        return ALONE / (time.perf_counter() - began_s)


def _row(name: str, value: float, floor: float) -> dict[str, object]:
    return {
        "name": name, "value": value, "unit": "1/s", "floor": floor, "ratio": value / floor, "target": None,
        "met": None,
    }  # fmt: skip


if __name__ == "__main__":
    for row in rows():
        print(row)

"""What the store in memory can be told: to fail, to take its time, to have crashed."""

from __future__ import annotations

import asyncio

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import Counter, Put, StoreFailed, Table

CHANGES = [Put(Table.COUNTER, "a", Counter(1))]


async def counted(store: MemoryStore) -> int:
    return len((await store.load())[Table.COUNTER])


async def test_it_fails_when_told_to_and_keeps_what_it_had() -> None:
    store = MemoryStore()
    await store.commit(CHANGES)
    store.fail("disk full")
    with pytest.raises(StoreFailed, match="disk full"):
        await store.commit([Put(Table.COUNTER, "b", Counter(1))])
    assert await counted(store.reopen()) == 1


async def test_a_dead_process_cannot_write_behind_its_successors_back() -> None:
    dead = MemoryStore()
    living = dead.reopen()
    with pytest.raises(StoreFailed, match="another process"):
        await dead.commit(CHANGES)
    assert await counted(living) == 0


@pytest.mark.parametrize(("pauses_passed", "durable"), [(0, 0), (1, 1)])
async def test_a_crash_while_the_disk_works_loses_what_was_not_yet_written(pauses_passed: int, durable: int) -> None:
    passes = asyncio.Semaphore(pauses_passed)

    async def pause() -> None:
        await passes.acquire()

    store = MemoryStore(pause)
    commit = asyncio.ensure_future(store.commit(CHANGES))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not commit.done()
    commit.cancel()
    await asyncio.gather(commit, return_exceptions=True)
    assert await counted(store.reopen()) == durable

"""Disks that fail, and the store above them, which never says that something is durable when it is not."""

from __future__ import annotations

import asyncio

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import Counter, Put, StoreFailed, Table
from hansa_sim.disks import Disk, DiskFault, DiskStore


def count(key: str) -> list[Put]:
    return [Put(Table.COUNTER, key, Counter(1))]


async def keys(store: DiskStore) -> list[str]:
    return list((await store.load())[Table.COUNTER])


def opened() -> tuple[DiskStore, Disk]:
    disk = Disk()
    return DiskStore(MemoryStore(), disk), disk


@pytest.mark.parametrize(("fault", "kept"), [(DiskFault.REFUSED, ["a"]), (DiskFault.UNACKNOWLEDGED, ["a", "b"])])
async def test_a_commit_that_fails_is_durable_as_a_whole_or_not_at_all(fault: DiskFault, kept: list[str]) -> None:
    store, disk = opened()
    await store.commit(count("a"))
    disk.fail_next(fault)
    with pytest.raises(StoreFailed, match="disk"):
        await store.commit(count("b"))
    assert await keys(store.reopen()) == kept


@pytest.mark.parametrize("fault", list(DiskFault))
async def test_after_a_failure_nothing_is_written_until_the_store_is_opened_anew(fault: DiskFault) -> None:
    store, disk = opened()
    disk.fail_next(fault)
    with pytest.raises(StoreFailed):
        await store.commit(count("a"))
    for later in (store.commit(count("b")), store.load()):
        with pytest.raises(StoreFailed):
            await later
    again = store.reopen()
    await again.commit(count("c"))
    assert "b" not in await keys(again)
    assert "c" in await keys(again)


async def test_a_full_disk_refuses_every_process_until_there_is_room() -> None:
    store, disk = opened()
    disk.is_full = True
    for _ in range(2):
        with pytest.raises(StoreFailed, match="space"):
            await store.commit(count("a"))
        store = store.reopen()
    disk.repair()
    await store.commit(count("b"))
    assert await keys(store) == ["b"]


async def test_a_commit_behind_one_that_fails_fails_too() -> None:
    store, disk = opened()
    disk.fail_next(DiskFault.UNACKNOWLEDGED)
    done = await asyncio.gather(store.commit(count("a")), store.commit(count("b")), return_exceptions=True)
    assert [type(one) for one in done] == [StoreFailed, StoreFailed]
    assert await keys(store.reopen()) == ["a"]


async def test_a_disk_that_is_taken_away_is_noticed_without_a_commit() -> None:
    store, _ = opened()
    keeping = asyncio.ensure_future(store.keep())
    await asyncio.sleep(0)
    assert not keeping.done()
    store.take_away()
    with pytest.raises(StoreFailed, match="gone"):
        await keeping

"""Disks that are slow, full or broken, under a store that obeys the Store port all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import Change, Record, StoreFailed, Table
from hansa_control.application.usage_ports import LineQuery
from hansa_control.domain.usage import LineKey, UsageLine


class DiskFault(StrEnum):
    """What becomes of a commit. REFUSED and FULL: nothing of it is durable. UNACKNOWLEDGED: all of it is."""

    REFUSED = "REFUSED"
    FULL = "FULL"
    UNACKNOWLEDGED = "UNACKNOWLEDGED"


_TOLD = {
    DiskFault.REFUSED: "the disk reports an input/output error",
    DiskFault.FULL: "no space left on the disk",
    DiskFault.UNACKNOWLEDGED: "the disk reports an error after it has written",
}


class Disk:
    """One host's disk, which outlives its processes. ``has_failed`` says whether any commit has failed on it."""

    def __init__(self) -> None:
        self.is_full = False
        self.has_failed = False
        self._faults: list[DiskFault] = []

    def fail_next(self, fault: DiskFault) -> None:
        """The next commit meets ``fault``, whoever makes it."""
        self._faults.append(fault)

    def repair(self) -> None:
        """Commits succeed from now on."""
        self.is_full = False
        self._faults.clear()

    def next_fault(self) -> DiskFault | None:
        """What the commit that begins now will meet."""
        if self._faults:
            return self._faults.pop(0)
        return DiskFault.FULL if self.is_full else None


class DiskStore:
    """A Store on a disk. After its first failure every call fails, until a new process opens it with ``reopen``."""

    def __init__(self, records: MemoryStore, disk: Disk) -> None:
        self._records = records
        self._disk = disk
        self._is_taken = asyncio.Event()

    @property
    def trouble(self) -> str:
        """Nothing waits here: what fails ends the process, what is slow takes its time."""
        return self._records.trouble

    @property
    def book(self) -> Mapping[LineKey, UsageLine]:
        """The durable book of usage, for whoever compares the books of operators."""
        return self._records.book

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        return await self._records.load()

    async def read(self, table: Table, key: str) -> Record | None:
        return await self._records.read(table, key)

    async def commit(self, changes: Sequence[Change]) -> None:
        """All or nothing and in order; with an unacknowledged commit it is all, and StoreFailed nevertheless."""
        fault = self._disk.next_fault()
        if fault is DiskFault.UNACKNOWLEDGED:
            await self._records.commit(changes)
        if fault is not None:
            self._disk.has_failed = True
            self._records.fail(_TOLD[fault])
        if fault is not DiskFault.UNACKNOWLEDGED:
            await self._records.commit(changes)
            return
        raise StoreFailed(_TOLD[fault])

    async def lines(self, query: LineQuery) -> Sequence[UsageLine]:
        return await self._records.lines(query)

    async def keep(self) -> None:
        """Waits until the disk is taken away, which is known without any commit."""
        await self._is_taken.wait()
        raise StoreFailed("the disk is gone")

    def take_away(self) -> None:
        """The disk is gone from under the process, though nothing was being written."""
        self._disk.has_failed = True
        self._records.fail("the disk is gone")
        self._is_taken.set()

    async def close(self) -> None:
        await self._records.close()

    def reopen(self) -> DiskStore:
        """The records as a restarted process finds them; this object refuses from now on."""
        return DiskStore(self._records.reopen(), self._disk)

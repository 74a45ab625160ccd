"""The operator's records in memory, and the journal that makes their changes durable.

Use cases change records with ``put`` and ``delete``, at once and without waiting, then await ``commit`` before they
answer or act. Commits that wait at the same time share one transaction (group commit), in the order of the changes,
so whoever's commit returned may rely on everything that was put before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TypeVar, cast

from hansa_control.application.ports import (
    READ_ONE_BY_ONE,
    RECORD_TYPES,
    Change,
    Counter,
    Delete,
    Put,
    Record,
    Relay,
    Store,
    StoredAdvert,
    StoredDecision,
    StoredGrant,
    StoredOffer,
    StoredRequest,
    StoreFailed,
    Table,
)
from hansa_control.application.signals import Signal
from hansa_control.application.usage_ports import Enter, LineQuery, Strike
from hansa_control.domain.model import Claim, Event, Federation, Workload
from hansa_control.domain.reputation import Reputation
from hansa_control.domain.two_books import Asked
from hansa_control.domain.upkeep import UpkeepAsked
from hansa_control.domain.usage import UsageLine

R = TypeVar("R")

RECENT_MAX = 32
"""Records of a table that is read one by one that stay in memory: they are asked for when they were just made, and one
that explains a thousand zones takes a megabyte."""


class State:
    """Every record by table and key. The mappings are to be read only; change them through put and delete."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables: dict[Table, MutableMapping[str, Record]] = {table: {} for table in Table}
        self._pending: list[Change] = []
        self._put_count = 0
        self._durable_count = 0
        self._flush: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self.failure: StoreFailed | None = None
        self.failed = Signal()
        self._watchers: dict[Table, Callable[[str], None]] = {}

    def watch(self, table: Table, look: Callable[[str], None]) -> None:
        """Has the keys of a table's records told as they are put or deleted; one watcher a table."""
        self._watchers[table] = look

    async def load(self) -> None:
        for table, records in (await self._store.load()).items():
            self._tables[table] = dict(sorted(records.items()))
        # Requests and grants are in the order in which they were answered: the oldest is forgotten first.
        by_age = sorted(self.requests.items(), key=lambda held: (held[1].at_ms, held[0]))
        self._tables[Table.REQUEST] = dict(by_age)
        kept = sorted(self.grants.items(), key=lambda held: (held[1].verified_at_ms, held[0]))
        self._tables[Table.GRANT] = dict(kept)

    # Typed views of the tables.

    @property
    def adverts(self) -> Mapping[str, StoredAdvert]:
        return self._typed(Table.ADVERT, StoredAdvert)

    @property
    def offers(self) -> Mapping[str, StoredOffer]:
        return self._typed(Table.OFFER, StoredOffer)

    @property
    def claims(self) -> Mapping[str, Claim]:
        return self._typed(Table.CLAIM, Claim)

    @property
    def workloads(self) -> Mapping[str, Workload]:
        return self._typed(Table.WORKLOAD, Workload)

    @property
    def recent_decisions(self) -> Mapping[str, StoredDecision]:
        """The last decisions that this process has put, the oldest first; ``decision`` finds any."""
        return self._typed(Table.DECISION, StoredDecision)

    @property
    def requests(self) -> Mapping[str, StoredRequest]:
        return self._typed(Table.REQUEST, StoredRequest)

    @property
    def federations(self) -> Mapping[str, Federation]:
        return self._typed(Table.FEDERATION, Federation)

    @property
    def events(self) -> Mapping[str, Event]:
        return self._typed(Table.EVENT, Event)

    @property
    def asked(self) -> Mapping[str, Asked]:
        return self._typed(Table.ASKED, Asked)

    @property
    def grants(self) -> Mapping[str, StoredGrant]:
        return self._typed(Table.GRANT, StoredGrant)

    @property
    def reputations(self) -> Mapping[str, Reputation]:
        return self._typed(Table.REPUTATION, Reputation)

    @property
    def upkeep(self) -> Mapping[str, UpkeepAsked]:
        return self._typed(Table.UPKEEP, UpkeepAsked)

    @property
    def relays(self) -> Mapping[str, Relay]:
        return self._typed(Table.RELAY, Relay)

    def _typed(self, table: Table, record_type: type[R]) -> Mapping[str, R]:
        return self._tables[table]  # type: ignore[return-value]

    # Changes.

    def put(self, table: Table, key: str, record: Record) -> None:
        if not isinstance(record, RECORD_TYPES[table]):
            raise TypeError(f"{type(record).__name__} does not belong into {table}")
        held = self._tables[table]
        if table in READ_ONE_BY_ONE:
            held.pop(key, None)
            if len(held) >= RECENT_MAX:
                del held[next(iter(held))]
        held[key] = record
        self._pending.append(Put(table, key, record))
        self._put_count += 1
        if table in self._watchers:
            self._watchers[table](key)

    def hold(self, table: Table, key: str, record: Record) -> None:
        """Replaces a record in memory alone; a restart finds the one that was put last."""
        self._tables[table][key] = record

    def delete(self, table: Table, key: str) -> None:
        if self._tables[table].pop(key, None) is not None or table in READ_ONE_BY_ONE:
            self._pending.append(Delete(table, key))
            self._put_count += 1
            if table in self._watchers:
                self._watchers[table](key)

    def write(self, change: Enter | Strike) -> None:
        """Changes the book of usage, which is not held in memory, together with what is put before the next commit."""
        self._pending.append(change)
        self._put_count += 1

    async def decision(self, workload: str) -> StoredDecision | None:
        """What is kept of why a workload is where it is; None if it was never decided. StoreFailed.

        Decisions are not held in memory but for the last ones; others wait for the store.
        """
        held = self.recent_decisions.get(workload)
        if held is not None:
            return held
        # What was put may have been pushed out of memory before it was written.
        await self.commit()
        return cast(StoredDecision | None, await self._store.read(Table.DECISION, workload))

    async def lines(self, query: LineQuery) -> Sequence[UsageLine]:
        """Durable lines of the book. StoreFailed."""
        return await self._store.lines(query)

    def next_count(self, name: str) -> int:
        """The next number of a counter that never repeats, not even after a crash."""
        value = self.count(name) + 1
        self.put(Table.COUNTER, name, Counter(value))
        return value

    def count(self, name: str) -> int:
        """Where a counter stands; 0 if it never counted."""
        held = self._typed(Table.COUNTER, Counter).get(name)
        return held.value if held else 0

    def counts(self, prefix: str) -> list[tuple[str, int]]:
        """The counters whose names begin so, and where they stand."""
        held = self._typed(Table.COUNTER, Counter)
        return [(name, counter.value) for name, counter in held.items() if name.startswith(prefix)]

    @property
    def put_count(self) -> int:
        """How many changes there were so far; a mark for ``is_durable``."""
        return self._put_count

    def is_durable(self, put_count: int) -> bool:
        """Whether the first ``put_count`` changes would survive a crash."""
        return put_count <= self._durable_count

    async def commit(self) -> None:
        """Returns when everything that was put so far is durable; StoreFailed if it cannot be.

        A caller that is cancelled meanwhile cancels only its own waiting, never the transaction.
        """
        wanted = self._put_count
        while self._durable_count < wanted:
            if self._flush is None:
                self._flush = asyncio.create_task(self._flush_pending())
            # A future each, which costs half of shielding the task from whoever is cancelled.
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
            if self.failure is not None and self._durable_count < wanted:
                raise self.failure

    async def _flush_pending(self) -> None:
        changes, self._pending = self._pending, []
        upto = self._put_count
        try:
            if self.failure is None:
                await self._store.commit(changes)
                self._durable_count = upto
        except StoreFailed as failure:
            self._fail(failure)
        except Exception as error:
            # These changes are not kept, whatever went wrong, and no later commit may pretend that they are.
            broken = StoreFailed(f"commit failed: {error!r}")
            broken.__cause__ = error
            self._fail(broken)
        finally:
            self._flush = None
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    def _fail(self, failure: StoreFailed) -> None:
        self.failure = failure
        self.failed.notify()

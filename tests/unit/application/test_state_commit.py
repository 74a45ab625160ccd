"""Group commit seen from the store: which changes travel together, in which order, and what a crash leaves of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import (
    RECORD_TYPES,
    Change,
    Counter,
    Delete,
    Put,
    Record,
    StoredRequest,
    StoreFailed,
    Table,
)
from hansa_control.application.state import State
from hansa_control.domain.model import Federation, FederationState


class HandStore:
    """Writes down each transaction and ends it when the test says so: ``answers`` holds one per transaction."""

    def __init__(self) -> None:
        self.transactions: list[list[Change]] = []
        self.answers: asyncio.Queue[StoreFailed | None] = asyncio.Queue()
        self.open = 0
        self.open_max = 0
        self.records: dict[Table, dict[str, Record]] = {}

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        return self.records

    async def commit(self, changes: Sequence[Change]) -> None:
        self.transactions.append(list(changes))
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        failure = await self.answers.get()
        self.open -= 1
        if failure is not None:
            raise failure

    async def close(self) -> None:
        pass

    async def end_transaction(self, failure: StoreFailed | None = None) -> None:
        """Ends the transaction that is open, and lets everybody who waited for it run."""
        self.answers.put_nowait(failure)
        await everybody_runs()


async def everybody_runs() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def put(state: State, number: int) -> None:
    state.put(Table.COUNTER, f"n{number}", Counter(number))


def values(changes: Sequence[Change]) -> list[object]:
    return [change.record for change in changes if isinstance(change, Put)]


async def started_commit(state: State) -> asyncio.Task[None]:
    task = asyncio.create_task(state.commit())
    await everybody_runs()
    return task


# --- what travels together ------------------------------------------------------------------------------------------


async def test_what_was_put_without_a_commit_reaches_no_store() -> None:
    store = HandStore()
    put(State(store), 1)
    await everybody_runs()
    assert store.transactions == []


async def test_a_change_is_seen_in_memory_before_it_is_durable() -> None:
    state = State(HandStore())
    state.put(Table.REQUEST, "team|r1", StoredRequest("d1", "w1", 1))
    assert state.requests["team|r1"].workload == "w1"
    assert not state.is_durable(state.put_count)


async def test_changes_keep_their_order_within_and_across_transactions() -> None:
    store = HandStore()
    state = State(store)
    for number in (3, 1, 2):
        put(state, number)
    first = await started_commit(state)
    put(state, 9)
    state.delete(Table.COUNTER, "n3")
    put(state, 8)
    second = await started_commit(state)
    await store.end_transaction()
    await store.end_transaction()
    await asyncio.gather(first, second)
    assert values(store.transactions[0]) == [Counter(3), Counter(1), Counter(2)]
    assert store.transactions[1] == [
        Put(Table.COUNTER, "n9", Counter(9)),
        Delete(Table.COUNTER, "n3"),
        Put(Table.COUNTER, "n8", Counter(8)),
    ]


async def test_every_value_of_a_record_that_changes_twice_is_passed_on() -> None:
    store = HandStore()
    state = State(store)
    assert [state.next_count("fence") for _ in range(3)] == [1, 2, 3]
    waiting = await started_commit(state)
    await store.end_transaction()
    await waiting
    assert values(store.transactions[0]) == [Counter(1), Counter(2), Counter(3)]


async def test_a_put_and_delete_of_the_same_key_in_one_transaction_leave_nothing() -> None:
    store = MemoryStore()
    state = State(store)
    put(state, 1)
    state.delete(Table.COUNTER, "n1")
    await state.commit()
    assert (await store.load())[Table.COUNTER] == {}


async def test_there_is_never_more_than_one_transaction_open() -> None:
    store = HandStore()
    state = State(store)
    waiting = []
    for number in range(6):
        put(state, number)
        waiting.append(await started_commit(state))
    for _ in range(2):
        await store.end_transaction()
    await asyncio.gather(*waiting)
    assert store.open_max == 1
    assert [len(changes) for changes in store.transactions] == [1, 5]


async def test_a_commit_returns_after_its_own_transaction_and_not_after_later_ones() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    early = await started_commit(state)
    put(state, 2)
    late = await started_commit(state)
    await store.end_transaction()
    assert (early.done(), late.done()) == (True, False)
    await store.end_transaction()
    assert late.done()


async def test_a_change_during_a_transaction_is_not_taken_for_durable_with_it() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    waiting = await started_commit(state)
    before = state.put_count
    put(state, 2)
    await store.end_transaction()
    await waiting
    assert state.is_durable(before)
    assert not state.is_durable(state.put_count)


async def test_a_commit_of_what_is_durable_already_does_not_wait() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    waiting = await started_commit(state)
    await store.end_transaction()
    await waiting
    await asyncio.wait_for(state.commit(), timeout=5)
    assert len(store.transactions) == 1


# --- cancelled waiters ----------------------------------------------------------------------------------------------


async def test_a_transaction_that_nobody_waits_for_any_more_is_durable_all_the_same() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    only = await started_commit(state)
    only.cancel()
    await store.end_transaction()
    assert only.cancelled()
    assert state.is_durable(state.put_count)


async def test_what_a_cancelled_waiter_left_behind_travels_with_the_next_commit() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    first = await started_commit(state)
    put(state, 2)
    cancelled = await started_commit(state)
    cancelled.cancel()
    await store.end_transaction()
    await first
    put(state, 3)
    last = await started_commit(state)
    await store.end_transaction()
    await last
    assert values(store.transactions[1]) == [Counter(2), Counter(3)]
    assert state.is_durable(state.put_count)


# --- failed stores --------------------------------------------------------------------------------------------------


async def test_a_waiter_whose_changes_were_in_no_transaction_yet_fails_with_the_one_before() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    first = await started_commit(state)
    put(state, 2)
    second = await started_commit(state)
    await store.end_transaction(StoreFailed("disk full"))
    for waiter in (first, second):
        with pytest.raises(StoreFailed, match="disk full"):
            await waiter
    assert not state.is_durable(1)


async def test_after_a_failure_nothing_is_given_to_the_store_any_more() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    first = await started_commit(state)
    await store.end_transaction(StoreFailed("disk full"))
    put(state, 2)
    second = await started_commit(state)
    await asyncio.gather(first, second, return_exceptions=True)
    assert len(store.transactions) == 1
    assert state.failure is not None
    assert isinstance(second.exception(), StoreFailed)


async def test_who_waits_for_a_failure_is_woken_by_it() -> None:
    store = HandStore()
    state = State(store)
    watcher = asyncio.create_task(state.failed.wait(0))
    put(state, 1)
    committing = await started_commit(state)
    assert not watcher.done()
    await store.end_transaction(StoreFailed("disk full"))
    assert watcher.done()
    with pytest.raises(StoreFailed):
        await committing


async def test_what_was_durable_before_a_failure_stays_so_and_may_be_committed_again() -> None:
    store = HandStore()
    state = State(store)
    put(state, 1)
    first = await started_commit(state)
    await store.end_transaction()
    await first
    await state.commit()
    put(state, 2)
    second = await started_commit(state)
    await store.end_transaction(StoreFailed("disk full"))
    assert state.is_durable(1)
    assert isinstance(second.exception(), StoreFailed)


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_a_restart_finds_what_was_committed_and_nothing_else() -> None:
    store = MemoryStore()
    state = State(store)
    state.put(Table.REQUEST, "kept", StoredRequest("d1", "w1", 1))
    await state.commit()
    state.put(Table.REQUEST, "lost", StoredRequest("d2", "w2", 2))
    again = State(store.reopen())
    await again.load()
    assert list(again.requests) == ["kept"]
    assert again.put_count == 0


async def test_records_are_in_the_order_of_their_keys_after_loading_however_the_store_has_them() -> None:
    store = HandStore()
    federation = Federation("nordavind", "skargard", "context-1", FederationState.ACTIVE, 6_000)
    store.records = {Table.FEDERATION: dict.fromkeys(("b", "c", "a"), federation)}
    state = State(store)
    await state.load()
    assert list(state.federations) == ["a", "b", "c"]


async def test_a_change_after_loading_does_not_change_what_the_store_answered() -> None:
    store = HandStore()
    store.records = {Table.REQUEST: {"a": StoredRequest("d", "w", 1)}}
    state = State(store)
    await state.load()
    state.delete(Table.REQUEST, "a")
    assert list(store.records[Table.REQUEST]) == ["a"]


async def test_no_number_of_a_counter_is_given_twice_however_often_the_process_dies_after_a_commit() -> None:
    store, seen = MemoryStore(), list[int]()
    for _ in range(4):
        state = State(store)
        await state.load()
        seen += [state.next_count("fence|oslo-1"), state.next_count("fence|oslo-1")]
        await state.commit()
        store = store.reopen()
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_the_dead_process_can_commit_nothing_once_another_has_the_store() -> None:
    store = MemoryStore()
    state = State(store)
    await state.commit()
    store.reopen()
    put(state, 1)
    with pytest.raises(StoreFailed, match="another process"):
        await state.commit()


# --- types ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [table for table in Table if table is not Table.COUNTER])
async def test_no_table_but_that_of_counters_takes_a_counter(table: Table) -> None:
    state = State(MemoryStore())
    with pytest.raises(TypeError, match=f"Counter does not belong into {table}"):
        state.put(table, "key", Counter(1))
    assert state.put_count == 0
    await state.commit()


def test_every_table_has_a_type_of_its_own() -> None:
    assert set(RECORD_TYPES) == set(Table)
    assert len(set(RECORD_TYPES.values())) == len(Table)

"""Changes in memory, and what it takes until they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import Change, Counter, Record, StoreFailed, Table
from hansa_control.application.state import State


class SlowStore:
    """A store whose commits wait for the test, and fail as the test says."""

    def __init__(self) -> None:
        self.commits: list[Sequence[Change]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        return {}

    async def commit(self, changes: Sequence[Change]) -> None:
        self.commits.append(list(changes))
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        pass


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_commits_that_wait_together_share_one_transaction() -> None:
    store = SlowStore()
    state = State(store)
    state.put(Table.COUNTER, "a", Counter(1))
    first = asyncio.create_task(state.commit())
    await settled()
    waiting = []
    for number in range(5):
        state.put(Table.COUNTER, f"b{number}", Counter(number))
        waiting.append(asyncio.create_task(state.commit()))
    await settled()
    store.gate.set()
    await asyncio.gather(first, *waiting)
    assert [len(changes) for changes in store.commits] == [1, 5]


async def test_a_commit_returns_only_when_everything_put_before_it_is_durable() -> None:
    store = SlowStore()
    state = State(store)
    state.put(Table.COUNTER, "a", Counter(1))
    mark = state.put_count
    waiting = asyncio.create_task(state.commit())
    await settled()
    assert not waiting.done()
    assert not state.is_durable(mark)
    store.gate.set()
    await waiting
    assert state.is_durable(mark)


async def test_a_commit_with_nothing_to_keep_does_not_wake_the_store() -> None:
    store = SlowStore()
    await State(store).commit()
    assert store.commits == []


async def test_a_cancelled_waiter_cancels_its_own_waiting_and_not_the_transaction() -> None:
    store = SlowStore()
    state = State(store)
    state.put(Table.COUNTER, "a", Counter(1))
    cancelled, other = asyncio.create_task(state.commit()), asyncio.create_task(state.commit())
    await settled()
    cancelled.cancel()
    await settled()
    assert cancelled.cancelled()
    store.gate.set()
    await other
    assert state.is_durable(state.put_count)
    assert len(store.commits) == 1


@pytest.mark.parametrize("error", [StoreFailed("disk full"), TypeError("cannot be written")])
async def test_a_failed_store_fails_every_waiter_and_every_later_commit(error: Exception) -> None:
    store = SlowStore()
    store.error = error
    store.gate.set()
    state = State(store)
    state.put(Table.COUNTER, "a", Counter(1))
    waiting = [asyncio.create_task(state.commit()) for _ in range(3)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, StoreFailed) for answer in answers)
    store.error = None
    state.put(Table.COUNTER, "b", Counter(2))
    with pytest.raises(StoreFailed):
        await state.commit()
    assert not state.is_durable(1)
    assert state.failed.version >= 1


async def test_a_record_of_another_type_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="does not belong"):
        State(MemoryStore()).put(Table.CLAIM, "a", Counter(1))


async def test_deleting_what_is_not_there_writes_nothing() -> None:
    state = State(MemoryStore())
    state.delete(Table.COUNTER, "nothing")
    assert state.put_count == 0


async def test_a_counter_goes_on_where_it_was_after_a_restart() -> None:
    store = MemoryStore()
    state = State(store)
    await state.load()
    assert [state.next_count("fence|oslo"), state.next_count("fence|oslo")] == [1, 2]
    await state.commit()
    again = State(store.reopen())
    await again.load()
    assert again.next_count("fence|oslo") == 3
    assert again.next_count("fence|bergen") == 1

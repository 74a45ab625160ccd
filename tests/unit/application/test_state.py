"""Changes in memory, and what it takes until they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import Change, Counter, Record, StoredDecision, StoreFailed, Table
from hansa_control.application.state import RECENT_MAX, State
from hansa_control.domain.model import Decision


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


def decided(generation: int) -> StoredDecision:
    return StoredDecision(Decision((), (), 1, generation), generation)


async def test_a_decision_is_found_in_memory_or_in_the_store_and_none_that_was_deleted() -> None:
    store = MemoryStore()
    state = State(store)
    await state.load()
    count = RECENT_MAX + 5
    for number in range(count):
        state.put(Table.DECISION, f"w{number}", decided(number))
    assert list(state.recent_decisions) == [f"w{number}" for number in range(5, count)]
    # Nobody has committed yet: what was pushed out is found nevertheless.
    assert [await state.decision(f"w{number}") for number in range(count)] == [decided(at) for at in range(count)]
    state.delete(Table.DECISION, "w0")
    state.delete(Table.DECISION, "w9")
    assert [await state.decision(name) for name in ("w0", "w9", "other")] == [None] * 3
    again = State(store.reopen())
    await again.load()
    assert [await again.decision(name) for name in ("w0", "w1", "w9")] == [None, decided(1), None]
    assert again.recent_decisions == {}


async def test_a_decision_that_is_put_again_is_the_last_to_be_pushed_out() -> None:
    state = State(MemoryStore())
    for number in range(RECENT_MAX):
        state.put(Table.DECISION, f"w{number}", decided(number))
    state.put(Table.DECISION, "w0", decided(1_000))
    state.put(Table.DECISION, "new", decided(1_001))
    assert list(state.recent_decisions)[-2:] == ["w0", "new"]
    assert len(state.recent_decisions) == RECENT_MAX
    assert await state.decision("w0") == decided(1_000)


async def test_a_decision_cannot_be_told_from_none_while_the_store_has_failed() -> None:
    store = MemoryStore()
    state = State(store)
    store.fail("the disk is gone")
    with pytest.raises(StoreFailed, match="the disk is gone"):
        await state.decision("w0")


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

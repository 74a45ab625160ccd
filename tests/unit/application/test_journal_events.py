"""Events of workloads: their order, how many are kept, who is woken, and what a look may not overwrite."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.journal import Journal
from hansa_control.application.ports import StoredDecision, Table
from hansa_control.application.state import State
from hansa_control.domain.model import Decision, Event, EventLevel, Workload, WorkloadId, WorkloadState
from home_operator import HandClock
from own_zones import need

YARD, QUAY = WorkloadId("harbour", "yard-ocr"), WorkloadId("harbour", "quay-ocr")
KEPT_MAX = 5


@dataclass
class Written:
    """A journal on a clock that the test moves, and the store below it."""

    journal: Journal
    state: State
    clock: HandClock
    store: MemoryStore

    def sequences(self, workload: WorkloadId = YARD, after: int = 0) -> list[int]:
        return [event.sequence for event in self.journal.events(str(workload), after)]


async def written(store: MemoryStore | None = None, kept_max: int = KEPT_MAX) -> Written:
    store, clock = store or MemoryStore(), HandClock()
    state = State(store)
    await state.load()
    return Written(Journal(state, clock, kept_max), state, clock, store)


def workload(of: WorkloadId = YARD, **changes: object) -> Workload:
    plain = Workload(of, "uid", need(), 1, 1, WorkloadState.PENDING, (), (), 0, "app")
    return replace(plain, **changes)  # type: ignore[arg-type]


# --- events ---------------------------------------------------------------------------------------------------------


async def test_an_event_says_when_to_whom_what_and_how_grave() -> None:
    at = await written()
    at.journal.normal(YARD, "Placed", "oslo granted")
    at.clock.now_ms += 7
    at.journal.warning(YARD, "ZoneLost", "oslo is lost")
    now_ms = at.clock.wall_ms()
    assert at.journal.events(str(YARD), 0) == (
        Event(1, now_ms - 7, str(YARD), "Placed", "oslo granted", EventLevel.NORMAL),
        Event(2, now_ms, str(YARD), "ZoneLost", "oslo is lost", EventLevel.WARNING),
    )


async def test_events_of_all_workloads_are_numbered_together_and_each_sees_its_own() -> None:
    at = await written()
    for number, of in enumerate((YARD, QUAY, YARD, QUAY)):
        at.journal.normal(of, "Looked", f"{number}")
    assert at.sequences(YARD) == [1, 3]
    assert at.sequences(QUAY) == [2, 4]
    assert at.sequences(WorkloadId("harbour", "yard")) == []


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3]), (1, [2, 3]), (3, []), (99, [])])
async def test_only_events_after_the_one_seen_last_are_told(after: int, expected: list[int]) -> None:
    at = await written()
    for _ in range(3):
        at.journal.normal(YARD, "Looked", "")
    assert at.sequences(after=after) == expected


async def test_the_oldest_events_go_when_there_are_too_many() -> None:
    at = await written()
    for _ in range(KEPT_MAX):
        at.journal.normal(YARD, "Looked", "")
    assert at.sequences() == [1, 2, 3, 4, 5]
    at.journal.normal(QUAY, "Looked", "")
    assert (at.sequences(YARD), at.sequences(QUAY)) == ([2, 3, 4, 5], [6])


async def test_events_that_went_are_gone_from_the_store_too() -> None:
    at = await written()
    for _ in range(KEPT_MAX + 7):
        at.journal.normal(YARD, "Looked", "")
    await at.state.commit()
    assert len((await at.store.load())[Table.EVENT]) == KEPT_MAX


async def test_events_keep_their_order_and_numbers_go_on_after_a_restart() -> None:
    at = await written(kept_max=20)
    for _ in range(11):
        at.journal.normal(YARD, "Looked", "")
    await at.state.commit()
    again = await written(at.store.reopen(), kept_max=20)
    again.journal.normal(YARD, "Looked", "")
    assert again.sequences() == list(range(1, 13))


# --- who is woken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda journal, of: journal.put(workload(of)),
        lambda journal, of: journal.record(workload(of)),
        lambda journal, of: journal.normal(of, "Looked", ""),
        lambda journal, of: journal.warning(of, "Looked", ""),
        lambda journal, of: journal.forget(of),
    ],
    ids=["put", "record", "normal", "warning", "forget"],
)
async def test_whoever_watches_a_workload_is_woken_by_what_happens_to_it_and_to_no_other(act: object) -> None:
    at = await written()
    yard, quay = at.journal.signal(str(YARD)), at.journal.signal(str(QUAY))
    waiting = [asyncio.create_task(signal.wait(0)) for signal in (yard, quay)]
    await asyncio.sleep(0)
    assert callable(act)
    act(at.journal, YARD)
    assert await asyncio.wait_for(waiting[0], timeout=5) == 1
    assert (quay.version, waiting[1].done()) == (0, False)
    waiting[1].cancel()


async def test_all_who_watch_a_workload_share_its_signal_until_it_is_forgotten() -> None:
    at = await written()
    before = at.journal.signal(str(YARD))
    assert at.journal.signal(str(YARD)) is before
    at.journal.forget(YARD)
    assert at.journal.signal(str(YARD)) is not before
    assert before.version == 1


async def test_who_looked_before_a_change_does_not_wait_for_the_next_one() -> None:
    at = await written()
    signal = at.journal.signal(str(YARD))
    seen = signal.version
    at.journal.put(workload())
    at.journal.normal(YARD, "Looked", "")
    assert await asyncio.wait_for(signal.wait(seen), timeout=5) == 2


async def test_a_watcher_that_goes_away_is_not_woken_and_disturbs_nobody() -> None:
    at = await written()
    signal = at.journal.signal(str(YARD))
    gone, stays = (asyncio.create_task(signal.wait(0)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    at.journal.put(workload())
    assert await asyncio.wait_for(stays, timeout=5) == 1
    assert gone.cancelled()


# --- records --------------------------------------------------------------------------------------------------------


async def test_what_a_look_found_is_the_next_revision_of_what_is_kept() -> None:
    at = await written()
    at.journal.put(workload(revision=4))
    kept = at.journal.record(workload(revision=2, state=WorkloadState.RUNNING, attempt=3))
    assert (kept.revision, kept.state, kept.attempt) == (5, WorkloadState.RUNNING, 3)
    assert at.state.workloads[str(YARD)] is kept


async def test_a_look_never_overwrites_a_spec_that_was_asked_for_meanwhile() -> None:
    at = await written()
    looked_at = workload()
    at.journal.put(workload(spec=need(cpu_millis=7), generation=2, revision=2))
    kept = at.journal.record(replace(looked_at, state=WorkloadState.STARTING))
    assert (kept.spec.cpu_millis, kept.generation, kept.revision) == (7, 2, 3)
    assert kept.state is WorkloadState.STARTING


@pytest.mark.parametrize("found", [state for state in WorkloadState if state is not WorkloadState.DELETING])
async def test_a_look_never_takes_back_that_a_workload_is_to_be_deleted(found: WorkloadState) -> None:
    at = await written()
    at.journal.put(workload(state=WorkloadState.DELETING))
    assert at.journal.record(workload(state=found)).state is WorkloadState.DELETING


async def test_a_forgotten_workload_leaves_no_record_and_no_decision_but_its_events() -> None:
    at = await written()
    at.journal.put(workload())
    at.journal.put(workload(QUAY))
    at.state.put(Table.DECISION, str(YARD), StoredDecision(Decision((), (), 0, 1), 0))
    at.journal.normal(YARD, "Deleted", "")
    at.journal.forget(YARD)
    assert list(at.state.workloads) == [str(QUAY)]
    assert at.state.recent_decisions == {}
    assert at.sequences() == [1]

"""The store of telemetry under several threads."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hansa_control.adapters.telemetry_store import SpoolPart, TelemetryLine, TelemetryStore

SOON_S = 10.0
COUNT = 2_500


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    """A store with records of one zone, all received at 1,000 ms."""
    made = TelemetryStore(tmp_path / "telemetry.db")
    lines = [TelemetryLine(number, number, "probe", b"x") for number in range(1, COUNT + 1)]
    made.take([SpoolPart("oslo-1", "spool", COUNT, 0, lines)], 1_000)
    return made


def test_closing_waits_for_the_call_under_way(store: TelemetryStore) -> None:
    began, go_on = threading.Event(), threading.Event()
    forgotten: list[int] = []

    def within_a_statement() -> int:
        began.set()
        go_on.wait(SOON_S)
        return 0

    store._connection.set_progress_handler(within_a_statement, 1)
    worker = threading.Thread(target=lambda: forgotten.append(store.forget_before(2_000)))
    worker.start()
    assert began.wait(SOON_S)
    closer = threading.Thread(target=store.close)
    closer.start()
    closer.join(0.1)
    waited = closer.is_alive()
    go_on.set()
    worker.join(SOON_S)
    closer.join(SOON_S)
    assert (waited, forgotten) == (True, [COUNT])
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store.lost_count("oslo-1")


def test_two_threads_take_and_forget_side_by_side(store: TelemetryStore) -> None:
    failures: list[Exception] = []

    def forget() -> None:
        try:
            for _ in range(50):
                store.forget_before(0)
        except sqlite3.Error as error:
            failures.append(error)

    worker = threading.Thread(target=forget)
    worker.start()
    for number in range(COUNT + 1, COUNT + 51):
        store.take([SpoolPart("oslo-1", "spool", number, 0, [TelemetryLine(number, number, "probe", b"x")])], 1_000)
    worker.join(SOON_S)
    assert failures == []
    assert [line.sequence for _, line in store.lines("oslo-1")] == list(range(1, COUNT + 51))


def test_reading_goes_on_between_what_others_write(store: TelemetryStore) -> None:
    reading = store.lines("oslo-1", since_ms=2)
    first = next(reading)
    store.take([SpoolPart("oslo-1", "later", 1, 0, [TelemetryLine(1, 0, "probe", b"y")])], 1_500)
    assert first[1].sequence == 2 and len(list(reading)) == COUNT - 2
    reading = store.lines("oslo-1")
    next(reading)
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        list(reading)

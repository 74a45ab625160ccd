"""What the agent writes down, and reads again."""

from __future__ import annotations

import os
from pathlib import Path

from agent_orders import order
from hansa_agent.instance_store import RETIRED_LOGS_MAX, InstanceRecord, InstanceStore, ProcessMark, write_atomically
from hansa_agent.processes import lives, mark_of

RECORD = InstanceRecord(
    "c1-0", order().SerializeToString(), port=20_001, restarts=2, started_at_ms=5, process=ProcessMark(7, 8, "boot")
)


def test_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    InstanceStore(tmp_path).put(RECORD)
    read = InstanceStore(tmp_path).records["c1-0"]
    assert read == RECORD and read.parsed_order() == order()


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path)
    store.put(RECORD)
    assert store.folder("c1-0").stat().st_mode & 0o077 == 0
    assert (store.folder("c1-0") / "instance.json").stat().st_mode & 0o077 == 0


def test_damaged_record_is_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path)
    store.put(RECORD)
    for name in ("c2-0", "c3-0", "c4-0"):
        store.put(InstanceRecord(name))
    (store.folder("c2-0") / "instance.json").write_text("{")
    (store.folder("c3-0") / "instance.json").write_text('{"format": 99}')
    path = store.folder("c4-0") / "instance.json"
    path.write_text(path.read_text().replace('"order": ""', '"order": "!!"'))
    again = InstanceStore(tmp_path)
    assert set(again.records) == {"c1-0"} and again.strays() == ("c2-0", "c3-0", "c4-0")
    assert len(list((tmp_path / "logs").glob("*.unreadable"))) == 3


def test_half_written_record_does_not_replace_the_former_one(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path)
    store.put(RECORD)
    (store.folder("c1-0") / "instance.json.new").write_text('{"half')
    assert InstanceStore(tmp_path).records["c1-0"] == RECORD


def test_atomic_write_leaves_no_rest(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"one")
    write_atomically(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"two" and os.listdir(tmp_path) == ["x"]


def test_removed_instance_leaves_its_log_among_the_last_ones(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path)
    for number in range(RETIRED_LOGS_MAX + 3):
        name = f"c{number}-0"
        store.put(InstanceRecord(name))
        log = store.folder(name) / "log"
        log.write_text(name)
        os.utime(log, (number, number))
        store.remove(name)
    kept = sorted(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert kept == sorted(f"c{number}-0" for number in range(3, RETIRED_LOGS_MAX + 3))
    assert list((tmp_path / "instances").iterdir()) == [] and store.records == {}


def test_mark_of_the_own_process_lives_and_one_with_another_start_does_not(tmp_path: Path) -> None:
    mark = mark_of(os.getpid())
    assert lives(mark)
    assert not lives(ProcessMark(mark.pid, mark.start_ticks + 1, mark.boot_id))
    assert not lives(ProcessMark(mark.pid, mark.start_ticks, "another boot"))
    assert not lives(ProcessMark()) and mark_of(2**22 + 1) == ProcessMark()


def test_unusable_marks_are_empty(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path)
    store.put(RECORD)
    assert store.written_mark("c1-0") == ProcessMark()
    (store.folder("c1-0") / "process").write_text("12 x y")
    assert store.written_mark("c1-0") == ProcessMark()
    (store.folder("c1-0") / "process").write_text("12 34 boot\n")
    assert store.written_mark("c1-0") == ProcessMark(12, 34, "boot")

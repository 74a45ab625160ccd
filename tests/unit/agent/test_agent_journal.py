"""The journal of orders: what it could not write is known, and a start that is not written down is not begun."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hansa_agent import instance_store
from hansa_agent.instance_store import InstanceRecord, InstanceStore, write_atomically
from hansa_agent.journal import Journal, is_no_room
from hansa_agent.ports import StartRefused


class FullDisk:
    """Lets nothing be synced while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        real = instance_store.os.fsync

        def sync(file: int) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(file)

        monkeypatch.setattr(instance_store.os, "fsync", sync)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def test_what_could_not_be_written_is_named_and_what_was_written_before_stays(tmp_path: Path, disk: FullDisk) -> None:
    disk.is_full = False
    store = InstanceStore(tmp_path)
    journal = Journal(store)
    assert journal.write([InstanceRecord("a")]) == frozenset()
    disk.is_full = True
    assert journal.write([InstanceRecord("a"), InstanceRecord("a", restarts=1), InstanceRecord("b")]) == {"a", "b"}
    assert journal.trouble == "orders cannot be written down: No space left on device"
    assert dict(store.records) == {"a": InstanceRecord("a")} == dict(InstanceStore(tmp_path).records)
    assert not journal.has_recovered() and journal.trouble
    disk.is_full = False
    assert journal.has_recovered() and not journal.trouble
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["instance.json"]


def test_a_part_of_a_file_does_not_keep_taking_room(tmp_path: Path, disk: FullDisk) -> None:
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []


def test_want_of_room_is_told_from_other_errors_also_where_it_is_a_cause() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    refused = StartRefused("not started", permanent=False)
    refused.__cause__ = full
    assert is_no_room(full) and is_no_room(refused)
    assert not is_no_room(OSError(errno.EMFILE, "Too many open files"))
    assert not is_no_room(StartRefused("no", permanent=True)) and not is_no_room(None)

"""The spool: bounded, counted, whole again after a crash in the middle of a write, never a number twice."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hansa_agent import spool as spool_module
from hansa_agent.spool import STATE_FILE, WAITING_MAX, Spool
from hansa_agent.spool_segment import RECORD_BYTES_MAX, packed, records_of

MIB = 1 << 20


def opened(folder: Path, name: str = "boot-1", bytes_max: int = MIB) -> Spool:
    return Spool(folder / "telemetry", name, bytes_max)


def filled(spool: Spool, *payloads: bytes) -> Spool:
    for payload in payloads:
        spool.append(payload)
    spool.flush()
    return spool


def all_pending(spool: Spool, count_max: int = 7) -> list[tuple[str, int, bytes]]:
    """Everything, as an operator would take it: batch by batch, each acknowledged."""
    taken = []
    while (pending := spool.pending(count_max, MIB)) is not None:
        taken += [(pending.name, record.sequence, record.payload) for record in pending.records]
        assert spool.acknowledge(pending.name, pending.records[-1].sequence)
    return taken


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "telemetry").glob("*.seg"))


def test_records_come_out_in_order_once_they_are_on_disk(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(b"a")
    assert spool.pending(10, MIB) is None
    filled(spool, b"b", b"c")
    assert all_pending(spool) == [("boot-1", 1, b"a"), ("boot-1", 2, b"b"), ("boot-1", 3, b"c")]


def test_what_is_not_acknowledged_is_handed_out_again(tmp_path: Path) -> None:
    spool = filled(opened(tmp_path), b"a", b"b", b"c")
    first = spool.pending(2, MIB)
    assert first is not None and [record.payload for record in first.records] == [b"a", b"b"]
    assert spool.pending(2, MIB) == first
    assert spool.acknowledge("boot-1", 1)
    again = spool.pending(2, MIB)
    assert again is not None and [record.payload for record in again.records] == [b"b", b"c"]


def test_an_acknowledgement_of_the_past_the_future_or_another_name_changes_nothing(tmp_path: Path) -> None:
    spool = filled(opened(tmp_path), b"a", b"b")
    spool.acknowledge("boot-1", 1)
    for name, sequence in (("boot-1", 1), ("boot-1", 0), ("boot-1", 3), ("boot-0", 2)):
        assert not spool.acknowledge(name, sequence)
    assert all_pending(spool) == [("boot-1", 2, b"b")]


def test_a_batch_is_bounded_in_records_and_bytes_and_has_one_record_at_least(tmp_path: Path) -> None:
    spool = filled(opened(tmp_path), b"x" * 500, b"x" * 500, b"x" * 500)
    for count_max, bytes_max, expected in ((2, MIB, 2), (9, 1_100, 2), (9, 1, 1)):
        pending = spool.pending(count_max, bytes_max)
        assert pending is not None and len(pending.records) == expected


def test_a_later_process_hands_out_the_formers_records_first_and_numbers_its_own_anew(tmp_path: Path) -> None:
    former = filled(opened(tmp_path), b"a", b"b")
    former.acknowledge("boot-1", 1)
    former.close()
    later = filled(opened(tmp_path, "boot-2"), b"c")
    assert all_pending(later) == [("boot-1", 2, b"b"), ("boot-2", 1, b"c")]
    assert all_pending(opened(tmp_path, "boot-3")) == []


def test_a_batch_never_mixes_two_names(tmp_path: Path) -> None:
    filled(opened(tmp_path), b"a").close()
    later = filled(opened(tmp_path, "boot-2"), b"b")
    pending = later.pending(10, MIB)
    assert pending is not None and (pending.name, len(pending.records)) == ("boot-1", 1)


def test_the_oldest_are_dropped_and_counted_when_there_is_no_room(tmp_path: Path) -> None:
    spool = opened(tmp_path, bytes_max=8_192)
    for index in range(300):
        filled(spool, b"%04d" % index + b"x" * 96)
    assert spool.waiting_bytes <= 8_192
    left = [int(payload[:4]) for _, _, payload in all_pending(spool)]
    assert left == list(range(300 - len(left), 300)) and len(left) > 50
    assert spool.lost_count == 300 - len(left)
    spool.close()
    assert opened(tmp_path, "boot-2").lost_count == 300 - len(left)


def test_what_was_acknowledged_is_not_counted_as_lost_when_it_goes(tmp_path: Path) -> None:
    spool = opened(tmp_path, bytes_max=8_192)
    for index in range(300):
        filled(spool, b"%04d" % index + b"x" * 96)
        spool.acknowledge("boot-1", index + 1)
    assert spool.lost_count == 0


def test_acknowledged_segments_leave_the_disk(tmp_path: Path) -> None:
    spool = opened(tmp_path, bytes_max=80_000)
    filled(spool, *(b"x" * 1_000 for _ in range(60)))
    assert len(segments(tmp_path)) > 4
    all_pending(spool)
    assert len(segments(tmp_path)) == 1


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_end_is_cut_off_and_counted(tmp_path: Path, cut: int) -> None:
    filled(opened(tmp_path), b"whole", b"t" * 30).close()
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-cut])
    spool = opened(tmp_path, "boot-2")
    assert (spool.torn_count, spool.lost_count) == (1, 1)
    assert all_pending(filled(spool, b"next")) == [("boot-1", 1, b"whole"), ("boot-2", 1, b"next")]
    spool.close()
    again = opened(tmp_path, "boot-3")
    assert (again.torn_count, again.lost_count) == (0, 1)


@pytest.mark.parametrize("at", [0, 5, 9, 20, 21])
def test_a_record_whose_bytes_were_changed_does_not_count(tmp_path: Path, at: int) -> None:
    filled(opened(tmp_path), b"first", b"second").close()
    path = segments(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[len(packed(1, b"first")) + at] ^= 0x40
    path.write_bytes(content)
    assert all_pending(opened(tmp_path, "boot-2")) == [("boot-1", 1, b"first")]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"acknowledged": 1}', b"\xff"])
def test_without_its_state_file_nothing_is_lost_and_some_is_sent_again(tmp_path: Path, content: bytes) -> None:
    spool = filled(opened(tmp_path), b"a", b"b")
    spool.acknowledge("boot-1", 1)
    spool.close()
    (tmp_path / "telemetry" / STATE_FILE).write_bytes(content)
    assert [payload for _, _, payload in all_pending(opened(tmp_path, "boot-2"))] == [b"a", b"b"]


def test_what_does_not_fit_onto_the_disk_waits_and_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = filled(opened(tmp_path), b"a")
    write = os.write

    def full(file: int, content: bytes) -> int:
        write(file, bytes(content)[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_module.os, "write", full)
    spool.append(b"b")
    with pytest.raises(OSError, match="No space"):
        spool.flush()
    monkeypatch.undo()
    assert all_pending(filled(spool, b"c")) == [("boot-1", 1, b"a"), ("boot-1", 2, b"b"), ("boot-1", 3, b"c")]


def test_what_waits_in_memory_is_bounded_and_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for index in range(WAITING_MAX + 5):
        spool.append(b"%d" % index)
    spool.flush()
    assert spool.lost_count == 5
    assert all_pending(spool, 1_000)[0] == ("boot-1", 1, b"5")


def test_a_record_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most"):
        opened(tmp_path).append(b"x" * (RECORD_BYTES_MAX + 1))


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "telemetry").mkdir()
    stranger = tmp_path / "telemetry" / "notes.txt"
    stranger.write_text("mine")
    all_pending(filled(opened(tmp_path), b"a"))
    assert stranger.read_text() == "mine"


def test_records_that_do_not_rise_are_no_records() -> None:
    assert [record.sequence for record in records_of(packed(2, b"a") + packed(2, b"b"))] == [2]


WRITER = """
import sys; from pathlib import Path; from hansa_agent.spool import Spool
spool = Spool(Path(sys.argv[1]), sys.argv[2], 1 << 24); number = 0
while True:
    for _ in range(50): number += 1; spool.append(b"%d " % number + b"x" * (number % 3_000))
    spool.flush(); print(number, flush=True)
"""


def test_killed_with_9_in_the_middle_of_writing_everything_that_was_flushed_is_there(tmp_path: Path) -> None:
    flushed: dict[str, int] = {}
    for name in ("boot-1", "boot-2", "boot-3"):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "telemetry"), name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            flushed[name] = max(int(writer.stdout.readline()) for _ in range(5))
            writer.send_signal(signal.SIGKILL)
    found: dict[str, list[int]] = {name: [] for name in flushed}
    for name, sequence, payload in all_pending(opened(tmp_path, "boot-4", 1 << 24), 500):
        number = int(payload.split()[0])
        assert (number, len(payload.partition(b" ")[2])) == (sequence, number % 3_000)
        found[name].append(number)
    for name, last in flushed.items():
        assert found[name] == list(range(1, len(found[name]) + 1)) and len(found[name]) >= last
    assert json.loads((tmp_path / "telemetry" / STATE_FILE).read_text())["lost"] <= len(flushed)

"""Records that wait on disk until the operator has them: bounded, and whole again after any crash.

Every process numbers its records from 1 under a name of its own, so that a state folder that was lost, or brought back
from a backup, never gives a number to two records. Records are written and synced in groups; none is handed out before
it is on disk. When there is no room for more, the oldest go, and are counted.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import NamedTuple

from hansa_agent.spool_segment import RECORD_BYTES_MAX, Record, Segment, packed, read_segment, records_of, segment_path

SEGMENT_BYTES_MAX = 1 << 20
SEGMENTS_MIN = 8
WAITING_MAX = 10_000
STATE_FILE = "spool.json"


class Pending(NamedTuple):
    """The oldest records that were not acknowledged, all numbered under one name."""

    name: str
    records: tuple[Record, ...]


class _Place(NamedTuple):
    """Up to where a segment was acknowledged, as the number and the byte after it."""

    ordinal: int
    sequence: int
    offset: int


class Spool:
    """``append`` never waits. All else reads or writes files and belongs in a thread; it may be called from several.

    Raises OSError when the folder cannot be read or written.
    """

    def __init__(self, folder: Path, name: str, bytes_max: int) -> None:
        """``name`` is new with every process; ``bytes_max`` is how much may wait."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._name = name
        self._bytes_max = bytes_max
        self._segment_bytes_max = min(SEGMENT_BYTES_MAX, bytes_max // SEGMENTS_MIN)
        self._waiting: deque[bytes] = deque()
        self._overflowed = 0
        self._lock = threading.Lock()
        self._next = 1
        self._segments: list[Segment] = []
        self._file: int | None = None
        self.torn_count = 0
        self._acknowledged, self._lost = self._read_state()
        self._read_segments()

    @property
    def lost_count(self) -> int:
        """Records that are lost for good: dropped for want of room, or not whole after a crash."""
        return self._lost + self._overflowed

    @property
    def waiting_bytes(self) -> int:
        """What is on disk."""
        return sum(segment.byte_count for segment in self._segments)

    def append(self, payload: bytes) -> None:
        """Notes a record, to be written with the next ``flush``. ValueError if it is too long."""
        if len(payload) > RECORD_BYTES_MAX:
            raise ValueError(f"a record of {len(payload)} bytes; at most {RECORD_BYTES_MAX}")
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self._overflowed += 1
        self._waiting.append(payload)

    def flush(self) -> int:
        """Writes what was appended and syncs it once; how many records. What fails to be written waits on."""
        with self._lock:
            written = 0
            try:
                while self._waiting:
                    self._write(self._waiting[0])
                    self._waiting.popleft()
                    written += 1
            finally:
                if self._file is not None:
                    os.fdatasync(self._file)
                self._drop_surplus()
            return written

    def pending(self, count_max: int, bytes_max: int) -> Pending | None:
        """What is to be sent next; None if all is acknowledged."""
        with self._lock:
            for segment in self._segments:
                begin = self._acknowledged.offset if segment.ordinal == self._acknowledged.ordinal else 0
                if begin >= segment.byte_count:
                    continue
                content = segment.path.read_bytes()[: segment.byte_count]
                records: list[Record] = []
                for record in records_of(content, begin):
                    if len(records) == count_max or (records and record.end - begin > bytes_max):
                        break
                    records.append(record)
                if records:
                    return Pending(segment.name, tuple(records))
            return None

    def acknowledge(self, name: str, sequence: int) -> bool:
        """The operator has everything of this name up to a number; whether that was news."""
        with self._lock:
            segment = next((one for one in self._segments if one.name == name and one.last >= sequence), None)
            if segment is None or segment.ordinal < self._acknowledged.ordinal:
                return False
            end = _end_of(segment, sequence)
            if segment.ordinal == self._acknowledged.ordinal and end <= self._acknowledged.offset:
                return False
            self._acknowledged = _Place(segment.ordinal, sequence, end)
            self._remove_before(segment.ordinal)
            self._write_state()
            return True

    def close(self) -> None:
        """Writes what waits."""
        self.flush()
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    # --- parts ---

    def _write(self, payload: bytes) -> None:
        content = packed(self._next, payload)
        file, segment = self._segment_for(len(content))
        try:
            _write_all(file, content)
        except OSError:
            os.ftruncate(file, segment.byte_count)
            raise
        segment.note(self._next, len(content))
        self._next += 1

    def _segment_for(self, byte_count: int) -> tuple[int, Segment]:
        """The file that is written to; another one once it is full."""
        if self._file is not None and self._segments[-1].byte_count + byte_count <= self._segment_bytes_max:
            return self._file, self._segments[-1]
        ordinal = 1 + (self._segments[-1].ordinal if self._segments else self._acknowledged.ordinal)
        path = segment_path(self._folder, ordinal, self._name)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
        _sync_folder(self._folder)
        if self._file is not None:
            os.fdatasync(self._file)
            os.close(self._file)
        self._file = file
        self._segments.append(Segment(path, ordinal, self._name))
        return file, self._segments[-1]

    def _drop_surplus(self) -> None:
        """The oldest segments go until the rest is within bounds; what of them was not acknowledged is lost."""
        before = self._lost
        while self.waiting_bytes > self._bytes_max and len(self._segments) > 1:
            oldest = self._segments.pop(0)
            self._lost += self._unacknowledged(oldest)
            oldest.path.unlink(missing_ok=True)
        if self._lost != before:
            self._write_state()

    def _unacknowledged(self, segment: Segment) -> int:
        acknowledged = self._acknowledged
        if segment.ordinal != acknowledged.ordinal:
            return segment.count if segment.ordinal > acknowledged.ordinal else 0
        return max(segment.last - max(acknowledged.sequence, segment.first - 1), 0)

    def _remove_before(self, ordinal: int) -> None:
        while self._segments and self._segments[0].ordinal < ordinal:
            self._segments.pop(0).path.unlink(missing_ok=True)

    def _read_state(self) -> tuple[_Place, int]:
        """Without it records are sent once more than needed, and the operator passes over what it has."""
        try:
            state = json.loads((self._folder / STATE_FILE).read_bytes())
            return _Place(*(int(part) for part in state["acknowledged"])), int(state["lost"])
        except (OSError, ValueError, KeyError, TypeError):
            return _Place(0, 0, 0), 0

    def _write_state(self) -> None:
        path = self._folder / STATE_FILE
        draft = path.with_suffix(".new")
        with draft.open("w") as file:
            file.write(json.dumps({"acknowledged": self._acknowledged, "lost": self.lost_count}))
            file.flush()
            os.fdatasync(file.fileno())
        draft.replace(path)

    def _read_segments(self) -> None:
        for path in sorted(self._folder.iterdir()):
            read = read_segment(path)
            if read is None:
                continue
            segment, is_torn = read
            self.torn_count += is_torn
            if segment.count == 0 or segment.ordinal < self._acknowledged.ordinal:
                path.unlink()
            else:
                self._segments.append(segment)
        if self.torn_count:
            self._lost += self.torn_count
            self._write_state()


def _end_of(segment: Segment, sequence: int) -> int:
    """The byte after the last record up to a number."""
    if sequence >= segment.last:
        return segment.byte_count
    content = segment.path.read_bytes()
    return max((record.end for record in records_of(content) if record.sequence <= sequence), default=0)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

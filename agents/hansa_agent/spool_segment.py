"""The files of a spool: records one after another, each with its length, checksum and number.

What a process that was killed in the middle of writing has left at the end of a file is cut off: a record counts when
all of it is there and its checksum (CRC-32) is right.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

RECORD_BYTES_MAX = 64 << 10
_HEADER = struct.Struct(">IIQ")
_FILE_NAME = re.compile(r"(?P<ordinal>[0-9]{12})-(?P<name>[A-Za-z0-9-]{1,64})\.seg")


class Record(NamedTuple):
    """A record and where it ends in its file."""

    sequence: int
    payload: bytes
    end: int


@dataclass(slots=True)
class Segment:
    """One file: its place in the order, the name under which its records are numbered, and what is in it."""

    path: Path
    ordinal: int
    name: str
    byte_count: int = 0
    first: int = 0
    last: int = 0
    count: int = 0

    def note(self, sequence: int, byte_count: int) -> None:
        """A record was added."""
        self.first = self.first or sequence
        self.last = sequence
        self.count += 1
        self.byte_count += byte_count


def packed(sequence: int, payload: bytes) -> bytes:
    """A record as it is written."""
    return _HEADER.pack(len(payload), _checksum(sequence, payload), sequence) + payload


def segment_path(folder: Path, ordinal: int, name: str) -> Path:
    return folder / f"{ordinal:012d}-{name}.seg"


def read_segment(path: Path) -> tuple[Segment, bool] | None:
    """What a file holds, and whether something at its end had to be cut off; None if it is no segment."""
    found = _FILE_NAME.fullmatch(path.name)
    if found is None:
        return None
    segment = Segment(path, int(found["ordinal"]), found["name"])
    content = path.read_bytes()
    for record in records_of(content):
        segment.note(record.sequence, record.end - segment.byte_count)
    is_torn = segment.byte_count < len(content)
    if is_torn:
        with path.open("r+b") as file:
            file.truncate(segment.byte_count)
    return segment, is_torn


def records_of(content: bytes, begin: int = 0) -> Iterator[Record]:
    """The records from a byte on, up to the first that is not whole."""
    last = 0
    while begin + _HEADER.size <= len(content):
        length, checksum, sequence = _HEADER.unpack_from(content, begin)
        end = begin + _HEADER.size + length
        if length > RECORD_BYTES_MAX or end > len(content) or sequence <= last:
            return
        payload = content[begin + _HEADER.size : end]
        if _checksum(sequence, payload) != checksum:
            return
        yield Record(sequence, payload, end)
        begin, last = end, sequence


def _checksum(sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(sequence.to_bytes(8, "big")))

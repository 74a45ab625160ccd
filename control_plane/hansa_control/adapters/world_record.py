"""World records as JSON: written in canonical form, read strictly; docs/simulation.md says what is in one."""

from __future__ import annotations

import zlib

from hansa_control.adapters.decision_record import read_strictly, require_bounded
from hansa_control.domain.canonical import canonical
from hansa_control.domain.world_record import FORMAT, WorldRecord


def packed_world(record: WorldRecord) -> bytes:
    """The record as canonical JSON in UTF-8, compressed (RFC 1950), as it is sent."""
    return zlib.compress(canonical(record), level=6)


def read_world(body: bytes) -> WorldRecord:
    """The record that these bytes are; RecordUnreadable, with the field's place, if they are none.

    A field that is left out takes its default, since people may write one by hand; one that there is not is an error.
    """
    record = read_strictly(WorldRecord, body, FORMAT)
    for index, workload in enumerate(record.workloads):
        require_bounded(workload.spec, f"workloads[{index}].spec")
    return record

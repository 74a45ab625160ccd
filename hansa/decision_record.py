"""Decision records as they are sent: JSON, compressed (RFC 1950). ``hansa verify-decision`` makes them again."""

from __future__ import annotations

import zlib

from hansa.errors import invalid_field

BYTES_MAX = 256 * 1024 * 1024


def unpacked(record: bytes) -> bytes:
    """The JSON of a record; raises HansaError INVALID_FIELD if it is none or larger than anybody's network."""
    reader = zlib.decompressobj()
    try:
        body = reader.decompress(record, BYTES_MAX)
    except zlib.error as error:
        raise invalid_field("record", f"is not compressed as it should be: {error}") from error
    if reader.unconsumed_tail or not reader.eof:
        raise invalid_field("record", f"is cut short or larger than {BYTES_MAX} bytes")
    return body

"""Records of the application as JSON bytes and back; every SQL store writes the same form.

The form is the record's fields by name; enumerations are their values, named tuples and tuples are arrays, sets are
sorted arrays (so that equal records give equal bytes), bytes are URL-safe base64. What a record has besides its
fields is an error; a field that is missing takes its default. A body that may be of several types is recognised by
its fields.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from types import GenericAlias
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from hansa_control.application.ports import RECORD_TYPES, Record, Table

_CONFIG = ConfigDict(extra="forbid", val_json_bytes="base64")


class RecordInvalid(ValueError):
    """A record that cannot be written, or bytes that are not a record of their table."""


def encode(table: Table, record: Record) -> bytes:
    """The record as UTF-8 JSON; RecordInvalid if it is not of the table's type or a field not of its own.

    What could not be read back is not written: a process must never find at its start what it wrote and cannot read.
    """
    if type(record) is not RECORD_TYPES[table]:
        raise RecordInvalid(f"{table}: a {type(record).__name__} is no record of this table")
    try:
        (plain,) = _adapter(table).dump_python((record,), warnings="error")
        body = json.dumps(plain, default=_plain, separators=(",", ":"), ensure_ascii=False).encode()
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise RecordInvalid(f"{table}: {error}") from error
    decode(table, body)
    return body


def decode(table: Table, body: bytes) -> Record:
    """The record that ``encode`` made these bytes of; RecordInvalid, with the field's place, on any others."""
    try:
        (record,) = _adapter(table).validate_json(b"[" + body + b"]")
    except ValidationError as error:
        raise RecordInvalid(f"{table}: {_first(error)}") from error
    return record  # type: ignore[no-any-return]


@cache
def _adapter(table: Table) -> TypeAdapter[Any]:
    # pydantic takes a configuration from around a dataclass but not for one, hence the tuple.
    form: Any = GenericAlias(tuple, (RECORD_TYPES[table],))
    return TypeAdapter(form, config=_CONFIG)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"no form for a {type(value).__name__}")


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    place = ".".join(str(step) for step in found[0]["loc"][1:])
    return f"{place or 'record'}: {found[0]['msg']}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")

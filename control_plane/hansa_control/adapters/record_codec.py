"""Records of the application as JSON bytes and back; every SQL store writes the same form.

The form is the record's fields by name; enumerations are their values, named tuples and tuples are arrays, sets are
sorted arrays (so that equal records give equal bytes), bytes are URL-safe base64. What a record has besides its
fields is an error; a field that is missing takes its default. A body that may be of several types is recognised by
its fields.

What is written is sure to be read, and is not read back to know it: the writer refuses every value that is not of its
field's type, a null too many is noticed, and a schema that asks for more than types, which only
reading checks, has its records read back. So has a record with a number that no reader takes.
"""

from __future__ import annotations

from functools import cache
from types import GenericAlias
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer, core_schema

from hansa_control.adapters import record_nulls
from hansa_control.application.ports import RECORD_TYPES, Record, Table

_WRITTEN = core_schema.CoreConfig(ser_json_bytes="base64", ser_json_inf_nan="constants")
_CONFIG = ConfigDict(extra="forbid", val_json_bytes="base64", ser_json_bytes="base64", ser_json_inf_nan="constants")
"""Both say the same of writing: some of what is within a record asks its own configuration, some the writer's."""


DIGITS_MAX = 4_300
"""Of a number: longer ones are written, and refused by whoever reads; pydantic's limit, and Python's."""

_LONG_NUMBER = b"0" * (DIGITS_MAX + 1)
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")


class RecordInvalid(ValueError):
    """A record that cannot be written, or bytes that are not a record of their table."""


def encode(table: Table, record: Record) -> bytes:
    """The record as UTF-8 JSON; RecordInvalid if it is not of the table's type or a field not of its own.

    What could not be read back is not written: a process must never find at its start what it wrote and cannot read.
    """
    body = written(table, record)
    if not _is_sure(table, record, body):
        decode(table, body)
    return body


def written(table: Table, record: Record) -> bytes:
    """The same without reading it back: for what does not leave the process."""
    if type(record) is not RECORD_TYPES[table]:
        raise RecordInvalid(f"{table}: a {type(record).__name__} is no record of this table")
    try:
        body = _serializer(table).to_json((record,), warnings="error")[1:-1]
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise RecordInvalid(f"{table}: {error}") from error
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


def _is_sure(table: Table, record: Record, body: bytes) -> bool:
    """Whether what was written can be read, so that nobody has to try. A text may say "null", too: then somebody does."""
    count_nulls = _null_counter(table)
    if count_nulls is None or (len(body) > DIGITS_MAX and _LONG_NUMBER in body.translate(_DIGITS_AS_ZERO)):
        return False
    try:
        return body.count(b"null") == count_nulls((record,))
    except (AttributeError, IndexError, KeyError, TypeError):
        return False  # not quite of its type, though the writer took it


@cache
def _null_counter(table: Table) -> record_nulls.Count | None:
    """None where the records of a table are to be read back."""
    try:
        return record_nulls.counter(_adapter(table).core_schema)
    except record_nulls.Unknown:
        return None


@cache
def _serializer(table: Table) -> SchemaSerializer:
    """Writes JSON without a Python object between for each of the record's; ``_adapter`` would leave sets unsorted."""
    return SchemaSerializer(_with_sorted_sets(_adapter(table).core_schema), _WRITTEN)


def _with_sorted_sets(schema: Any) -> Any:
    """The same schema, in which every set is written as a sorted array."""
    if isinstance(schema, list | tuple):
        return type(schema)(_with_sorted_sets(one) for one in schema)
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_sorted_sets(value) for key, value in schema.items()}
    if schema.get("type") in {"set", "frozenset"}:
        items = core_schema.list_schema(found.get("items_schema"))
        found["serialization"] = core_schema.plain_serializer_function_ser_schema(sorted, return_schema=items)
    return found


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    place = ".".join(str(step) for step in found[0]["loc"][1:])
    return f"{place or 'record'}: {found[0]['msg']}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")

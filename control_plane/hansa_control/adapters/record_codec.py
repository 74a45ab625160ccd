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

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from types import GenericAlias
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer, SchemaValidator, core_schema

from hansa_control.adapters import record_nulls
from hansa_control.adapters.record_schema import with_any_in, with_sorted_sets, with_told_unions
from hansa_control.application.ports import RECORD_TYPES, Record, Table
from hansa_control.domain.model import Claim, Manifest, Placement, Workload, WorkloadSpec

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


class Shared:
    """Remembers what the last record came to: many workloads in a row may keep one decision, the same object."""

    def __init__(self, form: Callable[[Record], bytes]) -> None:
        self._form = form
        self._last: tuple[Record | None, bytes] = None, b""

    def __call__(self, record: Record) -> bytes:
        last, body = self._last  # at once, as two threads may ask
        if last is not record:
            body = self._form(record)
            self._last = record, body
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
        (record,) = _validator(table).validate_json(b"[" + body + b"]")
    except ValidationError as error:
        raise RecordInvalid(f"{table}: {_first(error)}") from error
    return record  # type: ignore[no-any-return]


class Reader:
    """Reads many records, as a start does. Specifications that are the same bytes are read once and are one object, for
    most workloads differ in nothing but their names, and a claim repeats the specification of its workload.

    A specification is found by the fields around it, and a record that looks otherwise is read like any single one.
    """

    def __init__(self) -> None:
        self._specs: dict[bytes, WorkloadSpec] = {}
        self._bytes: dict[bytes, bytes] = {}

    def decode_all(self, table: Table, bodies: Sequence[bytes]) -> list[Record]:
        """What ``decode`` answers for each, with parts that others have too; RecordInvalid if one of them is none."""
        if _around_spec(table) is None:
            return _together(_validator_of_many(table), bodies, table)
        records: list[Record | None] = [None] * len(bodies)
        without: list[tuple[int, bytes, WorkloadSpec]] = []
        for at, body in enumerate(bodies):
            span = _span_of_spec(table, body)
            known = self._specs.get(body[span[0] : span[1]]) if span else None
            if span and known:
                without.append((at, body[: span[0]] + b"0" + body[span[1] :], known))
            else:
                records[at] = read = decode(table, body)
                if span:
                    self._specs[body[span[0] : span[1]]] = getattr(read, _SPEC)
        shortened = _together(_validator_without_spec(table), [body for _, body, _ in without], table)
        for (at, _, spec), record in zip(without, shortened, strict=True):
            # The record was made here, and nobody has seen it without its specification.
            object.__setattr__(record, _SPEC, spec)
            records[at] = record
        return [self._with_shared_bytes(record) for record in records if record is not None]

    def _with_shared_bytes(self, record: Record) -> Record:
        """The same record: the certificates in it, an operator's one or two, are the same objects in all of them."""
        if isinstance(record, Claim) and record.manifest is not None:
            self._share(record.manifest, "client_ca_pem", record.manifest.client_ca_pem)
        elif isinstance(record, Workload):
            for placement in record.placements:
                self._share(placement, "endpoint_ca_pem", placement.endpoint_ca_pem)
        return record

    def _share(self, owner: Manifest | Placement, name: str, value: bytes) -> None:
        object.__setattr__(owner, name, self._bytes.setdefault(value, value))


def _together(validator: SchemaValidator, bodies: Sequence[bytes], table: Table) -> list[Record]:
    """Records of which each body is one; RecordInvalid. It does not say which is none: ``decode`` does."""
    try:
        records: list[Record] = validator.validate_json(b"[" + b",".join(bodies) + b"]")
    except ValidationError as error:
        raise RecordInvalid(f"{table}: {_first(error)}") from error
    if len(records) != len(bodies):
        raise RecordInvalid(f"{table}: {len(bodies)} bodies are {len(records)} records")
    return records


_SPEC = "spec"


@cache
def _around_spec(table: Table) -> tuple[bytes, bytes] | None:
    """What stands before and after the specification in a record that ``written`` wrote; None where there is none."""
    names = [field.name for field in fields(RECORD_TYPES[table])]
    if _SPEC not in names[:-1]:
        return None
    return f'"{_SPEC}":'.encode(), f',"{names[names.index(_SPEC) + 1]}":'.encode()


def _span_of_spec(table: Table, body: bytes) -> tuple[int, int] | None:
    """Where a record's own specification is. A quote within a word is escaped, so a name in quotes before a colon is a
    field; before the first bracket within the record it is one of the record's own.
    """
    around = _around_spec(table)
    if around is None:
        return None
    start = body.find(around[0]) + len(around[0])
    end = body.find(around[1], start)
    is_own = start >= len(around[0]) and end > 0 and body.rfind(b"{", 0, start) == 0
    return (start, end) if is_own else None


@cache
def _adapter(table: Table) -> TypeAdapter[Any]:
    # pydantic takes a configuration from around a dataclass but not for one, hence the tuple.
    form: Any = GenericAlias(tuple, (RECORD_TYPES[table],))
    return TypeAdapter(form, config=_CONFIG)


def _is_sure(table: Table, record: Record, body: bytes) -> bool:
    """Whether what was written can be read, so that nobody has to try; where a text says "null", somebody does."""
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
def _validator(table: Table) -> SchemaValidator:
    return SchemaValidator(with_told_unions(_adapter(table).core_schema))


@cache
def _validator_of_many(table: Table) -> SchemaValidator:
    return SchemaValidator(with_told_unions(_adapter_of_many(table).core_schema))


@cache
def _validator_without_spec(table: Table) -> SchemaValidator:
    """Of many, too, but for the record's own specification, in whose place anything may be."""
    schema = with_any_in(_adapter_of_many(table).core_schema, RECORD_TYPES[table].__name__, _SPEC)
    return SchemaValidator(with_told_unions(schema))


def _adapter_of_many(table: Table) -> TypeAdapter[Any]:
    form: Any = GenericAlias(list, (RECORD_TYPES[table],))
    return TypeAdapter(form, config=_CONFIG)


@cache
def _serializer(table: Table) -> SchemaSerializer:
    """Writes JSON without a Python object between for each of the record's; ``_adapter`` would leave sets unsorted."""
    return SchemaSerializer(with_sorted_sets(_adapter(table).core_schema), _WRITTEN)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    place = ".".join(str(step) for step in found[0]["loc"][1:])
    return f"{place or 'record'}: {found[0]['msg']}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")

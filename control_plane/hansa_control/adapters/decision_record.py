"""Decision records as JSON: written in canonical form, read strictly.

The form is the record's fields by name, as docs/decision-record.md lists them. What a record has besides its fields is
an error, and so is a field that is missing, for a default would be a value that nobody recorded.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import cache
from math import isfinite
from types import GenericAlias
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hansa_control.adapters.codec_demand import REPLICAS_MAX, SERVERS_MAX
from hansa_control.domain.canonical import canonical
from hansa_control.domain.model import WorkloadSpec
from hansa_control.domain.record import FORMAT, DecisionRecord

RecordT = TypeVar("RecordT")
BYTES_MAX = 256 * 1024 * 1024
INTEGER_MAX = 2**63 - 1
"""No codec lets in more, neither way; what is beyond has no time and no array to be in."""


class RecordUnreadable(ValueError):
    """What is given is no decision record of a format that is known."""


def write_record(record: DecisionRecord) -> bytes:
    """The record as canonical JSON in UTF-8."""
    return canonical(record)


def packed(record: DecisionRecord) -> bytes:
    """The same, compressed (RFC 1950), as it is sent."""
    return zlib.compress(write_record(record), level=6)


def read_record(body: bytes) -> DecisionRecord:
    """The record that these bytes are; RecordUnreadable, with the field's place, if they are none."""
    read = read_strictly(DecisionRecord, body, FORMAT)
    require_bounded(read.inputs.request.spec, "inputs.request.spec")
    _require_complete(json.loads(body), json.loads(canonical(read)), "")
    return read


def read_strictly(kind: type[RecordT], body: bytes, number: int) -> RecordT:
    """A value of this class with ``format`` number; RecordUnreadable on other bytes and on what it has no field for."""
    if len(body) > BYTES_MAX:
        raise RecordUnreadable(f"larger than {BYTES_MAX} bytes")
    _require_format(body, number)
    known: Any = kind
    try:
        (record,) = _adapter(known).validate_json(b"[" + body + b"]")
    except (ValidationError, RecursionError) as error:
        raise RecordUnreadable(_first(error)) from error
    read: RecordT = record
    return read


def require_bounded(spec: WorkloadSpec, place: str) -> None:
    """Refuses numbers by which the work of deciding grows, where no control plane takes them in: a record comes from
    anybody, and whoever verifies it is not to wait for days or run out of memory.
    """
    replicas_most = min(REPLICAS_MAX, max(1, spec.replicas, spec.replicas_max))
    bounded = {
        "replicas": (spec.replicas, REPLICAS_MAX),
        "replicas_max": (spec.replicas_max, REPLICAS_MAX),
        "zones.minimum": (spec.zones.minimum, REPLICAS_MAX),
        "zones.maximum": (spec.zones.maximum, REPLICAS_MAX),
        "service.concurrency": (spec.service.concurrency if spec.service else 0, SERVERS_MAX // replicas_most),
    }
    for name, (value, most) in bounded.items():
        if not 0 <= value <= most:
            raise RecordUnreadable(f"{place}.{name}: {value} is not from 0 to {most}")


def _bounded_integer(digits: str) -> int:
    value = int(digits)
    if abs(value) > INTEGER_MAX:
        raise ValueError(f"a number has {len(digits.lstrip('-'))} digits, more than any field takes")
    return value


def _finite_number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text[:20]} is no number that a record can hold")
    return value


def _require_format(body: bytes, expected: int) -> None:
    try:
        tree = json.loads(body, parse_int=_bounded_integer, parse_float=_finite_number, parse_constant=_finite_number)
    except (ValueError, RecursionError) as error:
        raise RecordUnreadable(f"not JSON: {error}") from error
    number = tree.get("format") if isinstance(tree, Mapping) else None
    if number != expected:
        raise RecordUnreadable(f"format: {number!r} is not known; this version reads {expected}")


def _require_complete(given: Any, read: Any, place: str) -> None:
    """Refuses what was left out and filled in with a default."""
    if isinstance(given, Mapping) and isinstance(read, Mapping):
        for name in read:
            where = f"{place}.{name}".lstrip(".")
            if name not in given:
                raise RecordUnreadable(f"{where}: is missing")
            _require_complete(given[name], read[name], where)
    elif isinstance(given, list) and isinstance(read, list):
        if len(given) != len(read):
            raise RecordUnreadable(f"{place}: names something twice")
        for index, (left, right) in enumerate(zip(given, read, strict=False)):
            _require_complete(left, right, f"{place}[{index}]")


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    # pydantic takes a configuration from around a dataclass but not for one, hence the tuple.
    form: Any = GenericAlias(tuple, (kind,))
    return TypeAdapter(form, config=ConfigDict(extra="forbid", strict=True))


def _first(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    found = error.errors(include_url=False, include_input=False)
    place = ".".join(str(step) for step in found[0]["loc"][1:])
    return f"{place or 'record'}: {found[0]['msg']}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")

"""What is written is read, though it is not read back: whatever stands in a record's fields, it is refused or it comes
back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

import pytest
from hansa_control.adapters import record_codec, record_nulls
from hansa_control.adapters.record_codec import RecordInvalid, decode, encode
from hansa_control.application.ports import RECORD_TYPES, Counter, Table
from hansa_control.domain.model import Event, EventLevel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

TABLES = list(Table)
RECORDS: dict[Table, st.SearchStrategy[Any]] = {table: st.from_type(RECORD_TYPES[table]) for table in TABLES}
HUGE = 10**5_000


COUNTER = Counter(1)


class Colour(StrEnum):
    RED = "null"


STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 1.5, float("nan"), HUGE, "", "null", "\ud800", b"\xff", Colour.RED),
    *(
        (),
        (None,),
        (None, None),
        ("x", 1.5),
        [],
        {},
        frozenset(),
        frozenset({None}),
        frozenset({"x", None}),
        Counter(1),
    ),
)


def variants(value: Any, strange: Any) -> Iterator[Any]:
    """The value with something strange in one place, for every place in it."""
    yield strange
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for other in variants(getattr(value, field.name), strange):
                yield replace(value, **{field.name: other})
    elif isinstance(value, tuple):
        for at, item in enumerate(value):
            for other in variants(item, strange):
                items = (*value[:at], other, *value[at + 1 :])
                yield type(value)(*items) if hasattr(value, "_fields") else items


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), strange=st.sampled_from(STRANGE))
def test_whatever_stands_in_a_field_is_refused_or_comes_back(table: Table, data: st.DataObject, strange: Any) -> None:
    for record in variants(data.draw(RECORDS[table]), strange):
        try:
            body = encode(table, record)
        except RecordInvalid:
            continue
        decode(table, body)


@pytest.mark.parametrize("table", TABLES)
def test_no_table_has_to_be_read_back(table: Table) -> None:
    """Not wrong if it had to, but twice as expensive; whoever brings in such a field is to know."""
    assert record_codec._null_counter(table) is not None


def test_a_text_that_says_null_and_a_null_in_its_place_are_told_apart() -> None:
    event = Event(1, 2, "w", "Placed", "null and nullified", EventLevel.NORMAL)
    assert decode(Table.EVENT, encode(Table.EVENT, event)) == event
    with pytest.raises(RecordInvalid, match="event: reason: "):
        encode(Table.EVENT, replace(event, reason=None))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Bounded:
    count: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Checking:
    count: int

    def __post_init__(self) -> None:
        assert self.count > 0


@dataclass(frozen=True, slots=True)
class Bag:
    items: dict[str, int]


@dataclass(frozen=True, slots=True)
class Either:
    item: int | str


@pytest.mark.parametrize("kind", [Bounded, Checking, Bag, Either])
def test_what_only_reading_checks_is_to_be_read_back(kind: type) -> None:
    with pytest.raises(record_nulls.Unknown):
        record_nulls.counter(TypeAdapter(kind).core_schema)


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    first: Leaf
    rest: tuple[Leaf, ...] = ()
    last: Leaf | None = None
    pair: tuple[int, int | None] = (1, None)
    either: Leaf | Counter = COUNTER


@pytest.mark.parametrize(
    ("tree", "count"),
    [
        (Tree(Leaf("a")), 3),
        (Tree(Leaf("a", "b"), pair=(1, 2)), 1),
        (Tree(Leaf("a"), (Leaf("b"), Leaf("c", "d")), Leaf("e"), either=Leaf("f")), 5),
    ],
)
def test_every_null_that_is_in_its_place_is_counted(tree: Tree, count: int) -> None:
    assert record_nulls.counter(TypeAdapter(Tree).core_schema)(tree) == count

"""How many nulls a record is rightly written with, so that one too many is noticed.

pydantic's writer refuses a value of another type wherever it stands, but for None, which it writes as null anywhere.
What a record may leave open is few fields, so that counting those costs a fraction of reading the record back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

Count = Callable[[Any], int]
"""How often a value, of the schema that this was made of, is None where that is its right."""

Schema = Mapping[str, Any]

_PLAIN = frozenset({"type", "ref", "metadata"})
_LEAVES: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("str", "int", "float", "bool", "bytes"), _PLAIN),
    "enum": _PLAIN | {"cls", "members", "sub_type"},
}
"""What the schema of a value may say for its writer to check all of it: no bounds, no pattern."""


class Unknown(Exception):
    """A schema that says more than the writer checks: its records are to be read back."""


def counter(schema: Schema) -> Count:
    """The counter of a record's schema, as pydantic makes it of dataclasses; Unknown if only reading back will do."""
    definitions = {one["ref"]: one for one in schema["definitions"]} if schema["type"] == "definitions" else {}
    return _Counters(definitions).of(schema["schema"] if definitions else schema) or _none


class _Counters:
    """Makes counters; None for what has nothing within that may be None, which is most, and is not walked through."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._made: dict[str, Count] = {}
        self._begun: set[str] = set()

    def of(self, schema: Schema) -> Count | None:
        kind = schema["type"]
        if kind in _LEAVES:
            _only(schema, _LEAVES[kind])
            return None
        made = getattr(self, f"_{kind.replace('-', '_')}", None)
        if made is None:
            raise Unknown(f"of {kind} nothing is known")
        count: Count | None = made(schema)
        return count

    def _definition_ref(self, schema: Schema) -> Count | None:
        name = schema["schema_ref"]
        if (
            name not in self._made and name in self._begun
        ):  # it is within itself: its counter is looked up when counting
            return lambda value: self._made[name](value)
        if name not in self._made:
            self._begun.add(name)
            self._made[name] = self.of(self._definitions[name]) or _none
        return None if self._made[name] is _none else self._made[name]

    def _nullable(self, schema: Schema) -> Count | None:
        _only(schema, _PLAIN | {"schema"})
        within = self.of(schema["schema"]) or _none
        return lambda value: 1 if value is None else within(value)

    def _default(self, schema: Schema) -> Count | None:
        _only(schema, _PLAIN | {"default", "schema"})
        return self.of(schema["schema"])

    def _dataclass(self, schema: Schema) -> Count | None:
        if schema.get("post_init") or schema["schema"].get("computed_fields"):
            raise Unknown(f"{schema['cls'].__name__} is more than its fields")
        fields = schema["schema"]["fields"]
        return _sum([(attrgetter(one["name"]), count) for one in fields if (count := self.of(one["schema"]))])

    def _named_tuple(self, schema: Schema) -> Count | None:
        return self._by_place([field["schema"] for field in schema["fields"]])

    def _by_place(self, schemas: Sequence[Schema]) -> Count | None:
        return _sum([(itemgetter(at), count) for at, one in enumerate(schemas) if (count := self.of(one))])

    def _tuple(self, schema: Schema) -> Count | None:
        _only(schema, _PLAIN | {"items_schema", "variadic_item_index"})
        items = schema["items_schema"]
        if "variadic_item_index" not in schema:
            return self._by_place(items)
        if len(items) != 1:
            raise Unknown("a tuple of some and of many")
        return _of_all(self.of(items[0]))

    def _frozenset(self, schema: Schema) -> Count | None:
        _only(schema, _PLAIN | {"items_schema"})
        return _of_all(self.of(schema["items_schema"]))

    def _union(self, schema: Schema) -> Count | None:
        """Of dataclasses, each of which is known by its class; KeyError, when counting, on what is none of them."""
        _only(schema, _PLAIN | {"choices"})
        choices = [(self._definitions.get(one.get("schema_ref", ""), one), one) for one in schema["choices"]]
        if any(meant["type"] != "dataclass" for meant, _ in choices):
            raise Unknown("a union of other than dataclasses")
        by_class = {meant["cls"]: self.of(one) or _none for meant, one in choices}
        return lambda value: by_class[type(value)](value)


def _sum(parts: Sequence[tuple[Callable[[Any], Any], Count]]) -> Count | None:
    if not parts:
        return None

    def count(value: Any) -> int:
        total = 0
        for part, within in parts:
            total += within(part(value))
        return total

    return count


def _of_all(within: Count | None) -> Count | None:
    return None if within is None else lambda values: sum(map(within, values))


def _only(schema: Schema, keys: frozenset[str]) -> None:
    if surplus := schema.keys() - keys:
        raise Unknown(f"{schema['type']}: {', '.join(sorted(surplus))}")


def _none(value: Any) -> int:
    return 0

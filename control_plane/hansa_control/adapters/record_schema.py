"""Schemas of records as pydantic's core has them, changed where it would do more than is needed, or less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import core_schema


def with_sorted_sets(schema: Any) -> Any:
    """The same schema, in which every set is written as a sorted array."""

    def sort(found: dict[str, Any]) -> dict[str, Any]:
        if found.get("type") in {"set", "frozenset"}:
            items = core_schema.list_schema(found.get("items_schema"))
            found["serialization"] = core_schema.plain_serializer_function_ser_schema(sorted, return_schema=items)
        return found

    return _changed(schema, sort)


def with_told_unions(schema: Any) -> Any:
    """The same schema, in which what may be one of several dataclasses is read as the one whose own field it has.

    Otherwise each of them is tried, in vain but for one, which is most of the time that reading an advert takes. A
    union whose dataclasses do not each have a field of their own, without a default, stays as it is.
    """
    definitions = {one["ref"]: one for one in schema.get("definitions", ()) if "ref" in one}

    def tell(found: dict[str, Any]) -> dict[str, Any]:
        if found.get("type") != "union":
            return found
        own = _own_fields([definitions.get(one.get("schema_ref"), one) for one in found["choices"]])
        if own is None:
            return found
        choices = dict(zip(own, found["choices"], strict=True))
        return {**core_schema.tagged_union_schema(choices, _first_of(own))}

    return _changed(schema, tell)


def with_any_in(schema: Any, dataclass_name: str, field_name: str) -> Any:
    """The same schema, in which one field of the dataclasses of a name may be anything."""

    def loosen(found: dict[str, Any]) -> dict[str, Any]:
        if found.get("type") == "dataclass-args" and found["dataclass_name"] == dataclass_name:
            for field in found["fields"]:
                if field["name"] == field_name:
                    field["schema"] = core_schema.any_schema()
        return found

    return _changed(schema, loosen)


def _changed(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of a schema, inner parts first, with each part as ``change`` makes it of its copy."""
    if isinstance(schema, list | tuple):
        return type(schema)(_changed(one, change) for one in schema)
    if not isinstance(schema, dict):
        return schema
    return change({key: _changed(value, change) for key, value in schema.items()})


def _own_fields(choices: list[Mapping[str, Any]]) -> list[str] | None:
    """For each of several dataclasses a field that it must have and none of the others knows."""
    if any(choice.get("type") != "dataclass" for choice in choices):
        return None
    known = [{field["name"] for field in choice["schema"]["fields"]} for choice in choices]
    own = []
    for at, choice in enumerate(choices):
        others = set().union(*known[:at], *known[at + 1 :])
        needed = [one["name"] for one in choice["schema"]["fields"] if one["schema"].get("type") != "default"]
        own.append(next((name for name in needed if name not in others), None))
    return None if None in own else [str(name) for name in own]


def _first_of(names: list[str]) -> Callable[[Any], str | None]:
    def found_in(body: Any) -> str | None:
        return next((name for name in names if name in body), None) if isinstance(body, dict) else None

    return found_in

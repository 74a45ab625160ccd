"""Values that are looked up by, again and again: their hash is worked out once."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, ClassVar


class Hashed:
    """A frozen dataclass that keeps its hash, because that of a request or a policy goes through dozens of values.

    Write ``__hash__ = Hashed.__hash__`` into the class, else the dataclass makes one that keeps nothing. The hash is of
    all fields, as a dataclass makes it. It is no field, so it is no part of equality, of what is printed, of a
    canonical form, of what ``replace`` copies, nor of what is pickled (words have other hashes in another process).
    """

    __slots__ = ("_hash",)
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __hash__(self) -> int:
        known: int | None = getattr(self, "_hash", None)
        if known is None:
            known = hash(tuple([getattr(self, field.name) for field in fields(self)]))
            object.__setattr__(self, "_hash", known)
        return known

"""Values as canonical bytes, and digests of them: equal values give equal bytes, in every process and on every machine.

The form is JSON in UTF-8 without white space: a value of several fields is an object of its fields in the order of
their names, a tuple an array, a set a sorted array, an enumeration its value. ``json.dumps(tree, sort_keys=True,
separators=(",", ":"), ensure_ascii=False)`` of the same tree gives the same bytes, so others can check a digest with
nothing but a JSON library. (Floats are written as Python writes them, the shortest form that reads back the same.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from hashlib import sha256
from itertools import compress, count
from operator import attrgetter, is_not
from typing import Any

PREFIX = "sha256:"

LATER = {"later": True}
"""Metadata of a field that a class got after its bytes were digested somewhere: where it has nothing to say (it is
empty or None), it is left out, and the bytes are what they were before there was such a field.
"""


def canonical(value: Any) -> bytes:
    """The bytes of a value made of frozen dataclasses, tuples, sets of words, enumerations, words and numbers.

    TypeError for anything else, ValueError for a float that is no number.
    """
    text = json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


_READERS: dict[type, tuple[list[str], attrgetter[tuple[Any, ...]], tuple[str, ...]]] = {}


def _plain(value: Any) -> Any:
    """A form that JSON has: fields by name, members sorted."""
    if isinstance(value, frozenset):
        return sorted(value)
    kind = type(value)
    known = _READERS.get(kind)
    if known is None:
        names = sorted(field.name for field in fields(kind))
        later = tuple(field.name for field in fields(kind) if field.metadata.get("later"))
        # A getter of several fields gives a tuple; one field named twice stays one.
        known = _READERS[kind] = (names, attrgetter(*names, names[0]), later)
    names, read, later = known
    tree = dict(zip(names, read(value), strict=False))
    for name in later:
        if not tree[name]:
            del tree[name]
    return tree


class Roll:
    """The digest of a sequence of values: that of the digests of its members, one after another.

    It keeps the digests of the last sequence, so that a later one costs only its new members. Like a ``Memo`` it never
    changes an answer. Members are told apart by identity, which is safe since they are kept, too.
    """

    __slots__ = ("_digests", "_items", "_whole")

    def __init__(self) -> None:
        self._items: tuple[Any, ...] = ()
        self._digests: list[bytes] = []
        self._whole = sha256().digest()

    def digest(self, items: Iterable[Any]) -> bytes:
        """SHA-256 over the SHA-256 of each member's canonical bytes."""
        given = tuple(items)
        if given is not self._items:
            self._digests = self._renewed(given)
            self._items, self._whole = given, sha256(b"".join(self._digests)).digest()
        return self._whole

    def _renewed(self, given: tuple[Any, ...]) -> list[bytes]:
        if len(given) != len(self._items):
            known = {id(item): digest for item, digest in zip(self._items, self._digests, strict=True)}
            return [known.get(id(item)) or _digest(item) for item in given]
        digests = self._digests.copy()
        for at in compress(count(), map(is_not, given, self._items)):
            digests[at] = _digest(given[at])
        return digests


def _digest(item: Any) -> bytes:
    return sha256(canonical(item)).digest()

"""Containers of immutable values: a bounded memo, and a tuple of which some items are others."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")

OVERLAID_MAX = 256
"""How many items of an ``Overlaid`` are others before a new tuple is made."""


class Memo:
    """Results of pure functions of one immutable object, kept with that object and bounded.

    It never changes an answer, only how fast it comes; when it is full it is emptied. Entries carry a weight, so that
    a large result counts for what it holds.
    """

    __slots__ = ("_entries", "_weight", "weight_max")

    def __init__(self, weight_max: int) -> None:
        self.weight_max = weight_max
        self._entries: dict[Hashable, Any] = {}
        self._weight = 0

    def get(self, key: Hashable) -> Any:
        """What was kept under ``key``, or None."""
        return self._entries.get(key)

    def keep(self, key: Hashable, value: Any, weight: int = 1) -> None:
        """Keeps ``value`` under ``key``, in the place of what was there."""
        entries, known = self._entries, len(self._entries)
        entries[key] = value  # at once: keys are costly to look up
        if len(entries) == known:
            return
        if self._weight + weight > self.weight_max:
            entries.clear()
            entries[key] = value
            self._weight = 0
        self._weight += weight

    def table(self, key: Hashable, entries_max: int) -> Memo:
        """The memo kept under ``key`` in this one, made if need be: for results that share one costly key."""
        found: Memo | None = self.get(key)
        if found is None:
            found = Memo(entries_max)
            self.keep(key, found, weight=entries_max)
        return found

    def copied(self) -> Memo:
        """Another memo with the same entries."""
        other = Memo(self.weight_max)
        other._entries, other._weight = dict(self._entries), self._weight
        return other

    def __len__(self) -> int:
        return len(self._entries)


class Overlaid(Sequence[T]):
    """A tuple of which some items are others: copying tens of thousands of references for one takes longer than mending
    a search. It equals every sequence with the same items.
    """

    __slots__ = ("_base", "_other")

    def __init__(self, base: tuple[T, ...], other: Mapping[int, T]) -> None:
        self._base, self._other = base, other

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        if isinstance(at, slice):
            return tuple(self)[at]
        found = self._other.get(at if at >= 0 else at + len(self._base))
        return self._base[at] if found is None else found

    def __len__(self) -> int:
        return len(self._base)

    def __iter__(self) -> Iterator[T]:
        other = self._other
        return (other.get(at, item) for at, item in enumerate(self._base))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def with_items(self, changed: Mapping[int, T]) -> Sequence[T]:
        other = {**self._other, **changed}
        merged = Overlaid(self._base, other)
        return merged if len(other) <= OVERLAID_MAX else tuple(merged)


def overlaid(items: Sequence[T], changed: Mapping[int, T]) -> Sequence[T]:
    """The items with others at some indexes."""
    if not changed:
        return items
    return (items if isinstance(items, Overlaid) else Overlaid(tuple(items), {})).with_items(changed)

"""Results that are kept with the immutable value they follow from."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


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
        if key not in self._entries:
            if self._weight + weight > self.weight_max:
                self._entries.clear()
                self._weight = 0
            self._weight += weight
        self._entries[key] = value

    def table(self, key: Hashable, entries_max: int) -> Memo:
        """The memo kept under ``key`` in this one, made if need be: for results that share one costly key."""
        found: Memo | None = self.get(key)
        if found is None:
            found = Memo(entries_max)
            self.keep(key, found, weight=entries_max)
        return found

    def __len__(self) -> int:
        return len(self._entries)

    def copied(self) -> Memo:
        """Another memo with the same entries."""
        other = Memo(self.weight_max)
        other._entries, other._weight = dict(self._entries), self._weight
        return other

"""Chance, by name: each name has its own stream, derived from the seed, so that using one never shifts another.

Numbers come from SHA-256 over (seed, name, counter): the same on every machine and in every version of Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

ItemT = TypeVar("ItemT")


class Stream:
    """One sequence of chance."""

    def __init__(self, seed: int, name: str) -> None:
        self._prefix = f"{seed}|{name}|".encode()
        self._count = 0

    def word(self) -> str:
        """32 hex digits."""
        self._count += 1
        return hashlib.sha256(self._prefix + str(self._count).encode()).hexdigest()[:32]

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return int(self.word()[:13], 16) / 16**13

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.fraction()

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + int(self.word(), 16) % (high - low + 1)

    def chance(self, share: float) -> bool:
        """True in ``share`` of all cases."""
        return self.fraction() < share

    def choice(self, items: Sequence[ItemT]) -> ItemT:
        """One of ``items``; IndexError if there is none."""
        return items[self.integer(0, len(items) - 1)] if items else items[0]


class Streams:
    """The streams of one seed, by name; asking again gives the same stream where it stands."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Stream] = {}

    def stream(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = Stream(self.seed, name)
        return self._streams[name]

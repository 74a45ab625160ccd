"""A table of records that are many, large and seldom read: packed, but for those that were put last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")

UNPACKED_MAX = 256
"""Records that stay as they are: a workload's decision is asked for when it was just made, if ever."""


class Packing(NamedTuple, Generic[R]):
    """How a record becomes bytes and comes back equal."""

    pack: Callable[[R], bytes]
    unpack: Callable[[bytes], R]


class PackedTable(MutableMapping[str, R]):
    """Records by key, in the order in which the keys were put first. Reading one that is packed makes it anew."""

    def __init__(self, packing: Packing[R], packed: dict[str, bytes] | None = None) -> None:
        self._packing = packing
        self._packed: dict[str, bytes] = packed or {}
        self._unpacked: dict[str, R] = {}

    def __getitem__(self, key: str) -> R:
        found = self._unpacked.get(key)
        return self._packing.unpack(self._packed[key]) if found is None else found

    def __setitem__(self, key: str, record: R) -> None:
        self._unpacked.pop(key, None)
        self._unpacked[key] = record
        self._packed[key] = b""
        if len(self._unpacked) > UNPACKED_MAX:
            oldest = next(iter(self._unpacked))
            self._packed[oldest] = self._packing.pack(self._unpacked.pop(oldest))

    def __delitem__(self, key: str) -> None:
        del self._packed[key]
        self._unpacked.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

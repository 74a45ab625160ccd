"""Devices that drivers offer through dynamic resource allocation, counted as the scheduler does. Pure.

A driver describes a pool in several ResourceSlices and raises the pool's generation when it changes them, so that
slices of two generations stand side by side for a while. Only the newest generation is true, and only once all the
slices that it says it has are there; before, nobody knows what the pool has.
https://kubernetes.io/docs/reference/kubernetes-api/resource/resource-slice-v1/#ResourceSliceSpec
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SliceRow:
    """What is kept of a ResourceSlice: its pool, by driver and name; ``expected`` is how many slices that has."""

    pool: tuple[str, str]
    generation: int
    expected: int
    devices: int


class Slices:
    """All ResourceSlices, by name."""

    def __init__(self) -> None:
        self._rows: dict[str, SliceRow] = {}

    def put(self, body: Mapping[str, Any]) -> str:
        """Writes a slice down; its key."""
        name, spec = str(body["metadata"]["name"]), body.get("spec") or {}
        pool = spec.get("pool") or {}
        self._rows[name] = SliceRow(
            (str(spec.get("driver", "")), str(pool.get("name", ""))),
            int(pool.get("generation") or 0),
            int(pool.get("resourceSliceCount") or 0),
            len(spec.get("devices") or []),
        )
        return name

    def drop(self, name: str) -> None:
        """A slice is gone."""
        self._rows.pop(name, None)

    def names(self) -> Collection[str]:
        """Keys of all slices."""
        return self._rows.keys()

    def counted(self) -> tuple[int, int]:
        """Devices of whole pools, and how many pools are not whole at present."""
        pools: dict[tuple[str, str], list[SliceRow]] = {}
        for row in self._rows.values():
            pools.setdefault(row.pool, []).append(row)
        devices = incomplete = 0
        for rows in pools.values():
            generation = max(row.generation for row in rows)
            newest = [row for row in rows if row.generation == generation]
            # Slices of one generation that disagree about their number are no whole either.
            if {row.expected for row in newest} == {len(newest)}:
                devices += sum(row.devices for row in newest)
            else:
                incomplete += 1
        return devices, incomplete

"""Filters on what a zone has and what is free of it: accelerators by model, memory and number; CPU; memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hansa_control.domain.capacity import is_acceptable_model
from hansa_control.domain.columns import Columns, Pools, Standing
from hansa_control.domain.filters import Ints, Mask, Question, free_in, inventory_of, rejected
from hansa_control.domain.model import AcceleratorNeed, ConstraintResult, Reason, Rejection
from hansa_control.domain.near_names import NearNames
from hansa_control.domain.units import format_euro

GPU_MODEL = "GpuModel"
GPU_MEMORY = "GpuMemory"
GPU_CAPACITY = "GpuCapacity"
CPU_CAPACITY = "CpuCapacity"
MEMORY_CAPACITY = "MemoryCapacity"
PRICE = "PriceBound"

NO_POOL = -1
_MORE_THAN_ANY = 1 << 62


class Price:
    """What the replicas of a zone cost in an hour, by zone, against the request's bound."""

    def __init__(self, question: Question, replicas: Ints) -> None:
        self._question = question
        self._bound = question.spec.price_millieur_per_hour_max
        need = question.spec.accelerator
        devices = need.count if need is not None else 1
        self.millieur_per_hour: Ints = question.columns.standing.price_millieur_per_hour * devices * replicas
        self.failing: Mask = (self.millieur_per_hour > self._bound) & (self._bound > 0)

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """What the zones of these rows cost."""
        for row in rows:
            yield rejected(self._question.columns, row, Reason.PRICE_EXCEEDED, self._result(row))

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What the zone costs, if that is bounded."""
        return [self._result(row)] if self._bound and not self.failing[row] else []

    def _result(self, row: int) -> ConstraintResult:
        measured = f"{format_euro(int(self.millieur_per_hour[row]))} an hour"
        bound = f"<= {format_euro(self._bound)} an hour"
        return ConstraintResult(PRICE, measured, bound, inventory_of(self._question.columns, row))


class _Words(NamedTuple):
    """What is said of a need in every zone, whatever is free: by row of the zones."""

    models: tuple[str, ...]
    memory: dict[int, str]
    model_bound: str
    memory_bound: str


class _Suited(NamedTuple):
    """What a need finds in zones, whatever is free: rows of pools of an acceptable model, and of those large enough.

    rows are those that are large enough, all zones together; in_zone says which zones have one; models_in and pools_in
    are by zone, without empty ones.
    """

    rows: Ints
    in_zone: Mask
    models_in: dict[int, list[int]]
    pools_in: dict[int, list[int]]
    words: _Words


class Wanted:
    """What would serve a need, whatever is free, and how many devices each of those pools must have free for it.

    replicas is how many are to run, by row of the pools (a pool of faster devices may need fewer), and sufficient
    whether so many serve in time. rows are the pools that are left, from the last to the first; devices and zones are
    by those.
    """

    def __init__(self, question: Question, replicas: Ints, sufficient: Mask) -> None:
        standing, need = question.columns.standing, question.spec.accelerator
        self.replicas, self.sufficient = replicas, sufficient
        self.all_suffice = bool(sufficient.all())
        self.rows: Ints = np.zeros(0, dtype=np.int64)
        if need is not None:
            self.suited = _suited(standing, need)
            rows = self.suited.rows
            self.rows = (rows if self.all_suffice else rows[sufficient[rows]])[::-1].copy()
        self.devices: Ints = (need.count if need is not None else 0) * replicas[self.rows]
        if need is not None:
            # However many are free: a replica that none of the zone's machines has enough for runs nowhere.
            self.devices[standing.pools.replica_count_max[self.rows] < need.count] = _MORE_THAN_ANY
        self.zones: Ints = standing.pools.zone[self.rows]


class Accelerators:
    """Model, then memory of those models, then free devices in one pool of those that suffice.

    pool_row is the pool that would be used, the smallest that serves; ``NO_POOL`` where there is none or none is
    needed.
    """

    def __init__(self, question: Question, wanted: Wanted) -> None:
        self._columns = question.columns
        self._need = question.spec.accelerator
        self._least = 1 if question.spec.zones.maximum > 1 else question.spec.replicas
        self._wanted = wanted
        self._bounds: dict[int, str] = {}
        self.pool_row = np.full(len(self._columns), NO_POOL, dtype=np.int64)
        if self._need is not None:
            serving = (self._columns.devices_free[wanted.rows] >= wanted.devices).nonzero()[0]
            # Written from the last to the first, so that the first pool of each zone stays.
            self.pool_row[wanted.zones[serving]] = wanted.rows[serving]
            self.failing: Mask = self.pool_row < 0
        else:
            self.failing = np.zeros(len(self._columns), dtype=np.bool_)

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Every reason for which the zones of these rows lack accelerators."""
        if self._need is None:
            return
        need, zones = self._need, self._columns.zones
        for row in rows:
            zone_id = zones[row].id
            for reason, result in self._lacking(row, need):
                yield row, Rejection(zone_id, reason, result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of the zone's accelerators."""
        if self._need is None or row not in self._wanted.suited.models_in:
            return []
        words, evidence = self._wanted.suited.words, inventory_of(self._columns, row)
        found = [ConstraintResult(GPU_MODEL, words.models[row], words.model_bound, evidence)]
        if row in self._wanted.suited.pools_in:
            found.append(ConstraintResult(GPU_MEMORY, words.memory[row], words.memory_bound, evidence))
        if self.pool_row[row] >= 0:
            found.append(self._devices(row, [int(self.pool_row[row])], self._need))
        return found

    def _lacking(self, row: int, need: AcceleratorNeed) -> tuple[tuple[Reason, ConstraintResult], ...]:
        suited = self._wanted.suited
        words, rows = suited.words, suited.pools_in.get(row)
        if rows is not None:
            found = self._devices(row, rows, need)
            if self._wanted.all_suffice or self._wanted.sufficient[rows].any():
                return ((Reason.GPU_EXHAUSTED, found),)
            # The service filter says why; how many devices would do is not known.
            return ((Reason.NOT_EVALUATED, found._replace(measured="no number serves in time")),)
        evidence, no_device = inventory_of(self._columns, row), self._no_device(row, need)
        if row in suited.models_in:
            memory = ConstraintResult(GPU_MEMORY, words.memory[row], words.memory_bound, evidence)
            return ((Reason.GPU_MEMORY_TOO_SMALL, memory), no_device)
        model = ConstraintResult(GPU_MODEL, words.models[row], words.model_bound, evidence)
        memory = ConstraintResult(GPU_MEMORY, "no such model", words.memory_bound, evidence)
        return ((Reason.GPU_MODEL_MISSING, model), (Reason.NOT_EVALUATED, memory), no_device)

    def _no_device(self, row: int, need: AcceleratorNeed) -> tuple[Reason, ConstraintResult]:
        bound = _device_bound(need, self._least)
        return Reason.NOT_EVALUATED, ConstraintResult(
            GPU_CAPACITY, "no such device", bound, free_in(self._columns, row)
        )

    def _devices(self, row: int, rows: list[int], need: AcceleratorNeed) -> ConstraintResult:
        free, replicas, names = self._lists
        pools = self._columns.standing.pools
        shown = ", ".join([f"{free[at]} free of {names[at]}{_on_one_node(pools, at, need, free[at])}" for at in rows])
        count = replicas[rows[-1]]
        bound = self._bounds.get(count)
        if bound is None:
            bound = self._bounds[count] = _device_bound(need, count)
        return ConstraintResult(GPU_CAPACITY, shown, bound, free_in(self._columns, row))

    @cached_property
    def _lists(self) -> tuple[list[int], list[int], list[str]]:
        """Devices free, replicas needed and key, by row of the pools: lists are read faster than arrays."""
        free: list[int] = self._columns.devices_free.tolist()
        replicas: list[int] = self._wanted.replicas.tolist()
        return free, replicas, pool_keys(self._columns.standing)


class Machine:
    """CPU and main memory; amounts are by zone, millicores and MiB for all replicas that are to run."""

    def __init__(self, question: Question, replicas: Ints) -> None:
        self._columns: Columns = question.columns
        self._cpu_millis = replicas * question.spec.cpu_millis
        self._memory_mib = replicas * question.spec.memory_mib
        self._cpu_short: Mask = self._cpu_millis > self._columns.cpu_free_millis
        self._memory_short: Mask = self._memory_mib > self._columns.memory_free_mib
        self.failing: Mask = self._cpu_short | self._memory_short

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Whether the zones of these rows lack CPU, memory or both."""
        for row in rows:
            if self._cpu_short[row]:
                yield rejected(self._columns, row, Reason.CPU_EXHAUSTED, self._cpu(row))
            if self._memory_short[row]:
                yield rejected(self._columns, row, Reason.MEMORY_EXHAUSTED, self._memory(row))

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of the zone's CPU and memory."""
        results = ((self._cpu_short, self._cpu), (self._memory_short, self._memory))
        return [result(row) for short, result in results if not short[row]]

    def _cpu(self, row: int) -> ConstraintResult:
        free, asked = self._columns.cpu_free_millis[row], self._cpu_millis[row]
        evidence = free_in(self._columns, row)
        return ConstraintResult(CPU_CAPACITY, f"{free} millicores free", f">= {asked} millicores", evidence)

    def _memory(self, row: int) -> ConstraintResult:
        free, asked = self._columns.memory_free_mib[row], self._memory_mib[row]
        evidence = free_in(self._columns, row)
        return ConstraintResult(MEMORY_CAPACITY, f"{free} MiB free", f">= {asked} MiB", evidence)


def pool_keys(standing: Standing) -> list[str]:
    """The key of the pool in each row of the pools."""
    known: list[str] | None = standing.kept.get("pool keys")
    if known is None:
        keys = [pool.key for pool in standing.pools.kinds]
        known = [keys[kind] for kind in standing.pools.kind.tolist()]
        standing.kept.keep("pool keys", known)
    return known


def pools_suited(standing: Standing, need: AcceleratorNeed) -> Ints:
    """Rows of the pools that are of an acceptable model and large enough, whatever is free of them."""
    return _suited(standing, need).rows


def zones_suited(standing: Standing, need: AcceleratorNeed) -> Mask:
    """The zones that have such a pool."""
    return _suited(standing, need).in_zone


def _suited(standing: Standing, need: AcceleratorNeed) -> _Suited:
    key = ("suited", need)
    known: _Suited | None = standing.kept.get(key)
    if known is not None:
        return known
    pools = standing.pools
    is_acceptable = np.array([is_acceptable_model(need, pool) for pool in pools.kinds], dtype=np.bool_)
    model_rows = np.flatnonzero(is_acceptable[pools.kind]) if len(pools.kind) else np.zeros(0, dtype=np.int64)
    rows = model_rows[pools.memory_mib[model_rows] >= need.memory_mib_min]
    models_in = _by_zone(pools, model_rows)
    in_zone = np.zeros(len(standing.zones), dtype=np.bool_)
    in_zone[pools.zone[rows]] = True
    found = _Suited(rows, in_zone, models_in, _by_zone(pools, rows), _words(standing, need, models_in))
    standing.kept.keep(key, found)
    return found


def _words(standing: Standing, need: AcceleratorNeed, models_in: dict[int, list[int]]) -> _Words:
    pools, largest = standing.pools, {row: standing.pools.at(rows[-1]) for row, rows in models_in.items()}
    return _Words(
        models=tuple(_models_text(pools, row, models_in.get(row)) for row in range(len(standing.zones))),
        memory={row: f"{pool.memory_mib} MiB on {pool.key}" for row, pool in largest.items()},
        model_bound=f"any of {', '.join(need.any_of)}{_nearest(pools, need)}" if need.any_of else "any model",
        memory_bound=f">= {need.memory_mib_min} MiB",
    )


def _on_one_node(pools: Pools, at: int, need: AcceleratorNeed, free: int) -> str:
    most = int(pools.replica_count_max[at])
    return f", at most {most} on one node" if most < min(need.count, free) else ""


def _nearest(pools: Pools, need: AcceleratorNeed) -> str:
    """The model that is named most like the first that no zone has, where no zone has any of them."""
    kinds = [pools.kinds[kind] for kind in np.unique(pools.kind).tolist()]
    if any(is_acceptable_model(need, pool) for pool in kinds):
        return ""
    return NearNames(name for pool in kinds for name in (pool.model, pool.key)).hint(need.any_of[0])


def _models_text(pools: Pools, zone: int, suited: list[int] | None) -> str:
    rows = suited or range(int(pools.first[zone]), int(pools.first[zone + 1]))
    return ", ".join(pools.at(at).key for at in rows) or "no accelerator"


def _device_bound(need: AcceleratorNeed, replicas: int) -> str:
    return f">= {need.count * replicas} ({need.count} x {replicas} replicas)"


def _by_zone(pools: Pools, rows: Ints) -> dict[int, list[int]]:
    """Rows of pools by the zone that they belong to."""
    found: dict[int, list[int]] = {}
    for zone, row in zip(pools.zone[rows].tolist(), rows.tolist(), strict=True):
        found.setdefault(zone, []).append(row)
    return found

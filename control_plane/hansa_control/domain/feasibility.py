"""Filters: every hard constraint of a workload, evaluated for every zone, with every reason kept.

Whoever owns a zone runs the same filters on its own truth before it grants a hold to a partner. A failing constraint is
a value with what was found, what was asked and on what that rests; it is never an exception, and one failure never
hides another. A constraint that another failure makes meaningless (the latency of a path that may not be used) is
reported as NOT_EVALUATED, beside the real reason, and never passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hansa_control.domain.capacity_filters import CPU_CAPACITY as CPU_CAPACITY
from hansa_control.domain.capacity_filters import GPU_CAPACITY as GPU_CAPACITY
from hansa_control.domain.capacity_filters import GPU_MEMORY as GPU_MEMORY
from hansa_control.domain.capacity_filters import GPU_MODEL as GPU_MODEL
from hansa_control.domain.capacity_filters import MEMORY_CAPACITY as MEMORY_CAPACITY
from hansa_control.domain.capacity_filters import Accelerators, Machine
from hansa_control.domain.columns import build_columns
from hansa_control.domain.filters import Filter, Ints, Mask, Question
from hansa_control.domain.law_filter import Law
from hansa_control.domain.model import (
    AccessLatency,
    ConstraintResult,
    Rejection,
    WorkloadSpec,
    Zone,
)
from hansa_control.domain.place_filters import ARTEFACT as ARTEFACT
from hansa_control.domain.place_filters import ZONE_STATE as ZONE_STATE
from hansa_control.domain.place_filters import Artefact, State
from hansa_control.domain.reach import Reach
from hansa_control.domain.snapshot import Snapshot


class FilterOutcome(NamedTuple):
    """What the filters say of one zone: it is feasible exactly if rejections is empty.

    latencies holds the access points with a lawful path, in the order of the spec; pool is the key of the accelerator
    pool that would be used, empty if none is needed or none suffices.
    """

    rejections: tuple[Rejection, ...]
    passed: tuple[ConstraintResult, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str


class Verdicts:
    """What the filters say of all zones of a snapshot: which are feasible at once, and why not on demand.

    failing is by zone, in the order of the snapshot. Everything here follows from immutable values, so a reason that is
    asked for later is the reason of this evaluation.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.columns = question.columns
        self.reach = Reach(question)
        self.accelerators = Accelerators(question, self._replicas_by_pool())
        self.machine = Machine(question, self._replicas_by_zone())
        self.filters: tuple[Filter, ...] = (
            State(question),
            Law(question),
            self.reach,
            Artefact(question),
            self.accelerators,
            self.machine,
        )
        self.failing: Mask = np.logical_or.reduce([at.failing for at in self.filters])

    @cached_property
    def feasible_rows(self) -> Ints:
        return np.flatnonzero(~self.failing)

    def rejections(self) -> tuple[Rejection, ...]:
        """Every reason for every refused zone: by zone, and for each in the order of the filters."""
        by_row: dict[int, list[Rejection]] = {row: [] for row in np.flatnonzero(self.failing).tolist()}
        for at in self.filters:
            for row, rejection in at.refuse(np.flatnonzero(at.failing).tolist()):
                by_row[row].append(rejection)
        return tuple(rejection for found in by_row.values() for rejection in found)

    def rejections_of(self, row: int) -> tuple[Rejection, ...]:
        """Every reason for one zone; empty if it is feasible."""
        return tuple(found for at in self.filters if at.failing[row] for _, found in at.refuse([row]))

    def passed(self, row: int) -> tuple[ConstraintResult, ...]:
        """Every constraint that holds of a zone."""
        return tuple(result for at in self.filters for result in at.passed(row))

    def pool(self, row: int) -> str:
        """The key of the pool that would be used in a zone; empty if none is needed or none suffices."""
        at = int(self.accelerators.pool_row[row])
        return self.columns.standing.pools.at(at).key if at >= 0 else ""

    def outcome(self, row: int) -> FilterOutcome:
        """Everything there is to say of one zone."""
        return FilterOutcome(self.rejections_of(row), self.passed(row), self.reach.latencies(row), self.pool(row))

    def _replicas_by_pool(self) -> Ints:
        return np.full(len(self.columns.standing.pools.zone), self._replicas, dtype=np.int64)

    def _replicas_by_zone(self) -> Ints:
        return np.full(len(self.columns), self._replicas, dtype=np.int64)

    @property
    def _replicas(self) -> int:
        """How many replicas a zone must have room for: all of them, or one where they may be spread."""
        spec = self.question.spec
        return 1 if spec.zones.maximum > 1 else spec.replicas


def judge_zones(spec: WorkloadSpec, snapshot: Snapshot, now_ms: int) -> Verdicts:
    """Evaluates every constraint of ``spec`` for every zone of a snapshot at wall-clock time ``now_ms``.

    The spec was validated by whoever took it in.
    """
    return Verdicts(Question(spec, snapshot, now_ms))


def filter_zone(spec: WorkloadSpec, snapshot: Snapshot, zone: Zone, now_ms: int) -> FilterOutcome:
    """The same for one zone, which need not be in the snapshot: the network and what was probed count alone."""
    alone = replace(snapshot, columns=build_columns((zone,)), index={zone.id: 0})
    return judge_zones(spec, alone, now_ms).outcome(0)


def filter_zones(spec: WorkloadSpec, snapshot: Snapshot, zones: Iterable[Zone], now_ms: int) -> list[FilterOutcome]:
    """The same for some zones, each on its own."""
    return [filter_zone(spec, snapshot, zone, now_ms) for zone in zones]

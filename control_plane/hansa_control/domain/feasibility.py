"""Filters: every hard constraint of a workload, evaluated for every zone, with every reason kept.

Whoever owns a zone runs the same filters on its own truth before it grants a hold to a partner. A failing constraint is
a value with what was found, what was asked and on what that rests; it is never an exception, and one failure never
hides another. A constraint that another failure makes meaningless (the latency of a path that may not be used) is
reported as NOT_EVALUATED, beside the real reason, and never passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.capacity_filters import CPU_CAPACITY as CPU_CAPACITY
from hansa_control.domain.capacity_filters import GPU_CAPACITY as GPU_CAPACITY
from hansa_control.domain.capacity_filters import GPU_MEMORY as GPU_MEMORY
from hansa_control.domain.capacity_filters import GPU_MODEL as GPU_MODEL
from hansa_control.domain.capacity_filters import MEMORY_CAPACITY as MEMORY_CAPACITY
from hansa_control.domain.capacity_filters import Accelerators, Machine, Price, Wanted, pool_keys
from hansa_control.domain.claim_groups import groups_of
from hansa_control.domain.columns import build_columns
from hansa_control.domain.filters import Filter, Ints, Mask, Question
from hansa_control.domain.law_filter import Law
from hansa_control.domain.location_filter import Location
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
from hansa_control.domain.reach import Reach, Sources
from hansa_control.domain.refusal_filter import Consent
from hansa_control.domain.round_trips import CUT_OFF, lawful_trips, round_trips
from hansa_control.domain.service import Service
from hansa_control.domain.snapshot import Network, Snapshot

REFUSAL_WEIGHT = 25
"""What a refusal in words weighs in a memo, as words of memory."""


class FilterOutcome(NamedTuple):
    """What the filters say of one zone: it is feasible exactly if rejections is empty.

    latencies holds the access points with a lawful path, in the order of the spec; pool is the key of the accelerator
    pool that would be used, empty if none is needed or none suffices.
    """

    rejections: tuple[Rejection, ...]
    passed: tuple[ConstraintResult, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str


class Standpoint(NamedTuple):
    """What the filters say of zones whatever is free in them: it stays until the network, a measurement or a fact does
    not. wanted is what would serve if it were free, refused is by zone; scores keeps, by home operator, terms of scores
    that stay as long, and their sum. mark is its own as long as its words stay.
    """

    question: Question
    until_ms: int
    law: Law
    location: Location
    reach: Reach
    sources: Sources
    service: Service
    wanted: Wanted
    refused: Mask
    scores: dict[str, tuple[Mapping[str, NDArray[np.float64]], NDArray[np.float64]]]
    mark: object

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Those whose words stay as long, too, but for those on paths, which stay with the network."""
        return (self.law, self.location, self.reach, self.sources)

    def is_of(self, question: Question) -> bool:
        return self.question.network is question.network and self.is_timely(question)

    def is_timely(self, question: Question) -> bool:
        same = self.question.snapshot.measured is question.snapshot.measured and self.question.own == question.own
        return same and self.question.now_ms <= question.now_ms < self.until_ms

    def on(self, question: Question) -> Standpoint | None:
        """The same on a network whose links have changed; None if that changes what was found."""
        same_places = self.question.network.nodes is question.network.nodes
        if not same_places or not self.is_timely(question) or question.spec.data_sources:
            return None
        if round_trips(question) is not self.reach.rtt_us:
            return None
        # A request without data sources has nothing to say of them, whatever the network.
        return self._replace(question=question, reach=self.reach.on(question), mark=object())


class Verdicts:
    """What the filters say of all zones of a snapshot: which are feasible at once, and why not on demand.

    failing is by zone, in the order of the snapshot. Everything here follows from immutable values, so a reason that is
    asked for later is the reason of this evaluation.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.columns = question.columns
        self.standpoint = standpoint = _standpoint(question)
        self.reach, self.service = standpoint.reach, standpoint.service
        self.accelerators = Accelerators(question, standpoint.wanted)
        self.replicas = self._replicas()
        self.price = Price(question, self.replicas)
        state, artefact, machine = State(question), Artefact(question), Machine(question, self.replicas)
        consent = Consent(question)
        self.filters: tuple[Filter, ...] = (
            state,
            *standpoint.filters,
            artefact,
            consent,
            standpoint.service,
            self.accelerators,
            machine,
            self.price,
        )
        self.failing: Mask = standpoint.refused | state.failing
        for at in (consent, self.accelerators, machine, self.price):
            self.failing |= at.failing

    def rejections(self) -> tuple[Rejection, ...]:
        """Every reason for every refused zone: by zone, and for each in the order of the filters."""
        lasting = self.standpoint.filters
        found = _refused(self.filters[:1])
        found += _lasting_refusals(self.standpoint, self.question.network)
        found += _refused(self.filters[1 + len(lasting) :])
        found.sort(key=itemgetter(0))  # of each row they stay in the order of the filters
        return tuple([rejection for _, rejection in found])

    def rejections_of(self, row: int) -> tuple[Rejection, ...]:
        """Every reason for one zone; empty if it is feasible."""
        return tuple(found for at in self.filters if at.failing[row] for _, found in at.refuse([row]))

    def passed(self, row: int) -> tuple[ConstraintResult, ...]:
        """Every constraint that holds of a zone."""
        lasting = len(self.standpoint.filters)
        found = [*self.filters[0].passed(row), *_lasting_passed(self.standpoint, self.question.network, row)]
        return tuple(found + [result for at in self.filters[1 + lasting :] for result in at.passed(row)])

    def pool(self, row: int) -> str:
        """The key of the pool that would be used in a zone; empty if none is needed or none suffices."""
        at = int(self.accelerators.pool_row[row])
        return pool_keys(self.columns.standing)[at] if at >= 0 else ""

    def pools(self, rows: Ints) -> list[str]:
        """The same for the zones of some rows."""
        keys = pool_keys(self.columns.standing)
        return [keys[at] if at >= 0 else "" for at in self.accelerators.pool_row[rows].tolist()]

    def outcome(self, row: int) -> FilterOutcome:
        """Everything there is to say of one zone."""
        return FilterOutcome(self.rejections_of(row), self.passed(row), self.reach.latencies(row), self.pool(row))

    def _replicas(self) -> Ints:
        """Replicas by zone: those that the pool which would be used needs, or the zone where none is needed."""
        is_same = self.question.spec.accelerator is None or self.service.is_least
        if is_same or not len(self.service.replicas):
            return self.service.by_zone
        return np.where(
            self.accelerators.pool_row >= 0, self.service.replicas[self.accelerators.pool_row], self.service.by_zone
        )


def _standpoint(question: Question) -> Standpoint:
    """Kept with what zones are, by request."""
    kept = question.columns.standing.asked
    known: Standpoint | None = kept.get(question.spec)
    if known is None or not known.is_of(question):
        known = (known and known.on(question)) or _viewed(question)
        kept.keep(question.spec, known, weight=len(question.columns) * (len(question.spec.access) + 10))
    return known


def _viewed(question: Question) -> Standpoint:
    reach = Reach(question)
    law, location, sources = Law(question), Location(question), Sources(question)
    service = Service(question, reach.rtt_us)
    wanted = Wanted(question, service.replicas, service.sufficient)
    refused = law.failing | location.failing | reach.failing | sources.failing | service.failing
    refused |= Artefact(question).failing
    until_ms = groups_of(question).until_ms
    return Standpoint(question, until_ms, law, location, reach, sources, service, wanted, refused, {}, object())


def _refused(filters: Iterable[Filter]) -> list[tuple[int, Rejection]]:
    """Every reason of some filters with its row, filter by filter."""
    return list(chain.from_iterable([at.refuse(np.flatnonzero(at.failing).tolist()) for at in filters]))


def _lasting_refusals(standpoint: Standpoint, network: Network) -> list[tuple[int, Rejection]]:
    """What the filters of a standpoint say, which takes longest to put into words; kept with the network."""
    key = ("refused", standpoint.mark)
    known: list[tuple[int, Rejection]] | None = network.routes.get(key)
    if known is None:
        known = _refused(standpoint.filters)
        network.routes.keep(key, known, weight=REFUSAL_WEIGHT * len(known) + 1)
    return known


def _lasting_passed(standpoint: Standpoint, network: Network, row: int) -> list[ConstraintResult]:
    """What holds of a zone by the filters of a standpoint, in words; kept like what they refuse."""
    key = ("passed", standpoint.mark, row)
    known: list[ConstraintResult] | None = network.routes.get(key)
    if known is None:
        known = [result for at in standpoint.filters for result in at.passed(row)]
        network.routes.keep(key, known, weight=REFUSAL_WEIGHT * len(known) + 1)
    return known


def judge_zones(spec: WorkloadSpec, snapshot: Snapshot, now_ms: int, own: str = "") -> Verdicts:
    """Evaluates every constraint of ``spec`` for every zone of a snapshot at wall-clock time ``now_ms``.

    own is the operator that asks, whose own zones' places are beyond doubt; empty is the one that the snapshot is of.

    The spec was validated by whoever took it in.
    """
    return Verdicts(Question(spec, snapshot, now_ms, own or snapshot.own))


def unlawful(spec: WorkloadSpec, snapshot: Snapshot, row: int, now_ms: int) -> tuple[Rejection, ...]:
    """What the law alone says against the zone of a row, as ``filter_zone`` would.

    That is facts, place, data sources, and access points that no lawful path leads from; what else ``Reach`` finds may
    be among it. It is cheap, for it is asked of everything that runs, again and again.
    """
    question = Question(spec, snapshot, now_ms, snapshot.own)
    filters: list[Filter] = [Law(question), Location(question)]
    if spec.data_sources:
        filters.append(Sources(question))
    if (lawful_trips(question)[:, row] == CUT_OFF).any():
        filters.append(Reach(question))
    return tuple(found for at in filters if at.failing[row] for _, found in at.refuse([row]))


def filter_zone(spec: WorkloadSpec, snapshot: Snapshot, zone: Zone, now_ms: int) -> FilterOutcome:
    """The same for one zone, which need not be in the snapshot: the network and what was probed count alone."""
    verdicts, row = _judged_alone(spec, snapshot, zone, now_ms)
    return verdicts.outcome(row)


def refusals_of_zone(
    spec: WorkloadSpec, snapshot: Snapshot, zone: Zone, now_ms: int
) -> tuple[tuple[Rejection, ...], str]:
    """What ``filter_zone`` says against one zone, and the key of the pool that would be used; the rest costs more."""
    verdicts, row = _judged_alone(spec, snapshot, zone, now_ms)
    return verdicts.rejections_of(row), verdicts.pool(row)


def _judged_alone(spec: WorkloadSpec, snapshot: Snapshot, zone: Zone, now_ms: int) -> tuple[Verdicts, int]:
    """Verdicts in which the zone has a row: those of the snapshot where the zone is of it and they are mostly known, or
    the request has come before: whoever asks for the same of one zone after another has the next one know them.
    """
    row = snapshot.index.get(zone.id)
    if row is not None and snapshot.zones[row] is zone:
        asked, mark = snapshot.columns.standing.asked, ("judged alone", spec)
        if asked.get(spec) is not None or asked.get(mark) is not None:
            return judge_zones(spec, snapshot, now_ms), row
        asked.keep(mark, spec)
    alone = replace(snapshot, columns=build_columns((zone,)), index={zone.id: 0})
    return judge_zones(spec, alone, now_ms), 0


def filter_zones(spec: WorkloadSpec, snapshot: Snapshot, zones: Iterable[Zone], now_ms: int) -> list[FilterOutcome]:
    """The same for some zones, each on its own."""
    return [filter_zone(spec, snapshot, zone, now_ms) for zone in zones]

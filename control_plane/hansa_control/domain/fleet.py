"""A fleet of workloads as one re-packing problem: each judged by the same columnar filters and scores that place it.

Zones are judged as if nothing of the fleet ran in them, so that capacity refuses only what would never fit; what the
fleet holds is taken up again by the problem, zone by zone. A workload may always stay where it is: where it may not be
any more that costs more than any move, so that it leaves if it can and keeps its room if it cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hansa_control.domain.capacity import add, amount_for
from hansa_control.domain.columns import Columns, owned_by
from hansa_control.domain.feasibility import Verdicts, judge_zones
from hansa_control.domain.filters import Ints, Mask
from hansa_control.domain.model import Reason, Rejection, WorkloadSpec, Zone, ZoneId
from hansa_control.domain.optimization import Holding, Member
from hansa_control.domain.repacking_problem import NOWHERE, RepackingProblem
from hansa_control.domain.scoring import STAY_BONUS, Floats, Scores, budget_share, carbon_gco2_per_kwh
from hansa_control.domain.snapshot import Snapshot

OPENING_COST = 0.02
"""What a zone costs that nothing else uses: it gathers workloads, but is less than a move, so none is made for it."""

TOLERATED = frozenset(
    {
        Reason.ZONE_CORDONED,
        Reason.TENANT_REFUSED,
        Reason.TENANT_UNKNOWN,
        Reason.DATA_REFUSED,
        Reason.TIME_REFUSED,
        Reason.CPU_EXHAUSTED,
        Reason.MEMORY_EXHAUSTED,
        Reason.GPU_EXHAUSTED,
        Reason.NOT_EVALUATED,
    }
)
"""Reasons against coming that are none against staying: room that one has, and a zone that takes nothing new."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workloads to re-pack on a snapshot, by the operator ``home``, at wall-clock time now_ms (UTC)."""

    members: tuple[Member, ...]
    snapshot: Snapshot
    home: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A workload as the problem sees it, by zone (Z,): terms (T, Z) of its score, where it may be, what it would take.

    demand (Z, D); current is the row of its zone, -1 for none; violations are what that zone fails; histogram counts
    refused zones by constraint where every zone is refused.
    """

    names: tuple[str, ...]
    terms: Floats
    admissible: Mask
    demand: Ints
    replicas: Ints
    latency_share: Floats
    current: int
    violations: tuple[Rejection, ...]
    refusal: str

    @property
    def score(self) -> Floats:
        """The terms together (Z,)."""
        return np.asarray(np.round(self.terms.sum(axis=0), 9))


class Bench:
    """The zones of a fleet, with and without what it holds, and the columns of capacity."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.snapshot = fleet.snapshot
        self.emptied = _emptied(fleet)
        first = self.snapshot.columns.standing.pools.first
        self.slots = int(np.diff(first).max(initial=0))

    @cached_property
    def free(self) -> Ints:
        """What is free now (Z, D): CPU, memory, and each pool of the zone in its order."""
        return self._room(self.snapshot.columns)

    @cached_property
    def capacity(self) -> Ints:
        """What would be free if nothing of the fleet ran (Z, D)."""
        return self._room(self.emptied.columns)

    def _room(self, columns: Columns) -> Ints:
        room = np.zeros((len(columns), 2 + self.slots), dtype=np.int64)
        room[:, 0], room[:, 1] = columns.cpu_free_millis, columns.memory_free_mib
        pools = columns.standing.pools
        room[pools.zone, 2 + np.arange(len(pools.zone)) - pools.first[pools.zone]] = columns.devices_free
        return room

    def verdicts(self, spec: WorkloadSpec) -> Verdicts:
        """What the filters say of a workload where nothing of the fleet runs."""
        return judge_zones(spec, self.emptied, self.fleet.now_ms, self.fleet.home)

    @cached_property
    def own(self) -> Mask:
        """Zones of the home operator."""
        return owned_by(self.snapshot.columns, self.fleet.home)

    @cached_property
    def opening(self) -> Floats:
        """What using a zone costs at first (Z,): nothing where others than the fleet use it already."""
        emptied = self.emptied.zones
        unused = np.array([zone.free == zone.inventory.capacity for zone in emptied], dtype=np.bool_)
        return np.where(unused, OPENING_COST, 0.0)

    def judge(self, member: Member) -> Judged:
        """One workload, on all zones."""
        verdicts = self.verdicts(member.spec)
        refused = verdicts.failing
        if member.own_spec != member.spec:
            refused = np.where(self.own, self.verdicts(member.own_spec).failing, refused)
        scores = Scores(verdicts, self.fleet.home, frozenset())
        current, violations = self._standing(member, verdicts)
        demand, replicas = self._demand(member.spec, verdicts), verdicts.replicas.copy()
        admissible: Mask = ~refused
        if current >= 0 and member.holding is not None:
            demand[current], replicas[current] = self._held(member.spec, member.holding), member.holding.replicas
            admissible[current] = True
        return Judged(
            tuple(scores.terms),
            np.array(list(scores.terms.values())),
            admissible,
            demand,
            replicas,
            budget_share(verdicts),
            current,
            violations,
            "" if admissible.any() and not (violations and admissible.sum() == 1) else _refusal(verdicts),
        )

    def _standing(self, member: Member, verdicts: Verdicts) -> tuple[int, tuple[Rejection, ...]]:
        """The row of the present zone, and what it fails."""
        holding = member.holding
        row = NOWHERE if holding is None else self.snapshot.index.get(holding.zone, NOWHERE)
        if row < 0:
            return NOWHERE, ()
        strict = self.own[row] and member.own_spec != member.spec
        found = (self.verdicts(member.own_spec) if strict else verdicts).rejections_of(row)
        return row, tuple(rejection for rejection in found if rejection.reason not in TOLERATED)

    def _demand(self, spec: WorkloadSpec, verdicts: Verdicts) -> Ints:
        """What all replicas take in each zone (Z, D), of the pool that its owner would choose."""
        demand = np.zeros((len(verdicts.columns), 2 + self.slots), dtype=np.int64)
        demand[:, 0], demand[:, 1] = spec.cpu_millis * verdicts.replicas, spec.memory_mib * verdicts.replicas
        if spec.accelerator is not None:
            pools, chosen = verdicts.columns.standing.pools, verdicts.accelerators.pool_row
            rows = np.flatnonzero(chosen >= 0)
            slot = 2 + chosen[rows] - pools.first[rows]
            demand[rows, slot] = spec.accelerator.count * verdicts.replicas[rows]
        return demand

    def _held(self, spec: WorkloadSpec, holding: Holding) -> Ints:
        """What a workload holds now (D,)."""
        row, pools = self.snapshot.index[holding.zone], self.snapshot.columns.standing.pools
        held = np.zeros(2 + self.slots, dtype=np.int64)
        held[:2] = spec.cpu_millis * holding.replicas, spec.memory_mib * holding.replicas
        for slot, at in enumerate(range(int(pools.first[row]), int(pools.first[row + 1]))):
            if spec.accelerator is not None and pools.at(at).key == holding.pool:
                held[2 + slot] = spec.accelerator.count * holding.replicas
        return held

    @cached_property
    def carbon_gco2_per_kwh(self) -> Ints:
        """The proved carbon intensity of each zone, -1 where none is."""
        if not self.fleet.members:
            return np.full(len(self.snapshot.columns), -1, dtype=np.int64)
        return carbon_gco2_per_kwh(self.verdicts(self.fleet.members[0].spec))


def problem_of(bench: Bench, judged: Sequence[Judged]) -> RepackingProblem:
    """The re-packing problem of a fleet whose workloads were judged, in its order."""
    zones = len(bench.snapshot.columns)
    admissible = np.array([at.admissible for at in judged], dtype=np.bool_).reshape(len(judged), zones)
    score = np.array([at.score for at in judged]).reshape(len(judged), zones)
    best = np.where(admissible, score, -np.inf).max(axis=1, initial=-np.inf)
    cost = np.where(admissible, np.where(np.isfinite(best), best, 0.0)[:, None] - score, 0.0)
    never = 10.0 * (1.0 + float(np.abs(cost).max(initial=0.0)))
    for line, at in enumerate(judged):
        if at.violations:
            cost[line, at.current] += never
    return RepackingProblem(
        cost,
        admissible,
        np.array([at.demand for at in judged], dtype=np.int64).reshape(len(judged), zones, 2 + bench.slots),
        bench.capacity,
        bench.opening,
        np.full(len(judged), STAY_BONUS),
        np.array([at.current for at in judged], dtype=np.int64),
    )


def _emptied(fleet: Fleet) -> Snapshot:
    """The snapshot with what the fleet holds given back."""
    snapshot, zones = fleet.snapshot, dict[ZoneId, Zone]()
    for member in fleet.members:
        holding = member.holding
        zone = None if holding is None else zones.get(holding.zone) or snapshot.zone(holding.zone)
        if holding is not None and zone is not None:
            amount = amount_for(replace(member.spec, replicas=holding.replicas), holding.pool)
            zones[zone.id] = replace(zone, free=add(zone.free, amount))
    return snapshot.with_changed(snapshot.generation, zones.values(), snapshot.taken_at_ms)


def _refusal(verdicts: Verdicts) -> str:
    """How many zones fail which constraint, most first."""
    if not len(verdicts.columns):
        return "no zone is seen"
    counts: dict[str, set[ZoneId]] = {}
    for rejection in verdicts.rejections():
        if rejection.reason is not Reason.NOT_EVALUATED:
            counts.setdefault(rejection.result.constraint, set()).add(rejection.zone)
    ordered = sorted(counts.items(), key=lambda item: (-len(item[1]), item[0]))
    return ", ".join(f"{len(zones)} {name}" for name, zones in ordered)

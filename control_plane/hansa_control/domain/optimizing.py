"""Re-packing all workloads of an operator: what would move, what it would gain, what it risks. Nothing is done.

Workloads in one zone are packed anew on the same verdicts and scores that place each of them alone (``fleet``), with
what a move costs and what a zone costs for being used. The better of the packing found and the present one is put into
an order in which every move finds room (``move_order``). Workloads over several zones stay, and their room stays taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hansa_control.domain.columns import STATES
from hansa_control.domain.exact import ExactLimits, solve_repacking
from hansa_control.domain.feasibility import Verdicts
from hansa_control.domain.filters import Ints, Mask
from hansa_control.domain.fleet import Bench, Fleet, Judged, problem_of
from hansa_control.domain.joint_problem import SHARE_UNITS
from hansa_control.domain.model import ScoreTerm, ZoneId, ZoneState
from hansa_control.domain.move_order import Order, Step, order_moves
from hansa_control.domain.optimization import (
    Effort,
    Felt,
    Hazard,
    Member,
    Move,
    MoveKind,
    OptimizationPlan,
    Totals,
    Unhoused,
    Unmoved,
)
from hansa_control.domain.prediction import Site, plan_of
from hansa_control.domain.reach import CUT_OFF
from hansa_control.domain.repacking import WORK_MAX, RepackingLimits, repack
from hansa_control.domain.repacking_problem import RepackingProblem, repacking_objective
from hansa_control.domain.scoring import devices_per_replica

THIN_HEADROOM_PERCENT = 10
WORK_PER_WORKLOAD = 400
"""By default no more work than this a workload: small fleets need no two seconds."""

_SILENT = STATES.index(ZoneState.SILENT)


@dataclass(frozen=True, slots=True)
class Packing:
    """A packing, whoever found it: zones (W,), its objective, the work done, and how far it may be from the best."""

    zones: Ints
    objective: float
    work: int
    gap: float | None = None


def optimize(fleet: Fleet, effort: Effort | None = None, unmoved: Sequence[Unmoved] = ()) -> OptimizationPlan:
    """The plan for a fleet; ``unmoved`` are workloads that were left out of it beforehand, and why."""
    bench = Bench(fleet)
    judged = [bench.judge(member) for member in fleet.members]
    problem = problem_of(bench, judged)
    packing = pack(problem, effort or Effort())
    report = Report(bench, judged, problem, packing)
    for step in report.order.steps:
        report.add(step)
    return report.plan(unmoved)


def pack(problem: RepackingProblem, effort: Effort) -> Packing:
    """The best packing found within the effort. It reads and writes nothing but its arguments."""
    if not problem.cost.size:
        return _present(problem)
    usual = min(WORK_MAX, WORK_PER_WORKLOAD * len(problem.cost))
    found = repack(problem, RepackingLimits(effort.work_max or usual))
    packings = [_present(problem), Packing(found.zones, found.objective, found.work)]
    exact = None
    if effort.exact_time_ms_max:
        exact = solve_repacking(problem, ExactLimits(time_limit_s=effort.exact_time_ms_max / 1_000))
        if np.isfinite(exact.objective):
            packings.append(Packing(exact.zones, exact.objective, found.work))
    best = min(packings, key=lambda packing: (_homeless(packing), round(packing.objective, 9)))
    gap = None if exact is None else max(best.objective - exact.bound_for(_homeless(best)), 0.0)
    return replace(best, work=found.work, gap=gap if gap is not None and np.isfinite(gap) else None)


def _present(problem: RepackingProblem) -> Packing:
    """Everybody stays; who has no zone has none."""
    return Packing(problem.current, repacking_objective(problem, problem.current), 0)


def _homeless(packing: Packing) -> int:
    return int((packing.zones < 0).sum())


class Report:
    """A packing put into words: steps in order, each described when it is added, then the plan."""

    def __init__(self, bench: Bench, judged: Sequence[Judged], problem: RepackingProblem, packing: Packing) -> None:
        self._bench, self._judged, self._problem, self._packing = bench, judged, problem, packing
        self._members = bench.fleet.members
        self._zones = bench.snapshot.zones
        self.order: Order = order_moves(problem, bench.free, packing.zones)
        self._free_after = self._room_after()
        self._moves: list[Move] = []

    def _room_after(self) -> Ints:
        free, demand = self._bench.free.copy(), self._problem.demand_in_zones()
        for step in self.order.steps:
            free[step.target] -= demand[step.workload, step.target]
            if step.origin >= 0:
                free[step.origin] += demand[step.workload, step.origin]
        return free

    def add(self, step: Step) -> None:
        """Describes the next step; costs about as much as one decision."""
        member, judged = self._members[step.workload], self._judged[step.workload]
        verdicts = self._bench.verdicts(member.spec)
        before = None if step.origin < 0 else _felt(verdicts, step.origin, int(judged.replicas[step.origin]))
        after = _felt(verdicts, step.target, int(judged.replicas[step.target]))
        fallback = self._fallback(step.workload, self._free_after, step.target)
        had = step.origin >= 0 and self._fallback(step.workload, self._bench.free, step.origin) is not None
        kind = MoveKind.STOPOVER if step.is_stopover else MoveKind.MOVE
        if member.holding is None and step.origin < 0:
            kind = MoveKind.PLACEMENT
        terms = _gains(judged, step)
        self._moves.append(
            Move(
                workload=member.name,
                kind=kind,
                origin=self._origin(member, step),
                target=self._zones[step.target].id,
                replicas=int(judged.replicas[step.target]),
                pool=verdicts.pool(step.target),
                gain=round(sum(term.value for term in terms), 9),
                terms=terms,
                mends=judged.violations if step.origin == judged.current else (),
                hazards=self._hazards(step, (fallback is not None, had), after),
                before=before,
                after=after,
                fallback=None if fallback is None else self._zones[fallback].id,
            )
        )

    def _origin(self, member: Member, step: Step) -> ZoneId | None:
        if step.origin >= 0:
            return self._zones[step.origin].id
        return None if member.holding is None else member.holding.zone

    def _fallback(self, workload: int, free: Ints, zone: int) -> int | None:
        """The best other zone with room for it, or None."""
        judged = self._judged[workload]
        able: Mask = judged.admissible & (judged.demand <= free).all(axis=1)
        able[zone] = False
        if judged.violations:
            able[judged.current] = False
        return int(np.where(able, judged.score, -np.inf).argmax()) if able.any() else None

    def _hazards(self, step: Step, fallback: tuple[bool, bool], after: Felt | None) -> tuple[Hazard, ...]:
        has, had = fallback
        spec, zone = self._members[step.workload].spec, self._zones[step.target]
        bound_us = spec.latency.response_us_max or spec.latency.rtt_us_max
        detour = step.is_stopover or any(s.workload == step.workload and s.is_stopover for s in self.order.steps)
        found = {
            Hazard.TARGET_SILENT: self._bench.snapshot.columns.state[step.target] == _SILENT,
            Hazard.PARTNER: zone.id.operator != self._bench.fleet.home,
            Hazard.FALLBACK_LOST: had and not has,
            Hazard.NO_FALLBACK: not had and not has,
            Hazard.THIN_HEADROOM: after is not None and after.headroom_us * 100 < bound_us * THIN_HEADROOM_PERCENT,
            Hazard.DETOUR: detour,
        }
        return tuple(hazard for hazard, is_so in found.items() if is_so)

    def plan(self, unmoved: Sequence[Unmoved]) -> OptimizationPlan:
        """The plan, once every step was added."""
        left_out = [self._left_out(workload) for workload in self.order.left_out]
        return OptimizationPlan(
            moves=tuple(self._moves),
            gain=round(sum(move.gain for move in self._moves), 9),
            before=self._totals(self._problem.current),
            after=self._totals(self.order.zones),
            unhoused=tuple(self._unhoused()),
            unmoved=tuple(sorted([*unmoved, *left_out], key=lambda at: at.workload)),
            workloads=len(self._members),
            snapshot_generation=self._bench.snapshot.generation,
            work=self._packing.work,
            gap=self._packing.gap,
        )

    def _left_out(self, workload: int) -> Unmoved:
        target = self._zones[int(self._packing.zones[workload])].id
        return Unmoved(
            self._members[workload].name, f"{target} would be better, but has no room at any point in the order"
        )

    def _unhoused(self) -> list[Unhoused]:
        """Workloads that end nowhere, or where they may not be."""
        found = []
        for member, judged, row in zip(self._members, self._judged, self.order.zones.tolist(), strict=True):
            if row >= 0 and not (judged.violations and row == judged.current):
                continue
            proven = bool(judged.refusal)
            message = f"no lawful zone: {judged.refusal}" if proven else "lawful zones have no room for it"
            if row >= 0 and judged.violations:
                message += f"; it stays although {judged.violations[0].reason}"
            held = None if member.holding is None else member.holding.zone
            found.append(Unhoused(member.name, held, proven, message))
        return found

    def _totals(self, zones: Ints) -> Totals:
        placed = [(w, row) for w, row in enumerate(zones.tolist()) if row >= 0]
        share = [float(self._judged[w].latency_share[row]) for w, row in placed]
        carbon = [self._carbon(w, row) for w, row in placed]
        broken = sum(bool(self._judged[w].violations) and row == self._judged[w].current for w, row in placed)
        return Totals(
            placed=len(placed),
            latency_permille=round(1_000 * sum(share) / max(len(share), 1)),
            price_millieur_per_hour=sum(self._price(w, row) for w, row in placed),
            carbon_mg_per_hour=None if None in carbon else sum(mg for mg in carbon if mg is not None),
            zones=len({row for _, row in placed}),
            violations=broken,
        )

    def _price(self, workload: int, row: int) -> int:
        price = int(self._bench.snapshot.columns.standing.price_millieur_per_hour[row])
        return price * devices_per_replica(self._members[workload].spec) * int(self._judged[workload].replicas[row])

    def _carbon(self, workload: int, row: int) -> int | None:
        spec, grams = self._members[workload].spec, int(self._bench.carbon_gco2_per_kwh[row])
        watts = int(self._bench.snapshot.columns.standing.device_watts[row])
        if spec.accelerator is None or grams < 0 or not watts:
            return None
        return watts * grams * devices_per_replica(spec) * int(self._judged[workload].replicas[row])


def _gains(judged: Judged, step: Step) -> tuple[ScoreTerm, ...]:
    """By how much each term of the score rises, those that change."""
    if step.origin < 0:
        return ()
    values = np.round(judged.terms[:, step.target] - judged.terms[:, step.origin], 9).tolist()
    return tuple(ScoreTerm(name, value) for name, value in zip(judged.names, values, strict=True) if value)


def _felt(verdicts: Verdicts, row: int, replicas: int) -> Felt | None:
    """What the slowest users feel in a zone; None where some have no lawful path to it."""
    spec = verdicts.question.spec
    if (verdicts.reach.rtt_us[:, row] == CUT_OFF).any():
        return None
    site = Site(row, replicas, (SHARE_UNITS,) * len(spec.access))
    predicted = plan_of(verdicts, [site], [None], 0.0).predicted
    slowest_us = max(at.rtt_us for at in predicted)
    headroom_us = spec.latency.rtt_us_max - slowest_us
    if spec.latency.response_us_max:
        headroom_us = spec.latency.response_us_max - max(at.rtt_us + at.wait_us + at.service_us for at in predicted)
    return Felt(max(at.p95_us for at in predicted), headroom_us)

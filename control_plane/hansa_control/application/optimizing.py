"""What packing workloads anew would move, gain and risk: asked overnight or by hand, never acted on here.

Judging a workload and describing a move take as long as a decision each, so that others are served in between; the
search, which takes seconds and works on arrays of its own, is handed to a worker. One search runs at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from hansa_control.application.lawbook import LawDesk
from hansa_control.application.ports import Clock, RefusalError, Worker
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.fleet import Bench, Fleet, problem_of
from hansa_control.domain.model import Placement, PlacementState, Reason, Workload, WorkloadState
from hansa_control.domain.optimization import Effort, Holding, Member, OptimizationPlan, Unmoved
from hansa_control.domain.optimizing import Report, pack

PAIRS_MAX = 1_000_000
EXACT_PAIRS_MAX = 20_000
_LIVE = frozenset({PlacementState.STARTING, PlacementState.READY})


@dataclass(frozen=True, slots=True)
class Optimized:
    """A plan, and how long it took."""

    plan: OptimizationPlan
    elapsed_us: int


class Optimizer:
    """Plans re-packing on the world of the moment."""

    def __init__(
        self, settings: Settings, records: tuple[State, World], laws: LawDesk, sources: tuple[Clock, Worker]
    ) -> None:
        self._settings = settings
        self._state, self._world = records
        self._laws = laws
        self._clock, self._worker = sources
        self._is_busy = False

    async def optimize(self, tenant: str, effort: Effort) -> Optimized:
        """The plan for a tenant's workloads, for all of the operator's where the tenant is empty.

        RefusalError UNAVAILABLE while another search runs, LIMIT_EXCEEDED for too large a fleet, INVALID_FIELD where
        the optimum is asked of one that is too large for that.
        """
        if self._is_busy:
            raise RefusalError(Reason.UNAVAILABLE, "another optimization is running; ask again when it has ended")
        self._is_busy = True
        try:
            return await self._optimize(tenant, effort)
        finally:
            self._is_busy = False

    async def _optimize(self, tenant: str, effort: Effort) -> Optimized:
        started_us = self._clock.elapsed_us()
        fleet, unmoved = self._fleet(tenant)
        self._check_size(fleet, effort)
        bench, judged = Bench(fleet), []
        for member in fleet.members:
            judged.append(bench.judge(member))
            await self._clock.sleep_ms(0)
        problem = problem_of(bench, judged)
        packing = await self._worker.run(lambda: pack(problem, effort))
        report = Report(bench, judged, problem, packing)
        for step in report.order.steps:
            report.add(step)
            await self._clock.sleep_ms(0)
        return Optimized(report.plan(unmoved), self._clock.elapsed_us() - started_us)

    def _check_size(self, fleet: Fleet, effort: Effort) -> None:
        pairs = len(fleet.members) * len(fleet.snapshot.columns)
        size = f"{len(fleet.members)} workloads on {len(fleet.snapshot.columns)} zones"
        if pairs > PAIRS_MAX:
            raise RefusalError(Reason.LIMIT_EXCEEDED, f"{size} are {pairs} pairs; at most {PAIRS_MAX} are packed")
        if effort.exact_time_ms_max and pairs > EXACT_PAIRS_MAX:
            message = f"{size} are {pairs} pairs; the optimum is proven for at most {EXACT_PAIRS_MAX}"
            raise RefusalError(Reason.INVALID_FIELD, message, "exact")

    def _fleet(self, tenant: str) -> tuple[Fleet, list[Unmoved]]:
        prefix = f"tenants/{tenant}/" if tenant else ""
        members, unmoved = list[Member](), list[Unmoved]()
        for key in sorted(key for key in self._state.workloads if key.startswith(prefix)):
            held = self._state.workloads[key]
            why = _why_not(held)
            if why:
                unmoved.append(Unmoved(key, why))
            else:
                members.append(self._member(held))
        snapshot = self._world.snapshot()
        return Fleet(tuple(members), snapshot, self._settings.operator, self._clock.wall_ms()), unmoved

    def _member(self, held: Workload) -> Member:
        spec = self._laws.enforced(held.spec, held.id.tenant)
        placement = held.placements[0] if held.placements else None
        return Member(str(held.id), spec, self._laws.owned(spec), None if placement is None else _holding(placement))


def _holding(placement: Placement) -> Holding:
    return Holding(placement.zone, placement.replicas, placement.pool)


def _why_not(held: Workload) -> str:
    """Why a workload is not re-packed; empty if it is."""
    if held.state is WorkloadState.DELETING:
        return "it is being deleted"
    if held.spec.zones.maximum > 1 or len([at for at in held.placements if at.state in _LIVE]) > 1:
        return "it may be spread over several zones, which are planned together; it stays as it is"
    settled = all(at.state in _LIVE and at.generation == held.generation for at in held.placements)
    if not settled and held.state is WorkloadState.UNPLACEABLE:
        return "its zone is lost and no other takes it; it is placed as soon as one does"
    return "" if settled else "it is being placed or moved just now"

"""Optimization on the wire: the request inward, the plan outward."""

from __future__ import annotations

from hansa.v1 import optimization_pb2, workload_pb2
from hansa.v1 import workload_service_pb2 as service_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_decision import rejection_out
from hansa_control.application.optimizing import Optimized
from hansa_control.domain.optimization import (
    Effort,
    Felt,
    Hazard,
    Move,
    MoveKind,
    OptimizationPlan,
    Totals,
    Unhoused,
    Unmoved,
)

WORK_MAX = 1_000_000
EXACT_TIME_MS_MAX = 600_000
EXACT_TIME_MS_DEFAULT = 30_000

MOVE_KINDS = fields.EnumCodec(MoveKind, optimization_pb2.MoveKind, "MOVE_KIND")
HAZARDS = fields.EnumCodec(Hazard, optimization_pb2.MoveHazard, "MOVE_HAZARD")


def effort_in(wire: service_pb2.OptimizePlacementsRequest) -> Effort:
    """How hard to search; a time for the proof without asking for one is refused."""
    work_max = fields.range_in(wire.work_max, (0, WORK_MAX), "work_max")
    time_ms = fields.range_in(wire.exact_time_ms_max, (0, EXACT_TIME_MS_MAX), "exact_time_ms_max")
    if time_ms and not wire.exact:
        raise fields.refused("exact_time_ms_max", "is for exact alone; set exact, or leave it 0")
    return Effort(work_max, (time_ms or EXACT_TIME_MS_DEFAULT) if wire.exact else 0)


def optimized_out(optimized: Optimized) -> service_pb2.OptimizePlacementsResponse:
    return service_pb2.OptimizePlacementsResponse(optimization=_plan_out(optimized.plan, optimized.elapsed_us))


def _plan_out(plan: OptimizationPlan, elapsed_us: int) -> optimization_pb2.Optimization:
    return optimization_pb2.Optimization(
        moves=[_move_out(move) for move in plan.moves],
        gain=plan.gain,
        before=_totals_out(plan.before),
        after=_totals_out(plan.after),
        unhoused=[_unhoused_out(one) for one in plan.unhoused],
        unmoved=[_unmoved_out(one) for one in plan.unmoved],
        workloads=plan.workloads,
        snapshot_generation=plan.snapshot_generation,
        work=plan.work,
        gap=plan.gap,
        elapsed_us=elapsed_us,
    )


def _move_out(move: Move) -> optimization_pb2.WorkloadMove:
    return optimization_pb2.WorkloadMove(
        workload=move.workload,
        kind=MOVE_KINDS.out(move.kind),
        origin="" if move.origin is None else str(move.origin),
        target=str(move.target),
        replicas=move.replicas,
        pool=move.pool,
        gain=move.gain,
        terms=[workload_pb2.ScoreTerm(name=term.name, value=term.value) for term in move.terms],
        mends=[rejection_out(rejection) for rejection in move.mends],
        hazards=[HAZARDS.out(hazard) for hazard in move.hazards],
        before=_felt_out(move.before),
        after=_felt_out(move.after),
        fallback="" if move.fallback is None else str(move.fallback),
    )


def _felt_out(felt: Felt | None) -> optimization_pb2.FeltLatency | None:
    if felt is None:
        return None
    return optimization_pb2.FeltLatency(p95_us=felt.p95_us, headroom_us=felt.headroom_us)


def _totals_out(totals: Totals) -> optimization_pb2.FleetTotals:
    return optimization_pb2.FleetTotals(
        placed=totals.placed,
        latency_permille=totals.latency_permille,
        price_millieur_per_hour=totals.price_millieur_per_hour,
        carbon_mg_per_hour=totals.carbon_mg_per_hour,
        zones=totals.zones,
        violations=totals.violations,
    )


def _unhoused_out(one: Unhoused) -> optimization_pb2.UnhousedWorkload:
    return optimization_pb2.UnhousedWorkload(
        workload=one.workload, zone="" if one.zone is None else str(one.zone), proven=one.proven, message=one.message
    )


def _unmoved_out(one: Unmoved) -> optimization_pb2.UnmovedWorkload:
    return optimization_pb2.UnmovedWorkload(workload=one.workload, message=one.message)

"""Decisions, placements and workloads on the wire: outward whole, inward only what a partner sends, rejections."""

from __future__ import annotations

from collections.abc import Sequence

from hansa.v1 import common_pb2, reason_pb2, workload_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_workload import policy_out, spec_out
from hansa_control.domain.model import (
    AccessLatency,
    Assignment,
    Choice,
    Condition,
    ConditionStatus,
    ConstraintResult,
    Decision,
    Event,
    EventLevel,
    Placement,
    PlacementState,
    Plan,
    PredictedLatency,
    Reason,
    Rejection,
    Workload,
    WorkloadState,
)

REJECTION_COUNT_MAX = 100

REASONS = fields.EnumCodec(Reason, reason_pb2.Reason, "REASON")
WORKLOAD_STATES = fields.EnumCodec(WorkloadState, workload_pb2.WorkloadState, "WORKLOAD_STATE")
PLACEMENT_STATES = fields.EnumCodec(PlacementState, workload_pb2.PlacementState, "PLACEMENT_STATE")
CONDITION_STATUSES = fields.EnumCodec(ConditionStatus, common_pb2.ConditionStatus, "CONDITION_STATUS")
EVENT_LEVELS = fields.EnumCodec(EventLevel, common_pb2.EventLevel, "EVENT_LEVEL")


# --- decisions ------------------------------------------------------------------------------------------------------


def decision_out(decision: Decision) -> workload_pb2.Decision:
    return workload_pb2.Decision(
        choices=[_choice_out(choice) for choice in decision.choices],
        rejections=[rejection_out(rejection) for rejection in decision.rejections],
        zones_evaluated=decision.zones_evaluated,
        snapshot_generation=decision.snapshot_generation,
        elapsed_us=decision.elapsed_us,
        nearest_fix=decision.nearest_fix,
        plan=None if decision.plan is None else _plan_out(decision.plan),
        margin=decision.margin,
        pivotal=decision.pivotal,
        policy=None if decision.policy is None else policy_out(decision.policy),
        digest=decision.digest,
    )


def _plan_out(plan: Plan) -> workload_pb2.Plan:
    return workload_pb2.Plan(
        assignments=[_assignment_out(assignment) for assignment in plan.assignments],
        predicted=[_predicted_out(predicted) for predicted in plan.predicted],
        price_millieur_per_hour=plan.price_millieur_per_hour,
        power_watts=plan.power_watts,
        carbon_mg_per_hour=plan.carbon_mg_per_hour,
        objective=plan.objective,
    )


def _assignment_out(assignment: Assignment) -> workload_pb2.Assignment:
    return workload_pb2.Assignment(
        zone=str(assignment.zone),
        replicas=assignment.replicas,
        pool=assignment.pool,
        share_permille=assignment.share_permille,
        latencies=[_latency_out(latency) for latency in assignment.latencies],
        fallback="" if assignment.fallback is None else str(assignment.fallback),
    )


def _predicted_out(predicted: PredictedLatency) -> workload_pb2.PredictedLatency:
    return workload_pb2.PredictedLatency(
        access_point=predicted.access_point,
        p50_us=predicted.p50_us,
        p95_us=predicted.p95_us,
        p99_us=predicted.p99_us,
        rtt_us=predicted.rtt_us,
        wait_us=predicted.wait_us,
        service_us=predicted.service_us,
    )


def _choice_out(choice: Choice) -> workload_pb2.Choice:
    return workload_pb2.Choice(
        zone=str(choice.zone),
        score=choice.score,
        terms=[workload_pb2.ScoreTerm(name=term.name, value=term.value) for term in choice.terms],
        latencies=[_latency_out(latency) for latency in choice.latencies],
        pool=choice.pool,
        passed=[_result_out(result) for result in choice.passed],
        replicas=choice.replicas,
    )


def _latency_out(latency: AccessLatency) -> workload_pb2.AccessLatency:
    return workload_pb2.AccessLatency(
        access_point=latency.access_point,
        rtt_us=latency.rtt_us,
        path=latency.path,
        countries=latency.countries,
        bases=latency.bases,
        return_path=latency.return_path,
    )


def _result_out(result: ConstraintResult) -> workload_pb2.ConstraintResult:
    return workload_pb2.ConstraintResult(
        constraint=result.constraint, measured=result.measured, bound=result.bound, evidence=result.evidence
    )


def rejection_out(rejection: Rejection) -> workload_pb2.Rejection:
    return workload_pb2.Rejection(
        zone=str(rejection.zone), reason=REASONS.out(rejection.reason), result=_result_out(rejection.result)
    )


def rejections_in(wires: Sequence[workload_pb2.Rejection], path: str) -> tuple[Rejection, ...]:
    """A partner's reasons; one that is newer than this registry reads as OWNER_REFUSED."""
    fields.not_empty(wires, path)
    fields.bounded(wires, REJECTION_COUNT_MAX, path)
    return tuple(_rejection_in(wire, f"{path}[{index}]") for index, wire in enumerate(wires))


def _rejection_in(wire: workload_pb2.Rejection, path: str) -> Rejection:
    found = ConstraintResult(
        constraint=fields.text_in(wire.result.constraint, f"{path}.result.constraint"),
        measured=fields.message_in(wire.result.measured, f"{path}.result.measured"),
        bound=fields.message_in(wire.result.bound, f"{path}.result.bound"),
        evidence=fields.message_in(wire.result.evidence, f"{path}.result.evidence"),
    )
    zone = fields.zone_id_in(wire.zone, f"{path}.zone")
    return Rejection(zone, REASONS.read_or(wire.reason, Reason.OWNER_REFUSED), found)


# --- workloads ------------------------------------------------------------------------------------------------------


def workload_out(workload: Workload) -> workload_pb2.Workload:
    """A workload for its app team; the revision is the etag. Attempt and client id are not part of it."""
    return workload_pb2.Workload(
        name=str(workload.id),
        uid=workload.uid,
        spec=spec_out(workload.spec),
        generation=workload.generation,
        etag=str(workload.revision),
        state=WORKLOAD_STATES.out(workload.state),
        placements=[_placement_out(placement) for placement in workload.placements],
        conditions=[_condition_out(condition) for condition in workload.conditions],
        created_at_ms=workload.created_at_ms,
    )


def _placement_out(placement: Placement) -> workload_pb2.Placement:
    return workload_pb2.Placement(
        claim=placement.claim,
        zone=str(placement.zone),
        replicas=placement.replicas,
        state=PLACEMENT_STATES.out(placement.state),
        endpoint_urls=placement.endpoint_urls,
        endpoint_ca_pem=placement.endpoint_ca_pem,
        latencies=[_latency_out(latency) for latency in placement.latencies],
        message=placement.message,
        fencing_token=placement.fencing_token,
        pool=placement.pool,
        generation=placement.generation,
        batch=placement.batch,
        share_permille=placement.share_permille,
        batch_parts=placement.batch_parts,
        has_answered=placement.has_answered,
    )


def _condition_out(condition: Condition) -> common_pb2.Condition:
    return common_pb2.Condition(
        type=condition.type,
        status=CONDITION_STATUSES.out(condition.status),
        reason=condition.reason,
        message=condition.message,
        observed_generation=condition.observed_generation,
        changed_at_ms=condition.changed_at_ms,
    )


def event_out(event: Event) -> common_pb2.Event:
    return common_pb2.Event(
        sequence=event.sequence,
        at_ms=event.at_ms,
        workload=event.workload,
        reason=event.reason,
        message=event.message,
        level=EVENT_LEVELS.out(event.level),
    )

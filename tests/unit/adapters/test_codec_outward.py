"""What goes out drops nothing: whichever field of a value changes, the message changes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hansa_control.adapters import codec_agent, codec_decision, codec_service, codec_zone
from hansa_control.domain import model as m

ZONE = m.ZoneId("nordfjord", "oslo-1")
LATENCY = m.AccessLatency("oslo", 10, ("oslo", "bergen"), ("NO",), ("modelled",), ("bergen", "voss", "oslo"))
RESULT = m.ConstraintResult("LatencyBound", "31 ms", "25 ms", "path")
REJECTION = m.Rejection(ZONE, m.Reason.LATENCY_EXCEEDED, RESULT)
CHOICE = m.Choice(ZONE, 1.5, (m.ScoreTerm("latency", 0.5),), (LATENCY,), "nvidia/L4", (RESULT,))
ASSIGNMENT = m.Assignment(ZONE, 2, "nvidia/L4", (1000, 250), (LATENCY,), m.ZoneId("nordfjord", "bergen-1"))
PREDICTED = m.PredictedLatency("oslo", 40, 60, 80, 10, 15, 35)
PLAN = m.Plan((ASSIGNMENT,), (PREDICTED,), 900, 350, 7_000, 0.75)
DECISION = m.Decision(
    choices=(CHOICE,),
    rejections=(REJECTION,),
    zones_evaluated=9,
    snapshot_generation=7,
    nearest_fix="raise the latency budget",
    elapsed_us=120,
    plan=PLAN,
    margin=0.25,
    pivotal="price",
    policy=m.ResidencyPolicy(),
    digest="sha256:1",
)
CONDITION = m.Condition("Ready", m.ConditionStatus.TRUE, "Serving", "ready", 2, 5)
PLACEMENT = m.Placement(
    "c1",
    ZONE,
    1,
    m.PlacementState.READY,
    (LATENCY,),
    ("https://127.0.0.1:1",),
    b"pem",
    "ready",
    4,
    "nvidia/L4",
    2,
    3,
    (250,),
)
SPEC = m.WorkloadSpec(
    m.ArtefactRef("ocr", "sha256:" + "0" * 64),
    None,
    1,
    1,
    1,
    (m.AccessDemand("oslo", 1),),
    m.LatencyBudget(95, 25_000),
    m.ResidencyPolicy(),
)
WORKLOAD = m.Workload(
    m.WorkloadId("acme", "ocr"), "u1", SPEC, 1, 3, m.WorkloadState.RUNNING, (PLACEMENT,), (CONDITION,), 11, "spiffe://x"
)
EVENT = m.Event(4, 5, "tenants/acme/workloads/ocr", "Placed", "in oslo-1", m.EventLevel.NORMAL)
ORDER = m.DesiredInstance(
    "c1-0", "c1", "tenants/acme/workloads/ocr", SPEC.artefact, m.Capacity(1, 2, (("nvidia/L4", 1),)), 4, b"pem", ("id",)
)
ORDER = replace(ORDER, asker="nordavind/acme", data=(m.DataClass.INPUT,))
TARGET = m.ProbeTarget(ZONE, "127.0.0.1:862")

OTHER: dict[type, Any] = {
    str: "other",
    int: 4242,
    float: 42.5,
    bytes: b"other",
    bool: True,
    m.ZoneId: m.ZoneId("fjordby", "sto-1"),
    m.WorkloadId: m.WorkloadId("other", "other"),
    m.Reason: m.Reason.FENCED,
    m.PlacementState: m.PlacementState.LOST,
    m.WorkloadState: m.WorkloadState.DELETING,
    m.ConditionStatus: m.ConditionStatus.FALSE,
    m.EventLevel: m.EventLevel.WARNING,
    m.ArtefactRef: m.ArtefactRef("other", "sha256:" + "1" * 64),
    m.Capacity: m.Capacity(9, 9),
    m.ConstraintResult: RESULT._replace(measured="other"),
    m.WorkloadSpec: replace(SPEC, replicas=3),
    m.Plan: replace(PLAN, objective=0.5),
    m.ResidencyPolicy: m.ResidencyPolicy(on_change=m.OnChange.TERMINATE),
    tuple: (),
}
NOT_FOR_APP_TEAMS = {"client_id", "attempt"}


def decision_with(choice: m.Choice) -> Any:
    return codec_decision.decision_out(replace(DECISION, choices=(choice,)))


def plan_with(**changes: Any) -> Any:
    return codec_decision.decision_out(replace(DECISION, plan=replace(PLAN, **changes)))


def workload_with(placement: m.Placement) -> Any:
    return codec_decision.workload_out(replace(WORKLOAD, placements=(placement,)))


def names_of(value: Any) -> tuple[str, ...]:
    return value._fields if isinstance(value, tuple) else tuple(field.name for field in fields(value))


def changed(value: Any, field: str, other: Any) -> Any:
    return value._replace(**{field: other}) if isinstance(value, tuple) else replace(value, **{field: other})


CASES: list[tuple[Callable[[Any], Any], Any]] = [
    (codec_decision.decision_out, DECISION),
    (decision_with, CHOICE),
    (lambda term: decision_with(replace(CHOICE, terms=(term,))), CHOICE.terms[0]),
    (lambda latency: decision_with(replace(CHOICE, latencies=(latency,))), LATENCY),
    (lambda result: decision_with(replace(CHOICE, passed=(result,))), RESULT),
    (lambda plan: codec_decision.decision_out(replace(DECISION, plan=plan)), PLAN),
    (lambda assignment: plan_with(assignments=(assignment,)), ASSIGNMENT),
    (lambda predicted: plan_with(predicted=(predicted,)), PREDICTED),
    (codec_decision.rejection_out, REJECTION),
    (codec_decision.workload_out, WORKLOAD),
    (workload_with, PLACEMENT),
    (lambda condition: codec_decision.workload_out(replace(WORKLOAD, conditions=(condition,))), CONDITION),
    (codec_decision.event_out, EVENT),
    (codec_zone.desired_instance_out, ORDER),
    (codec_zone.probe_target_out, TARGET),
]


@pytest.mark.parametrize(
    ("write", "value", "field"),
    [
        pytest.param(write, value, field, id=f"{type(value).__name__}.{field}")
        for write, value in CASES
        for field in names_of(value)
        if field not in NOT_FOR_APP_TEAMS
    ],
)
def test_a_change_of_any_field_changes_the_message(write: Callable[[Any], Any], value: Any, field: str) -> None:
    kind = type(getattr(value, field))
    assert write(changed(value, field, OTHER[kind])) != write(value)


def test_a_decision_without_plan_and_policy_has_neither() -> None:
    wire = codec_decision.decision_out(replace(DECISION, plan=None, policy=None))
    assert not wire.HasField("plan")
    assert not wire.HasField("policy")


def test_what_is_unknown_of_power_and_carbon_is_absent_and_not_zero() -> None:
    unknown, none = (plan_with(power_watts=one, carbon_mg_per_hour=one).plan for one in (None, 0))
    assert not unknown.HasField("power_watts") and not unknown.HasField("carbon_mg_per_hour")
    assert none.HasField("power_watts") and none.HasField("carbon_mg_per_hour")


def test_an_assignment_without_a_fallback_says_so() -> None:
    assert plan_with(assignments=(replace(ASSIGNMENT, fallback=None),)).plan.assignments[0].fallback == ""


def test_an_order_has_the_digest_of_its_content_as_etag() -> None:
    first, again = codec_agent.order_out("instances/c1-0", ORDER), codec_agent.order_out("instances/c1-0", ORDER)
    changed = codec_agent.order_out("instances/c1-0", replace(ORDER, fencing_token=5))
    assert first.etag == again.etag != changed.etag


def test_a_page_says_where_the_next_begins_only_if_there_is_one() -> None:
    both = [replace(WORKLOAD, id=m.WorkloadId("acme", name)) for name in ("a", "b")]
    assert codec_service.workloads_out(both, 1).next_page_token
    assert [one.name for one in codec_service.workloads_out(both, 1).workloads] == ["tenants/acme/workloads/a"]
    assert not codec_service.workloads_out(both, 2).next_page_token


def test_a_workload_that_is_gone_is_said_to_be_deleted() -> None:
    gone = codec_service.watch_out(None, [EVENT])
    assert gone.deleted
    assert not gone.HasField("workload")
    assert [event.reason for event in gone.events] == ["Placed"]

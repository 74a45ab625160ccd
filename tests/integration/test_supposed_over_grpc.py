"""Plans in supposed worlds, expected generations and records, over a real server with real mutual TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from control_harness import AgentByHand, Operator, advert, authority_of, fact, inventory, refusal_of, running, spec
from hansa_control.adapters.authority import Role
from hansa_control.adapters.decision_record import read_record
from hansa_control.domain.record import verify

from hansa.decision_record import unpacked
from hansa.overlay_file import supposed_fact
from hansa.v1 import overlay_pb2, residency_pb2, workload_pb2, workload_service_pb2_grpc
from hansa.v1 import workload_service_pb2 as service_pb2

NAME = "tenants/acme/workloads/ocr"
ZONE = "nordfjord/oslo-1"


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"))) as started:
        yield started


@pytest.fixture
async def acme(operator: Operator) -> AsyncIterator[Any]:
    channel = operator.channel("api", operator.certificate(Role.TENANT, "acme"))
    yield workload_service_pb2_grpc.WorkloadServiceStub(channel)
    await channel.close()


@pytest.fixture
async def agent(operator: Operator) -> AsyncIterator[AgentByHand]:
    async with AgentByHand(operator, "oslo-1") as connected:
        await connected.greet()
        await connected.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        yield connected


def plan(overlay: overlay_pb2.Overlay | None = None, **changes: Any) -> service_pb2.PlanWorkloadRequest:
    return service_pb2.PlanWorkloadRequest(name=NAME, spec=spec(**changes), overlay=overlay)


def zones_of(decision: workload_pb2.Decision) -> list[str]:
    return [choice.zone for choice in decision.choices]


async def test_a_plan_without_an_overlay_is_of_the_world_as_it_is(acme: Any, agent: AgentByHand) -> None:
    found = await acme.PlanWorkload(plan())
    assert (found.hypothetical, found.HasField("present"), found.record) == (False, False, b"")
    assert found.decision.digest.startswith("sha256:")


@pytest.mark.parametrize(
    "overlay",
    [
        overlay_pb2.Overlay(links_removed=["oslo--bergen"]),
        overlay_pb2.Overlay(nodes_removed=["oslo"]),
        overlay_pb2.Overlay(zones_removed=[ZONE]),
        overlay_pb2.Overlay(policy=residency_pb2.ResidencyPolicy(site=residency_pb2.SiteRule(countries_denied=["NO"]))),
    ],
)
async def test_what_is_supposed_makes_it_infeasible_beside_the_world_as_it_is(
    overlay: overlay_pb2.Overlay, acme: Any, agent: AgentByHand
) -> None:
    found = await acme.PlanWorkload(plan(overlay))
    assert found.hypothetical
    assert (zones_of(found.decision), zones_of(found.present)) == ([], [ZONE])
    assert found.decision.snapshot_generation == found.present.snapshot_generation
    assert zones_of((await acme.PlanWorkload(plan())).decision) == [ZONE]


async def test_a_supposed_fact_counts(acme: Any, agent: AgentByHand) -> None:
    swede = overlay_pb2.FactGiven(zone=ZONE, fact=supposed_fact("SITE_COUNTRY", "SE"), instead=True)
    policy = residency_pb2.ResidencyPolicy(site=residency_pb2.SiteRule(countries_allowed=["NO"]))
    found = await acme.PlanWorkload(plan(overlay_pb2.Overlay(facts=[swede]), residency=policy))
    assert (zones_of(found.decision), zones_of(found.present)) == ([], [ZONE])


async def test_an_overlay_that_does_not_fit_names_field_and_nearest(acme: Any, agent: AgentByHand) -> None:
    refusal = await refusal_of(acme.PlanWorkload(plan(overlay_pb2.Overlay(links_removed=["oslo--bergn"]))))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", "overlay.links_removed[0]")
    assert "did you mean 'oslo--bergen'?" in refusal.message
    refusal = await refusal_of(acme.PlanWorkload(plan(overlay_pb2.Overlay())))
    assert refusal.field == "overlay"


async def test_a_preset_in_an_overlay_counts_and_an_unknown_one_is_refused(acme: Any, agent: AgentByHand) -> None:
    supposed = overlay_pb2.Overlay(policy=residency_pb2.ResidencyPolicy(presets=["secnumcloud"]))
    found = await acme.PlanWorkload(plan(supposed))
    assert (zones_of(found.decision), zones_of(found.present)) == ([], [ZONE])
    assert found.decision.policy.presets[0].startswith("secnumcloud@")
    supposed.policy.presets[:] = ["gdpr-eae"]
    refusal = await refusal_of(acme.PlanWorkload(plan(supposed)))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", "overlay.policy.presets[0]")
    assert "did you mean gdpr-eea?" in refusal.message


# --- expected generations ---


async def test_a_submit_that_expects_its_plan_is_accepted(acme: Any, agent: AgentByHand) -> None:
    generation = (await acme.PlanWorkload(plan())).decision.snapshot_generation
    request = service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec(), expect_generation=generation)
    first = await acme.SubmitWorkload(request)
    again = await acme.SubmitWorkload(request)
    assert first.workload.uid == again.workload.uid


async def test_a_submit_whose_plan_is_overtaken_is_refused_and_changes_nothing(acme: Any, agent: AgentByHand) -> None:
    generation = (await acme.PlanWorkload(plan())).decision.snapshot_generation
    await agent.advertise(advert("inventory", inventory(cordoned=True)))
    request = service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec(), expect_generation=generation)
    refusal = await refusal_of(acme.SubmitWorkload(request))
    assert (refusal.reason, refusal.field) == ("GENERATION_CHANGED", "expect_generation")
    assert refusal.code_seen is grpc.StatusCode.ABORTED  # type: ignore[attr-defined]
    assert f"was {ZONE} x 1 at generation {generation} and now is infeasible" in refusal.message
    assert (await acme.ListWorkloads(service_pb2.ListWorkloadsRequest())).workloads == []


async def test_a_generation_that_nobody_planned_on_is_refused(acme: Any, agent: AgentByHand) -> None:
    request = service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec(), expect_generation=4_711)
    refusal = await refusal_of(acme.SubmitWorkload(request))
    assert refusal.reason == "GENERATION_CHANGED"
    assert "plan again" in refusal.message


# --- records ---


async def test_the_record_of_a_plan_is_that_of_its_decision(acme: Any, agent: AgentByHand) -> None:
    for overlay in (None, overlay_pb2.Overlay(links_removed=["oslo--bergen"])):
        request = plan(overlay)
        request.with_record = True
        found = await acme.PlanWorkload(request)
        record = read_record(unpacked(found.record))
        assert record.digest == found.decision.digest
        assert record.inputs.hypothetical is (overlay is not None)
        assert verify(record) == ()


async def test_the_record_of_a_placed_workload_is_that_of_the_decision_that_placed_it(
    acme: Any, agent: AgentByHand
) -> None:
    await acme.SubmitWorkload(service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec()))
    await agent.read_until("orders")
    found = await acme.ExplainWorkload(service_pb2.ExplainWorkloadRequest(name=NAME, with_record=True))
    record = read_record(unpacked(found.record))
    assert (record.digest, found.record_missing) == (found.decision.digest, "")
    assert verify(record) == ()
    without = await acme.ExplainWorkload(service_pb2.ExplainWorkloadRequest(name=NAME))
    assert (without.record, without.decision.digest) == (b"", found.decision.digest)


async def test_a_record_that_is_not_kept_any_more_is_told(acme: Any, agent: AgentByHand, operator: Operator) -> None:
    await acme.SubmitWorkload(service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec()))
    await agent.read_until("orders")
    operator.running.application.decider.records = type(operator.running.application.decider.records)()
    found = await acme.ExplainWorkload(service_pb2.ExplainWorkloadRequest(name=NAME, with_record=True))
    assert found.record == b""
    assert f"only its digest can be compared: {found.decision.digest}" in found.record_missing

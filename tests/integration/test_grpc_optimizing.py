"""Optimization over a real server with real mutual TLS: who may ask, what comes back, and that nothing is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_harness import AgentByHand, Operator, advert, authority_of, fact, inventory, refusal_of, running, spec
from hansa_control.adapters.authority import KeyPair, Role

from hansa.v1 import optimization_pb2, workload_service_pb2_grpc
from hansa.v1 import workload_service_pb2 as service_pb2


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"))) as started:
        yield started


async def ask(operator: Operator, certificate: KeyPair, **asked: Any) -> optimization_pb2.Optimization:
    """The plan as whoever shows the certificate is told it."""
    channel = operator.channel("api", certificate)
    stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(channel)
    try:
        response = await stub.OptimizePlacements(service_pb2.OptimizePlacementsRequest(**asked), timeout=30)
    finally:
        await channel.close()
    plan: optimization_pb2.Optimization = response.optimization
    return plan


async def submitted(operator: Operator, *names: str) -> None:
    """Workloads that wait for a zone, "tenant/workload" each."""
    for name in names:
        tenant, workload = name.split("/")
        channel = operator.channel("api", operator.certificate(Role.TENANT, tenant))
        stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(channel)
        full = f"tenants/{tenant}/workloads/{workload}"
        await stub.SubmitWorkload(service_pb2.SubmitWorkloadRequest(request_id="r1", name=full, spec=spec()))
        await channel.close()


def named(plan: optimization_pb2.Optimization) -> list[str]:
    return [one.workload for one in (*plan.moves, *plan.unhoused, *plan.unmoved)]


async def test_an_app_team_is_told_of_its_own_workloads_and_the_operator_of_all(operator: Operator) -> None:
    await submitted(operator, "acme/ocr", "rival/asr")
    acme = await ask(operator, operator.certificate(Role.TENANT, "acme"))
    assert (named(acme), acme.workloads) == (["tenants/acme/workloads/ocr"], 1)
    everybody = await ask(operator, operator.certificate(Role.CONTROL_PLANE))
    assert sorted(named(everybody)) == ["tenants/acme/workloads/ocr", "tenants/rival/workloads/asr"]


async def test_an_agent_and_a_stranger_are_refused(operator: Operator) -> None:
    refusal = await refusal_of(ask(operator, operator.certificate(Role.AGENT, "oslo-1")))
    assert refusal.reason == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"work_max": -1}, "work_max"),
        ({"work_max": 1_000_001}, "work_max"),
        ({"exact": True, "exact_time_ms_max": 600_001}, "exact_time_ms_max"),
        ({"exact_time_ms_max": 1_000}, "exact_time_ms_max"),
    ],
)
async def test_a_search_without_bounds_is_refused_by_its_field(
    operator: Operator, asked: dict[str, Any], field: str
) -> None:
    refusal = await refusal_of(ask(operator, operator.certificate(Role.TENANT, "acme"), **asked))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", field)


async def test_without_a_zone_every_workload_is_told_to_be_without_one(operator: Operator) -> None:
    await submitted(operator, "acme/ocr")
    plan = await ask(operator, operator.certificate(Role.TENANT, "acme"), exact=True)
    assert [(one.zone, one.proven) for one in plan.unhoused] == [("", True)]
    assert (len(plan.moves), plan.gain, plan.after.placed) == (0, 0.0, 0)


async def test_a_workload_that_is_well_placed_is_left_there(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        await submitted(operator, "acme/ocr")
        await agent.read_until("orders")
        plan = await ask(operator, operator.certificate(Role.TENANT, "acme"), exact=True)
        assert (len(plan.moves), plan.workloads + len(plan.unmoved)) == (0, 1)


async def test_a_second_search_at_the_same_time_is_asked_to_come_again(operator: Operator) -> None:
    await submitted(operator, "acme/ocr")
    optimizer = operator.running.application.optimizer
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Held:
        async def run(self, job: Any) -> Any:
            entered.set()
            await go_on.wait()
            return job()

    optimizer._worker = Held()
    first = asyncio.create_task(ask(operator, operator.certificate(Role.TENANT, "acme")))
    async with asyncio.timeout(10):
        await entered.wait()
    refusal = await refusal_of(ask(operator, operator.certificate(Role.TENANT, "acme")))
    assert refusal.reason == "UNAVAILABLE"
    go_on.set()
    assert (await first).workloads == 1

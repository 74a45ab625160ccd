"""The world of an operator over a real server with real mutual TLS: who may have it, and what is in it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest
from control_harness import NOWHERE, AgentByHand, Operator, advert, authority_of, inventory, refusal_of, running, spec
from hansa_control.adapters import grpc_snapshots
from hansa_control.adapters.authority import KeyPair, Role
from hansa_control.adapters.world_record import read_world

from hansa.errors import HansaError
from hansa.v1 import snapshot_service_pb2, snapshot_service_pb2_grpc, workload_service_pb2, workload_service_pb2_grpc


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    nordfjord = Operator("nordfjord", tmp_path, authority_of("nordfjord"))
    async with running(nordfjord) as started, AgentByHand(started, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
        yield started


async def taken(operator: Operator, certificate: KeyPair) -> bytes:
    channel = operator.channel("api", certificate)
    stub: Any = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    try:
        answer = await stub.TakeSnapshot(snapshot_service_pb2.TakeSnapshotRequest(), timeout=10)
        return zlib.decompress(answer.world)
    finally:
        await channel.close()


async def submitted(operator: Operator) -> None:
    channel = operator.channel("api", operator.certificate(Role.TENANT, "acme"))
    stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(channel)
    name = "tenants/acme/workloads/yard"
    try:
        await stub.SubmitWorkload(
            workload_service_pb2.SubmitWorkloadRequest(request_id="one", name=name, spec=spec()), timeout=10
        )
    finally:
        await channel.close()


async def test_the_operator_has_zones_network_and_every_tenants_workloads(operator: Operator) -> None:
    await submitted(operator)
    body = await taken(operator, operator.certificate(Role.CONTROL_PLANE))
    world = read_world(body)
    assert world.home == "nordfjord"
    assert [str(zone.id) for zone in world.snapshot.zones] == ["nordfjord/oslo-1"]
    assert {node.name for node in world.snapshot.nodes} >= {"oslo", "bergen"}
    assert [one.name for one in world.workloads] == ["tenants/acme/workloads/yard"]
    assert b"BEGIN" not in body


@pytest.mark.parametrize(("role", "name"), [(Role.TENANT, "acme"), (Role.AGENT, "oslo-1"), (Role.INSTANCE, "oslo-1")])
async def test_nobody_else_has_it(role: Role, name: str, operator: Operator) -> None:
    refusal = await refusal_of(taken(operator, operator.certificate(role, name)))
    assert refusal.reason == "PERMISSION_DENIED"


async def test_a_partner_does_not_get_as_far_as_asking(tmp_path: Path) -> None:
    """Its control plane is trusted where partners talk, and nowhere else."""
    partner = Operator("fjordby", tmp_path / "partner", authority_of("fjordby"))
    owner = Operator("nordfjord", tmp_path / "owner", authority_of("nordfjord"))
    owner.partners = {"fjordby": (NOWHERE, partner.authority.cert_pem)}
    async with running(owner):
        refusal = await refusal_of(taken(owner, partner.certificate(Role.CONTROL_PLANE)))
    assert refusal.code_seen is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


async def test_while_one_is_written_the_next_is_told_to_come_again(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, written = Event(), Event(), grpc_snapshots.packed_world

    def slow(record: Any) -> bytes:
        begun.set()
        assert go_on.wait(10)
        return written(record)

    monkeypatch.setattr(grpc_snapshots, "packed_world", slow)
    own = operator.certificate(Role.CONTROL_PLANE)
    first = asyncio.create_task(taken(operator, own))
    assert await asyncio.to_thread(begun.wait, 10)
    refusal = await refusal_of(taken(operator, own))
    go_on.set()
    assert refusal.reason == "UNAVAILABLE"
    assert "another snapshot is being written" in refusal.message
    assert read_world(await first).home == "nordfjord"
    assert read_world(await taken(operator, own)).home == "nordfjord"


async def test_one_that_failed_does_not_keep_the_next_away(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    own = operator.certificate(Role.CONTROL_PLANE)
    with monkeypatch.context() as broken:
        broken.setattr(grpc_snapshots, "packed_world", lambda record: record.nothing)
        assert isinstance(await refusal_of(taken(operator, own)), HansaError)
    assert read_world(await taken(operator, own)).home == "nordfjord"

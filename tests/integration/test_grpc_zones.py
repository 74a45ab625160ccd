"""Decisions on zones over a real server with real mutual TLS: who may decide, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_harness import AgentByHand, Operator, advert, authority_of, inventory, refusal_of, running
from hansa_control.adapters.authority import KeyPair, Role

from hansa.v1 import zone_pb2, zone_service_pb2, zone_service_pb2_grpc

ZONE = "operators/-/zones/oslo-1"


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    nordfjord = Operator("nordfjord", tmp_path, authority_of("nordfjord"))
    async with running(nordfjord) as started, AgentByHand(started, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
        yield started


async def call(operator: Operator, certificate: KeyPair, method: str, request: Any) -> Any:
    channel = operator.channel("api", certificate)
    stub: Any = zone_service_pb2_grpc.ZoneServiceStub(channel)
    try:
        return await getattr(stub, method)(request, timeout=10)
    finally:
        await channel.close()


async def test_the_operator_decides_on_its_zone_and_is_told_what_holds_now(operator: Operator) -> None:
    own = operator.certificate(Role.CONTROL_PLANE)
    drained = await call(operator, own, "DrainZone", zone_service_pb2.DrainZoneRequest(name=ZONE, note="new switch"))
    assert drained.upkeep == zone_pb2.ZoneUpkeep(intake=zone_pb2.ZONE_INTAKE_DRAINING, note="new switch", sides=[1])
    seen = await call(operator, own, "GetZoneUpkeep", zone_service_pb2.GetZoneUpkeepRequest(name=ZONE))
    assert (seen.upkeep, list(seen.occupants)) == (drained.upkeep, [])
    opened = await call(operator, own, "UncordonZone", zone_service_pb2.UncordonZoneRequest(name=ZONE))
    assert opened.upkeep == zone_pb2.ZoneUpkeep(intake=zone_pb2.ZONE_INTAKE_OPEN)


@pytest.mark.parametrize(("role", "name"), [(Role.TENANT, "acme"), (Role.AGENT, "oslo-1")])
async def test_nobody_else_decides(role: Role, name: str, operator: Operator) -> None:
    request = zone_service_pb2.CordonZoneRequest(name=ZONE)
    refusal = await refusal_of(call(operator, operator.certificate(role, name), "CordonZone", request))
    assert refusal.reason == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("CordonZone", zone_service_pb2.CordonZoneRequest(name="oslo-1"), "name"),
        ("CordonZone", zone_service_pb2.CordonZoneRequest(name=ZONE, note="x" * 201), "note"),
        ("DrainZone", zone_service_pb2.DrainZoneRequest(name=ZONE, due_ms=-1), "due_ms"),
        ("DrainZone", zone_service_pb2.DrainZoneRequest(name=ZONE, due_ms=1), "due_ms"),
        ("AnnounceMaintenance", zone_service_pb2.AnnounceMaintenanceRequest(name=ZONE), "window.until_ms"),
    ],
)
async def test_a_malformed_request_is_refused_with_its_field(
    method: str, request_: Any, field: str, operator: Operator
) -> None:
    refusal = await refusal_of(call(operator, operator.certificate(Role.CONTROL_PLANE), method, request_))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", field)


async def test_a_window_that_was_never_announced_cannot_be_withdrawn(operator: Operator) -> None:
    request = zone_service_pb2.WithdrawMaintenanceRequest(name=ZONE, from_ms=5)
    refusal = await refusal_of(call(operator, operator.certificate(Role.CONTROL_PLANE), "WithdrawMaintenance", request))
    assert refusal.reason == "NOT_FOUND"

"""Measures a partner's round trip: hold, confirm and release of capacity, while it follows the owner's offers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from hansa_control.adapters.system import SystemClock

from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import federation_service_pb2_grpc, reason_pb2
from tools.bench._load import closed_loop, row, rows_of
from tools.bench._submit import WARM_UP_COUNT, Level, call, echo_call, spec
from tools.bench._world import PARTNER, BenchFailed, World, zone_name

LEASE_MS = 10_000


class HomeOperator:
    """A partner's control plane, as the owner of the zones sees it: one connection, offers followed, calls made."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._channel = world.channel("partners", world.callers.partner)
        self._echo_channel = world.channel("echo", world.callers.partner)
        self._stub: Any = federation_service_pb2_grpc.FederationServiceStub(self._channel)
        self._context_id = ""
        self._following: asyncio.Task[None] | None = None
        self._claims = 0

    async def connect(self) -> None:
        proposal = federation_pb2.ProposeRequest(home_operator=PARTNER, wall_clock_ms=SystemClock().wall_ms())
        self._context_id = (await call(self._stub.Propose, proposal)).context_id
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._channel.close()
        await self._echo_channel.close()

    async def rows(self, levels: Sequence[Level]) -> list[dict[str, object]]:
        """Three calls a round trip, as placing does it; the floor is three echoes of the same three messages."""
        await closed_loop(self._through_echo, WARM_UP_COUNT, 1)
        await closed_loop(self._round_trip, WARM_UP_COUNT, 1)
        rows: list[dict[str, object]] = []
        for level in levels:
            half = (self._through_echo, level.count // 2, level.in_flight, self._world.echo.cpu_s)
            before = await closed_loop(*half)
            run = await closed_loop(self._round_trip, level.count, level.in_flight, self._world.control_plane.cpu_s)
            floor = before + await closed_loop(*half)
            rows += rows_of(f"partner.hold_confirm_release.{level.in_flight}_in_flight", run, floor)
        rows.append(row("partner.hold_confirm_release.cpu_per_1000", run.cpu_per_1000_s, "s", floor.cpu_per_1000_s))
        return rows

    async def _round_trip(self, _: int) -> None:
        self._claims += 1
        claim = f"b{self._claims}-1"
        held = await call(self._stub.Hold, self._hold(claim))
        if not held.HasField("grant"):
            raise BenchFailed(f"hold refused: {held.refusal}")
        await call(self._stub.Confirm, self._confirm(claim, held.grant.fencing_token))
        await call(self._stub.Release, self._release(claim))

    async def _through_echo(self, number: int) -> None:
        for message in (self._hold("b1-1"), self._confirm("b1-1", number), self._release("b1-1")):
            await echo_call(self._echo_channel, lambda _, message=message: message)(number)  # type: ignore[misc]

    def _hold(self, claim: str) -> federation_pb2.HoldRequest:
        zone = zone_name(self._claims % len(self._world.callers.agents))
        return federation_pb2.HoldRequest(
            context_id=self._context_id, claim=claim, zone=zone, requirements=spec(), lease_ms=LEASE_MS
        )

    def _confirm(self, claim: str, fencing_token: int) -> federation_pb2.ConfirmRequest:
        return federation_pb2.ConfirmRequest(
            context_id=self._context_id,
            claim=claim,
            fencing_token=fencing_token,
            workload=f"tenants/yard/workloads/{claim}",
            client_ca_pem=self._world.callers.ca_pem,
            client_ids=[f"spiffe://{PARTNER}.hansa.example/tenant/yard"],
        )

    def _release(self, claim: str) -> federation_pb2.ReleaseRequest:
        return federation_pb2.ReleaseRequest(
            context_id=self._context_id, claim=claim, reason=reason_pb2.REASON_WORKLOAD_DELETED
        )

    async def _follow(self) -> None:
        """Takes every delta of offers and acknowledges it, as a home operator does."""
        stream: Any = self._stub.Offers()
        hello = federation_pb2.OffersHello(context_id=self._context_id)
        await stream.write(federation_pb2.OffersRequest(hello=hello))
        while (message := await stream.read()) is not grpc.aio.EOF:
            if message.HasField("delta"):
                ack = agent_pb2.DeltaAck(nonce=message.delta.nonce)
                await stream.write(federation_pb2.OffersRequest(ack=ack))

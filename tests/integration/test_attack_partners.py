"""A partner that means harm, or is broken: bytes of its own behind real mutual TLS, and a home that goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from control_harness import Operator, authority_of, inventory, running, spec
from hansa_control.adapters import grpc_options
from hansa_control.adapters.authority import Role
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import PlacementState
from structlog.testing import capture_logs

from hansa.v1 import common_pb2, network_pb2, workload_service_pb2_grpc, zone_pb2
from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import workload_service_pb2 as service_pb2

GARBAGE = b"\xff\xfe\x00garbage" * 5
WORKLOAD = "tenants/harbour/workloads/yard"
Bytes = Callable[[bytes, Any], Awaitable[bytes]]
Stream = Callable[[AsyncIterator[bytes], Any], AsyncIterator[bytes]]


async def garbage(request: bytes, context: Any) -> bytes:
    return GARBAGE


async def garbage_in_the_details(request: bytes, context: Any) -> bytes:
    details = (("grpc-status-details-bin", b"\xff\xff\xff"),)
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no\n\x1b[31mred", trailing_metadata=details)
    return b""


async def garbage_stream(messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    await anext(messages)
    yield GARBAGE


async def empty_stream(messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    await anext(messages)
    yield b""


def offer(name: str, **body: Any) -> federation_pb2.Offer:
    return federation_pb2.Offer(name=name, etag="e1", **body)


def node(name: str, country: str) -> federation_pb2.Offer:
    body = network_pb2.NetworkNode(name=name, country=country, latitude_deg=59.3, longitude_deg=18.1, access_point=True)
    return offer(f"nodes/{name}", node=body)


def link(name: str, ends: tuple[str, str], carrier: str) -> federation_pb2.Offer:
    rtt = network_pb2.RoundTrip(p50_us=1, p95_us=1, p99_us=1, basis=network_pb2.LATENCY_BASIS_MODELLED)
    body = network_pb2.NetworkLink(
        name=name,
        node_a=ends[0],
        node_b=ends[1],
        length_m=1,
        rtt=rtt,
        countries_known=True,
        carrier=carrier,
        kind=network_pb2.LINK_KIND_TERRESTRIAL,
    )
    return offer(f"links/{name}", link=body)


def zone() -> federation_pb2.Offer:
    has = inventory("stockholm")
    name = "operators/fjordby/zones/stockholm-1"
    state = zone_pb2.ZONE_STATE_AVAILABLE
    free = common_pb2.Capacity(cpu_millis=16_000, memory_mib=65_536)
    return offer("zones/stockholm-1", zone=zone_pb2.Zone(name=name, inventory=has, free=free, state=state))


IN_FORCE = federation_pb2.AgreementStanding(
    state=federation_pb2.AGREEMENT_STATE_IN_FORCE, version=1, digest="sha256:" + "0" * 64
)


@dataclass
class Hostile(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A partner's server, in bytes."""

    ca_pem: bytes
    offers: tuple[federation_pb2.Offer, ...] = ()
    answer: Bytes = garbage
    propose: Bytes | None = None
    stream: Stream | None = None
    refusals: tuple[tuple[str, str], ...] = ()

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method.rpartition("/")[2]
        if method == "Offers":
            return grpc.stream_stream_rpc_method_handler(self.stream or self._offers)
        if method == "Propose":
            return grpc.unary_unary_rpc_method_handler(self.propose or self._propose)
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def _propose(self, request: bytes, context: Any) -> bytes:
        response = federation_pb2.ProposeResponse(
            context_id="ctx",
            owner_operator="fjordby",
            offer_ttl_ms=60_000,
            endpoint_ca_pem=self.ca_pem,
            standing=IN_FORCE,
            capabilities=OURS,
        )
        return response.SerializeToString()

    async def _offers(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await anext(messages)
        delta = federation_pb2.OfferDelta(updated=self.offers, nonce="n1")
        yield federation_pb2.OffersResponse(delta=delta).SerializeToString()
        ack = federation_pb2.OffersRequest.FromString(await anext(messages)).ack
        self.refusals = tuple((refusal.name, refusal.field) for refusal in ack.refusals)
        await asyncio.Event().wait()


@asynccontextmanager
async def facing(folder: Path, **partner: Any) -> AsyncIterator[tuple[Operator, Hostile]]:
    """A real home operator, nordfjord, that dials a hostile fjordby."""
    owner = Operator("fjordby", folder / "owner", authority_of("fjordby"))
    home = Operator("nordfjord", folder / "home", authority_of("nordfjord"))
    own = owner.certificate(Role.CONTROL_PLANE)
    hostile = Hostile(owner.authority.cert_pem, **partner)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((hostile,))
    credentials = grpc.ssl_server_credentials([(own.key_pem, own.cert_pem)], home.authority.cert_pem, True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    home.partners = {"fjordby": (f"127.0.0.1:{port}", owner.authority.cert_pem)}
    async with running(home):
        yield home, hostile
    await server.stop(0)


async def submit(home: Operator) -> None:
    async with home.channel("api", home.certificate(Role.TENANT, "harbour")) as channel:
        stub = workload_service_pb2_grpc.WorkloadServiceStub(channel)
        request = service_pb2.SubmitWorkloadRequest(request_id="r1", name=WORKLOAD, spec=spec())
        await stub.SubmitWorkload(request, timeout=5)


async def zones_seen(home: Operator) -> int:
    async with home.channel("api", home.certificate(Role.TENANT, "harbour")) as channel:
        stub = workload_service_pb2_grpc.WorkloadServiceStub(channel)
        return len((await stub.ListZones(service_pb2.ListZonesRequest(), timeout=5)).zones)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "partner",
    [{"propose": garbage}, {"propose": garbage_in_the_details}, {"stream": garbage_stream}, {"stream": empty_stream}],
    ids=["propose", "details", "stream", "empty message"],
)
async def test_a_partner_that_answers_garbage_is_lost_once_and_the_operator_goes_on(
    tmp_path: Path, partner: dict[str, Any]
) -> None:
    with capture_logs() as logs:
        async with facing(tmp_path, **partner) as (home, _):
            await asyncio.sleep(1.0)
            assert await zones_seen(home) == 0
    lost = [line for line in logs if line["event"] == "partner_lost"]
    assert len(lost) == 1
    assert lost[0]["reason"].isprintable()


@pytest.mark.parametrize("answer", [garbage, garbage_in_the_details])
async def test_an_owner_that_answers_garbage_leaves_one_claim_to_be_released_and_no_more(
    tmp_path: Path, answer: Bytes
) -> None:
    # Cf. a look at every retry: without a bound each of them would leave one more claim behind.
    offers = (zone(), node("stockholm", "SE"))
    async with facing(tmp_path, offers=offers, answer=answer) as (home, _):
        state = home.running.application.state
        await until(lambda: len(state.offers) == 2)
        await submit(home)
        await until(lambda: bool(state.workloads[WORKLOAD].placements))
        await asyncio.sleep(2.5)
        (left,) = state.workloads[WORKLOAD].placements
        assert left.state is PlacementState.RELEASING
        assert left.message.isprintable()
        assert await zones_seen(home) == 1


async def test_nobody_redraws_the_network_of_another(tmp_path: Path) -> None:
    offers = (
        node("stockholm", "SE"),
        node("oslo", "SE"),
        link("oslo--bergen", ("oslo", "bergen"), "fjordby"),
        link("forged", ("oslo", "stockholm"), "nordfjord"),
        link("stockholm--oslo", ("stockholm", "oslo"), "fjordby"),
    )
    async with facing(tmp_path, offers=offers) as (home, hostile):
        await until(lambda: bool(hostile.refusals))
        network = home.running.application.world.snapshot().network
        assert {(one.name, one.country) for one in network.nodes if one.name == "oslo"} == {("oslo", "NO")}
        assert "forged" not in {one.name for one in network.links}
    assert hostile.refusals == (
        ("nodes/oslo", "name"),
        ("links/oslo--bergen", "name"),
        ("links/forged", "link.carrier"),
    )


async def test_a_stranger_that_never_finishes_its_handshake_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_options, "HANDSHAKE_TIMEOUT_MS", 300)
    home = Operator("nordfjord", tmp_path, authority_of("nordfjord"))
    async with running(home):
        host, _, port = home.address("agents").rpartition(":")
        with socket.create_connection((host, int(port))) as stranger:
            stranger.setblocking(False)
            async with asyncio.timeout(5):
                assert await asyncio.get_running_loop().sock_recv(stranger, 1) == b""

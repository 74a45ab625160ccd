"""Federated operators against one another: real servers, real mutual TLS, an authority each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from control_harness import (
    NOWHERE,
    AgentByHand,
    Operator,
    advert,
    authority_of,
    fact,
    inventory,
    refusal_of,
    running,
    spec,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hansa_control.adapters.authority import KeyPair, Role, Subject, Validity, issue
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import HoldRequest, OwnerUnreachable, RefusalError, Refused
from hansa_control.domain.model import ClaimState, HoldGrant, Manifest, Reason, ZoneState

from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import federation_service_pb2_grpc

MANIFEST = Manifest("tenants/acme/workloads/ocr", b"-----BEGIN CERTIFICATE-----\nx\n", ("spiffe://x.example/tenant/a",))


@dataclass
class Federation:
    home: Operator
    owner: Operator


@pytest.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    """Fjordby is home, nordfjord owns the zone oslo-1."""
    owner = Operator("nordfjord", tmp_path / "owner", authority_of("nordfjord"))
    home = Operator("fjordby", tmp_path / "home", authority_of("fjordby"))
    owner.partners = {"fjordby": (NOWHERE, home.authority.cert_pem)}
    async with running(owner):
        home.partners = {"nordfjord": (owner.address("partners"), owner.authority.cert_pem)}
        async with running(home):
            yield Federation(home, owner)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def zones_seen(operator: Operator) -> dict[str, ZoneState]:
    return {str(zone.id): zone.state for zone in operator.running.application.queries.zones("", 100)}


async def connected(federation: Federation) -> None:
    await until(lambda: federation.home.running.application.partners.context("nordfjord") is not None)


def link_of(federation: Federation) -> Any:
    return federation.home.running.links["nordfjord"]


def hold(claim: str = "c1", **changes: Any) -> HoldRequest:
    return HoldRequest(claim, "oslo-1", spec_in(spec(**changes), "spec"), 5_000)


# --- offers ---


async def test_a_partners_zone_is_offered_changes_and_goes_stale(federation: Federation) -> None:
    async with AgentByHand(federation.owner, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        await until(lambda: zones_seen(federation.home) == {"nordfjord/oslo-1": ZoneState.AVAILABLE})
        await agent.advertise(advert("inventory", inventory(cordoned=True)))
        await until(
            lambda: all(zone.inventory.cordoned for zone in federation.home.running.application.queries.zones("", 9))
        )
    await until(lambda: zones_seen(federation.home)["nordfjord/oslo-1"] is not ZoneState.AVAILABLE)


async def test_a_partners_network_is_shared(federation: Federation) -> None:
    await until(
        lambda: (
            {"oslo", "stockholm"} <= {node.name for node in federation.home.running.application.queries.network().nodes}
        )
    )


# --- holding ---


async def test_capacity_is_held_confirmed_and_released_over_the_wire(federation: Federation) -> None:
    async with AgentByHand(federation.owner, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        await until(lambda: "nordfjord/oslo-1" in zones_seen(federation.home))
        link = link_of(federation)
        grant = await link.hold(hold())
        assert isinstance(grant, HoldGrant)
        again = await link.hold(hold())
        assert replace(again, seal=None) == HoldGrant("c1", grant.fencing_token, pytest.approx(5_000, abs=4_000), "")
        status = await link.confirm("c1", grant.fencing_token, MANIFEST)
        assert status.state is ClaimState.ALLOCATED
        order = (await agent.read_until("orders")).updated[0]
        assert order.instance.client_ca_pem == MANIFEST.client_ca_pem
        await agent.send(order_ack=agent_pb2.DeltaAck(nonce="1"))
        released = await link.release("c1", Reason.NO_FEASIBLE_ZONE)
        assert released.state in {ClaimState.RELEASING, ClaimState.RELEASED}


async def test_the_owner_says_every_reason_why_not(federation: Federation) -> None:
    async with AgentByHand(federation.owner, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory(cordoned=True)), advert("facts/SITE_COUNTRY/0", fact()))
        await connected(federation)
        outcome = await link_of(federation).hold(hold(cpu_millis=99_000_000))
    assert isinstance(outcome, Refused)
    assert {Reason.ZONE_CORDONED, Reason.CPU_EXHAUSTED} <= {one.reason for one in outcome.rejections}


async def test_a_claim_with_another_payload_is_refused_with_the_reason_and_the_field(federation: Federation) -> None:
    async with AgentByHand(federation.owner, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        await connected(federation)
        await link_of(federation).hold(hold())
        with pytest.raises(RefusalError) as refusal:
            await link_of(federation).hold(hold(replicas=2))
    assert (refusal.value.reason, refusal.value.field) == (Reason.REQUEST_ID_REUSED, "claim")


async def test_confirming_what_is_not_held_is_refused(federation: Federation) -> None:
    await connected(federation)
    with pytest.raises(RefusalError) as refusal:
        await link_of(federation).confirm("c9", 1, MANIFEST)
    assert refusal.value.reason is Reason.HOLD_EXPIRED


async def test_releasing_what_is_not_there_succeeds(federation: Federation) -> None:
    await connected(federation)
    assert (await link_of(federation).release("c9", Reason.NO_FEASIBLE_ZONE)).state is ClaimState.RELEASED


async def test_an_owner_that_is_not_there_is_unreachable_and_soon_without_waiting(tmp_path: Path) -> None:
    home = Operator("fjordby", tmp_path, authority_of("fjordby"))
    home.partners = {"nordfjord": (NOWHERE, authority_of("nordfjord").cert_pem)}
    async with running(home):
        with pytest.raises(OwnerUnreachable):
            await home.running.links["nordfjord"].hold(hold())


async def test_offers_come_back_after_the_owner_was_restarted(tmp_path: Path) -> None:
    owner = Operator("nordfjord", tmp_path / "owner", authority_of("nordfjord"))
    home = Operator("fjordby", tmp_path / "home", authority_of("fjordby"))
    owner.partners = {"fjordby": (NOWHERE, home.authority.cert_pem)}
    async with running(owner):
        address = owner.address("partners")
        home.partners = {"nordfjord": (address, owner.authority.cert_pem)}
        home_running = running(home)
        await home_running.__aenter__()
        await until(lambda: home.running.application.partners.context("nordfjord") is not None)
    listen = {"api": "127.0.0.1:0", "agents": "127.0.0.1:0", "partners": address, "metrics": "127.0.0.1:0"}
    owner.settings = {"listen": listen}
    owner.store = owner.store.reopen()
    try:
        async with running(owner), AgentByHand(owner, "oslo-1") as agent:
            await agent.greet()
            await agent.advertise(advert("inventory", inventory()))
            await until(lambda: zones_seen(home) == {"nordfjord/oslo-1": ZoneState.AVAILABLE})
    finally:
        await home_running.__aexit__(None, None, None)


# --- who is believed ---


def stub_of(operator: Operator, certificate: KeyPair) -> tuple[grpc.aio.Channel, Any]:
    channel = operator.channel("partners", certificate)
    return channel, federation_service_pb2_grpc.FederationServiceStub(channel)


def proposal(home: str = "fjordby", skew_ms: int = 0) -> federation_pb2.ProposeRequest:
    return federation_pb2.ProposeRequest(home_operator=home, wall_clock_ms=SystemClock().wall_ms() + skew_ms)


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[tuple[Operator, Operator]]:
    """A running owner, and a partner of it that is only a certificate authority."""
    partner = Operator("fjordby", tmp_path / "partner", authority_of("fjordby"))
    owner = Operator("nordfjord", tmp_path / "owner", authority_of("nordfjord"))
    owner.partners = {"fjordby": (NOWHERE, partner.authority.cert_pem)}
    async with running(owner):
        yield owner, partner


async def test_proposing_again_gives_the_same_context(owner: tuple[Operator, Operator]) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.CONTROL_PLANE))
    first, again = await stub.Propose(proposal()), await stub.Propose(proposal())
    assert first.context_id == again.context_id
    assert first.owner_operator == "nordfjord"
    assert first.endpoint_ca_pem == owner[0].authority.cert_pem
    await channel.close()


async def test_each_side_says_what_it_can_do_and_what_is_not_known_is_no_error(
    owner: tuple[Operator, Operator],
) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.CONTROL_PLANE))
    asked = proposal()
    asked.capabilities.extend(["of-a-later-release", "virtual-links"])
    assert "signed-grants" in (await stub.Propose(asked)).capabilities
    asked.capabilities.append("two\nlines")
    refusal = await refusal_of(stub.Propose(asked))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", "capabilities[2]")
    asked.capabilities[:] = [f"c{number}" for number in range(65)]
    assert (await refusal_of(stub.Propose(asked))).field == "capabilities"
    await channel.close()


async def test_a_partner_may_not_propose_in_the_name_of_another(owner: tuple[Operator, Operator]) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.CONTROL_PLANE))
    refusal = await refusal_of(stub.Propose(proposal("havnby")))
    assert (refusal.reason, refusal.field) == ("IDENTITY_MISMATCH", "home_operator")
    await channel.close()


async def test_a_partners_clock_an_hour_off_is_refused(owner: tuple[Operator, Operator]) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.CONTROL_PLANE))
    assert (await refusal_of(stub.Propose(proposal(skew_ms=3_600_000)))).reason == "CLOCK_SKEW"
    assert (await stub.Propose(proposal())).context_id
    await channel.close()


async def test_a_partners_agent_is_not_its_control_plane(owner: tuple[Operator, Operator]) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.AGENT, "sto-1"))
    assert (await refusal_of(stub.Propose(proposal()))).reason == "PERMISSION_DENIED"
    await channel.close()


async def test_an_operator_without_agreement_does_not_get_through_the_handshake(
    owner: tuple[Operator, Operator], tmp_path: Path
) -> None:
    stranger = Operator("havnby", tmp_path / "stranger", authority_of("havnby"))
    channel, stub = stub_of(owner[0], stranger.certificate(Role.CONTROL_PLANE))
    refusal = await refusal_of(stub.Propose(proposal("havnby"), timeout=5))
    assert refusal.code_seen is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    await channel.close()


def unconstrained(operator: str) -> KeyPair:
    """An authority that may sign any name, as far as TLS is concerned."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, operator)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        # It claims the trust domain of another, so that certificates of that domain can be issued with it.
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://havnby.hansa.example")]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key_pem)


async def test_a_partners_authority_cannot_vouch_for_another_operator(tmp_path: Path) -> None:
    """Fjordby's authority is trusted for fjordby; it signs a certificate in the name of havnby."""
    rogue = unconstrained("fjordby")
    owner = Operator("nordfjord", tmp_path, authority_of("nordfjord"))
    owner.partners = {
        "fjordby": (NOWHERE, rogue.cert_pem),
        "havnby": (NOWHERE, authority_of("havnby").cert_pem),
    }
    forged = issue(rogue, Subject(Role.CONTROL_PLANE), Validity.of_days(SystemClock().wall_ms(), 1))
    async with running(owner):
        channel, stub = stub_of(owner, forged)
        refusal = await refusal_of(stub.Propose(proposal("havnby")))
        assert refusal.reason == "IDENTITY_MISMATCH"
        assert "havnby" in refusal.message
        await channel.close()


# --- contexts ---


def requests(context_id: str) -> dict[str, Any]:
    return {
        "Hold": federation_pb2.HoldRequest(
            context_id=context_id, claim="c1", zone="oslo-1", requirements=spec(), lease_ms=100
        ),
        "Confirm": federation_pb2.ConfirmRequest(
            context_id=context_id,
            claim="c1",
            workload=MANIFEST.workload,
            client_ca_pem=MANIFEST.client_ca_pem,
        ),
        "Release": federation_pb2.ReleaseRequest(context_id=context_id, claim="c1", reason=45),  # type: ignore[arg-type]
    }


async def test_every_call_needs_a_federation_in_force(owner: tuple[Operator, Operator]) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.CONTROL_PLANE))
    for method, request in requests("made-up").items():
        assert (await refusal_of(getattr(stub, method)(request))).reason == "FEDERATION_INACTIVE", method
    hello = federation_pb2.OffersRequest(hello=federation_pb2.OffersHello(context_id="made-up"))
    call = stub.Offers()
    await call.write(hello)
    assert (await refusal_of(call.read())).reason == "FEDERATION_INACTIVE"
    await channel.close()


async def test_every_call_checks_the_context(owner: tuple[Operator, Operator]) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.CONTROL_PLANE))
    await stub.Propose(proposal())
    for method, request in requests("made-up").items():
        assert (await refusal_of(getattr(stub, method)(request))).reason == "IDENTITY_MISMATCH", method
    await channel.close()


@pytest.mark.parametrize(
    ("method", "change", "field"),
    [
        ("Hold", {"claim": ""}, "claim"),
        ("Hold", {"zone": "nordfjord/oslo-1"}, "zone"),
        ("Hold", {"lease_ms": 0}, "lease_ms"),
        ("Hold", {"requirements": None}, "requirements.artefact"),
        ("Confirm", {"workload": "ocr"}, "workload"),
        ("Confirm", {"client_ca_pem": b"x"}, "client_ca_pem"),
        ("Release", {"reason": 0}, "reason"),
        ("Release", {"claim": "/"}, "claim"),
    ],
)
async def test_a_malformed_call_is_refused_by_its_field(
    owner: tuple[Operator, Operator], method: str, change: dict[str, Any], field: str
) -> None:
    channel, stub = stub_of(owner[0], owner[1].certificate(Role.CONTROL_PLANE))
    context_id = (await stub.Propose(proposal())).context_id
    request = requests(context_id)[method]
    for name, value in change.items():
        request.ClearField(name)
        if value is not None:
            setattr(request, name, value)
    refusal = await refusal_of(getattr(stub, method)(request))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", field)
    await channel.close()


async def test_heartbeats_come_when_nothing_changes(tmp_path: Path) -> None:
    partner = Operator("fjordby", tmp_path / "partner", authority_of("fjordby"))
    timings = {"heartbeat_interval_ms": 20, "tick_ms": 20}
    owner = Operator("nordfjord", tmp_path / "owner", authority_of("nordfjord"), settings={"timings": timings})
    owner.partners = {"fjordby": (NOWHERE, partner.authority.cert_pem)}
    async with running(owner):
        channel, stub = stub_of(owner, partner.certificate(Role.CONTROL_PLANE))
        context_id = (await stub.Propose(proposal())).context_id
        call = stub.Offers()
        await call.write(federation_pb2.OffersRequest(hello=federation_pb2.OffersHello(context_id=context_id)))
        kinds: list[str] = []
        async with asyncio.timeout(10):
            while kinds.count("heartbeat") < 3:
                message = await call.read()
                kinds.append(message.WhichOneof("body"))
                if kinds[-1] == "delta":
                    ack = agent_pb2.DeltaAck(nonce=message.delta.nonce)
                    await call.write(federation_pb2.OffersRequest(ack=ack))
        assert kinds[:2] == ["standing", "delta"]
        call.cancel()
        await channel.close()

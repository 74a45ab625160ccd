"""Agents against a real server with real mutual TLS: what is wrong is refused, and the server goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from control_harness import (
    AgentByHand,
    Operator,
    advert,
    authority_of,
    fact,
    inventory,
    refusal_of,
    running,
)
from hansa_control.adapters.authority import Role, Subject, Validity, issue, new_authority
from hansa_control.adapters.system import SystemClock
from hansa_control.domain.model import ZoneState

from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import network_pb2


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"))) as started:
        yield started


async def assert_goes_on(operator: Operator, zone: str = "bergen-1") -> None:
    """Another agent is served as if nothing had happened."""
    async with AgentByHand(operator, zone) as agent:
        await agent.greet()
        assert not (await agent.advertise(advert("inventory", inventory("bergen")))).refusals


def zones_of(operator: Operator) -> dict[str, ZoneState]:
    return {zone.id.zone: zone.state for zone in operator.running.application.queries.zones("", 100)}


async def test_an_agent_that_greets_and_advertises_makes_a_zone(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        welcome = await agent.greet()
        assert welcome.heartbeat_interval_ms == 1_000
        ack = await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        assert not ack.refusals
        assert zones_of(operator) == {"oslo-1": ZoneState.AVAILABLE}


async def test_a_heartbeat_is_answered(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.send(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))
        assert (await agent.read_until("heartbeat")).wall_clock_ms > 1


async def test_a_new_stream_is_told_what_is_held_so_that_only_differences_are_sent(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
    async with AgentByHand(operator, "oslo-1") as again:
        welcome = await again.greet()
    held = {one.name: one.etag for one in welcome.advert_etags}
    assert held == {"inventory": advert("inventory", inventory()).etag}


async def test_an_agent_may_not_speak_for_another_zone(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.hello(zone="nordfjord/bergen-1")
        refusal = await agent.refusal()
    assert (refusal.reason, refusal.field) == ("IDENTITY_MISMATCH", "hello.zone")
    assert zones_of(operator) == {}
    await assert_goes_on(operator)


async def test_an_agent_may_not_claim_a_zone_of_another_operator(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.hello(zone="fjordby/oslo-1")
        assert (await agent.refusal()).reason == "IDENTITY_MISMATCH"
    await assert_goes_on(operator)


async def test_a_tenants_certificate_does_not_open_an_agents_stream(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1", operator.certificate(Role.TENANT, "acme")) as agent:
        await agent.hello()
        assert (await agent.refusal()).reason == "PERMISSION_DENIED"
    await assert_goes_on(operator)


async def test_a_certificate_of_another_authority_does_not_get_through_the_handshake(operator: Operator) -> None:
    stranger = issue(
        new_authority("nordfjord", "nordfjord.hansa.example", Validity.of_days(SystemClock().wall_ms(), 1)),
        Subject(Role.AGENT, "oslo-1"),
        Validity.of_days(SystemClock().wall_ms(), 1),
    )
    async with AgentByHand(operator, "oslo-1", stranger) as agent:
        refusal = await refusal_of(agent.greet())
        assert refusal.code_seen is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    await assert_goes_on(operator)


async def test_an_expired_certificate_does_not_get_through_the_handshake(operator: Operator) -> None:
    past = Validity.of_days(SystemClock().wall_ms() - 10 * 86_400_000, 1)
    expired = issue(operator.authority, Subject(Role.AGENT, "oslo-1"), past)
    async with AgentByHand(operator, "oslo-1", expired) as agent:
        refusal = await refusal_of(agent.greet())
        assert refusal.code_seen is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    await assert_goes_on(operator)


@pytest.mark.parametrize("skew_ms", [3_600_000, -3_600_000])
async def test_a_clock_an_hour_off_is_refused(operator: Operator, skew_ms: int) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.hello(skew_ms=skew_ms)
        assert (await agent.refusal()).reason == "CLOCK_SKEW"
    await assert_goes_on(operator)


async def test_a_malformed_advert_is_refused_by_its_field_and_the_stream_goes_on(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        ack = await agent.advertise(
            advert("inventory", inventory(capacity=None)),
            advert("facts/SITE_COUNTRY/0", fact(value="Norway")),
        )
        (refusal,) = ack.refusals
        assert (refusal.name, refusal.field) == ("facts/SITE_COUNTRY/0", "fact.value")
        assert "did you mean 'NO'" in refusal.message
        assert not (await agent.advertise(advert("facts/SITE_COUNTRY/0", fact()))).refusals


async def test_a_probe_in_the_name_of_another_zone_is_refused(operator: Operator) -> None:
    rtt = network_pb2.RoundTrip(p50_us=1, p95_us=2, p99_us=3, basis=network_pb2.LATENCY_BASIS_MEASURED)
    probe = network_pb2.ProbeResult(source_zone="fjordby/sto-1", target_zone="nordfjord/oslo-1", rtt=rtt)
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        ack = await agent.advertise(advert("probes/nordfjord/oslo-1", probe))
        assert [one.field for one in ack.refusals] == ["probe.source_zone"]


async def test_an_inventory_at_an_unknown_node_is_refused(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        ack = await agent.advertise(advert("inventory", inventory("olso")))
        assert "did you mean oslo" in ack.refusals[0].message


async def test_a_replayed_delta_breaks_the_protocol_and_nothing_is_lost(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
        agent.nonce = 0
        await agent.send(adverts=agent_pb2.AdvertDelta(nonce="n1"))
        assert (await agent.refusal()).reason == "PROTOCOL_VIOLATION"
    async with AgentByHand(operator, "oslo-1") as again:
        assert [one.name for one in (await again.greet()).advert_etags] == ["inventory"]


async def test_an_oversized_message_is_refused(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.send(adverts=agent_pb2.AdvertDelta(nonce="n1", removed_names=["x" * 1024] * 5 * 1024))
        assert (await agent.refusal()).reason == "LIMIT_EXCEEDED"
    await assert_goes_on(operator)


async def test_a_truncated_message_is_refused(operator: Operator) -> None:
    async def half(content: bytes) -> None:
        channel = operator.channel("agents", operator.certificate(Role.AGENT, "oslo-1"))
        call = channel.stream_stream("/hansa.v1.AgentService/Session")()
        await call.write(content)
        while await call.read() is not grpc.aio.EOF:
            pass

    whole = agent_pb2.SessionRequest(hello=agent_pb2.AgentHello(zone="nordfjord/oslo-1")).SerializeToString()
    refusal = await refusal_of(half(whole[:-3]))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", "message")
    await assert_goes_on(operator)


async def test_a_stream_that_says_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hansa_control.adapters.grpc_agents.AgentServicer.hello_timeout_s", 0.05)
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"))) as operator:
        async with AgentByHand(operator, "oslo-1") as agent:
            refusal = await agent.refusal()
        assert (refusal.reason, refusal.field) == ("PROTOCOL_VIOLATION", "hello")


async def test_a_flood_of_messages_ends_the_stream(tmp_path: Path) -> None:
    settings = {"limits": {"messages_per_s": 1, "messages_burst": 5}}
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"), settings=settings)) as operator:
        async with AgentByHand(operator, "oslo-1") as agent:
            await agent.greet()
            for _ in range(5):
                await agent.send(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))
            assert (await agent.refusal()).reason == "LIMIT_EXCEEDED"
        await assert_goes_on(operator)


async def test_a_newer_stream_ends_the_older_and_the_zone_stays(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as old:
        await old.greet()
        await old.advertise(advert("inventory", inventory()))
        async with AgentByHand(operator, "oslo-1") as new:
            await new.greet()
            assert (await old.refusal()).reason == "FENCED"
            await new.send(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))
            await new.read_until("heartbeat")
            assert zones_of(operator) == {"oslo-1": ZoneState.AVAILABLE}


async def test_a_zone_whose_agent_left_is_not_available(operator: Operator) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
    async with asyncio.timeout(5):
        while zones_of(operator)["oslo-1"] is ZoneState.AVAILABLE:
            await asyncio.sleep(0.01)


async def test_a_stopping_operator_tells_its_agents(tmp_path: Path) -> None:
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"))) as operator:
        agent = AgentByHand(operator, "oslo-1")
        await agent.greet()
        ending = asyncio.create_task(agent.refusal())
    refusal = await ending
    assert refusal.reason == "UNAVAILABLE"
    assert "is stopping" in refusal.message
    await agent.channel.close()

"""Agents that can only speak MQTT, over a real broker with mutual TLS, against a real control plane."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_harness import Operator, advert, authority_of, inventory, running
from hansa_agent.ports import UplinkLost
from hansa_agent.uplink_mqtt import MqttConnection, MqttUplink
from hansa_control.adapters.authority import Role, Subject, Validity, issue
from hansa_control.adapters.system import SystemClock
from hansa_control.domain.model import ZoneState
from mqtt_broker import Broker
from mqtt_world import PATIENT, SOON_S, World, mqtt_world

from hansa.mqtt_client import BrokerTls, MqttLost, connected
from hansa.mqtt_topics import Way, ZoneTopic, of_all_zones
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1.mqtt_pb2 import SessionFrame, StreamEnd


class Stream:
    """One stream of an agent, message by message."""

    def __init__(self, uplink: MqttUplink, zone: str, boot_id: str) -> None:
        self.uplink = uplink
        self.zone = zone
        self.boot_id = boot_id
        self.nonce = 0
        self.connection: MqttConnection

    async def __aenter__(self) -> Stream:
        self.connection = self.uplink.connect(self.uplink.endpoints[0])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def send(self, **body: Any) -> None:
        await self.connection.send(agent_pb2.SessionRequest(**body))

    async def hello(self, zone: str = "", skew_ms: int = 0) -> None:
        hello = agent_pb2.AgentHello(
            zone=zone or f"nordfjord/{self.zone}",
            boot_id=self.boot_id,
            wall_clock_ms=SystemClock().wall_ms() + skew_ms,
            version="test",
        )
        await self.send(hello=hello)

    async def greet(self) -> agent_pb2.AgentWelcome:
        await self.hello()
        return await self.read_until("welcome")

    async def read_until(self, kind: str) -> Any:
        async with asyncio.timeout(SOON_S):
            while True:
                message = await self.connection.receive()
                if message.WhichOneof("body") == kind:
                    return getattr(message, kind)
                if message.WhichOneof("body") == "orders":
                    await self.send(order_ack=agent_pb2.DeltaAck(nonce=message.orders.nonce))

    async def advertise(self, *adverts: agent_pb2.Advert) -> agent_pb2.DeltaAck:
        self.nonce += 1
        await self.send(adverts=agent_pb2.AdvertDelta(updated=adverts, nonce=f"n{self.nonce}"))
        ack = await self.read_until("advert_ack")
        assert ack.nonce == f"n{self.nonce}"
        return ack

    async def why_lost(self) -> str:
        with pytest.raises(UplinkLost) as lost:
            async with asyncio.timeout(SOON_S):
                while True:
                    await self.connection.receive()
        return str(lost.value)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with mqtt_world(tmp_path) as started:
        yield started


def stream(world: World, zone: str = "oslo-1", boot_id: str = "boot-1") -> Stream:
    return Stream(world.uplink(zone, boot_id), zone, boot_id)


async def assert_goes_on(world: World, zone: str = "bergen-1") -> None:
    """Another agent is served as if nothing had happened."""
    async with stream(world, zone) as agent:
        await agent.greet()
        assert not (await agent.advertise(advert("inventory", inventory("bergen")))).refusals


async def test_an_agent_that_greets_and_advertises_over_mqtt_makes_a_zone(world: World) -> None:
    async with stream(world) as agent:
        assert (await agent.greet()).heartbeat_interval_ms == 1_000
        assert not (await agent.advertise(advert("inventory", inventory()))).refusals
        assert world.zones() == {"oslo-1": ZoneState.AVAILABLE}
        await agent.send(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))
        assert (await agent.read_until("heartbeat")).wall_clock_ms > 1


async def test_a_new_stream_is_told_what_is_held_so_that_only_differences_are_sent(world: World) -> None:
    uplink = world.uplink()
    async with Stream(uplink, "oslo-1", "boot-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
    async with Stream(uplink, "oslo-1", "boot-1") as again:
        welcome = await again.greet()
    assert {one.name: one.etag for one in welcome.advert_etags} == {"inventory": advert("inventory", inventory()).etag}


async def test_a_zone_whose_agent_ended_its_stream_is_silent_and_not_lost(world: World) -> None:
    async with stream(world) as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
    await world.until_zone("oslo-1", ZoneState.SILENT)


async def test_a_last_will_makes_the_zone_silent_at_once_and_not_lost(world: World) -> None:
    async with stream(world) as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
        client = await agent.connection._client()
        client._client._client.socket().shutdown(2)
        await world.until_zone("oslo-1", ZoneState.SILENT)
    await assert_goes_on(world)


async def test_a_will_of_a_former_stream_has_no_effect_on_the_present_one(world: World) -> None:
    uplink = world.uplink()
    async with Stream(uplink, "oslo-1", "boot-1") as former:
        await former.greet()
        async with Stream(uplink, "oslo-1", "boot-1") as agent:
            await agent.greet()
            await agent.advertise(advert("inventory", inventory()))
            await former.connection.close()
            await agent.send(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))
            await agent.read_until("heartbeat")
            assert world.zones() == {"oslo-1": ZoneState.AVAILABLE}


async def test_a_newer_process_of_a_zone_ends_the_older_ones_stream(world: World) -> None:
    async with stream(world, boot_id="boot-1") as old:
        await old.greet()
        async with stream(world, boot_id="boot-2") as new:
            await new.greet()
            assert "FENCED" in await old.why_lost()
            assert not (await new.advertise(advert("inventory", inventory()))).refusals


async def test_an_agent_may_not_speak_for_another_zone(world: World) -> None:
    async with stream(world) as agent:
        await agent.hello(zone="nordfjord/bergen-1")
        assert "IDENTITY_MISMATCH" in await agent.why_lost()
    assert world.zones() == {}
    await assert_goes_on(world)


async def test_a_clock_an_hour_off_is_refused_and_the_agent_is_told(world: World) -> None:
    async with stream(world) as agent:
        await agent.hello(skew_ms=3_600_000)
        assert "CLOCK_SKEW" in await agent.why_lost()


async def test_a_stream_of_an_operators_former_process_is_to_be_begun_anew(world: World) -> None:
    async with stream(world) as agent:
        await agent.greet()
        world.link.agents._streams.clear()
        await agent.send(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))
        assert "does not know this stream" in await agent.why_lost()


async def test_a_hello_that_nobody_heard_is_repeated_until_the_operator_is_there(tmp_path: Path) -> None:
    operator = Operator("nordfjord", tmp_path / "operator", authority_of("nordfjord"), settings=dict(PATIENT))
    broker = Broker(tmp_path / "broker", operator, ["oslo-1"])
    operator.settings["mqtt"] = {"brokers": [broker.address]}
    await broker.start()
    try:
        async with stream(World(operator, broker)) as agent:
            await agent.hello()
            async with running(operator):
                assert (await agent.read_until("welcome")).heartbeat_interval_ms == 1_000
    finally:
        await broker.kill()


async def test_a_stopping_operator_tells_its_agents(tmp_path: Path) -> None:
    async with mqtt_world(tmp_path) as world:
        agent = Stream(world.uplink(), "oslo-1", "boot-1")
        await agent.__aenter__()
        await agent.greet()
        closing = asyncio.create_task(agent.why_lost())
    assert "is stopping" in await closing
    await agent.connection.close()


# --- who may what ---


async def test_nobody_connects_without_a_certificate_of_the_operators_authority(world: World) -> None:
    stranger = authority_of("nordfjord")
    pair = issue(stranger, Subject(Role.AGENT, "oslo-1"), Validity.of_days(SystemClock().wall_ms(), 1))
    forged = world.broker.files("forged", pair.cert_pem, pair.key_pem)
    with pytest.raises(MqttLost):
        async with connected(world.broker.address, forged, "someone", [of_all_zones("nordfjord", Way.UP)]):
            pass
    nobody = ssl.create_default_context(cafile=str(world.broker.folder / "ca.pem"))
    reader, writer = await asyncio.open_connection("127.0.0.1", world.broker.port, ssl=nobody)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
        await asyncio.wait_for(reader.read(), SOON_S)
    writer.close()


@pytest.mark.parametrize("topic", ["hansa/v1/nordfjord/bergen-1/down", "hansa/v1/nordfjord/+/up", "#", "$SYS/#"])
async def test_an_agent_hears_nothing_that_is_for_others(world: World, topic: str) -> None:
    """A pattern is refused or, where part of it is permitted, brings nothing: the broker looks at each message, too."""
    tls = world.broker.tls(Role.AGENT, "oslo-1")
    try:
        async with connected(world.broker.address, tls, "curious", [topic]) as client:
            async with stream(world, "bergen-1") as other:
                await other.greet()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.receive()
    except MqttLost as refused:
        assert "refuses the subscription" in str(refused)


async def test_what_an_agent_publishes_in_another_zones_name_has_no_effect(world: World) -> None:
    async with stream(world, "bergen-1") as victim:
        await victim.greet()
        await victim.advertise(advert("inventory", inventory("bergen")))
        will = SessionFrame(boot_id="boot-1", stream=1, end=StreamEnd(message="gone"))
        async with connected(world.broker.address, world.broker.tls(Role.AGENT, "oslo-1"), "thief", []) as thief:
            for way in Way:
                await thief.publish(str(ZoneTopic("nordfjord", "bergen-1", way)), will.SerializeToString())
            await thief.publish(str(ZoneTopic("nordfjord", "oslo-1", Way.UP)), will.SerializeToString())
            # What is its own has arrived, and so has everything before it.
            await until_passed_over(world, "late")
        await victim.send(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))
        await victim.read_until("heartbeat")
        assert world.zones() == {"bergen-1": ZoneState.AVAILABLE}


async def until_passed_over(world: World, what: str, count: int = 1) -> None:
    async with asyncio.timeout(SOON_S):
        while world.link.agents.counts[what] < count:
            await asyncio.sleep(0.01)


# --- what a broker may do to messages ---


class Raw:
    """An agent that writes its frames itself."""

    def __init__(self, world: World) -> None:
        self.tls: BrokerTls = world.broker.tls(Role.AGENT, "oslo-1")
        self.world = world

    async def play(self, *frames: SessionFrame | bytes) -> str:
        """Publishes frames; the reason with which the stream is ended, or "" if a heartbeat is answered."""
        down = str(ZoneTopic("nordfjord", "oslo-1", Way.DOWN))
        up = str(ZoneTopic("nordfjord", "oslo-1", Way.UP))
        async with connected(self.world.broker.address, self.tls, self.world.ids.new_id(), [down]) as client:
            for frame in frames:
                await client.publish(up, frame if isinstance(frame, bytes) else frame.SerializeToString())
            async with asyncio.timeout(SOON_S):
                while True:
                    answer = SessionFrame.FromString((await client.receive()).payload)
                    if answer.boot_id != "raw":
                        continue
                    if answer.HasField("end"):
                        return answer.end.message
                    if answer.response.HasField("heartbeat"):
                        return ""


def raw(sequence: int, acknowledged: int = 0, **body: Any) -> SessionFrame:
    request = agent_pb2.SessionRequest(**(body or {"heartbeat": agent_pb2.Heartbeat(wall_clock_ms=1)}))
    return SessionFrame(boot_id="raw", stream=1, sequence=sequence, acknowledged=acknowledged, request=request)


def raw_hello() -> SessionFrame:
    now_ms = SystemClock().wall_ms()
    return raw(1, hello=agent_pb2.AgentHello(zone="nordfjord/oslo-1", boot_id="raw", wall_clock_ms=now_ms))


async def test_a_doubled_frame_is_passed_over(world: World) -> None:
    assert await Raw(world).play(raw_hello(), raw_hello(), raw_hello(), raw(2)) == ""
    assert world.link.agents.counts["doubled"] == 2


async def test_a_missing_frame_ends_the_stream(world: World) -> None:
    assert "message 2 was lost on the way; 3 came" in await Raw(world).play(raw_hello(), raw(3))
    await assert_goes_on(world)


async def test_an_acknowledgement_of_what_was_never_sent_ends_the_stream(world: World) -> None:
    assert "acknowledges message 9" in await Raw(world).play(raw_hello(), raw(2, acknowledged=9))


async def test_what_is_no_frame_is_passed_over(world: World) -> None:
    assert await Raw(world).play(b"\xff\xff", b"", raw_hello(), b"\xff", raw(2)) == ""


async def test_a_flood_ends_the_stream_and_no_other(world: World) -> None:
    frames = [raw(sequence) for sequence in range(2, 1_500)]
    said = await Raw(world).play(raw_hello(), *frames[:1])
    assert said == ""
    async with connected(world.broker.address, world.broker.tls(Role.AGENT, "oslo-1"), "flood", []) as client:
        up = str(ZoneTopic("nordfjord", "oslo-1", Way.UP))
        await asyncio.gather(*(client.publish(up, frame.SerializeToString()) for frame in frames[1:]))
    await assert_goes_on(world)
    assert "oslo-1" not in world.link.agents._streams

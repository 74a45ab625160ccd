"""The agent's way to its operator: reconnects, deltas only, refusals, silence, wrong certificates, reload."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import yaml
from agent_harness import WAIT_S, Certificates, World, fact, free_ports, zone_world
from hansa_agent import uplink_grpc
from hansa_agent.ports import UplinkLost
from hansa_agent.uplink_grpc import GrpcUplink, TlsContent

from hansa.delta import etag_of
from hansa.v1.agent_service_pb2 import AgentHello, SessionRequest
from hansa.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with zone_world(tmp_path) as built:
        yield built


async def _settled(world: World, streams: int = 1) -> None:
    """Waits until the agent has nothing more to say on its newest stream."""

    def quiet() -> bool:
        kinds = [message.WhichOneof("body") for message in world.operator.received]
        return kinds.count("hello") >= streams and kinds[-2:] == ["heartbeat", "heartbeat"]

    await world.operator.until(quiet)


async def test_first_stream_carries_full_state_with_etags_of_the_content(world: World) -> None:
    await world.spawn(world.config())
    await _settled(world)
    adverts = world.operator.adverts
    assert sorted(adverts) == ["facts/HEADQUARTERS_COUNTRY/0", "facts/SITE_COUNTRY/0", "inventory"]
    assert adverts["inventory"].etag == etag_of(adverts["inventory"].inventory)
    inventory = adverts["inventory"].inventory
    assert inventory.capacity.accelerators[0].pool == "nvidia/L4" and inventory.capacity.accelerators[0].count == 2
    assert [artefact.name for artefact in inventory.artefacts] == ["echo"]
    hello = world.operator.of("hello")[0]
    assert hello.zone == "nordfjell/osl-1" and hello.boot_id and hello.version


async def test_reconnect_after_the_operator_was_killed_sends_nothing_that_it_holds(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    seen = len(world.operator.received)
    await world.operator.kill()
    await world.operator.start()
    await _settled(world, streams=2)
    assert world.operator.of("adverts", seen) == []
    hello = world.operator.of("hello", seen)[0]
    assert [held.name for held in hello.order_etags] == ["instances/c1-0"]


async def test_what_changed_while_the_operator_was_away_is_all_that_is_sent_after(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    await world.operator.kill()
    os.kill(world.record()["pid"], signal.SIGKILL)
    seen = len(world.operator.received)
    await world.operator.start()
    await world.operator.until(lambda: getattr(world.operator.status("c1-0"), "restarts", 0) == 1)
    sent = {advert.name for delta in world.operator.of("adverts", seen) for advert in delta.updated}
    assert sent == {"instances/c1-0"}


async def test_dead_endpoint_is_passed_over(world: World) -> None:
    config = world.config()
    content = yaml.safe_load(config.read_text())
    content["operator"]["endpoints"].insert(0, f"localhost:{free_ports(1)}")
    config.write_text(yaml.safe_dump(content))
    await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    assert [line["event"] for line in world.log()].count("operator not reached") == 1


async def test_silent_operator_is_left_and_dialled_again(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    world.operator.silent_streams = {1}
    await world.operator.until(lambda: len(world.operator.of("hello")) == 2)
    assert any("silent" in line.get("message", "") for line in world.log())


async def test_refused_advert_is_not_sent_again_until_it_changes(world: World) -> None:
    world.operator.refuse_adverts = {"facts/SITE_COUNTRY/0"}
    config = world.config()
    agent = await world.spawn(config)
    await _settled(world)
    assert "facts/SITE_COUNTRY/0" not in world.operator.adverts
    assert len(world.operator.of("adverts")) == 1
    assert any(line["event"] == "advert refused" for line in world.log())
    world.operator.refuse_adverts = set()
    content = yaml.safe_load(config.read_text())
    content["facts"] = [fact("SITE_COUNTRY", "SE"), fact("HEADQUARTERS_COUNTRY", "NO")]
    config.write_text(yaml.safe_dump(content))
    agent.send_signal(signal.SIGHUP)
    await world.operator.until(lambda: "facts/SITE_COUNTRY/0" in world.operator.adverts)
    assert world.operator.adverts["facts/SITE_COUNTRY/0"].fact.value == "SE"
    assert len(world.operator.of("adverts")) == 2


async def test_reload_of_a_broken_file_keeps_the_former_configuration(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await _settled(world)
    good = config.read_text()
    config.write_text(good.replace("node: oslo", "nodee: oslo"))
    agent.send_signal(signal.SIGHUP)
    await world.operator.until(lambda: "configuration not reloaded" in [line["event"] for line in world.log()])
    config.write_text(good.replace("title: Oslo", "title: Oslo Sentrum"))
    agent.send_signal(signal.SIGHUP)
    await world.operator.until(lambda: world.operator.adverts["inventory"].inventory.title == "Oslo Sentrum")
    problems = next(line["problems"] for line in world.log() if line["event"] == "configuration not reloaded")
    assert any("did you mean 'node'" in problem for problem in problems)


async def test_operator_with_a_certificate_of_another_authority_is_not_talked_to(world: World) -> None:
    config = world.config()
    content = yaml.safe_load(config.read_text())
    content["operator"]["tls"]["ca"] = str(Certificates(world.folder / "stranger-ca").ca)
    config.write_text(yaml.safe_dump(content))
    agent = await world.spawn(config)
    async with asyncio.timeout(WAIT_S):
        while "operator not reached" not in [line["event"] for line in world.log()]:
            await asyncio.sleep(0.05)
    assert world.operator.received == [] and agent.returncode is None


async def test_operator_that_reads_nothing_blocks_a_write_for_a_bounded_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NeverReads(AgentServiceServicer):
        async def Session(self, request_iterator: object, context: grpc.aio.ServicerContext) -> None:
            await asyncio.Event().wait()

    cert, key = world.certificates.issue("deaf", "spiffe://nordfjell/operator")
    ca = world.certificates.ca.read_bytes()
    server = grpc.aio.server()
    add_AgentServiceServicer_to_server(NeverReads(), server)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())], ca, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    monkeypatch.setattr(uplink_grpc, "WRITE_TIMEOUT_S", 0.5)
    tls = TlsContent(ca=ca, cert=cert.read_bytes(), key=key.read_bytes())
    connection = GrpcUplink((f"localhost:{port}",), lambda: tls).connect(f"localhost:{port}")
    big = SessionRequest(hello=AgentHello(zone="x" * 1_000_000))
    try:
        with pytest.raises(UplinkLost, match="took no message"):
            for _ in range(64):
                await connection.send(big)
    finally:
        await connection.close()
        await server.stop(None)
    assert "BEGIN" not in repr(tls), "keys are not printed"


async def test_missing_key_file_is_told_and_mended_without_a_restart(world: World) -> None:
    config = world.config()
    key = Path(yaml.safe_load(config.read_text())["operator"]["tls"]["key"])
    content = key.read_bytes()
    key.unlink()
    await world.spawn(config)
    async with asyncio.timeout(WAIT_S):
        while "operator not reached" not in [line["event"] for line in world.log()]:
            await asyncio.sleep(0.05)
    key.write_bytes(content)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)


async def test_artefact_allowed_by_reload_may_be_ordered_at_once(world: World) -> None:
    config = world.config(artefacts=[])
    agent = await world.spawn(config)
    await _settled(world)
    content = yaml.safe_load(config.read_text())
    content["artefacts"] = [world.artefact()]
    config.write_text(yaml.safe_dump(content))
    agent.send_signal(signal.SIGHUP)
    await world.operator.until(lambda: world.operator.adverts["inventory"].inventory.artefacts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")

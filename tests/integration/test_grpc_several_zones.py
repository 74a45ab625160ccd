"""One workload over an own zone and a partner's: real control planes, real streams, and both instances answer.

Agents are played by hand; what they start are listeners that tell which zone they are in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from control_harness import NOWHERE, AgentByHand, Operator, advert, authority_of, inventory, running, spec
from hansa_control.adapters.authority import Role, control_plane_host

from hansa.client import Client
from hansa.profile import Profile
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import instance_pb2, workload_pb2

WAIT_S = 20
HOME_ZONE, PARTNER_ZONE = "fjordby/stockholm-1", "nordfjord/oslo-1"


@asynccontextmanager
async def zone_by_hand(operator: Operator, zone: str, node: str) -> AsyncIterator[None]:
    """A zone whose agent starts a listener for each ordered instance."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{operator.name}/{zone}".encode())
        await writer.drain()
        writer.close()

    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
        port = listener.sockets[0].getsockname()[1]
        agent = await stack.enter_async_context(AgentByHand(operator, zone))
        await agent.greet()
        await agent.advertise(advert("inventory", inventory(node)))
        obeying = asyncio.create_task(_obey(agent, f"https://127.0.0.1:{port}"))
        stack.callback(obeying.cancel)
        yield


async def _obey(agent: AgentByHand, url: str) -> None:
    while True:
        message = await agent.call.read()
        if message.WhichOneof("body") != "orders":
            continue
        await agent.send(order_ack=agent_pb2.DeltaAck(nonce=message.orders.nonce))
        ordered = [order for order in message.orders.updated if order.WhichOneof("body") == "instance"]
        agent.nonce += 1
        stopped = [name for name in message.orders.removed_names if name.startswith("instances/")]
        adverts = [advert(order.name, _ready(order.instance, url)) for order in ordered]
        delta = agent_pb2.AdvertDelta(updated=adverts, removed_names=stopped, nonce=f"n{agent.nonce}")
        await agent.send(adverts=delta)


def _ready(instance: instance_pb2.DesiredInstance, url: str) -> instance_pb2.InstanceStatus:
    return instance_pb2.InstanceStatus(
        instance=instance.instance,
        claim=instance.claim,
        state=instance_pb2.INSTANCE_STATE_READY,
        endpoint_url=url,
        fencing_token=instance.fencing_token,
    )


async def said_at(url: str) -> str:
    """What answers at an endpoint."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    said = (await reader.read()).decode()
    writer.close()
    return said


async def ready(client: Client, name: str) -> workload_pb2.Workload:
    async with asyncio.timeout(WAIT_S):
        async for update in client.watch(name):
            conditions = {c.type: c.status for c in update.workload.conditions}
            if conditions.get("Ready") == 1:
                return update.workload
    raise AssertionError("the watch ended")


def app_team(operator: Operator, folder: Path) -> Client:
    pair = operator.certificate(Role.TENANT, "acme")
    files = {"ca": operator.authority.cert_pem, "certificate": pair.cert_pem, "key": pair.key_pem}
    for name, content in files.items():
        (folder / f"team-{name}.pem").write_bytes(content)
    ca, certificate, key = (folder / f"team-{name}.pem" for name in files)
    host = control_plane_host(f"{operator.name}.hansa.example")
    return Client(Profile(operator.address("api"), "acme", ca, certificate, key, host))


@pytest.fixture
async def federated(tmp_path: Path) -> AsyncIterator[tuple[Operator, Operator]]:
    """Fjordby is home with a zone in Stockholm; its partner nordfjord has one in Oslo."""
    owner = Operator("nordfjord", tmp_path / "owner", authority_of("nordfjord"))
    home = Operator("fjordby", tmp_path / "home", authority_of("fjordby"))
    owner.partners = {"fjordby": (NOWHERE, home.authority.cert_pem)}
    async with running(owner):
        home.partners = {"nordfjord": (owner.address("partners"), owner.authority.cert_pem)}
        async with running(home):
            yield home, owner


async def both_seen(home: Operator) -> None:
    async with asyncio.timeout(WAIT_S):
        while {str(zone.id) for zone in home.running.application.queries.zones("", 9)} != {HOME_ZONE, PARTNER_ZONE}:
            await asyncio.sleep(0.02)


async def test_a_workload_over_an_own_and_a_partners_zone_answers_in_both(
    federated: tuple[Operator, Operator], tmp_path: Path
) -> None:
    home, owner = federated
    wanted: Any = spec(
        replicas=2,
        zones=workload_pb2.ZoneBounds(minimum=2, maximum=2),
        access=[
            workload_pb2.AccessDemand(access_point="stockholm", demand_millirps=1_000),
            workload_pb2.AccessDemand(access_point="oslo", demand_millirps=1_000),
        ],
    )
    async with (
        zone_by_hand(home, "stockholm-1", "stockholm"),
        zone_by_hand(owner, "oslo-1", "oslo"),
        app_team(home, tmp_path) as client,
    ):
        await both_seen(home)
        await client.submit("ocr", wanted)
        workload = await ready(client, "ocr")
        assert sorted(placement.zone for placement in workload.placements) == [HOME_ZONE, PARTNER_ZONE]
        found = await client.find_endpoint("ocr")
        assert [zone.zone for zone in found.zones] == [HOME_ZONE, PARTNER_ZONE]
        for zone in found.zones:
            assert [await said_at(url) for url in zone.endpoint_urls] == [zone.zone]
        shares = {one.zone: {s.access_point: s.share_permille for s in one.shares} for one in found.zones}
        assert shares == {HOME_ZONE: {"stockholm": 1_000}, PARTNER_ZONE: {"oslo": 1_000}}
        assert found.zone == found.zones[0].zone
        planned = await client.plan("ocr", wanted)
        assert list(planned.current_zones) == [HOME_ZONE, PARTNER_ZONE]
        assert [assignment.zone for assignment in planned.decision.plan.assignments] == [HOME_ZONE, PARTNER_ZONE]

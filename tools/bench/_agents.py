"""Agents of the measured operator, without zones behind them: the real protocol, instances that are ready at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
from hansa_control.adapters.authority import KeyPair
from hansa_control.adapters.system import SystemClock

from hansa.delta import etag_of
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import agent_service_pb2_grpc, common_pb2, instance_pb2, zone_pb2
from tools.bench._world import COUNTRY, OPERATOR, BenchFailed, World, zone_name

HEARTBEAT_S = 1.05
"""An agent looks each tenth of a second whether a second is over, so it finds that out half a tenth late."""
GPUS_PER_ZONE = 64
ARTEFACT = common_pb2.ArtefactRef(name="ocr-server", digest="sha256:" + "a" * 64)
NODES = ("oslo", "bergen", "trondheim", "stavanger", "kristiansand", "arendal", "karsto")
_KIND = {"inventory": "inventory", "facts": "fact", "probes": "probe", "instances": "instance"}


class BenchAgent:
    """One zone's stream. Orders are acknowledged and reported as ready; one delta is in flight at a time."""

    def __init__(self, channel: grpc.aio.Channel, zone: str, node: str) -> None:
        self.zone = zone
        self.node = node
        self.ready_count = 0
        self._call: Any = None
        self._channel = channel
        self._writing = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._acked: asyncio.Future[agent_pb2.DeltaAck] | None = None
        self._nonce = 0
        self._beat_s = time.perf_counter()
        self._news: dict[str, agent_pb2.Advert | None] = {}
        self._news_came = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Greets, and advertises an inventory and the facts of a lawful zone."""
        hello = agent_pb2.AgentHello(
            zone=f"{OPERATOR}/{self.zone}", boot_id="boot-1", wall_clock_ms=SystemClock().wall_ms(), version="bench"
        )
        # Not before: a stream on which nobody greets in time is ended by the operator.
        self._call = agent_service_pb2_grpc.AgentServiceStub(self._channel).Session()
        await self._write(agent_pb2.SessionRequest(hello=hello))
        welcome = await self._call.read()
        if not isinstance(welcome, agent_pb2.SessionResponse) or not welcome.HasField("welcome"):
            raise BenchFailed(f"no welcome for {self.zone}")
        self._tasks = [asyncio.create_task(work) for work in (self._read(), self._report(), self._beat())]
        await self.advertise([advert("inventory", inventory(self.node)), *facts()])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._call is not None:
            self._call.cancel()
        await self._channel.close()

    async def advertise(self, updated: Sequence[agent_pb2.Advert], removed: Sequence[str] = ()) -> None:
        """Sends a delta and waits until the operator has it on disk; BenchFailed if it refuses anything."""
        async with self._sending:
            self._nonce += 1
            delta = agent_pb2.AdvertDelta(updated=updated, removed_names=removed, nonce=str(self._nonce))
            self._acked = asyncio.get_running_loop().create_future()
            await self._write(agent_pb2.SessionRequest(adverts=delta))
            ack = await self._acked
            if ack.refusals:
                raise BenchFailed(f"{self.zone}: {ack.refusals[0]}")

    async def _write(self, message: agent_pb2.SessionRequest) -> None:
        async with self._writing:
            await self._call.write(message)

    async def _read(self) -> None:
        while (message := await self._call.read()) is not grpc.aio.EOF:
            body = message.WhichOneof("body")
            if body == "advert_ack" and self._acked is not None:
                self._beat_s = time.perf_counter()
                self._acked.set_result(message.advert_ack)
            elif body == "orders":
                await self._write(agent_pb2.SessionRequest(order_ack=agent_pb2.DeltaAck(nonce=message.orders.nonce)))
                self._obey(message.orders)
        if self._acked is not None and not self._acked.done():
            self._acked.set_exception(BenchFailed(f"{self.zone}: the stream ended: {self._call}"))

    def _obey(self, orders: agent_pb2.OrderDelta) -> None:
        for order in orders.updated:
            if order.HasField("instance"):
                self._news[order.name] = advert(order.name, _ready(order.instance))
        for name in orders.removed_names:
            self._news[name] = None
        self._news_came.set()

    async def _report(self) -> None:
        while True:
            await self._news_came.wait()
            self._news_came.clear()
            news, self._news = self._news, {}
            updated = [body for body in news.values() if body is not None]
            await self.advertise(updated, [name for name, body in news.items() if body is None])
            self.ready_count += len(updated)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._beat_s + HEARTBEAT_S - time.perf_counter()))
            if time.perf_counter() < self._beat_s + HEARTBEAT_S:
                continue  # a delta was acknowledged meanwhile
            self._beat_s = time.perf_counter()
            heartbeat = agent_pb2.Heartbeat(wall_clock_ms=SystemClock().wall_ms())
            await self._write(agent_pb2.SessionRequest(heartbeat=heartbeat))


async def connected_agents(world: World, at_once: int = 100) -> list[BenchAgent]:
    """An agent for each zone that has a certificate, all of them heard; so many greet at a time."""
    certificates: Sequence[KeyPair] = world.callers.agents
    agents = [
        BenchAgent(world.channel("agents", certificate), zone_name(at), NODES[at % len(NODES)])
        for at, certificate in enumerate(certificates)
    ]
    for first in range(0, len(agents), at_once):
        await asyncio.gather(*(agent.connect() for agent in agents[first : first + at_once]))
    return agents


def advert(name: str, body: Any) -> agent_pb2.Advert:
    kind: dict[str, Any] = {_KIND[name.partition("/")[0]]: body}
    return agent_pb2.Advert(name=name, etag=etag_of(body), **kind)


def inventory(node: str, price_millieur_per_hour: int = 1_000) -> zone_pb2.Inventory:
    return zone_pb2.Inventory(
        node=node,
        title=node.capitalize(),
        capacity=common_pb2.Capacity(
            cpu_millis=GPUS_PER_ZONE * 4_000,
            memory_mib=GPUS_PER_ZONE * 16_384,
            accelerators=[common_pb2.PoolAmount(pool="nvidia/L40S", count=GPUS_PER_ZONE)],
        ),
        pools=[common_pb2.AcceleratorPool(vendor="nvidia", model="L40S", memory_mib=46_068, count=GPUS_PER_ZONE)],
        artefacts=[ARTEFACT],
        price_millieur_per_hour=price_millieur_per_hour,
        source="file",
    )


def facts() -> list[agent_pb2.Advert]:
    claims = {
        "SITE_COUNTRY": COUNTRY,
        "HEADQUARTERS_COUNTRY": COUNTRY,
        "ULTIMATE_PARENT_COUNTRY": COUNTRY,
        "EXTRATERRITORIAL_LAW": "none",
    }
    now_ms = SystemClock().wall_ms()
    evidence = common_pb2.Evidence(
        kind=common_pb2.EVIDENCE_KIND_DECLARATION,
        issuer=OPERATOR,
        scheme="operator-declaration",
        valid_from_ms=now_ms - 86_400_000,
        valid_until_ms=now_ms + 86_400_000,
        digest="sha256:" + "b" * 64,
    )
    return [
        advert(
            f"facts/{kind}/0",
            common_pb2.Fact(kind=common_pb2.FactKind.Value(f"FACT_KIND_{kind}"), value=value, evidence=evidence),
        )
        for kind, value in claims.items()
    ]


def _ready(order: instance_pb2.DesiredInstance) -> instance_pb2.InstanceStatus:
    return instance_pb2.InstanceStatus(
        instance=order.instance,
        claim=order.claim,
        state=instance_pb2.INSTANCE_STATE_READY,
        endpoint_url="https://127.0.0.1:8443",
        fencing_token=order.fencing_token,
        started_at_ms=SystemClock().wall_ms(),
    )

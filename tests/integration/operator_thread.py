"""A whole control plane in a thread of its own, so that commands and scripts can run their own event loop beside it.

Its agents are spoken by hand: each takes its orders, says that they run, and stops what is withdrawn.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
from control_harness import AgentByHand, Operator, advert, authority_of, fact, inventory, running
from hansa_control.adapters.authority import Role, control_plane_host

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import Profile, load_profile
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import common_pb2, instance_pb2, network_pb2, workload_pb2, zone_pb2

T = TypeVar("T")
TENANT = "acme"
WAIT_S = 30.0
PATIENT = {"heartbeat_interval_ms": 1_000, "quiet_after_ms": 500_000, "lost_after_ms": 600_000}
L40S = common_pb2.AcceleratorPool(vendor="nvidia", model="L40S", memory_mib=46_068, count=2)
L4 = common_pb2.AcceleratorPool(vendor="nvidia", model="L4", memory_mib=23_034, count=4)


@dataclass(frozen=True)
class ZoneByHand:
    """A zone: where it stands, what it has, and who controls its owner."""

    name: str
    node: str
    pool: common_pb2.AcceleratorPool
    parent: str = "NO"
    price_millieur_per_hour: int = 1_000
    probes: str = ""

    def inventory(self) -> zone_pb2.Inventory:
        key = f"{self.pool.vendor}/{self.pool.model}"
        amount = common_pb2.PoolAmount(pool=key, count=self.pool.count)
        capacity = common_pb2.Capacity(cpu_millis=16_000, memory_mib=65_536, accelerators=[amount])
        price = {"price_millieur_per_hour": self.price_millieur_per_hour}
        return inventory(self.node, title=self.node.title(), pools=[self.pool], capacity=capacity, **price)

    def adverts(self) -> list[agent_pb2.Advert]:
        law = "US-CLOUD-ACT" if self.parent == "US" else "none"
        claims = {
            "SITE_COUNTRY": "NO",
            "HEADQUARTERS_COUNTRY": "NO",
            "ULTIMATE_PARENT_COUNTRY": self.parent,
            "EXTRATERRITORIAL_LAW": law,
        }
        found = [advert("inventory", self.inventory())]
        found += [advert(f"facts/{kind}/0", fact(kind, value)) for kind, value in claims.items()]
        if self.probes:
            found.append(advert(f"probes/nordfjord/{self.probes}", self._probe()))
        return found

    def _probe(self) -> network_pb2.ProbeResult:
        rtt = network_pb2.RoundTrip(
            p50_us=400, p95_us=450, p99_us=500, basis=network_pb2.LATENCY_BASIS_MEASURED, sample_count=40
        )
        pair = {"source_zone": f"nordfjord/{self.name}", "target_zone": f"nordfjord/{self.probes}"}
        return network_pb2.ProbeResult(**pair, rtt=rtt, min_us=390, jitter_us=12)


class ObedientAgent:
    """Runs at once whatever its operator orders, and says so."""

    def __init__(self, operator: Operator, zone: ZoneByHand) -> None:
        self._agent = AgentByHand(operator, zone.name)
        self._zone = zone
        self._nonce = 100

    async def run(self, greeted: asyncio.Event) -> None:
        async with self._agent as agent:
            await agent.greet()
            await agent.advertise(*self._zone.adverts())
            greeted.set()
            while (message := await agent.call.read()) is not grpc.aio.EOF:
                if message.WhichOneof("body") == "orders":
                    await agent.send(order_ack=agent_pb2.DeltaAck(nonce=message.orders.nonce))
                    await self._obey(message.orders)

    async def _obey(self, orders: agent_pb2.OrderDelta) -> None:
        running_now = [advert(order.name, _ready(order.instance)) for order in orders.updated if _is_instance(order)]
        stopped = [name for name in orders.removed_names if name.startswith("instances/")]
        self._nonce += 1
        delta = agent_pb2.AdvertDelta(updated=running_now, removed_names=stopped, nonce=f"n{self._nonce}")
        await self._agent.send(adverts=delta)


def _is_instance(order: agent_pb2.Order) -> bool:
    return order.WhichOneof("body") == "instance"


def _ready(instance: instance_pb2.DesiredInstance) -> instance_pb2.InstanceStatus:
    return instance_pb2.InstanceStatus(
        instance=instance.instance,
        claim=instance.claim,
        state=instance_pb2.INSTANCE_STATE_READY,
        endpoint_url=f"https://{instance.instance}.nordfjord.example:8443",
        fencing_token=instance.fencing_token,
    )


class OperatorThread:
    """The control plane of nordfjord with its agents; it may be stopped and started again, with its records."""

    def __init__(self, folder: Path, *zones: ZoneByHand) -> None:
        self.operator = Operator("nordfjord", folder / "nordfjord", authority_of("nordfjord"))
        self.operator.settings = {"timings": {**PATIENT, "drain_ms": 0}}
        self._folder = folder
        self._zones = zones
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._agents: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Listens, the second time where it listened the first time; returns once every zone is known."""
        self.wait_for(self._start())

    def stop(self) -> None:
        """Drains and stops; the records stay."""
        self.wait_for(self._stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something where the control plane runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begins something where the control plane runs, and does not wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _start(self) -> None:
        await self._stack.enter_async_context(running(self.operator))
        everywhere = dict.fromkeys(("agents", "partners", "metrics"), "127.0.0.1:0")
        self.operator.settings["listen"] = {**everywhere, "api": self.operator.address("api")}
        for zone in self._zones:
            greeted = asyncio.Event()
            self._agents.append(asyncio.create_task(ObedientAgent(self.operator, zone).run(greeted)))
            await greeted.wait()

    async def _stop(self) -> None:
        for agent in self._agents:
            agent.cancel()
        await asyncio.gather(*self._agents, return_exceptions=True)
        self._agents.clear()
        await self._stack.aclose()
        self.operator.store = self.operator.store.reopen()

    def write_profile(self, tenant: str = TENANT, *, name: str = "", port: int = 0, role: Role = Role.TENANT) -> Path:
        """A profile of this operator for a tenant; with a port, for somebody who looks at the wrong place."""
        folder = self._folder / (name or tenant)
        folder.mkdir(exist_ok=True)
        pair = self.operator.certificate(role, tenant)
        for file, content in {"ca": self.operator.authority.cert_pem, "me": pair.cert_pem, "key": pair.key_pem}.items():
            (folder / f"{file}.pem").write_bytes(content)
        endpoint = f"127.0.0.1:{port}" if port else self.operator.address("api")
        host = control_plane_host("nordfjord.hansa.example")
        path = folder / "profile.yaml"
        files = "ca: ca.pem\ncertificate: me.pem\nkey: key.pem\n"
        path.write_text(f"endpoint: {endpoint}\ntenant: {tenant}\nserver_name: {host}\n{files}")
        return path

    def profile(self, tenant: str = TENANT) -> Profile:
        return load_profile(self.write_profile(tenant))


async def finished(client: Client, name: str) -> None:
    """Deletes a workload and waits until it is gone."""
    await client.delete(name)
    try:
        async with asyncio.timeout(WAIT_S), aclosing(client.watch(name)) as updates:
            async for _ in updates:
                pass
    except HansaError as error:
        assert error.reason == "NOT_FOUND"


async def ready(client: Client, name: str) -> workload_pb2.Workload:
    """Waits until a workload runs."""
    async with asyncio.timeout(WAIT_S), aclosing(client.watch(name)) as updates:
        async for update in updates:
            if update.workload.state == workload_pb2.WORKLOAD_STATE_RUNNING:
                return update.workload
    raise AssertionError(f"{name} was gone before it ran")

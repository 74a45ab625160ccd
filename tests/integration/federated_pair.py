"""Two real control planes of which one uses the other's zone under an agreement in a file, with obedient agents.

Nordfjord is home, fjordby owns ``sto-1``. Each agent runs at once what it is ordered, and knows what it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from agent_harness import free_ports
from control_harness import NOWHERE, AgentByHand, Operator, advert, authority_of, fact, inventory, running, spec
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import HoldRequest, RefusalError
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.model import Standing, Workload, WorkloadId, WorkloadState

from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import instance_pb2, workload_pb2, zone_pb2

PATIENT = {"heartbeat_interval_ms": 200, "quiet_after_ms": 500_000, "lost_after_ms": 600_000, "tick_ms": 50}
YARD = WorkloadId("harbour", "yard-ocr")
WAIT_S = 30.0


# Both operators know this access point: it is the owner's, and the owner does not follow home's offers here.
USERS = [workload_pb2.AccessDemand(access_point="stockholm", demand_millirps=1_000)]


class RunningAgent:
    """An agent that runs at once whatever its operator orders, and stops what is withdrawn."""

    def __init__(self, operator: Operator, zone: str, node: str, country: str) -> None:
        self._operator, self._zone = operator, zone
        self._adverts = [advert("inventory", inventory(node)), advert("facts/SITE_COUNTRY/0", fact(value=country))]
        self._nonce = 0
        self._stream: AgentByHand | None = None
        self.urls: dict[str, str] = {}
        self.ordered: list[instance_pb2.DesiredInstance] = []

    async def tell(self, **changes: Any) -> None:
        """Its inventory has changed in these fields."""
        assert self._stream is not None
        told = inventory(self._adverts[0].inventory.node)
        told.MergeFrom(zone_pb2.Inventory(**changes))
        self._nonce += 1
        delta = agent_pb2.AdvertDelta(updated=[advert("inventory", told)], nonce=f"m{self._nonce}")
        await self._stream.send(adverts=delta)

    async def run(self, greeted: asyncio.Event) -> None:
        async with AgentByHand(self._operator, self._zone) as agent:
            self._stream = agent
            await agent.greet()
            await agent.advertise(*self._adverts)
            greeted.set()
            while (message := await agent.call.read()) is not grpc.aio.EOF:
                if message.WhichOneof("body") == "orders":
                    await agent.send(order_ack=agent_pb2.DeltaAck(nonce=message.orders.nonce))
                    await self._obey(agent, message.orders)

    async def _obey(self, agent: AgentByHand, orders: agent_pb2.OrderDelta) -> None:
        ordered = {order.name: order.instance for order in orders.updated if order.WhichOneof("body") == "instance"}
        stopped = [name for name in orders.removed_names if name.startswith("instances/")]
        started = [advert(name, self._started(name, instance)) for name, instance in ordered.items()]
        self.ordered += ordered.values()
        for name in stopped:
            self.urls.pop(name, None)
        self._nonce += 1
        delta = agent_pb2.AdvertDelta(updated=started, removed_names=stopped, nonce=f"m{self._nonce}")
        await agent.send(adverts=delta)

    def _started(self, name: str, order: instance_pb2.DesiredInstance) -> instance_pb2.InstanceStatus:
        self.urls[name] = f"https://{order.instance}.{self._operator.name}.example:8443"
        return instance_pb2.InstanceStatus(
            instance=order.instance,
            claim=order.claim,
            state=instance_pb2.INSTANCE_STATE_READY,
            endpoint_url=self.urls[name],
            fencing_token=order.fencing_token,
        )


@dataclass
class Pair:
    """Both operators as they run, and everything that is to be stopped in the end."""

    home: Operator
    owner: Operator
    agents: list[RunningAgent] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    home_stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    requests: int = 0

    @property
    def plane(self) -> ControlPlane:
        """Home's."""
        return self.home.running.application

    @property
    def owner_plane(self) -> ControlPlane:
        return self.owner.running.application

    @property
    def link(self) -> Any:
        return self.home.running.links[self.owner.name]

    @property
    def told(self) -> Standing | None:
        """What home was told of the agreement."""
        federation = self.plane.partners.context(self.owner.name)
        return federation.standing if federation else None

    def agree(self, **agreed: Any) -> None:
        """Writes the owner's file anew, in the place of the old one."""
        body = {"kind": "Agreements", "partners": {self.home.name: {"standing": "in-force", **agreed}}}
        self.owner.folder.mkdir(parents=True, exist_ok=True)
        draft = self.owner.folder / "agreements.new"
        draft.write_text(yaml.safe_dump(body))
        draft.rename(self.owner.folder / "agreements.yaml")

    async def is_told(self, state: AgreementState, version: int = 1) -> None:
        await until(lambda: self.told is not None and (self.told.state, self.told.version) == (state, version))

    async def add_agent(self, operator: Operator, zone: str, node: str, country: str) -> RunningAgent:
        agent = RunningAgent(operator, zone, node, country)
        self.agents.append(agent)
        await self.connect(agent)
        return agent

    async def connect(self, agent: RunningAgent) -> None:
        """The agent greets, the first time or again; what it runs goes on meanwhile."""
        greeted = asyncio.Event()
        self.tasks.append(asyncio.create_task(agent.run(greeted)))
        await greeted.wait()

    async def sees(self, zone: str) -> None:
        await until(lambda: zone in {str(one.id) for one in self.plane.queries.zones("", 100)})

    def request(self, claim: str, zone: str = "sto-1", **changes: Any) -> HoldRequest:
        return HoldRequest(claim, zone, spec_in(spec(access=USERS, **changes), "spec"), 5_000)

    async def submit(self, name: WorkloadId = YARD) -> None:
        self.requests += 1
        await self.plane.workloads.submit(
            "spiffe://a/b", f"r{self.requests}", name, spec_in(spec(access=USERS), "spec"), "x"
        )

    def workload(self, name: WorkloadId = YARD) -> Workload:
        return self.plane.queries.workload(name)

    def zones_of(self, name: WorkloadId = YARD) -> list[str]:
        return sorted(str(placement.zone) for placement in self.workload(name).placements)

    async def runs_in(self, zone: str, name: WorkloadId = YARD) -> None:
        await until(
            lambda: self.zones_of(name) == [zone] and self.workload(name).state is WorkloadState.RUNNING,
        )

    async def watch(self, moments: list[str]) -> None:
        """Looks at every turn of the loop whether what users are told to call is running; what is not, is written."""
        while True:
            try:
                urls = set(self.plane.queries.endpoint(YARD).urls)
            except RefusalError as refusal:
                moments.append(f"{refusal.reason}")
            else:
                live = {url for agent in self.agents for url in agent.urls.values()}
                moments += [f"{url} does not run" for url in sorted(urls - live)]
            await asyncio.sleep(0)

    async def restart_owner(self) -> None:
        """The owner's control plane stops and another takes up its records, at the same addresses."""
        await self.restart_owner_on(None)

    async def restart_owner_on(self, records: MemoryStore | None) -> None:
        """The same on other records than its last ones, where some are given."""
        await self.stack.aclose()
        self.owner.store = records or self.owner.store.reopen()
        await self.stack.enter_async_context(running(self.owner))

    async def restart_home_on(self, records: MemoryStore) -> None:
        """Home's control plane stops and another starts on these records, which need not be its last ones."""
        await self.home_stack.aclose()
        self.home.store = records
        await self.home_stack.enter_async_context(running(self.home))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def federated(
    folder: Path,
    *,
    owners_map: dict[str, Any] | None = None,
    zone: tuple[str, str, str] = ("sto-1", "stockholm", "SE"),
    is_mutual: bool = False,
    **agreed: Any,
) -> AsyncIterator[Pair]:
    """Both run, and home has heard of the owner's zone; where it is mutual, the owner follows home's offers, too.

    owners_map is the owner's network file in the place of the usual one; zone is name, node and country.
    """
    owner = Operator("fjordby", folder / "owner", authority_of("fjordby"), network=owners_map)
    home = Operator("nordfjord", folder / "home", authority_of("nordfjord"))
    home.settings, owner.settings = ({"timings": {**PATIENT, "drain_ms": 0}} for _ in range(2))
    home_address = f"127.0.0.1:{free_ports(1)}" if is_mutual else NOWHERE
    owner.partners = {"nordfjord": (home_address, home.authority.cert_pem)}
    if is_mutual:
        home.settings["listen"] = dict.fromkeys(("api", "agents", "metrics"), "127.0.0.1:0") | {
            "partners": home_address
        }
    owner.settings["agreements"] = "agreements.yaml"
    pair = Pair(home, owner)
    pair.agree(**agreed)
    async with pair.stack:
        await pair.stack.enter_async_context(running(owner))
        owner.settings["listen"] = {name: owner.address(name) for name in ("api", "agents", "partners")}
        owner.settings["listen"]["metrics"] = "127.0.0.1:0"
        home.partners = {"fjordby": (owner.address("partners"), owner.authority.cert_pem)}
        async with pair.home_stack:
            await pair.home_stack.enter_async_context(running(home))
            try:
                await pair.add_agent(owner, *zone)
                await pair.sees(f"fjordby/{zone[0]}")
                yield pair
            finally:
                for task in pair.tasks:
                    task.cancel()
                await asyncio.gather(*pair.tasks, return_exceptions=True)

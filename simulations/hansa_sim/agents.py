"""A zone's host: its machine, and the agent process that may die and be started again.

The agent is production code: the pure session and its SessionLink, order admission, and the Supervisor with its
reconciliation. Simulated are the runtime and the disk (``runtime``) and the way to the operator.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hansa_agent.admission import Grounds, OrderAdmission
from hansa_agent.link import SessionLink
from hansa_agent.ports import Connection, UplinkLost
from hansa_agent.reconciliation import RestartPolicy
from hansa_agent.session import AgentSession, Identity
from hansa_agent.supervisor import Supervisor
from hansa_control.adapters import codec_zone
from hansa_control.domain.model import Fact

from hansa_sim.clock import Skew, VirtualClock
from hansa_sim.geography import ZoneProfile
from hansa_sim.kernel import Process, VirtualLoop
from hansa_sim.network import ConnectionBroken, End, Network
from hansa_sim.operators import AGENTS
from hansa_sim.runtime import Machine, MachineRuntime, MemoryInstanceStore
from hansa_sim.streams import Streams

POLICY = RestartPolicy(quick_failures_max=3, ready_timeout_ms=10_000, stop_grace_ms=3_000)


class StreamConnection:
    """One end of a simulated connection as the agent's uplink port wants it."""

    def __init__(self, end: End) -> None:
        self._end = end

    async def send(self, message: Any) -> None:
        try:
            self._end.send(message)
        except ConnectionBroken as broken:
            raise UplinkLost(str(broken)) from broken

    async def receive(self) -> Any:
        try:
            return await self._end.receive()
        except ConnectionBroken as broken:
            raise UplinkLost(str(broken)) from broken

    async def close(self) -> None:
        self._end.close()


class StreamUplink:
    """Dials the operator's host."""

    def __init__(self, network: Network, zone: str, process: Process) -> None:
        self._network = network
        self._zone = zone
        self._process = process
        self._operator = zone.partition("/")[0]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return (f"{self._operator}:{AGENTS}",)

    def connect(self, endpoint: str) -> Connection:
        return StreamConnection(self._network.connect(self._zone, self._process, endpoint))


class ZoneNode:
    """One zone's host. ``machine`` runs instances whether or not an agent process lives."""

    def __init__(
        self,
        profile: ZoneProfile,
        network: Network,
        surroundings: tuple[VirtualLoop, Streams],
        report: Callable[[str], None],
    ) -> None:
        self.profile = profile
        self.id = profile.id
        self.name = str(profile.id)
        self.process: Process | None = None
        self.skew = Skew()
        self.deaths: list[str] = []
        self.policy = POLICY
        self._network = network
        self._loop, self._streams = surroundings
        self._report = report
        self._chance = self._streams.stream(f"agent {self.name}")
        self.machine = Machine(self._loop, self.name, self._streams.stream(f"machine {self.name}"), report)
        self._agent: _Agent | None = None
        self._former_facts: list[tuple[int, tuple[Fact, ...]]] = []

    def start(self) -> None:
        """Starts an agent process, on what the machine's disk has kept."""
        if self.process is not None:
            return
        self._network.light(self.name)
        self.process = Process(self._loop, f"agent {self.name}")
        self._agent = _Agent(self, self.process)
        self.process.spawn(self._main(self._agent))
        self._report("agent started")

    async def _main(self, agent: _Agent) -> None:
        try:
            await agent.run()
        except Exception as error:
            self.deaths.append(f"{self.name}: {error!r}")
            self._report(f"agent died: {error!r}")
            raise

    def kill(self) -> None:
        """The agent alone dies; its instances go on."""
        if self.process is None:
            return
        self.process.kill()
        self._network.drop_process(self.process)
        self.process = self._agent = None
        self._report("agent killed")

    def lose_power(self) -> None:
        """Agent and instances end at once, and the host says nothing any more."""
        if self.process is not None:
            self.process.kill()
        self.process = self._agent = None
        self._network.darken(self.name)
        self._report("power lost")
        self.machine.lose_power()

    def wipe(self) -> None:
        """The machine is replaced: its disk is empty. Only while no agent lives."""
        self.machine.records.clear()
        self._report("disk replaced")

    def change_facts(self, facts: tuple[Fact, ...]) -> None:
        """The owner tells other facts from now on."""
        self._former_facts.append((self._loop.now_us, self.profile.facts))
        self.profile = replace(self.profile, facts=facts)
        self._report("facts changed")
        self._readvertise()

    def facts_since(self, lag_us: int) -> list[tuple[Fact, ...]]:
        """The facts told now, and all that were told at some time during the last ``lag_us``."""
        since_us = self._loop.now_us - lag_us
        return [self.profile.facts, *(facts for until_us, facts in self._former_facts if until_us >= since_us)]

    def _readvertise(self) -> None:
        if self._agent is not None:
            self._agent.advertise()

    @property
    def clock(self) -> VirtualClock:
        return VirtualClock(self._loop, self.skew)

    def uplink(self, process: Process) -> StreamUplink:
        return StreamUplink(self._network, self.name, process)

    @property
    def chance(self) -> Any:
        return self._chance


class _Agent:
    """One agent process, put together as the agent's own composition root does."""

    def __init__(self, node: ZoneNode, process: Process) -> None:
        self._node = node
        self._process = process
        self._clock = node.clock
        store = MemoryInstanceStore(node.machine.records)
        runtime = MachineRuntime(node.machine, store)
        self._supervisor = Supervisor(runtime, store, self._clock, self.advertise)
        self._link: SessionLink | None = None

    async def run(self) -> None:
        node = self._node
        held = await self._supervisor.adopt(node.policy, node.chance)
        session = AgentSession(Identity(node.name, node.chance.word()), OrderAdmission(self._grounds), held)
        self._link = SessionLink(session, node.uplink(self._process), self._clock, self._on_orders)
        self.advertise()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._supervisor.run())
            group.create_task(self._link.run(node.chance))

    def _grounds(self) -> Grounds:
        inventory = self._node.profile.inventory
        digests = {artefact.name: artefact.digest for artefact in inventory.artefacts}
        return Grounds(digests, codec_zone.capacity_out(inventory.capacity), self._supervisor.tokens())

    def _on_orders(self, orders: Mapping[str, Any]) -> None:
        self._supervisor.desire(orders)

    def advertise(self) -> None:
        if self._link is not None:
            self._link.advertise(self._adverts())

    def _adverts(self) -> dict[str, Any]:
        profile = self._node.profile
        adverts: dict[str, Any] = {"inventory": codec_zone.inventory_out(profile.inventory)}
        counts: Counter[str] = Counter()
        for fact in profile.facts:
            adverts[f"facts/{fact.kind}/{counts[fact.kind]}"] = codec_zone.fact_out(fact)
            counts[fact.kind] += 1
        adverts |= {f"instances/{name}": status for name, status in self._supervisor.statuses().items()}
        return adverts

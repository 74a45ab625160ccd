"""An operator's host: its store, and the control plane process that may die and be started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hansa_control.adapters.agent_link import AgentLink, AgentLinks
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.adapters.task_scope import first_to_end, to_the_end
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import RefusalError
from hansa_control.application.settings import Settings
from hansa_control.domain.model import Reason, ZoneId

from hansa.errors import ProtocolViolation
from hansa_sim.clock import SimIds, VirtualClock
from hansa_sim.geography import PEM, OperatorProfile
from hansa_sim.kernel import Process, VirtualLoop
from hansa_sim.network import ConnectionBroken, End, Network
from hansa_sim.partners import OFFERS, PartnerWay, serve_offers
from hansa_sim.seals import DigestSeals
from hansa_sim.streams import Streams

AGENTS = "agents"


class OperatorNode:
    """One operator. ``plane`` is None while no control plane runs; ``on_pause`` is called around each commit."""

    def __init__(
        self,
        profile: OperatorProfile,
        network: Network,
        surroundings: tuple[VirtualLoop, Streams],
        report: Callable[[str], None],
    ) -> None:
        self.profile = profile
        self.name = profile.name
        self.plane: ControlPlane | None = None
        self.process: Process | None = None
        self.pause_us = (50, 3_000)
        self.on_pause: Callable[[], None] = lambda: None
        self.deaths: list[str] = []
        self._network = network
        self._loop, self._streams = surroundings
        self._report = report
        self._disk = self._streams.stream(f"disk {self.name}")
        self._ids = SimIds(self._streams.stream(f"ids {self.name}"))
        self.store = MemoryStore(self._pause)

    async def _pause(self) -> None:
        self.on_pause()
        await asyncio.sleep(self._disk.integer(*self.pause_us) / 1_000_000)

    def settings(self) -> Settings:
        return Settings(
            operator=self.name,
            endpoint_ca_pem=PEM,
            client_ca_pem=PEM,
            partners=frozenset(self.profile.partners),
            failed_zone_pause_ms=20_000,
        )

    # --- life and death ---

    def start(self) -> None:
        """Starts a control plane process on what the store has kept."""
        if self.process is not None:
            return
        clock = VirtualClock(self._loop)
        ways = {owner: self._way(owner, clock) for owner in self.profile.partners}
        surroundings = Surroundings(self.store, clock, self._ids, dict(ways), seals=DigestSeals(self.name))
        plane = ControlPlane(self.settings(), self.profile.network, surroundings)
        plane.reconciler.on_defect = self._met_defect
        self.process = Process(self._loop, self.name)
        self.process.spawn(self._main(plane, self.process, clock, ways))

    def _way(self, owner: str, clock: VirtualClock) -> PartnerWay:
        return PartnerWay(self._network, (self.name, owner), clock, self._streams.stream(f"dial {self.name} {owner}"))

    def kill(self) -> None:
        """As kill -9 does: what was not durable is lost, and connections are reset."""
        if self.process is None:
            return
        self.process.kill()
        self._network.drop_process(self.process)
        self.process = self.plane = None
        self.store = self.store.reopen()
        self._report("control plane killed")

    async def _main(
        self, plane: ControlPlane, process: Process, clock: VirtualClock, ways: dict[str, PartnerWay]
    ) -> None:
        try:
            await plane.start()
            self.plane = plane
            self._report("control plane started")
            self._listen(plane, process, clock)
            async with asyncio.TaskGroup() as group:
                for way in ways.values():
                    way.bind(plane)
                    group.create_task(way.run(process))
                group.create_task(plane.run())
        except Exception as error:
            self._died(error)
            raise

    def _met_defect(self, workload: str, defect: Exception) -> None:
        """The product contains a defect at one workload; here it counts like a death."""
        self.deaths.append(f"{self.name}: {defect!r} at {workload}")
        self._report(f"defect at {workload}: {defect!r}")

    def _died(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self.deaths.append(f"{self.name}: {error!r}")
        self._report(f"control plane died: {error!r}")

    def _listen(self, plane: ControlPlane, process: Process, clock: VirtualClock) -> None:
        links = AgentLinks(plane.agents, plane.settings, clock)
        self._network.offer(self.name, process, plane)
        self._network.listen(f"{self.name}:{AGENTS}", process, lambda end: serve_agent(end, links))
        self._network.listen(f"{self.name}:{OFFERS}", process, lambda end: serve_offers(end, plane, clock))


# --- the operator's end of an agent's stream ------------------------------------------------------------------------


async def serve_agent(end: End, links: AgentLinks) -> None:
    """Drives an AgentLink until the connection breaks, the agent breaks the rules or another stream takes over.

    The host at the other end, "operator/zone", stands for the certificate.
    """
    operator, _, zone = end.peer_host.partition("/")
    link = links.open(ZoneId(operator, zone))
    try:
        for response in await to_the_end(link.receive(await end.receive())):
            end.send(response)
        await first_to_end(_receive(end, link), _push_orders(end, link), _until_superseded(link))
    except (ConnectionBroken, RefusalError, ProtocolViolation):
        pass
    finally:
        link.close()
        end.close()


async def _receive(end: End, link: AgentLink) -> None:
    while True:
        for response in await to_the_end(link.receive(await end.receive())):
            end.send(response)


async def _push_orders(end: End, link: AgentLink) -> None:
    signal = link.orders_signal
    seen = signal.version
    while True:
        orders = link.next_orders()
        if orders is not None:
            end.send(orders)
        seen = await signal.wait(seen)


async def _until_superseded(link: AgentLink) -> None:
    await link.superseded.wait()
    raise RefusalError(Reason.FENCED, "a newer stream of this zone has taken over")

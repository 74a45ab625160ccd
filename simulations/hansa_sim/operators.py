"""An operator's host: its store, and the control plane process that may die and be started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hansa.errors import ProtocolViolation
from hansa_control.adapters.agent_link import AgentLink, AgentLinks
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import Owner, RefusalError
from hansa_control.application.settings import Settings
from hansa_control.domain.model import ZoneId

from hansa_sim.clock import SimIds, VirtualClock
from hansa_sim.geography import PEM, OperatorProfile
from hansa_sim.kernel import Process, VirtualLoop
from hansa_sim.network import ConnectionBroken, End, Network, Unreachable
from hansa_sim.partners import OFFERS, PartnerOwner, propose, serve_offers, use_offers
from hansa_sim.streams import Streams

AGENTS = "agents"


class OperatorNode:
    """One operator. ``plane`` is None while no control plane runs."""

    def __init__(
        self, profile: OperatorProfile, loop: VirtualLoop, network: Network, streams: Streams, report: Callable[[str], None]
    ) -> None:
        self.profile = profile
        self.name = profile.name
        self.plane: ControlPlane | None = None
        self.process: Process | None = None
        self.on_pause: Callable[[], None] = lambda: None
        self.pause_us = (50, 3_000)
        self.deaths: list[str] = []
        self._loop = loop
        self._network = network
        self._report = report
        self._disk = streams.stream(f"disk {self.name}")
        self._ids = SimIds(streams.stream(f"ids {self.name}"))
        self._jitter = streams.stream(f"dial {self.name}")
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
        clock = VirtualClock(self._loop)
        process = Process(self._loop, self.name)
        partners: dict[str, Owner] = {}
        plane = ControlPlane(self.settings(), self.profile.network, Surroundings(self.store, clock, self._ids, partners))
        for owner in self.profile.partners:
            partners[owner] = self._way_to(owner, plane)
        self.process = process
        process.spawn(self._main(plane, process, clock))

    def _way_to(self, owner: str, plane: ControlPlane) -> PartnerOwner:
        return PartnerOwner(self._network, self.name, owner, lambda: plane.partners.context(owner))

    def kill(self) -> None:
        """As kill -9 does: what was not durable is lost, and connections are reset."""
        if self.process is None:
            return
        self.process.kill()
        self._network.drop_process(self.process)
        self.process = self.plane = None
        self.store = self.store.reopen()
        self._report("control plane killed")

    @property
    def alive(self) -> bool:
        return self.process is not None

    async def _main(self, plane: ControlPlane, process: Process, clock: VirtualClock) -> None:
        try:
            await plane.start()
            self.plane = plane
            self._report("control plane started")
            self._listen(plane, process, clock)
            for owner in self.profile.partners:
                process.spawn(self._federate(plane, owner, clock))
            await plane.run()
        except Exception as error:
            self.deaths.append(f"{self.name}: {error!r}")
            self._report(f"control plane died: {error!r}")
            raise

    def _listen(self, plane: ControlPlane, process: Process, clock: VirtualClock) -> None:
        links = AgentLinks(plane.agents, plane.settings, clock)
        self._network.offer(self.name, process, plane)
        self._network.listen(f"{self.name}:{AGENTS}", process, lambda end: _serve_agent(end, links))
        self._network.listen(f"{self.name}:{OFFERS}", process, lambda end: serve_offers(end, plane, clock))

    async def _federate(self, plane: ControlPlane, owner: str, clock: VirtualClock) -> None:
        process = self.process
        while process is not None:
            try:
                await propose(self._network, plane, owner, clock)
                end = self._network.connect(self.name, process, f"{owner}:{OFFERS}")
                await use_offers(end, plane, owner)
            except (Unreachable, RefusalError) as error:
                self._report(f"no offers of {owner}: {error}")
            await clock.sleep_ms(self._jitter.integer(300, 1_000))


# --- the operator's end of an agent's stream ------------------------------------------------------------------------


async def _serve_agent(end: End, links: AgentLinks) -> None:
    """Drives an AgentLink until the connection breaks, the agent breaks the rules or another stream takes over."""
    operator, _, zone = end.peer_host.partition("/")
    link = links.open(ZoneId(operator, zone))
    work = (_receive(end, link), _send_orders(end, link), _until_superseded(link))
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        link.close()
        end.close()


async def _receive(end: End, link: AgentLink) -> None:
    try:
        while True:
            for response in await link.receive(await end.receive()):
                end.send(response)
    except (ConnectionBroken, RefusalError, ProtocolViolation):
        return


async def _send_orders(end: End, link: AgentLink) -> None:
    signal = link.orders_signal
    seen = signal.version
    try:
        while True:
            seen = await signal.wait(seen)
            orders = link.next_orders()
            if orders is not None:
                end.send(orders)
    except ConnectionBroken:
        return


async def _until_superseded(link: AgentLink) -> None:
    await link.superseded.wait()

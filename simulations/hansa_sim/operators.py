"""An operator's host: its store, and the control plane process that may die and be started again."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator

from hansa_control.adapters.agent_link import AgentLink, AgentLinks
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.adapters.task_scope import first_to_end, to_the_end
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import RefusalError, StoreFailed
from hansa_control.application.settings import Settings
from hansa_control.application.steadiness import Steadiness
from hansa_control.domain.model import Reason, ZoneId

from hansa.errors import ProtocolViolation
from hansa_sim.clock import DayClock, SimIds, Skew, VirtualClock
from hansa_sim.disks import Disk, DiskStore
from hansa_sim.geography import PEM, OperatorProfile
from hansa_sim.kernel import Process, VirtualLoop
from hansa_sim.network import ConnectionBroken, End, Network
from hansa_sim.partners import OFFERS, PartnerWay, serve_offers
from hansa_sim.seals import DigestSeals
from hansa_sim.streams import Streams

AGENTS = "agents"

RESTART_MS = (200, 1_500)
"""How long a supervisor waits before it starts a control plane again that has stopped because its store failed."""


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
        self.pause_us_max = 0
        self.skew = Skew()
        self.disk = Disk()
        self.is_dark = False
        self.on_pause: Callable[[], None] = lambda: None
        self.tuned: Callable[[Settings], Settings] = lambda settings: settings
        self.deaths: list[str] = []
        self._network = network
        self._loop, self._streams = surroundings
        self._report = report
        self.clock = VirtualClock(self._loop, self.skew)
        self._chance = self._streams.stream(f"disk {self.name}")
        self._ids = SimIds(self._streams.stream(f"ids {self.name}"))
        self._context = contextvars.copy_context()
        self.store = DiskStore(MemoryStore(self._pause), self.disk)

    async def _pause(self) -> None:
        self.on_pause()
        pause_us = self._chance.integer(*self.pause_us)
        self.pause_us_max = max(self.pause_us_max, pause_us)
        await asyncio.sleep(pause_us / 1_000_000)

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
        """Starts a control plane process on what the store has kept, unless one runs or there is no power."""
        if self.process is not None or self.is_dark:
            return
        self.clock = clock = VirtualClock(self._loop, self.skew)
        ways = {owner: self._way(owner, clock) for owner in self.profile.partners}
        seals = DigestSeals(self.name)
        surroundings = Surroundings(self.store, clock, self._ids, dict(ways), books=dict(ways), seals=seals)
        plane = ControlPlane(self.tuned(self.settings()), self.profile.network, surroundings)
        plane.reconciler.on_defect = self.met_defect
        # Whoever comes and goes is remembered by the day, of which no stretch may be left out.
        plane.world.steadiness = Steadiness(DayClock(self._loop))
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
        self._bury()
        self._report("control plane killed")

    def lose_power(self) -> None:
        """The host goes dark: the control plane is gone, and nobody is told."""
        if self.process is not None:
            self.process.kill()
        self._bury()
        self.is_dark = True
        self._network.darken(self.name)
        self._report("power lost")

    def get_power(self) -> None:
        """Power is back, and the control plane starts."""
        self.is_dark = False
        self._network.light(self.name)
        self.start()

    def _bury(self) -> None:
        self.process = self.plane = None
        self.store = self.store.reopen()

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
            if self.disk.has_failed and all(isinstance(leaf, StoreFailed) for leaf in _leaves(error)):
                self._stopped(_leaves(error))
                return
            self._died(error)
            raise

    def _stopped(self, errors: Iterator[BaseException]) -> None:
        """The store cannot keep its promises, so the process ends, as it must; its supervisor starts another one."""
        self._report(f"control plane stops: {next(errors)}")
        self.kill()
        pause_ms = self._chance.integer(*RESTART_MS)
        self._loop.call_later(pause_ms / 1_000, self.start, context=self._context)

    def met_defect(self, workload: str, defect: Exception) -> None:
        """The product contains a defect at one workload; here it counts like a death."""
        self.deaths.append(f"{self.name}: {defect!r} at {workload}")
        self._report(f"defect at {workload}: {defect!r}")

    def _died(self, error: BaseException) -> None:
        error = next(_leaves(error))
        self.deaths.append(f"{self.name}: {error!r}")
        self._report(f"control plane died: {error!r}")

    def _listen(self, plane: ControlPlane, process: Process, clock: VirtualClock) -> None:
        links = AgentLinks(plane.agents, plane.settings, clock)
        self._network.offer(self.name, process, plane)
        self._network.listen(f"{self.name}:{AGENTS}", process, lambda end: serve_agent(end, links))
        self._network.listen(f"{self.name}:{OFFERS}", process, lambda end: serve_offers(end, plane, clock))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


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
        message = await end.receive()
        answering = link.receive(message)
        # A sign of life changes nothing that must be finished.
        for response in await (answering if message.HasField("heartbeat") else to_the_end(answering)):
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

"""Puts the agent together and keeps it running."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.common_pb2 import Capacity
from hansa_agent.admission import Grounds, OrderAdmission
from hansa_agent.artefacts import digests_of
from hansa_agent.config import LoadedConfig
from hansa_agent.config_yaml import ConfigError
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory import facts_of, full_capacity, inventory_of
from hansa_agent.link import SessionLink
from hansa_agent.platforms import runtime_of, source_of
from hansa_agent.ports import Clock, IdSource, Machine, Random
from hansa_agent.probe_stamp import Sender, open_reflector
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.prober import Prober, ProbeSettings
from hansa_agent.session import AdvertBody, AgentSession, Identity
from hansa_agent.supervisor import Supervisor
from hansa_agent.uplink_grpc import GrpcUplink, TlsContent

_log = structlog.get_logger(__name__)


class StateDirTaken(Exception):
    """Another agent works on the same state directory."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the agent takes from its surroundings."""

    clock: Clock
    ids: IdSource
    random: Random
    version: str = ""


class Agent:
    """One zone's agent. Raises ``StateDirTaken`` if the zone has one already."""

    def __init__(self, loaded: LoadedConfig, outside: Outside) -> None:
        self._loaded = loaded
        self._outside = outside
        self._machine = Machine(Capacity(), (), "", "the inventory is not read yet", unsound=True)
        self._source = source_of(loaded)
        self._reloaded = asyncio.Event()
        self._probe_address = ""
        loaded.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _taken(loaded.state_dir / "agent.lock")
        store = InstanceStore(loaded.state_dir)
        self._runtime = runtime_of(loaded, store)
        self._supervisor = Supervisor(self._runtime, store, outside.clock, self._advertise)
        self._prober = self._new_prober()
        self._link: SessionLink | None = None
        self._reflector: asyncio.DatagramTransport | None = None

    async def run(self, stop: asyncio.Event, *, stop_instances: bool = False) -> None:
        """Runs until ``stop`` is set. Instances go on running unless ``stop_instances``."""
        try:
            await self._run(stop, stop_instances=stop_instances)
        finally:
            if self._reflector is not None:
                self._reflector.close()
            os.close(self._lock)

    def reload(self) -> None:
        """Reads the configuration again: inventory, facts and artefacts count from now on, the rest after a restart."""
        try:
            loaded = LoadedConfig(self._loaded.path)
            source = source_of(loaded)
        except ConfigError as error:
            _log.error("configuration not reloaded", problems=error.problems)
            return
        self._loaded, self._source = loaded, source
        self._runtime.artefacts = loaded.artefacts
        self._reloaded.set()

    async def _run(self, stop: asyncio.Event, *, stop_instances: bool) -> None:
        outside = self._outside
        self._machine = await self._source.read()
        held = await self._supervisor.adopt(self._loaded.restart_policy(), outside.random)
        self._link = SessionLink(self._new_session(held), self._new_uplink(), outside.clock, self._on_orders)
        await self._reflect()
        self._advertise()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._supervisor.run()),
                group.create_task(self._follow_inventory()),
                group.create_task(self._prober.run(outside.clock, outside.random)),
                group.create_task(self._link.run(outside.random)),
            ]
            _log.info("agent started", instances_held=len(held))
            await stop.wait()
            if stop_instances:
                await self._supervisor.stop_all()
            for task in tasks:
                task.cancel()
        _log.info("agent stopped", instances_left_running=not stop_instances)

    async def _follow_inventory(self) -> None:
        """Follows the source that the configuration asks for, and another one once it is read again."""
        while True:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._source.watch(self._found))
                await self._reloaded.wait()
                self._reloaded.clear()
                watching.cancel()
            self._found(await self._source.read())
            _log.info("configuration reloaded")

    def _found(self, machine: Machine) -> None:
        if machine.trouble and machine.trouble != self._machine.trouble:
            _log.warning("inventory in trouble", message=machine.trouble, cordoned=machine.unsound)
        self._machine = machine
        self._advertise()

    async def _reflect(self) -> None:
        probe = self._loaded.config.probe
        if probe.listen is None:
            return
        self._reflector, _ = await open_reflector(
            probe.listen, self._outside.clock, RateLimit(probe.reflected_per_second_max)
        )
        host, port = self._reflector.get_extra_info("sockname")[:2]
        self._probe_address = probe.advertise or f"{f'[{host}]' if ':' in host else host}:{port}"

    def _new_prober(self) -> Prober:
        probe = self._loaded.config.probe
        settings = ProbeSettings(probe.interval_s, probe.count, probe.spacing_ms, probe.timeout_ms, probe.window_count)
        sender = Sender(self._outside.clock, self._outside.random)
        return Prober(self._loaded.config.zone, settings, sender, self._advertise)

    def _new_session(self, held: tuple[Order, ...]) -> AgentSession:
        identity = Identity(self._loaded.config.zone, self._outside.ids.new_id(), self._outside.version)
        return AgentSession(identity, OrderAdmission(self._grounds), held)

    def _new_uplink(self) -> GrpcUplink:
        operator = self._loaded.config.operator
        return GrpcUplink(tuple(operator.endpoints), self._read_tls, operator.server_name)

    def _read_tls(self) -> TlsContent:
        tls, read = self._loaded.config.operator.tls, self._loaded.tls_file
        return TlsContent(ca=read(tls.ca), cert=read(tls.cert), key=read(tls.key))

    def _grounds(self) -> Grounds:
        digests = digests_of(self._loaded.artefacts.values())
        return Grounds(digests, full_capacity(self._machine), self._supervisor.tokens())

    def _on_orders(self, orders: Mapping[str, Order]) -> None:
        self._supervisor.desire(orders)
        targets = [order.probe_target for order in orders.values() if order.HasField("probe_target")]
        self._prober.aim({target.zone: target for target in targets})

    def _advertise(self) -> None:
        if self._link is not None:
            self._link.advertise(self._adverts())

    def _adverts(self) -> dict[str, AdvertBody]:
        config = self._loaded.config
        digests = digests_of(self._loaded.artefacts.values())
        adverts: dict[str, AdvertBody] = {
            "inventory": inventory_of(config, self._machine, digests, self._probe_address),
            **facts_of(config.facts),
        }
        adverts.update({f"probes/{zone}": result for zone, result in self._prober.results().items()})
        adverts.update({f"instances/{name}": status for name, status in self._supervisor.statuses().items()})
        return adverts


def _taken(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StateDirTaken(f"another agent works on {path.parent}") from error
    return lock

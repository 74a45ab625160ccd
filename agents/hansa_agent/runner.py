"""Puts the agent together and keeps it running."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.common_pb2 import Capacity
from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.admission import Complaint, Grounds, OrderAdmission
from hansa_agent.artefacts import digests_of
from hansa_agent.config import LoadedConfig
from hansa_agent.config_yaml import ConfigError
from hansa_agent.fact_evidence import ExpiryWatch
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory import facts_of, full_capacity, inventory_of
from hansa_agent.link import SessionLink
from hansa_agent.platforms import runtime_of, source_of
from hansa_agent.ports import Clock, IdSource, InventorySource, Machine, Random
from hansa_agent.prober import advert_of
from hansa_agent.probing import Answering, prober_of
from hansa_agent.refusals import refused
from hansa_agent.session import AdvertBody, AgentSession, Identity
from hansa_agent.site_wish import WishFile
from hansa_agent.strays import Strays
from hansa_agent.supervisor import Supervisor
from hansa_agent.uplinks import telemetry_of, uplink_of

_log = structlog.get_logger(__name__)
WATCH_AGAIN_S = 5.0
FACTS_LOOK_MS = 60_000
WISH_LOOK_S = 1.0
TROUBLE_LENGTH_MAX = 199


class StateDirTaken(Exception):
    """Another agent works on the same state directory."""


class StateDirUnusable(Exception):
    """The state directory cannot be made or written to, which may be otherwise in a while."""


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
        self._identity = Identity(loaded.config.zone, outside.ids.new_id(), outside.version)
        self._machine = Machine(Capacity(), (), "", "the inventory is not read yet", unsound=True)
        self._source = source_of(loaded, outside.clock)
        self._reloaded = asyncio.Event()
        self._answering = Answering()
        self._lock = _taken(loaded.state_dir)
        self._wish = WishFile(loaded.state_dir)
        store = InstanceStore(loaded.state_dir)
        self._strays = Strays(self._advertise)
        self._runtime = runtime_of(loaded, store, outside.clock, outside.random, self._strays)
        self._supervisor = Supervisor(self._runtime, store, outside.clock, self._advertise)
        self._prober = prober_of(loaded, outside.clock, outside.random, self._advertise)
        self._telemetry = telemetry_of(loaded, self._identity, outside.ids.new_id, outside.clock)
        if self._telemetry is not None:
            self._prober.on_measured = self._telemetry.note_probe
        self._link: SessionLink | None = None

    async def run(self, stop: asyncio.Event, *, stop_instances: bool = False) -> None:
        """Runs until ``stop`` is set. Instances go on running unless ``stop_instances``."""
        try:
            await self._run(stop, stop_instances=stop_instances)
        finally:
            await self._answering.close()
            os.close(self._lock)

    def reload(self) -> None:
        """Reads the configuration again: inventory, facts and artefacts count from now on, the rest after a restart."""
        try:
            loaded = LoadedConfig(self._loaded.path, self._loaded.key)
            source = source_of(loaded, self._outside.clock)
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
        session = AgentSession(self._identity, OrderAdmission(self._grounds), held)
        uplink = uplink_of(self._loaded, self._identity, outside.ids.new_id)
        self._link = SessionLink(session, uplink, outside.clock, self._on_orders)
        await self._answering.open(self._loaded, outside.clock)
        self._advertise()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._supervisor.run()),
                group.create_task(self._follow_inventory()),
                group.create_task(self._watch_facts()),
                group.create_task(self._watch_wish()),
                group.create_task(self._prober.run(outside.clock, outside.random)),
                group.create_task(self._link.run(outside.random)),
            ]
            if self._telemetry is not None:
                tasks.append(group.create_task(self._telemetry.run(outside.random)))
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
                watching = group.create_task(self._watch(self._source))
                await self._reloaded.wait()
                self._reloaded.clear()
                watching.cancel()
            self._found(await self._source.read())
            _log.info("configuration reloaded")

    async def _watch_facts(self) -> None:
        """Warns of facts that are going to end; those that have ended are advertised no more."""
        watch, clock = ExpiryWatch(), self._outside.clock
        while True:
            now_ms = clock.now().wall_ms
            for fact, days_left in watch.due(self._loaded.facts, now_ms):
                tell = _log.warning if days_left else _log.error
                said = "fact is going to expire" if days_left else "fact has expired and is advertised no more"
                tell(said, kind=fact.kind, value=fact.value, days_left=days_left)
            self._advertise()
            await clock.sleep(watch.next_ms(self._loaded.facts, now_ms, FACTS_LOOK_MS) / 1_000)

    async def _watch_wish(self) -> None:
        """Tells the operator what those who keep the machines ask, as soon as they ask it."""
        told = self._wish.look()
        while True:
            await self._outside.clock.sleep(WISH_LOOK_S)
            if (wish := self._wish.look()) != told:
                told = wish
                _log.info("site's wish", cordoned=wish.cordoned, drained=wish.drained, message=wish.note)
                self._advertise()

    async def _watch(self, source: InventorySource) -> None:
        """Watches on after an answer that nobody expected; the zone takes nothing new until the next good one."""
        while True:
            try:
                await source.watch(self._found)
                return
            except Exception as defect:
                _log.exception("defect", at="inventory")
                trouble = f"the inventory is not understood: {type(defect).__name__}"
                self._found(replace(self._machine, trouble=trouble, unsound=True))
            await self._outside.clock.sleep(WATCH_AGAIN_S)

    def _found(self, machine: Machine) -> None:
        if machine.trouble and machine.trouble != self._machine.trouble:
            _log.warning("inventory in trouble", message=machine.trouble, cordoned=machine.unsound)
        self._machine = machine
        self._advertise()

    def _grounds(self) -> Grounds:
        digests = digests_of(self._loaded.artefacts.values())
        capacity, tokens = full_capacity(self._machine), self._supervisor.tokens()
        return Grounds(digests, capacity, tokens, self._wish.look().closed, self._refused)

    def _refused(self, desired: DesiredInstance) -> Complaint | None:
        return refused(desired, self._loaded.config.refusals, self._outside.clock.now().wall_ms)

    def _on_orders(self, orders: Mapping[str, Order]) -> None:
        self._supervisor.desire(orders)
        targets = [order.probe_target for order in orders.values() if order.HasField("probe_target")]
        self._prober.aim({target.zone: target for target in targets})

    def _advertise(self) -> None:
        if self._telemetry is not None:
            self._telemetry.note_health(self._seen())
        if self._link is not None:
            self._link.advertise(self._adverts())

    def _seen(self) -> Machine:
        """The machine, less what is left over there; it takes nothing new while orders cannot be written down."""
        machine = self._strays.less(self._machine)
        if not self._supervisor.trouble:
            return machine
        troubles = [each for each in (machine.trouble, self._supervisor.trouble) if each]
        return replace(machine, trouble="; ".join(troubles)[:TROUBLE_LENGTH_MAX], unsound=True)

    def _adverts(self) -> dict[str, AdvertBody]:
        config = self._loaded.config
        digests = digests_of(self._loaded.artefacts.values())
        adverts: dict[str, AdvertBody] = {
            "inventory": inventory_of(config, self._seen(), digests, self._answering.address, self._wish.look()),
            **facts_of(self._loaded.facts, self._outside.clock.now().wall_ms),
        }
        adverts.update({advert_of(result): result for result in self._prober.results().values()})
        adverts.update({f"instances/{name}": status for name, status in self._supervisor.statuses().items()})
        return adverts


def _taken(state_dir: Path) -> int:
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(state_dir / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateDirUnusable(f"state_dir: {state_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StateDirTaken(f"another agent works on {state_dir}") from error
    return lock

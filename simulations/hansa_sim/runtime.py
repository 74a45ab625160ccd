"""A zone's machine: the processes that really run on it, and the disk on which its agent writes down what it started.

The machine outlives its agent. ``MachineRuntime`` and ``MemoryInstanceStore`` are what one agent process sees of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hansa_agent.instance_store import InstanceRecord, InstanceStore, ProcessMark
from hansa_agent.ports import Running
from hansa_agent.processes import how_it_ended
from hansa_control.adapters import codec_zone

from hansa_sim.kernel import Process, VirtualLoop
from hansa_sim.streams import Stream

Ordered = Any
"""The order of an instance as it came over the wire (hansa.v1.DesiredInstance)."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How instances behave: milliseconds until they answer, and until they end when asked; how often they fail."""

    ready_ms: tuple[int, int] = (200, 1_500)
    stop_ms: tuple[int, int] = (20, 600)
    crash_share: float = 0.03
    deaf_share: float = 0.03
    """Share of the instances that do not end when asked, only when killed."""


class Instance:
    """One process of an artefact, running until ``ended`` is set."""

    def __init__(self, order: Ordered, url: str) -> None:
        self.order = order
        self.url = url
        self.amount = codec_zone.capacity_in(order.limits, "limits")
        self.is_ready = False
        self.is_deaf = False
        self.ended = asyncio.Event()
        self.status: int | None = None

    @property
    def runs(self) -> bool:
        return not self.ended.is_set()


class Machine:
    """Runs instances. ``on_event`` is told what happens on it."""

    def __init__(self, loop: VirtualLoop, name: str, stream: Stream, on_event: Callable[[str], None]) -> None:
        self.name = name
        self.manners = Manners()
        self.broken_artefacts: set[str] = set()
        self.instances: dict[str, Instance] = {}
        self.records: dict[str, InstanceRecord] = {}
        self.ended_us: dict[str, int] = {}
        self.started: list[tuple[str, int]] = []
        self.asked_to_end: list[Instance] = []
        self._loop = loop
        self._stream = stream
        self._on_event = on_event
        self._power = Process(loop, f"machine {name}")
        self._port = 20_000

    def start(self, order: Ordered) -> Instance:
        """Starts a process; whether and when it answers is a matter of chance."""
        self._port += 1
        host = self.name.replace("/", ".")
        instance = Instance(order, f"https://{host}:{self._port}")
        instance.is_deaf = self._stream.chance(self.manners.deaf_share)
        self.instances[order.instance] = instance
        self.started.append((order.claim, order.fencing_token))
        self._on_event(f"starts {order.instance}")
        self._power.spawn(self._live(instance))
        return instance

    async def _live(self, instance: Instance) -> None:
        low_ms, high_ms = self.manners.ready_ms
        await asyncio.sleep(self._stream.integer(low_ms, high_ms) / 1_000)
        order = instance.order
        if self._stream.chance(self.manners.crash_share) or order.artefact.name in self.broken_artefacts:
            self.end(instance, 1)
        elif instance.runs:
            instance.is_ready = True
            self._on_event(f"answers {order.instance}")

    def ask_to_end(self, instance: Instance) -> None:
        """As an agent does that has no order for it any more."""
        if instance.is_ready:
            self.asked_to_end.append(instance)
            self._on_event(f"is to end {instance.order.instance}")
        if instance.runs and not instance.is_deaf:
            low_ms, high_ms = self.manners.stop_ms
            self._power.spawn(self._end_later(instance, self._stream.integer(low_ms, high_ms)))

    async def _end_later(self, instance: Instance, after_ms: int) -> None:
        await asyncio.sleep(after_ms / 1_000)
        self.end(instance, -15)

    def end(self, instance: Instance, status: int) -> None:
        """The process ends now."""
        if instance.runs:
            instance.status = status
            instance.is_ready = False
            self.ended_us[instance.url] = self._loop.now_us
            instance.ended.set()
            self._on_event(f"ends {instance.order.instance} with {status}")

    def lose_power(self) -> None:
        """Every process ends at once and nobody sees it."""
        self._power.kill()
        for instance in self.running():
            self.end(instance, -9)
        self.instances.clear()
        self._power = Process(self._loop, f"machine {self.name}")

    def running(self) -> list[Instance]:
        return [instance for _, instance in sorted(self.instances.items()) if instance.runs]


class MachineProcess:
    """One running instance as an agent process sees it."""

    def __init__(self, machine: Machine, instance: Instance) -> None:
        self._machine = machine
        self._instance = instance

    async def exited(self) -> str:
        await self._instance.ended.wait()
        return how_it_ended(self._instance.status)

    async def unready(self) -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    @property
    def silent(self) -> bool:
        return False

    @property
    def trouble(self) -> str:
        return ""

    async def ready(self) -> bool:
        return self._instance.is_ready

    async def terminate(self) -> None:
        self._machine.ask_to_end(self._instance)

    async def kill(self) -> None:
        self._machine.end(self._instance, -9)

    @property
    def endpoint_url(self) -> str:
        return self._instance.url


class MachineRuntime:
    """Starts instances on the machine and finds those that a former agent process started."""

    collects = False

    def __init__(self, machine: Machine, store: MemoryInstanceStore) -> None:
        self._machine = machine
        self._store = store

    async def start(self, order: Ordered) -> Running:
        await asyncio.sleep(0.002)
        leftover = self._machine.instances.get(order.instance)
        if leftover is not None:
            self._machine.end(leftover, -9)
        instance = self._machine.start(order)
        self._store.set_process(order.instance, ProcessMark(len(self._machine.started), 1, "boot"), 1)
        return MachineProcess(self._machine, instance)

    async def adopt(self) -> Mapping[str, Running]:
        return {
            instance.order.instance: MachineProcess(self._machine, instance)
            for instance in self._machine.running()
            if instance.order.instance in self._store.records
        }

    async def forget(self, instance: str) -> None:
        self._store.remove(instance)

    async def run(self) -> None:
        """There is no platform to follow."""

    async def housekeep(self) -> None:
        """There are no logs to keep within bounds."""


class MemoryInstanceStore(InstanceStore):
    """The agent's records on the machine's disk, which survives its processes."""

    def __init__(self, disk: dict[str, InstanceRecord]) -> None:
        self._records = disk

    def put(self, record: InstanceRecord) -> None:
        self._records[record.instance] = record

    def set_process(self, instance: str, mark: ProcessMark, port: int) -> None:
        record = self._records.get(instance, InstanceRecord(instance))
        self.put(replace(record, process=mark, port=port))

    def remove(self, instance: str) -> None:
        self._records.pop(instance, None)

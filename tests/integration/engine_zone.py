"""A zone whose instances are containers: one state directory, a fake engine, and agents that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_harness import Certificates, free_ports
from engine_fake import FakeEngine
from hansa_agent.artefacts import Artefact
from hansa_agent.config_container import ContainerSection
from hansa_agent.container_engine import Engine
from hansa_agent.instance_ports import InstanceSettings
from hansa_agent.instance_store import InstanceStore
from hansa_agent.ports import Instant, Machine
from hansa_agent.reconciliation import RestartPolicy
from hansa_agent.runtime_container import Around, ContainerRuntime
from hansa_agent.strays import Strays
from hansa_agent.supervisor import Supervisor
from hansa_agent.system import SystemClock, SystemRandom

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.common_pb2 import ArtefactRef, Capacity
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, DesiredInstance

DIGEST = "sha256:" + "a" * 64
IMAGE = f"registry.example/echo@{DIGEST}"
ZONE = "nordfjell/osl-1"
SPEED = 20
MACHINE = Machine(Capacity(cpu_millis=1_000, memory_mib=1_000), (), "machine")
POLICY = RestartPolicy(backoff_ms_min=100, backoff_ms_max=400, quick_failures_max=100_000, stop_grace_ms=2_000)


class FastClock(SystemClock):
    """Time passes ``SPEED`` times faster, so that grace and patience pass within a test."""

    def now(self) -> Instant:
        real = super().now()
        return Instant(real.monotonic_ms * SPEED, real.wall_ms)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


class Zone:
    """One state directory, an engine, and agents (runtime and supervisor) that come and go."""

    def __init__(self, folder: Path, engine: FakeEngine, **section: Any) -> None:
        self.folder = folder
        self.engine = engine
        self.section = ContainerSection(socket=engine.socket, **section)
        first = free_ports(4)
        self.settings = InstanceSettings("127.0.0.1", (first, first + 3))
        self.ca = Certificates(folder / "ca").ca.read_bytes()
        self.orders: dict[str, Order] = {}
        self.task: asyncio.Task[None] | None = None
        self.restarts = 0
        self.told: list[Machine] = []
        self.strays = Strays(lambda: self.told.append(self.strays.less(MACHINE)))

    async def up(self) -> None:
        """An agent starts, and takes over what is there."""
        self.store = InstanceStore(self.folder / "state")
        clock, random = FastClock(), SystemRandom()
        artefacts = {"echo": Artefact("echo", (), (), DIGEST, image=IMAGE)}
        around = Around(ZONE, clock, random, self.strays)
        self.runtime = ContainerRuntime(artefacts, self.section, self.settings, self.store, around)
        self.runtime.engine = Engine(self.engine.socket, timeout_s=0.15)
        self.runtime._view._engine = self.runtime.engine
        self.changed = asyncio.Event()
        self.supervisor = Supervisor(self.runtime, self.store, clock, self.changed.set)
        await self.supervisor.adopt(POLICY, random)
        self.task = asyncio.create_task(self.supervisor.run())
        await asyncio.sleep(0)
        self.supervisor.desire(self.orders)

    async def down(self) -> None:
        """The agent dies, wherever it is."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
        await self.runtime.engine.close()

    async def order(self, *desired: DesiredInstance) -> None:
        self.orders = {f"instances/{each.instance}": order_of(each) for each in desired}
        self.supervisor.desire(self.orders)
        await asyncio.sleep(0)

    async def until(self, predicate: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not predicate():
                assert self.task is not None
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.005)
                await self._come_again()

    async def _come_again(self) -> None:
        if self.engine.crash.is_set():
            self.engine.crash.clear()
            await self.down()
            self.engine.crashed.set()
            self.restarts += 1
            await self.up()

    def desired(self, instance: str = "c1-0", **changes: Any) -> DesiredInstance:
        content: dict[str, Any] = {
            "instance": instance,
            "claim": instance.rpartition("-")[0],
            "workload": "workloads/shop",
            "artefact": ArtefactRef(name="echo", digest=DIGEST),
            "limits": Capacity(cpu_millis=500, memory_mib=256),
            "fencing_token": 7,
            "client_ca_pem": self.ca,
        }
        return DesiredInstance(**(content | changes))

    def is_ready(self, instance: str = "c1-0") -> bool:
        status = self.supervisor.statuses().get(instance)
        return status is not None and status.state == INSTANCE_STATE_READY

    def message(self, instance: str = "c1-0") -> str:
        status = self.supervisor.statuses().get(instance)
        return status.message if status is not None else ""

    def is_empty(self) -> bool:
        idle = not self.supervisor._reconciliation.lives and not self.supervisor._queues
        return idle and not self.store.records and not self.engine.containers


def order_of(desired: DesiredInstance) -> Order:
    return Order(name=f"instances/{desired.instance}", etag=str(desired.fencing_token), instance=desired)

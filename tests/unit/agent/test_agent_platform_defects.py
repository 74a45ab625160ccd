"""What a platform does that nobody expected, or nobody can see: it ends neither the agent nor what runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from agent_orders import desired
from hansa_agent.admission import judge
from hansa_agent.instance_store import InstanceStore
from hansa_agent.ports import Running
from hansa_agent.probe_stamp import Sender
from hansa_agent.reconciliation import RestartPolicy
from hansa_agent.runtime_process import _cut
from hansa_agent.supervisor import Supervisor
from hansa_agent.system import SystemClock, SystemRandom

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.instance_pb2 import INSTANCE_STATE_STARTING, DesiredInstance, ProbeTarget

POLICY = RestartPolicy(ready_timeout_ms=200, stop_grace_ms=50, backoff_ms_min=10)


class OddInstance:
    """Never ready; ``silent`` is as the test has it."""

    endpoint_url = "https://h:1"
    trouble = ""

    def __init__(self) -> None:
        self.silent = False
        self.kills = 0
        self.killed = asyncio.Event()

    async def exited(self) -> str:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def ready(self) -> bool:
        return False

    async def unready(self) -> str:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def terminate(self) -> None:
        raise KeyError("metadata")

    async def kill(self) -> None:
        self.kills += 1
        self.killed.set()
        raise KeyError("metadata")


class OddRuntime:
    """Fails in ways that no port allows."""

    collects = True

    def __init__(self, store: InstanceStore) -> None:
        self.store = store
        self.instance = OddInstance()
        self.defects = 1
        self.housekept = 0
        self.adopted: dict[str, Running] = {}

    async def start(self, order: DesiredInstance) -> Running:
        self.defects -= 1
        if self.defects >= 0:
            raise KeyError("metadata")
        return self.instance

    async def adopt(self) -> dict[str, Running]:
        return self.adopted

    async def forget(self, instance: str) -> None:
        self.store.remove(instance)
        raise KeyError("members")

    async def housekeep(self) -> None:
        self.housekept += 1
        raise KeyError("members")

    async def run(self) -> None:
        raise KeyError("items")


class Hurried(SystemClock):
    """What waits for ten seconds waits for a tenth."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 100 if seconds >= 1 else seconds)


@asynccontextmanager
async def supervised(folder: Path, runtime: OddRuntime) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(runtime, runtime.store, Hurried(), lambda: None)
    await supervisor.adopt(POLICY, SystemRandom())
    task = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    try:
        yield supervisor
        assert not task.done(), "the agent has ended"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def order() -> dict[str, Order]:
    return {"instances/c1-0": Order(name="instances/c1-0", etag="e", instance=desired())}


async def test_defects_of_a_platform_are_told_and_end_nothing(tmp_path: Path) -> None:
    runtime = OddRuntime(InstanceStore(tmp_path))
    async with supervised(tmp_path, runtime) as supervisor:
        supervisor.desire(order())
        await until(lambda: "a defect: KeyError" in supervisor.statuses()["c1-0"].message or runtime.defects < 0)
        await until(lambda: runtime.defects < 0)
        await runtime.instance.killed.wait()
        await until(lambda: runtime.housekept >= 2)
        assert supervisor.statuses()["c1-0"].state == INSTANCE_STATE_STARTING


async def test_nothing_is_collected_before_the_operator_was_heard(tmp_path: Path) -> None:
    runtime = OddRuntime(InstanceStore(tmp_path))
    async with supervised(tmp_path, runtime) as supervisor:
        await asyncio.sleep(0.5)
        assert runtime.housekept == 0
        supervisor.desire({})
        await until(lambda: runtime.housekept)


async def test_time_in_which_nobody_can_say_how_it_is_does_not_count(tmp_path: Path) -> None:
    runtime = OddRuntime(InstanceStore(tmp_path))
    runtime.defects, runtime.instance.silent = 0, True
    async with supervised(tmp_path, runtime) as supervisor:
        supervisor.desire(order())
        await asyncio.sleep(4 * POLICY.ready_timeout_ms / 1_000)
        assert runtime.instance.kills == 0
        runtime.instance.silent = False
        async with asyncio.timeout(10):
            await runtime.instance.killed.wait()


async def test_an_adopted_instance_that_never_gets_ready_has_its_time_too(tmp_path: Path) -> None:
    first = OddRuntime(InstanceStore(tmp_path))
    first.defects, first.instance.silent = 0, True
    async with supervised(tmp_path, first) as supervisor:
        supervisor.desire(order())
        await until(lambda: first.defects < 0)
    second = OddRuntime(InstanceStore(tmp_path))
    second.adopted = {"c1-0": second.instance}
    async with supervised(tmp_path, second), asyncio.timeout(10):
        await second.instance.killed.wait()


@pytest.mark.parametrize("address", ["a..b:4000", ".a:1", f"{'x' * 64}.example:1", "a-.example:1"])
async def test_an_address_that_no_resolver_takes_ends_nothing(address: str) -> None:
    sender = Sender(SystemClock(), SystemRandom())
    assert await sender.measure(address, count=2, spacing_ms=1, timeout_ms=10) == [None, None]
    target = Order(name="probe-targets/a/b", etag="e", probe_target=ProbeTarget(zone="a/b", address=address))
    complaint = judge(target, {}, None)  # type: ignore[arg-type]
    assert complaint is not None and complaint[0] == "probe_target.address"


def test_a_log_is_cut_though_the_disk_has_no_room_for_its_copy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 1_000)
    (tmp_path / "log.1").symlink_to("/dev/full")
    _cut(log)
    assert log.stat().st_size == 0

"""One workload on three platforms in turn: what its users, its operator and the platforms see. ``make demo-infra``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from cloud_furniture import furnish
from hansa_agent.system import SystemClock
from hansa_demo.check import until
from infra_world import PODS, PROCESSES, SERVERS, InfraWorld, spec
from openstack_cloud import Cloud
from rich.console import Console
from rich.table import Table

from hansa.client import Client
from hansa.v1 import workload_pb2

NAME = "yard-ocr"
STEP_S = 60.0
PROCESS_HOSTS = ("127.0.0.1", "localhost")


class Callers:
    """Users who ask for the endpoint twice a second and call it all the time, where something really answers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.answered = 0
        self.failed: list[str] = []
        self.zones: list[str] = []
        self.told: list[str] = []

    async def __aenter__(self) -> Callers:
        self._task = asyncio.create_task(self._call())
        return self

    async def __aexit__(self, *left: object) -> None:
        assert not self._task.done(), self._task.exception()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _call(self) -> None:
        while True:
            found = await self._client.find_endpoint(NAME)
            if [found.zone] != self.zones[-1:]:
                self.zones.append(found.zone)
            host, _, port = found.endpoint_urls[0].removeprefix("https://").partition(":")
            for _ in range(10):
                if found.zone == PROCESSES:
                    await self._connect(host, int(port))
                await asyncio.sleep(0.05)

    async def _connect(self, host: str, port: int) -> None:
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            self.answered += 1
        except OSError as error:
            self.failed.append(str(error))


class Story:
    """The steps, each seen on every platform; AssertionError at the first that does not come about."""

    def __init__(self, world: InfraWorld, console: Console) -> None:
        self._world = world
        self._console = console
        self._began_s = _now_s()

    async def play(self) -> Callers:
        world = self._world
        async with world.client() as client, world.engineer("nordavind") as home, world.engineer("waldnetz") as partner:
            await client.submit(NAME, spec())
            await self._runs_in(client, PROCESSES)
            await self._seen("placed in oslo-1, a zone of processes", processes=1, servers=0, pods=0)
            async with Callers(client) as callers:
                await until("users are on their way", lambda: _true(callers.answered >= 10), STEP_S)
                await home.drain("oslo-1", note="new switch")
                await self._runs_in(client, SERVERS)
                await self._seen("oslo-1 drained: moved to hamburg-1, OpenStack of a partner", 0, 1, 0)
                await partner.drain("hamburg-1", note="new firmware")
                await self._runs_in(client, PODS)
                await self._seen("hamburg-1 drained: moved to bergen-1, Kubernetes", 0, 0, 1)
                await home.uncordon("oslo-1")
                await home.drain("bergen-1", note="upgrade")
                await self._runs_in(client, PROCESSES)
                await self._seen("oslo-1 open again, bergen-1 drained: back where it was", 1, 0, 0)
                answered = callers.answered
                await until("users are back", lambda: _true(callers.answered >= answered + 10), STEP_S)
            callers.told = await record(client)
            await client.delete(NAME)
            await self._seen("deleted: nothing is left on any platform", 0, 0, 0)
        return callers

    async def _runs_in(self, client: Client, zone: str) -> None:
        async def look() -> bool:
            placements = (await client.get(NAME)).placements
            return [(p.zone, p.state) for p in placements] == [(zone, workload_pb2.PLACEMENT_STATE_READY)]

        try:
            await until(f"{NAME} runs in {zone} alone", look, STEP_S)
        except AssertionError as late:
            placements = [f"{p.zone}: {p.message}" for p in (await client.get(NAME)).placements]
            logs = [self._world.processes.log_lines(name)[-8:] for name in (PROCESSES, SERVERS, PODS)]
            raise AssertionError(f"{late}: {placements} {await record(client)} {logs}") from late

    async def _seen(self, what: str, processes: int, servers: int, pods: int) -> None:
        """That each platform says so itself; Placement holds CPUs for as many servers as there are."""
        expected = (processes, servers, pods)
        found: list[tuple[int, int, int]] = []

        async def look() -> bool:
            found[:] = [await asyncio.to_thread(self._platforms)]
            held = await asyncio.to_thread(self._world.cpus_held)
            return found[0] == expected and bool(held) == bool(servers)

        await until(f"processes, servers, pods are {expected}", look, STEP_S)
        self._console.print(
            f"{_now_s() - self._began_s:6.1f} s  {what}\n"
            f"          processes {processes}, servers in Nova {servers}, deployments {pods}, "
            f"VCPUs held in Placement {self._world.cpus_held()}"
        )

    def _platforms(self) -> tuple[int, int, int]:
        self._world.processes.check_alive()
        return len(self._world.pids()), len(self._world.servers()), len(self._world.deployments())


def _now_s() -> float:
    return SystemClock().monotonic_ns() / 1e9


async def record(client: Client) -> list[str]:
    """What the workload's events say."""
    return [f"{event.reason}: {event.message}" for event in await client.events(NAME)]


async def _true(seen: bool) -> bool:
    return seen


async def played(folder: Path, cloud: Cloud, console: Console) -> Callers:
    """The whole story on a cloud that is furnished."""
    world = await asyncio.to_thread(InfraWorld, folder, cloud)
    try:
        await asyncio.to_thread(world.start)
        return await Story(world, console).play()
    finally:
        await asyncio.to_thread(world.end)


def main() -> int:
    """Plays it and prints what was seen."""
    console = Console(soft_wrap=True)
    console.print("Starting a real OpenStack, a Kubernetes API, two operators and three agents (about a minute)")
    with tempfile.TemporaryDirectory(prefix="hansa-infra-") as folder:
        cloud = Cloud("edge-1")
        try:
            cloud.await_start()
            furnish(cloud)
            callers = asyncio.run(played(Path(folder) / "world", cloud, console))
        finally:
            cloud.end()
    table = Table("what users saw", "", box=None)
    table.add_row("calls answered in the zone of processes", str(callers.answered))
    table.add_row("calls that failed", str(len(callers.failed)))
    table.add_row("endpoints they were led to", " > ".join(callers.zones))
    table.add_row("what its record says", "\n".join(callers.told))
    console.print(table)
    return 1 if callers.failed else 0


if __name__ == "__main__":
    sys.exit(main())

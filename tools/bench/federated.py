"""Submits to one operator that are placed in another's zones: two control planes, each durable in a store of its own.

The home operator has no zones. A workload is placed once the owner has confirmed its claim, which is on both disks
then; the owner's agents are told to start it, and report it as ready at once. docs/benchmarks.md says more.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from hansa.v1 import workload_pb2, workload_service_pb2_grpc
from hansa.v1 import workload_service_pb2 as service_pb2
from tools.bench._agents import BenchAgent, connected_agents
from tools.bench._load import at_least, closed_loop, row, rows_of
from tools.bench._submit import call, echo_call, name_of, spec
from tools.bench._world import PARTNER, BenchFailed, World, open_channel, running_partner, running_world

ZONES, IN_FLIGHT, COUNT = 32, 128, 1_200
WARM_UP_COUNT = 200
"""Until then both processes have loaded all they decide with, and Python has seen their code often enough."""
PLACED_TARGET = 250.0
TIMEOUT_S = 180.0


def rows(zones: int = ZONES, in_flight: int = IN_FLIGHT, count: int = COUNT) -> list[dict[str, object]]:
    """Rate and times of the answers, workloads placed a second, and the processor time of both operators."""
    return asyncio.run(_measured(zones, in_flight, count))


async def _measured(zones: int, in_flight: int, count: int) -> list[dict[str, object]]:
    with running_world(zones) as world:
        agents = await connected_agents(world)
        try:
            with running_partner(world) as (home, ports):
                server = (PARTNER, world.callers.partner_ca_pem)
                channel = open_channel(server, world.callers.partner_tenant, ports["api"])
                echo_channel = world.channel("echo", world.callers.tenant)
                try:
                    stub = workload_service_pb2_grpc.WorkloadServiceStub(channel)
                    return await _rows(world, agents, (stub, echo_channel, home.cpu_s), (in_flight, count))
                finally:
                    await channel.close()
                    await echo_channel.close()
        finally:
            await asyncio.gather(*(agent.close() for agent in agents))


async def _rows(
    world: World, agents: list[BenchAgent], home: tuple[Any, Any, Any], size: tuple[int, int]
) -> list[dict[str, object]]:
    stub, echo_channel, home_cpu_s = home
    in_flight, count = size

    async def submit(number: int) -> None:
        await call(stub.SubmitWorkload, _request(number))

    echo = echo_call(echo_channel, _request)
    await closed_loop(submit, WARM_UP_COUNT, in_flight)
    await _placed(agents, WARM_UP_COUNT)
    before = await closed_loop(echo, count // 2, in_flight)
    began_s, cpu_s = time.perf_counter(), home_cpu_s() + world.control_plane.cpu_s()
    run = await closed_loop(lambda at: submit(WARM_UP_COUNT + at), count, in_flight)
    await _placed(agents, WARM_UP_COUNT + count)
    placed_s, cpu_s = time.perf_counter() - began_s, home_cpu_s() + world.control_plane.cpu_s() - cpu_s
    floor = before + await closed_loop(echo, count // 2, in_flight)
    name = f"federated.{in_flight}_in_flight"
    return [
        *rows_of(name, run, floor),
        at_least(PLACED_TARGET, row(f"{name}.placed_rate", count / placed_s, "1/s", floor.rate)),
        row("federated.cpu_per_1000", cpu_s / count * 1_000, "s"),
    ]


def _request(number: int) -> service_pb2.SubmitWorkloadRequest:
    wanted: workload_pb2.WorkloadSpec = spec()
    return service_pb2.SubmitWorkloadRequest(request_id=f"r{number}", name=name_of(number), spec=wanted)


async def _placed(agents: list[BenchAgent], count: int) -> None:
    """Waits until the owner's agents have been told to start so many; BenchFailed if that takes too long."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while sum(agent.ready_count for agent in agents) < count:  # noqa: ASYNC110 - other processes get on
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise BenchFailed(f"of {count} workloads not all were placed in time") from None


if __name__ == "__main__":
    for each in rows():
        print(each)

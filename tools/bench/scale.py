"""How large an operator may be: 1,000 agents that each say something every second, and a store of 10,000 placements.

The store of the second part is made of what a control plane wrote: one workload is submitted and becomes ready, then
its records and those of its zone are copied under other names by the store's own code. docs/benchmarks.md says more.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hansa_control.adapters.store_schema import checksum
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.application.metering import TOLD
from hansa_control.application.ports import Counter, Put, Record, StoredAdvert, Table
from hansa_control.application.usage_ports import Enter, LineQuery
from hansa_control.domain.model import Claim, InstanceStatus, Workload, WorkloadId, ZoneId
from hansa_control.domain.usage import UsageLine

from hansa.v1 import agent_service_pb2 as agent_pb2
from tools.bench._adverts import EchoStreams, probes
from tools.bench._agents import BenchAgent, connected_agents
from tools.bench._load import at_most, row
from tools.bench._submit import AppTeam, Level
from tools.bench._world import OPERATOR, TENANT, BenchFailed, World, running_world, started_control_plane, zone_name

Rows = list[dict[str, object]]

CPU_PERCENT_MAX = 60.0
COLD_START_S_MAX = 3.0
RESIDENT_MIB_MAX = 400.0
PER_COMMIT = 1_000
CONNECTED_AT_ONCE = 50
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is measured."""

    agents: int = 1_000
    placements: int = 10_000
    paced_s: float = 10.0


FULL = Counts()


def rows(counts: Counts = FULL) -> Rows:
    """Agents on one operator, then its start with many placements, and its memory with both."""
    return asyncio.run(_measured(counts))


async def _measured(counts: Counts) -> Rows:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _in_a_world(counts)
    except TimeoutError:
        raise BenchFailed(f"not done within {TIMEOUT_S} s: too many agents or placements for this machine") from None


async def _in_a_world(counts: Counts) -> Rows:
    with running_world(counts.agents) as world:
        found = await _of_agents(world, counts)
        world.control_plane.stop()
        await _fill(world, counts)
        return found + await _of_placements(world, counts)


async def _of_agents(world: World, counts: Counts) -> Rows:
    """Every agent sends a delta of one probe each second, evenly spread; beside it, its heartbeats."""
    agents = await connected_agents(world, CONNECTED_AT_ONCE)
    team = AppTeam(world, agents)
    try:
        await team.submits([Level(1, 2)])
        began_s, cpu_s = time.perf_counter(), world.control_plane.cpu_s()
        sent = await _all_paced([partial(_tell, agent) for agent in agents], counts)
        elapsed_s, cpu_s = time.perf_counter() - began_s, world.control_plane.cpu_s() - cpu_s
        floor = await _floor(world, agents, counts)
    finally:
        await team.close()
        await asyncio.gather(*(agent.close() for agent in agents))
    name = f"agents.{counts.agents}"
    # What a machine that is slower than asked for did not get done would have cost as much.
    share = 100 * cpu_s / sum(sent) * counts.agents
    return [
        at_most(CPU_PERCENT_MAX, row(f"{name}.cpu_share", share, "%", floor)),
        row(f"{name}.delta_rate", sum(sent) / elapsed_s, "1/s"),
    ]


async def _floor(world: World, agents: list[BenchAgent], counts: Counts) -> float:
    """The share of a core that a bare echo takes for the same messages, as often, on as many streams."""
    echo = EchoStreams(world)

    async def exchange(stream: int, number: int) -> None:
        delta = agent_pb2.AdvertDelta(updated=probes(agents[stream], number, 1), nonce=str(number))
        await echo.exchange(stream, agent_pb2.SessionRequest(adverts=delta))

    try:
        for stream in range(len(agents)):
            await exchange(stream, 0)
        cpu_s = world.echo.cpu_s()
        sent = await _all_paced([partial(exchange, stream) for stream in range(len(agents))], counts)
        return 100 * (world.echo.cpu_s() - cpu_s) / sum(sent) * counts.agents
    finally:
        await echo.close()


async def _tell(agent: BenchAgent, number: int) -> None:
    await agent.advertise(probes(agent, number, 1))


Send = Callable[[int], Awaitable[None]]


async def _all_paced(sends: Sequence[Send], counts: Counts) -> list[int]:
    """How often each was called: once a second, spread evenly over the second."""
    return await asyncio.gather(*(_paced(send, at / len(sends), counts) for at, send in enumerate(sends)))


async def _paced(send: Send, offset_s: float, counts: Counts) -> int:
    began_s, sent = time.perf_counter() + offset_s, 0
    until_s = began_s - offset_s + counts.paced_s
    while began_s + sent < until_s and time.perf_counter() < until_s:
        await asyncio.sleep(max(0.0, began_s + sent - time.perf_counter()))
        await send(sent)
        sent += 1
    return sent


async def _fill(world: World, counts: Counts) -> None:
    """Copies what is kept of the workload that runs, under other names, evenly over all zones."""
    store = SqliteStore(world.folder / "data" / "state.db")
    tables = await store.load()
    workload = next(one for one in tables[Table.WORKLOAD].values() if isinstance(one, Workload) and one.placements)
    held = tables[Table.CLAIM][f"{OPERATOR}|{workload.placements[0].claim}"]
    told = next(
        one
        for one in tables[Table.ADVERT].values()
        if isinstance(one, StoredAdvert)
        and isinstance(one.body, InstanceStatus)
        and one.body.claim == _claim_name(held)
    )
    metered = await store.lines(LineQuery(OPERATOR, unfinished=True))
    line = next(one for one in metered if one.claim == _claim_name(held))
    line = replace(line, sequence=metered[-1].sequence)
    made: list[Put | Enter] = []
    for number in range(counts.placements):
        zone = zone_name(number % counts.agents)
        made += _copied((workload, held, told), number, zone)
        made.append(_metered(line, number, zone))
        if len(made) >= PER_COMMIT:
            await store.commit(made)
            made.clear()
    await store.commit([*made, Put(Table.COUNTER, TOLD, Counter(line.sequence + counts.placements))])
    await store.close()
    _copy_decision(world.folder / "data" / "state.db", str(workload.id), counts.placements)


def _copy_decision(path: Path, key: str, count: int) -> None:
    """The decision of a workload for all of them, as bytes: one of a thousand zones takes 40 ms to write."""
    with closing(sqlite3.connect(path)) as connection, connection:
        read = "SELECT body FROM hansa_record WHERE kind = 'decision' AND key = ?"
        (body,) = connection.execute(read, (key,)).fetchone()
        names = (str(WorkloadId(TENANT, f"p{number:06d}")) for number in range(count))
        rows = ((name, body, checksum(Table.DECISION, name, body)) for name in names)
        connection.executemany("INSERT INTO hansa_record VALUES ('decision', ?, ?, ?)", rows)


def _metered(line: UsageLine, number: int, zone: str) -> Enter:
    """The copied claim's line in the book of usage, as every claim that was confirmed has one."""
    copied = replace(line, claim=f"cp{number:06d}-1", zone=zone, workload=f"tenants/{TENANT}/workloads/p{number:06d}")
    return Enter(replace(copied, sequence=line.sequence + 1 + number))


def _claim_name(claim: Record) -> str:
    if not isinstance(claim, Claim):
        raise BenchFailed(f"no claim: {claim}")
    return claim.name


def _copied(records: tuple[Workload, Record, StoredAdvert], number: int, zone: str) -> list[Put]:
    workload, held, told = records
    if not (isinstance(held, Claim) and isinstance(told.body, InstanceStatus)):
        raise BenchFailed("what is kept of a workload is not what it was")
    name, claim = WorkloadId(TENANT, f"p{number:06d}"), f"cp{number:06d}-1"
    placed = replace(workload.placements[0], claim=claim, zone=ZoneId(OPERATOR, zone))
    instance = f"{claim}-{held.fencing_token}-0"
    body = replace(told.body, instance=instance, claim=claim)
    manifest = None if held.manifest is None else replace(held.manifest, workload=str(name))
    return [
        Put(Table.WORKLOAD, str(name), replace(workload, id=name, uid=f"p{number:019d}", placements=(placed,))),
        Put(Table.CLAIM, f"{OPERATOR}|{claim}", replace(held, name=claim, zone=zone, manifest=manifest)),
        Put(
            Table.ADVERT,
            f"{zone}|instances/{instance}",
            replace(told, zone=zone, name=f"instances/{instance}", body=body),
        ),
    ]


async def _of_placements(world: World, counts: Counts) -> Rows:
    """Starts again on what is stored, and lets the agents come back."""
    began_s = time.perf_counter()
    again = started_control_plane(world.folder, "operator")
    try:
        ports = again.ports()
        served_s = time.perf_counter() - began_s
        started_cpu_s = again.cpu_s()
        later = replace(world, control_plane=again, ports={**world.ports, **ports})
        agents = await connected_agents(later, CONNECTED_AT_ONCE)
        resident_mib = again.resident_mib()
        await asyncio.gather(*(agent.close() for agent in agents))
    finally:
        again.stop()
    name = f"scale.{counts.placements}_placements"
    return [
        at_most(COLD_START_S_MAX, row(f"{name}.cold_start", served_s, "s")),
        row(f"{name}.cold_start_cpu", started_cpu_s, "s"),
        at_most(RESIDENT_MIB_MAX, row(f"{name}.{counts.agents}_agents.resident", resident_mib, "MiB")),
    ]


if __name__ == "__main__":
    for each in rows():
        print(each)

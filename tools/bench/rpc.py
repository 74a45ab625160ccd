"""Round trips over gRPC with mutual TLS against a real control plane, each beside a bare echo in the same run.

The control plane is a process of its own with SQLite in WAL mode and synchronous=FULL: what it acknowledges is on
disk. The echo is another process, with the same certificate, reached by the same client with messages of the same
size. One process plays app teams, agents and partner. docs/benchmarks.md says what the rows mean and what bounds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tools.bench._adverts import advert_rows
from tools.bench._agents import BenchAgent, connected_agents
from tools.bench._partners import HomeOperator
from tools.bench._submit import AppTeam, Level
from tools.bench._world import World, running_world

Rows = list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is measured."""

    zones: int = 32
    submits: Sequence[Level] = (Level(1, 150), Level(16, 450), Level(128, 1_200))
    finds: Sequence[Level] = (Level(1, 1_000), Level(16, 8_000), Level(128, 16_000))
    rest_s: float = 10.0
    deltas: int = 512
    partner_trips: Sequence[Level] = (Level(1, 100), Level(16, 400))


FULL = Counts()


def rows(counts: Counts = FULL) -> Rows:
    """Everything, each part on a fresh control plane, so that no part carries what another left behind."""
    parts = (_of_app_teams, _of_agents, _of_partners)
    return [row for part in parts for row in asyncio.run(_with_a_world(part, counts))]


async def _with_a_world(part: Callable[[World, list[BenchAgent], Counts], Awaitable[Rows]], counts: Counts) -> Rows:
    with running_world(counts.zones) as world:
        agents = await connected_agents(world)
        try:
            return await part(world, agents, counts)
        finally:
            await asyncio.gather(*(agent.close() for agent in agents))


async def _of_app_teams(world: World, agents: list[BenchAgent], counts: Counts) -> Rows:
    team = AppTeam(world, agents)
    try:
        submitted = await team.submits(counts.submits)
        rest = await team.at_rest(counts.rest_s)
        return submitted + await team.finds(counts.finds) + rest
    finally:
        await team.close()


async def _of_agents(world: World, agents: list[BenchAgent], counts: Counts) -> Rows:
    return await advert_rows(world, agents, counts.deltas)


async def _of_partners(world: World, agents: list[BenchAgent], counts: Counts) -> Rows:
    partner = HomeOperator(world)
    try:
        await partner.connect()
        return await partner.rows(counts.partner_trips)
    finally:
        await partner.close()


if __name__ == "__main__":
    for each in rows():
        print(each)

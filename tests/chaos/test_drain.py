"""Zones are emptied while clients call what runs there: nobody is turned away, within an operator and between two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hansa_demo.processes import Answer
from small_world import CAST, DIGEST, HOME, PARTNER, SmallWorld, delete_all, settled, spec_in, until

from hansa.cli import exits
from hansa.client import Client
from hansa.operator_client import OperatorClient
from hansa.profile import load_profile
from hansa.spec_file import parse_workload_text
from hansa.v1 import workload_pb2, zone_pb2

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
WORKLOADS = 4
EITHER = f"""\
kind: Workload
name: any
artefact: {{name: tiny, digest: {DIGEST}}}
resources: {{cpu: 500m, memory: 64MiB}}
users: [{{access_point: hamburg, requests_per_s: 1}}]
latency: {{rtt_ms_max: 200}}
residency: {{data: ['NO', DE], control: ['NO', DE]}}
prefer: {{ordered: [{{zones: [{PARTNER}/hamburg-1]}}]}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    world = SmallWorld(tmp_path_factory.mktemp("drain") / "world")
    try:
        world.start()
        yield world
    finally:
        world.processes.stop_all()


def engineer(world: SmallWorld, operator: str) -> OperatorClient:
    """A client with the operator's own certificate."""
    return OperatorClient(load_profile(world.prepared.operator(operator) / "profile.yaml"))


class Callers:
    """Connect to every workload again and again, at the endpoint that they asked for a second ago at most."""

    def __init__(self, client: Client, names: list[str]) -> None:
        self._client = client
        self._names = names
        self.answered = 0
        self.failed: list[str] = []
        self.zones: set[str] = set()

    async def call(self, name: str) -> None:
        while True:
            found = await self._client.find_endpoint(name)
            host, _, port = found.endpoint_urls[0].removeprefix("https://").partition(":")
            self.zones.add(found.zone)
            for _ in range(20):
                await self._connect(f"{name} in {found.zone}", host, int(port))
                await asyncio.sleep(0.05)

    async def _connect(self, where: str, host: str, port: int) -> None:
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            self.answered += 1
        except OSError as error:
            self.failed.append(f"{where}: {error}")

    async def __aenter__(self) -> Callers:
        self._tasks = [asyncio.create_task(self.call(name)) for name in self._names]
        return self

    async def __aexit__(self, *left: object) -> None:
        for task in self._tasks:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def emptied(operator: OperatorClient, zone: str) -> None:
    async def look() -> bool:
        return not (await operator.zone_upkeep(zone)).occupants

    await until(f"{zone} is empty", look, 40.0)


async def command(world: SmallWorld, operator: str, *arguments: str) -> Answer:
    """What the command line answers to an operator's own engineer."""
    profile = str(world.prepared.operator(operator) / "profile.yaml")
    return await asyncio.to_thread(world.processes.hansa, "--profile", profile, *arguments)


def zone_of(workload: workload_pb2.Workload) -> str:
    (placement,) = workload.placements
    return placement.zone


@pytest.mark.parametrize("country", ["NO", "DE"])
async def test_draining_a_zone_turns_no_client_away(country: str, world: SmallWorld) -> None:
    owner = HOME if country == "NO" else PARTNER
    names = [f"drained-{country.lower()}-{number}" for number in range(WORKLOADS)]
    async with world.client() as client, engineer(world, owner) as operator:
        for name in names:
            await client.submit(name, spec_in(country))
        drained = zone_of((await settled(world, client))[names[0]])
        zone = drained.partition("/")[2]
        async with Callers(client, names) as callers:
            await asyncio.sleep(1.0)  # callers are on their way
            upkeep = await operator.drain(zone, note="new switch")
            assert upkeep.intake == zone_pb2.ZONE_INTAKE_DRAINING
            await emptied(operator, zone)
            await asyncio.sleep(1.0)  # and go on afterwards
            assert callers.failed == []
            assert callers.answered > 50
            assert len(callers.zones) == 2, "they were led from one zone to the other"
        assert {zone_of(workload) for workload in (await settled(world, client)).values()}.isdisjoint({drained})
        await operator.uncordon(zone)
        await delete_all(world, client)


async def test_a_drain_leads_users_from_one_operators_zone_to_anothers(world: SmallWorld) -> None:
    async with world.client() as client, engineer(world, PARTNER) as operator:
        await operator.cordon("berlin-1")
        await client.submit("abroad", parse_workload_text(EITHER, "harbour").spec)
        assert zone_of((await settled(world, client))["abroad"]) == f"{PARTNER}/hamburg-1"
        async with Callers(client, ["abroad"]) as callers:
            await asyncio.sleep(1.0)  # callers are on their way
            answer = await command(world, PARTNER, "drain", "hamburg-1", "--deadline", "60s")
            assert answer.exit_code == exits.OK, answer
            assert "1 claim left" in answer.err
            assert "hamburg-1 is empty" in answer.err
            await asyncio.sleep(1.0)  # and go on afterwards
            assert callers.failed == []
            assert callers.answered > 20
            assert {zone.partition("/")[0] for zone in callers.zones} == {HOME, PARTNER}
        await settled(world, client)
        for zone in CAST[PARTNER]:
            await operator.uncordon(zone)
        await delete_all(world, client)


async def test_what_has_nowhere_else_to_go_runs_on_and_is_told(world: SmallWorld) -> None:
    async with world.client() as client, engineer(world, HOME) as operator:
        await operator.cordon("bergen-1")
        await client.submit("bound", spec_in("NO"))
        await settled(world, client)
        answer = await command(world, HOME, "drain", "oslo-1", "--deadline", "3s")
        assert answer.exit_code == exits.INFEASIBLE, answer
        assert "nowhere else to go" in answer.out
        assert await client.find_endpoint("bound")
        await operator.uncordon("bergen-1")
        await emptied(operator, "oslo-1")
        await operator.uncordon("oslo-1")
        await settled(world, client)
        await delete_all(world, client)


async def test_a_drain_survives_kill_minus_nine_and_ends_all_the_same(world: SmallWorld) -> None:
    async with world.client() as client, engineer(world, HOME) as operator:
        await client.submit("survivor", spec_in("NO"))
        zone = zone_of((await settled(world, client))["survivor"]).partition("/")[2]
        await operator.drain(zone)
        await world.kill_and_restart(HOME)
        assert (await operator.zone_upkeep(zone)).upkeep.intake == zone_pb2.ZONE_INTAKE_DRAINING
        await emptied(operator, zone)
        await settled(world, client)
        await operator.uncordon(zone)
        await delete_all(world, client)

"""Processes die at the worst moment, and what they promised holds: nothing lost, nothing twice, nothing left over.

Moments are drawn from seeded streams; how fast the machine is decides what they hit, so that every run is another.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from small_world import CAST, HOME, PARTNER, READY, SmallWorld, delete_all, settled, spec_in, until

from hansa.client import Client
from hansa.errors import HansaError
from hansa.v1 import workload_pb2

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
SEED = 9
SUBMITTED_COUNT = 18
ROUNDS = 2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    world = SmallWorld(tmp_path_factory.mktemp("chaos") / "world")
    try:
        world.start()
        yield world
    finally:
        world.processes.stop_all()


def zones_of(workloads: dict[str, workload_pb2.Workload]) -> set[str]:
    return {placement.zone.partition("/")[0] for w in workloads.values() for placement in w.placements}


class Traffic:
    """App teams that submit, and now and then delete, whatever happens to their operator."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.accepted: dict[str, str] = {}
        self.deleted: set[str] = set()
        self._reached = [asyncio.Event() for _ in range(SUBMITTED_COUNT + 1)]

    async def flow(self, first: int, step: int) -> None:
        for number in range(first, SUBMITTED_COUNT, step):
            name, country = f"w-{number:02}", "DE" if number % 3 == 0 else "NO"
            accepted = await self._client.submit(name, spec_in(country), request_id=f"submit-{number}")
            self.accepted[name] = accepted.uid
            self._reached[len(self.accepted)].set()
            if number % 5 == 4:
                await self._delete(name)

    async def _delete(self, name: str) -> None:
        try:
            await self._client.delete(name, request_id=f"delete-{name}")
        except HansaError as error:
            assert error.reason == "NOT_FOUND", "only a deletion that was cut off after it was done may find nothing"
        self.deleted.add(name)

    async def reached(self, count: int) -> None:
        """Waits until so many submissions were acknowledged."""
        await self._reached[count].wait()

    @property
    def expected(self) -> dict[str, str]:
        return {name: uid for name, uid in self.accepted.items() if name not in self.deleted}


async def test_what_a_home_operator_has_acknowledged_outlives_it_and_runs_exactly_once(world: SmallWorld) -> None:
    chance = np.random.default_rng(SEED)
    counts = sorted(int(count) for count in chance.choice(np.arange(1, SUBMITTED_COUNT - 2), size=2, replace=False))
    async with world.client() as client:
        traffic = Traffic(client)

        async def kill_now_and_then() -> None:
            for count in counts:
                await traffic.reached(count)
                await asyncio.sleep(float(chance.uniform(0, 0.03)))  # the moment itself is what is tested
                await world.kill_and_restart(HOME)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for first in range(3):
                group.create_task(traffic.flow(first, 3))
            group.create_task(kill_now_and_then())
        assert len(traffic.accepted) == SUBMITTED_COUNT
        workloads = await settled(world, client)
        assert {name: workload.uid for name, workload in workloads.items()} == traffic.expected
        assert zones_of(workloads) == set(CAST)
        await delete_all(world, client)


async def test_an_owner_that_dies_between_hold_and_confirm_has_given_nothing_away_twice(world: SmallWorld) -> None:
    chance = np.random.default_rng(SEED + 1)
    async with world.client() as client:
        for number in range(ROUNDS):
            held = world.said(PARTNER, "hold_answered")
            await client.submit(f"gate-{number}", spec_in("DE"))
            async with asyncio.timeout(30):
                while world.said(PARTNER, "hold_answered") == held:
                    await asyncio.sleep(0)
            # The first dies the moment after it granted; the others while, and after, they are asked to confirm.
            await asyncio.sleep(float(chance.uniform(0, 0.006)) * number)
            await world.kill_and_restart(PARTNER)
        workloads = await settled(world, client)
        assert sorted(workloads) == [f"gate-{number}" for number in range(ROUNDS)]
        assert zones_of(workloads) == {PARTNER}
        await delete_all(world, client)


@pytest.mark.parametrize("step", ["hold_answered", "claim_confirmed"])
async def test_a_home_operator_that_dies_while_a_partner_grants_leaves_nothing_behind_there(
    step: str, world: SmallWorld
) -> None:
    async with world.client() as client:
        taken = world.said(PARTNER, step)
        await client.submit("abroad", spec_in("DE"))
        async with asyncio.timeout(30):
            while world.said(PARTNER, step) == taken:
                await asyncio.sleep(0)
        await world.kill_and_restart(HOME)
        workloads = await settled(world, client)
        assert zones_of(workloads) == {PARTNER}
        await delete_all(world, client)


async def test_an_agent_that_was_asleep_too_long_is_given_up_and_then_told_to_stop(world: SmallWorld) -> None:
    async with world.client() as client:
        await client.submit("sleeper", spec_in("NO"))
        before = (await settled(world, client))["sleeper"].placements[0].zone
        pids = world.pids_in(before)

        async def elsewhere() -> str:
            placements = (await client.get("sleeper")).placements
            return next((p.zone for p in placements if p.state == READY and p.zone != before), "")

        world.send(before, signal.SIGSTOP)
        try:
            moved = await until("the workload answers elsewhere", elsewhere)
            assert world.pids_in(before) == pids, "nobody could have told it to stop"
        finally:
            world.send(before, signal.SIGCONT)
        workloads = await settled(world, client)
        assert workloads["sleeper"].placements[0].zone == moved
        assert world.pids_in(before) == []
        reasons = [event.reason for event in await client.events("sleeper")]
        assert "ZoneLost" in reasons
        assert reasons.count("Placed") == 2
        await delete_all(world, client)


async def test_a_killed_agent_comes_back_to_the_very_instance_that_it_had(world: SmallWorld) -> None:
    async with world.client() as client:
        await client.submit("steady", spec_in("NO"))
        workload = (await settled(world, client))["steady"]
        zone = workload.placements[0].zone
        pids, endpoint = world.pids_in(zone), await client.find_endpoint("steady")
        adopted = world.said(zone, "instance adopted")
        await world.kill_and_restart(zone)

        async def again() -> bool:
            world.processes.check_alive()
            return world.said(zone, "instance adopted") > adopted

        await until("the instance is adopted", again)
        workload = (await settled(world, client))["steady"]
        assert (workload.placements[0].zone, world.pids_in(zone)) == (zone, pids)
        assert await client.find_endpoint("steady") == endpoint
        await delete_all(world, client)


async def test_an_agent_killed_while_it_starts_instances_starts_none_of_them_twice(world: SmallWorld) -> None:
    names = [f"burst-{number}" for number in range(6)]
    async with world.client() as client:
        zone = f"{HOME}/{CAST[HOME][0]}"
        started = world.said(zone, "instance started")
        await asyncio.gather(*(client.submit(name, spec_in("NO")) for name in names))
        async with asyncio.timeout(30):
            while world.said(zone, "instance started") < started + 2:
                await asyncio.sleep(0)
        await world.kill_and_restart(zone)
        workloads = await settled(world, client)
        assert sorted(workloads) == names
        await delete_all(world, client)


async def test_when_all_die_at_once_all_comes_back_as_it_was(world: SmallWorld) -> None:
    async with world.client() as client:
        for name, country in (("north", "NO"), ("south", "DE")):
            await client.submit(name, spec_in(country))
        await settled(world, client)
        claims = world.running_claims()
        names = sorted(world.processes.names())
        for name in names:
            world.processes.kill(name)
        assert world.running_claims() == claims, "instances do not depend on whoever started them"
        restarted = [asyncio.create_task(world.start_again(name)) for name in names]
        await asyncio.gather(*restarted)
        await settled(world, client)
        await delete_all(world, client)

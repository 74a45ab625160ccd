"""The scenarios by name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hansa_control.domain.model import WorkloadId, WorkloadState

from hansa_sim.agents import ZoneNode
from hansa_sim.apps import TENANT, AppTeam
from hansa_sim.drawn import TINY, drawn_profiles, play_drawn
from hansa_sim.geography import THREE_OPERATORS, TWO_OPERATORS, nordic_spec, spread_spec
from hansa_sim.history import History
from hansa_sim.operators import OperatorNode
from hansa_sim.scenario import Scenario, Stage
from hansa_sim.workload_promise import judge

WARM_UP_S = 4.0
STORM_S = 45.0
SPREAD_STORM_S = 30.0
APP_TEAM_VISITS = 40


async def play_main_job(stage: Stage) -> None:
    """Place at home and at a partner's, lose the zone, lose every lawful zone, and get them back."""
    world = stage.world
    await world.pass_s(WARM_UP_S)
    ocr, asr = WorkloadId("acme", "ocr"), WorkloadId("acme", "asr")
    await world.submit("fjord", ocr, nordic_spec())
    await world.submit("fjord", asr, nordic_spec(replicas=2, access="sto"))
    for workload in (ocr, asr):
        await world.until_state("fjord", workload, WorkloadState.RUNNING, 60)
    first = world.endpoint("fjord", ocr)
    if first is not None:
        world.zone(first.zone).lose_power()
    await world.pass_s(6)
    await world.until_state("fjord", ocr, WorkloadState.RUNNING, 60)
    for zone in world.zones.values():
        if zone.process is not None:
            zone.lose_power()
    await world.until_state("fjord", ocr, WorkloadState.UNPLACEABLE, 60)
    await world.pass_s(5)
    for zone in world.zones.values():
        zone.start()
    await stage.calm()


async def play_storm(stage: Stage) -> None:
    """App teams come and go while everything that can break breaks; then all is repaired and must come to rest."""
    world = stage.world
    chance = world.streams.stream("apps")
    await world.pass_s(chance.uniform(0.0, WARM_UP_S))
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.faults.storm(STORM_S))
        for number in range(APP_TEAM_VISITS):
            await world.pass_s(chance.uniform(0.0, 2.0))
            await _one_app_team(stage, number)
    await stage.calm()


async def _one_app_team(stage: Stage, number: int) -> None:
    world, chance = stage.world, stage.world.streams.stream("apps")
    known = sorted(key for key, promise in world.acknowledged.items() if not promise.deleted)
    if known and chance.chance(0.3):
        operator, workload = chance.choice(known)
        await world.delete(operator, workload)
        return
    spec = nordic_spec(chance.integer(1, 3), chance.choice(("osl", "got", "sto", "brg")))
    if known and chance.chance(0.25):
        operator, workload = chance.choice(known)
    else:
        operator, workload = chance.choice(sorted(world.operators)), WorkloadId("acme", f"app-{number}")
    await world.submit(operator, workload, spec)


async def play_two_zones(stage: Stage) -> None:
    """One workload in a zone of each operator: one loses power, then is heard again; another comes and goes."""
    world = stage.world
    chance = world.streams.stream("apps")
    await world.pass_s(WARM_UP_S)
    ocr = WorkloadId("acme", "ocr")
    await world.submit("fjord", ocr, spread_spec(("osl", "sto")))
    await world.until_state("fjord", ocr, WorkloadState.RUNNING, 60)
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.faults.storm(SPREAD_STORM_S))
        for replicas in (2, 3, 2):
            await world.pass_s(chance.uniform(2.0, 8.0))
            endpoint = world.endpoint("fjord", ocr)
            if endpoint is not None:
                zone = world.zone(chance.choice([one.zone for one in endpoint.zones]))
                if zone.process is not None:
                    zone.lose_power()
            await world.pass_s(chance.uniform(2.0, 8.0))
            await world.submit("fjord", ocr, spread_spec(("osl", "sto"), replicas))
    for zone in world.zones.values():
        if zone.process is None:
            zone.start()
    await stage.calm()


async def play_awaits(stage: Stage) -> None:
    """A workload comes, moves between two operators and goes, and one process dies at one await: the seed says which.

    Seeds count through the processes, and then through the awaits of each: so many in a row try each await there is.
    """
    world, seed = stage.world, stage.world.streams.seed
    await world.pass_s(WARM_UP_S)
    history = History(lambda: world.loop.now_us)
    team = AppTeam(world, history, "fjord", 0)
    processes: list[OperatorNode | ZoneNode] = [*world.operators.values(), *world.zones.values()]
    stage.faults.crash_at_await(processes[seed % len(processes)], seed // len(processes) + 1, down_s=0.3)
    for spec in (nordic_spec(access="sto"), nordic_spec(access="osl")):
        await team.submit("app", spec)
        await world.until_state("fjord", WorkloadId(TENANT, "app"), WorkloadState.RUNNING, 60)
        await world.pass_s(2)
    await team.delete_all(["app"])
    await stage.calm(30)
    await team.look("app")
    judge(history, stage.watcher.break_)


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("two-operators", "the main job between two operators", TWO_OPERATORS, play_main_job),
        Scenario("awaits", "one process dies at one await; seeds count through them all", TINY, play_awaits),
        Scenario("drawn", "a world, its app teams and its faults drawn from the seed", drawn_profiles, play_drawn),
        Scenario("storm", "two operators and faults of every kind", TWO_OPERATORS, play_storm),
        Scenario("two-zones", "one workload in a zone of each of two operators", TWO_OPERATORS, play_two_zones),
        Scenario("three-operators-storm", "three operators and faults of every kind", THREE_OPERATORS, play_storm),
    )
}

"""A twin from beginning to end: namespaces, relay, real operators and agents, the app, its users, the comparison."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from hansa_sim.engines.model import NOWHERE
from hansa_sim.latency.own_nodes import zones_elsewhere
from hansa_sim.latency.policies import Plan, plan_of
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.twin.cast import Cast, TwinFailed, heard, told
from hansa_sim.latency.twin.material import Material, write_material
from hansa_sim.latency.twin.namespaces import Run
from hansa_sim.latency.twin.placed import differences, placed_plan
from hansa_sim.latency.twin.plan import Network, Part, TooLarge, network_of
from hansa_sim.latency.twin.predicted import (
    Asked,
    Percentiles,
    asked_of,
    measured_of,
    predict,
    predicted_of,
    requests_of,
)
from hansa_sim.latency.twin.results import Account, Point, TwinResult
from hansa_sim.latency.twin.system import monotonic_ns, wall_ms
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World

STARTING_S, PLACING_S, OPENING_S = 180.0, 120.0, 60.0
LOOKING_EVERY_S = 1.0
REQUEST_TIMEOUT_S = 30.0
HEAD_START_NS = 1_500_000_000
CONNECTIONS_MAX = 64
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is known before anything starts: the hosts, the view of the law, and the simulation's plan."""

    world: World
    view: View
    plan: Plan
    network: Network
    seconds: float

    @property
    def home(self) -> str:
        """The host where the app team sits: beside its operator."""
        return self.network.of(Part.OPERATOR, self.world.loaded.scenario.app.home)[0].label


def prepare_twin(world: World, seconds: float) -> Prepared:
    """Plans a twin; TooLarge and TooMany where a machine cannot have it, TwinFailed where there is nothing to see."""
    apps = [app.name for app in world.loaded.scenario.apps]
    if len(apps) > 1:
        raise TooLarge(f"a twin runs one app; the scenario has {', '.join(apps)}")
    if world.loaded.scenario.app.service.tokens is not None:
        raise TooLarge(f"a twin's servers take times of their own; {apps[0]} serves tokens in batches")
    _check_places(world)
    view = view_of(world, ViewName.TOGETHER)
    plan = plan_of(world, view, PolicyName.HANSA)
    if plan.share is None or not plan.share.any():
        raise TwinFailed(
            f"the simulation places nothing: {plan.message or 'no access point has a lawful zone in time'}"
        )
    asked_of(world, plan, seconds)
    return Prepared(world, view, plan, network_of(world, view), seconds)


def _check_places(world: World) -> None:
    """A control plane refuses a zone at a node that is not of its own network; a scenario does not."""
    for _, what in zones_elsewhere(world):
        raise TwinFailed(f"{what}: leave it out with --zones")


async def run_twin(prepared: Prepared, run: Run, say: Say) -> TwinResult:
    """Builds the twin in a run's namespaces and drives it; TwinFailed. The caller removes the run, whatever happens."""
    world, network = prepared.world, prepared.network
    run.make([host.label for host in network.hosts])
    material = write_material(world, network, traffic_of(world), (run.folder, wall_ms()))
    cast = Cast(run, material.profile)
    try:
        say(f"a relay between {len(network.hosts)} hosts")
        relay = await _start_relay(cast, run, network)
        say("control planes and agents")
        await _start_operators(cast, network, material)
        await _wait_for_zones(cast, prepared)
        say("the app, as its team submits it")
        answers = await _submit(cast, prepared, material)
        return await _drive(cast, prepared, (material, relay), answers, say)
    finally:
        run.remove()
        await cast.end()


async def _start_relay(cast: Cast, run: Run, network: Network) -> Process:
    hosts = [{"namespace": run.namespace(host.label), "address": host.address} for host in network.hosts]
    ways = [[[way.delay_ns, way.loss] if way else None for way in row] for row in network.ways]
    relay = await cast.speak("relay")
    await told(relay, json.dumps({"hosts": hosts, "ways": ways}))
    await heard(relay, "the relay", OPENING_S)
    return relay


async def _start_operators(cast: Cast, network: Network, material: Material) -> None:
    for host in network.of(Part.OPERATOR):
        await cast.serve(host.label, "hansa-control", material.control_plane(host.name))
    for host in network.of(Part.ZONE):
        await cast.serve(host.label, "hansa-agent", material.agent(host.name))


async def _wait_for_zones(cast: Cast, prepared: Prepared) -> None:
    wanted = {host.name for host in prepared.network.of(Part.ZONE)}
    missing = wanted
    try:
        async with asyncio.timeout(STARTING_S):
            while missing:
                await asyncio.sleep(LOOKING_EVERY_S)
                cast.check_alive()
                found = await cast.hansa(prepared.home, "zones")
                zones = found["zones"] if found else []
                seen = {"/".join(zone["name"].split("/")[1::2]) for zone in zones if zone["state"] == "AVAILABLE"}
                missing = wanted - seen
    except TimeoutError as error:
        raise TwinFailed(f"not available within {STARTING_S:.0f} s: {', '.join(sorted(missing))}") from error


async def _submit(cast: Cast, prepared: Prepared, material: Material) -> dict[str, dict[str, Any]]:
    """Submits the app and asks at each access point where to send; the answers by access point."""
    name = prepared.world.loaded.scenario.app.name
    words = ("submit", "-f", str(material.workload), "--wait", "--timeout-s", str(round(PLACING_S)))
    if await cast.hansa(prepared.home, *words) is None:
        raise TwinFailed(f"the app was not placed: {cast.tail('hansa')}")
    hosts = prepared.network.of(Part.USERS)
    found = await asyncio.gather(*(cast.hansa(host.label, "endpoint", name) for host in hosts))
    if None in found:
        raise TwinFailed(f"an access point was told no endpoint: {cast.tail('hansa')}")
    return {host.name: answer for host, answer in zip(hosts, found, strict=True) if answer is not None}


async def _drive(
    cast: Cast,
    prepared: Prepared,
    real: tuple[Material, Process],
    answers: Mapping[str, dict[str, Any]],
    say: Say,
) -> TwinResult:
    material, relay = real
    plan = placed_plan(prepared.world, answers)
    asked = asked_of(prepared.world, plan, prepared.seconds)
    predicted = predict(prepared.view, plan, asked)
    felt = [predicted_of(predicted, at) for at in range(len(asked.classes))]
    driver = _Driver(cast, prepared, asked, felt)
    say("users open their connections")
    users = await driver.open(material, answers)
    say(f"{sum(len(block) for block in asked.blocks)} requests in {prepared.seconds:g} s")
    came = await driver.send(users)
    await told(relay, "account")
    account = json.loads(await heard(relay, "the relay", OPENING_S))
    return _result(prepared, plan, driver.points(came), (came, account))


class _Driver:
    """The users' programs: one for each access point that is served."""

    def __init__(self, cast: Cast, prepared: Prepared, asked: Asked, felt: list[Percentiles]) -> None:
        self._cast, self._prepared, self._asked, self._felt = cast, prepared, asked, felt
        self._names = [one.name.removeprefix("twin/") for one in asked.classes]
        self._requests = [requests_of(asked, at) for at in range(len(asked.classes))]

    async def open(self, material: Material, answers: Mapping[str, dict[str, Any]]) -> list[Process]:
        """Starts the users; each has its connections open."""
        users = []
        for at, name in enumerate(self._names):
            host = self._prepared.network.of(Part.USERS, name)[0]
            process = await self._cast.speak("client", host.label)
            await told(process, json.dumps(self._job(at, material, answers[name])))
            users.append(process)
        for name, process in zip(self._names, users, strict=True):
            await heard(process, f"users at {name}", OPENING_S)
        return users

    async def send(self, users: list[Process]) -> list[dict[str, Any]]:
        """Lets all users send from one moment on; what came of each."""
        begin_ns = monotonic_ns() + HEAD_START_NS
        for process in users:
            await told(process, str(begin_ns))
        patience_s = self._prepared.seconds + REQUEST_TIMEOUT_S + OPENING_S
        said = await asyncio.gather(*(heard(process, "users", patience_s) for process in users))
        self._cast.check_alive()
        return [dict(json.loads(line)) for line in said]

    def points(self, came: list[dict[str, Any]]) -> tuple[Point, ...]:
        """The rows of the result."""
        return tuple(self._point(at, one["latency_ns"]) for at, one in enumerate(came))

    def _point(self, at: int, latency_ns: list[int]) -> Point:
        sent_ns, window = [request.at_ns for request in self._requests[at]], self._asked.window
        zones = self._prepared.world.zones
        return Point(
            access_point=self._names[at],
            zones=tuple(str(zones[zone].id) for zone in sorted({request.zone for request in self._requests[at]})),
            requests_per_s=self._asked.classes[at].rate_rps,
            requests=sum(window.begin_ns <= moment < window.end_ns for moment in sent_ns),
            failed=sum(latency < 0 for latency in latency_ns),
            predicted_ms=self._felt[at],
            measured_ms=measured_of(latency_ns, sent_ns, window),
        )

    def _job(self, at: int, material: Material, answer: dict[str, Any]) -> dict[str, Any]:
        rows = self._asked.classes[at].users
        used = sorted(set(self._asked.zone_of[rows].tolist()) - {NOWHERE})
        at_zone = {str(zone.id): n for n, zone in enumerate(self._prepared.world.zones)}
        zones = {at_zone[zone["zone"]]: zone for zone in answer["zones"]}
        cert, key = material.certificate
        return {
            "zones": [{"urls": zones[n]["endpoint_urls"], "ca": zones[n]["endpoint_ca_pem"]} for n in used],
            "cert": str(cert),
            "key": str(key),
            "connections": _connections(self._asked.classes[at].rate_rps, self._felt[at]),
            "requests": [[one.at_ns, one.demand_ns, used.index(one.zone)] for one in self._requests[at]],
            "timeout_s": REQUEST_TIMEOUT_S,
        }


def _connections(rate_rps: float, felt: Percentiles) -> int:
    """Twice what Little's law says of the slowest that is predicted, so that hardly any request opens one."""
    return min(ceil(2 * rate_rps * felt[-1] / 1_000) + 4, CONNECTIONS_MAX)


def _result(
    prepared: Prepared,
    plan: Plan,
    points: tuple[Point, ...],
    measured: tuple[list[dict[str, Any]], dict[str, Any]],
) -> TwinResult:
    came, account = measured
    world, failures = prepared.world, sum((Counter(one["failures"]) for one in came), Counter())
    late_us = np.concatenate([np.array(one["late_ns"], dtype=np.float64) for one in came]) / 1_000
    late = {key.removeprefix("late_us_"): value for key, value in account.items() if key.startswith("late_us_")}
    return TwinResult(
        scenario=world.loaded.scenario.name,
        seed=world.loaded.scenario.run.seed,
        seconds=prepared.seconds,
        hosts=len(prepared.network.hosts),
        replicas={str(zone.id): int(plan.replicas[at]) for at, zone in enumerate(world.zones) if plan.replicas[at]},
        differs=tuple(differences(world, prepared.plan, plan)),
        points=points,
        left_out={world.users[row].access_point: why for row, why in sorted(prepared.view.why_not.items())},
        failures=dict(failures),
        account=Account(account["packets"], account["lost"], late, float(np.percentile(late_us, 99))),
    )

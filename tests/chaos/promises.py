"""What must hold whatever dies, seen from outside: by what clients were told, and by the table of processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from hansa_demo.processes import Processes
from proxied_world import ROOM_MILLIS, ZONES, Instance, ProxiedWorld
from small_world import READY, until

from hansa.client import Client
from hansa.errors import HansaError
from hansa.v1 import workload_pb2

SETTLED_WITHIN_S = 60.0
NEED_MILLIS = 500
SAMPLED_EVERY_S = 0.05
UNKNOWN = "unknown"


@dataclass(slots=True)
class Call:
    """One call of a client's: what was asked when, and what was answered when; UNKNOWN until then, or for ever."""

    act: str
    name: str
    asked_s: float
    answered_s: float = 0.0
    outcome: str = UNKNOWN
    uid: str = ""


@dataclass(slots=True)
class History:
    """Every call of the app team's clients, in the order in which they were asked."""

    calls: list[Call] = field(default_factory=list)

    async def submit(self, client: Client, name: str, spec: Any, generation: int = 1) -> Call:
        call = self._asked("submit", name)
        try:
            answer = await client.submit(name, spec, request_id=f"submit-{name}-{generation}")
            call.uid = answer.uid
            return self._answered(call, "ok")
        except HansaError as error:
            return self._answered(call, error.reason)

    async def delete(self, client: Client, name: str) -> Call:
        call = self._asked("delete", name)
        try:
            await client.delete(name, request_id=f"delete-{name}")
            return self._answered(call, "ok")
        except HansaError as error:
            return self._answered(call, error.reason)

    def _asked(self, act: str, name: str) -> Call:
        self.calls.append(Call(act, name, asyncio.get_running_loop().time()))
        return self.calls[-1]

    def _answered(self, call: Call, outcome: str) -> Call:
        """A deadline that passed says nothing of what was done; every other answer does."""
        call.answered_s = asyncio.get_running_loop().time()
        call.outcome = UNKNOWN if outcome in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"} else outcome
        return call

    def broken(self, kept: dict[str, str]) -> list[str]:
        """What was promised and is not so, given the uid by name of what there is once all has settled."""
        found: list[str] = []
        for name in sorted({call.name for call in self.calls}):
            calls = [call for call in self.calls if call.name == name]
            uids = {call.uid for call in calls if call.act == "submit" and call.outcome == "ok"}
            ends = [call.outcome for call in calls if call.act == "delete"]
            if uids and not ends and kept.get(name) not in uids:
                found.append(f"{name} was acknowledged as {sorted(uids)} and is {kept.get(name, 'lost')}")
            # A deletion that is asked for again may find nothing left: it has been done.
            if name in kept and any(end in {"ok", "NOT_FOUND"} for end in ends):
                found.append(f"{name} was deleted and is back")
            if len(uids) > 1:
                found.append(f"{name} was accepted twice: {sorted(uids)}")
        unasked = sorted(kept.keys() - {call.name for call in self.calls})
        return [*found, *(f"{name} is there and nobody asked for it" for name in unasked)]

    @property
    def unanswered(self) -> int:
        return sum(call.outcome == UNKNOWN for call in self.calls)


class Watch:
    """Looks at the table of processes again and again while a fault lasts: what is wrong at any instant is told."""

    def __init__(self, world: ProxiedWorld) -> None:
        self._world = world
        self.wrong: list[str] = []
        self.kept_alive = ""
        """The beginning of the instances of which one must live at every instant, "" for none."""

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if (found := self._look()) and found == self._look():
                # Seen twice: it was not an instance that came or went while the table was being read.
                self.wrong.extend(each for each in found if each not in self.wrong)
            await asyncio.sleep(SAMPLED_EVERY_S)

    def _look(self) -> list[str]:
        living = self._world.instances()
        by_zone = Counter(instance.zone for instance in living)
        most = ROOM_MILLIS // NEED_MILLIS
        found = [f"{zone} runs more than it has room for" for zone in ZONES if by_zone[zone] > most]
        twice = [name for name, count in Counter(instance.name for instance in living).items() if count > 1]
        found += [f"{name} runs twice" for name in sorted(twice)]
        if self.kept_alive and not any(instance.name.startswith(self.kept_alive) for instance in living):
            found.append("no instance lives, though the workload was moved in order")
        return found


class World(Protocol):
    """What must be known of a world to hold it to what was promised in it."""

    processes: Processes

    def instances(self) -> list[Instance]: ...


async def settled(world: World, client: Client, history: History) -> None:
    """Returns once everything is as it was promised; AssertionError with what is not, when the bound has passed."""
    wrong: list[str] = []

    async def look() -> bool:
        world.processes.check_alive()
        try:
            workloads = [workload async for workload in client.workloads()]
        except HansaError as error:
            wrong[:] = [str(error)]
            return False
        wrong[:] = [*_unsettled(workloads), *_unplaced(world, workloads), *history.broken(_uids(workloads))]
        return not wrong

    try:
        await until("what was promised", look, SETTLED_WITHIN_S)
    except AssertionError as late:
        raise AssertionError(f"{late}: {'; '.join(wrong)}") from late


def _uids(workloads: Iterable[workload_pb2.Workload]) -> dict[str, str]:
    return {workload.name.rpartition("/")[2]: workload.uid for workload in workloads}


def _unsettled(workloads: Iterable[workload_pb2.Workload]) -> list[str]:
    """Workloads that do not answer in exactly one zone."""
    states = workload_pb2.PlacementState.Name
    return [
        f"{workload.name} is {[f'{p.zone} {states(p.state)}' for p in workload.placements]}"
        for workload in workloads
        if [placement.state for placement in workload.placements] != [READY]
    ]


def _unplaced(world: World, workloads: Iterable[workload_pb2.Workload]) -> list[str]:
    """Claims that run and are not placed, or the other way round, or elsewhere, or not once."""
    placed = Counter((p.zone, p.claim) for workload in workloads for p in workload.placements)
    running = Counter((instance.zone, instance.claim) for instance in world.instances())
    orphans = [
        f"{claim} runs in {zone} and is not placed there" for zone, claim in sorted((running - placed).elements())
    ]
    missing = [f"{claim} is placed in {zone} and does not run" for zone, claim in sorted((placed - running).elements())]
    return [*orphans, *missing]


async def emptied(world: World, client: Client, history: History) -> None:
    """Deletes everything; returns once nothing runs and every owner has all of its capacity back."""
    for workload in [workload async for workload in client.workloads()]:
        await history.delete(client, workload.name.rpartition("/")[2])
    wrong: list[str] = []

    async def look() -> bool:
        world.processes.check_alive()
        left = [workload.name async for workload in client.workloads()]
        taken = [zone.name async for zone in client.zones() if zone.free != zone.inventory.capacity]
        wrong[:] = [
            *left,
            *(f"{name} has not all of its capacity" for name in taken),
            *(instance.name for instance in world.instances()),
        ]
        return not wrong

    try:
        await until("nothing is left", look, SETTLED_WITHIN_S)
    except AssertionError as late:
        raise AssertionError(f"{late}: {'; '.join(wrong)}") from late

"""App teams: they submit, delete and look, give up waiting, ask again, and note down all that they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from hansa_control.adapters.task_scope import to_the_end
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError, StoreFailed
from hansa_control.domain.model import Workload, WorkloadId, WorkloadSpec, WorkloadState

from hansa_sim.history import Call, History, Seen, Verb
from hansa_sim.network import Unreachable
from hansa_sim.streams import Stream
from hansa_sim.world import World

AnswerT = TypeVar("AnswerT")

TENANT = "acme"
PATIENCE_MS = (300, 3_000)
"""How long an app team waits for an answer."""
TRIES_MAX = 4
LIST_MAX = 1_000


class AppTeam:
    """One client of one operator. Several of them share names, and do not know of each other."""

    def __init__(self, world: World, history: History, operator: str, number: int) -> None:
        self.name = f"app {operator} {number}"
        self._world = world
        self._history = history
        self._operator = operator
        self._chance: Stream = world.streams.stream(self.name)
        self._etags: dict[str, int] = {}
        world.app_hosts.append(self.name)

    async def live(self, names: Sequence[str], specs: Sequence[WorkloadSpec], until_us: int) -> None:
        """Asks one thing after another until the time is over."""
        while self._world.loop.now_us < until_us:
            name = self._chance.choice(names)
            chosen = self._chance.fraction()
            if chosen < 0.4:
                await self._insist(name, Verb.SUBMIT, self._chance.choice(specs))
            elif chosen < 0.6:
                await self._insist(name, Verb.DELETE)
            elif chosen < 0.85:
                await self.look(name)
            else:
                await self.look_at_all(names)
            await asyncio.sleep(self._chance.uniform(0.0, 1.5))

    async def submit(self, name: str, spec: WorkloadSpec, request_id: str = "") -> None:
        """Submits under one request id until there is an answer."""
        request_id = request_id or self._chance.word()
        while not await self._submit(name, request_id, spec):
            await self._world.pass_s(0.1)

    async def delete_all(self, names: Sequence[str]) -> None:
        """Deletes until every name is told to be gone or going."""
        for name in names:
            request_id = self._chance.word()
            for _ in range(TRIES_MAX):
                if await self._delete(name, request_id, 0):
                    break

    # --- asking ---

    async def _insist(self, name: str, verb: Verb, spec: WorkloadSpec | None = None) -> None:
        """Asks under one request id, again after a while without an answer, perhaps without waiting for it."""
        request_id, etag = self._chance.word(), self._etags.get(name, 0) if self._chance.chance(0.5) else 0
        for _ in range(self._chance.integer(1, TRIES_MAX)):
            copies = 2 if self._chance.chance(0.1) else 1
            asked = [
                self._submit(name, request_id, spec) if spec is not None else self._delete(name, request_id, etag)
                for _ in range(copies)
            ]
            if all(await asyncio.gather(*asked)):
                return

    async def _submit(self, name: str, request_id: str, spec: WorkloadSpec) -> bool:
        call = self._began(name, Verb.SUBMIT, request_id, spec=label(spec))
        workload = WorkloadId(TENANT, name)

        async def work(plane: ControlPlane) -> Workload:
            return await to_the_end(plane.workloads.submit(self._id, request_id, workload, spec, f"{workload} {spec}"))

        return await self._ask(call, work)

    async def _delete(self, name: str, request_id: str, etag: int) -> bool:
        call = self._began(name, Verb.DELETE, request_id, etag=etag)
        workload, told = WorkloadId(TENANT, name), str(etag or "")

        async def work(plane: ControlPlane) -> Workload:
            payload = f"delete {workload} {told}"
            return await to_the_end(plane.workloads.delete(self._id, request_id, workload, told, payload))

        return await self._ask(call, work)

    async def look(self, name: str) -> bool:
        """Gets one workload."""
        call = self._began(name, Verb.LOOK)

        async def work(plane: ControlPlane) -> Workload:
            return await plane.queries.kept_workload(WorkloadId(TENANT, name))

        return await self._ask(call, work)

    async def look_at_all(self, names: Sequence[str]) -> bool:
        """Lists the tenant's workloads: one look at each name that there may be."""
        calls = [self._began(name, Verb.LOOK) for name in names]

        async def work(plane: ControlPlane) -> tuple[Workload, ...]:
            return await plane.queries.kept_workloads(TENANT, "", LIST_MAX)

        answer = await self._call(work)
        if answer is None or isinstance(answer, RefusalError):
            return False
        found = {workload.id.workload: workload for workload in answer}
        for call, name in zip(calls, names, strict=True):
            self._history.told(call, seen(found[name]) if name in found else None)
        return True

    @property
    def _id(self) -> str:
        return f"spiffe://apps.example/tenant/{TENANT}"

    def _began(self, name: str, verb: Verb, request_id: str = "", spec: str = "", etag: int = 0) -> Call:
        key = f"{self._operator}/{name}"
        return self._history.began(Call(self.name, key, verb, request_id=request_id, spec=spec, etag=etag))

    async def _ask(self, call: Call, work: Callable[[ControlPlane], Awaitable[Workload]]) -> bool:
        """Whether there was an answer."""
        answer = await self._call(work)
        if answer is None:
            return False
        if not isinstance(answer, RefusalError):
            self._history.told(call, seen(answer))
            self._etags[answer.id.workload] = answer.revision
        elif call.verb is Verb.LOOK and answer.reason == "NOT_FOUND":
            self._history.told(call, None)
        else:
            self._history.refused(call, answer.reason)
        return True

    async def _call(self, work: Callable[[ControlPlane], Awaitable[AnswerT]]) -> AnswerT | RefusalError | None:
        """The answer or the refusal; None if what became of it is unknown."""
        path, patience_ms = (self.name, self._operator), self._chance.integer(*PATIENCE_MS)
        try:
            return await self._world.network.call(path, work, patience_ms)
        except RefusalError as refusal:
            return refusal
        except (Unreachable, StoreFailed):
            return None
        except Exception as defect:
            self._world.operators[self._operator].met_defect(f"a call of {self.name}", defect)
            return None


def seen(workload: Workload) -> Seen:
    """A workload as an app team sees it."""
    is_deleting = workload.state is WorkloadState.DELETING
    return Seen(workload.uid, workload.generation, label(workload.spec), is_deleting, workload.revision)


def label(spec: WorkloadSpec) -> str:
    """What differs among the specs of a simulation."""
    access = "+".join(at.access_point for at in spec.access)
    return f"{spec.replicas}x{access}-{spec.zones.maximum}-{spec.residency.on_change}"

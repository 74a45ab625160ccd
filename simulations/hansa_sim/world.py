"""Everything that a scenario plays with: operators, zones, a network, app teams, a trace."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hansa_control.adapters.task_scope import to_the_end
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError, StoreFailed
from hansa_control.application.queries import Endpoint
from hansa_control.domain.model import Reason, Workload, WorkloadId, WorkloadSpec, WorkloadState, ZoneId

from hansa_sim.agents import ZoneNode
from hansa_sim.digest import Trace
from hansa_sim.geography import OperatorProfile
from hansa_sim.kernel import VirtualLoop
from hansa_sim.network import Network, Unreachable, Weather
from hansa_sim.operators import OperatorNode
from hansa_sim.streams import Streams


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What an operator has promised to an app team."""

    operator: str
    workload: WorkloadId
    spec: WorkloadSpec
    deleted: bool


class World:
    """Operators and zones by name. Nothing runs before ``start``."""

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        profiles: Iterable[OperatorProfile],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.loop = loop
        self.streams = Streams(seed)
        self.trace = Trace(loop, on_line)
        self.network = Network(loop, self.streams.stream("network"), Weather())
        surroundings = (loop, self.streams)
        self.operators: dict[str, OperatorNode] = {}
        self.zones: dict[str, ZoneNode] = {}
        for profile in profiles:
            self.operators[profile.name] = OperatorNode(
                profile, self.network, surroundings, self._reporter(profile.name)
            )
            self.operators[profile.name].on_pause = self._touch
            for zone in profile.zones:
                node = ZoneNode(zone, self.network, surroundings, self._reporter(str(zone.id)))
                self.zones[node.name] = node
        self._context = contextvars.copy_context()
        self.is_dirty = True
        self.ended_us = 0
        self.ended_steps = 0
        self.acknowledged: dict[tuple[str, WorkloadId], Acknowledged] = {}
        self.app_hosts: list[str] = []

    def _reporter(self, node: str) -> Callable[[str], None]:
        def report(event: str) -> None:
            self._touch()
            self.trace.add(node, event)

        return report

    def _touch(self) -> None:
        """Something may have changed that a watcher wants to see."""
        self.is_dirty = True

    def start(self) -> None:
        for operator in self.operators.values():
            operator.start()
        for zone in self.zones.values():
            zone.start()

    def end(self) -> None:
        """The play is over: what comes after is tidying up."""
        self.ended_us, self.ended_steps = self.loop.now_us, self.loop.step_count
        self.loop.on_quiet = lambda: None
        self.trace.close()

    def deaths(self) -> list[str]:
        """Processes that ended by an error of their own."""
        operators = [death for node in self.operators.values() for death in node.deaths]
        return operators + [death for node in self.zones.values() for death in node.deaths]

    # --- looking ---

    def plane(self, operator: str) -> ControlPlane | None:
        """The operator's control plane, if it runs."""
        return self.operators[operator].plane

    def workload(self, operator: str, workload: WorkloadId) -> Workload | None:
        plane = self.plane(operator)
        return plane.state.workloads.get(str(workload)) if plane else None

    def endpoint(self, operator: str, workload: WorkloadId) -> Endpoint | None:
        """What FindEndpoint would answer now; None if it would refuse or nobody is there to answer."""
        plane = self.plane(operator)
        if plane is None or str(workload) not in plane.state.workloads:
            return None
        try:
            return plane.queries.endpoint(workload)
        except RefusalError:
            return None

    def zone(self, zone: ZoneId | str) -> ZoneNode:
        return self.zones[str(zone)]

    # --- waiting ---

    async def until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Waits for a condition, looked at every 50 ms; TimeoutError names ``what``."""
        end_us = self.loop.now_us + int(timeout_s * 1_000_000)
        while not condition():
            if self.loop.now_us >= end_us:
                raise TimeoutError(f"{what}: not within {timeout_s:g} s")
            await asyncio.sleep(0.05)

    async def until_state(
        self, operator: str, workload: WorkloadId, state: WorkloadState, timeout_s: float
    ) -> Workload:
        """Waits until a workload is in a state; returns it."""

        def reached() -> bool:
            held = self.workload(operator, workload)
            return held is not None and held.state is state

        await self.until(reached, timeout_s, f"{workload} {state}")
        held = self.workload(operator, workload)
        assert held is not None  # noqa: S101 - the condition says so
        return held

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Does something later, whoever dies meanwhile."""
        self.loop.call_later(seconds, act, context=self._context)

    async def pass_s(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    # --- app teams ---

    async def submit(self, operator: str, workload: WorkloadId, spec: WorkloadSpec, request_id: str = "") -> Workload:
        """Submits as an app team does: with one request id, again and again until the operator answers."""
        request_id = request_id or self.streams.stream("request ids").word()

        async def work(plane: ControlPlane) -> Workload:
            return await to_the_end(
                plane.workloads.submit(_caller(workload), request_id, workload, spec, f"{workload} {spec}")
            )

        accepted = await self._insist(operator, workload, work)
        self.acknowledged[(operator, workload)] = Acknowledged(operator, workload, spec, deleted=False)
        self.trace.add("app", f"{workload} accepted by {operator}")
        return accepted

    async def delete(self, operator: str, workload: WorkloadId) -> None:
        """Deletes as an app team does: again and again until the operator answers; gone is what it wants."""
        request_id = self.streams.stream("request ids").word()

        async def work(plane: ControlPlane) -> Workload | None:
            try:
                return await to_the_end(
                    plane.workloads.delete(_caller(workload), request_id, workload, "", f"delete {workload}")
                )
            except RefusalError as refusal:
                if refusal.reason is Reason.NOT_FOUND:
                    return None
                raise

        before = self.acknowledged.get((operator, workload))
        self.acknowledged.pop((operator, workload), None)
        await self._insist(operator, workload, work)
        if before is not None:
            self.acknowledged[(operator, workload)] = Acknowledged(operator, workload, before.spec, deleted=True)
        self.trace.add("app", f"{workload} deletion accepted by {operator}")

    async def _insist(self, operator: str, workload: WorkloadId, work: Callable[[ControlPlane], object]) -> Workload:
        while True:
            try:
                answer: Workload = await self.network.call((f"app {workload.tenant}", operator), work)  # type: ignore[arg-type]
            except (Unreachable, StoreFailed):
                await asyncio.sleep(0.2)
            else:
                return answer


def _caller(workload: WorkloadId) -> str:
    return f"spiffe://apps.example/tenant/{workload.tenant}"

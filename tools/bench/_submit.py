"""Measures what app teams ask of a control plane: submit, with everything that follows from it, and find-endpoint."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from hansa_control.adapters.grpc_options import REQUEST_ID_KEY

from hansa.v1 import common_pb2, residency_pb2, workload_pb2, workload_service_pb2_grpc
from hansa.v1 import workload_service_pb2 as service_pb2
from tools.bench._agents import ARTEFACT, BenchAgent
from tools.bench._echo import SERVICE
from tools.bench._load import NO_RUN, closed_loop, row, rows_of
from tools.bench._world import COUNTRY, TENANT, BenchFailed, World

CALL_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 90.0
REST_S = 10.0
WARM_UP_COUNT = 5
FIND_BLOCKS = 8

_call_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Level:
    """So many calls, so many of them in flight."""

    in_flight: int
    count: int


class AppTeam:
    """Submits workloads and asks for their endpoints, over one connection; and calls the echo over another."""

    def __init__(self, world: World, agents: Sequence[BenchAgent]) -> None:
        self._world = world
        self._agents = agents
        self._channel = world.channel("api", world.callers.tenant)
        self._echo_channel = world.channel("echo", world.callers.tenant)
        self._stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(self._channel)
        self._spec = spec()
        self._submitted = 0

    async def close(self) -> None:
        await self._channel.close()
        await self._echo_channel.close()

    async def submits(self, levels: Sequence[Level]) -> list[dict[str, object]]:
        """Rows of submit at each level, of the way to a ready instance, and of the processor that all of it took."""
        await self._warm_up()
        rows: list[dict[str, object]] = []
        cpu_s, began_count = 0.0, self._submitted
        for level in levels:
            name, in_flight = f"submit.{level.in_flight}_in_flight", level.in_flight
            before = await closed_loop(self._echo(self._submit_request), level.count // 2, in_flight)
            started_s, cpu_before_s = time.perf_counter(), self._world.control_plane.cpu_s()
            first = self._submitted
            self._submitted += level.count
            run = await closed_loop(lambda at, first=first: self._submit(first + at), level.count, in_flight)  # type: ignore[misc]
            await self._settled()
            ready_s = time.perf_counter() - started_s
            cpu_s += self._world.control_plane.cpu_s() - cpu_before_s
            floor = before + await closed_loop(self._echo(self._submit_request), level.count // 2, in_flight)
            rows += rows_of(name, run, floor)
            rows.append(row(f"{name}.ready_rate", level.count / ready_s, "1/s", floor.rate))
        per_1000_s = cpu_s / (self._submitted - began_count) * 1_000
        rows.append(row("submit.cpu_per_1000", per_1000_s, "s", await self._echo_cpu_per_1000_s(levels[-1])))
        return rows

    async def finds(self, levels: Sequence[Level]) -> list[dict[str, object]]:
        """Rows of find-endpoint for workloads that run.

        Calls and floor take turns in short blocks, as what else a machine does comes and goes within seconds.
        """
        rows: list[dict[str, object]] = []
        for level in levels:
            block = max(1, level.count // FIND_BLOCKS)
            run = floor = NO_RUN
            for first in range(0, level.count, block):
                size = block, level.in_flight
                floor += await closed_loop(self._echo(self._find_request), *size, self._world.echo.cpu_s)
                run += await closed_loop(partial(self._find_after, first), *size, self._world.control_plane.cpu_s)
            rows += rows_of(f"find_endpoint.{level.in_flight}_in_flight", run, floor)
        rows.append(row("find_endpoint.cpu_per_1000", run.cpu_per_1000_s, "s", floor.cpu_per_1000_s))
        return rows

    async def at_rest(self, rest_s: float = REST_S) -> list[dict[str, object]]:
        """What running workloads cost when nobody asks for anything, and how much memory they take."""
        count, server, echo = self._submitted, self._world.control_plane, self._world.echo
        began_s, cpu_s = time.perf_counter(), server.cpu_s()
        await asyncio.sleep(rest_s)
        share = (server.cpu_s() - cpu_s) / (time.perf_counter() - began_s)
        return [
            row(f"rest.{count}_workloads.cpu_share", 100 * share, "%"),
            row(f"rest.{count}_workloads.resident", server.resident_mib(), "MiB", echo.resident_mib()),
        ]

    # --- parts ---

    async def _warm_up(self) -> None:
        """Connects, and lets both servers do once what they do once."""
        await closed_loop(self._echo(self._submit_request), WARM_UP_COUNT, 1)
        await closed_loop(self._submit, WARM_UP_COUNT, 1)
        self._submitted += WARM_UP_COUNT
        await self._settled()

    async def _submit(self, number: int) -> None:
        await call(self._stub.SubmitWorkload, self._submit_request(number))

    async def _find_after(self, first: int, at: int) -> None:
        await self._find(first + at)

    async def _find(self, number: int) -> None:
        found = await call(self._stub.FindEndpoint, self._find_request(number))
        if not found.endpoint_urls:
            raise BenchFailed("a workload without endpoints")

    def _submit_request(self, number: int) -> service_pb2.SubmitWorkloadRequest:
        return service_pb2.SubmitWorkloadRequest(request_id=f"r{number}", name=name_of(number), spec=self._spec)

    def _find_request(self, number: int) -> service_pb2.FindEndpointRequest:
        return service_pb2.FindEndpointRequest(name=name_of(number % self._submitted))

    def _echo(self, request: Callable[[int], Any]) -> Callable[[int], Any]:
        return echo_call(self._echo_channel, request)

    async def _echo_cpu_per_1000_s(self, level: Level) -> float:
        before_s = self._world.echo.cpu_s()
        await closed_loop(self._echo(self._submit_request), level.count, level.in_flight)
        return (self._world.echo.cpu_s() - before_s) / level.count * 1_000

    async def _settled(self) -> None:
        """Waits until every workload has an instance that is ready, and the newest is seen to run."""
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while self._ready_count() < self._submitted:  # noqa: ASYNC110 - another process gets on
                    await asyncio.sleep(0.01)
                while not await self._runs(self._submitted - 1):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise BenchFailed(f"of {self._submitted} workloads {self._ready_count()} became ready in time") from None

    def _ready_count(self) -> int:
        return sum(agent.ready_count for agent in self._agents)

    async def _runs(self, number: int) -> bool:
        found = await call(self._stub.GetWorkload, service_pb2.GetWorkloadRequest(name=name_of(number)))
        return bool(found.workload.state == workload_pb2.WORKLOAD_STATE_RUNNING)


def echo_call(channel: grpc.aio.Channel, request: Callable[[int], Any]) -> Callable[[int], Any]:
    """Calls the echo as a stub would: the message is written by the caller and read from the answer."""
    kind = type(request(0))
    method: Any = channel.unary_unary(f"/{SERVICE}/Unary", kind.SerializeToString, kind.FromString)
    return lambda number: call(method, request(number))


async def call(method: Any, request: Any) -> Any:
    """One call as hansa's own client makes it, with a deadline and a request id of its own."""
    metadata = ((REQUEST_ID_KEY, f"bench-{next(_call_numbers)}"),)
    return await method(request, timeout=CALL_TIMEOUT_S, metadata=metadata)


def spec() -> workload_pb2.WorkloadSpec:
    """Inference with an accelerator for users in two cities, which the law keeps in one country."""
    countries = [COUNTRY]
    return workload_pb2.WorkloadSpec(
        artefact=ARTEFACT,
        accelerator=common_pb2.AcceleratorNeed(any_of=["L40S", "H100"], count=1, memory_mib_min=40_000),
        cpu_millis=1_000,
        memory_mib=2_048,
        replicas=1,
        access=[
            workload_pb2.AccessDemand(access_point="oslo", demand_millirps=5_000),
            workload_pb2.AccessDemand(access_point="bergen", demand_millirps=3_000),
        ],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=200_000),
        residency=residency_pb2.ResidencyPolicy(
            site=residency_pb2.SiteRule(countries_allowed=countries),
            legal=residency_pb2.LegalRule(countries_allowed=countries, laws_denied=["US-CLOUD-ACT"]),
            transit=residency_pb2.TransitRule(countries_allowed=countries),
            on_change=residency_pb2.ON_CHANGE_DRAIN,
        ),
    )


def name_of(number: int) -> str:
    return f"tenants/{TENANT}/workloads/w{number:06d}"

"""The client for scripts: the same calls as ``hansa.client.Client``, each of which waits.

    with SyncClient(load_profile()) as client:
        for zone in client.zones():
            print(zone.name)

Not for use inside a running event loop; there, use the asynchronous client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self, TypeVar

from hansa.client import Client
from hansa.profile import Profile
from hansa.v1 import (
    common_pb2,
    optimization_pb2,
    overlay_pb2,
    partner_service_pb2,
    usage_service_pb2,
    workload_pb2,
    workload_service_pb2,
    zone_pb2,
)

_Item = TypeVar("_Item")


class SyncClient:
    """Speaks to one operator for one tenant, one call at a time. Errors are those of the asynchronous client."""

    def __init__(self, profile: Profile, *, timeout_ms: int = 10_000) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(_open(profile, timeout_ms))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def usage(self, since_ms: int, until_ms: int = 0) -> usage_service_pb2.GetUsageResponse:
        """What the tenant's workloads used in a period; until 0 is now."""
        return self._runner.run(self._client.usage(since_ms, until_ms))

    def close(self) -> None:
        """Closes the connection."""
        self._runner.run(self._client.close())
        self._runner.close()

    def plan(
        self, name: str, spec: workload_pb2.WorkloadSpec, *, overlay: overlay_pb2.Overlay | None = None
    ) -> workload_service_pb2.PlanWorkloadResponse:
        """What deciding would answer now, or in a world with an overlay."""
        return self._runner.run(self._client.plan(name, spec, overlay=overlay))

    def submit(
        self, name: str, spec: workload_pb2.WorkloadSpec, *, request_id: str = "", expect_generation: int = 0
    ) -> workload_pb2.Workload:
        """Hands a workload in, or changes it; refused if a plan of ``expect_generation`` is not the answer any more."""
        return self._runner.run(
            self._client.submit(name, spec, request_id=request_id, expect_generation=expect_generation)
        )

    def get(self, name: str) -> workload_pb2.Workload:
        """One workload."""
        return self._runner.run(self._client.get(name))

    def workloads(self) -> Iterator[workload_pb2.Workload]:
        """Every workload of the tenant, ordered by name."""
        return self._iterate(self._client.workloads())

    def zones(self) -> Iterator[zone_pb2.Zone]:
        """Every zone that the operator sees, ordered by name."""
        return self._iterate(self._client.zones())

    def explain(self, name: str, *, zone: str = "") -> workload_service_pb2.ExplainWorkloadResponse:
        """Why the workload is where it is."""
        return self._runner.run(self._client.explain(name, zone=zone))

    def delete(self, name: str, *, etag: str = "", request_id: str = "") -> workload_pb2.Workload:
        """Stops and forgets a workload."""
        return self._runner.run(self._client.delete(name, etag=etag, request_id=request_id))

    def optimize(
        self, *, exact: bool = False, exact_time_ms_max: int = 0, work_max: int = 0
    ) -> optimization_pb2.Optimization:
        """What packing the tenant's workloads anew would move, gain and risk."""
        return self._runner.run(
            self._client.optimize(exact=exact, exact_time_ms_max=exact_time_ms_max, work_max=work_max)
        )

    def partners(self) -> partner_service_pb2.ListPartnersResponse:
        """The federations of the operator, for the operator itself."""
        return self._runner.run(self._client.partners())

    def network(self) -> workload_service_pb2.GetNetworkResponse:
        """The network that the operator sees."""
        return self._runner.run(self._client.network())

    def find_endpoint(self, name: str) -> workload_service_pb2.FindEndpointResponse:
        """Where to send requests now."""
        return self._runner.run(self._client.find_endpoint(name))

    def events(self, name: str) -> list[common_pb2.Event]:
        """The events of a workload that the operator still keeps."""
        return self._runner.run(self._client.events(name))

    def watch(self, name: str, *, after_sequence: int = 0) -> Iterator[workload_service_pb2.WatchWorkloadResponse]:
        """The workload and its events, first as they are and then at every change, until it is gone."""
        return self._iterate(self._client.watch(name, after_sequence=after_sequence))

    def _iterate(self, items: AsyncIterator[_Item]) -> Iterator[_Item]:
        while True:
            try:
                yield self._runner.run(_next(items))
            except StopAsyncIteration:
                return


async def _open(profile: Profile, timeout_ms: int) -> Client:
    return Client(profile, timeout_ms=timeout_ms)


async def _next(items: AsyncIterator[_Item]) -> _Item:
    return await anext(items)

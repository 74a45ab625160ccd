"""The asynchronous client of an operator's control plane, for app teams.

    async with Client(load_profile()) as client:
        await client.submit("yard-ocr", spec)
        async for update in client.watch("yard-ocr"):
            ...

Every call has a deadline and a request id. A failed call raises HansaError with the reason that the server gave. Only
UNAVAILABLE is tried again, with growing delays, until the deadline; writes are safe to repeat as they carry their
request id. Workload names may be short, as the tenant is known from the profile.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import grpc

from hansa.channel import open_channel as open_channel
from hansa.errors import HansaError, from_rpc_error
from hansa.names import parse_workload
from hansa.profile import Profile
from hansa.system import Clock, IdSource, SystemClock, SystemIds
from hansa.usage_calls import UsageCalls
from hansa.v1 import (
    common_pb2,
    optimization_pb2,
    overlay_pb2,
    partner_service_pb2,
    partner_service_pb2_grpc,
    usage_service_pb2_grpc,
    workload_pb2,
    workload_service_pb2,
    workload_service_pb2_grpc,
    zone_pb2,
)

REQUEST_ID_KEY = "hansa-request-id"
PAGE_SIZE = 200
_DELAY_FIRST_MS = 100
_DELAY_MAX_MS = 2_000
_STREAM_LIFE_MS = 300_000
_SEARCH_MS = 20_000
_EXACT_MS = 30_000


class Client(UsageCalls):
    """Speaks to one operator for one tenant. Use it as an asynchronous context manager, or call ``close``.

    ``timeout_ms`` bounds each call with all its repetitions. ``patience_ms`` bounds how long ``watch`` tries to come
    back after the operator stopped answering. Raises HansaError INVALID_FIELD if a certificate cannot be read.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        timeout_ms: int = 10_000,
        patience_ms: int = 60_000,
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> None:
        self._tenant = profile.tenant
        self._timeout_ms = timeout_ms
        self._patience_ms = patience_ms
        self._clock: Clock = clock or SystemClock()
        self._ids: IdSource = ids or SystemIds()
        self._channel = open_channel(profile)
        self._stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(self._channel)
        self._usage_stub = usage_service_pb2_grpc.UsageServiceStub(self._channel)
        self._partners: Any = partner_service_pb2_grpc.PartnerServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        await self._channel.close()

    async def plan(
        self,
        name: str,
        spec: workload_pb2.WorkloadSpec,
        *,
        overlay: overlay_pb2.Overlay | None = None,
        with_record: bool = False,
    ) -> workload_service_pb2.PlanWorkloadResponse:
        """What deciding would answer now, or in a world with an ``overlay``; nothing is changed.

        ``with_record`` asks for the record of the decision too; ``hansa.decision_record`` unpacks it.
        """
        request = workload_service_pb2.PlanWorkloadRequest(
            name=self._full(name), spec=spec, overlay=overlay, with_record=with_record
        )
        response: workload_service_pb2.PlanWorkloadResponse = await self._call(self._stub.PlanWorkload, request)
        return response

    async def submit(
        self, name: str, spec: workload_pb2.WorkloadSpec, *, request_id: str = "", expect_generation: int = 0
    ) -> workload_pb2.Workload:
        """Hands a workload in, or changes it; the answer says that it is kept, not that it runs.

        ``expect_generation``, if given, is the snapshot's generation of a plan; where that plan is not the answer any
        more, it is refused (HansaError GENERATION_CHANGED).
        """
        request_id = request_id or self._ids.new_id()
        request = workload_service_pb2.SubmitWorkloadRequest(
            request_id=request_id, name=self._full(name), spec=spec, expect_generation=expect_generation
        )
        response = await self._call(self._stub.SubmitWorkload, request, request_id)
        workload: workload_pb2.Workload = response.workload
        return workload

    async def get(self, name: str) -> workload_pb2.Workload:
        """One workload; raises HansaError NOT_FOUND."""
        request = workload_service_pb2.GetWorkloadRequest(name=self._full(name))
        response = await self._call(self._stub.GetWorkload, request)
        workload: workload_pb2.Workload = response.workload
        return workload

    async def workloads(self, *, page_size: int = PAGE_SIZE) -> AsyncIterator[workload_pb2.Workload]:
        """Every workload of the tenant, ordered by name, page by page."""
        token = ""
        while True:
            request = workload_service_pb2.ListWorkloadsRequest(page_size=page_size, page_token=token)
            response = await self._call(self._stub.ListWorkloads, request)
            for workload in response.workloads:
                yield workload
            token = response.next_page_token
            if not token:
                return

    async def zones(self, *, page_size: int = PAGE_SIZE) -> AsyncIterator[zone_pb2.Zone]:
        """Every zone that the operator sees, its own and its partners', ordered by name, page by page."""
        token = ""
        while True:
            request = workload_service_pb2.ListZonesRequest(page_size=page_size, page_token=token)
            response = await self._call(self._stub.ListZones, request)
            for zone in response.zones:
                yield zone
            token = response.next_page_token
            if not token:
                return

    async def explain(
        self, name: str, *, zone: str = "", with_record: bool = False
    ) -> workload_service_pb2.ExplainWorkloadResponse:
        """Why the workload is where it is; ``zone`` ("operator/zone") restricts the rejections to one zone.

        ``with_record`` asks for the record of the decision that placed it, too.
        """
        request = workload_service_pb2.ExplainWorkloadRequest(name=self._full(name), zone=zone, with_record=with_record)
        response: workload_service_pb2.ExplainWorkloadResponse = await self._call(self._stub.ExplainWorkload, request)
        return response

    async def delete(self, name: str, *, etag: str = "", request_id: str = "") -> workload_pb2.Workload:
        """Stops and forgets a workload; ``etag``, if given, must still be its own (HansaError ETAG_MISMATCH)."""
        request_id = request_id or self._ids.new_id()
        request = workload_service_pb2.DeleteWorkloadRequest(name=self._full(name), etag=etag, request_id=request_id)
        response = await self._call(self._stub.DeleteWorkload, request, request_id)
        workload: workload_pb2.Workload = response.workload
        return workload

    async def optimize(
        self, *, exact: bool = False, exact_time_ms_max: int = 0, work_max: int = 0
    ) -> optimization_pb2.Optimization:
        """What packing the tenant's workloads anew would move, gain and risk; nothing is changed.

        ``exact`` asks HiGHS for the optimum afterwards. The deadline is prolonged by what the search may take.
        """
        request = workload_service_pb2.OptimizePlacementsRequest(
            exact=exact, exact_time_ms_max=exact_time_ms_max, work_max=work_max
        )
        search_ms = _SEARCH_MS + (exact_time_ms_max or _EXACT_MS) * exact + work_max
        response = await self._call(self._stub.OptimizePlacements, request, more_ms=search_ms)
        optimization: optimization_pb2.Optimization = response.optimization
        return optimization

    async def partners(self) -> partner_service_pb2.ListPartnersResponse:
        """The federations of the operator; HansaError PERMISSION_DENIED unless it is the operator that asks."""
        request = partner_service_pb2.ListPartnersRequest()
        response: partner_service_pb2.ListPartnersResponse = await self._call(self._partners.ListPartners, request)
        return response

    async def network(self) -> workload_service_pb2.GetNetworkResponse:
        """The network that the operator sees, with what was measured beside what is modelled."""
        request = workload_service_pb2.GetNetworkRequest()
        response: workload_service_pb2.GetNetworkResponse = await self._call(self._stub.GetNetwork, request)
        return response

    async def find_endpoint(self, name: str) -> workload_service_pb2.FindEndpointResponse:
        """Where to send requests now."""
        request = workload_service_pb2.FindEndpointRequest(name=self._full(name))
        response: workload_service_pb2.FindEndpointResponse = await self._call(self._stub.FindEndpoint, request)
        return response

    async def events(self, name: str) -> list[common_pb2.Event]:
        """The events of a workload that the operator still keeps, oldest first."""
        async with aclosing(self.watch(name)) as updates:
            first = await anext(updates)
            return list(first.events)

    async def watch(
        self, name: str, *, after_sequence: int = 0
    ) -> AsyncGenerator[workload_service_pb2.WatchWorkloadResponse, None]:
        """The workload and its events, first as they are and then at every change, until it is gone.

        A lost connection is opened again after the last event seen, so that no event is missed and none comes twice.
        A workload that went meanwhile is told as gone, as it was seen last.
        """
        request = workload_service_pb2.WatchWorkloadRequest(name=self._full(name), after_sequence=after_sequence)
        retry = _Retry(self._clock, self._ids, self._patience_ms)
        seen: workload_pb2.Workload | None = None
        while True:
            request_id = self._ids.new_id()
            metadata = ((REQUEST_ID_KEY, request_id),)
            stream = self._stub.WatchWorkload(request, timeout=_STREAM_LIFE_MS / 1000, metadata=metadata)
            try:
                async for update in stream:
                    retry.begin()
                    seen = update.workload
                    request.after_sequence = max([request.after_sequence, *(event.sequence for event in update.events)])
                    yield update
                    if update.deleted:
                        return
                await retry.wait(HansaError("UNAVAILABLE", "the operator ended the stream"))
            except grpc.aio.AioRpcError as error:
                if seen is not None and error.code() is grpc.StatusCode.NOT_FOUND:
                    yield workload_service_pb2.WatchWorkloadResponse(workload=seen, deleted=True)
                    return
                await self._resume(error, request_id, retry)
            finally:
                stream.cancel()

    async def _resume(self, error: grpc.aio.AioRpcError, request_id: str, retry: _Retry) -> None:
        """Waits before the stream is opened again, at once if its life is over; raises what must not be retried."""
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return
        refusal = _refusal(error, request_id)
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise refusal from error
        await retry.wait(refusal)

    def _full(self, name: str) -> str:
        return str(parse_workload(name, self._tenant))

    async def _call(self, method: Callable[..., Any], request: Any, request_id: str = "", *, more_ms: int = 0) -> Any:
        """Calls, and calls again while the answer is UNAVAILABLE and the deadline allows.

        Where the deadline cuts off the last attempt, the refusal before it is raised, as that one says why.
        """
        request_id = request_id or self._ids.new_id()
        retry = _Retry(self._clock, self._ids, self._timeout_ms + more_ms)
        before: HansaError | None = None
        while True:
            try:
                metadata = ((REQUEST_ID_KEY, request_id),)
                return await method(request, timeout=retry.remaining_ms() / 1000, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                refusal = _refusal(error, request_id)
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and before is not None:
                    raise before from error
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise refusal from error
                before = refusal
                await retry.wait(refusal)


class _Retry:
    """Growing delays until a deadline, which ``begin`` sets anew."""

    def __init__(self, clock: Clock, ids: IdSource, patience_ms: int) -> None:
        self._clock, self._ids, self._patience_ms = clock, ids, patience_ms
        self.begin()

    def begin(self) -> None:
        """Starts again with the whole patience and the shortest delay."""
        self._until_ms = self._clock.monotonic_ms() + self._patience_ms
        self._delay_ms = _DELAY_FIRST_MS

    def remaining_ms(self) -> int:
        return max(self._until_ms - self._clock.monotonic_ms(), 1)

    async def wait(self, refusal: HansaError) -> None:
        """Waits before the next attempt; raises the refusal if there is no time for one."""
        delay_ms = max(self._ids.jitter_ms(self._delay_ms), refusal.retry_after_ms)
        if delay_ms >= self.remaining_ms():
            raise refusal
        self._delay_ms = min(self._delay_ms * 2, _DELAY_MAX_MS)
        await self._clock.sleep(delay_ms)


def _refusal(error: grpc.aio.AioRpcError, request_id: str) -> HansaError:
    refusal = from_rpc_error(error)
    refusal.request_id = request_id
    return refusal

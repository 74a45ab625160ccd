"""A small operator for tests: a real grpc.aio server with mutual TLS that answers with canned messages.

A test may queue failures (``fail``) and the streams that watches are to see (``streams``), and reads what was called.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import cli_canned as canned
import grpc
from cli_certificates import Certificates
from grpc_status import rpc_status

from hansa.errors import HansaError, to_status
from hansa.v1 import optimization_pb2, workload_pb2, workload_service_pb2, workload_service_pb2_grpc

Step = workload_service_pb2.WatchWorkloadResponse | grpc.StatusCode | HansaError


class FakeService(workload_service_pb2_grpc.WorkloadServiceServicer):
    """Answers every RPC of an app team."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls: list[tuple[str, Any, str]] = []
        self.failures: dict[str, list[grpc.StatusCode | HansaError]] = defaultdict(list)
        self.streams: list[list[Step]] = []
        self.workloads = {canned.NAME: canned.workload()}
        self.plan = workload_service_pb2.PlanWorkloadResponse(decision=canned.decision())
        self.explained = canned.explained()
        self.optimization = optimization_pb2.Optimization(workloads=3)
        self.endpoint_urls = ["https://127.0.0.1:18443"]
        self.zone_endpoints: list[workload_service_pb2.ZoneEndpoint] = []
        self.page_size_max = 1000

    def called(self, method: str) -> list[Any]:
        return [request for name, request, _ in self.calls if name == method]

    def request_ids(self, method: str) -> list[str]:
        return [request_id for name, _, request_id in self.calls if name == method]

    async def _enter(self, method: str, request: Any, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.calls.append((method, request, metadata.get("hansa-request-id", "")))
        if self.failures[method]:
            await refuse(context, self.failures[method].pop(0))

    async def _known(self, name: str, context: Any) -> workload_pb2.Workload:
        if name not in self.workloads:
            await refuse(context, HansaError("NOT_FOUND", f"there is no workload {name}", field="name"))
        return self.workloads[name]

    async def PlanWorkload(self, request: Any, context: Any) -> Any:
        await self._enter("PlanWorkload", request, context)
        return self.plan

    async def SubmitWorkload(self, request: Any, context: Any) -> Any:
        await self._enter("SubmitWorkload", request, context)
        workload = canned.workload(workload_pb2.WORKLOAD_STATE_PENDING, request.name)
        workload.spec.CopyFrom(request.spec)
        return workload_service_pb2.SubmitWorkloadResponse(workload=workload)

    async def GetWorkload(self, request: Any, context: Any) -> Any:
        await self._enter("GetWorkload", request, context)
        return workload_service_pb2.GetWorkloadResponse(workload=await self._known(request.name, context))

    async def ListWorkloads(self, request: Any, context: Any) -> Any:
        await self._enter("ListWorkloads", request, context)
        page, token = self._page(sorted(self.workloads), request)
        return workload_service_pb2.ListWorkloadsResponse(
            workloads=[self.workloads[name] for name in page], next_page_token=token
        )

    async def ListZones(self, request: Any, context: Any) -> Any:
        await self._enter("ListZones", request, context)
        page, token = self._page(canned.zones(), request)
        return workload_service_pb2.ListZonesResponse(zones=page, next_page_token=token)

    def _page(self, items: list[Any], request: Any) -> tuple[list[Any], str]:
        start = int(request.page_token or "0")
        end = start + min(request.page_size or 100, self.page_size_max)
        return items[start:end], str(end) if end < len(items) else ""

    async def WatchWorkload(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._enter("WatchWorkload", request, context)
        if not self.streams:
            yield watched(await self._known(request.name, context), 1, 4)
            await asyncio.sleep(3600)
        for step in self.streams.pop(0):
            if isinstance(step, workload_service_pb2.WatchWorkloadResponse):
                yield step
            else:
                await refuse(context, step)

    async def ExplainWorkload(self, request: Any, context: Any) -> Any:
        await self._enter("ExplainWorkload", request, context)
        await self._known(request.name, context)
        return self.explained

    async def DeleteWorkload(self, request: Any, context: Any) -> Any:
        await self._enter("DeleteWorkload", request, context)
        await self._known(request.name, context)
        workload = canned.workload(workload_pb2.WORKLOAD_STATE_DELETING, request.name)
        return workload_service_pb2.DeleteWorkloadResponse(workload=workload)

    async def GetNetwork(self, request: Any, context: Any) -> Any:
        await self._enter("GetNetwork", request, context)
        return canned.network()

    async def OptimizePlacements(self, request: Any, context: Any) -> Any:
        await self._enter("OptimizePlacements", request, context)
        return workload_service_pb2.OptimizePlacementsResponse(optimization=self.optimization)

    async def FindEndpoint(self, request: Any, context: Any) -> Any:
        await self._enter("FindEndpoint", request, context)
        await self._known(request.name, context)
        return workload_service_pb2.FindEndpointResponse(
            endpoint_urls=self.endpoint_urls,
            endpoint_ca_pem=canned.CA_PEM,
            zone="nordavind/oslo-1",
            claim="c-7f3a9e12",
            zones=self.zone_endpoints,
        )


def watched(
    workload: workload_pb2.Workload, first: int = 0, last: int = -1, *, deleted: bool = False
) -> workload_service_pb2.WatchWorkloadResponse:
    """An update with the canned events of these sequences."""
    events = canned.events(first, last) if first else []
    return workload_service_pb2.WatchWorkloadResponse(workload=workload, events=events, deleted=deleted)


async def refuse(context: Any, refusal: grpc.StatusCode | HansaError) -> None:
    """Ends the call with a bare code or with a rich error."""
    if isinstance(refusal, HansaError):
        await context.abort_with_status(rpc_status.to_status(to_status(refusal)))
    else:
        await context.abort(refusal, "told to fail")


class FakeServer:
    """Runs the service in a thread of its own, so that commands can run their own event loop."""

    def __init__(self, certificates: Certificates, service: FakeService) -> None:
        self._certificates, self._service = certificates, service
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    def start(self, port: int = 0) -> None:
        self.port = self._wait(lambda: self._start(port))

    def stop(self) -> None:
        """Breaks every call at once, as a dying process does."""
        self._wait(self._stop)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, action: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(action(), self._loop).result(10)

    async def _start(self, port: int) -> int:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        workload_service_pb2_grpc.add_WorkloadServiceServicer_to_server(self._service, self._server)
        pair = [(self._certificates.server_key, self._certificates.server_certificate)]
        credentials = grpc.ssl_server_credentials(pair, self._certificates.ca, require_client_auth=True)
        bound = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        await self._server.start()
        return bound

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

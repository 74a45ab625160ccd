"""WorkloadService over gRPC: an app team asks, its certificate says which tenant it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import structlog

from hansa.v1 import workload_service_pb2 as service_pb2
from hansa.v1 import workload_service_pb2_grpc
from hansa_control.adapters import codec_service as codec
from hansa_control.adapters.authority import Role
from hansa_control.adapters.codec_grant import proofs_out
from hansa_control.adapters.codec_optimization import effort_in, optimized_out
from hansa_control.adapters.decision_record import packed
from hansa_control.adapters.identity import PeerIdentity, PeerVerifier
from hansa_control.adapters.task_scope import to_the_end
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError
from hansa_control.domain.containers import Memo
from hansa_control.domain.model import Decision, Reason, Workload, WorkloadId

ENDPOINTS_KEPT_BYTES_MAX = 8 << 20
"""Of answers that are kept for as long as their workload does not change; most have one or two kilobytes."""

log = structlog.get_logger(__name__)


class _Found(NamedTuple):
    """The answer to FindEndpoint, as it goes over the wire, and what it follows from: it holds while ``held`` and
    ``authorities`` are the same.
    """

    workload: WorkloadId
    held: Workload
    authorities: int
    answer: bytes


class WorkloadServicer(workload_service_pb2_grpc.WorkloadServiceServicer):
    """Every workload belongs to a tenant, and only that tenant sees it."""

    def __init__(self, control_plane: ControlPlane, peers: PeerVerifier) -> None:
        self._workloads = control_plane.workloads
        self._queries = control_plane.queries
        self._optimizer = control_plane.optimizer
        self._operator = control_plane.settings.operator
        self._peers = peers
        self._endpoints = Memo(ENDPOINTS_KEPT_BYTES_MAX)

    async def PlanWorkload(
        self, request: service_pb2.PlanWorkloadRequest, context: Any
    ) -> service_pb2.PlanWorkloadResponse:
        plan = codec.plan_in(request)
        self._authorise(context, plan.workload)
        if plan.overlay is None:
            decision, current = await self._workloads.plan(plan.workload, plan.spec)
            answer = codec.plan_out(decision, current, record=await self._record(decision, plan))
            answer.would_preempt.extend(
                codec.preempted_out(one) for one in self._workloads.would_preempt(plan.workload, plan.spec, decision)
            )
            return answer
        found = await self._workloads.plan_under(plan.overlay, plan.workload, plan.spec)
        record = await self._record(found.decision, plan)
        return codec.plan_out(found.decision, found.current, found.present, record)

    async def _record(self, decision: Decision, plan: codec.Plan) -> bytes:
        """The record of a plan, if asked for; written beside the loop, since it is as large as the world."""
        return await asyncio.to_thread(packed, self._workloads.record(decision)) if plan.with_record else b""

    async def SubmitWorkload(
        self, request: service_pb2.SubmitWorkloadRequest, context: Any
    ) -> service_pb2.SubmitWorkloadResponse:
        submit = codec.submit_in(request)
        caller = self._authorise(context, submit.workload).spiffe_id
        accepted = await to_the_end(self._accept(caller, submit))
        log.info("submitted", workload=str(submit.workload), caller=caller, submit_id=submit.request_id)
        return codec.submit_out(accepted)

    async def _accept(self, caller: str, submit: codec.Submit) -> Workload:
        """Nothing happens between the check of what is expected and the acceptance, as nobody else's turn comes."""
        self._workloads.expect(submit.expect_generation, caller, submit.request_id, submit.workload, submit.spec)
        return await self._workloads.submit(
            caller, submit.request_id, submit.workload, submit.spec, payload_digest=submit.payload_digest
        )

    async def GetWorkload(
        self, request: service_pb2.GetWorkloadRequest, context: Any
    ) -> service_pb2.GetWorkloadResponse:
        workload = codec.name_in(request)
        self._authorise(context, workload)
        return codec.get_out(await self._queries.kept_workload(workload))

    async def ListWorkloads(
        self, request: service_pb2.ListWorkloadsRequest, context: Any
    ) -> service_pb2.ListWorkloadsResponse:
        tenant = self._peers.peer(context, Role.TENANT).name
        page = codec.page_in(request)
        found = await self._queries.kept_workloads(tenant, page.after, page.limit + 1)
        return codec.workloads_out(found, page.limit)

    async def WatchWorkload(
        self, request: service_pb2.WatchWorkloadRequest, context: Any
    ) -> AsyncIterator[service_pb2.WatchWorkloadResponse]:
        watching = codec.watch_in(request)
        workload, sequence = watching.workload, watching.after_sequence
        self._authorise(context, workload)
        if not self._queries.has_workload(workload):  # of what is not there no signal is made
            await self._queries.kept_workload(workload)
        # The signal first, then the state: what changes while the store keeps the state is signalled, not missed.
        # Asked for anew each time: a workload of the same name that was deleted and submitted again has another.
        signal = self._queries.workload_signal(workload)
        seen = signal.version
        held, events = await self._queries.kept_story(workload, sequence)
        if held is None:
            await self._queries.kept_workload(workload)
        while True:
            yield codec.watch_out(held, events)
            if held is None:
                return
            sequence = max((event.sequence for event in events), default=sequence)
            await signal.wait(seen)
            signal = self._queries.workload_signal(workload)
            seen = signal.version
            held, events = await self._queries.kept_story(workload, sequence)

    async def ExplainWorkload(
        self, request: service_pb2.ExplainWorkloadRequest, context: Any
    ) -> service_pb2.ExplainWorkloadResponse:
        question = codec.explain_in(request)
        self._authorise(context, question.workload)
        found = await self._queries.explain(question.workload, question.zone)
        answer = codec.explain_out(found)
        answer.grants.extend(proofs_out(self._queries.grants(question.workload)))
        if question.with_record:
            try:
                answer.record = await asyncio.to_thread(packed, await self._queries.record(question.workload))
            except RefusalError as error:
                answer.record_missing = error.message
        return answer

    async def DeleteWorkload(
        self, request: service_pb2.DeleteWorkloadRequest, context: Any
    ) -> service_pb2.DeleteWorkloadResponse:
        asked = codec.delete_in(request)
        caller = self._authorise(context, asked.workload).spiffe_id
        deleted = await to_the_end(
            self._workloads.delete(
                caller, asked.request_id, asked.workload, asked.etag, payload_digest=asked.payload_digest
            )
        )
        log.info("deletion_accepted", workload=str(asked.workload), caller=caller, submit_id=asked.request_id)
        return codec.delete_out(deleted)

    async def ListZones(self, request: service_pb2.ListZonesRequest, context: Any) -> service_pb2.ListZonesResponse:
        self._tenant_or_operator(context)
        page = codec.page_in(request)
        return codec.zones_out(self._queries.zones(page.after, page.limit + 1), page.limit)

    async def GetNetwork(self, request: service_pb2.GetNetworkRequest, context: Any) -> service_pb2.GetNetworkResponse:
        self._tenant_or_operator(context)
        seen = self._queries.network()
        return codec.network_out((seen.nodes, seen.links), seen.probes, seen.generation)

    async def OptimizePlacements(
        self, request: service_pb2.OptimizePlacementsRequest, context: Any
    ) -> service_pb2.OptimizePlacementsResponse:
        """An app team asks for its own workloads; the operator's control plane, by its own certificate, for all."""
        effort = effort_in(request)
        tenant = self._tenant_or_operator(context)
        optimized = await to_the_end(self._optimizer.optimize(tenant, effort))
        return optimized_out(optimized)

    def _tenant_or_operator(self, context: Any) -> str:
        """The tenant that asks; empty if it is the operator itself."""
        peer = self._peers.caller(context)
        if peer.role is Role.CONTROL_PLANE and peer.operator == self._operator:
            return ""
        return self._peers.peer(context, Role.TENANT).name

    async def FindEndpoint(self, request: service_pb2.FindEndpointRequest, context: Any) -> Any:
        """A written FindEndpointResponse: asked again far more often than it changes."""
        name = request.name
        known: _Found | None = self._endpoints.get(name)
        workload = codec.name_in(request) if known is None else known.workload
        self._authorise(context, workload)
        held = self._queries.workload(workload)
        authorities = self._queries.authorities_changed()
        if known is None or known.held is not held or known.authorities != authorities:
            answer = codec.endpoint_out(self._queries.endpoint(workload)).SerializeToString()
            known = _Found(workload, held, authorities, answer)
            self._endpoints.keep(name, known, weight=len(answer))
        return known.answer

    def _authorise(self, context: Any, workload: WorkloadId) -> PeerIdentity:
        peer = self._peers.peer(context, Role.TENANT)
        if peer.name != workload.tenant:
            message = f"{peer.spiffe_id} may not touch workloads of tenant {workload.tenant}"
            raise RefusalError(Reason.PERMISSION_DENIED, message, "name")
        return peer

"""What app teams ask, as values, and the answers; paging tokens and payload digests live here, too."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hansa.v1 import workload_service_pb2 as service_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_decision import decision_out, event_out, workload_out
from hansa_control.adapters.codec_network import link_out, node_out, probe_out, round_trip_out
from hansa_control.adapters.codec_overlay import overlay_in
from hansa_control.adapters.codec_paths import path_out
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.adapters.codec_zone import zone_out
from hansa_control.application.queries import Endpoint, Explanation, ZoneEndpoint
from hansa_control.application.workloads import Current
from hansa_control.domain.model import (
    Decision,
    Event,
    NetworkLink,
    NetworkNode,
    NodeProbe,
    ProbeResult,
    RoundTrip,
    Workload,
    WorkloadId,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from hansa_control.domain.overlay import Overlay
from hansa_control.domain.preempting import Candidate

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """Decide, and do nothing."""

    workload: WorkloadId
    spec: WorkloadSpec
    overlay: Overlay | None = None
    with_record: bool = False


@dataclass(frozen=True, slots=True)
class Submit:
    """Accept a workload. ``payload_digest`` is that of everything but the request id.

    ``expect_generation`` is that of the snapshot on which the caller has seen a plan; 0 expects nothing.
    """

    request_id: str
    workload: WorkloadId
    spec: WorkloadSpec
    payload_digest: str
    expect_generation: int = 0


@dataclass(frozen=True, slots=True)
class Deletion:
    """Stop and forget a workload; an empty etag matches every version."""

    request_id: str
    workload: WorkloadId
    etag: str
    payload_digest: str


@dataclass(frozen=True, slots=True)
class Watching:
    """Follow a workload; events after this sequence."""

    workload: WorkloadId
    after_sequence: int


@dataclass(frozen=True, slots=True)
class Question:
    """Why is it where it is, in general or as to one zone?"""

    workload: WorkloadId
    zone: ZoneId | None
    with_record: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The resources named after ``after``, at most ``limit``."""

    after: str
    limit: int


# --- requests -------------------------------------------------------------------------------------------------------


def plan_in(wire: service_pb2.PlanWorkloadRequest) -> Plan:
    overlay = overlay_in(wire.overlay, "overlay") if wire.HasField("overlay") else None
    workload = fields.workload_id_in(wire.name, "name")
    return Plan(workload, spec_in(wire.spec, "spec"), overlay, wire.with_record)


def submit_in(wire: service_pb2.SubmitWorkloadRequest) -> Submit:
    return Submit(
        request_id=fields.request_id_in(wire.request_id, "request_id"),
        workload=fields.workload_id_in(wire.name, "name"),
        spec=spec_in(wire.spec, "spec"),
        payload_digest=payload_digest(wire),
        expect_generation=fields.range_in(wire.expect_generation, (0, 2**63 - 1), "expect_generation"),
    )


def delete_in(wire: service_pb2.DeleteWorkloadRequest) -> Deletion:
    return Deletion(
        request_id=fields.request_id_in(wire.request_id, "request_id"),
        workload=fields.workload_id_in(wire.name, "name"),
        etag=wire.etag and fields.token_in(wire.etag, "etag"),
        payload_digest=payload_digest(wire),
    )


def payload_digest(wire: service_pb2.SubmitWorkloadRequest | service_pb2.DeleteWorkloadRequest) -> str:
    """SHA-256 of the deterministic serialisation of the message's type and all of it but the request id."""
    content = type(wire)()
    content.CopyFrom(wire)  # type: ignore[arg-type]
    content.ClearField("request_id")
    digest = hashlib.sha256(wire.DESCRIPTOR.full_name.encode())
    digest.update(content.SerializeToString(deterministic=True))
    return digest.hexdigest()


def name_in(
    wire: service_pb2.GetWorkloadRequest | service_pb2.FindEndpointRequest,
) -> WorkloadId:
    return fields.workload_id_in(wire.name, "name")


def watch_in(wire: service_pb2.WatchWorkloadRequest) -> Watching:
    after = fields.range_in(wire.after_sequence, (0, 2**63 - 1), "after_sequence")
    return Watching(fields.workload_id_in(wire.name, "name"), after)


def explain_in(wire: service_pb2.ExplainWorkloadRequest) -> Question:
    zone = fields.zone_id_in(wire.zone, "zone") if wire.zone else None
    return Question(fields.workload_id_in(wire.name, "name"), zone, wire.with_record)


def page_in(wire: service_pb2.ListWorkloadsRequest | service_pb2.ListZonesRequest) -> Page:
    """A page; a token of another method or of nobody is refused."""
    limit = fields.range_in(wire.page_size, (0, PAGE_SIZE_MAX), "page_size") or PAGE_SIZE_DEFAULT
    return Page(_token_read(wire.page_token, wire.DESCRIPTOR.name), limit)


def _token_for(after: str, method: str) -> str:
    return base64.urlsafe_b64encode(f"{method}\n{after}".encode()).decode()


def _token_read(token: str, method: str) -> str:
    if not token:
        return ""
    try:
        kind, newline, after = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode().partition("\n")
    except (binascii.Error, UnicodeError):
        kind, newline, after = "", "", ""
    if kind != method or not newline or not after or len(after) > 300:
        raise fields.refused("page_token", "is not a token that this method gave")
    return after


# --- responses ------------------------------------------------------------------------------------------------------


def plan_out(
    decision: Decision, current: Current, present: Decision | None = None, record: bytes = b""
) -> service_pb2.PlanWorkloadResponse:
    """The decision; with ``present`` it is hypothetical, and that is the one in the world as it is."""
    return service_pb2.PlanWorkloadResponse(
        decision=decision_out(decision),
        current_zone=current.zone,
        current_zones=current.zones,
        hypothetical=present is not None,
        present=None if present is None else decision_out(present),
        record=record,
    )


def preempted_out(victim: Candidate) -> service_pb2.Preemption:
    return service_pb2.Preemption(
        workload=victim.workload, priority=victim.priority, zone=str(victim.zone), claim=victim.claim
    )


def submit_out(workload: Workload) -> service_pb2.SubmitWorkloadResponse:
    return service_pb2.SubmitWorkloadResponse(workload=workload_out(workload))


def get_out(workload: Workload) -> service_pb2.GetWorkloadResponse:
    return service_pb2.GetWorkloadResponse(workload=workload_out(workload))


def delete_out(workload: Workload) -> service_pb2.DeleteWorkloadResponse:
    return service_pb2.DeleteWorkloadResponse(workload=workload_out(workload))


def watch_out(workload: Workload | None, events: Sequence[Event]) -> service_pb2.WatchWorkloadResponse:
    """The workload as it is; None says that it is gone."""
    return service_pb2.WatchWorkloadResponse(
        workload=None if workload is None else workload_out(workload),
        events=[event_out(event) for event in events],
        deleted=workload is None,
    )


def workloads_out(workloads: Sequence[Workload], limit: int) -> service_pb2.ListWorkloadsResponse:
    """A page of at most ``limit``; ``workloads`` holds one more if there is another page."""
    shown = workloads[:limit]
    token = _token_for(str(shown[-1].id), "ListWorkloadsRequest") if len(workloads) > limit else ""
    return service_pb2.ListWorkloadsResponse(workloads=[workload_out(one) for one in shown], next_page_token=token)


def zones_out(zones: Sequence[Zone], limit: int) -> service_pb2.ListZonesResponse:
    """A page of at most ``limit``; ``zones`` holds one more if there is another page."""
    shown = zones[:limit]
    token = _token_for(str(shown[-1].id), "ListZonesRequest") if len(zones) > limit else ""
    return service_pb2.ListZonesResponse(zones=[zone_out(zone) for zone in shown], next_page_token=token)


def network_out(
    graph: tuple[Sequence[NetworkNode], Sequence[NetworkLink]],
    probes: Sequence[tuple[ProbeResult | NodeProbe, RoundTrip | None]],
    generation: int,
) -> service_pb2.GetNetworkResponse:
    nodes, links = graph
    return service_pb2.GetNetworkResponse(
        nodes=[node_out(node) for node in nodes],
        links=[link_out(link) for link in links],
        probes=[_comparison_out(measured, modelled) for measured, modelled in probes],
        snapshot_generation=generation,
    )


def _comparison_out(measured: ProbeResult | NodeProbe, modelled: RoundTrip | None) -> service_pb2.ProbeComparison:
    return service_pb2.ProbeComparison(
        measured=probe_out(measured), modelled=None if modelled is None else round_trip_out(modelled)
    )


def explain_out(found: Explanation) -> service_pb2.ExplainWorkloadResponse:
    return service_pb2.ExplainWorkloadResponse(
        decision=decision_out(found.decision),
        current_zone=found.current.zone,
        decided_at_ms=found.decided_at_ms,
        now=decision_out(found.now),
        current_zones=found.current.zones,
        paths=[path_out(path) for path in found.paths],
    )


def endpoint_out(endpoint: Endpoint) -> service_pb2.FindEndpointResponse:
    return service_pb2.FindEndpointResponse(
        endpoint_urls=endpoint.urls,
        endpoint_ca_pem=endpoint.ca_pem,
        zone=endpoint.zone,
        claim=endpoint.claim,
        zones=[_zone_endpoint_out(zone) for zone in endpoint.zones],
    )


def _zone_endpoint_out(zone: ZoneEndpoint) -> service_pb2.ZoneEndpoint:
    return service_pb2.ZoneEndpoint(
        zone=zone.zone,
        endpoint_urls=zone.urls,
        endpoint_ca_pem=zone.ca_pem,
        claim=zone.claim,
        replicas=zone.replicas,
        shares=[service_pb2.AccessShare(access_point=name, share_permille=share) for name, share in zone.shares],
    )

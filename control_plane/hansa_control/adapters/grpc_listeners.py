"""The three listeners of a control plane, each with the services that it offers."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import grpc

from hansa.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    federation_service_pb2,
    federation_service_pb2_grpc,
    partner_service_pb2,
    partner_service_pb2_grpc,
    snapshot_service_pb2,
    snapshot_service_pb2_grpc,
    usage_service_pb2,
    usage_service_pb2_grpc,
    workload_service_pb2,
    workload_service_pb2_grpc,
    zone_service_pb2,
    zone_service_pb2_grpc,
)
from hansa_control.adapters.grpc_agents import AgentServicer
from hansa_control.adapters.grpc_partners import FederationServicer
from hansa_control.adapters.grpc_partnerships import PartnerServicer
from hansa_control.adapters.grpc_server import Listener
from hansa_control.adapters.grpc_snapshots import SnapshotServicer
from hansa_control.adapters.grpc_usage import UsageServicer
from hansa_control.adapters.grpc_workloads import WorkloadServicer
from hansa_control.adapters.grpc_zones import ZoneServicer


class ApiServicers(NamedTuple):
    """Who answers whom the API listener lets in: app teams, and the operator itself where it asks about its affairs."""

    workloads: WorkloadServicer
    usage: UsageServicer
    partners: PartnerServicer
    zones: ZoneServicer
    snapshots: SnapshotServicer


def api_listener(address: str, client_ca_pem: bytes, servicers: ApiServicers) -> Listener:
    """For app teams, and for the people who run the operator."""
    files = (
        workload_service_pb2,
        usage_service_pb2,
        partner_service_pb2,
        zone_service_pb2,
        snapshot_service_pb2,
    )
    names = tuple(service.full_name for file in files for service in file.DESCRIPTOR.services_by_name.values())

    def add(server: grpc.aio.Server) -> None:
        workload_service_pb2_grpc.add_WorkloadServiceServicer_to_server(servicers.workloads, server)
        usage_service_pb2_grpc.add_UsageServiceServicer_to_server(servicers.usage, server)
        partner_service_pb2_grpc.add_PartnerServiceServicer_to_server(servicers.partners, server)
        zone_service_pb2_grpc.add_ZoneServiceServicer_to_server(servicers.zones, server)
        snapshot_service_pb2_grpc.add_SnapshotServiceServicer_to_server(servicers.snapshots, server)

    return Listener("api", address, client_ca_pem, names, add)


def agents_listener(address: str, client_ca_pem: bytes, servicer: AgentServicer) -> Listener:
    """For agents of the operator's own zones."""
    (service,) = agent_service_pb2.DESCRIPTOR.services_by_name.values()
    add = partial(agent_service_pb2_grpc.add_AgentServiceServicer_to_server, servicer)
    return Listener("agents", address, client_ca_pem, (service.full_name,), add)


def partners_listener(address: str, client_ca_pem: bytes, servicer: FederationServicer) -> Listener:
    """For the control planes of federated operators."""
    (service,) = federation_service_pb2.DESCRIPTOR.services_by_name.values()
    add = partial(federation_service_pb2_grpc.add_FederationServiceServicer_to_server, servicer)
    return Listener("partners", address, client_ca_pem, (service.full_name,), add)

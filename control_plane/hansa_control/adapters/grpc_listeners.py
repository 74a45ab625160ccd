"""The three listeners of a control plane, each with the services that it offers."""

from __future__ import annotations

from functools import partial

import grpc

from hansa.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    federation_service_pb2,
    federation_service_pb2_grpc,
    workload_service_pb2,
    workload_service_pb2_grpc,
    zone_service_pb2,
    zone_service_pb2_grpc,
)
from hansa_control.adapters.grpc_agents import AgentServicer
from hansa_control.adapters.grpc_partners import FederationServicer
from hansa_control.adapters.grpc_server import Listener
from hansa_control.adapters.grpc_workloads import WorkloadServicer
from hansa_control.adapters.grpc_zones import ZoneServicer


def api_listener(address: str, client_ca_pem: bytes, servicer: WorkloadServicer, zones: ZoneServicer) -> Listener:
    """For app teams, and for the operator's own engineers."""
    services = [
        *workload_service_pb2.DESCRIPTOR.services_by_name.values(),
        *zone_service_pb2.DESCRIPTOR.services_by_name.values(),
    ]

    def add(server: grpc.aio.Server) -> None:
        workload_service_pb2_grpc.add_WorkloadServiceServicer_to_server(servicer, server)
        zone_service_pb2_grpc.add_ZoneServiceServicer_to_server(zones, server)

    return Listener("api", address, client_ca_pem, tuple(service.full_name for service in services), add)


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

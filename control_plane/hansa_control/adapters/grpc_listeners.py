"""The three listeners of a control plane, each with the one service that it offers."""

from __future__ import annotations

from functools import partial

import grpc

from hansa.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    federation_service_pb2,
    federation_service_pb2_grpc,
    usage_service_pb2,
    usage_service_pb2_grpc,
    workload_service_pb2,
    workload_service_pb2_grpc,
)
from hansa_control.adapters.grpc_agents import AgentServicer
from hansa_control.adapters.grpc_partners import FederationServicer
from hansa_control.adapters.grpc_server import Listener
from hansa_control.adapters.grpc_usage import UsageServicer
from hansa_control.adapters.grpc_workloads import WorkloadServicer


def api_listener(
    address: str, client_ca_pem: bytes, servicer: WorkloadServicer, usage: UsageServicer | None = None
) -> Listener:
    """For app teams, and for the operator itself where it asks about usage."""
    (service,) = workload_service_pb2.DESCRIPTOR.services_by_name.values()
    (of_usage,) = usage_service_pb2.DESCRIPTOR.services_by_name.values()

    def add(server: grpc.aio.Server) -> None:
        workload_service_pb2_grpc.add_WorkloadServiceServicer_to_server(servicer, server)
        if usage is not None:
            usage_service_pb2_grpc.add_UsageServiceServicer_to_server(usage, server)

    names = (service.full_name,) if usage is None else (service.full_name, of_usage.full_name)
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

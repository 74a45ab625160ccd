"""Workload specifications on the wire, both ways."""

from __future__ import annotations

from collections.abc import Sequence

from hansa.v1 import common_pb2, workload_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_residency import policy_in as policy_in
from hansa_control.adapters.codec_residency import policy_out as policy_out
from hansa_control.adapters.codec_zone import (
    CPU_MILLIS_MAX,
    DEVICE_MEMORY_MIB_MAX,
    MEMORY_MIB_MAX,
    artefact_in,
    artefact_out,
)
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    LatencyBudget,
    WorkloadSpec,
)

ACCESS_COUNT_MAX = 200
MODEL_COUNT_MAX = 32
REPLICAS_MAX = 1000
DEVICES_PER_REPLICA_MAX = 64
DEMAND_MILLIRPS_MAX = 10**12
RTT_US_MAX = 60_000_000


# --- specification --------------------------------------------------------------------------------------------------


def spec_in(wire: workload_pb2.WorkloadSpec, path: str) -> WorkloadSpec:
    """What an app team wants to run; every part but accelerator and residency must be there."""
    for part, present in (("artefact", wire.HasField("artefact")), ("latency", wire.HasField("latency"))):
        if not present:
            raise fields.refused(f"{path}.{part}", "is missing")
    need = accelerator_need_in(wire.accelerator, f"{path}.accelerator") if wire.HasField("accelerator") else None
    return WorkloadSpec(
        artefact=artefact_in(wire.artefact, f"{path}.artefact"),
        accelerator=need,
        cpu_millis=fields.range_in(wire.cpu_millis, (1, CPU_MILLIS_MAX), f"{path}.cpu_millis"),
        memory_mib=fields.range_in(wire.memory_mib, (1, MEMORY_MIB_MAX), f"{path}.memory_mib"),
        replicas=fields.range_in(wire.replicas, (1, REPLICAS_MAX), f"{path}.replicas"),
        access=_access_in(wire.access, f"{path}.access"),
        latency=_latency_in(wire.latency, f"{path}.latency"),
        residency=policy_in(wire.residency, f"{path}.residency"),
    )


def accelerator_need_in(wire: common_pb2.AcceleratorNeed, path: str) -> AcceleratorNeed:
    fields.bounded(wire.any_of, MODEL_COUNT_MAX, f"{path}.any_of")
    fields.distinct(wire.any_of, f"{path}.any_of")
    return AcceleratorNeed(
        any_of=tuple(fields.model_in(model, f"{path}.any_of[{i}]") for i, model in enumerate(wire.any_of)),
        count=fields.range_in(wire.count, (1, DEVICES_PER_REPLICA_MAX), f"{path}.count"),
        memory_mib_min=fields.range_in(wire.memory_mib_min, (0, DEVICE_MEMORY_MIB_MAX), f"{path}.memory_mib_min"),
    )


def _access_in(wires: Sequence[workload_pb2.AccessDemand], path: str) -> tuple[AccessDemand, ...]:
    if not wires:
        raise fields.refused(path, "is empty; name at least one access point")
    fields.bounded(wires, ACCESS_COUNT_MAX, path)
    fields.distinct([wire.access_point for wire in wires], path)
    return tuple(_demand_in(wire, f"{path}[{index}]") for index, wire in enumerate(wires))


def _demand_in(wire: workload_pb2.AccessDemand, path: str) -> AccessDemand:
    demand = fields.range_in(wire.demand_millirps, (1, DEMAND_MILLIRPS_MAX), f"{path}.demand_millirps")
    return AccessDemand(fields.network_name_in(wire.access_point, f"{path}.access_point"), demand)


def _latency_in(wire: workload_pb2.LatencyBudget, path: str) -> LatencyBudget:
    percentile = fields.percentile_in(wire.percentile, f"{path}.percentile")
    return LatencyBudget(percentile, fields.range_in(wire.rtt_us_max, (1, RTT_US_MAX), f"{path}.rtt_us_max"))


def spec_out(spec: WorkloadSpec) -> workload_pb2.WorkloadSpec:
    need = spec.accelerator
    return workload_pb2.WorkloadSpec(
        artefact=artefact_out(spec.artefact),
        accelerator=None if need is None else _accelerator_need_out(need),
        cpu_millis=spec.cpu_millis,
        memory_mib=spec.memory_mib,
        replicas=spec.replicas,
        access=[
            workload_pb2.AccessDemand(access_point=demand.access_point, demand_millirps=demand.demand_millirps)
            for demand in spec.access
        ],
        latency=workload_pb2.LatencyBudget(percentile=spec.latency.percentile, rtt_us_max=spec.latency.rtt_us_max),
        residency=policy_out(spec.residency),
    )


def _accelerator_need_out(need: AcceleratorNeed) -> common_pb2.AcceleratorNeed:
    return common_pb2.AcceleratorNeed(any_of=need.any_of, count=need.count, memory_mib_min=need.memory_mib_min)

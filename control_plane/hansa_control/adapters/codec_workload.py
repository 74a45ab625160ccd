"""Workload specifications on the wire, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hansa.v1 import common_pb2, workload_pb2
from hansa_control.adapters import codec_demand as demand
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters import codec_keeping as keeping
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
    ArtefactRef,
    LatencyBudget,
    Objective,
    WorkloadSpec,
    ZoneBounds,
)

ACCESS_COUNT_MAX = 200
FORM_COUNT_MAX = 8
MODEL_COUNT_MAX = 32
DEVICES_PER_REPLICA_MAX = 64
DEMAND_MILLIRPS_MAX = 10**12
RTT_US_MAX = 60_000_000
RESPONSE_US_MAX = 3_600_000_000
PRICE_MILLIEUR_MAX = 10**12


SPECS_KEPT_MAX, SPEC_KEPT_BYTES_MAX = 1_000, 8 * 1024

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

_specs: dict[bytes, WorkloadSpec] = {}
_wires: dict[WorkloadSpec, workload_pb2.WorkloadSpec] = {}


# --- specification --------------------------------------------------------------------------------------------------


def spec_in(wire: workload_pb2.WorkloadSpec, path: str) -> WorkloadSpec:
    """What an app team wants to run; artefact, access and latency must be there, the rest has defaults.

    The same specification is the same object, within bounds: many workloads differ in nothing but their names, and
    what was worked out for one is looked up by its specification.
    """
    content = wire.SerializeToString(deterministic=True)
    known = _specs.get(content)
    if known is None:
        known = _spec_in(wire, path)
        if len(content) <= SPEC_KEPT_BYTES_MAX:
            _keep(_specs, content, known)
    return known


def _keep(kept: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
    if len(kept) >= SPECS_KEPT_MAX:
        kept.clear()
    kept[key] = value


def _spec_in(wire: workload_pb2.WorkloadSpec, path: str) -> WorkloadSpec:
    for part, present in (("artefact", wire.HasField("artefact")), ("latency", wire.HasField("latency"))):
        if not present:
            raise fields.refused(f"{path}.{part}", "is missing")
    replicas = fields.range_in(wire.replicas, (1, demand.REPLICAS_MAX), f"{path}.replicas")
    replicas_max = demand.replicas_max_in(wire, path)
    zones = _zones_in(wire, replicas_max or replicas, f"{path}.zones")
    service = demand.service_in(wire.service, f"{path}.service") if wire.HasField("service") else None
    demand.require_servers_bounded(service, max(replicas, replicas_max), f"{path}.service")
    return WorkloadSpec(
        artefact=artefact_in(wire.artefact, f"{path}.artefact"),
        artefact_forms=_forms_in(wire, f"{path}.artefact_forms"),
        accelerator=_need_or_none_in(wire, f"{path}.accelerator"),
        cpu_millis=fields.range_in(wire.cpu_millis, (1, CPU_MILLIS_MAX), f"{path}.cpu_millis"),
        memory_mib=fields.range_in(wire.memory_mib, (1, MEMORY_MIB_MAX), f"{path}.memory_mib"),
        replicas=replicas,
        access=_access_in(wire.access, f"{path}.access"),
        latency=_latency_in(wire, f"{path}.latency"),
        residency=policy_in(wire.residency, f"{path}.residency"),
        replicas_max=replicas_max,
        zones=zones,
        spread=demand.spread_in(wire.spread, replicas, zones, f"{path}.spread"),
        service=service,
        preferences=demand.preferences_in(wire.preferences, f"{path}.preferences"),
        objective=_objective_in(wire, f"{path}.objective"),
        data_sources=demand.data_sources_in(wire.data_sources, f"{path}.data_sources"),
        price_millieur_per_hour_max=fields.range_in(
            wire.price_millieur_per_hour_max, (0, PRICE_MILLIEUR_MAX), f"{path}.price_millieur_per_hour_max"
        ),
        priority=fields.range_in(wire.priority, (-keeping.PRIORITY_MAX, keeping.PRIORITY_MAX), f"{path}.priority"),
        disruption=keeping.disruption_in(wire.disruption, replicas, f"{path}.disruption"),
        on_partition=keeping.on_partition_in(wire.on_partition, f"{path}.on_partition"),
    )


def _forms_in(wire: workload_pb2.WorkloadSpec, path: str) -> tuple[ArtefactRef, ...]:
    fields.bounded(wire.artefact_forms, FORM_COUNT_MAX, path)
    forms = tuple(artefact_in(form, f"{path}[{index}]") for index, form in enumerate(wire.artefact_forms))
    fields.distinct([f"{form.name}@{form.digest}" for form in forms], path)
    return forms


def _zones_in(wire: workload_pb2.WorkloadSpec, replicas_most: int, path: str) -> ZoneBounds:
    return demand.zone_bounds_in(wire.zones, replicas_most, path) if wire.HasField("zones") else ZoneBounds()


def _objective_in(wire: workload_pb2.WorkloadSpec, path: str) -> Objective:
    return demand.objective_in(wire.objective, path) if wire.HasField("objective") else Objective()


def _need_or_none_in(wire: workload_pb2.WorkloadSpec, path: str) -> AcceleratorNeed | None:
    return accelerator_need_in(wire.accelerator, path) if wire.HasField("accelerator") else None


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
    millirps = fields.range_in(wire.demand_millirps, (1, DEMAND_MILLIRPS_MAX), f"{path}.demand_millirps")
    return AccessDemand(fields.network_name_in(wire.access_point, f"{path}.access_point"), millirps)


def _latency_in(spec: workload_pb2.WorkloadSpec, path: str) -> LatencyBudget:
    wire = spec.latency
    response_us_max = fields.range_in(wire.response_us_max, (0, RESPONSE_US_MAX), f"{path}.response_us_max")
    if response_us_max and not spec.HasField("service"):
        message = "needs a service profile, since it bounds queueing and service too; the nearest without one is 0"
        raise fields.refused(f"{path}.response_us_max", message)
    return LatencyBudget(
        percentile=fields.percentile_in(wire.percentile, f"{path}.percentile"),
        rtt_us_max=fields.range_in(wire.rtt_us_max, (1, RTT_US_MAX), f"{path}.rtt_us_max"),
        response_us_max=response_us_max,
    )


def spec_out(spec: WorkloadSpec) -> workload_pb2.WorkloadSpec:
    """The same on the wire; parts that are as by default are left out, so that what is kept equals what was sent.

    The message is for many and not to be changed; one that is made of it has a copy.
    """
    known = _wires.get(spec)
    if known is None:
        known = _spec_out(spec)
        if known.ByteSize() <= SPEC_KEPT_BYTES_MAX:
            _keep(_wires, spec, known)
    return known


def _spec_out(spec: WorkloadSpec) -> workload_pb2.WorkloadSpec:
    need = spec.accelerator
    return workload_pb2.WorkloadSpec(
        artefact=artefact_out(spec.artefact),
        artefact_forms=[artefact_out(form) for form in spec.artefact_forms],
        accelerator=None if need is None else _accelerator_need_out(need),
        cpu_millis=spec.cpu_millis,
        memory_mib=spec.memory_mib,
        replicas=spec.replicas,
        access=[
            workload_pb2.AccessDemand(access_point=users.access_point, demand_millirps=users.demand_millirps)
            for users in spec.access
        ],
        latency=_latency_out(spec.latency),
        residency=policy_out(spec.residency),
        replicas_max=spec.replicas_max,
        zones=demand.zone_bounds_out(spec.zones),
        spread=demand.spread_out(spec.spread),
        service=None if spec.service is None else demand.service_out(spec.service),
        preferences=demand.preferences_out(spec.preferences),
        objective=demand.objective_out(spec.objective),
        data_sources=demand.data_sources_out(spec.data_sources),
        price_millieur_per_hour_max=spec.price_millieur_per_hour_max,
        priority=spec.priority,
        disruption=keeping.disruption_out(spec.disruption),
        on_partition=keeping.on_partition_out(spec.on_partition),
    )


def _latency_out(latency: LatencyBudget) -> workload_pb2.LatencyBudget:
    return workload_pb2.LatencyBudget(
        percentile=latency.percentile, rtt_us_max=latency.rtt_us_max, response_us_max=latency.response_us_max
    )


def _accelerator_need_out(need: AcceleratorNeed) -> common_pb2.AcceleratorNeed:
    return common_pb2.AcceleratorNeed(any_of=need.any_of, count=need.count, memory_mib_min=need.memory_mib_min)

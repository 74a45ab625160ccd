"""Zones on the wire: facts, capacity, accelerators, inventories, instances."""

from __future__ import annotations

from collections.abc import Sequence

from hansa.v1 import common_pb2, instance_pb2, zone_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_refusals import DATA_CLASSES, refusals_in, refusals_out
from hansa_control.adapters.codec_upkeep import upkeep_in, upkeep_out, wish_in, wish_out, zone_name_in
from hansa_control.domain.model import (
    AcceleratorPool,
    ArtefactRef,
    Capacity,
    DesiredInstance,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Handler,
    InstanceState,
    InstanceStatus,
    Inventory,
    Origin,
    ProbeTarget,
    Upkeep,
    Zone,
    ZoneState,
)

FACT_COUNT_MAX = 100
HANDLER_COUNT_MAX = 8
POOL_COUNT_MAX = 64
ARTEFACT_COUNT_MAX = 1000
CPU_MILLIS_MAX = 1_000_000_000
MEMORY_MIB_MAX = 1_000_000_000
DEVICE_COUNT_MAX = 1_000_000
DEVICE_MEMORY_MIB_MAX = 100_000_000
PRICE_MILLIEUR_MAX = 1_000_000_000
DEVICE_WATTS_MAX = 100_000
CARBON_GCO2_PER_KWH_MAX = 100_000

FACT_KINDS = fields.EnumCodec(FactKind, common_pb2.FactKind, "FACT_KIND")
EVIDENCE_KINDS = fields.EnumCodec(EvidenceKind, common_pb2.EvidenceKind, "EVIDENCE_KIND")
ZONE_STATES = fields.EnumCodec(ZoneState, zone_pb2.ZoneState, "ZONE_STATE")
INSTANCE_STATES = fields.EnumCodec(InstanceState, instance_pb2.InstanceState, "INSTANCE_STATE")

_COUNTRY_FACTS = frozenset(
    {
        FactKind.SITE_COUNTRY,
        FactKind.HEADQUARTERS_COUNTRY,
        FactKind.ULTIMATE_PARENT_COUNTRY,
        FactKind.OPERATION_COUNTRY,
        FactKind.SUPPORT_COUNTRY,
    }
)
_LABEL_FACTS = frozenset({FactKind.PERSONNEL_CLEARANCE, FactKind.ATTESTATION, FactKind.CERTIFICATION})
_FIGURE_MAX = {FactKind.CARBON_GCO2_PER_KWH: CARBON_GCO2_PER_KWH_MAX, FactKind.RENEWABLE_PERCENT: 100}
_DOCUMENTED = frozenset({EvidenceKind.REGISTER, EvidenceKind.CERTIFICATE})


# --- facts ----------------------------------------------------------------------------------------------------------


def fact_in(wire: common_pb2.Fact, path: str) -> Fact:
    """A fact whose value fits its kind. Without evidence it says nothing, so it is refused."""
    kind = FACT_KINDS.read(wire.kind, f"{path}.kind")
    value = _fact_value_in(kind, wire.value, f"{path}.value")
    if not wire.HasField("evidence"):
        raise fields.refused(f"{path}.evidence", "is missing; a fact without evidence counts as unknown")
    evidence = _evidence_in(wire.evidence, f"{path}.evidence")
    return Fact(
        kind,
        value,
        evidence,
        _detail_in(kind, wire.version, f"{path}.version"),
        _detail_in(kind, wire.level, f"{path}.level"),
    )


def _detail_in(kind: FactKind, value: str, path: str) -> str:
    """Version or level, which a certification alone has."""
    if value and kind is not FactKind.CERTIFICATION:
        raise fields.refused(path, f"is set on {kind.value}; only CERTIFICATION has one, leave it empty")
    return value and fields.label_in(value, path)


def _fact_value_in(kind: FactKind, value: str, path: str) -> str:
    if kind in _COUNTRY_FACTS:
        return fields.country_in(value, path)
    if kind is FactKind.FOREIGN_SHARE_PERCENT:
        return fields.percent_in(value, path)
    if kind in _FIGURE_MAX:
        return fields.whole_number_in(value, (0, _FIGURE_MAX[kind]), path)
    if kind in _LABEL_FACTS:
        return fields.label_in(value, path)
    return value if value == "none" else fields.law_in(value, path)


def _evidence_in(wire: common_pb2.Evidence, path: str) -> Evidence:
    kind = EVIDENCE_KINDS.read(wire.kind, f"{path}.kind")
    valid_from_ms = fields.time_ms_in(wire.valid_from_ms, f"{path}.valid_from_ms")
    valid_until_ms = fields.time_ms_in(wire.valid_until_ms, f"{path}.valid_until_ms")
    if valid_from_ms and valid_until_ms and valid_until_ms <= valid_from_ms:
        raise fields.refused(f"{path}.valid_until_ms", f"{valid_until_ms} is not after valid_from_ms, {valid_from_ms}")
    if wire.digest or kind in _DOCUMENTED:
        fields.digest_in(wire.digest, f"{path}.digest")
    return Evidence(
        kind=kind,
        issuer=fields.required_text_in(wire.issuer, f"{path}.issuer"),
        scheme=fields.required_text_in(wire.scheme, f"{path}.scheme"),
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_until_ms,
        digest=wire.digest,
    )


def facts_in(wires: Sequence[common_pb2.Fact], path: str) -> tuple[Fact, ...]:
    fields.bounded(wires, FACT_COUNT_MAX, path)
    return tuple(fact_in(wire, f"{path}[{index}]") for index, wire in enumerate(wires))


def fact_out(fact: Fact) -> common_pb2.Fact:
    evidence = common_pb2.Evidence(
        kind=EVIDENCE_KINDS.out(fact.evidence.kind),
        issuer=fact.evidence.issuer,
        scheme=fact.evidence.scheme,
        valid_from_ms=fact.evidence.valid_from_ms,
        valid_until_ms=fact.evidence.valid_until_ms,
        digest=fact.evidence.digest,
    )
    return common_pb2.Fact(
        kind=FACT_KINDS.out(fact.kind), value=fact.value, evidence=evidence, version=fact.version, level=fact.level
    )


# --- capacity -------------------------------------------------------------------------------------------------------


def pool_in(wire: common_pb2.AcceleratorPool, path: str) -> AcceleratorPool:
    return AcceleratorPool(
        vendor=fields.vendor_in(wire.vendor, f"{path}.vendor"),
        model=fields.model_in(wire.model, f"{path}.model"),
        memory_mib=fields.range_in(wire.memory_mib, (1, DEVICE_MEMORY_MIB_MAX), f"{path}.memory_mib"),
        count=fields.range_in(wire.count, (1, DEVICE_COUNT_MAX), f"{path}.count"),
        mig_profile=fields.mig_profile_in(wire.mig_profile, f"{path}.mig_profile"),
        node_count_max=fields.range_in(wire.node_count_max, (0, wire.count), f"{path}.node_count_max"),
    )


def pool_out(pool: AcceleratorPool) -> common_pb2.AcceleratorPool:
    return common_pb2.AcceleratorPool(
        vendor=pool.vendor,
        model=pool.model,
        memory_mib=pool.memory_mib,
        count=pool.count,
        mig_profile=pool.mig_profile,
        node_count_max=pool.node_count_max,
    )


def capacity_in(wire: common_pb2.Capacity, path: str) -> Capacity:
    """An amount of capacity; pools are sorted and zero counts dropped, as the domain wants them."""
    fields.bounded(wire.accelerators, POOL_COUNT_MAX, f"{path}.accelerators")
    fields.distinct([amount.pool for amount in wire.accelerators], f"{path}.accelerators")
    amounts = [_amount_in(amount, f"{path}.accelerators[{index}]") for index, amount in enumerate(wire.accelerators)]
    return Capacity(
        cpu_millis=fields.range_in(wire.cpu_millis, (0, CPU_MILLIS_MAX), f"{path}.cpu_millis"),
        memory_mib=fields.range_in(wire.memory_mib, (0, MEMORY_MIB_MAX), f"{path}.memory_mib"),
        accelerators=tuple(sorted(amount for amount in amounts if amount[1])),
    )


def _amount_in(wire: common_pb2.PoolAmount, path: str) -> tuple[str, int]:
    vendor, _, rest = wire.pool.partition("/")
    model, _, profile = rest.partition("/mig-")
    fields.vendor_in(vendor, f"{path}.pool")
    fields.model_in(model, f"{path}.pool")
    fields.mig_profile_in(profile, f"{path}.pool")
    return wire.pool, fields.range_in(wire.count, (0, DEVICE_COUNT_MAX), f"{path}.count")


def capacity_out(capacity: Capacity) -> common_pb2.Capacity:
    amounts = [common_pb2.PoolAmount(pool=pool, count=count) for pool, count in capacity.accelerators]
    return common_pb2.Capacity(cpu_millis=capacity.cpu_millis, memory_mib=capacity.memory_mib, accelerators=amounts)


def artefact_in(wire: common_pb2.ArtefactRef, path: str) -> ArtefactRef:
    name = fields.name_in(wire.name, f"{path}.name")
    return ArtefactRef(name, fields.digest_in(wire.digest, f"{path}.digest"))


def artefact_out(artefact: ArtefactRef) -> common_pb2.ArtefactRef:
    return common_pb2.ArtefactRef(name=artefact.name, digest=artefact.digest)


# --- inventories and zones ------------------------------------------------------------------------------------------


def inventory_in(wire: zone_pb2.Inventory, path: str) -> Inventory:
    """What a zone has. Devices may be counted only in pools that are described, and no more than these have."""
    fields.bounded(wire.pools, POOL_COUNT_MAX, f"{path}.pools")
    fields.bounded(wire.artefacts, ARTEFACT_COUNT_MAX, f"{path}.artefacts")
    pools = tuple(pool_in(pool, f"{path}.pools[{index}]") for index, pool in enumerate(wire.pools))
    fields.distinct([pool.key for pool in pools], f"{path}.pools")
    capacity = capacity_in(wire.capacity, f"{path}.capacity")
    _within_pools(capacity, pools, f"{path}.capacity")
    return Inventory(
        node=fields.network_name_in(wire.node, f"{path}.node"),
        title=fields.text_in(wire.title, f"{path}.title"),
        capacity=capacity,
        pools=pools,
        artefacts=tuple(artefact_in(ref, f"{path}.artefacts[{i}]") for i, ref in enumerate(wire.artefacts)),
        probe_address=wire.probe_address and fields.address_in(wire.probe_address, f"{path}.probe_address"),
        price_millieur_per_hour=fields.range_in(
            wire.price_millieur_per_hour, (0, PRICE_MILLIEUR_MAX), f"{path}.price_millieur_per_hour"
        ),
        source=fields.text_in(wire.source, f"{path}.source"),
        cordoned=wire.cordoned,
        failure_domain=wire.failure_domain and fields.network_name_in(wire.failure_domain, f"{path}.failure_domain"),
        device_watts=fields.range_in(wire.device_watts, (0, DEVICE_WATTS_MAX), f"{path}.device_watts"),
        trouble=fields.text_in(wire.trouble, f"{path}.trouble"),
        wish=wish_in(wire.wish, f"{path}.wish") if wire.HasField("wish") else None,
        refusals=refusals_in(wire.refusals, f"{path}.refusals") if wire.HasField("refusals") else None,
    )


def _within_pools(capacity: Capacity, pools: Sequence[AcceleratorPool], path: str) -> None:
    counts = {pool.key: pool.count for pool in pools}
    for pool, count in capacity.accelerators:
        if pool not in counts:
            raise fields.refused(f"{path}.accelerators", f"{pool!r} is not described{fields.nearest(pool, counts)}")
        if count > counts[pool]:
            raise fields.refused(f"{path}.accelerators", f"{count} of {pool!r}, which has {counts[pool]}")


def inventory_out(inventory: Inventory) -> zone_pb2.Inventory:
    return zone_pb2.Inventory(
        node=inventory.node,
        title=inventory.title,
        capacity=capacity_out(inventory.capacity),
        pools=[pool_out(pool) for pool in inventory.pools],
        artefacts=[artefact_out(artefact) for artefact in inventory.artefacts],
        probe_address=inventory.probe_address,
        price_millieur_per_hour=inventory.price_millieur_per_hour,
        source=inventory.source,
        cordoned=inventory.cordoned,
        failure_domain=inventory.failure_domain,
        device_watts=inventory.device_watts,
        trouble=inventory.trouble,
        wish=None if inventory.wish is None else wish_out(inventory.wish),
        refusals=None if inventory.refusals is None else refusals_out(inventory.refusals),
    )


def zone_in(wire: zone_pb2.Zone, path: str) -> Zone:
    """A zone as a partner offers it; whose it may be is the caller's question."""
    inventory = inventory_in(wire.inventory, f"{path}.inventory")
    free = capacity_in(wire.free, f"{path}.free")
    _within_pools(free, inventory.pools, f"{path}.free")
    return Zone(
        id=zone_name_in(wire.name, f"{path}.name"),
        inventory=inventory,
        free=free,
        facts=facts_in(wire.facts, f"{path}.facts"),
        state=ZONE_STATES.read(wire.state, f"{path}.state"),
        generation=fields.range_in(wire.generation, (0, 2**63 - 1), f"{path}.generation"),
        heard_at_ms=fields.time_ms_in(wire.heard_at_ms, f"{path}.heard_at_ms"),
        upkeep=upkeep_in(wire.upkeep, f"{path}.upkeep") if wire.HasField("upkeep") else Upkeep(),
        origin=_origin_in(wire.origin, f"{path}.origin") if wire.HasField("origin") else None,
    )


def _origin_in(wire: zone_pb2.ZoneOrigin, path: str) -> Origin:
    if not wire.handlers:
        raise fields.refused(f"{path}.handlers", "is empty; leave origin out of a zone that its operator owns")
    return Origin(fields.zone_id_in(wire.zone, f"{path}.zone"), handlers_in(wire.handlers, f"{path}.handlers"))


def _origin_out(origin: Origin) -> zone_pb2.ZoneOrigin:
    return zone_pb2.ZoneOrigin(zone=str(origin.zone), handlers=handlers_out(origin.handlers))


def handlers_in(wires: Sequence[zone_pb2.Handler], path: str) -> tuple[Handler, ...]:
    """Operators through whose hands something goes, with what they say of their legal control."""
    fields.bounded(wires, HANDLER_COUNT_MAX, path)
    fields.distinct([wire.operator for wire in wires], path)
    return tuple(
        Handler(
            fields.name_in(wire.operator, f"{path}[{index}].operator"),
            facts_in(wire.facts, f"{path}[{index}].facts"),
        )
        for index, wire in enumerate(wires)
    )


def handlers_out(handlers: Sequence[Handler]) -> list[zone_pb2.Handler]:
    return [
        zone_pb2.Handler(operator=handler.operator, facts=[fact_out(fact) for fact in handler.facts])
        for handler in handlers
    ]


def zone_out(zone: Zone) -> zone_pb2.Zone:
    return zone_pb2.Zone(
        name=f"operators/{zone.id.operator}/zones/{zone.id.zone}",
        inventory=inventory_out(zone.inventory),
        free=capacity_out(zone.free),
        facts=[fact_out(fact) for fact in zone.facts],
        state=ZONE_STATES.out(zone.state),
        generation=zone.generation,
        heard_at_ms=zone.heard_at_ms,
        upkeep=None if zone.upkeep == Upkeep() else upkeep_out(zone.upkeep),
        origin=None if zone.origin is None else _origin_out(zone.origin),
    )


# --- instances and orders -------------------------------------------------------------------------------------------


def instance_in(wire: instance_pb2.InstanceStatus, path: str) -> InstanceStatus:
    """What an agent reports of an instance; a ready one must say where it answers."""
    state = INSTANCE_STATES.read(wire.state, f"{path}.state")
    if wire.endpoint_url or state is InstanceState.READY:
        fields.url_in(wire.endpoint_url, f"{path}.endpoint_url")
    return InstanceStatus(
        instance=fields.identity_in(wire.instance, f"{path}.instance"),
        claim=fields.identity_in(wire.claim, f"{path}.claim"),
        state=state,
        endpoint_url=wire.endpoint_url,
        restarts=fields.range_in(wire.restarts, (0, 2**31 - 1), f"{path}.restarts"),
        message=fields.message_in(wire.message, f"{path}.message"),
        fencing_token=fields.range_in(wire.fencing_token, (0, 2**63 - 1), f"{path}.fencing_token"),
        started_at_ms=fields.time_ms_in(wire.started_at_ms, f"{path}.started_at_ms"),
    )


def instance_out(status: InstanceStatus) -> instance_pb2.InstanceStatus:
    return instance_pb2.InstanceStatus(
        instance=status.instance,
        claim=status.claim,
        state=INSTANCE_STATES.out(status.state),
        endpoint_url=status.endpoint_url,
        restarts=status.restarts,
        message=status.message,
        fencing_token=status.fencing_token,
        started_at_ms=status.started_at_ms,
    )


def desired_instance_out(order: DesiredInstance) -> instance_pb2.DesiredInstance:
    return instance_pb2.DesiredInstance(
        instance=order.instance,
        claim=order.claim,
        workload=order.workload,
        artefact=artefact_out(order.artefact),
        limits=capacity_out(order.limits),
        fencing_token=order.fencing_token,
        client_ca_pem=order.client_ca_pem,
        client_ids=list(order.client_ids),
        asker=order.asker,
        data=[DATA_CLASSES.out(one) for one in order.data],
    )


def probe_target_out(target: ProbeTarget) -> instance_pb2.ProbeTarget:
    return instance_pb2.ProbeTarget(zone=str(target.zone), address=target.address)

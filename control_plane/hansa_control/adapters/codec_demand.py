"""How a workload may be spread and what loads it, on the wire: bounds, service, preferences, data sources."""

from __future__ import annotations

from collections.abc import Sequence

from hansa.v1 import common_pb2, workload_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_residency import predicate_in
from hansa_control.domain.model import (
    DataClass,
    DataSource,
    Objective,
    Preferences,
    Selector,
    ServiceProfile,
    ServiceTime,
    SoftConstraint,
    SpreadLevel,
    SpreadRule,
    ZoneBounds,
)

REPLICAS_MAX = 1000
SERVICE_TIME_COUNT_MAX = 32
SERVICE_US_MAX = 3_600_000_000
PERCENTILE_US_MAX = 1000 * SERVICE_US_MAX
SCV_PERMILLE_MAX = 100_000
CONCURRENCY_MAX = 10_000
SERVERS_MAX = 10_000
"""Requests at once in all replicas. Loads for so many take 50 ms to work out, and nobody is answered meanwhile."""
MESSAGE_BYTES_MAX = 2**40
TIER_COUNT_MAX = 16
WISH_COUNT_MAX = 32
SELECTOR_COUNT_MAX = 300
WEIGHT_PERMILLE_MAX = 1_000_000
DATA_SOURCE_COUNT_MAX = 32

SPREAD_LEVELS = fields.EnumCodec(SpreadLevel, workload_pb2.SpreadLevel, "SPREAD_LEVEL")
DATA_CLASSES = fields.EnumCodec(DataClass, common_pb2.DataClass, "DATA_CLASS")


# --- replicas, zones, spread ----------------------------------------------------------------------------------------


def replicas_max_in(wire: workload_pb2.WorkloadSpec, path: str) -> int:
    """The most replicas; 0 is the same as the least."""
    most = fields.range_in(wire.replicas_max, (0, REPLICAS_MAX), f"{path}.replicas_max")
    if 0 < most < wire.replicas:
        message = f"{most} is less than replicas; the nearest is {wire.replicas}"
        raise fields.refused(f"{path}.replicas_max", message)
    return most


def zone_bounds_in(wire: workload_pb2.ZoneBounds, replicas_most: int, path: str) -> ZoneBounds:
    """Over how many zones; a zone without a replica would be none, so there are no more than replicas."""
    most = fields.range_in(wire.maximum, (1, REPLICAS_MAX), f"{path}.maximum")
    least = fields.range_in(wire.minimum, (1, REPLICAS_MAX), f"{path}.minimum")
    if most > replicas_most:
        message = f"{most} zones are more than there may be replicas; the nearest is {replicas_most}"
        raise fields.refused(f"{path}.maximum", message)
    if least > most:
        raise fields.refused(f"{path}.minimum", f"{least} is more than maximum; the nearest is {most}")
    return ZoneBounds(least, most)


def spread_in(
    wires: Sequence[workload_pb2.SpreadRule], replicas: int, zones: ZoneBounds, path: str
) -> tuple[SpreadRule, ...]:
    """Rules of which none repeats a level, and each of which some set of zones within the bounds could satisfy."""
    fields.bounded(wires, len(SpreadLevel), path)
    rules = tuple(_spread_rule_in(wire, replicas, zones, f"{path}[{index}]") for index, wire in enumerate(wires))
    fields.distinct([rule.level for rule in rules], path)
    return rules


def _spread_rule_in(wire: workload_pb2.SpreadRule, replicas: int, zones: ZoneBounds, path: str) -> SpreadRule:
    level = SPREAD_LEVELS.read(wire.level, f"{path}.level")
    domains = fields.range_in(wire.domains_min, (1, REPLICAS_MAX), f"{path}.domains_min")
    most = fields.range_in(wire.replicas_per_domain_max, (0, REPLICAS_MAX), f"{path}.replicas_per_domain_max")
    if domains == 1 and not most:
        raise fields.refused(path, "restricts nothing; ask for 2 domains, or bound the replicas in each")
    # Every domain, of whatever level, has a zone of its own.
    if domains > zones.maximum:
        message = f"{domains} domains need as many zones, and zones.maximum is {zones.maximum}; the nearest is"
        raise fields.refused(f"{path}.domains_min", f"{message} {zones.maximum}")
    if most and most * zones.maximum < replicas:
        message = f"{most} in each of at most {zones.maximum} zones hold fewer than {replicas} replicas; the nearest is"
        raise fields.refused(f"{path}.replicas_per_domain_max", f"{message} {-(-replicas // zones.maximum)}")
    return SpreadRule(level, domains, most)


def zone_bounds_out(zones: ZoneBounds) -> workload_pb2.ZoneBounds | None:
    """None for the default, which is left out."""
    if zones == ZoneBounds():
        return None
    return workload_pb2.ZoneBounds(minimum=zones.minimum, maximum=zones.maximum)


def spread_out(rules: Sequence[SpreadRule]) -> list[workload_pb2.SpreadRule]:
    return [_spread_rule_out(rule) for rule in rules]


def _spread_rule_out(rule: SpreadRule) -> workload_pb2.SpreadRule:
    level, most = SPREAD_LEVELS.out(rule.level), rule.replicas_per_domain_max
    return workload_pb2.SpreadRule(level=level, domains_min=rule.domains_min, replicas_per_domain_max=most)


# --- service --------------------------------------------------------------------------------------------------------


def service_in(wire: workload_pb2.ServiceProfile, path: str) -> ServiceProfile:
    """Service times by accelerator, none twice; the one for every zone stands last, for it would hide the others."""
    if not wire.times:
        raise fields.refused(f"{path}.times", "is empty; give at least one service time")
    fields.bounded(wire.times, SERVICE_TIME_COUNT_MAX, f"{path}.times")
    fields.distinct([time.model.casefold() for time in wire.times], f"{path}.times")
    times = tuple(_service_time_in(time, f"{path}.times[{index}]") for index, time in enumerate(wire.times))
    for index, time in enumerate(times[:-1]):
        if not time.model:
            message = "is empty, which stands for every zone and hides those after it; put it last"
            raise fields.refused(f"{path}.times[{index}].model", message)
    return ServiceProfile(
        times=times,
        concurrency=fields.range_in(wire.concurrency, (0, CONCURRENCY_MAX), f"{path}.concurrency") or 1,
        request_bytes=fields.range_in(wire.request_bytes, (0, MESSAGE_BYTES_MAX), f"{path}.request_bytes"),
        response_bytes=fields.range_in(wire.response_bytes, (0, MESSAGE_BYTES_MAX), f"{path}.response_bytes"),
    )


def _service_time_in(wire: workload_pb2.ServiceTime, path: str) -> ServiceTime:
    mean = fields.range_in(wire.mean_us, (1, SERVICE_US_MAX), f"{path}.mean_us")
    p95 = fields.range_in(wire.p95_us, (mean, PERCENTILE_US_MAX), f"{path}.p95_us")
    return ServiceTime(
        model=_model_or_pool_in(wire.model, f"{path}.model"),
        mean_us=mean,
        p95_us=p95,
        p99_us=fields.range_in(wire.p99_us, (p95, PERCENTILE_US_MAX), f"{path}.p99_us"),
        scv_permille=fields.range_in(wire.scv_permille, (0, SCV_PERMILLE_MAX), f"{path}.scv_permille"),
    )


def _model_or_pool_in(value: str, path: str) -> str:
    """A model (``L40S``), a pool (``nvidia/H100/mig-1g.10gb``), or empty for every zone."""
    vendor, slash, rest = value.partition("/")
    if not slash:
        return value and fields.model_in(value, path)
    model, _, profile = rest.partition("/mig-")
    fields.vendor_in(vendor, path)
    fields.model_in(model, path)
    fields.mig_profile_in(profile, path)
    return value


def require_servers_bounded(service: ServiceProfile | None, replicas_most: int, path: str) -> None:
    """Refuses more servers together than a control plane can judge in the time that it has for one request."""
    most = SERVERS_MAX // replicas_most
    if service is not None and service.concurrency > most:
        message = f"{service.concurrency} in each of {replicas_most} replicas are more than {SERVERS_MAX} together"
        raise fields.refused(f"{path}.concurrency", f"{message}; the nearest is {most}")


def service_out(service: ServiceProfile) -> workload_pb2.ServiceProfile:
    return workload_pb2.ServiceProfile(
        times=[
            workload_pb2.ServiceTime(
                model=time.model,
                mean_us=time.mean_us,
                p95_us=time.p95_us,
                p99_us=time.p99_us,
                scv_permille=time.scv_permille,
            )
            for time in service.times
        ],
        concurrency=service.concurrency,
        request_bytes=service.request_bytes,
        response_bytes=service.response_bytes,
    )


# --- preferences and objective --------------------------------------------------------------------------------------


def preferences_in(wire: workload_pb2.Preferences, path: str) -> Preferences:
    """Ordered tiers and wishes; absent is none of either."""
    fields.bounded(wire.ordered, TIER_COUNT_MAX, f"{path}.ordered")
    fields.bounded(wire.soft, WISH_COUNT_MAX, f"{path}.soft")
    return Preferences(
        ordered=tuple(selector_in(tier, f"{path}.ordered[{index}]") for index, tier in enumerate(wire.ordered)),
        soft=tuple(_wish_in(wish, f"{path}.soft[{index}]") for index, wish in enumerate(wire.soft)),
    )


def selector_in(wire: workload_pb2.Selector, path: str) -> Selector:
    """A choice of zones that restricts something. Its predicate compiles; a misspelt one would pick nothing, unsaid."""
    for values, name in ((wire.operators, "operators"), (wire.zones, "zones")):
        fields.bounded(values, SELECTOR_COUNT_MAX, f"{path}.{name}")
        fields.distinct(values, f"{path}.{name}")
    selector = Selector(
        operators=frozenset(fields.name_in(one, f"{path}.operators[{i}]") for i, one in enumerate(wire.operators)),
        countries=frozenset(fields.countries_in(wire.countries, f"{path}.countries")),
        zones=tuple(fields.zone_id_in(one, f"{path}.zones[{i}]") for i, one in enumerate(wire.zones)),
        predicate=wire.predicate and predicate_in(wire.predicate, f"{path}.predicate"),
    )
    if selector == Selector():
        raise fields.refused(path, "restricts nothing; name operators, countries, zones or a predicate")
    return selector


def _wish_in(wire: workload_pb2.SoftConstraint, path: str) -> SoftConstraint:
    weight = fields.range_in(wire.weight_permille, (1, WEIGHT_PERMILLE_MAX), f"{path}.weight_permille")
    return SoftConstraint(selector_in(wire.selector, f"{path}.selector"), weight)


def preferences_out(preferences: Preferences) -> workload_pb2.Preferences | None:
    """None for no preferences, which are left out."""
    if preferences == Preferences():
        return None
    tiers, wishes = map(selector_out, preferences.ordered), map(_wish_out, preferences.soft)
    return workload_pb2.Preferences(ordered=tiers, soft=wishes)


def _wish_out(wish: SoftConstraint) -> workload_pb2.SoftConstraint:
    return workload_pb2.SoftConstraint(selector=selector_out(wish.selector), weight_permille=wish.weight_permille)


def selector_out(selector: Selector) -> workload_pb2.Selector:
    return workload_pb2.Selector(
        operators=sorted(selector.operators),
        countries=sorted(selector.countries),
        zones=[str(zone) for zone in selector.zones],
        predicate=selector.predicate,
    )


def objective_in(wire: workload_pb2.Objective, path: str) -> Objective:
    """What the score weighs; at least one of its terms."""
    bounds = (0, WEIGHT_PERMILLE_MAX)
    objective = Objective(
        latency_permille=fields.range_in(wire.latency_permille, bounds, f"{path}.latency_permille"),
        price_permille=fields.range_in(wire.price_permille, bounds, f"{path}.price_permille"),
        carbon_permille=fields.range_in(wire.carbon_permille, bounds, f"{path}.carbon_permille"),
    )
    if objective == Objective(0, 0, 0):
        raise fields.refused(path, "weighs nothing; give latency, price or carbon a weight, or leave it out")
    return objective


def objective_out(objective: Objective) -> workload_pb2.Objective | None:
    """None for the default, which is left out."""
    if objective == Objective():
        return None
    return workload_pb2.Objective(
        latency_permille=objective.latency_permille,
        price_permille=objective.price_permille,
        carbon_permille=objective.carbon_permille,
    )


# --- data sources ---------------------------------------------------------------------------------------------------


def data_sources_in(wires: Sequence[workload_pb2.DataSource], path: str) -> tuple[DataSource, ...]:
    """Where data is read from or sent to, each by a name of its own."""
    fields.bounded(wires, DATA_SOURCE_COUNT_MAX, path)
    fields.distinct([wire.name for wire in wires], path)
    return tuple(_data_source_in(wire, f"{path}[{index}]") for index, wire in enumerate(wires))


def _data_source_in(wire: workload_pb2.DataSource, path: str) -> DataSource:
    return DataSource(
        name=fields.name_in(wire.name, f"{path}.name"),
        node=fields.network_name_in(wire.node, f"{path}.node"),
        country=fields.country_in(wire.country, f"{path}.country") if wire.country else None,
        data=DATA_CLASSES.read(wire.data, f"{path}.data"),
    )


def data_sources_out(sources: Sequence[DataSource]) -> list[workload_pb2.DataSource]:
    return [_data_source_out(source) for source in sources]


def _data_source_out(source: DataSource) -> workload_pb2.DataSource:
    country, data = source.country or "", DATA_CLASSES.out(source.data)
    return workload_pb2.DataSource(name=source.name, node=source.node, country=country, data=data)

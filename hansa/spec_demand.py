"""What a workload file says of demand: replicas, zones, spread, and what hangs together with them.

    replicas: 2                                               # or {min: 2, max: 6}; optional, 1
    zones: 1                                                  # or {min: 2, max: 4}; over how many; optional, 1
    spread:                                                   # level: zone, failure-domain, operator, country
      - {level: country, at_least: 2}                         # so many different ones at least
      - {level: zone, replicas_at_most: 2}                    # so many replicas in each at most
    price_eur_per_hour_max: 12.5                              # of all replicas together; optional

``spec_service`` has latency and service, ``spec_preferences`` prefer, objective and data_sources. What is as by default
is left out of the message, as the control plane leaves it out, so that what is kept can be compared with a file.
"""

from __future__ import annotations

from collections.abc import Mapping

from hansa.spec_keeping import add_keeping
from hansa.spec_preferences import add_objective, data_sources_of, preferences_of
from hansa.spec_service import latency_of, service_of
from hansa.v1 import workload_pb2
from hansa.yaml_tree import YamlValue

OPTIONAL_KEYS = (
    "replicas",
    "zones",
    "spread",
    "service",
    "prefer",
    "objective",
    "data_sources",
    "price_eur_per_hour_max",
    "priority",
    "disruption",
    "on_partition",
)
"""The keys of a workload file that are read here, besides latency."""

REPLICAS_MAX = 1000
_LEVELS = {
    "zone": workload_pb2.SPREAD_LEVEL_ZONE,
    "failure-domain": workload_pb2.SPREAD_LEVEL_FAILURE_DOMAIN,
    "operator": workload_pb2.SPREAD_LEVEL_OPERATOR,
    "country": workload_pb2.SPREAD_LEVEL_COUNTRY,
}


def add_demand(spec: workload_pb2.WorkloadSpec, values: Mapping[str, YamlValue]) -> None:
    """Reads what stands under ``OPTIONAL_KEYS`` and latency into a spec; raises HansaError with line and field."""
    spec.replicas, spec.replicas_max = _replicas(values)
    zones = _zones(values, spec)
    if (zones.minimum, zones.maximum) != (1, 1):
        spec.zones.CopyFrom(zones)
    if "spread" in values:
        spec.spread.extend(_spread(values["spread"], spec.replicas, zones.maximum))
    if "service" in values:
        spec.service.CopyFrom(service_of(values["service"]))
    spec.latency.CopyFrom(latency_of(values["latency"], has_service="service" in values))
    if "prefer" in values:
        spec.preferences.CopyFrom(preferences_of(values["prefer"]))
    if "objective" in values:
        add_objective(spec, values["objective"])
    if "data_sources" in values:
        spec.data_sources.extend(data_sources_of(values["data_sources"]))
    if "price_eur_per_hour_max" in values:
        spec.price_millieur_per_hour_max = values["price_eur_per_hour_max"].scaled(1000, most=1_000_000_000)
    add_keeping(spec, values)


def _replicas(values: Mapping[str, YamlValue]) -> tuple[int, int]:
    """The least and the most; the most is 0 where it is the same."""
    if "replicas" not in values:
        return 1, 0
    value = values["replicas"]
    if not value.is_mapping:
        return value.integer(1, REPLICAS_MAX), 0
    least, most = _bounds(value)
    return least, most if most > least else 0


def _zones(values: Mapping[str, YamlValue], spec: workload_pb2.WorkloadSpec) -> workload_pb2.ZoneBounds:
    if "zones" not in values:
        return workload_pb2.ZoneBounds(minimum=1, maximum=1)
    value = values["zones"]
    if value.is_mapping:
        least, most = _bounds(value)
    else:
        least = most = value.integer(1, REPLICAS_MAX)
    replicas_most = spec.replicas_max or spec.replicas
    if most > replicas_most:
        raise value.error(f"{most} zones are more than there may be replicas; nearest valid: {replicas_most}")
    return workload_pb2.ZoneBounds(minimum=least, maximum=most)


def _bounds(value: YamlValue) -> tuple[int, int]:
    """``{min: 2, max: 6}``; min may be left out and is 1 then."""
    parts = value.mapping(("max",), ("min",))
    least = parts["min"].integer(1, REPLICAS_MAX) if "min" in parts else 1
    return least, parts["max"].integer(least, REPLICAS_MAX)


def _spread(value: YamlValue, replicas: int, zones_max: int) -> list[workload_pb2.SpreadRule]:
    rules: dict[int, workload_pb2.SpreadRule] = {}
    for entry in value.items():
        parts = entry.mapping(("level",), ("at_least", "replicas_at_most"))
        level = _LEVELS[parts["level"].one_of(_LEVELS)]
        if level in rules:
            raise parts["level"].error(f"level {parts['level'].text()} stands twice")
        rules[level] = _spread_rule(level, entry, parts, (replicas, zones_max))
    if not rules:
        raise value.error("must have at least one rule; leave it out to spread in no special way")
    return list(rules.values())


def _spread_rule(
    level: workload_pb2.SpreadLevel.ValueType, entry: YamlValue, parts: Mapping[str, YamlValue], size: tuple[int, int]
) -> workload_pb2.SpreadRule:
    replicas, zones_max = size
    if not {"at_least", "replicas_at_most"} & parts.keys():
        raise entry.error("restricts nothing; give at_least, replicas_at_most, or both")
    domains = parts["at_least"].integer(1, REPLICAS_MAX) if "at_least" in parts else 1
    if domains > zones_max:
        message = f"{domains} need as many zones, of which there may be {zones_max} (zones: {{max: {zones_max}}})"
        raise parts["at_least"].error(f"{message}; nearest valid: {zones_max}")
    most = parts["replicas_at_most"].integer(1, REPLICAS_MAX) if "replicas_at_most" in parts else 0
    if domains == 1 and not most:
        raise parts["at_least"].error("1 restricts nothing; nearest valid: 2")
    if most and most * zones_max < replicas:
        message = f"{most} in each of at most {zones_max} zones are fewer than {replicas} replicas"
        raise parts["replicas_at_most"].error(f"{message}; nearest valid: {-(-replicas // zones_max)}")
    return workload_pb2.SpreadRule(level=level, domains_min=domains, replicas_per_domain_max=most)

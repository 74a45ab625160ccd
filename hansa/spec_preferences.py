"""What a workload file prefers, weighs, and reads data from.

    prefer:
      ordered: [{operators: [nordavind]}, {countries: [NO, SE]}]        # the first that has a lawful place wins
      wishes:                                                 # weight: what a zone loses that is not like this
        - {countries: [NO], weight: 0.2}
        - {predicate: "zone.renewable_percent > 80", weight: 0.1}
    objective: {latency: 1.0, price: 0.05, carbon: 0}         # what is left out keeps these weights
    data_sources: [{name: plates, node: oslo, country: NO, data: input}]      # without country it is unknown

Zones are chosen by operators, countries (of the site), zones (OPERATOR/ZONE) and predicate (CEL); what is given must
all match.
"""

from __future__ import annotations

from collections.abc import Mapping

from hansa.countries import country_fault
from hansa.errors import HansaError
from hansa.names import checked_id, parse_zone
from hansa.policy_file import predicate_text
from hansa.v1 import common_pb2, workload_pb2
from hansa.yaml_tree import YamlValue

_SELECTOR_KEYS = ("operators", "countries", "zones", "predicate")
_DATA = {name.removeprefix("DATA_CLASS_").lower(): number for name, number in common_pb2.DataClass.items() if number}
_WEIGHTS = {"latency": 1_000, "price": 50, "carbon": 0}
"""Thousandths; the control plane's defaults."""


def preferences_of(value: YamlValue) -> workload_pb2.Preferences:
    """Ordered tiers and wishes."""
    parts = value.mapping((), ("ordered", "wishes"))
    preferences = workload_pb2.Preferences()
    if "ordered" in parts:
        for entry in parts["ordered"].items():
            preferences.ordered.append(_selector(entry, entry.mapping((), _SELECTOR_KEYS)))
    if "wishes" in parts:
        for entry in parts["wishes"].items():
            wish = entry.mapping(("weight",), _SELECTOR_KEYS)
            weight_permille = wish["weight"].scaled(1000, most=1000)
            selector = _selector(entry, wish)
            preferences.soft.append(workload_pb2.SoftConstraint(selector=selector, weight_permille=weight_permille))
    if not (preferences.ordered or preferences.soft):
        raise value.error("prefers nothing; give ordered or wishes, or leave it out")
    return preferences


def _selector(place: YamlValue, parts: Mapping[str, YamlValue]) -> workload_pb2.Selector:
    selector = workload_pb2.Selector()
    if "operators" in parts:
        selector.operators.extend(sorted({_id(entry) for entry in _some(parts["operators"])}))
    if "countries" in parts:
        selector.countries.extend(sorted({_country(entry) for entry in _some(parts["countries"])}))
    if "zones" in parts:
        selector.zones.extend(dict.fromkeys(_zone(entry) for entry in _some(parts["zones"])))
    if "predicate" in parts:
        selector.predicate = predicate_text(parts["predicate"])
    if not selector.ByteSize():
        raise place.error(f"chooses no zones; give {', '.join(_SELECTOR_KEYS[:-1])} or {_SELECTOR_KEYS[-1]}")
    return selector


def _some(value: YamlValue) -> list[YamlValue]:
    entries = list(value.items())
    if not entries:
        raise value.error("must name at least one; leave it out to choose any")
    return entries


def add_objective(spec: workload_pb2.WorkloadSpec, value: YamlValue) -> None:
    """The weights of the score, if they are not as by default."""
    parts = value.mapping((), tuple(_WEIGHTS))
    weights = {key: parts[key].scaled(1000, least=0, most=1000) if key in parts else _WEIGHTS[key] for key in _WEIGHTS}
    if not any(weights.values()):
        raise value.error("weighs nothing; give latency, price or carbon a weight")
    if weights != _WEIGHTS:
        spec.objective.CopyFrom(
            workload_pb2.Objective(**{f"{key}_permille": weight for key, weight in weights.items()})
        )


def data_sources_of(value: YamlValue) -> list[workload_pb2.DataSource]:
    """Where data is read from or sent to, besides the users; each by a name of its own."""
    sources: dict[str, workload_pb2.DataSource] = {}
    for entry in _some(value):
        parts = entry.mapping(("name", "node", "data"), ("country",))
        name = _id(parts["name"])
        if name in sources:
            raise parts["name"].error(f"data source {name!r} stands twice")
        country = _country(parts["country"]) if "country" in parts else ""
        data = _DATA[parts["data"].one_of(_DATA)]
        sources[name] = workload_pb2.DataSource(name=name, node=_id(parts["node"]), country=country, data=data)
    return list(sources.values())


def _country(value: YamlValue) -> str:
    if fault := country_fault(value.text()):
        raise value.error(fault)
    return value.text()


def _id(value: YamlValue) -> str:
    try:
        return checked_id(value.text(), value.path)
    except HansaError as error:
        raise value.error(error.message) from error


def _zone(value: YamlValue) -> str:
    try:
        return parse_zone(value.text(), field=value.path).short
    except HansaError as error:
        raise value.error(error.message) from error

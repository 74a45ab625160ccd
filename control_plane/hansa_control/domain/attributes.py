"""What a predicate may read of a zone: the documented attributes, with their types, and their values at one time.

An attribute whose value is not known is absent, so that reading it fails and ``has`` says so. What is said of a zone or
its owner (country, control, law, personnel, energy) is absent where nothing is proved now, where two claims contradict
each other, and where a claim has lapsed that no valid one restates. Proofs (clearances, attestations, certifications)
are the valid ones; absent where there is none.

| attribute | type | what it is |
|---|---|---|
| zone.operator | string | name of the zone's operator |
| zone.name | string | name of the zone |
| zone.node | string | network node that the zone is attached to |
| zone.failure_domain | string | failure domain; absent if none is given |
| zone.price_eur_per_hour | number | price of the zone, euro an hour |
| zone.models | list(string) | models of its accelerators, sorted, each once; empty if it has none |
| zone.memory_gib_max | number | memory of its largest accelerator, GiB; absent if it has none |
| zone.country | string | country of the site |
| zone.headquarters_country | string | country of the owner's headquarters |
| zone.parent_countries | list(string) | countries of the owner's ultimate parents |
| zone.foreign_share_percent | number | share of the owner held from outside its own country |
| zone.laws | list(string) | laws of third countries that reach the owner, in capitals; empty if declared free of such |
| zone.operation_countries | list(string) | countries from which the zone is operated |
| zone.support_countries | list(string) | countries from which the zone is supported |
| zone.clearances | list(string) | clearances that everybody who operates the zone holds, in capitals |
| zone.attestations | list(string) | attested execution environments, in capitals |
| zone.certifications | list(string) | schemes of its certificates, in capitals |
| zone.carbon_gco2_per_kwh | int | carbon intensity of its energy |
| zone.renewable_percent | int | share of renewable energy |

An int is compared with whole numbers; a number with whole numbers and decimals.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from hansa_control.domain.claims import Claims, claims_of, label
from hansa_control.domain.figures import percentage, whole_number
from hansa_control.domain.model import Fact, FactKind, Zone

STRING = "string"
INT = "int"
NUMBER = "number"
STRINGS = "list(string)"

TYPES: Mapping[str, str] = {
    "operator": STRING,
    "name": STRING,
    "node": STRING,
    "failure_domain": STRING,
    "price_eur_per_hour": NUMBER,
    "models": STRINGS,
    "memory_gib_max": NUMBER,
    "country": STRING,
    "headquarters_country": STRING,
    "parent_countries": STRINGS,
    "foreign_share_percent": NUMBER,
    "laws": STRINGS,
    "operation_countries": STRINGS,
    "support_countries": STRINGS,
    "clearances": STRINGS,
    "attestations": STRINGS,
    "certifications": STRINGS,
    "carbon_gco2_per_kwh": INT,
    "renewable_percent": INT,
}

KINDS: Mapping[str, FactKind] = {
    "country": FactKind.SITE_COUNTRY,
    "headquarters_country": FactKind.HEADQUARTERS_COUNTRY,
    "parent_countries": FactKind.ULTIMATE_PARENT_COUNTRY,
    "foreign_share_percent": FactKind.FOREIGN_SHARE_PERCENT,
    "laws": FactKind.EXTRATERRITORIAL_LAW,
    "operation_countries": FactKind.OPERATION_COUNTRY,
    "support_countries": FactKind.SUPPORT_COUNTRY,
    "clearances": FactKind.PERSONNEL_CLEARANCE,
    "attestations": FactKind.ATTESTATION,
    "certifications": FactKind.CERTIFICATION,
    "carbon_gco2_per_kwh": FactKind.CARBON_GCO2_PER_KWH,
    "renewable_percent": FactKind.RENEWABLE_PERCENT,
}
"""The facts that attributes rest on; the others rest on the inventory."""

_PROOFS = frozenset({"clearances", "attestations", "certifications"})
_FIGURES = frozenset({"carbon_gco2_per_kwh", "renewable_percent"})
_NO_LAW = "NONE"

Value: TypeAlias = str | int | float | list[str]
Values: TypeAlias = dict[str, Value]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ZoneAttributes:
    """What predicates read of a zone besides its facts: the part of its inventory that capacity does not change."""

    operator: str
    name: str
    node: str
    failure_domain: str
    price_millieur_per_hour: int
    models: tuple[str, ...]
    memory_mib_max: int


def attributes_of(zone: Zone) -> ZoneAttributes:
    """What predicates read of a zone besides its facts; equal for two zones that no predicate tells apart by it."""
    inventory = zone.inventory
    return ZoneAttributes(
        operator=zone.id.operator,
        name=zone.id.zone,
        node=inventory.node,
        failure_domain=inventory.failure_domain,
        price_millieur_per_hour=inventory.price_millieur_per_hour,
        models=tuple(sorted({pool.model for pool in inventory.pools})),
        memory_mib_max=max((pool.memory_mib for pool in inventory.pools), default=0),
    )


def values_of(
    attributes: ZoneAttributes, facts: tuple[Fact, ...], now_ms: int, names: Collection[str] = TYPES.keys()
) -> Values:
    """The values of the attributes ``names`` that are known at ``now_ms``, by name without ``zone.``."""
    values: Values = {}
    for name in names:
        kind = KINDS.get(name)
        value = (
            _inventory_value(attributes, name) if kind is None else _fact_value(name, claims_of(facts, kind, now_ms))
        )
        if value is not None:
            values[name] = value
    return values


def _inventory_value(attributes: ZoneAttributes, name: str) -> Value | None:
    if name == "price_eur_per_hour":
        return attributes.price_millieur_per_hour / 1_000
    if name == "models":
        return list(attributes.models)
    if name == "memory_gib_max":
        return attributes.memory_mib_max / 1_024 or None
    text: str = getattr(attributes, name)
    return text or None


def _fact_value(name: str, claims: Claims) -> Value | None:
    """What facts of one kind come to; None where that is not known."""
    if name in _PROOFS:
        return sorted({label(value) for value in claims.values()}) or None
    if name in _FIGURES:
        return _only({whole_number(value) for value in claims.values()})
    if claims.expired or claims.unproved or not claims.valid:
        return None
    if name == "laws":
        return _laws(claims)
    if name == "foreign_share_percent":
        share = _only({percentage(value) for value in claims.values()})
        return None if share is None else float(share)
    return claims.values() if TYPES[name] == STRINGS else _only(set(claims.values()))


def _laws(claims: Claims) -> list[str] | None:
    laws = sorted({label(value) for value in claims.values()})
    if laws == [_NO_LAW]:
        return []
    return None if _NO_LAW in laws else laws


def _only(values: set[T]) -> T | None:
    return next(iter(values)) if len(values) == 1 else None

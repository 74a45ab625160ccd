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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hansa_control.domain.claims import claims_of, label
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

_PROOFS = {
    "clearances": FactKind.PERSONNEL_CLEARANCE,
    "attestations": FactKind.ATTESTATION,
    "certifications": FactKind.CERTIFICATION,
}
_COUNTRY_LISTS = {
    "parent_countries": FactKind.ULTIMATE_PARENT_COUNTRY,
    "operation_countries": FactKind.OPERATION_COUNTRY,
    "support_countries": FactKind.SUPPORT_COUNTRY,
}
_COUNTRIES = {"country": FactKind.SITE_COUNTRY, "headquarters_country": FactKind.HEADQUARTERS_COUNTRY}
_FIGURES = {"carbon_gco2_per_kwh": FactKind.CARBON_GCO2_PER_KWH, "renewable_percent": FactKind.RENEWABLE_PERCENT}
_NO_LAW = "NONE"

Value: TypeAlias = str | int | float | list[str]
Values: TypeAlias = dict[str, Value]


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


def values_of(attributes: ZoneAttributes, facts: tuple[Fact, ...], now_ms: int) -> Values:
    """The values of all attributes that are known at ``now_ms``, without ``zone.``."""
    values: Values = {
        "operator": attributes.operator,
        "name": attributes.name,
        "node": attributes.node,
        "price_eur_per_hour": attributes.price_millieur_per_hour / 1_000,
        "models": list(attributes.models),
    }
    if attributes.failure_domain:
        values["failure_domain"] = attributes.failure_domain
    if attributes.memory_mib_max:
        values["memory_gib_max"] = attributes.memory_mib_max / 1_024
    for name, kind in _PROOFS.items():
        if proved := claims_of(facts, kind, now_ms).values():
            values[name] = sorted({label(value) for value in proved})
    values.update(_stated(facts, now_ms))
    return values


def _stated(facts: tuple[Fact, ...], now_ms: int) -> Values:
    """What is said of the zone and its owner, where it is known without doubt."""
    values: Values = {}
    for name, kind in _COUNTRY_LISTS.items():
        if countries := _undoubted(facts, kind, now_ms):
            values[name] = countries
    for name, kind in _COUNTRIES.items():
        countries = _undoubted(facts, kind, now_ms)
        if len(countries) == 1:
            values[name] = countries[0]
    for name, kind in _FIGURES.items():
        figures = {whole_number(value) for value in claims_of(facts, kind, now_ms).values()}
        if len(figures) == 1 and (figure := figures.pop()) is not None:
            values[name] = figure
    shares = {percentage(value) for value in _undoubted(facts, FactKind.FOREIGN_SHARE_PERCENT, now_ms)}
    if len(shares) == 1 and (share := shares.pop()) is not None:
        values["foreign_share_percent"] = float(share)
    laws = sorted({label(value) for value in _undoubted(facts, FactKind.EXTRATERRITORIAL_LAW, now_ms)})
    if laws and (_NO_LAW not in laws or laws == [_NO_LAW]):
        values["laws"] = [law for law in laws if law != _NO_LAW]
    return values


def _undoubted(facts: tuple[Fact, ...], kind: FactKind, now_ms: int) -> list[str]:
    claims = claims_of(facts, kind, now_ms)
    return [] if claims.expired or claims.unproved else claims.values()

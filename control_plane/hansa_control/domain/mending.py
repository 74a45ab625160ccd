"""Replacing one part of a workload in several zones: which zones may take it beside those that go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hansa_control.domain.model import Choice, SpreadRule, WorkloadSpec, Zone, ZoneId
from hansa_control.domain.planning import domain_of


class Standing(NamedTuple):
    """So many replicas in a zone."""

    zone: Zone
    replicas: int


def stand_ins(
    spec: WorkloadSpec,
    kept: Sequence[Standing],
    replicas: int,
    found: tuple[Iterable[Choice], Mapping[ZoneId, Zone]],
    now_ms: int,
) -> list[Choice]:
    """The choices, best first, that may take the replicas of a lost part so that spread and price of the whole hold.

    ``found`` are the choices for the part alone, and zones by id.
    """
    choices, zones = found
    taken = {part.zone.id for part in kept}
    able = []
    for choice in choices:
        zone = zones.get(choice.zone)
        if zone is None or choice.zone in taken:
            continue
        together = (*kept, Standing(zone, replicas))
        if _is_within_price(spec, together) and all(_is_spread(rule, together, now_ms) for rule in spec.spread):
            able.append(choice)
    return able


def _is_spread(rule: SpreadRule, parts: Sequence[Standing], now_ms: int) -> bool:
    held: dict[str, int] = {}
    for part in parts:
        domain = domain_of(rule.level, part.zone, now_ms)
        held[domain] = held.get(domain, 0) + part.replicas
    most = rule.replicas_per_domain_max
    return len(held) >= rule.domains_min and (not most or max(held.values()) <= most)


def _is_within_price(spec: WorkloadSpec, parts: Sequence[Standing]) -> bool:
    devices = spec.accelerator.count if spec.accelerator is not None else 1
    price = sum(part.zone.inventory.price_millieur_per_hour * part.replicas * devices for part in parts)
    return not spec.price_millieur_per_hour_max or price <= spec.price_millieur_per_hour_max

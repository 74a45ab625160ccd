"""What comes of a plan: how long users wait, at every percentile and by its parts, what it costs and what it emits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hansa_control.domain.feasibility import Verdicts
from hansa_control.domain.joint_problem import SHARE_UNITS
from hansa_control.domain.model import (
    AcceleratorPool,
    Assignment,
    Plan,
    PredictedLatency,
    ZoneId,
)
from hansa_control.domain.scoring import (
    carbon_gco2_per_kwh,
    devices_per_replica,
)
from hansa_control.domain.service import service_us_at, station_of, wait_us
from hansa_control.domain.units import PERCENTILES


class Site(NamedTuple):
    """A zone's part before it is put into words: its row, replicas, and share of each access point, thousandths."""

    row: int
    replicas: int
    share_permille: tuple[int, ...]


def plan_of(verdicts: Verdicts, sites: Sequence[Site], fallbacks: Sequence[ZoneId | None], objective: float) -> Plan:
    """The plan that gives these sites their parts, with a fallback for each."""
    assignments = tuple(_assignment(verdicts, site, other) for site, other in zip(sites, fallbacks, strict=True))
    devices = devices_per_replica(verdicts.question.spec)
    standing = verdicts.columns.standing
    price = sum(int(standing.price_millieur_per_hour[site.row]) * devices * site.replicas for site in sites)
    return Plan(assignments, _predictions(verdicts, sites), price, *_energy(verdicts, sites, devices), objective)


def _assignment(verdicts: Verdicts, site: Site, fallback: ZoneId | None) -> Assignment:
    able = verdicts.reach.admissible[:, site.row].tolist()
    takes = [share > 0 for share in site.share_permille] if any(site.share_permille) else able
    served = [point for point, takes_it in enumerate(takes) if takes_it]
    latencies = verdicts.reach.latencies(site.row, served)
    zone = verdicts.columns.zones[site.row].id
    return Assignment(zone, site.replicas, verdicts.pool(site.row), site.share_permille, latencies, fallback)


def _energy(verdicts: Verdicts, sites: Sequence[Site], devices: int) -> tuple[int | None, int | None]:
    """Watts under load and milligrams of CO2 equivalent an hour; None where a zone's part is unknown."""
    if verdicts.question.spec.accelerator is None:
        return None, None
    watts = [int(verdicts.columns.standing.device_watts[site.row]) * devices * site.replicas for site in sites]
    if not all(watts):
        return None, None
    grams = carbon_gco2_per_kwh(verdicts)
    intensity = [int(grams[site.row]) for site in sites]
    carbon = None if min(intensity) < 0 else sum(w * g for w, g in zip(watts, intensity, strict=True))
    return sum(watts), carbon


def _predictions(verdicts: Verdicts, sites: Sequence[Site]) -> tuple[PredictedLatency, ...]:
    """What users of each access point feel: at every percentile the slowest of the zones that serve them, so that no
    mixture of zones is slower. Round trips other than at the budget's percentile are of the same path.
    """
    spec = verdicts.question.spec
    queues = [_queue(verdicts, site) for site in sites]
    found = []
    for point, access in enumerate(spec.access):
        parts = [
            _parts(verdicts.reach.rtts_along(point, site.row), queue)
            for site, queue in zip(sites, queues, strict=True)
            if site.share_permille[point]
        ]
        at = {p: max(sum(part[p]) for part in parts) for p in PERCENTILES}
        worst = max((part[spec.latency.percentile] for part in parts), key=sum)
        found.append(PredictedLatency(access.access_point, at[50], at[95], at[99], *worst))
    return tuple(found)


def _load(verdicts: Verdicts, site: Site) -> int:
    demand = [at.demand_millirps for at in verdicts.question.spec.access]
    return -(-sum(d * share for d, share in zip(demand, site.share_permille, strict=True)) // SHARE_UNITS)


def _queue(verdicts: Verdicts, site: Site) -> dict[int, tuple[int, int]]:
    """Wait and service in a zone, by percentile: the same for whoever is served there."""
    spec = verdicts.question.spec
    service = verdicts.service.times_of(pool_at(verdicts, site.row)).service if spec.service else None
    if service is None or spec.service is None:
        return dict.fromkeys(PERCENTILES, (0, 0))
    station, load_millirps = station_of(spec.service, service, site.replicas), _load(verdicts, site)
    return {p: (wait_us(station, load_millirps, p), service_us_at(service, p)) for p in PERCENTILES}


def _parts(way_us: dict[int, int], queue_us: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int, int]]:
    """Way, wait and service of an access point in a zone, by percentile."""
    return {p: (way_us[p], *queue_us[p]) for p in PERCENTILES}


def pool_at(verdicts: Verdicts, row: int) -> AcceleratorPool | None:
    """The pool that would be used in a zone; None if none is needed."""
    at = int(verdicts.accelerators.pool_row[row])
    return verdicts.columns.standing.pools.at(at) if at >= 0 else None

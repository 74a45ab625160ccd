"""Soft tests: which feasible zone is best. The only place with floats; greater is better.

A zone's score depends on that zone and the request alone, so zones that come, go or fail never reorder the others.
"""

from __future__ import annotations

from hansa_control.domain.feasibility import FilterOutcome
from hansa_control.domain.model import ScoreTerm, WorkloadSpec, Zone, ZoneState

LATENCY_WEIGHT = 1.0
PRICE_WEIGHT_PER_EURO_HOUR = 0.05
WASTE_WEIGHT = 0.2
OWN_ZONE_BONUS = 0.05
SILENCE_PENALTY = 1.0


def score_terms(spec: WorkloadSpec, zone: Zone, outcome: FilterOutcome, home: str) -> tuple[ScoreTerm, ...]:
    """The terms of a feasible zone's score, each a contribution; home is the operator that decides."""
    return (
        ScoreTerm("latency", -LATENCY_WEIGHT * _budget_share(spec, outcome)),
        ScoreTerm("price", -PRICE_WEIGHT_PER_EURO_HOUR * _euro_per_replica_hour(spec, zone)),
        ScoreTerm("pool_fit", -WASTE_WEIGHT * _waste(spec, zone, outcome.pool)),
        ScoreTerm("own_zone", OWN_ZONE_BONUS if zone.id.operator == home else 0.0),
        ScoreTerm("heard", -SILENCE_PENALTY if zone.state is ZoneState.SILENT else 0.0),
    )


def total(terms: tuple[ScoreTerm, ...]) -> float:
    """The score that terms add up to, rounded so that it compares and prints the same everywhere."""
    return round(sum(term.value for term in terms), 9)


def _budget_share(spec: WorkloadSpec, outcome: FilterOutcome) -> float:
    """Mean round-trip time, weighted by demand, as a share of the budget; without demand all count alike."""
    demand = {at.access_point: at.demand_millirps for at in spec.access}
    if not any(demand.values()):
        demand = dict.fromkeys(demand, 1)
    weighted = sum(found.rtt_us * demand[found.access_point] for found in outcome.latencies)
    weight = sum(demand[found.access_point] for found in outcome.latencies)
    return weighted / (max(weight, 1) * max(spec.latency.rtt_us_max, 1))


def _euro_per_replica_hour(spec: WorkloadSpec, zone: Zone) -> float:
    """Price of a replica: of its devices, or of the replica itself where it needs none."""
    devices = spec.accelerator.count if spec.accelerator is not None else 1
    return zone.inventory.price_millieur_per_hour * devices / 1_000


def _waste(spec: WorkloadSpec, zone: Zone, pool: str) -> float:
    """Share of the device's memory that the need leaves idle; 0 where no accelerator is needed."""
    if spec.accelerator is None:
        return 0.0
    memory_mib = next((at.memory_mib for at in zone.inventory.pools if at.key == pool), 0)
    return 1.0 - min(1.0, spec.accelerator.memory_mib_min / memory_mib) if memory_mib else 0.0

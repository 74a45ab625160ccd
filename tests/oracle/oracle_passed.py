"""What is said to hold of a zone that is chosen: each constraint that is asked for, and as often as it is asked."""

from __future__ import annotations

from collections import Counter

from hansa_control.domain.model import DataClass, ResidencyPolicy, Zone
from oracle_paths import Paths
from oracle_worlds import World

PLACE = "Location"
"""What could have refuted a zone's place is not counted here: its own tests do."""


def holding(world: World, zone: Zone, paths: Paths) -> Counter[str]:
    """How many findings of each constraint a zone has of which everything is in order."""
    spec = world.spec
    found = Counter({"ZoneState": 1, "ArtefactAllowed": 1, "CpuCapacity": 1, "MemoryCapacity": 1})
    found += _of_law(spec.residency)
    found["SiteResidency"] += sum(
        source.data in spec.residency.applies_to for source in spec.data_sources if spec.residency.site is not None
    )
    if spec.accelerator is not None:
        found.update({"GpuModel": 1, "GpuMemory": 1, "GpuCapacity": 1})
    if spec.service is not None and spec.zones.maximum == 1:
        found["ResponseBound" if spec.latency.response_us_max else "QueueStability"] += 1
    if spec.price_millieur_per_hour_max:
        found["PriceBound"] += 1
    return +(found + _of_paths(world, zone, paths))


def _of_law(policy: ResidencyPolicy) -> Counter[str]:
    found = Counter({"SiteResidency": int(policy.site is not None), "Predicate": len(policy.predicates)})
    if policy.legal is not None:
        share = policy.legal.foreign_share_percent_max is not None
        found["LegalControl"] = 2 + bool(policy.legal.laws_denied) + share
    if policy.personnel is not None:
        found["Personnel"] = 2 + len(policy.personnel.clearances_required)
    if policy.attestation is not None:
        found["Attestation"] = len(policy.attestation.required)
    if policy.certification is not None:
        found["Certification"] = len(policy.certification.required)
    if policy.energy is not None:
        bounds = (policy.energy.carbon_gco2_per_kwh_max, policy.energy.renewable_percent_min)
        found["Energy"] = sum(bound is not None for bound in bounds)
    return found


def _of_paths(world: World, zone: Zone, paths: Paths) -> Counter[str]:
    """Of a zone that may be one of several, only if every access point gets there, and in time."""
    spec, found = world.spec, Counter[str]()
    rule, kinds = spec.residency.transit, spec.residency.applies_to
    rtts = [paths.rtt_us(at, zone) for at in spec.access]
    if None not in rtts:
        found["LatencyBound"] = int(max(rtt for rtt in rtts if rtt is not None) <= spec.latency.rtt_us_max)
        found["TransitResidency"] = int(rule is not None and bool(kinds & {DataClass.INPUT, DataClass.OUTPUT}))
    if rule is not None and any(source.data in kinds for source in spec.data_sources):
        found["TransitResidency"] += 1
    return found

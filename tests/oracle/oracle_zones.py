"""What the documents say of a zone's state, capacity, service, price and score, and so of a whole decision.

Written from the docstrings of the values and of the terms; Erlang's formula is summed up directly.
"""

from __future__ import annotations

from math import ceil, factorial, log
from typing import NamedTuple

from hansa_control.domain.model import (
    AcceleratorPool,
    FactKind,
    Intake,
    Reason,
    Selector,
    ServiceProfile,
    ServiceTime,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from oracle_law import Fault, law_faults, number_of, of_kind, predicate
from oracle_paths import Paths
from oracle_refusals import refused_by_site
from oracle_worlds import World

R = Reason


class Capable(NamedTuple):
    """What a zone's capacity comes to: why not, and the pool and replicas that would be used."""

    faults: frozenset[Fault]
    pool: AcceleratorPool | None
    replicas: int


class Verdict(NamedTuple):
    """What there is to say of a zone: every fault, and what it would be chosen with."""

    faults: frozenset[Fault]
    pool: str
    replicas: int
    terms: dict[str, float]

    @property
    def score(self) -> float:
        """All terms together."""
        return sum(self.terms.values())


def expected(world: World) -> dict[ZoneId, Verdict]:
    """The verdict on every zone of a world, excluded ones too."""
    paths, found = Paths(world), {}
    for zone in world.zones:
        if zone.id not in found:
            found[zone.id] = _verdict(world, zone, paths)
    return found


def _verdict(world: World, zone: Zone, paths: Paths) -> Verdict:
    able = capable(world, zone, paths)
    faults = law_faults(world, zone) | paths.faults(zone) | able.faults | _state_faults(world.spec, zone)
    faults |= {("SiteConsent", reason) for reason in refused_by_site(world.spec, zone, world.now_ms)}
    terms = _terms(world, zone, paths, able) if not faults else {}
    return Verdict(frozenset(faults), able.pool.key if able.pool else "", able.replicas, terms)


def _state_faults(spec: WorkloadSpec, zone: Zone) -> set[Fault]:
    gone = {
        ZoneState.LOST: R.ZONE_LOST,
        ZoneState.STALE: R.OFFER_STALE,
        ZoneState.AGREEMENT_SUSPENDED: R.AGREEMENT_SUSPENDED,
        ZoneState.AGREEMENT_ENDING: R.AGREEMENT_ENDING,
        ZoneState.AGREEMENT_UNKNOWN: R.AGREEMENT_UNKNOWN,
    }
    closed = {
        Intake.DRAINING: R.ZONE_DRAINING,
        Intake.MAINTENANCE: R.ZONE_MAINTENANCE,
        Intake.UNSTEADY: R.ZONE_UNSTEADY,
        Intake.CORDONED: R.ZONE_CORDONED,
    }
    found: set[Fault] = set()
    if zone.state in gone:
        found.add(("ZoneState", gone[zone.state]))
    if zone.upkeep.intake in closed:
        found.add(("ZoneState", closed[zone.upkeep.intake]))
    elif zone.inventory.cordoned:
        found.add(("ZoneState", R.ZONE_CORDONED))
    if not any(form in zone.inventory.artefacts for form in (spec.artefact, *spec.artefact_forms)):
        found.add(("ArtefactAllowed", R.ARTEFACT_NOT_ALLOWED))
    return found


# --- capacity and service --------------------------------------------------------------------------------------------


def accepts(name: str, pool: AcceleratorPool) -> bool:
    """Whether a name (model, vendor/model or key, capitals apart) means a pool."""
    names = {pool.model, f"{pool.vendor}/{pool.model}", pool.key}
    return name.lower() in {known.lower() for known in names}


def capable(world: World, zone: Zone, paths: Paths) -> Capable:
    """Whether a zone has what the replicas need, and enough of it to serve in time."""
    spec, need, found = world.spec, world.spec.accelerator, set[Fault]()
    least = 1 if spec.zones.maximum > 1 else spec.replicas
    pool: AcceleratorPool | None = None
    replicas = least
    if need is None:
        answer = _needed(spec, None, _slowest_us(spec, zone, paths))
        if isinstance(answer, int):
            replicas = answer
        else:
            found.add(answer)
    else:
        pools = sorted(zone.inventory.pools, key=lambda x: (x.memory_mib, x.key))
        right = [x for x in pools if not need.any_of or any(accepts(name, x) for name in need.any_of)]
        large = [x for x in right if x.memory_mib >= need.memory_mib_min]
        if not large:
            found.add(("GpuMemory", R.GPU_MEMORY_TOO_SMALL) if right else ("GpuModel", R.GPU_MODEL_MISSING))
            found.add(("GpuCapacity", R.NOT_EVALUATED))
            if not right:
                found.add(("GpuMemory", R.NOT_EVALUATED))
        else:
            answers = [(x, _needed(spec, x, _slowest_us(spec, zone, paths))) for x in large]
            enough = [(x, n) for x, n in answers if isinstance(n, int)]
            free = dict(zone.free.accelerators)
            roomy = [(x, n) for x, n in enough if not x.node_count_max or x.node_count_max >= need.count]
            fitting = [(x, n) for x, n in roomy if free.get(x.key, 0) >= need.count * n]
            if fitting:
                pool, replicas = fitting[0]
            elif enough:
                found.add(("GpuCapacity", R.GPU_EXHAUSTED))
            else:
                # What devices would have to be free depends on how many replicas would do, and none would.
                found |= {fault for _, fault in answers if not isinstance(fault, int)}
                found.add(("GpuCapacity", R.NOT_EVALUATED))
    if spec.cpu_millis * replicas > zone.free.cpu_millis:
        found.add(("CpuCapacity", R.CPU_EXHAUSTED))
    if spec.memory_mib * replicas > zone.free.memory_mib:
        found.add(("MemoryCapacity", R.MEMORY_EXHAUSTED))
    price = zone.inventory.price_millieur_per_hour * (need.count if need else 1) * replicas
    if 0 < spec.price_millieur_per_hour_max < price:
        found.add(("PriceBound", R.PRICE_EXCEEDED))
    return Capable(frozenset(found), pool, replicas)


def _slowest_us(spec: WorkloadSpec, zone: Zone, paths: Paths) -> int:
    """The slowest way; nothing where one is cut off, since the zone is refused for that."""
    rtts = [paths.rtt_us(at, zone) for at in spec.access]
    return 0 if None in rtts else max(rtt for rtt in rtts if rtt is not None)


def _needed(spec: WorkloadSpec, pool: AcceleratorPool | None, way_us: int) -> int | Fault:
    """The least replicas that serve in time on a pool, or why no number that is allowed does."""
    if spec.service is None or spec.zones.maximum > 1:
        return 1 if spec.zones.maximum > 1 else spec.replicas
    time = time_on(spec.service, pool)
    if time is None:
        return "ServiceTimeKnown", R.SERVICE_TIME_UNKNOWN
    rate = sum(at.demand_millirps for at in spec.access)
    served_us = {50: time.mean_us, 95: time.p95_us, 99: time.p99_us}[spec.latency.percentile]
    most, is_stable = max(spec.replicas, spec.replicas_max), False
    for replicas in range(spec.replicas, most + 1):
        wait_us = waiting_us(rate, time, replicas * spec.service.concurrency, spec.latency.percentile)
        if wait_us is None:
            continue
        is_stable = True
        bound = spec.latency.response_us_max
        if not bound or way_us + wait_us + served_us <= bound:
            return replicas
    return ("ResponseBound", R.LATENCY_EXCEEDED) if is_stable else ("QueueStability", R.UNSTABLE)


def time_on(profile: ServiceProfile, pool: AcceleratorPool | None) -> ServiceTime | None:
    """The first service time that is for a pool."""
    fitting = (x for x in profile.times if not x.model or (pool is not None and accepts(x.model, pool)))
    return next(fitting, None)


def waiting_us(rate_millirps: int, time: ServiceTime, servers: int, percentile: int) -> int | None:
    """Erlang C with the factor of Allen and Cunneen; None where the queue grows without end.

    The median's part is the mean; of the others the wait is taken at half the tail.
    """
    if rate_millirps * time.mean_us >= servers * 1_000_000_000:
        return None
    load = rate_millirps * time.mean_us / 1_000_000_000
    last = load**servers / factorial(servers) * servers / (servers - load)
    waits = last / (sum(load**n / factorial(n) for n in range(servers)) + last)
    mean_us = time.mean_us / (servers - load) * (1 + time.scv_permille / 1_000) / 2
    if percentile == 50:
        return ceil(waits * mean_us)
    late = {95: 0.025, 99: 0.005}[percentile]
    return ceil(mean_us * log(waits / late)) if waits > late else 0


# --- score -----------------------------------------------------------------------------------------------------------


def _terms(world: World, zone: Zone, paths: Paths, able: Capable) -> dict[str, float]:
    spec, goal, need = world.spec, world.spec.objective, world.spec.accelerator
    devices = need.count if need else 1
    terms = {
        "latency": -goal.latency_permille / 1_000 * _budget_share(spec, zone, paths),
        "price": -goal.price_permille / 1_000 * zone.inventory.price_millieur_per_hour / 1_000 * devices,
        "pool_fit": -0.2 * (1 - min(1.0, need.memory_mib_min / able.pool.memory_mib)) if need and able.pool else 0.0,
        "own_zone": 0.05 if zone.id.operator == world.home else 0.0,
        "heard": -1.0 if zone.state is ZoneState.SILENT else 0.0,
    }
    if goal.carbon_permille:
        watts = zone.inventory.device_watts or 1_000
        grams_per_hour = watts * _carbon(world, zone) * devices / 1_000
        terms["carbon"] = -goal.carbon_permille / 1_000 * grams_per_hour / 100
    if wishes := spec.preferences.soft:
        lost = sum(x.weight_permille for x in wishes if not _picks(world, x.selector, zone))
        terms["wishes"] = -lost / 1_000
    if tiers := spec.preferences.ordered:
        first = next((n for n, x in enumerate(tiers) if _picks(world, x, zone)), len(tiers))
        terms["tier"] = -1_000.0 * first
    if world.promises:
        broken = sum(milli for operator, milli in world.promises if operator == zone.id.operator)
        terms["promises"] = -0.2 * broken / 1_000
    if world.current:
        terms["stay"] = 0.1 if zone.id in world.current else 0.0
    return terms


def _budget_share(spec: WorkloadSpec, zone: Zone, paths: Paths) -> float:
    """The mean round trip of the access points that reach the zone, weighted by demand, as a share of the budget."""
    alike = not any(at.demand_millirps for at in spec.access)
    reached = [(at.demand_millirps + alike, rtt) for at in spec.access if (rtt := paths.rtt_us(at, zone)) is not None]
    total = sum(demand for demand, _ in reached)
    mean = sum(demand * rtt for demand, rtt in reached) / total if total else 0.0
    return mean / max(spec.latency.rtt_us_max, 1)


def _carbon(world: World, zone: Zone) -> int:
    """Proved gCO2 a kWh; what is not known for certain counts as the worst."""
    stated = of_kind(zone.facts, FactKind.CARBON_GCO2_PER_KWH, world.now_ms)["valid"]
    values = {number_of(fact.value) for fact in stated}
    only = values.pop() if len(values) == 1 else None
    return 1_000 if only is None else only


def _picks(world: World, selector: Selector, zone: Zone) -> bool:
    sites = {x.value for x in of_kind(zone.facts, FactKind.SITE_COUNTRY, world.now_ms)["valid"]}
    return (
        (not selector.operators or zone.id.operator in selector.operators)
        and (not selector.countries or (bool(sites) and sites <= selector.countries))
        and (not selector.zones or zone.id in selector.zones)
        and (not selector.predicate or bool(predicate(selector.predicate, zone, world.now_ms)))
    )

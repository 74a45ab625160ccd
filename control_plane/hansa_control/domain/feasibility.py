"""Filters: every hard constraint of a workload, evaluated for a zone, with every reason kept.

Whoever owns a zone runs the same filters on its own truth before it grants a hold to a partner. A failing constraint is
a value with what was found, what was asked and on what that rests; it is never an exception, and one failure never
hides another. A constraint that another failure makes meaningless (the latency of a path that may not be used) is
reported as NOT_EVALUATED, beside the real reason, and never passes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from hansa_control.domain.capacity import choose_pool, count_of, is_acceptable_model, pools_by_size
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessLatency,
    ConstraintResult,
    Fact,
    Reason,
    Rejection,
    RoundTrip,
    WorkloadSpec,
    Zone,
    ZoneState,
)
from hansa_control.domain.predicates import attributes_of
from hansa_control.domain.reach import check_latency, find_reach, slowed_by_probes
from hansa_control.domain.residency import Finding, asks_of_zones, check_law, check_sources, finding
from hansa_control.domain.snapshot import Network, Snapshot

ZONE_STATE = "ZoneState"
ARTEFACT = "ArtefactAllowed"
GPU_MODEL = "GpuModel"
GPU_MEMORY = "GpuMemory"
GPU_CAPACITY = "GpuCapacity"
CPU_CAPACITY = "CpuCapacity"
MEMORY_CAPACITY = "MemoryCapacity"

STATE_REASON = {ZoneState.LOST: Reason.ZONE_LOST, ZoneState.STALE: Reason.OFFER_STALE}


class FilterOutcome(NamedTuple):
    """What the filters say of one zone: it is feasible exactly if rejections is empty.

    latencies holds the access points with a lawful path, in the order of the spec; pool is the key of the accelerator
    pool that would be used, empty if none is needed or none suffices.
    """

    rejections: tuple[Rejection, ...]
    passed: tuple[ConstraintResult, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str


class _Verdict(NamedTuple):
    zone: Zone
    since_ms: int
    until_ms: int
    floors: Mapping[str, RoundTrip] | None
    outcome: FilterOutcome


def filter_zone(spec: WorkloadSpec, snapshot: Snapshot, zone: Zone, now_ms: int) -> FilterOutcome:
    """Evaluates every constraint of ``spec`` for ``zone`` at wall-clock time ``now_ms``; the zone need not be in the
    snapshot, whose network alone counts here. The spec was validated by whoever took it in.
    """
    floors = snapshot.measured.floors.get(zone.id, {})
    reach = slowed_by_probes(find_reach(spec, snapshot.network, zone), floors, spec.latency.percentile)
    findings = [
        *_check_state(zone),
        *_check_residency(spec, snapshot.network, zone, now_ms),
        *reach.findings,
        *check_latency(spec, reach),
        *_check_artefact(spec, zone),
        *_check_accelerators(spec, zone),
        *_check_machine(spec, zone),
    ]
    pool = choose_pool(spec, zone.inventory.pools, zone.free)
    return FilterOutcome(
        rejections=tuple(Rejection(zone.id, found.reason, found.result) for found in findings if found.reason),
        passed=tuple(found.result for found in findings if found.reason is None),
        latencies=reach.latencies,
        pool=pool.key if pool else "",
    )


def filter_zones(spec: WorkloadSpec, snapshot: Snapshot, zones: Iterable[Zone], now_ms: int) -> list[FilterOutcome]:
    """``filter_zone`` for many zones, in their order; zones that did not change since the last call are not evaluated
    again. A result is kept with the network it was found on, for the very zone value, for what was probed towards it
    and for the span between two changes of validity of its facts, so it is what ``filter_zone`` would say.
    """
    kept = snapshot.network.verdicts.table(spec, _entries_max(snapshot))
    outcomes = []
    for zone in zones:
        verdict: _Verdict | None = kept.get(zone.id)
        floors = snapshot.measured.floors.get(zone.id)
        if verdict is None or verdict.zone is not zone or not _still_holds(verdict, floors, now_ms):
            since_ms, until_ms = _steady_between(zone.facts, now_ms)
            verdict = _Verdict(zone, since_ms, until_ms, floors, filter_zone(spec, snapshot, zone, now_ms))
            kept.keep(zone.id, verdict)
        outcomes.append(verdict.outcome)
    return outcomes


def _still_holds(verdict: _Verdict, floors: Mapping[str, RoundTrip] | None, now_ms: int) -> bool:
    return verdict.since_ms <= now_ms < verdict.until_ms and verdict.floors == floors


def _entries_max(snapshot: Snapshot) -> int:
    """Room for every zone, and for those that come and go while the network stays."""
    return 2 * len(snapshot.zones) + 16


def _steady_between(facts: tuple[Fact, ...], now_ms: int) -> tuple[int, int]:
    """The half-open span of time around ``now_ms`` in which none of the facts begins or ends."""
    edges = [0, 1 << 62]
    for fact in facts:
        edges += (fact.evidence.valid_from_ms, fact.evidence.valid_until_ms)
    return max(x for x in edges if x <= now_ms), min(x for x in edges if x > now_ms)


def _check_state(zone: Zone) -> Iterable[Finding]:
    heard = f"generation {zone.generation} of {zone.id}"
    state = zone.state
    yield finding(STATE_REASON.get(state), ZONE_STATE, state.value.lower(), "available or silent", heard)
    if zone.inventory.cordoned:
        yield finding(Reason.ZONE_CORDONED, ZONE_STATE, "cordoned", "not cordoned", heard)


def _check_residency(spec: WorkloadSpec, network: Network, zone: Zone, now_ms: int) -> tuple[Finding, ...]:
    """What the law says of facts. They change less often than capacity: findings are kept for as long as they hold."""
    policy = spec.residency
    sources = check_sources(policy, spec.data_sources)
    if not asks_of_zones(policy):
        return sources
    kept = network.laws.table(policy, 2_000)
    attributes = attributes_of(zone)
    known: tuple[tuple[Fact, ...], Hashable, int, int, tuple[Finding, ...]] | None = kept.get(zone.id)
    if known is None or known[0] is not zone.facts or known[1] != attributes or not known[2] <= now_ms < known[3]:
        found = check_law(policy, attributes, zone.facts, now_ms)
        known = (zone.facts, attributes, *_steady_between(zone.facts, now_ms), found)
        kept.keep(zone.id, known)
    return (*sources, *known[4])


def _check_artefact(spec: WorkloadSpec, zone: Zone) -> Iterable[Finding]:
    wanted = spec.artefact
    allowed = wanted in zone.inventory.artefacts
    same_name = sorted(x.digest for x in zone.inventory.artefacts if x.name == wanted.name)
    measured = "allowed" if allowed else f"allowed as {', '.join(same_name)}" if same_name else "not allowed"
    bound = f"{wanted.name}@{wanted.digest}"
    reason = None if allowed else Reason.ARTEFACT_NOT_ALLOWED
    yield finding(reason, ARTEFACT, measured, bound, f"inventory of {zone.id}, generation {zone.generation}")


def _check_accelerators(spec: WorkloadSpec, zone: Zone) -> Iterable[Finding]:
    """Model, then memory of those models, then free devices of those that suffice."""
    need = spec.accelerator
    if need is None:
        return
    evidence = f"inventory of {zone.id}, generation {zone.generation}"
    pools = pools_by_size(zone.inventory.pools)
    models = [pool for pool in pools if is_acceptable_model(need, pool)]
    has = ", ".join(pool.key for pool in models or pools) or "no accelerator"
    wanted = f"any of {', '.join(need.any_of)}" if need.any_of else "any model"
    yield finding(None if models else Reason.GPU_MODEL_MISSING, GPU_MODEL, has, wanted, evidence)
    large = [pool for pool in models if pool.memory_mib >= need.memory_mib_min]
    memory_text = f">= {need.memory_mib_min} MiB"
    if not models:
        yield finding(Reason.NOT_EVALUATED, GPU_MEMORY, "no such model", memory_text, evidence)
    else:
        reason = None if large else Reason.GPU_MEMORY_TOO_SMALL
        yield finding(reason, GPU_MEMORY, f"{models[-1].memory_mib} MiB on {models[-1].key}", memory_text, evidence)
    yield _check_devices(need, spec.replicas, zone, [pool.key for pool in large])


def _check_devices(need: AcceleratorNeed, replicas: int, zone: Zone, keys: list[str]) -> Finding:
    """Enough free devices in one pool. None is counted where no pool suffices in kind."""
    wanted = need.count * replicas
    evidence = f"free in {zone.id}, generation {zone.generation}"
    bound = f">= {wanted} ({need.count} x {replicas} replicas)"
    if not keys:
        return finding(Reason.NOT_EVALUATED, GPU_CAPACITY, "no such device", bound, evidence)
    free = {key: count_of(zone.free, key) for key in keys}
    enough = next((key for key in keys if free[key] >= wanted), None)
    shown = [enough] if enough else keys
    measured = ", ".join(f"{free[key]} free of {key}" for key in shown)
    return finding(None if enough else Reason.GPU_EXHAUSTED, GPU_CAPACITY, measured, bound, evidence)


def _check_machine(spec: WorkloadSpec, zone: Zone) -> Iterable[Finding]:
    evidence = f"free in {zone.id}, generation {zone.generation}"
    cpu, memory = spec.cpu_millis * spec.replicas, spec.memory_mib * spec.replicas
    reason = Reason.CPU_EXHAUSTED if cpu > zone.free.cpu_millis else None
    yield finding(reason, CPU_CAPACITY, f"{zone.free.cpu_millis} millicores free", f">= {cpu} millicores", evidence)
    reason = Reason.MEMORY_EXHAUSTED if memory > zone.free.memory_mib else None
    yield finding(reason, MEMORY_CAPACITY, f"{zone.free.memory_mib} MiB free", f">= {memory} MiB", evidence)

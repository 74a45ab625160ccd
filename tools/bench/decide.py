"""Decisions per second and their latency at 10, 100 and 1,000 zones, beside a bare numpy filter and argmin.

The world is synthetic and seeded: a ring with chords, ten nodes a zone, countries in bands around the ring, a mix of
accelerators, prices, owners and loads. ``cold`` is a request whose like was never seen on this network (paths are
searched), ``fresh`` a request of a new shape on known paths (every filter runs on every zone), ``warm`` a known shape
after the capacity of one zone changed, which is what an operator meets most. The floor is what is left when no reason,
no path and no evidence is kept: masks over columns, one argmin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    AccessDemand,
    ArtefactRef,
    Capacity,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Inventory,
    LatencyBudget,
    LegalRule,
    LinkKind,
    NetworkLink,
    NetworkNode,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.snapshot import Snapshot, build_snapshot
from hansa_control.domain.units import modelled_link_rtt

NOW_MS = 1_800_000_000_000
COUNTRIES = ("NO", "SE", "FI", "DK", "DE", "NL", "FR", "ES", "IT", "PL")
POOLS = (("L4", 24_576), ("L40S", 49_152), ("H100", 81_920), ("A100", 40_960))
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "0" * 64)
WARM_P50_TARGET_US = 5_000.0
ZONE_COUNTS = (10, 100, 1_000)


class Row(TypedDict):
    """One line of the benchmark's table; floor and ratio are None where there is nothing to compare with."""

    name: str
    value: float
    unit: str
    floor: float | None
    ratio: float | None
    target: float | None
    met: bool | None


@dataclass(frozen=True)
class Columns:
    """What the floor works on: one array a column, one row a zone."""

    gpu_memory_mib: np.ndarray
    gpu_free: np.ndarray
    cpu_free: np.ndarray
    memory_free: np.ndarray
    is_allowed: np.ndarray
    rtt_us: np.ndarray
    price: np.ndarray


def rows() -> list[dict[str, object]]:
    """The table: for each number of zones, throughput and percentiles of cold, fresh and warm decisions."""
    return [dict(row) for zones in ZONE_COUNTS for row in _rows_at(zones)]


def build_world(zone_count: int, seed: int = 7) -> Snapshot:
    """A seeded network of ten nodes a zone and that many zones, spread evenly."""
    stream = np.random.default_rng(seed)
    node_count = zone_count * 10
    nodes = [_node(at, node_count) for at in range(node_count)]
    links = [_link(nodes[at], nodes[(at + 1) % node_count], 20_000) for at in range(node_count)]
    chords = stream.integers(0, node_count, size=(node_count * 2, 2))
    links += [_link(nodes[a], nodes[b], 40_000 + 400 * abs(int(a - b)) % 300_000) for a, b in chords if a != b]
    zones = [_zone(at, nodes[at * 10].name, stream) for at in range(zone_count)]
    return build_snapshot(1, zones, nodes, links, NOW_MS)


def build_spec(variant: int) -> WorkloadSpec:
    """A workload; variants differ in budget and size, not in policy or access points, so that they share paths."""
    law = ResidencyPolicy(
        site=SiteRule(frozenset(COUNTRIES[:6])),
        legal=LegalRule(frozenset(COUNTRIES[:7]), frozenset({"US-CLOUD-ACT"})),
        transit=TransitRule(frozenset(COUNTRIES[:6])),
    )
    return WorkloadSpec(
        artefact=ARTEFACT,
        accelerator=AcceleratorNeed((), 1, 24_000),
        cpu_millis=2_000 + variant,
        memory_mib=4_096,
        replicas=2,
        access=(AccessDemand("n00003", 5_000), AccessDemand("n00013", 2_000)),
        latency=LatencyBudget(95, 20_000 + variant),
        residency=law,
    )


def _rows_at(zone_count: int) -> list[Row]:
    world = build_world(zone_count)
    floor = _measure(_floor_call(world), 300)
    cold = _measure(_cold_call(zone_count), 3)
    fresh = _measure(_fresh_call(world), 12)
    warm = _measure(_warm_call(world), 60)
    target = WARM_P50_TARGET_US if zone_count == max(ZONE_COUNTS) else None
    label = f"decide.{zone_count}_zones"
    return [
        _row(f"{label}.cold.p50", float(np.percentile(cold, 50)), floor, None),
        _row(f"{label}.fresh.p50", float(np.percentile(fresh, 50)), floor, None),
        _row(f"{label}.fresh.p99", float(np.percentile(fresh, 99)), floor, None),
        _row(f"{label}.warm.p50", float(np.percentile(warm, 50)), floor, target),
        _row(f"{label}.warm.p99", float(np.percentile(warm, 99)), floor, None),
        _rate(f"{label}.warm.rate", warm, floor),
    ]


def _row(name: str, value_us: float, floor: np.ndarray, target_us: float | None) -> Row:
    floor_us = float(np.percentile(floor, 50))
    met = None if target_us is None else value_us <= target_us
    return Row(
        name=name, value=value_us, unit="us", floor=floor_us, ratio=value_us / floor_us, target=target_us, met=met
    )


def _rate(name: str, calls_us: np.ndarray, floor: np.ndarray) -> Row:
    value, least = 1e6 / float(calls_us.mean()), 1e6 / float(floor.mean())
    return Row(name=name, value=value, unit="1/s", floor=least, ratio=value / least, target=None, met=None)


def _measure(call: Callable[[int], object], times: int) -> np.ndarray:
    """Microseconds of each of so many calls, after one that is not counted."""
    call(0)
    taken = []
    for at in range(1, times + 1):
        began = time.perf_counter_ns()
        call(at)
        taken.append((time.perf_counter_ns() - began) / 1_000)
    return np.array(taken)


def _cold_call(zone_count: int) -> Callable[[int], object]:
    worlds = [build_world(zone_count) for _ in range(4)]
    return lambda at: decide(PlacementRequest(build_spec(0), "op0"), worlds[at], NOW_MS)


def _fresh_call(world: Snapshot) -> Callable[[int], object]:
    specs = [build_spec(variant) for variant in range(1_000, 1_100)]
    return lambda at: decide(PlacementRequest(specs[at], "op0"), world, NOW_MS)


def _warm_call(world: Snapshot) -> Callable[[int], object]:
    specs = [build_spec(variant) for variant in range(4)]
    worlds = [_with_load(world, at) for at in range(100)]
    for spec in specs:
        decide(PlacementRequest(spec, "op0"), world, NOW_MS)
    return lambda at: decide(PlacementRequest(specs[at % 4], "op0"), worlds[at], NOW_MS)


def _with_load(world: Snapshot, at: int) -> Snapshot:
    zones = list(world.zones)
    taken = zones[at % len(zones)]
    free = replace(taken.free, cpu_millis=taken.free.cpu_millis - 1)
    zones[at % len(zones)] = replace(taken, free=free, generation=taken.generation + 1)
    return world.with_zones(world.generation + at + 1, zones, NOW_MS)


def _floor_call(world: Snapshot) -> Callable[[int], object]:
    columns = _columns(world)

    def pick(at: int) -> int:
        ok = columns.is_allowed & (columns.gpu_memory_mib >= 24_000) & (columns.gpu_free >= 2)
        ok &= (columns.cpu_free >= 4_000 + at) & (columns.memory_free >= 8_192) & (columns.rtt_us <= 20_000)
        cost = np.where(ok, columns.rtt_us / 20_000 + columns.price * 5e-5, np.inf)
        return int(np.argmin(cost))

    return pick


def _columns(world: Snapshot) -> Columns:
    zones = world.zones
    stream = np.random.default_rng(11)
    return Columns(
        gpu_memory_mib=np.array([zone.inventory.pools[0].memory_mib for zone in zones]),
        gpu_free=np.array([zone.free.accelerators[0][1] for zone in zones]),
        cpu_free=np.array([zone.free.cpu_millis for zone in zones]),
        memory_free=np.array([zone.free.memory_mib for zone in zones]),
        is_allowed=stream.random(len(zones)) < 0.6,
        rtt_us=stream.integers(6_000, 40_000, len(zones)),
        price=np.array([zone.inventory.price_millieur_per_hour for zone in zones]),
    )


def _country(at: int, node_count: int) -> str:
    return COUNTRIES[at * len(COUNTRIES) // node_count]


def _node(at: int, node_count: int) -> NetworkNode:
    return NetworkNode(f"n{at:05d}", f"Node {at}", _country(at, node_count), 0.0, 0.0, access_point=True)


def _link(a: NetworkNode, b: NetworkNode, length_m: int) -> NetworkLink:
    rtt = modelled_link_rtt(length_m)
    return NetworkLink(f"{a.name}--{b.name}", a.name, b.name, length_m, rtt, (), "carrier", LinkKind.TERRESTRIAL)


def _zone(at: int, node: str, stream: np.random.Generator) -> Zone:
    model, memory_mib = POOLS[at % len(POOLS)]
    pool = AcceleratorPool("nvidia", model, memory_mib, 8)
    free = int(stream.integers(0, 9))
    capacity = Capacity(64_000, 262_144, ((pool.key, 8),))
    inventory = Inventory(
        node, f"City {at}", capacity, (pool,), (ARTEFACT,), "", 1_000 + at % 700, "file", cordoned=False
    )
    site = COUNTRIES[at % len(COUNTRIES)]
    facts = tuple(
        Fact(kind, value, Evidence(EvidenceKind.DECLARATION, "op", "operator-declaration", 1, NOW_MS * 2, "sha256:0"))
        for kind, value in (
            (FactKind.SITE_COUNTRY, site),
            (FactKind.HEADQUARTERS_COUNTRY, site),
            (FactKind.ULTIMATE_PARENT_COUNTRY, site),
            (FactKind.EXTRATERRITORIAL_LAW, "none"),
        )
    )
    held = ((pool.key, free),) if free else ((pool.key, 1),)
    return Zone(
        ZoneId(f"op{at % 4}", f"zone-{at:04d}"), inventory, Capacity(32_000, 131_072, held), facts,
        ZoneState.AVAILABLE, 1, NOW_MS,
    )  # fmt: skip


if __name__ == "__main__":
    for row in rows():
        print(row)

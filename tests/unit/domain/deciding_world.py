"""A small world for the tests of deciding: four cities in a row, a Finnish detour, and one zone that fits everything.

oslo (NO) --- goteborg (SE) --- umea (SE) --- bodo (NO)
                   \\--- helsinki (FI) ---/
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    LatencyBasis,
    LatencyBudget,
    LinkKind,
    NetworkLink,
    NetworkNode,
    ResidencyPolicy,
    RoundTrip,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "ab" * 32)
L4 = AcceleratorPool("nvidia", "L4", 23_034, 4)
H100 = AcceleratorPool("nvidia", "H100", 81_559, 2)
SLICE = AcceleratorPool("nvidia", "H100", 9_984, 7, "1g.10gb")


def fact(kind: FactKind, value: str, *, starts_ms: int = NOW_MS - DAY_MS, ends_ms: int = NOW_MS + DAY_MS) -> Fact:
    proof = Evidence(EvidenceKind.REGISTER, "brreg", "company-register", starts_ms, ends_ms, "sha256:" + "0" * 64)
    return Fact(kind, value, proof)


def facts(site: str = "NO", headquarters: str = "NO", parent: str = "NO", law: str = "none") -> tuple[Fact, ...]:
    return (
        fact(FactKind.SITE_COUNTRY, site),
        fact(FactKind.HEADQUARTERS_COUNTRY, headquarters),
        fact(FactKind.ULTIMATE_PARENT_COUNTRY, parent),
        fact(FactKind.EXTRATERRITORIAL_LAW, law),
    )


def node(name: str, country: str | None, **changes: Any) -> NetworkNode:
    return replace(NetworkNode(name, name.title(), country, 0.0, 0.0, access_point=True), **changes)


def link(node_a: str, node_b: str, p50_us: int = 1_000, **changes: Any) -> NetworkLink:
    rtt = RoundTrip(p50_us, p50_us * 2, p50_us * 3, LatencyBasis.MODELLED)
    plain = NetworkLink(f"{node_a}--{node_b}", node_a, node_b, 0, rtt, (), "nordnett", LinkKind.TERRESTRIAL)
    return replace(plain, **changes)


NODES = (
    node("oslo", "NO"),
    node("goteborg", "SE"),
    node("umea", "SE"),
    node("bodo", "NO"),
    node("helsinki", "FI"),
)
LINKS = (
    link("oslo", "goteborg", 3_000),
    link("goteborg", "umea", 8_000),
    link("umea", "bodo", 5_000),
    link("goteborg", "helsinki", 2_000),
    link("helsinki", "umea", 2_000),
)


def zone(name: str = "nordavind/oslo-1", at: str = "oslo", **changes: Any) -> Zone:
    pools = changes.pop("pools", (L4,))
    everything = Capacity(64_000, 262_144, tuple(sorted((pool.key, pool.count) for pool in pools)))
    inventory = Inventory(at, at.title(), everything, pools, (ARTEFACT,), "", 1_000, "file", cordoned=False)
    inventory = replace(inventory, **changes.pop("inventory", {}))
    stands = next((node.country for node in NODES if node.name == inventory.node), None)
    plain = Zone(ZoneId.parse(name), inventory, everything, facts(site=stands or "NO"), ZoneState.AVAILABLE, 1, NOW_MS)
    return replace(plain, **changes)


def spec(**changes: Any) -> WorkloadSpec:
    plain = WorkloadSpec(
        artefact=ARTEFACT,
        accelerator=AcceleratorNeed(("L4",), 1, 16_000),
        cpu_millis=2_000,
        memory_mib=4_096,
        replicas=2,
        access=(AccessDemand("oslo", 5_000),),
        latency=LatencyBudget(95, 60_000),
        residency=ResidencyPolicy(),
    )
    return replace(plain, **changes)

"""The synthetic world of the decision benchmarks, seeded: a ring with chords, countries in bands, zones spread evenly.

Zones differ in accelerators, prices, owners, load and in what is proved of them; every zone has eleven facts. A request
asks for everything that a policy can ask: site, control with laws and foreign share, transit with carriers, personnel,
certification, energy and a CEL predicate; and for accelerators, CPU, memory, a service time and a price.
"""

from __future__ import annotations

import numpy as np
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    AccessDemand,
    ArtefactRef,
    Capacity,
    CertificationNeed,
    CertificationRule,
    EnergyRule,
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
    PersonnelRule,
    ResidencyPolicy,
    ServiceProfile,
    ServiceTime,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.snapshot import Snapshot, build_snapshot
from hansa_control.domain.units import modelled_link_rtt

NOW_MS = 1_800_000_000_000
COUNTRIES = ("NO", "SE", "FI", "DK", "DE", "NL", "FR", "ES", "IT", "PL")
POOLS = (("L4", 24_576), ("L40S", 49_152), ("H100", 81_920), ("A100", 40_960))
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "0" * 64)
OPERATORS = 4


def build_world(zone_count: int, seed: int = 7, node_count: int = 0) -> Snapshot:
    """A seeded network, of ten nodes a zone if not told otherwise, and that many zones."""
    stream = np.random.default_rng(seed)
    node_count = node_count or zone_count * 10
    nodes = [_node(at, node_count) for at in range(node_count)]
    links = [_link(nodes[at], nodes[(at + 1) % node_count], 20_000) for at in range(node_count)]
    chords = stream.integers(0, node_count, size=(node_count * 2, 2))
    links += [_link(nodes[a], nodes[b], 40_000 + 400 * abs(int(a - b)) % 300_000) for a, b in chords if a != b]
    step = node_count // zone_count
    zones = [_zone(at, nodes[at * step], stream) for at in range(zone_count)]
    return build_snapshot(1, zones, nodes, links, NOW_MS)


def build_policy(variant: int = 0) -> ResidencyPolicy:
    """A policy with every part; variants differ in the countries that may be crossed, none of which hosts a zone."""
    others = frozenset({f"X{chr(65 + variant // 26 % 26)}", f"Y{chr(65 + variant % 26)}"}) if variant else frozenset()
    return ResidencyPolicy(
        site=SiteRule(frozenset(COUNTRIES[:6])),
        legal=LegalRule(frozenset(COUNTRIES[:7]), frozenset({"US-CLOUD-ACT"}), foreign_share_percent_max=49),
        transit=TransitRule(frozenset(COUNTRIES[:6]) | others, frozenset({"unwanted"})),
        personnel=PersonnelRule(frozenset(COUNTRIES[:8])),
        certification=CertificationRule(((CertificationNeed("ISO-27001"), CertificationNeed("C5")),)),
        energy=EnergyRule(carbon_gco2_per_kwh_max=450, renewable_percent_min=10),
        predicates=(f"zone.renewable_percent >= {15 + variant % 5}",),
    )


def build_spec(variant: int, policy: int = 0, first_node: int = 3) -> WorkloadSpec:
    """A workload; variants differ in budget and size, not in policy or access points, so that they share paths."""
    return WorkloadSpec(
        artefact=ARTEFACT,
        accelerator=AcceleratorNeed((), 1, 24_000),
        cpu_millis=2_000 + variant,
        memory_mib=4_096,
        replicas=2,
        replicas_max=4,
        access=(AccessDemand(f"n{first_node:05d}", 5_000), AccessDemand(f"n{first_node + 10:05d}", 2_000)),
        latency=LatencyBudget(95, 20_000 + variant, 400_000),
        residency=build_policy(policy),
        service=ServiceProfile((ServiceTime("", 120_000, 240_000, 330_000, 600),), 1, 100_000, 1_000),
        price_millieur_per_hour_max=1_000_000,
    )


def _country(at: int, node_count: int) -> str:
    return COUNTRIES[at * len(COUNTRIES) // node_count]


def _node(at: int, node_count: int) -> NetworkNode:
    return NetworkNode(f"n{at:05d}", f"Node {at}", _country(at, node_count), 0.0, 0.0, access_point=True)


def _link(a: NetworkNode, b: NetworkNode, length_m: int) -> NetworkLink:
    rtt = modelled_link_rtt(length_m)
    return NetworkLink(f"{a.name}--{b.name}", a.name, b.name, length_m, rtt, (), "carrier", LinkKind.TERRESTRIAL)


def _zone(at: int, node: NetworkNode, stream: np.random.Generator) -> Zone:
    model, memory_mib = POOLS[at % len(POOLS)]
    pool = AcceleratorPool("nvidia", model, memory_mib, 8)
    capacity = Capacity(64_000, 262_144, ((pool.key, 8),))
    inventory = Inventory(
        node.name, f"City {at}", capacity, (pool,), (ARTEFACT,), "", 1_000 + at % 700, "file", cordoned=False,
        failure_domain=f"building-{at % 97}", device_watts=300,
    )  # fmt: skip
    free = Capacity(32_000, 131_072, ((pool.key, max(1, int(stream.integers(0, 9)))),))
    zone_id = ZoneId(f"op{at % OPERATORS}", f"zone-{at:05d}")
    return Zone(zone_id, inventory, free, _facts(at, node.country or "", stream), ZoneState.AVAILABLE, 1, NOW_MS)


def _facts(at: int, site: str, stream: np.random.Generator) -> tuple[Fact, ...]:
    """Every zone's documents have digests of their own; owners' headquarters follow the operator."""
    owner = COUNTRIES[at % OPERATORS]
    claims = (
        (FactKind.SITE_COUNTRY, site),
        (FactKind.HEADQUARTERS_COUNTRY, owner),
        (FactKind.ULTIMATE_PARENT_COUNTRY, owner),
        (FactKind.FOREIGN_SHARE_PERCENT, str(10 * (at % OPERATORS))),
        (FactKind.EXTRATERRITORIAL_LAW, "none"),
        (FactKind.OPERATION_COUNTRY, owner),
        (FactKind.SUPPORT_COUNTRY, COUNTRIES[at % 9]),
        (FactKind.CERTIFICATION, "ISO-27001" if at % 11 else "SOC-2"),
        (FactKind.ATTESTATION, "intel-tdx"),
        (FactKind.CARBON_GCO2_PER_KWH, str(int(stream.integers(10, 60)) * 10)),
        (FactKind.RENEWABLE_PERCENT, str(int(stream.integers(0, 101)))),
    )
    return tuple(Fact(kind, value, _proof(at, kind)) for kind, value in claims)


def _proof(at: int, kind: FactKind) -> Evidence:
    digest = f"sha256:{at:060d}{len(kind.value):04d}"
    return Evidence(EvidenceKind.DECLARATION, f"op{at % OPERATORS}", "operator-declaration", 1, NOW_MS * 2, digest)

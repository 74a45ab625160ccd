"""Small random worlds and requests, in which everything that can be wrong is wrong somewhere.

A world is made of a seed alone. Choices that leave things in order come first and are likelier, so that some zones are
feasible; a mild world leaves most trouble out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    AccessDemand,
    ArtefactRef,
    AttestationRule,
    Capacity,
    CertificationNeed,
    CertificationRule,
    DataClass,
    DataSource,
    EnergyRule,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Intake,
    Inventory,
    LatencyBasis,
    LatencyBudget,
    LegalRule,
    LinkEncryption,
    LinkKind,
    NetworkLink,
    NetworkNode,
    Objective,
    PersonnelRule,
    Preferences,
    ProbeResult,
    ResidencyPolicy,
    RoundTrip,
    Selector,
    ServiceProfile,
    ServiceTime,
    SiteRule,
    SoftConstraint,
    SpreadLevel,
    SpreadRule,
    TransitRule,
    UnknownPaths,
    Upkeep,
    WorkloadSpec,
    Zone,
    ZoneBounds,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.placement import PlacementRequest
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot, build_network
from oracle_refusals import random_asker, with_refusals

T = TypeVar("T")

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
COUNTRIES = ("NO", "SE", "FI", "US")
OPERATORS = ("nordavind", "skargard", "waldnetz")
CARRIERS = ("nordavind", "skargard", "waldnetz", "blueridge", "")
LAWS = ("none", "US-CLOUD-ACT", "us-cloud-act", "CN-NIL")
ARTEFACT = ArtefactRef("ocr", "sha256:1")
POOLS = (("nvidia", "L4", 24_576, ""), ("nvidia", "H100", 81_920, ""), ("nvidia", "H100", 10_240, "1g.10gb"))
PREDICATES = (
    "zone.price_eur_per_hour < 2.0",
    'zone.country == "NO"',
    '"L4" in zone.models',
    'has(zone.laws) && !("US-CLOUD-ACT" in zone.laws)',
    'zone.operator != "waldnetz"',
)
PLACES = ((0.0, 0.0), (59.9, 10.7), (59.3, 18.1), (60.2, 24.9), (63.4, 10.4), (38.9, -77.0))


class Stream:
    """Chance from a seed. Smaller numbers pick earlier, plainer options."""

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self._drawn: list[float] = []

    def random(self) -> float:
        """A number from 0 to 1."""
        if not self._drawn:
            self._drawn = self._chance.random(2_048).tolist()
        return self._drawn.pop()

    def pick(self, options: Sequence[T]) -> T:
        """One of some options."""
        return options[int(self.random() * len(options))]

    def below(self, bound: int) -> int:
        """A whole number from 0, less than the bound."""
        return int(self.random() * bound)

    def one_in(self, count: int) -> bool:
        """True once in so many times."""
        return self.random() * count < 1

    def some(self, options: Sequence[T], share: float = 0.5) -> list[T]:
        """Each of some options with a likelihood."""
        return [option for option in options if self.random() < share]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in another order."""
        return [items[at] for _, at in sorted((self.random(), at) for at in range(len(items)))]


@dataclass(frozen=True)
class World:
    """Everything that a decision is made on, as it is given to the engine and to the oracle alike."""

    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]
    zones: tuple[Zone, ...]
    probes: tuple[ProbeResult, ...]
    spec: WorkloadSpec
    home: str = OPERATORS[0]
    exclude: frozenset[ZoneId] = frozenset()
    current: frozenset[ZoneId] = frozenset()
    now_ms: int = NOW_MS
    promises: tuple[tuple[str, int], ...] = ()
    note: str = field(default="", compare=False)

    def snapshot(self, generation: int = 1) -> Snapshot:
        """The snapshot, built from nothing."""
        network = build_network(generation, self.nodes, self.links)
        measured = Measured.between(self.probes, self.zones)
        built = assemble_snapshot(generation, self.zones, network, measured, self.now_ms)
        return replace(built, promises=self.promises)

    def request(self, *, with_fix: bool = False) -> PlacementRequest:
        """What is asked."""
        return PlacementRequest(self.spec, self.home, self.exclude, with_fix, self.current)


def random_world(seed: int) -> World:
    """The world of a seed; every other one is mild."""
    world = _world(seed)
    chance = Stream(seed + (1 << 41))  # of its own, so that worlds of before stay what they were
    if seed % 2 == 0 or not chance.one_in(2):
        return world
    return replace(
        world, zones=with_refusals(chance, world.zones), spec=replace(world.spec, asker=random_asker(chance))
    )


def _world(seed: int) -> World:
    chance = Stream(seed)
    is_mild = seed % 2 == 0
    nodes = tuple(_node(chance, at, is_mild) for at in range(3 + chance.below(6)))
    links = _links(chance, nodes, is_mild)
    zones = tuple(_zone(chance, at, nodes, is_mild) for at in range(1 + chance.below(7)))
    probes = tuple(random_probe(chance, zones) for _ in range(chance.pick((0, 0, 1, 3, 6)))) if len(zones) > 1 else ()
    ids = [zone.id for zone in zones]
    return World(
        nodes,
        links,
        zones,
        probes,
        random_spec(chance, nodes, is_mild),
        chance.pick(OPERATORS),
        frozenset(chance.some(ids, 0.2)) if chance.one_in(4) else frozenset(),
        frozenset(chance.some(ids, 0.3)) if chance.one_in(3) else frozenset(),
        promises=random_promises(chance) if chance.one_in(3) else (),
        note=f"seed {seed}",
    )


def random_promises(chance: Stream) -> tuple[tuple[str, int], ...]:
    """What is held against some operators; one of them may have no zone here."""
    broken = chance.some((*OPERATORS, "nobody"), 0.5)
    return tuple((operator, 10 * (1 + chance.below(1_000))) for operator in sorted(broken))


def large_world(seed: int, zone_count: int, node_count: int) -> World:
    """A world of many nodes and zones, most of them in order: a tree with a third as many chords again."""
    chance = Stream(seed)
    nodes = tuple(_node(chance, at, not chance.one_in(5)) for at in range(node_count))
    ends = [(max(0, at - 1 - chance.below(6)), at) for at in range(1, node_count)]
    ends += [(chance.below(node_count), chance.below(node_count)) for _ in range(node_count // 3)]
    asymmetric = chance.one_in(2)
    links = tuple(
        random_link(chance, f"l{n}", (f"n{a}", f"n{b}"), (asymmetric, not chance.one_in(5)))
        for n, (a, b) in enumerate(ends)
    )
    zones = tuple(_zone(chance, at, nodes, not chance.one_in(4)) for at in range(zone_count))
    probes = tuple(random_probe(chance, zones) for _ in range(zone_count // 4))
    return World(nodes, links, zones, probes, random_spec(chance, nodes, is_mild=True), note=f"seed {seed}")


def _node(chance: Stream, at: int, is_mild: bool) -> NetworkNode:
    country: str | None = chance.pick(("NO", "NO", "SE", "FI") if is_mild else ("NO", "NO", "SE", "FI", "US"))
    at_sea = False
    if chance.one_in(12):
        country, at_sea = None, chance.one_in(2)
    # Sites of no place (0, 0) are common: links there have no shortest length.
    place = (0.0, 0.0) if chance.random() < 0.6 else chance.pick(PLACES)
    return NetworkNode(f"n{at}", "", country, *place, access_point=is_mild or not chance.one_in(6), at_sea=at_sea)


def _links(chance: Stream, nodes: tuple[NetworkNode, ...], is_mild: bool) -> tuple[NetworkLink, ...]:
    count = len(nodes)
    asymmetric = chance.one_in(2)
    ends = [(chance.below(at), at) for at in range(1, count)] if chance.random() < 0.8 else []
    ends += [(chance.below(count + 1), chance.below(count)) for _ in range(2 + chance.below(max(1, 11 - len(ends))))]
    found = []
    for at, (a, b) in enumerate(ends):
        a, b = (a, b) if chance.one_in(2) else (b, a)
        found.append(random_link(chance, f"l{at}", (f"n{a}", f"n{b}"), (asymmetric, is_mild)))
    return tuple(found)


def random_link(chance: Stream, name: str, ends: tuple[str, str], kind: tuple[bool, bool]) -> NetworkLink:
    """A link; kind says whether its directions may differ, and whether it is mild."""
    asymmetric, is_mild = kind
    p50 = chance.pick((0, 500, 1_000, 1_001, 2_000, 2_003, 5_000))
    p95 = p50 + chance.pick((0, 0, 1, 333, 1_000, 4_000))
    basis = chance.pick((LatencyBasis.MODELLED, LatencyBasis.MEASURED, LatencyBasis.PHYSICAL))
    crossed: tuple[tuple[str, ...] | None, ...] = ((), (), (), ("SE",), ("US",), ("NO", "FI"), None)
    return NetworkLink(
        name,
        *ends,
        chance.pick((0, 0, 10_000, 150_001)),
        RoundTrip(p50, p95, p95 + chance.pick((0, 700)), basis),
        () if is_mild and not chance.one_in(4) else chance.pick(crossed),
        chance.pick(CARRIERS[:1] if is_mild and not chance.one_in(4) else CARRIERS),
        chance.pick((LinkKind.TERRESTRIAL, LinkKind.SEA_CABLE)),
        chance.pick((500, 500, 300, 777, 0, 1_000)) if asymmetric else 500,
        asymmetric and chance.one_in(5),
        chance.pick((0, 0, 100, 1_000)),
        chance.pick((LinkEncryption.ENCRYPTED, LinkEncryption.ENCRYPTED, LinkEncryption.UNKNOWN, LinkEncryption.NONE)),
    )


VALUES = {
    FactKind.SITE_COUNTRY: COUNTRIES,
    FactKind.HEADQUARTERS_COUNTRY: COUNTRIES,
    FactKind.ULTIMATE_PARENT_COUNTRY: COUNTRIES,
    FactKind.FOREIGN_SHARE_PERCENT: ("10", "10.0", "0", "39.01", "60", "101", "many", "5."),
    FactKind.EXTRATERRITORIAL_LAW: LAWS,
    FactKind.OPERATION_COUNTRY: COUNTRIES,
    FactKind.SUPPORT_COUNTRY: COUNTRIES,
    FactKind.PERSONNEL_CLEARANCE: ("NO-SECRET", "no-secret ", "SE-SECRET"),
    FactKind.ATTESTATION: ("intel-tdx", "AMD-SEV-SNP", "nvidia-gpu-cc"),
    FactKind.CERTIFICATION: ("EUCS", "eucs", "C5"),
    FactKind.CARBON_GCO2_PER_KWH: ("20", "020", "300", "-1", "much"),
    FactKind.RENEWABLE_PERCENT: ("95", "40", "all"),
}


def random_facts(chance: Stream, country: str, is_mild: bool) -> tuple[Fact, ...]:
    """Facts of every kind, most of them in order."""
    found = []
    for kind, values in VALUES.items():
        usual = country if kind is FactKind.SITE_COUNTRY else values[0]
        count = 1 if is_mild and not chance.one_in(12) else chance.pick((1, 1, 1, 1, 1, 1, 0, 2, 2, 3))
        for n in range(count):
            value = usual if not n and (is_mild or not chance.one_in(4)) else chance.pick(values)
            fact = Fact(kind, value, _evidence(chance, is_mild))
            if kind is FactKind.CERTIFICATION:
                versions, levels = (("2",), ("High",)) if is_mild else (("2", "1", ""), ("High", "basic", ""))
                fact = replace(fact, version=chance.pick(versions), level=chance.pick(levels))
            found.append(fact)
    return tuple(chance.shuffled(found))


def _evidence(chance: Stream, is_mild: bool) -> Evidence:
    span = (NOW_MS - DAY_MS, NOW_MS + DAY_MS)
    if not is_mild and chance.one_in(6):
        span = chance.pick(
            (
                (NOW_MS, NOW_MS + 1),
                (NOW_MS - DAY_MS, NOW_MS),
                (NOW_MS + 1, NOW_MS + DAY_MS),
                (0, NOW_MS + DAY_MS),
                (NOW_MS - DAY_MS, 0),
            )
        )
    return Evidence(EvidenceKind.REGISTER, chance.pick(("register", "other")), "scheme", *span, "sha256:0")


def _zone(chance: Stream, at: int, nodes: tuple[NetworkNode, ...], is_mild: bool) -> Zone:
    stray = not is_mild and chance.one_in(15)
    node = None if stray else chance.pick(nodes)
    return random_zone(chance, f"z{at}", (node.name if node else "nowhere", node and node.country), is_mild)


def _on_machines(pools: tuple[AcceleratorPool, ...], chance: Stream) -> tuple[AcceleratorPool, ...]:
    """Half of the pools with the most that one machine has; by chance of its own, so that worlds of a seed stay."""
    return tuple(pool if chance.one_in(2) else replace(pool, node_count_max=1 + chance.below(8)) for pool in pools)


def random_zone(chance: Stream, name: str, place: tuple[str, str | None], is_mild: bool) -> Zone:
    """A zone at a node, given with its country."""
    node, country = place
    kinds = [pool for pool in POOLS if chance.random() < (0.8 if is_mild else 0.5)]
    pools = tuple(AcceleratorPool(v, m, memory, 8, mig) for v, m, memory, mig in chance.shuffled(kinds))
    free = tuple(sorted((pool.key, n) for pool in pools if (n := 8 if is_mild else chance.below(9))))
    pools = pools if is_mild else _on_machines(pools, Stream(zlib.crc32(f"{name} {node} {free}".encode())))
    inventory = Inventory(
        node,
        "",
        Capacity(16_000, 64_000),
        pools,
        (ARTEFACT,) if is_mild or not chance.one_in(10) else (ArtefactRef("ocr", "sha256:2"),),
        "",
        chance.pick((0, 1_000, 1_500, 3_000)),
        "file",
        not is_mild and chance.one_in(12),
        chance.pick(("", "hall-1")),
        chance.pick((300, 0, 700)),
    )
    rare = tuple(state for state in ZoneState if state is not ZoneState.AVAILABLE)
    states = (ZoneState.AVAILABLE,) * (60 if is_mild else 30) + rare
    intake = Intake.OPEN if is_mild or not chance.one_in(20) else chance.pick(tuple(Intake))
    return Zone(
        ZoneId(chance.pick(OPERATORS), name),
        inventory,
        Capacity(16_000, 64_000, free)
        if is_mild
        else Capacity(chance.pick((16_000, 4_000, 999)), chance.pick((64_000, 8_000, 100)), free),
        random_facts(chance, country or "NO", is_mild),
        chance.pick(states),
        1,
        NOW_MS,
        Upkeep(intake),
    )


def random_probe(chance: Stream, zones: tuple[Zone, ...]) -> ProbeResult:
    """A measurement between two of some zones."""
    source, target = chance.shuffled(zones)[:2]
    p50 = chance.pick((6_000, 3_000, 9_000, 20_000))
    p95 = p50 + chance.pick((0, 2_000, 30_000))
    rtt = RoundTrip(p50, p95, p95 + 500, LatencyBasis.MEASURED, chance.pick((1_000, 200, 10)), NOW_MS)
    return ProbeResult(source.id, target.id, rtt, chance.pick((0, 300, 2_000, p50)), 10, 0)


# --- requests -------------------------------------------------------------------------------------------------------


def random_spec(chance: Stream, nodes: Sequence[NetworkNode], is_mild: bool) -> WorkloadSpec:
    """A request for these nodes."""
    points = chance.shuffled(nodes)[: 1 + chance.below(2 if is_mild else 3)]
    access = [AccessDemand(node.name, chance.pick((0, 1_000, 2_500, 9_000))) for node in points]
    if not is_mild and chance.one_in(20):
        access.append(AccessDemand("elsewhere", 1_000))
    need = AcceleratorNeed(
        chance.pick(
            ((), ("L4", "H100"), ("h100",), ("nvidia/L4",), ("nvidia/H100/mig-1g.10gb",), ("B200",))[
                : 3 if is_mild else 6
            ]
        ),
        chance.pick((1, 2)),
        chance.pick((0, 8_000, 24_576, 80_000)[: 3 if is_mild else 4]),
    )
    replicas = chance.pick((1, 1, 2, 3))
    return WorkloadSpec(
        ARTEFACT,
        need if chance.one_in(2) else None,
        chance.pick((0, 500, 2_000)),
        chance.pick((0, 500, 4_000)),
        replicas,
        tuple(access),
        LatencyBudget(
            chance.pick((50, 95, 99)),
            chance.pick((60_000, 25_000, 12_000, 9_000)[: 3 if is_mild else 4]),
            chance.pick((0, 0, 80_000, 30_000)[: 3 if is_mild else 4]),
        ),
        random_policy(chance, is_mild),
        replicas + chance.below(4) if chance.one_in(2) else 0,
        chance.pick((ZoneBounds(),) * 5 + (ZoneBounds(1, 3), ZoneBounds(2, 2))),
        (SpreadRule(chance.pick(tuple(SpreadLevel)), chance.pick((1, 2)), chance.below(3)),)
        if chance.one_in(8)
        else (),
        _service(chance, is_mild),
        _preferences(chance),
        Objective(chance.pick((1_000, 0, 300)), chance.pick((50, 0, 200)), chance.pick((0, 0, 500))),
        tuple(_source(chance, nodes, n) for n in range(chance.pick((0, 0, 0, 1, 2)))),
        chance.pick((0, 0, 0, 3_000, 20_000)),
    )


def _service(chance: Stream, is_mild: bool) -> ServiceProfile | None:
    if chance.one_in(2):
        return None
    times = tuple(
        ServiceTime(model, mean, mean * 2, mean * 3, chance.pick((1_000, 0, 500)))
        for model in chance.pick((("",), ("H100", ""), ("L4", "H100"), ("nvidia/L4",))[: 2 if is_mild else 4])
        for mean in [chance.pick((5_000, 20_000, 150_000, 400_000)[: 3 if is_mild else 4])]
    )
    return ServiceProfile(times, chance.pick((1, 4)), chance.pick((0, 1_000, 9_000)), chance.pick((0, 500)))


def _source(chance: Stream, nodes: Sequence[NetworkNode], at: int) -> DataSource:
    node = "nowhere" if chance.one_in(12) else chance.pick(nodes).name
    country = chance.pick((*COUNTRIES[:3], *COUNTRIES, None))
    return DataSource(f"source-{at}", node, country, chance.pick(tuple(DataClass)))


def _preferences(chance: Stream) -> Preferences:
    ordered = tuple(_selector(chance) for _ in range(chance.pick((0, 0, 0, 1, 2))))
    soft = tuple(SoftConstraint(_selector(chance), chance.pick((100, 700))) for _ in range(chance.pick((0, 0, 1, 2))))
    return Preferences(ordered, soft)


def _selector(chance: Stream) -> Selector:
    return Selector(
        frozenset(chance.some(OPERATORS)) if chance.one_in(2) else frozenset(),
        frozenset(chance.some(COUNTRIES)) if chance.one_in(3) else frozenset(),
        tuple(ZoneId(chance.pick(OPERATORS), f"z{n}") for n in range(4)) if chance.one_in(4) else (),
        chance.pick(PREDICATES) if chance.one_in(4) else "",
    )


def _allowed(chance: Stream) -> frozenset[str] | None:
    return None if chance.one_in(3) else frozenset({"NO", *chance.some(COUNTRIES, 0.6)})


def _denied(chance: Stream) -> frozenset[str]:
    return frozenset(chance.some(("US", "FI"))) if chance.one_in(3) else frozenset()


def random_policy(chance: Stream, is_mild: bool = False) -> ResidencyPolicy:
    """A policy in which each part is there now and then."""
    often = 3 if is_mild else 2
    site = SiteRule(_allowed(chance), _denied(chance)) if chance.one_in(often) else None
    legal = (
        LegalRule(
            _allowed(chance),
            frozenset(chance.some(("US-CLOUD-ACT", "cn-nil"))),
            _denied(chance),
            chance.pick((None, 39, 9, 0)),
        )
        if chance.one_in(often + 1)
        else None
    )
    return ResidencyPolicy(
        site,
        legal,
        _transit(chance) if chance.one_in(often) else None,
        personnel=PersonnelRule(
            _allowed(chance), _denied(chance), frozenset(chance.some(("no-secret", "SE-SECRET"), 0.3))
        )
        if chance.one_in(often + 2)
        else None,
        attestation=AttestationRule(tuple(_technologies(chance) for _ in range(1 + chance.below(2))))
        if chance.one_in(often + 3)
        else None,
        certification=CertificationRule(tuple(_certificates(chance) for _ in range(1 + chance.below(2))))
        if chance.one_in(often + 3)
        else None,
        energy=EnergyRule(chance.pick((None, 50, 400)), chance.pick((None, 50))) if chance.one_in(5) else None,
        predicates=(chance.pick(PREDICATES),) if chance.one_in(10) else (),
        applies_to=frozenset(chance.some(tuple(DataClass), 0.7)) if chance.one_in(3) else frozenset(DataClass),
    )


def _transit(chance: Stream) -> TransitRule:
    return TransitRule(
        _allowed(chance),
        frozenset(chance.some(CARRIERS[1:4], 0.4)) if chance.one_in(3) else frozenset(),
        _denied(chance),
        chance.one_in(5),
        chance.pick((UnknownPaths.REJECT, UnknownPaths.ACCEPT_ENCRYPTED)),
    )


def _technologies(chance: Stream) -> frozenset[str]:
    return frozenset({chance.pick(("Intel-TDX", "intel-tdx", "nvidia-gpu-cc")), *chance.some(("amd-sev-snp",))})


def _certificates(chance: Stream) -> tuple[CertificationNeed, ...]:
    scheme = chance.pick(("eucs", "EUCS", "C5"))
    versions, levels = frozenset(chance.some(("1", "2"), 0.3)), frozenset(chance.some(("high", "basic"), 0.3))
    more = (CertificationNeed("C5"),) if chance.one_in(3) else ()
    return (CertificationNeed(scheme, versions, levels), *more)

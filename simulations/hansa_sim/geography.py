"""The small world that most scenarios play in: three operators, six zones, real cities, one cable.

Fjord (Norway) and Skargard (Sweden) may serve a workload whose law is {NO, SE}; Rhein has a zone in Germany that a US
parent controls. Distances are great circles between the cities, times are the calibrated model's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    OnChange,
    ResidencyPolicy,
    SiteRule,
    SpreadLevel,
    SpreadRule,
    TransitRule,
    WorkloadSpec,
    ZoneBounds,
    ZoneId,
)
from hansa_control.domain.units import great_circle_km, modelled_link_rtt

from hansa_sim.clock import EPOCH_MS

YEAR_MS = 365 * 86_400_000
PEM = b"-----BEGIN CERTIFICATE-----\nc2ltdWxhdGlvbg==\n-----END CERTIFICATE-----\n"
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "a1" * 32)
NORDIC = frozenset({"NO", "SE"})

Network = tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]]


@dataclass(frozen=True, slots=True)
class ZoneProfile:
    """A zone as its owner sets it up."""

    id: ZoneId
    inventory: Inventory
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class OperatorProfile:
    """An operator: its network, its zones, its partners (each of which it offers to and uses)."""

    name: str
    network: Network
    zones: tuple[ZoneProfile, ...]
    partners: tuple[str, ...]


_PLACES = {
    "osl": ("Oslo", "NO", 59.91, 10.75),
    "brg": ("Bergen", "NO", 60.39, 5.32),
    "got": ("Goteborg", "SE", 57.71, 11.97),
    "sto": ("Stockholm", "SE", 59.33, 18.07),
    "cph": ("Copenhagen", "DK", 55.68, 12.57),
    "ham": ("Hamburg", "DE", 53.55, 9.99),
    "fra": ("Frankfurt", "DE", 50.11, 8.68),
}


def _node(name: str) -> NetworkNode:
    title, country, latitude_deg, longitude_deg = _PLACES[name]
    return NetworkNode(name, title, country, latitude_deg, longitude_deg, access_point=True)


def _link(node_a: str, node_b: str, carrier: str) -> NetworkLink:
    place_a, place_b = _PLACES[node_a], _PLACES[node_b]
    length_m = int(great_circle_km(place_a[2], place_a[3], place_b[2], place_b[3]) * 1_100)
    rtt = modelled_link_rtt(length_m)
    name = f"{node_a}-{node_b}"
    return NetworkLink(name, node_a, node_b, length_m, rtt, (), carrier, LinkKind.TERRESTRIAL)


def declared(kind: FactKind, value: str, valid_until_ms: int = EPOCH_MS + YEAR_MS) -> Fact:
    """A fact that the operator declares, valid from a year before the simulation begins."""
    evidence = Evidence(
        EvidenceKind.DECLARATION, "owner", "operator-declaration", EPOCH_MS - YEAR_MS, valid_until_ms, ""
    )
    return Fact(kind, value, evidence)


def _facts(site: str, parent: str) -> tuple[Fact, ...]:
    return (
        declared(FactKind.SITE_COUNTRY, site),
        declared(FactKind.HEADQUARTERS_COUNTRY, site),
        declared(FactKind.ULTIMATE_PARENT_COUNTRY, parent),
    )


def zone_profile(zone: ZoneId, node: str, devices: int, parent: str = "") -> ZoneProfile:
    """A zone of ``devices`` L40S at a network node; the parent's country is the site's unless given."""
    country = _PLACES[node][1]
    pool = AcceleratorPool("nvidia", "L40S", 46_068, devices)
    capacity = Capacity(16_000 * devices, 131_072 * devices, ((pool.key, devices),))
    inventory = Inventory(node, _PLACES[node][0], capacity, (pool,), (ARTEFACT,), "", 900, "file", cordoned=False)
    return ZoneProfile(zone, inventory, _facts(country, parent or country))


FJORD = OperatorProfile(
    "fjord",
    ((_node("osl"), _node("brg")), (_link("osl", "brg", "fjord"), _link("osl", "got", "fjord"))),
    (zone_profile(ZoneId("fjord", "oslo-1"), "osl", 4), zone_profile(ZoneId("fjord", "bergen-1"), "brg", 3)),
    ("skargard",),
)
SKARGARD = OperatorProfile(
    "skargard",
    (
        (_node("got"), _node("sto")),
        (_link("got", "sto", "skargard"), _link("got", "cph", "skargard")),
    ),
    (
        zone_profile(ZoneId("skargard", "goteborg-1"), "got", 4),
        zone_profile(ZoneId("skargard", "stockholm-1"), "sto", 4),
    ),
    ("fjord",),
)
RHEIN = OperatorProfile(
    "rhein",
    ((_node("cph"), _node("ham"), _node("fra")), (_link("cph", "ham", "rhein"), _link("ham", "fra", "rhein"))),
    (
        zone_profile(ZoneId("rhein", "frankfurt-1"), "fra", 8, parent="US"),
        zone_profile(ZoneId("rhein", "hamburg-1"), "ham", 8),
    ),
    ("fjord", "skargard"),
)
TWO_OPERATORS = (FJORD, SKARGARD)
THREE_OPERATORS = (
    replace(FJORD, partners=("skargard", "rhein")),
    replace(SKARGARD, partners=("fjord", "rhein")),
    RHEIN,
)

NORDIC_LAW = ResidencyPolicy(SiteRule(NORDIC), LegalRule(NORDIC), TransitRule(NORDIC))


def nordic_spec(replicas: int = 1, access: str = "osl", on_change: OnChange = OnChange.DRAIN) -> WorkloadSpec:
    """A workload that one L40S a replica serves, for users at an access point, with data kept in Norway and Sweden."""
    return WorkloadSpec(
        artefact=ARTEFACT,
        accelerator=AcceleratorNeed(("L40S",), 1, 40_000),
        cpu_millis=4_000,
        memory_mib=16_384,
        replicas=replicas,
        access=(AccessDemand(access, 5_000),),
        latency=LatencyBudget(95, 60_000),
        residency=replace(NORDIC_LAW, on_change=on_change),
    )


def spread_spec(access: tuple[str, ...], replicas: int = 2) -> WorkloadSpec:
    """The same in two zones of two operators, for users at several access points."""
    return replace(
        nordic_spec(replicas),
        access=tuple(AccessDemand(name, 5_000) for name in access),
        zones=ZoneBounds(2, 2),
        spread=(SpreadRule(SpreadLevel.OPERATOR, domains_min=2),),
    )

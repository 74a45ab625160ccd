"""A small decision with its record: one zone feasible, one refused."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.model import (
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
    SiteRule,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.record import DecisionInputs, DecisionRecord, Digests, parts_of, record_of
from hansa_control.domain.snapshot import build_snapshot

NOW_MS = 1_800_000_000_000
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "ab" * 32)
NODES = (
    NetworkNode("oslo", "Oslo", "NO", 59.91, 10.75, access_point=True),
    NetworkNode("goteborg", "G\u00f6teborg", "SE", 57.71, 11.97, access_point=True),
)
RTT = RoundTrip(5_000, 6_000, 7_000, LatencyBasis.MODELLED)
LINKS = (NetworkLink("oslo--goteborg", "oslo", "goteborg", 300_000, RTT, (), "nordnett", LinkKind.TERRESTRIAL),)


def zone(name: str, node: str, country: str) -> Zone:
    proof = Evidence(EvidenceKind.REGISTER, "register", "company-register", 1, NOW_MS + 1, "sha256:" + "0" * 64)
    capacity = Capacity(64_000, 262_144)
    inventory = Inventory(node, node.title(), capacity, (), (ARTEFACT,), "", 1_000, "file", cordoned=False)
    facts = (Fact(FactKind.SITE_COUNTRY, country, proof),)
    return Zone(ZoneId.parse(name), inventory, capacity, facts, ZoneState.AVAILABLE, 1, NOW_MS)


def sample_record(*, hypothetical: bool = False) -> DecisionRecord:
    spec = WorkloadSpec(
        artefact=ARTEFACT,
        accelerator=None,
        cpu_millis=1_000,
        memory_mib=512,
        replicas=1,
        access=(AccessDemand("oslo", 1_000),),
        latency=LatencyBudget(95, 40_000),
        residency=ResidencyPolicy(site=SiteRule(frozenset({"NO"}))),
    )
    zones = [zone("nordavind/oslo-1", "oslo", "NO"), zone("skargard/gbg-1", "goteborg", "SE")]
    snapshot = replace(build_snapshot(3, zones, NODES, LINKS, NOW_MS), own="nordavind")
    request = PlacementRequest(spec, "nordavind")
    inputs = DecisionInputs(request, NOW_MS, parts_of(snapshot), hypothetical)
    decision = replace(decide(request, snapshot, NOW_MS), digest=Digests().of(inputs))
    assert (len(decision.choices), len(decision.rejections)) == (1, 1)
    return record_of(inputs, decision)

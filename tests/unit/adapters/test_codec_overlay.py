"""Overlays on the wire: read whole, and refused by field where they are malformed."""

from __future__ import annotations

import pytest
from hansa_control.adapters.codec_overlay import overlay_in
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import FactKind, SiteRule, ZoneId

from hansa.overlay_file import parse_overlay_text, supposed_fact
from hansa.v1 import common_pb2, network_pb2, overlay_pb2, residency_pb2, zone_pb2

WHOLE = """
kind: Overlay
links_removed: [oslo--goteborg]
links:
  - {name: oslo--bodo, a: oslo, b: bodo, length_km: 820, countries: [SE], carrier: nordnett, kind: sea_cable,
     rtt_ms: {p50: 9, p95: 10, p99: 12.5}, forward_share_percent: 40, one_way: true, bandwidth_mbps: 10,
     encryption: encrypted}
nodes_removed: [helsinki]
nodes: [{name: kiruna, title: Kiruna, lat: 67.86, lon: -20.23, country: SE, access_point: true}]
zones_removed: [skargard/gbg-1]
zones:
  - {zone: skargard/kiruna-1, node: kiruna, cpu_cores: 64, memory_gib: 256,
     artefacts: ["ocr-server@sha256:abababababababababababababababababababababababababababababababab"],
     pools: [{vendor: nvidia, model: L40S, memory_gib: 45, count: 4}], price_eur_per_hour: 0.9,
     failure_domain: hall-2, device_watts: 300, facts: [{kind: SITE_COUNTRY, value: SE}]}
facts_removed: [{zone: nordavind/oslo-1, kind: CERTIFICATION, value: ISO-27001}]
facts: [{zone: nordavind/oslo-1, kind: HEADQUARTERS_COUNTRY, value: US, instead: true}]
residency: {data: {deny: [DE]}}
"""


def test_an_overlay_of_a_file_is_read_whole() -> None:
    overlay = overlay_in(parse_overlay_text(WHOLE), "overlay")
    assert overlay.links_removed == ("oslo--goteborg",)
    (link,) = overlay.links
    assert (link.node_a, link.node_b, link.length_m, link.rtt.p99_us) == ("oslo", "bodo", 820_000, 12_500)
    assert (link.countries, link.forward_permille, link.one_way, link.bandwidth_kbps) == (("SE",), 400, True, 10_000)
    (node,) = overlay.nodes
    assert (node.country, node.latitude_deg, node.longitude_deg, node.access_point) == ("SE", 67.86, -20.23, True)
    assert overlay.nodes_removed == ("helsinki",)
    assert overlay.zones_removed == (ZoneId("skargard", "gbg-1"),)
    (zone,) = overlay.zones
    assert zone.free == zone.inventory.capacity
    assert zone.free.accelerators == (("nvidia/L40S", 4),)
    assert (zone.inventory.pools[0].memory_mib, zone.inventory.price_millieur_per_hour) == (46_080, 900)
    assert zone.facts[0].evidence.is_valid(1_800_000_000_000)
    (taken,) = overlay.facts_removed
    assert taken == (ZoneId("nordavind", "oslo-1"), FactKind.CERTIFICATION, "ISO-27001")
    (given,) = overlay.facts
    assert (given.zone.zone, given.fact.kind, given.fact.value, given.instead) == (
        "oslo-1",
        FactKind.HEADQUARTERS_COUNTRY,
        "US",
        True,
    )
    assert overlay.policy is not None
    assert overlay.policy.site == SiteRule(None, frozenset({"DE"}))


ZONE = "nordavind/oslo-1"
REFUSED = [
    (overlay_pb2.Overlay(), "overlay", "changes nothing"),
    (overlay_pb2.Overlay(links_removed=["a b"]), "overlay.links_removed[0]", "'a b'"),
    (overlay_pb2.Overlay(links_removed=["a", "a"]), "overlay.links_removed[1]", "named twice"),
    (overlay_pb2.Overlay(zones_removed=["oslo"]), "overlay.zones_removed[0]", "'oslo'"),
    (overlay_pb2.Overlay(links=[network_pb2.NetworkLink(name="x")]), "overlay.links[0].node_b", "other end"),
    (overlay_pb2.Overlay(nodes=[network_pb2.NetworkNode(name="x")] * 2), "overlay.nodes[1]", "named twice"),
    (overlay_pb2.Overlay(zones=[zone_pb2.Zone(name="x")]), "overlay.zones[0].inventory.node", ""),
    (overlay_pb2.Overlay(facts=[overlay_pb2.FactGiven(zone=ZONE)]), "overlay.facts[0].fact.kind", "is not set"),
    (
        overlay_pb2.Overlay(facts=[overlay_pb2.FactGiven(zone=ZONE, fact=supposed_fact("SITE_COUNTRY", "Norway"))]),
        "overlay.facts[0].fact.value",
        "did you mean",
    ),
    (
        overlay_pb2.Overlay(facts_removed=[overlay_pb2.FactTaken(zone=ZONE)]),
        "overlay.facts_removed[0].kind",
        "is not set",
    ),
    (
        overlay_pb2.Overlay(
            facts_removed=[overlay_pb2.FactTaken(zone="x", kind=common_pb2.FACT_KIND_ATTESTATION)],
        ),
        "overlay.facts_removed[0].zone",
        "",
    ),
    (
        overlay_pb2.Overlay(policy=residency_pb2.ResidencyPolicy(site=residency_pb2.SiteRule())),
        "overlay.policy.site.countries_allowed",
        "",
    ),
    (overlay_pb2.Overlay(links_removed=[f"l{n}" for n in range(1_001)]), "overlay.links_removed", "at most 1000"),
    (overlay_pb2.Overlay(nodes_removed=[f"l{n}" for n in range(1_001)]), "overlay.nodes_removed", "at most 1000"),
    (overlay_pb2.Overlay(links_removed=["l" * 262_200]), "overlay", "at most 262144 are taken"),
    (
        overlay_pb2.Overlay(facts=[overlay_pb2.FactGiven(zone=ZONE, fact=supposed_fact("SITE_COUNTRY", "NO"))] * 101),
        "overlay.facts[100].zone",
        "more than 100 facts",
    ),
]


@pytest.mark.parametrize(("wire", "field", "message"), REFUSED)
def test_what_is_malformed_is_refused_by_its_field(wire: overlay_pb2.Overlay, field: str, message: str) -> None:
    with pytest.raises(RefusalError) as caught:
        overlay_in(wire, "overlay")
    assert caught.value.field == field
    assert message in caught.value.message

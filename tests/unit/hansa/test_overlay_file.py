"""What if, as it is written: strict, with line and field, and the same from options."""

from __future__ import annotations

from pathlib import Path

import pytest

from hansa.errors import HansaError
from hansa.overlay_file import load_overlay, parse_overlay_text
from hansa.overlay_options import Supposed, overlay_of
from hansa.v1 import common_pb2, network_pb2

LINK = "{name: a--b, a: a, b: b, length_km: 100, countries: [], carrier: nordnett, kind: terrestrial%s}"


def link(more: str = "", **changes: str) -> str:
    text = LINK % more
    for key, value in changes.items():
        text = text.replace(key, value)
    return f"kind: Overlay\nlinks:\n  - {text}\n"


def test_a_link_without_a_time_leaves_it_to_the_model_of_its_length() -> None:
    (read,) = parse_overlay_text(link()).links
    assert read.rtt == network_pb2.RoundTrip(basis=network_pb2.LATENCY_BASIS_MEASURED)
    assert (read.length_m, read.countries_known, read.encryption) == (
        100_000,
        True,
        network_pb2.LINK_ENCRYPTION_UNKNOWN,
    )


def test_unknown_countries_are_unknown() -> None:
    (read,) = parse_overlay_text(link(countries="countries").replace("[]", "unknown")).links
    assert not read.countries_known


def test_the_country_no_is_norway() -> None:
    overlay = parse_overlay_text("kind: Overlay\nnodes: [{name: x, lat: 1, lon: 2, country: NO}]\n")
    assert overlay.nodes[0].country == "NO"


def test_the_documented_file_is_read() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    documented = text[text.index("kind: Overlay") :].partition("```")[0]
    overlay = parse_overlay_text(documented)
    filled = {field.name for field, _ in overlay.ListFields()}
    assert filled == {field.name for field in overlay.DESCRIPTOR.fields}


REFUSED = [
    ("kind: Overlay\n", "", "changes nothing"),
    ("kind: Workload\nlinks: []\n", "kind", "'Workload' is not one of Overlay"),
    ("kind: Overlay\nlinks_remove: [a]\n", "links_remove", "did you mean links_removed?"),
    ("kind: Overlay\nlinks_removed: a\n", "links_removed", "expected a list"),
    ("kind: Overlay\nlinks_removed: [A_b]\n", "links_removed[0]", "is not a name"),
    ("kind: Overlay\nzones_removed: [oslo]\n", "zones_removed[0]", "OPERATOR/ZONE"),
    (link(terrestrial="air"), "links[0].kind", "not one of terrestrial, sea_cable"),
    (link(", rtt_ms: {p50: 0.1, p95: 1, p99: 1}"), "links[0].rtt_ms.p50", "faster than light in fibre"),
    (link(", rtt_ms: {p50: 3, p95: 2, p99: 4}"), "links[0].rtt_ms", "p50 <= p95 <= p99"),
    (link(length_km="length_km").replace("100", "0"), "links[0]", "rtt_ms has to be given"),
    (link().replace("[]", "[Norge]"), "links[0].countries[0]", "no country code"),
    (link(", one_way: maybe"), "links[0].one_way", "not one of true, false"),
    ("kind: Overlay\nnodes: [{name: x, lat: 91, lon: 0}]\n", "nodes[0].lat", "at most 90"),
    ("kind: Overlay\nfacts: [{zone: a/b, kind: SITE, value: NO}]\n", "facts[0].kind", "SITE_COUNTRY"),
    ("kind: Overlay\nfacts: [{zone: a/b, kind: SITE_COUNTRY}]\n", "facts[0]", "'value' is missing"),
    (
        "kind: Overlay\nzones: [{zone: a/b, node: x, cpu_cores: 1, memory_gib: 1, artefacts: [ocr]}]\n",
        "zones[0].artefacts[0]",
        "NAME@sha256:DIGEST",
    ),
    ("kind: Overlay\nresidency: {data: [XX]}\n", "residency.data[0]", "XX"),
    (
        "kind: Overlay\nzones: [{zone: oslo-1, node: x, cpu_cores: 1, memory_gib: 1, artefacts: []}]\n",
        "zones[0].zone",
        "OPERATOR/ZONE",
    ),
    ("kind: Overlay\nnodes: [{name: x, lat: 1, lon: -180.5}]\n", "nodes[0].lon", "at least -180"),
    (link(", forward_share_percent: 101"), "links[0].forward_share_percent", "at most 100"),
    (link(", rtt_ms: {p50: 1, p95: 2}"), "links[0].rtt_ms", "'p99' is missing"),
    (link(", encryption: yes"), "links[0].encryption", "not one of encrypted, none, unknown"),
    ("kind: Overlay\nfacts_removed: [{zone: a, kind: SITE_COUNTRY}]\n", "facts_removed[0].zone", "OPERATOR/ZONE"),
]


@pytest.mark.parametrize(("text", "field", "message"), REFUSED)
def test_what_is_not_understood_is_refused_with_line_and_field(text: str, field: str, message: str) -> None:
    with pytest.raises(HansaError) as caught:
        parse_overlay_text(text, source="what-if.yaml")
    assert caught.value.field == field
    assert message in caught.value.message
    assert caught.value.message.startswith("what-if.yaml:")


def test_options_suppose_what_a_file_could(tmp_path: Path) -> None:
    overlay = overlay_of(
        Supposed(
            None,
            ("oslo--goteborg", "oslo--goteborg"),
            ("skargard/gbg-1",),
            ("nordavind/oslo-1:SITE_COUNTRY=SE", "nordavind/oslo-1:CERTIFICATION=ISO-27001"),
            ("DE", "FR"),
        )
    )
    assert list(overlay.links_removed) == ["oslo--goteborg"]
    assert list(overlay.zones_removed) == ["skargard/gbg-1"]
    assert [(given.fact.kind, given.instead) for given in overlay.facts] == [
        (common_pb2.FACT_KIND_SITE_COUNTRY, True),
        (common_pb2.FACT_KIND_CERTIFICATION, False),
    ]
    assert list(overlay.policy.site.countries_denied) == list(overlay.policy.transit.countries_denied) == ["DE", "FR"]
    assert not overlay.policy.HasField("legal")


def test_options_add_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "what-if.yaml"
    path.write_text("kind: Overlay\nlinks_removed: [a--b]\nresidency: {data: {deny: [DE]}}\n")
    overlay = overlay_of(Supposed(path, ("a--b", "b--c"), (), (), ("DE", "FR")))
    assert list(overlay.links_removed) == ["a--b", "b--c"]
    assert list(overlay.policy.site.countries_denied) == ["DE", "FR"]
    assert list(overlay.policy.transit.countries_denied) == ["DE", "FR"]
    assert load_overlay(path) != overlay
    assert not Supposed()
    assert Supposed(path)


@pytest.mark.parametrize(
    ("supposed", "field", "message"),
    [
        (Supposed(without=("oslo-1",)), "--without", "OPERATOR/ZONE"),
        (Supposed(facts=("nordavind/oslo-1",)), "--with-fact", "OPERATOR/ZONE:KIND=VALUE"),
        (Supposed(facts=("nordavind/oslo-1:SITE_COUNTRY=",)), "--with-fact", "KIND=VALUE"),
        (Supposed(facts=("nordavind/oslo-1:SITE_CONTRY=NO",)), "--with-fact", "did you mean SITE_COUNTRY?"),
        (Supposed(denied_countries=("Norway",)), "--deny-country", "did you mean NO?"),
    ],
)
def test_a_malformed_option_is_refused_by_its_name(supposed: Supposed, field: str, message: str) -> None:
    with pytest.raises(HansaError) as caught:
        overlay_of(supposed)
    assert caught.value.field == field
    assert message in caught.value.message


ZONE = """\
kind: Overlay
zones:
  - zone: skargard/kiruna-1
    node: kiruna
    cpu_cores: 0.5
    memory_gib: 1.5
    artefacts: []
    price_eur_per_hour: 0.9
    pools:
      - {vendor: nvidia, model: L40S, memory_gib: 45, count: 4}
      - {vendor: nvidia, model: H100, memory_gib: 9.75, count: 7, mig_profile: 1g.10gb}
"""


def test_a_zone_is_empty_and_all_of_it_is_free_pools_by_their_keys() -> None:
    (zone,) = parse_overlay_text(ZONE).zones
    assert zone.name == "operators/skargard/zones/kiruna-1"
    assert zone.free == zone.inventory.capacity
    assert (zone.free.cpu_millis, zone.free.memory_mib) == (500, 1_536)
    assert zone.inventory.price_millieur_per_hour == 900
    assert [(one.pool, one.count) for one in zone.free.accelerators] == [
        ("nvidia/H100/mig-1g.10gb", 7),
        ("nvidia/L40S", 4),
    ]
    assert [pool.memory_mib for pool in zone.inventory.pools] == [46_080, 9_984]


def test_a_declared_time_may_be_as_fast_as_light_in_fibre_and_no_faster() -> None:
    (read,) = parse_overlay_text(link(", rtt_ms: {p50: 0.95, p95: 0.95, p99: 0.95}")).links
    assert (read.rtt.p50_us, read.rtt.p99_us) == (950, 950)
    with pytest.raises(HansaError, match=r"the nearest is 0\.950"):
        parse_overlay_text(link(", rtt_ms: {p50: 0.949, p95: 1, p99: 1}"))


def test_a_fact_that_is_supposed_says_so_and_never_ends() -> None:
    given = (
        "kind: Overlay\nfacts: [{zone: a/b, kind: CERTIFICATION, value: ISO-27001, version: '2022', instead: true}]\n"
    )
    (read,) = parse_overlay_text(given).facts
    assert (read.zone, read.instead, read.fact.version) == ("a/b", True, "2022")
    assert (read.fact.evidence.issuer, read.fact.evidence.kind) == ("nobody", common_pb2.EVIDENCE_KIND_DECLARATION)
    assert read.fact.evidence.valid_from_ms < read.fact.evidence.valid_until_ms == 253_402_300_799_999


def test_all_facts_of_a_kind_or_one_value_are_taken() -> None:
    some = "{zone: a/b, kind: SITE_COUNTRY}, {zone: a/b, kind: CERTIFICATION, value: ISO-27001}"
    read = parse_overlay_text(f"kind: Overlay\nfacts_removed: [{some}]\n").facts_removed
    assert [one.value for one in read] == ["", "ISO-27001"]

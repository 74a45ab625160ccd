"""What if, as a person writes it: YAML in, Overlay out, strictly.

    kind: Overlay
    links_removed: [goteborg--oslo]                           # cut
    links:                                                    # new, or instead of the known one of the same name
      - {name: oslo--bodo, a: oslo, b: bodo, length_km: 820, countries: [], carrier: nordavind, kind: terrestrial,
         rtt_ms: {p50: 9, p95: 10, p99: 12}}                  # and more, as in the network file of a control plane
    nodes_removed: [helsinki]
    nodes: [{name: kiruna, lat: 67.86, lon: 20.23, country: SE, access_point: true}]
    zones_removed: [skargard/gbg-1]
    zones:                                                    # empty, all of it free
      - {zone: skargard/kiruna-1, node: kiruna, cpu_cores: 64, memory_gib: 256, artefacts: [ocr-server@sha256:...],
         pools: [{vendor: nvidia, model: L40S, memory_gib: 45, count: 4}], price_eur_per_hour: 0.9,
         facts: [{kind: SITE_COUNTRY, value: SE}]}
    facts_removed: [{zone: nordavind/oslo-1, kind: CERTIFICATION, value: ISO-27001}]    # without value, all of the kind
    facts: [{zone: nordavind/oslo-1, kind: HEADQUARTERS_COUNTRY, value: US, instead: true}]
    residency: {data: {deny: [DE]}}                           # merged into the workload's, as a nation would add it

Everything may be left out, but not all of it at once. A link without rtt_ms gets its time from the latency model.
Facts that are only supposed have a declaration as evidence that is always valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TypeVar

from hansa.countries import country_fault
from hansa.errors import HansaError
from hansa.law.membership import policy_reader
from hansa.names import ZoneName, parse_zone
from hansa.v1 import common_pb2, network_pb2, overlay_pb2, zone_pb2
from hansa.yaml_tree import YamlValue, read_yaml, read_yaml_file

T = TypeVar("T")

SUPPOSED_UNTIL_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""

_LISTS = ("links", "links_removed", "nodes", "nodes_removed", "zones", "zones_removed", "facts", "facts_removed")
FACT_KINDS = {name.removeprefix("FACT_KIND_"): number for name, number in common_pb2.FactKind.items() if number}
_LINK_KINDS = {"terrestrial": network_pb2.LINK_KIND_TERRESTRIAL, "sea_cable": network_pb2.LINK_KIND_SEA_CABLE}
_ENCRYPTIONS = {
    "encrypted": network_pb2.LINK_ENCRYPTION_ENCRYPTED,
    "none": network_pb2.LINK_ENCRYPTION_NONE,
    "unknown": network_pb2.LINK_ENCRYPTION_UNKNOWN,
}
_NETWORK_NAME = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")
_ARTEFACT = re.compile(r"([a-z0-9]+(?:-+[a-z0-9]+)*)@(sha256:[0-9a-f]{64})")
_MS_PER_KM_MIN = 0.0095
"""There and back, 5 % below light in fibre at 200 km/ms."""


def load_overlay(path: Path, as_of: date | None = None) -> overlay_pb2.Overlay:
    """Reads an overlay file; raises HansaError with file, line and field. ``as_of`` is the day of country groups."""
    return _overlay(read_yaml_file(path), as_of)


def parse_overlay_text(text: str, *, source: str = "", as_of: date | None = None) -> overlay_pb2.Overlay:
    """The same for a text; ``source`` names it in errors."""
    return _overlay(read_yaml(text, source=source), as_of)


def _overlay(document: YamlValue, as_of: date | None) -> overlay_pb2.Overlay:
    parts = document.mapping(("kind",), (*_LISTS, "residency"))
    parts["kind"].one_of(("Overlay",))
    overlay = overlay_of(parts, as_of)
    if not overlay.ByteSize():
        raise document.error(f"changes nothing; give {', '.join(_LISTS)} or residency")
    return overlay


def overlay_of(parts: Mapping[str, YamlValue], as_of: date | None = None) -> overlay_pb2.Overlay:
    """What these keys of an overlay say; other documents have some of them, too."""
    return overlay_pb2.Overlay(
        links=_each(parts.get("links"), _link),
        links_removed=_each(parts.get("links_removed"), _name),
        nodes=_each(parts.get("nodes"), _node),
        nodes_removed=_each(parts.get("nodes_removed"), _name),
        zones=_each(parts.get("zones"), _zone),
        zones_removed=_each(parts.get("zones_removed"), _zone_name),
        facts=_each(parts.get("facts"), _given),
        facts_removed=_each(parts.get("facts_removed"), _taken),
        policy=policy_reader(as_of).read(parts["residency"]) if "residency" in parts else None,
    )


def _each(value: YamlValue | None, read: Callable[[YamlValue], T]) -> list[T]:
    return [] if value is None else [read(entry) for entry in value.items()]


# --- network --------------------------------------------------------------------------------------------------------


def _link(entry: YamlValue) -> network_pb2.NetworkLink:
    needed = ("name", "a", "b", "length_km", "countries", "carrier", "kind")
    parts = entry.mapping(needed, ("rtt_ms", "forward_share_percent", "one_way", "bandwidth_mbps", "encryption"))
    length_m = parts["length_km"].scaled(1000, least=0, most=20_000)
    link = network_pb2.NetworkLink(
        name=_name(parts["name"]),
        node_a=_name(parts["a"]),
        node_b=_name(parts["b"]),
        length_m=length_m,
        rtt=_round_trip(parts.get("rtt_ms"), length_m, entry),
        carrier=_name(parts["carrier"]),
        kind=_LINK_KINDS[parts["kind"].one_of(_LINK_KINDS)],
        one_way=_flag(parts.get("one_way")),
        encryption=_ENCRYPTIONS[parts["encryption"].one_of(_ENCRYPTIONS) if "encryption" in parts else "unknown"],
    )
    if not (parts["countries"].is_scalar and parts["countries"].one_of(("unknown",))):
        link.countries_known = True
        link.countries.extend(sorted({_country(code) for code in parts["countries"].items()}))
    if "forward_share_percent" in parts:
        link.forward_permille = parts["forward_share_percent"].scaled(10, most=100)
    if "bandwidth_mbps" in parts and parts["bandwidth_mbps"].text() != "unknown":
        link.bandwidth_kbps = parts["bandwidth_mbps"].scaled(1000, most=1_000_000_000)
    return link


def _round_trip(value: YamlValue | None, length_m: int, link: YamlValue) -> network_pb2.RoundTrip:
    """A declared time counts as measured with 0 samples; one of 0 leaves it to the latency model of the length."""
    trip = network_pb2.RoundTrip(basis=network_pb2.LATENCY_BASIS_MEASURED)
    if value is None:
        if not length_m:
            raise link.error("length_km is 0, which is unknown, so rtt_ms has to be given")
        return trip
    parts = value.mapping(("p50", "p95", "p99"))
    trip.p50_us, trip.p95_us, trip.p99_us = (parts[at].scaled(1000, most=10_000) for at in ("p50", "p95", "p99"))
    if not trip.p50_us <= trip.p95_us <= trip.p99_us:
        raise value.error("p50 <= p95 <= p99 does not hold")
    least_us = length_m * _MS_PER_KM_MIN
    if trip.p50_us < least_us:
        raise parts["p50"].error(f"is faster than light in fibre; the nearest is {least_us / 1000:.3f}")
    return trip


def _node(entry: YamlValue) -> network_pb2.NetworkNode:
    parts = entry.mapping(("name", "lat", "lon"), ("title", "country", "access_point", "at_sea"))
    return network_pb2.NetworkNode(
        name=_name(parts["name"]),
        title=parts["title"].text() if "title" in parts else "",
        country=_country(parts["country"]) if "country" in parts else "",
        latitude_deg=_degrees(parts["lat"], 90),
        longitude_deg=_degrees(parts["lon"], 180),
        access_point=_flag(parts.get("access_point")),
        at_sea=_flag(parts.get("at_sea")),
    )


def _degrees(value: YamlValue, limit: int) -> float:
    return value.scaled(10**9, least=-limit, most=limit) / 10**9


# --- zones and facts ------------------------------------------------------------------------------------------------


def _zone(entry: YamlValue) -> zone_pb2.Zone:
    needed = ("zone", "node", "cpu_cores", "memory_gib", "artefacts")
    parts = entry.mapping(needed, ("title", "pools", "price_eur_per_hour", "failure_domain", "device_watts", "facts"))
    pools = _each(parts.get("pools"), _pool)
    capacity = common_pb2.Capacity(
        cpu_millis=parts["cpu_cores"].scaled(1000, most=1_000_000),
        memory_mib=parts["memory_gib"].scaled(1024, most=900_000),
        accelerators=sorted(
            (common_pb2.PoolAmount(pool=_pool_key(pool), count=pool.count) for pool in pools), key=lambda x: x.pool
        ),
    )
    price = parts["price_eur_per_hour"].scaled(1000, least=0, most=1_000_000) if "price_eur_per_hour" in parts else 0
    inventory = zone_pb2.Inventory(
        node=_name(parts["node"]),
        title=parts["title"].text() if "title" in parts else "",
        capacity=capacity,
        pools=pools,
        artefacts=_each(parts["artefacts"], _artefact),
        price_millieur_per_hour=price,
        source="overlay",
        failure_domain=_name(parts["failure_domain"]) if "failure_domain" in parts else "",
        device_watts=parts["device_watts"].integer(0, 100_000) if "device_watts" in parts else 0,
    )
    name = _zone_id(parts["zone"])
    facts = _each(parts.get("facts"), lambda value: _fact(value.mapping(("kind", "value"), ("version", "level"))))
    state = zone_pb2.ZONE_STATE_AVAILABLE
    return zone_pb2.Zone(name=str(name), inventory=inventory, free=capacity, facts=facts, state=state, generation=1)


def _pool(entry: YamlValue) -> common_pb2.AcceleratorPool:
    parts = entry.mapping(("vendor", "model", "memory_gib", "count"), ("mig_profile",))
    return common_pb2.AcceleratorPool(
        vendor=parts["vendor"].text(),
        model=parts["model"].text(),
        memory_mib=parts["memory_gib"].scaled(1024, most=90_000),
        count=parts["count"].integer(1, 1_000_000),
        mig_profile=parts["mig_profile"].text() if "mig_profile" in parts else "",
    )


def _pool_key(pool: common_pb2.AcceleratorPool) -> str:
    base = f"{pool.vendor}/{pool.model}"
    return f"{base}/mig-{pool.mig_profile}" if pool.mig_profile else base


def _artefact(entry: YamlValue) -> common_pb2.ArtefactRef:
    match = _ARTEFACT.fullmatch(entry.text())
    if not match:
        raise entry.error(f"{entry.text()!r} is not NAME@sha256:DIGEST")
    return common_pb2.ArtefactRef(name=match[1], digest=match[2])


def _given(entry: YamlValue) -> overlay_pb2.FactGiven:
    parts = entry.mapping(("zone", "kind", "value"), ("version", "level", "instead"))
    zone = _zone_name(parts["zone"])
    return overlay_pb2.FactGiven(zone=zone, fact=_fact(parts), instead=_flag(parts.get("instead")))


def _taken(entry: YamlValue) -> overlay_pb2.FactTaken:
    parts = entry.mapping(("zone", "kind"), ("value",))
    kind = FACT_KINDS[parts["kind"].one_of(FACT_KINDS)]
    value = parts["value"].text() if "value" in parts else ""
    return overlay_pb2.FactTaken(zone=_zone_name(parts["zone"]), kind=kind, value=value)


def _fact(parts: dict[str, YamlValue]) -> common_pb2.Fact:
    fact = supposed_fact(parts["kind"].one_of(FACT_KINDS), parts["value"].text())
    fact.version = parts["version"].text() if "version" in parts else ""
    fact.level = parts["level"].text() if "level" in parts else ""
    return fact


def supposed_fact(kind: str, value: str) -> common_pb2.Fact:
    """A fact of a kind ("SITE_COUNTRY") that is only supposed, with evidence that says so and is always valid."""
    evidence = common_pb2.Evidence(
        kind=common_pb2.EVIDENCE_KIND_DECLARATION,
        issuer="nobody",
        scheme="supposed in a plan",
        valid_from_ms=1,
        valid_until_ms=SUPPOSED_UNTIL_MS,
    )
    return common_pb2.Fact(kind=FACT_KINDS[kind], value=value, evidence=evidence)


# --- values ---------------------------------------------------------------------------------------------------------


def _name(value: YamlValue) -> str:
    text = value.text()
    if len(text) > 128 or not _NETWORK_NAME.fullmatch(text):
        raise value.error(f"{text!r} is not a name (lower-case letters, digits and inner hyphens)")
    return text


def _zone_name(value: YamlValue) -> str:
    return _zone_id(value).short


def _zone_id(value: YamlValue) -> ZoneName:
    try:
        return parse_zone(value.text(), field=value.path)
    except HansaError as error:
        raise value.error(error.message) from error


def _country(value: YamlValue) -> str:
    if fault := country_fault(value.text()):
        raise value.error(fault)
    return value.text()


def _flag(value: YamlValue | None) -> bool:
    return value is not None and value.one_of(("true", "false")) == "true"

"""What if, as the options of ``hansa plan`` say it, beside a file: cut links, lost zones, facts, denied countries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hansa.countries import country_fault
from hansa.errors import invalid_field
from hansa.names import hint, parse_zone
from hansa.overlay_file import FACT_KINDS, load_overlay, supposed_fact
from hansa.v1 import overlay_pb2, residency_pb2

SINGLE_FACTS = frozenset(
    {"SITE_COUNTRY", "HEADQUARTERS_COUNTRY", "FOREIGN_SHARE_PERCENT", "EXTRATERRITORIAL_LAW", "CARBON_GCO2_PER_KWH"}
) | {"RENEWABLE_PERCENT"}
"""Kinds of which a zone is supposed to have one, so that a supposed one stands instead of its own."""


@dataclass(frozen=True, slots=True)
class Supposed:
    """What the options of a command suppose besides a file."""

    file: Path | None = None
    cut: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    denied_countries: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.file or self.cut or self.without or self.facts or self.denied_countries)


def overlay_of(supposed: Supposed, as_of: date | None = None) -> overlay_pb2.Overlay:
    """All that is supposed, as one overlay. Raises HansaError with the file and line, or the option."""
    overlay = load_overlay(supposed.file, as_of) if supposed.file else overlay_pb2.Overlay()
    overlay.links_removed.extend(_once(supposed.cut, overlay.links_removed))
    removed = [parse_zone(text, field="--without").short for text in supposed.without]
    overlay.zones_removed.extend(_once(removed, overlay.zones_removed))
    overlay.facts.extend(_supposed_fact(text) for text in supposed.facts)
    if supposed.denied_countries:
        _deny(overlay.policy, [_option_country(text) for text in supposed.denied_countries])
    return overlay


def _supposed_fact(text: str) -> overlay_pb2.FactGiven:
    """``OPERATOR/ZONE:KIND=VALUE``; of a kind that a zone has once, it stands instead of the zone's own."""
    zone, colon, rest = text.partition(":")
    kind, equals, value = rest.partition("=")
    if not (colon and equals and value):
        message = f"{text!r} is not OPERATOR/ZONE:KIND=VALUE, for example nordavind/oslo-1:SITE_COUNTRY=SE"
        raise invalid_field("--with-fact", message)
    if kind not in FACT_KINDS:
        raise invalid_field("--with-fact", f"there is no kind of fact {kind!r}{hint(kind, FACT_KINDS)}")
    short = parse_zone(zone, field="--with-fact").short
    return overlay_pb2.FactGiven(zone=short, fact=supposed_fact(kind, value), instead=kind in SINGLE_FACTS)


def _deny(policy: residency_pb2.ResidencyPolicy, countries: Iterable[str]) -> None:
    """No zone and no data source may stand there, and no path may cross it; who controls the owner is left alone."""
    for denied in (policy.site.countries_denied, policy.transit.countries_denied):
        denied.extend(_once(countries, denied))


def _option_country(text: str) -> str:
    if fault := country_fault(text):
        raise invalid_field("--deny-country", fault)
    return text


def _once(values: Iterable[str], present: Iterable[str]) -> list[str]:
    known = set(present)
    return [value for value in dict.fromkeys(values) if value not in known]

"""Words for the tests of the law: facts of every kind, attributes of a zone, reasons of findings."""

from __future__ import annotations

from deciding_world import DAY_MS, NOW_MS, fact, facts, zone
from hansa_control.domain.model import Fact, FactKind, Reason
from hansa_control.domain.predicates import ZoneAttributes, attributes_of
from hansa_control.domain.residency import Finding

ATTRIBUTES: ZoneAttributes = attributes_of(zone())
OPERATION, SUPPORT = FactKind.OPERATION_COUNTRY, FactKind.SUPPORT_COUNTRY
CLEARANCE, ATTESTED, CERTIFIED = FactKind.PERSONNEL_CLEARANCE, FactKind.ATTESTATION, FactKind.CERTIFICATION
CARBON, RENEWABLE = FactKind.CARBON_GCO2_PER_KWH, FactKind.RENEWABLE_PERCENT
SHARE = FactKind.FOREIGN_SHARE_PERCENT


def reasons(findings: tuple[Finding, ...]) -> list[Reason]:
    return [found.reason for found in findings if found.reason is not None]


def lapsed(kind: FactKind, value: str) -> Fact:
    return fact(kind, value, starts_ms=1, ends_ms=NOW_MS)


def unproved(kind: FactKind, value: str) -> Fact:
    return fact(kind, value, starts_ms=0, ends_ms=NOW_MS + DAY_MS)


def certificate(scheme: str, version: str = "", level: str = "", ends_ms: int = NOW_MS + DAY_MS) -> Fact:
    base = fact(CERTIFIED, scheme, ends_ms=ends_ms)
    return Fact(base.kind, base.value, base.evidence, version, level)


def every_fact() -> tuple[Fact, ...]:
    """A zone in Norway of which everything is known and good."""
    return (
        *facts(),
        fact(SHARE, "24.5"),
        fact(OPERATION, "NO"),
        fact(SUPPORT, "SE"),
        fact(CLEARANCE, "hemmelig"),
        fact(ATTESTED, "intel-tdx"),
        certificate("ISO-27001", "2022"),
        certificate("EUCS", "1", "high"),
        fact(CARBON, "30"),
        fact(RENEWABLE, "98"),
    )

"""Who runs a zone, what is attested and certified of it, and where its energy comes from, read against facts.

Personnel: every country from which the zone is operated, and every one from which it is supported, must be known and
allowed; every clearance that is asked for must be proved. Attestation and certification: of each set one must be
proved; a certificate stands for itself and implies nothing. Energy: a figure is a state that changes, so that a valid
one supersedes those that have run out; two valid ones that differ contradict each other.
"""

from __future__ import annotations

from hansa_control.domain.claims import Claims, Tester, claims_of, label
from hansa_control.domain.figures import whole_number
from hansa_control.domain.findings import Finding, format_countries
from hansa_control.domain.model import (
    AttestationRule,
    CertificationNeed,
    CertificationRule,
    EnergyRule,
    Fact,
    FactKind,
    PersonnelRule,
    Reason,
)

PERSONNEL = "Personnel"
ATTESTATION = "Attestation"
CERTIFICATION = "Certification"
ENERGY = "Energy"


def check_personnel(rule: PersonnelRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether the zone is operated and supported from allowed countries alone, by people who hold the clearances."""
    bound = format_countries(rule.countries)
    found: list[Finding] = []
    for kind, title in ((FactKind.OPERATION_COUNTRY, "operated from"), (FactKind.SUPPORT_COUNTRY, "supported from")):
        tester = Tester(PERSONNEL, title, bound, Reason.PERSONNEL_DENIED, Reason.PERSONNEL_UNKNOWN)
        found += tester.test(claims_of(facts, kind, now_ms), rule.countries.allows, single=False)
    clearances = claims_of(facts, FactKind.PERSONNEL_CLEARANCE, now_ms)
    for name in sorted(rule.clearances_required):
        # Where clearances are stated, one that is not among them is missing; where none is, nothing is known.
        missing = Reason.PERSONNEL_DENIED if clearances.valid else Reason.PERSONNEL_UNKNOWN
        tester = Tester(PERSONNEL, "clearance", name, missing, Reason.PERSONNEL_UNKNOWN)
        found += _prove_label(tester, clearances, frozenset({name}))
    return tuple(found)


def check_attestation(rule: AttestationRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether of each set of technologies one is proved; a finding for each set."""
    claims = claims_of(facts, FactKind.ATTESTATION, now_ms)
    found: list[Finding] = []
    for technologies in rule.required:
        bound = " or ".join(sorted(technologies)) or "nothing that can be proved"
        tester = Tester(ATTESTATION, "attestation", bound, Reason.ATTESTATION_MISSING, Reason.ATTESTATION_MISSING)
        found += _prove_label(tester, claims, technologies)
    return tuple(found)


def check_certification(rule: CertificationRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether of each set of certificates one is valid in scheme, version and level; a finding for each set."""
    claims = claims_of(facts, FactKind.CERTIFICATION, now_ms)
    found: list[Finding] = []
    for needs in rule.required:
        bound = " or ".join(format_need(need) for need in needs) or "nothing that can be proved"
        tester = Tester(CERTIFICATION, "certificate", bound, Reason.CERTIFICATION_MISSING, Reason.CERTIFICATION_MISSING)
        found += tester.prove(claims, lambda fact, needs=needs: any(_meets(fact, need) for need in needs))  # type: ignore[misc]
    return tuple(found)


def format_need(need: CertificationNeed) -> str:
    """A certificate that is asked for, for people: ``ISO-27001``, ``EUCS version 2 level high/substantial``."""
    words = need.scheme
    if need.versions:
        words += f" version {'/'.join(sorted(need.versions))}"
    return f"{words} level {'/'.join(sorted(need.levels))}" if need.levels else words


def check_energy(rule: EnergyRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether the zone's energy keeps within the bounds that are set."""
    found: tuple[Finding, ...] = ()
    most, least = rule.carbon_gco2_per_kwh_max, rule.renewable_percent_min
    if most is not None:
        tester = _energy_tester("carbon intensity, gCO2/kWh,", f"<= {most}")
        found += _check_figure(tester, FactKind.CARBON_GCO2_PER_KWH, facts, now_ms, (0, most))
    if least is not None:
        tester = _energy_tester("renewable energy, percent,", f">= {least}")
        found += _check_figure(tester, FactKind.RENEWABLE_PERCENT, facts, now_ms, (least, 100))
    return found


def _energy_tester(title: str, bound: str) -> Tester:
    return Tester(ENERGY, title, bound, Reason.ENERGY_DENIED, Reason.ENERGY_UNKNOWN)


def _check_figure(
    tester: Tester, kind: FactKind, facts: tuple[Fact, ...], now_ms: int, bounds: tuple[int, int]
) -> tuple[Finding, ...]:
    claims = claims_of(facts, kind, now_ms)
    present = Claims(claims.valid, (), ()) if claims.valid else claims
    return tester.test(
        present, lambda value: bounds[0] <= (whole_number(value) or 0) <= bounds[1], single=True, read=whole_number
    )


def _prove_label(tester: Tester, claims: Claims, names: frozenset[str]) -> tuple[Finding, ...]:
    wanted = {label(name) for name in names}
    return tester.prove(claims, lambda fact: label(fact.value) in wanted)


def _meets(fact: Fact, need: CertificationNeed) -> bool:
    return (
        label(fact.value) == label(need.scheme)
        and (not need.versions or label(fact.version) in {label(version) for version in need.versions})
        and (not need.levels or label(fact.level) in {label(level) for level in need.levels})
    )

from __future__ import annotations

from dataclasses import replace

import pytest
from deciding_world import NOW_MS, fact
from hansa_control.domain.assurance import (
    check_attestation,
    check_certification,
    check_energy,
    check_personnel,
    format_need,
)
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
from law_words import (
    ATTESTED,
    CARBON,
    CERTIFIED,
    CLEARANCE,
    OPERATION,
    RENEWABLE,
    SUPPORT,
    certificate,
    every_fact,
    lapsed,
    reasons,
    unproved,
)

NORDIC = frozenset({"NO", "SE"})
PERSONNEL = PersonnelRule(NORDIC, clearances_required=frozenset({"HEMMELIG"}))
TDX_OR_SEV = AttestationRule((frozenset({"intel-tdx", "amd-sev-snp"}),))
ISO = CertificationRule(((CertificationNeed("ISO-27001", frozenset({"2022"})),),))
CLEAN = EnergyRule(50, 90)


def without(kind: FactKind, *added: Fact) -> tuple[Fact, ...]:
    return (*(one for one in every_fact() if one.kind is not kind), *added)


def test_a_zone_run_from_allowed_countries_by_cleared_people_passes_with_three_findings() -> None:
    findings = check_personnel(PERSONNEL, every_fact(), NOW_MS)
    assert reasons(findings) == []
    assert [found.result.measured for found in findings] == [
        "operated from NO",
        "supported from SE",
        "clearance hemmelig",
    ]
    assert {found.result.constraint for found in findings} == {"Personnel"}
    assert [found.result.bound for found in findings] == ["{NO,SE}", "{NO,SE}", "HEMMELIG"]


@pytest.mark.parametrize("kind", [OPERATION, SUPPORT])
def test_each_country_of_operation_and_support_must_be_allowed(kind: FactKind) -> None:
    assert reasons(check_personnel(PERSONNEL, (*every_fact(), fact(kind, "IN")), NOW_MS)) == [Reason.PERSONNEL_DENIED]


@pytest.mark.parametrize("kind", [OPERATION, SUPPORT, CLEARANCE])
def test_personnel_of_whom_nothing_is_said_is_unknown_and_rejects(kind: FactKind) -> None:
    assert reasons(check_personnel(PERSONNEL, without(kind), NOW_MS)) == [Reason.PERSONNEL_UNKNOWN]


@pytest.mark.parametrize(
    ("kind", "value"), [(OPERATION, "NO"), (SUPPORT, "SE"), (CLEARANCE, "hemmelig")], ids=lambda x: str(x)
)
def test_expired_evidence_on_personnel_is_expired_and_not_unknown(kind: FactKind, value: str) -> None:
    assert reasons(check_personnel(PERSONNEL, without(kind, lapsed(kind, value)), NOW_MS)) == [Reason.FACT_EXPIRED]


def test_a_denied_country_of_operation_is_denied_without_an_allow_list() -> None:
    rule = PersonnelRule(None, frozenset({"SE"}))
    assert reasons(check_personnel(rule, every_fact(), NOW_MS)) == [Reason.PERSONNEL_DENIED]


def test_every_clearance_that_is_asked_for_must_be_proved() -> None:
    rule = PersonnelRule(NORDIC, clearances_required=frozenset({"HEMMELIG", "KONFIDENSIELT"}))
    findings = check_personnel(rule, every_fact(), NOW_MS)
    assert reasons(findings) == [Reason.PERSONNEL_DENIED]
    assert findings[-1].result.bound == "KONFIDENSIELT"
    assert findings[-1].result.measured == "clearance not among hemmelig"


def test_a_clearance_that_nobody_asked_for_may_lapse() -> None:
    assert reasons(check_personnel(PERSONNEL, (*every_fact(), lapsed(CLEARANCE, "other")), NOW_MS)) == []


@pytest.mark.parametrize("technology", ["intel-tdx", "AMD-SEV-SNP"])
def test_one_technology_of_a_set_is_enough_whatever_its_spelling(technology: str) -> None:
    (found,) = check_attestation(TDX_OR_SEV, (fact(ATTESTED, technology),), NOW_MS)
    assert found.reason is None
    assert found.result.measured == f"attestation {technology}"
    assert found.result.bound == "amd-sev-snp or intel-tdx"


def test_of_each_set_one_technology_must_be_proved() -> None:
    rule = AttestationRule((*TDX_OR_SEV.required, frozenset({"nvidia-gpu-cc"})))
    findings = check_attestation(rule, every_fact(), NOW_MS)
    assert [found.reason for found in findings] == [None, Reason.ATTESTATION_MISSING]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ((), Reason.ATTESTATION_MISSING),
        ((fact(ATTESTED, "arm-cca"),), Reason.ATTESTATION_MISSING),
        ((lapsed(ATTESTED, "intel-tdx"),), Reason.FACT_EXPIRED),
        ((unproved(ATTESTED, "intel-tdx"),), Reason.ATTESTATION_MISSING),
        ((lapsed(ATTESTED, "arm-cca"),), Reason.ATTESTATION_MISSING),
        ((lapsed(ATTESTED, "intel-tdx"), fact(ATTESTED, "arm-cca")), Reason.FACT_EXPIRED),
    ],
    ids=["none", "another", "lapsed", "without validity", "another, lapsed", "lapsed beside another"],
)
def test_attestation_is_missing_or_expired_as_it_is(facts: tuple[Fact, ...], reason: Reason) -> None:
    assert reasons(check_attestation(TDX_OR_SEV, facts, NOW_MS)) == [reason]


def test_a_lapsed_attestation_beside_a_valid_one_of_the_set_does_no_harm() -> None:
    facts = (lapsed(ATTESTED, "amd-sev-snp"), fact(ATTESTED, "intel-tdx"))
    assert reasons(check_attestation(TDX_OR_SEV, facts, NOW_MS)) == []


def test_a_certificate_of_scheme_and_version_passes() -> None:
    (found,) = check_certification(ISO, every_fact(), NOW_MS)
    assert found.reason is None
    assert found.result.measured == "certificate ISO-27001 2022"
    assert found.result.bound == "ISO-27001 version 2022"


@pytest.mark.parametrize(
    ("certificates", "reason"),
    [
        ((), Reason.CERTIFICATION_MISSING),
        ((certificate("ISO-27001", "2013"),), Reason.CERTIFICATION_MISSING),
        ((certificate("ISO-27001"),), Reason.CERTIFICATION_MISSING),
        ((certificate("ISO-27017", "2022"),), Reason.CERTIFICATION_MISSING),
        ((certificate("ISO-27001", "2022", ends_ms=NOW_MS),), Reason.FACT_EXPIRED),
        ((certificate("ISO-27001", "2013", ends_ms=NOW_MS),), Reason.CERTIFICATION_MISSING),
        ((certificate("ISO-27001", "2022", ends_ms=0),), Reason.CERTIFICATION_MISSING),
        ((certificate("ISO-27001", "2022", ends_ms=NOW_MS), certificate("ISO-27001", "2013")), Reason.FACT_EXPIRED),
    ],
    ids=["none", "old", "no version", "scheme", "lapsed", "old, lapsed", "no validity", "lapsed beside old"],
)
def test_a_certificate_is_missing_or_expired_as_it_is(certificates: tuple[Fact, ...], reason: Reason) -> None:
    assert reasons(check_certification(ISO, certificates, NOW_MS)) == [reason]


def test_a_level_is_matched_by_itself_and_implies_no_lower_one() -> None:
    substantial = CertificationRule(((CertificationNeed("EUCS", levels=frozenset({"substantial"})),),))
    assert reasons(check_certification(substantial, every_fact(), NOW_MS)) == [Reason.CERTIFICATION_MISSING]
    either = CertificationRule(((CertificationNeed("EUCS", levels=frozenset({"substantial", "High"})),),))
    assert reasons(check_certification(either, every_fact(), NOW_MS)) == []


def test_one_certificate_of_each_set_is_enough() -> None:
    either = CertificationNeed("C5"), CertificationNeed("EUCS")
    assert reasons(check_certification(CertificationRule((either,)), every_fact(), NOW_MS)) == []
    both = (CertificationNeed("C5"),), (CertificationNeed("EUCS"),)
    assert reasons(check_certification(CertificationRule(both), every_fact(), NOW_MS)) == [Reason.CERTIFICATION_MISSING]


def test_a_set_of_nothing_cannot_be_proved() -> None:
    assert reasons(check_certification(CertificationRule(((),)), every_fact(), NOW_MS)) == [
        Reason.CERTIFICATION_MISSING
    ]
    assert reasons(check_attestation(AttestationRule((frozenset(),)), every_fact(), NOW_MS)) == [
        Reason.ATTESTATION_MISSING
    ]


def test_a_certificate_that_is_asked_for_reads_as_scheme_version_level() -> None:
    need = CertificationNeed("EUCS", frozenset({"2", "1"}), frozenset({"high"}))
    assert format_need(need) == "EUCS version 1/2 level high"
    assert format_need(CertificationNeed("C5")) == "C5"


def test_energy_within_its_bounds_passes_and_says_what_it_is() -> None:
    findings = check_energy(EnergyRule(30, 98), every_fact(), NOW_MS)
    assert reasons(findings) == []
    assert [found.result.measured for found in findings] == [
        "carbon intensity, gCO2/kWh, 30",
        "renewable energy, percent, 98",
    ]
    assert [found.result.bound for found in findings] == ["<= 30", ">= 98"]


@pytest.mark.parametrize("rule", [EnergyRule(29, 98), EnergyRule(30, 99)])
def test_energy_beyond_either_bound_is_denied(rule: EnergyRule) -> None:
    assert reasons(check_energy(rule, every_fact(), NOW_MS)) == [Reason.ENERGY_DENIED]


def test_only_the_bound_that_is_set_is_asked_for() -> None:
    assert reasons(check_energy(EnergyRule(50, None), (fact(CARBON, "50"),), NOW_MS)) == []
    assert reasons(check_energy(EnergyRule(None, 50), (fact(RENEWABLE, "50"),), NOW_MS)) == []


def test_a_bound_of_zero_is_a_bound() -> None:
    assert reasons(check_energy(EnergyRule(0, 0), every_fact(), NOW_MS)) == [Reason.ENERGY_DENIED]


@pytest.mark.parametrize("kind", [CARBON, RENEWABLE])
@pytest.mark.parametrize(
    ("value", "make", "reason"),
    [
        ("", None, Reason.ENERGY_UNKNOWN),
        ("95", lapsed, Reason.FACT_EXPIRED),
        ("95", unproved, Reason.ENERGY_UNKNOWN),
        ("much", fact, Reason.ENERGY_UNKNOWN),
        ("-5", fact, Reason.ENERGY_UNKNOWN),
        ("12.5", fact, Reason.ENERGY_UNKNOWN),
        ("1000000000000", fact, Reason.ENERGY_UNKNOWN),
        ("²", fact, Reason.ENERGY_UNKNOWN),
    ],
    ids=["none", "lapsed", "no validity", "a word", "negative", "a fraction", "too long", "no digit"],
)
def test_energy_that_is_not_known_rejects_as_unknown_or_expired(
    kind: FactKind, value: str, make: object, reason: Reason
) -> None:
    added = (make(kind, value),) if callable(make) else ()
    assert reasons(check_energy(CLEAN, without(kind, *added), NOW_MS)) == [reason]


def test_two_figures_that_differ_contradict_each_other() -> None:
    assert reasons(check_energy(CLEAN, (*every_fact(), fact(CARBON, "31")), NOW_MS)) == [Reason.ENERGY_UNKNOWN]
    assert reasons(check_energy(CLEAN, (*every_fact(), fact(CARBON, "030")), NOW_MS)) == []


def test_a_valid_figure_supersedes_one_that_has_run_out() -> None:
    assert reasons(check_energy(CLEAN, (*every_fact(), lapsed(CARBON, "900")), NOW_MS)) == []


def test_a_figure_of_more_than_all_is_denied_and_not_more_than_enough() -> None:
    assert reasons(check_energy(CLEAN, without(RENEWABLE, fact(RENEWABLE, "101")), NOW_MS)) == [Reason.ENERGY_DENIED]


def test_facts_of_other_kinds_prove_nothing() -> None:
    assert reasons(check_certification(ISO, (fact(ATTESTED, "ISO-27001"),), NOW_MS)) == [Reason.CERTIFICATION_MISSING]
    assert reasons(check_attestation(TDX_OR_SEV, (fact(CERTIFIED, "intel-tdx"),), NOW_MS)) == [
        Reason.ATTESTATION_MISSING
    ]


def test_a_finding_says_on_what_evidence_it_rests_or_that_there_is_none() -> None:
    def said(*facts: Fact) -> tuple[str, str]:
        (found,) = check_attestation(TDX_OR_SEV, facts, NOW_MS)
        return found.result.measured, found.result.evidence

    assert said() == ("attestation not proved", "no fact on attestation")
    another = fact(ATTESTED, "arm-cca")
    valid = "register by brreg (company-register), valid until 2027-01-16"
    assert said(another) == ("attestation not among arm-cca", valid)
    assert said(fact(ATTESTED, "intel-tdx")) == ("attestation intel-tdx", valid)
    endless = replace(another, value="intel-tdx", evidence=replace(another.evidence, valid_until_ms=0, issuer=""))
    assert said(endless) == (
        "attestation intel-tdx, without validity",
        "register by unknown (company-register), valid until unknown",
    )


def test_a_clearance_without_validity_is_unknown_and_no_carbon_is_the_best_there_is() -> None:
    facts = without(CLEARANCE, unproved(CLEARANCE, "hemmelig"))
    assert reasons(check_personnel(PERSONNEL, facts, NOW_MS)) == [Reason.PERSONNEL_UNKNOWN]
    assert reasons(check_energy(EnergyRule(0), (fact(CARBON, "0"),), NOW_MS)) == []

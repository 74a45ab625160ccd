from __future__ import annotations

from dataclasses import replace

import pytest
from deciding_world import DAY_MS, NOW_MS, fact, facts, link, node
from hansa_control.domain.claims import claims_of
from hansa_control.domain.model import (
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    LegalRule,
    Reason,
    SiteRule,
    TransitRule,
)
from hansa_control.domain.residency import (
    Finding,
    check_legal,
    check_site,
    format_transit_rule,
    link_faults,
    node_fault,
)

NORDIC = frozenset({"NO", "SE"})
SITE = SiteRule(NORDIC)
LEGAL = LegalRule(NORDIC, frozenset({"US-CLOUD-ACT"}))
TRANSIT = TransitRule(NORDIC, frozenset({"cheapnet"}))
PARENT, LAW = FactKind.ULTIMATE_PARENT_COUNTRY, FactKind.EXTRATERRITORIAL_LAW


def reasons(findings: tuple[Finding, ...]) -> list[Reason]:
    return [found.reason for found in findings if found.reason is not None]


def without(kind: FactKind, *added: Fact) -> tuple[Fact, ...]:
    return (*(x for x in facts() if x.kind is not kind), *added)


def test_a_site_in_an_allowed_country_passes_with_its_evidence() -> None:
    (found,) = check_site(SITE, facts(site="SE"), NOW_MS)
    assert found.reason is None
    assert found.result.measured == "site country SE"
    assert found.result.bound == "{NO,SE}"
    assert found.result.evidence == "register by brreg (company-register), valid until 2027-01-16"


def test_a_site_elsewhere_is_denied() -> None:
    assert reasons(check_site(SITE, facts(site="DE"), NOW_MS)) == [Reason.SITE_COUNTRY_DENIED]


def test_a_site_that_nobody_claims_is_unknown_and_rejects() -> None:
    assert reasons(check_site(SITE, (), NOW_MS)) == [Reason.SITE_COUNTRY_UNKNOWN]


@pytest.mark.parametrize(
    ("starts_ms", "ends_ms"), [(NOW_MS - 2, NOW_MS), (NOW_MS + 1, NOW_MS + 2)], ids=["just over", "not yet"]
)
def test_evidence_of_another_time_is_expired_not_unknown(starts_ms: int, ends_ms: int) -> None:
    claim = fact(FactKind.SITE_COUNTRY, "NO", starts_ms=starts_ms, ends_ms=ends_ms)
    assert reasons(check_site(SITE, (claim,), NOW_MS)) == [Reason.FACT_EXPIRED]


def test_evidence_is_valid_from_its_first_to_before_its_last_millisecond() -> None:
    claim = fact(FactKind.SITE_COUNTRY, "NO", starts_ms=NOW_MS, ends_ms=NOW_MS + 1)
    assert reasons(check_site(SITE, (claim,), NOW_MS)) == []
    assert reasons(check_site(SITE, (claim,), NOW_MS + 1)) == [Reason.FACT_EXPIRED]


@pytest.mark.parametrize(("starts_ms", "ends_ms"), [(0, NOW_MS + 1), (1, 0), (0, 0)])
def test_evidence_without_validity_proves_nothing(starts_ms: int, ends_ms: int) -> None:
    claim = fact(FactKind.SITE_COUNTRY, "NO", starts_ms=starts_ms, ends_ms=ends_ms)
    assert reasons(check_site(SITE, (claim,), NOW_MS)) == [Reason.SITE_COUNTRY_UNKNOWN]


def test_two_allowed_site_countries_contradict_each_other_and_reject() -> None:
    claims = (fact(FactKind.SITE_COUNTRY, "NO"), fact(FactKind.SITE_COUNTRY, "SE"))
    (found,) = check_site(SITE, claims, NOW_MS)
    assert found.reason is Reason.SITE_COUNTRY_UNKNOWN
    assert "contradicting: NO, SE" in found.result.measured


def test_a_denied_country_beside_an_allowed_one_is_denied_and_contradicting() -> None:
    claims = (fact(FactKind.SITE_COUNTRY, "NO"), fact(FactKind.SITE_COUNTRY, "DE"))
    assert set(reasons(check_site(SITE, claims, NOW_MS))) == {Reason.SITE_COUNTRY_DENIED, Reason.SITE_COUNTRY_UNKNOWN}


def test_a_renewed_certificate_replaces_the_expired_one_of_the_same_value() -> None:
    old = fact(FactKind.SITE_COUNTRY, "NO", starts_ms=1, ends_ms=NOW_MS - 1)
    assert reasons(check_site(SITE, (old, fact(FactKind.SITE_COUNTRY, "NO")), NOW_MS)) == []


def test_an_owner_controlled_from_home_and_free_of_denied_law_passes() -> None:
    findings = check_legal(LEGAL, facts(), NOW_MS)
    assert reasons(findings) == []
    assert [found.result.measured for found in findings] == ["headquarters NO", "ultimate parent NO", "law none"]


def test_one_foreign_parent_among_several_is_denied() -> None:
    claims = (*facts(), fact(PARENT, "US"))
    assert reasons(check_legal(LEGAL, claims, NOW_MS)) == [Reason.LEGAL_CONTROL_DENIED]


def test_several_parents_in_allowed_countries_pass() -> None:
    assert reasons(check_legal(LEGAL, (*facts(), fact(PARENT, "SE")), NOW_MS)) == []


@pytest.mark.parametrize("kind", [FactKind.HEADQUARTERS_COUNTRY, PARENT, LAW])
def test_each_missing_legal_fact_is_unknown_never_harmless(kind: FactKind) -> None:
    assert reasons(check_legal(LEGAL, without(kind), NOW_MS)) == [Reason.LEGAL_CONTROL_UNKNOWN]


def test_a_denied_law_rejects_whatever_its_spelling() -> None:
    findings = check_legal(LEGAL, facts(law=" us-cloud-act "), NOW_MS)
    assert reasons(findings) == [Reason.LEGAL_CONTROL_DENIED]
    assert findings[-1].result.bound == "none of {US-CLOUD-ACT}"


def test_a_law_that_is_not_denied_passes() -> None:
    assert reasons(check_legal(LEGAL, facts(law="CN-DSL"), NOW_MS)) == []


def test_no_law_and_some_law_contradict_each_other() -> None:
    claims = (*facts(), fact(LAW, "CN-DSL"))
    found = [one for one in check_legal(LEGAL, claims, NOW_MS) if one.result.measured.startswith("law")]
    assert [(one.reason, one.result.measured) for one in found] == [
        (Reason.LEGAL_CONTROL_UNKNOWN, "law contradicting: CN-DSL, none")
    ]


def test_a_denied_law_is_not_shed_by_letting_its_evidence_lapse() -> None:
    lapsed = fact(LAW, "US-CLOUD-ACT", starts_ms=1, ends_ms=NOW_MS - DAY_MS)
    assert reasons(check_legal(LEGAL, (*facts(), lapsed), NOW_MS)) == [Reason.FACT_EXPIRED]


def test_two_headquarters_contradict_each_other_even_in_allowed_countries() -> None:
    claims = (*facts(), fact(FactKind.HEADQUARTERS_COUNTRY, "SE"))
    (found,) = [one for one in check_legal(LEGAL, claims, NOW_MS) if one.reason is not None]
    assert found.reason is Reason.LEGAL_CONTROL_UNKNOWN
    assert found.result.measured == "headquarters contradicting: NO, SE"


def test_laws_are_not_asked_for_where_none_is_denied() -> None:
    assert reasons(check_legal(LegalRule(NORDIC), without(LAW), NOW_MS)) == []


def test_every_legal_reason_is_kept() -> None:
    found = reasons(check_legal(LEGAL, facts(headquarters="US", parent="US", law="US-CLOUD-ACT"), NOW_MS))
    assert found == [Reason.LEGAL_CONTROL_DENIED] * 3


def test_a_node_without_country_is_unknown_on_land_and_fine_at_sea() -> None:
    on_land = node_fault(TRANSIT, node("x", None))
    assert on_land is not None
    assert on_land.reason is Reason.TRANSIT_UNKNOWN
    assert node_fault(TRANSIT, node("buoy", None, at_sea=True)) is None


def test_a_node_that_has_a_country_is_judged_by_it_even_if_it_says_that_it_is_at_sea() -> None:
    fault = node_fault(TRANSIT, node("rig", "RU", at_sea=True))
    assert fault is not None
    assert fault.countries == ("RU",)


def test_a_link_is_refused_for_each_country_and_for_its_carrier() -> None:
    faults = link_faults(TRANSIT, link("a", "b", countries=("FI", "NO", "DK"), carrier="cheapnet"))
    assert [fault.describe() for fault in faults] == ["crosses DK, FI", "carried by cheapnet"]
    assert {fault.place for fault in faults} == {"link a--b, carrier cheapnet"}


def test_a_link_whose_countries_are_unknown_is_refused_as_unknown() -> None:
    assert [x.reason for x in link_faults(TRANSIT, link("a", "b", countries=None))] == [Reason.TRANSIT_UNKNOWN]


def test_a_link_without_a_carrier_is_unknown_only_where_carriers_are_denied() -> None:
    nameless = link("a", "b", carrier="")
    assert [x.reason for x in link_faults(TRANSIT, nameless)] == [Reason.TRANSIT_UNKNOWN]
    assert link_faults(TransitRule(NORDIC), nameless) == ()


def test_the_transit_rule_reads_as_countries_then_carriers() -> None:
    assert format_transit_rule(TransitRule(NORDIC)) == "{NO,SE}"
    assert format_transit_rule(TRANSIT) == "{NO,SE} without carriers {cheapnet}"


def test_claims_stand_in_the_order_of_value_version_level_and_issuer_whatever_order_they_came_in() -> None:
    proof = Evidence(EvidenceKind.REGISTER, "b", "register", NOW_MS - 1, NOW_MS + 1, "sha256:0")
    ordered = tuple(
        Fact(FactKind.CERTIFICATION, value, replace(proof, issuer=issuer), version, level)
        for value, version, level, issuer in (
            ("C5", "", "", "a"), ("C5", "", "", "b"), ("C5", "", "high", "a"), ("C5", "2", "", "a"),
            ("EUCS", "", "", "a"),
        )
    )  # fmt: skip
    for given in (ordered, ordered[::-1], ordered[2:] + ordered[:2]):
        assert claims_of(given, FactKind.CERTIFICATION, NOW_MS).valid == ordered

"""The law as a whole: every part evaluated, every reason kept, and what happens when facts change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from deciding_world import DAY_MS, NOW_MS, fact, spec, zone
from hansa_control.domain.feasibility import filter_zone
from hansa_control.domain.figures import whole_number
from hansa_control.domain.findings import format_countries
from hansa_control.domain.merging import merge
from hansa_control.domain.model import (
    AttestationRule,
    CertificationNeed,
    CertificationRule,
    Countries,
    DataClass,
    DataSource,
    EnergyRule,
    Fact,
    FactKind,
    LegalRule,
    PersonnelRule,
    Reason,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
)
from hansa_control.domain.residency import check_law, check_legal, check_sources, percentage
from hansa_control.domain.snapshot import build_snapshot
from law_words import ATTRIBUTES, SHARE, certificate, every_fact, lapsed, reasons, unproved

NORDIC = frozenset({"NO", "SE"})
EVERYTHING = ResidencyPolicy(
    site=SiteRule(NORDIC),
    legal=LegalRule(NORDIC, frozenset({"US-CLOUD-ACT"}), foreign_share_percent_max=25),
    transit=TransitRule(NORDIC),
    personnel=PersonnelRule(NORDIC, clearances_required=frozenset({"HEMMELIG"})),
    attestation=AttestationRule((frozenset({"intel-tdx"}),)),
    certification=CertificationRule(((CertificationNeed("ISO-27001"),),)),
    energy=EnergyRule(50, 90),
    predicates=('zone.country == "NO"',),
)
PARTS = {
    "site": ("SiteResidency", Reason.SITE_COUNTRY_UNKNOWN),
    "legal": ("LegalControl", Reason.LEGAL_CONTROL_UNKNOWN),
    "personnel": ("Personnel", Reason.PERSONNEL_UNKNOWN),
    "attestation": ("Attestation", Reason.ATTESTATION_MISSING),
    "certification": ("Certification", Reason.CERTIFICATION_MISSING),
    "energy": ("Energy", Reason.ENERGY_UNKNOWN),
    "predicates": ("Predicate", Reason.PREDICATE_FAILED),
}


def law(policy: ResidencyPolicy, facts: tuple[Fact, ...], now_ms: int = NOW_MS) -> list[Reason]:
    return reasons(check_law(policy, ATTRIBUTES, facts, now_ms))


def only(part: str) -> ResidencyPolicy:
    return replace(ResidencyPolicy(), **{part: getattr(EVERYTHING, part)})


def swapped(kind: FactKind, *instead: Fact) -> tuple[Fact, ...]:
    return (*(one for one in every_fact() if one.kind is not kind), *instead)


def test_a_zone_of_which_everything_is_known_and_good_passes_every_part() -> None:
    findings = check_law(EVERYTHING, ATTRIBUTES, every_fact(), NOW_MS)
    assert reasons(findings) == []
    assert {found.result.constraint for found in findings} == {constraint for constraint, _ in PARTS.values()}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone_rejects_a_zone_of_which_nothing_is_known(part: str) -> None:
    findings = check_law(only(part), ATTRIBUTES, (), NOW_MS)
    assert {(found.result.constraint, found.reason) for found in findings} == {PARTS[part]}


def test_a_zone_of_which_nothing_is_known_is_told_every_reason() -> None:
    assert set(law(EVERYTHING, ())) == {reason for _, reason in PARTS.values()}


@pytest.mark.parametrize("part", [part for part in PARTS if part != "predicates"])
def test_each_part_alone_rejects_what_has_expired_as_expired(part: str) -> None:
    later_ms = NOW_MS + DAY_MS
    assert set(law(only(part), every_fact(), later_ms)) == {Reason.FACT_EXPIRED}


def test_a_predicate_finds_nothing_to_read_in_what_has_expired() -> None:
    assert law(only("predicates"), every_fact(), NOW_MS + DAY_MS) == [Reason.PREDICATE_FAILED]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_absent_restricts_nothing(part: str) -> None:
    without = replace(EVERYTHING, **{part: () if part == "predicates" else None})
    assert PARTS[part][0] not in {found.result.constraint for found in check_law(without, ATTRIBUTES, (), NOW_MS)}


def test_a_policy_without_parts_and_one_of_the_path_alone_ask_nothing_of_zones() -> None:
    for policy in (ResidencyPolicy(), only("transit")):
        assert check_law(policy, ATTRIBUTES, (), NOW_MS) == ()


def test_headquarters_that_moved_abroad_are_denied_once_the_register_says_so() -> None:
    moved = (fact(FactKind.HEADQUARTERS_COUNTRY, "NO", ends_ms=NOW_MS), fact(FactKind.HEADQUARTERS_COUNTRY, "US"))
    facts = swapped(FactKind.HEADQUARTERS_COUNTRY, *moved)
    assert law(only("legal"), facts) == [Reason.FACT_EXPIRED, Reason.LEGAL_CONTROL_DENIED]
    assert law(only("legal"), facts[:-2] + facts[-1:]) == [Reason.LEGAL_CONTROL_DENIED]


def test_a_certificate_fits_until_the_millisecond_in_which_it_expires() -> None:
    facts = swapped(FactKind.CERTIFICATION, certificate("ISO-27001", ends_ms=NOW_MS + 1))
    assert law(only("certification"), facts) == []
    assert law(only("certification"), facts, NOW_MS + 1) == [Reason.FACT_EXPIRED]


def test_a_country_whose_adequacy_is_withdrawn_is_denied_by_the_nations_policy() -> None:
    app = ResidencyPolicy(site=SiteRule(frozenset({"NO", "GB"})), legal=LegalRule(frozenset({"NO", "GB"})))
    british = (fact(FactKind.SITE_COUNTRY, "GB"), *swapped(FactKind.SITE_COUNTRY))
    assert law(app, british) == []
    nation = ResidencyPolicy(site=SiteRule(None, frozenset({"GB"})))
    assert law(merge([app, nation]), british) == [Reason.SITE_COUNTRY_DENIED]


def test_policies_that_share_no_country_allow_nothing_and_say_so() -> None:
    merged = merge(
        [ResidencyPolicy(site=SiteRule(frozenset({"NO"}))), ResidencyPolicy(site=SiteRule(frozenset({"SE"})))]
    )
    (found,) = check_law(merged, ATTRIBUTES, every_fact(), NOW_MS)
    assert (found.reason, found.result.bound) == (Reason.SITE_COUNTRY_DENIED, "no country")


@pytest.mark.parametrize(
    ("share", "reason"),
    [
        (fact(SHARE, "25"), None),
        (fact(SHARE, "25.00"), None),
        (fact(SHARE, "25.01"), Reason.LEGAL_CONTROL_DENIED),
        (fact(SHARE, "100"), Reason.LEGAL_CONTROL_DENIED),
        (fact(SHARE, "100.01"), Reason.LEGAL_CONTROL_UNKNOWN),
        (fact(SHARE, "a quarter"), Reason.LEGAL_CONTROL_UNKNOWN),
        (fact(SHARE, "1e1"), Reason.LEGAL_CONTROL_UNKNOWN),
        (fact(SHARE, "NaN"), Reason.LEGAL_CONTROL_UNKNOWN),
        (fact(SHARE, "-1"), Reason.LEGAL_CONTROL_UNKNOWN),
        (lapsed(SHARE, "10"), Reason.FACT_EXPIRED),
        (unproved(SHARE, "10"), Reason.LEGAL_CONTROL_UNKNOWN),
        (None, Reason.LEGAL_CONTROL_UNKNOWN),
    ],
    ids=str,
)
def test_the_share_of_foreign_holders_is_bounded_known_and_readable(share: Fact | None, reason: Reason | None) -> None:
    facts = swapped(SHARE, *([share] if share else []))
    assert law(only("legal"), facts) == ([reason] if reason else [])


def test_two_shares_that_differ_contradict_each_other_and_two_spellings_do_not() -> None:
    assert law(only("legal"), swapped(SHARE, fact(SHARE, "10"), fact(SHARE, "11"))) == [Reason.LEGAL_CONTROL_UNKNOWN]
    assert law(only("legal"), swapped(SHARE, fact(SHARE, "10"), fact(SHARE, "10.0"))) == []


def test_a_share_is_not_asked_for_where_none_is_bounded_and_zero_is_a_bound() -> None:
    assert reasons(check_legal(LegalRule(NORDIC), swapped(SHARE), NOW_MS)) == []
    strict = LegalRule(NORDIC, foreign_share_percent_max=0)
    assert reasons(check_legal(strict, every_fact(), NOW_MS)) == [Reason.LEGAL_CONTROL_DENIED]
    assert reasons(check_legal(strict, swapped(SHARE, fact(SHARE, "0")), NOW_MS)) == []


@pytest.mark.parametrize("text", ["", ".5", "5.", "1.234", "0100", "+5", "5 ", "٥", "1.2.3"])
def test_a_percentage_is_written_in_one_way_only(text: str) -> None:
    assert percentage(text) is None


def test_a_whole_number_has_nine_digits_at_most() -> None:
    assert whole_number("999999999") == 999_999_999
    assert whole_number("1000000000") is None


def test_several_laws_that_are_not_denied_do_not_contradict_each_other() -> None:
    several = swapped(
        FactKind.EXTRATERRITORIAL_LAW,
        fact(FactKind.EXTRATERRITORIAL_LAW, "CN-DSL"),
        fact(FactKind.EXTRATERRITORIAL_LAW, "XX-LAW"),
    )
    assert law(only("legal"), several) == []


@pytest.mark.parametrize(
    ("countries", "words"),
    [
        (Countries(), "any"),
        (Countries(None, frozenset({"RU"})), "any but {RU}"),
        (Countries(NORDIC), "{NO,SE}"),
        (Countries(NORDIC, frozenset({"SE"})), "{NO,SE} but not {SE}"),
        (Countries(NORDIC, frozenset({"RU"})), "{NO,SE}"),
        (Countries(NORDIC, frozenset({"RU", "SE"})), "{NO,SE} but not {SE}"),
        (Countries(frozenset()), "no country"),
        (Countries(NORDIC, NORDIC), "no country"),
    ],
)
def test_a_set_of_countries_reads_as_what_it_allows(countries: Countries, words: str) -> None:
    assert format_countries(countries) == words


def source(country: str | None, data: DataClass = DataClass.INPUT) -> DataSource:
    return DataSource("archive", "oslo", country, data)


@pytest.mark.parametrize(
    ("country", "reason"),
    [("NO", None), ("US", Reason.SITE_COUNTRY_DENIED), (None, Reason.SITE_COUNTRY_UNKNOWN)],
)
def test_a_data_source_stands_under_the_site_rule(country: str | None, reason: Reason | None) -> None:
    (found,) = check_sources(EVERYTHING, [source(country)])
    assert found.reason is reason
    assert found.result.constraint == "SiteResidency"
    assert found.result.bound == "{NO,SE}"


def test_a_data_source_in_an_unknown_country_is_refused_where_countries_are_only_denied_too() -> None:
    policy = ResidencyPolicy(site=SiteRule(None, frozenset({"RU"})))
    assert reasons(check_sources(policy, [source("US")])) == []
    (found,) = check_sources(policy, [source(None)])
    assert found.reason is Reason.SITE_COUNTRY_UNKNOWN
    assert found.result.measured == "data source archive in an unknown country"
    assert check_sources(policy, [source("US")])[0].result.measured == "data source archive in US"


def test_a_data_source_is_judged_for_the_kinds_of_data_that_the_policy_applies_to() -> None:
    policy = replace(EVERYTHING, applies_to=frozenset({DataClass.INPUT}))
    assert check_sources(policy, [source("US", DataClass.BACKUP)]) == ()
    assert reasons(check_sources(policy, [source("US")])) == [Reason.SITE_COUNTRY_DENIED]
    assert check_sources(replace(policy, site=None), [source("US")]) == ()


def test_the_filters_keep_every_reason_of_the_law_and_notice_when_it_changes() -> None:
    snapshot = build_snapshot(1, [], [], [], taken_at_ms=NOW_MS)
    wanted = spec(residency=replace(EVERYTHING, transit=None), data_sources=(source("US"),))
    found = {one.reason for one in filter_zone(wanted, snapshot, zone(facts=()), NOW_MS).rejections}
    assert found >= {*(reason for _, reason in PARTS.values()), Reason.SITE_COUNTRY_DENIED}
    facts = every_fact()
    dear = replace(wanted, residency=ResidencyPolicy(predicates=("zone.price_eur_per_hour < 2",)), data_sources=())
    for price, reasons_found in ((1_000, False), (3_000, True), (1_999, False)):
        at = zone(facts=facts, inventory={"price_millieur_per_hour": price})
        rejected = {one.reason for one in filter_zone(dear, snapshot, at, NOW_MS).rejections}
        assert (Reason.PREDICATE_FALSE in rejected) is reasons_found

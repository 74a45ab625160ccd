from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.merging import dead_ends, is_stricter_or_equal, merge
from hansa_control.domain.model import (
    ALL_DATA,
    AttestationRule,
    CertificationNeed,
    CertificationRule,
    DataClass,
    EnergyRule,
    LegalRule,
    OnChange,
    PersonnelRule,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    UnknownPaths,
)

NO_SE, SE_FI = frozenset({"NO", "SE"}), frozenset({"SE", "FI"})
RU, CN = frozenset({"RU"}), frozenset({"CN"})
ISO, C5 = CertificationNeed("ISO-27001"), CertificationNeed("C5")


def test_countries_are_intersected_and_denials_united_in_every_rule() -> None:
    merged = merge(
        [
            ResidencyPolicy(SiteRule(NO_SE, RU), LegalRule(NO_SE), TransitRule(None, countries_denied=RU)),
            ResidencyPolicy(SiteRule(SE_FI, CN), LegalRule(None, countries_denied=CN), TransitRule(SE_FI)),
        ]
    )
    assert merged.site == SiteRule(frozenset({"SE"}), RU | CN)
    assert merged.legal == LegalRule(NO_SE, countries_denied=CN)
    assert merged.transit == TransitRule(SE_FI, countries_denied=RU)


def test_denials_alone_stay_without_an_allow_list() -> None:
    merged = merge([ResidencyPolicy(SiteRule(None, RU)), ResidencyPolicy(SiteRule(None, CN))])
    assert merged.site == SiteRule(None, RU | CN)


def test_each_part_is_taken_from_whoever_has_it() -> None:
    parts = {
        "site": SiteRule(NO_SE),
        "legal": LegalRule(NO_SE),
        "transit": TransitRule(NO_SE),
        "personnel": PersonnelRule(NO_SE),
        "attestation": AttestationRule((frozenset({"intel-tdx"}),)),
        "certification": CertificationRule(((ISO,),)),
        "energy": EnergyRule(50, 90),
    }
    single = [replace(ResidencyPolicy(), **{name: rule}) for name, rule in parts.items()]
    assert merge(single) == replace(ResidencyPolicy(), **parts)


def test_bounds_take_the_strictest_and_an_absent_one_bounds_nothing() -> None:
    bounds = [EnergyRule(100, 50), EnergyRule(60, None), EnergyRule(None, 70)]
    assert merge([ResidencyPolicy(energy=rule) for rule in bounds]).energy == EnergyRule(60, 70)
    shares = [LegalRule(NO_SE, foreign_share_percent_max=share) for share in (None, 25, 0, 40)]
    merged = merge([ResidencyPolicy(legal=rule) for rule in shares]).legal
    assert merged is not None
    assert merged.foreign_share_percent_max == 0


def test_laws_carriers_and_clearances_are_united() -> None:
    merged = merge(
        [
            ResidencyPolicy(
                legal=LegalRule(NO_SE, frozenset({"A"})),
                transit=TransitRule(NO_SE, frozenset({"x"})),
                personnel=PersonnelRule(NO_SE, RU, frozenset({"c"})),
            ),
            ResidencyPolicy(
                legal=LegalRule(NO_SE, frozenset({"B"})),
                transit=TransitRule(NO_SE, frozenset({"y"})),
                personnel=PersonnelRule(SE_FI, CN, frozenset({"d"})),
            ),
        ]
    )
    assert merged.legal == LegalRule(NO_SE, frozenset({"A", "B"}))
    assert merged.transit == TransitRule(NO_SE, frozenset({"x", "y"}))
    assert merged.personnel == PersonnelRule(frozenset({"SE"}), RU | CN, frozenset({"c", "d"}))


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        (OnChange.KEEP_AND_ALERT, OnChange.DRAIN, OnChange.DRAIN),
        (OnChange.TERMINATE, OnChange.DRAIN, OnChange.TERMINATE),
        (OnChange.KEEP_AND_ALERT, OnChange.TERMINATE, OnChange.TERMINATE),
        (OnChange.KEEP_AND_ALERT, OnChange.KEEP_AND_ALERT, OnChange.KEEP_AND_ALERT),
    ],
)
def test_the_strictest_on_change_wins(first: OnChange, second: OnChange, merged: OnChange) -> None:
    assert merge([ResidencyPolicy(on_change=first), ResidencyPolicy(on_change=second)]).on_change is merged


@pytest.mark.parametrize("encrypted", [True, False])
def test_encryption_and_unknown_paths_are_as_strict_as_the_strictest(encrypted: bool) -> None:
    lenient = TransitRule(NO_SE, unknown_paths=UnknownPaths.ACCEPT_ENCRYPTED)
    strict = TransitRule(NO_SE, encryption_required=encrypted)
    merged = merge([ResidencyPolicy(transit=lenient), ResidencyPolicy(transit=strict)]).transit
    assert merged == TransitRule(NO_SE, encryption_required=encrypted)
    assert merge([ResidencyPolicy(transit=lenient)] * 2).transit == lenient


def test_sets_that_are_required_are_all_kept_each_once() -> None:
    tdx, either = frozenset({"intel-tdx"}), frozenset({"intel-tdx", "amd-sev-snp"})
    merged = merge(
        [
            ResidencyPolicy(
                attestation=AttestationRule((tdx, either)), certification=CertificationRule(((ISO, C5), (ISO,)))
            ),
            ResidencyPolicy(attestation=AttestationRule((either,)), certification=CertificationRule(((C5, ISO, C5),))),
        ]
    )
    assert merged.attestation == AttestationRule((either, tdx))
    assert merged.certification == CertificationRule(((C5, ISO), (ISO,)))


def test_predicates_and_presets_are_kept_each_once() -> None:
    first = ResidencyPolicy(predicates=("b", "a"), presets=("gdpr-eea",))
    merged = merge([first, ResidencyPolicy(predicates=("a", "c"), presets=("dora", "gdpr-eea"))])
    assert (merged.predicates, merged.presets) == (("a", "b", "c"), ("dora", "gdpr-eea"))


def test_kinds_of_data_are_united_over_the_policies_that_have_a_rule_for_them() -> None:
    inward = ResidencyPolicy(transit=TransitRule(NO_SE), applies_to=frozenset({DataClass.INPUT}))
    outward = ResidencyPolicy(site=SiteRule(NO_SE), applies_to=frozenset({DataClass.OUTPUT}))
    silent = ResidencyPolicy(legal=LegalRule(NO_SE))
    assert merge([inward, outward]).applies_to == {DataClass.INPUT, DataClass.OUTPUT}
    assert merge([inward, silent]).applies_to == {DataClass.INPUT}
    assert merge([silent, silent]).applies_to == ALL_DATA


def test_no_policy_demands_nothing() -> None:
    assert merge([]) == ResidencyPolicy()
    assert merge([ResidencyPolicy()] * 2) == ResidencyPolicy()


def test_parts_that_allow_nothing_are_named() -> None:
    merged = merge(
        [
            ResidencyPolicy(SiteRule(frozenset({"NO"})), LegalRule(NO_SE), TransitRule(NO_SE)),
            ResidencyPolicy(SiteRule(frozenset({"FI"})), LegalRule(None, countries_denied=NO_SE)),
        ]
    )
    assert dead_ends(merged) == ("site", "legal")
    assert dead_ends(ResidencyPolicy(personnel=PersonnelRule(frozenset()))) == ("personnel",)
    assert dead_ends(ResidencyPolicy(transit=TransitRule(None, countries_denied=RU))) == ()


def test_stricter_is_told_from_looser_whatever_the_presets_are_called() -> None:
    loose = ResidencyPolicy(SiteRule(NO_SE), presets=("wide",))
    strict = ResidencyPolicy(SiteRule(frozenset({"NO"})), energy=EnergyRule(50), presets=("narrow",))
    assert is_stricter_or_equal(strict, loose)
    assert not is_stricter_or_equal(loose, strict)
    assert is_stricter_or_equal(loose, loose)
    assert is_stricter_or_equal(loose, ResidencyPolicy())
    assert not is_stricter_or_equal(replace(loose, on_change=OnChange.KEEP_AND_ALERT), loose)

"""Policies and facts of law on the wire: what is refused, by which field, and with which nearest valid value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hansa_control.adapters import codec_residency, codec_zone
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import (
    ALL_DATA,
    DataClass,
    FactKind,
    OnChange,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    UnknownPaths,
)

from hansa.v1 import common_pb2, residency_pb2

Change = Callable[[residency_pb2.ResidencyPolicy], object]


def good_policy() -> residency_pb2.ResidencyPolicy:
    wire = residency_pb2.ResidencyPolicy(predicates=['zone.country == "NO"'], presets=["gdpr-eea@2026-11-01"])
    for rule in (wire.site, wire.legal, wire.transit, wire.personnel):
        rule.countries_allowed.append("NO")
    wire.personnel.clearances_required.append("hemmelig")
    wire.attestation.required.add(any_of=["intel-tdx"])
    wire.certification.required.add().any_of.add(scheme="ISO-27001", versions=["2022"], levels=["high"])
    wire.energy.carbon_gco2_per_kwh_max = 0
    return wire


def refusal(change: Change) -> RefusalError:
    wire = good_policy()
    change(wire)
    with pytest.raises(RefusalError) as caught:
        codec_residency.policy_in(wire, "policy")
    assert caught.value.reason == "INVALID_FIELD"
    return caught.value


def test_a_good_policy_is_taken_in_full() -> None:
    policy = codec_residency.policy_in(good_policy(), "policy")
    assert all(getattr(policy, part) for part in ("site", "legal", "transit", "personnel", "attestation", "energy"))
    assert policy.applies_to == ALL_DATA
    assert policy.presets == ("gdpr-eea@2026-11-01",)
    assert policy.on_change is OnChange.DRAIN
    assert policy.energy is not None
    assert (policy.energy.carbon_gco2_per_kwh_max, policy.energy.renewable_percent_min) == (0, None)
    assert policy.transit is not None
    assert policy.transit.unknown_paths is UnknownPaths.REJECT


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (lambda p: p.site.ClearField("countries_allowed"), "site.countries_allowed", "countries_denied"),
        (lambda p: p.personnel.ClearField("countries_allowed"), "personnel.countries_allowed", "at least one country"),
        (lambda p: p.legal.countries_denied.append("USA"), "legal.countries_denied[0]", "did you mean 'US'?"),
        (lambda p: setattr(p.site, "nothing_allowed", True), "site.nothing_allowed", "beside countries_allowed, NO"),
        (lambda p: setattr(p.legal, "foreign_share_percent_max", 101), "legal.foreign_share_percent_max", "is 100"),
        (lambda p: setattr(p.legal, "foreign_share_percent_max", -1), "legal.foreign_share_percent_max", "is 0"),
        (lambda p: setattr(p.transit, "unknown_paths", 9), "transit.unknown_paths", "ACCEPT_ENCRYPTED"),
        (lambda p: p.personnel.clearances_required.append(" x"), "personnel.clearances_required[1]", "mean 'x'?"),
        (lambda p: p.attestation.ClearField("required"), "attestation.required", "present but empty"),
        (lambda p: p.attestation.required.add(), "attestation.required[1].any_of", "present but empty"),
        (lambda p: p.attestation.required[0].any_of.append("é"), "attestation.required[0].any_of[1]", "label"),
        (lambda p: p.certification.ClearField("required"), "certification.required", "present but empty"),
        (lambda p: p.certification.required.add(), "certification.required[1].any_of", "present but empty"),
        (
            lambda p: p.certification.required[0].any_of.add(),
            "certification.required[0].any_of[1].scheme",
            "is not a label",
        ),
        (
            lambda p: p.certification.required[0].any_of[0].levels.append("!"),
            "certification.required[0].any_of[0].levels[1]",
            "is not a label",
        ),
        (
            lambda p: p.certification.required[0].any_of[0].versions.append(""),
            "certification.required[0].any_of[0].versions[1]",
            "is not a label",
        ),
        (lambda p: p.energy.ClearField("carbon_gco2_per_kwh_max"), "energy", "renewable_percent_min"),
        (lambda p: setattr(p.energy, "renewable_percent_min", 101), "energy.renewable_percent_min", "is 100"),
        (lambda p: setattr(p.energy, "carbon_gco2_per_kwh_max", -1), "energy.carbon_gco2_per_kwh_max", "is 0"),
        (lambda p: p.predicates.append("zone.contry == 'NO'"), "predicates[1]", "character 1: zone.contry"),
        (lambda p: p.predicates.append("zone.name != '\x1b[2J'"), "predicates[1]", "character 15: U+001B cannot be"),
        (lambda p: p.predicates.append("true &&\n\ttrue"), "predicates[1]", "must be one line"),
        (lambda p: p.predicates.extend(["true"] * 64), "predicates", "at most 64"),
        (lambda p: p.applies_to.append(0), "applies_to[0]", "WEIGHTS"),
        (lambda p: p.presets.append("GDPR"), "presets[1]", "name@YYYY-MM-DD"),
        (lambda p: p.presets.append("gdpr-eea@2026-11-01"), "presets[1]", "named twice"),
    ],
)
def test_a_malformed_policy_is_refused_by_its_field(change: Change, field: str, says: str) -> None:
    found = refusal(change)
    assert found.field == f"policy.{field}"
    assert says in str(found)


def test_denials_alone_are_a_rule_without_an_allow_list() -> None:
    wire = residency_pb2.ResidencyPolicy(site=residency_pb2.SiteRule(countries_denied=["RU"]))
    assert codec_residency.policy_in(wire, "policy").site == SiteRule(None, frozenset({"RU"}))


def test_an_allow_list_of_nothing_is_said_and_never_read_as_no_allow_list() -> None:
    wire = codec_residency.policy_out(ResidencyPolicy(SiteRule(frozenset()), transit=TransitRule(frozenset())))
    assert wire.site.nothing_allowed
    assert not wire.site.countries_allowed
    back = codec_residency.policy_in(wire, "policy")
    assert back.site == SiteRule(frozenset())
    assert back.transit == TransitRule(frozenset())


def test_all_kinds_of_data_are_said_by_naming_none() -> None:
    assert not codec_residency.policy_out(ResidencyPolicy()).applies_to
    some = ResidencyPolicy(applies_to=frozenset({DataClass.INPUT, DataClass.LOGS}))
    assert len(codec_residency.policy_out(some).applies_to) == 2


def wire_fact(kind: FactKind, value: str, **more: str) -> common_pb2.Fact:
    evidence = common_pb2.Evidence(kind=common_pb2.EVIDENCE_KIND_DECLARATION, issuer="a", scheme="b")
    number = common_pb2.FactKind.Value(f"FACT_KIND_{kind.value}")
    return common_pb2.Fact(kind=number, value=value, evidence=evidence, **more)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FactKind.OPERATION_COUNTRY, "NOR"),
        (FactKind.SUPPORT_COUNTRY, ""),
        (FactKind.PERSONNEL_CLEARANCE, ""),
        (FactKind.ATTESTATION, "intel tdx!"),
        (FactKind.CERTIFICATION, " "),
        (FactKind.CARBON_GCO2_PER_KWH, "12.5"),
        (FactKind.CARBON_GCO2_PER_KWH, "100001"),
        (FactKind.CARBON_GCO2_PER_KWH, "-1"),
        (FactKind.CARBON_GCO2_PER_KWH, "007"),
        (FactKind.RENEWABLE_PERCENT, "101"),
        (FactKind.RENEWABLE_PERCENT, "all"),
    ],
)
def test_a_fact_whose_value_does_not_fit_its_kind_is_refused(kind: FactKind, value: str) -> None:
    with pytest.raises(RefusalError) as caught:
        codec_zone.fact_in(wire_fact(kind, value), "fact")
    assert caught.value.field == "fact.value"


@pytest.mark.parametrize("detail", ["version", "level"])
def test_version_and_level_are_a_certifications_alone(detail: str) -> None:
    with pytest.raises(RefusalError) as caught:
        codec_zone.fact_in(wire_fact(FactKind.ATTESTATION, "intel-tdx", **{detail: "1"}), "fact")
    assert caught.value.field == f"fact.{detail}"
    assert "CERTIFICATION" in str(caught.value)
    taken = codec_zone.fact_in(wire_fact(FactKind.CERTIFICATION, "ISO-27001", **{detail: "2022"}), "fact")
    assert getattr(taken, detail) == "2022"
    with pytest.raises(RefusalError):
        codec_zone.fact_in(wire_fact(FactKind.CERTIFICATION, "ISO-27001", **{detail: "?"}), "fact")

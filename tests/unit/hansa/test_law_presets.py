"""Presets: what each expands to, on which sources, and that it demands what its words say."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from importlib import resources

import pytest

from hansa.errors import HansaError
from hansa.law.data_files import joint_digest
from hansa.law.expansion import expand, expand_policy, expansion, load_presets
from hansa.law.membership import country_group, law_names
from hansa.v1 import residency_pb2

TODAY = date(2026, 11, 22)
NAMES = ("dora", "eu-sovereign", "gdpr-adequate", "gdpr-eea", "no-sikkerhetsloven", "secnumcloud")
Policy = residency_pb2.ResidencyPolicy


def eea() -> list[str]:
    return [member.country for member in country_group("EEA").members(TODAY)]


def union() -> list[str]:
    return [member.country for member in country_group("EU").members(TODAY)]


def test_the_presets_are_those_that_the_documents_name() -> None:
    assert tuple(load_presets()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_what_it_stands_for_what_it_does_not_promise_and_on_which_sources(name: str) -> None:
    for preset in load_presets()[name]:
        assert preset.title
        assert preset.stands_for.endswith(".")
        assert len(preset.promises_not) >= 3
        assert all(sentence.endswith(".") for sentence in preset.promises_not)
        assert all(source.law and source.article and source.url.startswith("http") for source in preset.sources)


@pytest.mark.parametrize("name", NAMES)
def test_no_preset_claims_immunity(name: str) -> None:
    for preset in load_presets()[name]:
        assert not re.search(r"immun|guarantee|complian", f"{preset.title} {preset.stands_for}", re.IGNORECASE)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_expands_to_countries_in_order_and_to_nothing_else(name: str) -> None:
    policy = expand(name, TODAY)
    for rule in (policy.site, policy.legal, policy.transit, policy.personnel):
        codes = list(rule.countries_allowed)
        assert codes == sorted(set(codes))
        assert all(re.fullmatch("[A-Z]{2}", code) for code in codes)
    assert policy.HasField("site")
    assert policy.site.countries_allowed


def test_gdpr_eea_asks_for_site_path_and_people_and_not_for_control() -> None:
    policy = expand("gdpr-eea", TODAY)
    assert list(policy.site.countries_allowed) == eea()
    assert list(policy.transit.countries_allowed) == eea()
    assert list(policy.personnel.countries_allowed) == eea()
    assert not policy.HasField("legal")
    assert "Control of the operator is not asked" in load_presets()["gdpr-eea"][-1].promises_not[0]


def test_gdpr_adequate_adds_whole_countries_only() -> None:
    allowed = set(expand("gdpr-adequate", TODAY).site.countries_allowed)
    assert allowed > set(eea())
    assert {"CH", "GB", "JP", "BR"} <= allowed
    assert allowed.isdisjoint({"US", "CA", "CN", "RU", "IN"})


def test_gdpr_adequate_loses_a_country_on_the_day_on_which_its_decision_ends() -> None:
    assert "GB" in expand("gdpr-adequate", date(2031, 12, 26)).site.countries_allowed
    later = expand("gdpr-adequate", date(2031, 12, 27))
    for rule in (later.site, later.transit, later.personnel):
        assert "GB" not in rule.countries_allowed


def test_a_date_after_the_name_keeps_a_preset_as_it_was_that_day() -> None:
    policy = expand("gdpr-adequate@2026-11-01", date(2032, 6, 1))
    assert "GB" in policy.site.countries_allowed
    assert policy.presets[0].startswith("gdpr-adequate@2026-11-01 sha256:")


def test_eu_sovereign_denies_every_listed_law_and_leaves_no_part_open() -> None:
    policy = expand("eu-sovereign", TODAY)
    assert list(policy.legal.laws_denied) == sorted(law_names())
    rules = (policy.site, policy.legal, policy.transit, policy.personnel)
    assert all(list(rule.countries_allowed) == eea() for rule in rules)
    assert policy.transit.unknown_paths == residency_pb2.UNKNOWN_PATHS_REJECT


def test_no_sikkerhetsloven_is_norway_in_every_part() -> None:
    policy = expand("no-sikkerhetsloven", TODAY)
    rules = (policy.site, policy.legal, policy.transit, policy.personnel)
    assert all(list(rule.countries_allowed) == ["NO"] for rule in rules)


def test_secnumcloud_asks_for_the_certificate_by_version_and_for_the_unions_control() -> None:
    policy = expand("secnumcloud", TODAY)
    assert [(need.scheme, list(need.versions)) for need in policy.certification.required[0].any_of] == [
        ("SecNumCloud", ["3.2"])
    ]
    assert policy.legal.foreign_share_percent_max == 39
    assert list(policy.legal.countries_allowed) == union()
    assert "NO" not in policy.site.countries_allowed


def test_dora_asks_for_a_place_and_a_standard_and_says_that_the_rest_is_contract() -> None:
    policy = expand("dora", TODAY)
    assert not policy.HasField("legal")
    assert {need.scheme for need in policy.certification.required[0].any_of} == {"C5", "ISO-27001", "SecNumCloud"}
    assert "matters of contract" in " ".join(load_presets()["dora"][-1].promises_not)


# --- where it came from ---


def test_the_mark_names_the_day_and_a_digest_that_sha256sum_gives() -> None:
    folder = resources.files("hansa.law")
    paths = ["groups/EEA.yaml", "presets/gdpr-eea@2026-11-01.yaml"]
    lines = [f"{hashlib.sha256(folder.joinpath(path).read_bytes()).hexdigest()}  {path}\n" for path in paths]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert list(expand("gdpr-eea", TODAY).presets) == [f"gdpr-eea@2026-11-22 sha256:{digest}"]


def test_the_digest_is_over_every_group_that_was_used_and_over_no_other() -> None:
    found = expansion("gdpr-adequate", TODAY)
    assert [group.name for group in found.groups] == ["EEA", "adequate"]
    assert expansion("no-sikkerhetsloven", TODAY).groups == ()
    assert joint_digest([("a", "1"), ("b", "2")]) == joint_digest([("b", "2"), ("a", "1")])
    assert joint_digest([("a", "1"), ("b", "2")]) != joint_digest([("a", "1"), ("b", "3")])


def test_expanding_the_day_of_a_mark_again_gives_the_same() -> None:
    for name in NAMES:
        policy = expand(name, TODAY)
        again = expand(policy.presets[0].split(" ")[0], date(2030, 1, 1))
        assert again == policy


def test_a_caller_may_change_what_it_got_without_changing_the_data() -> None:
    expand("gdpr-eea", TODAY).site.countries_allowed.append("US")
    assert "US" not in expand("gdpr-eea", TODAY).site.countries_allowed


def test_an_expansion_notes_groups_that_should_have_been_looked_at() -> None:
    found = expansion("gdpr-adequate", TODAY)
    assert found.notes(date(2026, 11, 1)) == ()
    assert [note.split(" ")[0] for note in found.notes(date(2027, 3, 1))] == ["adequate"]


# --- refusals ---


@pytest.mark.parametrize(
    ("name", "reason", "part"),
    [
        ("gdpr-eeu", "NOT_FOUND", "did you mean gdpr-eea?"),
        ("secnum-cloud", "NOT_FOUND", "did you mean secnumcloud?"),
        ("gdpr-eea@2026-11-23", "INVALID_FIELD", "lies after 2026-11-22"),
        ("gdpr-eea@2026-10-31", "INVALID_FIELD", "the first is gdpr-eea@2026-11-01"),
        ("gdpr-eea@2026-02-30", "INVALID_FIELD", "no day 2026-02-30; nearest valid: gdpr-eea@2026-02-28"),
        ("gdpr-eea@2026-13-01", "INVALID_FIELD", "no day 2026-13-01; expected NAME@YYYY-MM-DD"),
        ("GDPR-EEA", "INVALID_FIELD", "is not NAME or NAME@YYYY-MM-DD"),
        ("", "INVALID_FIELD", "is not NAME or NAME@YYYY-MM-DD"),
        ("gdpr-eea@2026-11-22 sha256:" + "0" * 64, "INVALID_FIELD", "is not NAME or NAME@YYYY-MM-DD"),
    ],
)
def test_a_preset_that_is_not_there_is_refused_with_its_reason(name: str, reason: str, part: str) -> None:
    with pytest.raises(HansaError) as caught:
        expand(name, TODAY)
    assert caught.value.reason == reason
    assert part in caught.value.message


# --- for the control plane ---


def test_a_request_becomes_its_own_part_and_one_policy_a_preset() -> None:
    policy = Policy(presets=["gdpr-eea", "dora@2026-11-01"], on_change=residency_pb2.ON_CHANGE_TERMINATE)
    policy.site.countries_allowed.extend(["NO", "US"])
    own, first, second = expand_policy(policy, TODAY)
    assert (list(own.presets), list(own.site.countries_allowed)) == ([], ["NO", "US"])
    assert own.on_change == residency_pb2.ON_CHANGE_TERMINATE
    assert first.presets[0].startswith("gdpr-eea@2026-11-22 sha256:")
    assert second.presets[0].startswith("dora@2026-11-01 sha256:")
    assert list(policy.presets) == ["gdpr-eea", "dora@2026-11-01"]


def test_a_preset_without_on_change_leaves_the_choice_to_the_request() -> None:
    _, preset = expand_policy(Policy(presets=["gdpr-eea"]), TODAY)
    assert preset.on_change == residency_pb2.ON_CHANGE_KEEP_AND_ALERT


def test_a_request_without_presets_is_itself_alone() -> None:
    assert expand_policy(Policy(on_change=residency_pb2.ON_CHANGE_DRAIN), TODAY) == [
        Policy(on_change=residency_pb2.ON_CHANGE_DRAIN)
    ]


def test_a_wrong_preset_of_a_request_is_an_invalid_field_with_its_place() -> None:
    with pytest.raises(HansaError, match="did you mean dora") as caught:
        expand_policy(Policy(presets=["gdpr-eea", "dorra"]), TODAY, path="spec.residency")
    assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", "spec.residency.presets[1]")

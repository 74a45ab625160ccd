"""A residency policy in YAML: what it becomes, and what is refused with which words."""

from __future__ import annotations

from datetime import date

import pytest
import yaml

from hansa.errors import HansaError
from hansa.law.membership import policy_reader
from hansa.policy_file import PolicyReader, parse_preset
from hansa.policy_words import policy_words
from hansa.v1 import common_pb2, residency_pb2
from hansa.yaml_tree import read_yaml

TODAY = date(2026, 11, 22)
Policy = residency_pb2.ResidencyPolicy

WHOLE = """\
preset: [gdpr-eea, gdpr-adequate@2026-11-01]
data: {allow: [NO, SE, DE], deny: [DE]}
control: [NO, SE]
deny_laws: [US-CLOUD-ACT]
foreign_share_percent_max: 25
transit: {deny: [RU]}
deny_carriers: [blueridge]
encryption: required
unknown_paths: accept-encrypted
personnel: {allow: [NO], clearances: [hemmelig]}
attestation: [intel-tdx|amd-sev-snp, nvidia-gpu-cc]
certification: [ISO-27001, {scheme: SecNumCloud, version: [3.2], level: [high]}, [C5, {scheme: EUCS, version: 1}]]
energy: {carbon_gco2_per_kwh_max: 100, renewable_percent_min: 50}
predicates: ["zone.price_eur_per_hour < 3.0"]
applies_to: [output, input]
on_change: keep-and-alert
"""


def read(text: str) -> Policy:
    return policy_reader(TODAY).read(read_yaml(text))


def refusal(text: str) -> HansaError:
    with pytest.raises(HansaError) as caught:
        policy_reader(TODAY).read(read_yaml(text, source="yard.yaml"))
    assert caught.value.reason == "INVALID_FIELD"
    return caught.value


def test_a_whole_policy_becomes_every_rule() -> None:
    policy = read(WHOLE)
    assert list(policy.presets) == ["gdpr-eea", "gdpr-adequate@2026-11-01"]
    assert (list(policy.site.countries_allowed), list(policy.site.countries_denied)) == (["DE", "NO", "SE"], ["DE"])
    assert (list(policy.legal.countries_allowed), list(policy.legal.laws_denied)) == (["NO", "SE"], ["US-CLOUD-ACT"])
    assert policy.legal.foreign_share_percent_max == 25
    assert (list(policy.transit.countries_allowed), list(policy.transit.countries_denied)) == ([], ["RU"])
    assert (list(policy.transit.carriers_denied), policy.transit.encryption_required) == (["blueridge"], True)
    assert policy.transit.unknown_paths == residency_pb2.UNKNOWN_PATHS_ACCEPT_ENCRYPTED
    assert (list(policy.personnel.countries_allowed), list(policy.personnel.clearances_required)) == (
        ["NO"],
        ["hemmelig"],
    )
    assert [list(required.any_of) for required in policy.attestation.required] == [
        ["amd-sev-snp", "intel-tdx"],
        ["nvidia-gpu-cc"],
    ]
    assert [
        [(need.scheme, list(need.versions), list(need.levels)) for need in required.any_of]
        for required in policy.certification.required
    ] == [[("ISO-27001", [], [])], [("SecNumCloud", ["3.2"], ["high"])], [("C5", [], []), ("EUCS", ["1"], [])]]
    assert (policy.energy.carbon_gco2_per_kwh_max, policy.energy.renewable_percent_min) == (100, 50)
    assert list(policy.predicates) == ["zone.price_eur_per_hour < 3.0"]
    assert list(policy.applies_to) == [common_pb2.DATA_CLASS_INPUT, common_pb2.DATA_CLASS_OUTPUT]
    assert policy.on_change == residency_pb2.ON_CHANGE_KEEP_AND_ALERT


def test_what_is_not_written_is_absent_and_what_runs_drains() -> None:
    policy = read("{energy: {renewable_percent_min: 0}}")
    assert [field.name for field, _ in policy.ListFields()] == ["on_change", "energy"]
    assert policy.on_change == residency_pb2.ON_CHANGE_DRAIN
    assert policy.energy.HasField("renewable_percent_min")
    assert not policy.energy.HasField("carbon_gco2_per_kwh_max")


def test_none_restricts_nothing() -> None:
    assert read("none") == Policy(on_change=residency_pb2.ON_CHANGE_DRAIN)


def test_a_group_becomes_its_members_on_the_day() -> None:
    assert list(read("{data: [Nordic, DE, SE]}").site.countries_allowed) == ["DE", "DK", "FI", "IS", "NO", "SE"]
    then = policy_reader(date(2020, 1, 31)).read(read_yaml("{data: [EU]}"))
    assert "GB" in then.site.countries_allowed
    assert "GB" not in read("{data: [EU]}").site.countries_allowed


def test_a_group_may_be_denied_too() -> None:
    assert list(read("{transit: {deny: [Nordic]}}").transit.countries_denied) == ["DK", "FI", "IS", "NO", "SE"]


def test_without_a_day_a_group_is_refused() -> None:
    with pytest.raises(HansaError, match="no group of countries"):
        policy_reader(None).read(read_yaml("{data: [EEA]}"))


def test_a_group_is_refused_on_a_day_before_its_data_with_file_and_line() -> None:
    with pytest.raises(HansaError, match=r"y.yaml:1: adequate is known from 2018-05-25") as caught:
        policy_reader(date(2017, 1, 1)).read(read_yaml("{data: [adequate]}", source="y.yaml"))
    assert caught.value.field == "data[0]"


def test_an_empty_list_of_denials_says_nothing() -> None:
    policy = read("{data: [NO], deny_laws: [], deny_carriers: [], predicates: []}")
    assert not (policy.HasField("legal") or policy.HasField("transit"))


def test_one_preset_may_stand_alone() -> None:
    assert list(read("preset: gdpr-eea").presets) == ["gdpr-eea"]


@pytest.mark.parametrize("name", ["US-CLOUD-ACT", "XX-LAW-1", "IN-DPDP-2023"])
def test_a_law_that_is_not_in_the_data_may_be_named(name: str) -> None:
    assert list(read(f"{{control: [NO], deny_laws: [{name}]}}").legal.laws_denied) == [name]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("US-CLOUDACT", "US-CLOUD-ACT"),
        ("us-cloud-act", "US-CLOUD-ACT"),
        ("FISA-702", "US-FISA-702"),
        ("CN-NIL", "CN-NIL-2017"),
    ],
)
def test_a_law_that_looks_like_a_slip_is_refused_because_it_would_silently_not_be_denied(name: str, meant: str) -> None:
    assert f"did you mean {meant}?" in refusal(f"{{control: [NO], deny_laws: [{name}]}}").message


@pytest.mark.parametrize("name", ["amd-sev", "intel-tdx", "tpm-2.0"])
def test_a_technology_that_is_not_in_the_list_may_be_named(name: str) -> None:
    assert list(read(f"attestation: [{name}]").attestation.required[0].any_of) == [name]


def test_an_inner_list_of_technologies_is_any_of_them() -> None:
    assert list(read("attestation: [[intel-tdx, arm-cca]]").attestation.required[0].any_of) == ["arm-cca", "intel-tdx"]


@pytest.mark.parametrize(
    ("text", "field", "part"),
    [
        ("{preset: [dora, gdpr-eea@2026-02-30]}", "preset[1]", "no day 2026-02-30; nearest valid: gdpr-eea@2026-02-28"),
        ("{control: [NO], foreign_share_percent_max: 24.5}", "foreign_share_percent_max", "nearest valid: 24"),
        ("{control: [NO], foreign_share_percent_max: 1e9}", "foreign_share_percent_max", "nearest valid: 100"),
        ("some", "", "'some' is no policy; expected rules as in {data: [NO, SE]} (preset, data, control, transit, "),
        ("null", "", "predicates), or the word none, which restricts nothing"),
        ("''", "", "is empty; expected rules"),
        ("{}", "", "restricts nothing; name preset, data, control"),
        ("{on_change: drain}", "", "restricts nothing"),
        ("{date: [NO]}", "date", "did you mean data?"),
        ("{data: []}", "data", "at least one country"),
        ("{data: NO}", "data", "expected a list"),
        ("{data: {}}", "data", "under allow, deny or both"),
        ("{data: {allowed: [NO]}}", "data.allowed", "did you mean allow?"),
        ("{data: {allow: []}}", "data.allow", "at least one country"),
        ("{data: {allow: [NO], clearances: [a]}}", "data.clearances", "unknown key"),
        ("{data: [Norway]}", "data[0]", "did you mean NO?"),
        ("{data: [UK]}", "data[0]", "did you mean GB?"),
        ("{data: [Deutschland]}", "data[0]", "did you mean DE?"),
        ("{data: [nordics]}", "data[0]", "did you mean Nordic?"),
        ("{data: [XX]}", "data[0]", "no country code of ISO 3166-1 alpha-2 and no group"),
        ("{data: [NO], deny_laws: [US-CLOUD-ACT]}", "deny_laws", "needs control beside it"),
        ("{data: [NO], foreign_share_percent_max: 5}", "foreign_share_percent_max", "needs control beside it"),
        ("{data: [NO], deny_carriers: [blueridge]}", "deny_carriers", "needs transit beside it"),
        ("{data: [NO], encryption: required}", "encryption", "needs transit beside it"),
        ("{control: [NO], applies_to: [input]}", "applies_to", "needs data or transit beside it"),
        ("{control: [NO], foreign_share_percent_max: 101}", "foreign_share_percent_max", "nearest valid: 100"),
        ("{control: [NO], deny_laws: [a law]}", "deny_laws[0]", "capitals, digits and hyphens"),
        ("{transit: [NO], encryption: optional}", "encryption", "not one of required"),
        ("{transit: [NO], unknown_paths: accept}", "unknown_paths", "not one of reject, accept-encrypted"),
        ("{transit: [NO], applies_to: []}", "applies_to", "at least one"),
        ("{transit: [NO], applies_to: [inputs]}", "applies_to[0]", "did you mean input?"),
        ("{personnel: {clearances: [hemmelig]}}", "personnel", "under allow, deny or both"),
        ("{attestation: [intel-tdxx]}", "attestation[0]", "did you mean intel-tdx?"),
        ("{attestation: ['intel-tdx|']}", "attestation[0]", "no technology"),
        ("{attestation: [[]]}", "attestation[0]", "at least one technology"),
        ("{attestation: []}", "attestation", "at least one"),
        ("{certification: [{version: [1]}]}", "certification[0]", "'scheme' is missing"),
        ("{certification: [{scheme: C5, versions: [1]}]}", "certification[0].versions", "did you mean version?"),
        ("{certification: [[]]}", "certification[0]", "at least one"),
        ("{energy: {}}", "energy", "must bound"),
        ("{energy: {renewable_percent_min: 120}}", "energy.renewable_percent_min", "nearest valid: 100"),
        ("{energy: {carbon_max: 1}}", "energy.carbon_max", "unknown key"),
        ("{predicates: zone}", "predicates", "expected a list"),
        ('{predicates: ["true", "zone.name != \'\\e[31m\'"]}', "predicates[1]", "characters that can be printed"),
        ("{predicates: [\"zone.name != '\\u202Ea'\"]}", "predicates[0]", "must be one line of at most 1000"),
        ('{predicates: ["true\\n&& true"]}', "predicates[0]", "must be one line"),
        ("{preset: []}", "preset", "at least one preset"),
        ("{preset: [gdpr-eea, gdpr-eea]}", "preset[1]", "stands twice"),
        ("{preset: gdpr-eea@today}", "preset", "NAME@YYYY-MM-DD"),
        ("{data: [NO], on_change: stop}", "on_change", "not one of keep-and-alert, drain, terminate"),
    ],
)
def test_what_is_malformed_is_refused_with_field_line_and_the_nearest(text: str, field: str, part: str) -> None:
    error = refusal(text)
    assert error.field == field
    assert part in error.message
    assert error.message.startswith("yard.yaml:1: ")


def test_the_line_of_a_wrong_value_is_named() -> None:
    assert refusal("data: [NO]\npersonnel:\n  allow: [NO]\n  deny: [Sweden]\n").message.startswith("yard.yaml:4: ")


# --- back into words ---


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        "{data: [NO]}",
        "{control: {deny: [CN, RU]}, on_change: terminate}",
        "{personnel: {allow: [NO], deny: [SE]}}",
        "{attestation: [intel-tdx]}",
        "{transit: [NO], unknown_paths: reject, applies_to: [artefact]}",
        "{energy: {carbon_gco2_per_kwh_max: 0}}",
    ],
)
def test_a_policy_in_words_is_read_as_the_same_policy(text: str) -> None:
    policy = read(text)
    assert read(yaml.safe_dump(policy_words(policy))) == policy


def test_an_allow_list_that_is_in_force_and_empty_shows() -> None:
    policy = Policy(site=residency_pb2.SiteRule(nothing_allowed=True))
    assert policy_words(policy) == {"data": {"allow": []}}


def test_norway_survives_being_written_as_yaml() -> None:
    assert yaml.safe_load(yaml.safe_dump(policy_words(read("{data: ['NO']}")))) == {
        "data": ["NO"],
        "on_change": "drain",
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gdpr-eea", ("gdpr-eea", None)),
        ("gdpr-adequate@2026-11-01", ("gdpr-adequate", date(2026, 11, 1))),
        ("gdpr-adequate@20261101", None),
        ("@2026-11-01", None),
        ("-eea", None),
    ],
)
def test_the_name_of_a_preset_is_read_with_its_day(name: str, found: object) -> None:
    assert parse_preset(name) == found


def test_a_reader_without_data_reads_codes() -> None:
    assert list(PolicyReader().read(read_yaml("{data: [NO]}")).site.countries_allowed) == ["NO"]

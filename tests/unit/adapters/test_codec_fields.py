"""Single fields: what is taken, what is refused, and with which hint."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pytest
from hansa_control.adapters import codec_fields as fields
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import FactKind, Reason

from hansa.v1 import common_pb2

DIGEST = "sha256:" + "0" * 64

TAKEN: list[tuple[Callable[[Any, str], Any], Any]] = [
    (fields.name_in, "a"),
    (fields.name_in, "oslo-1"),
    (fields.name_in, "a" * 63),
    (fields.network_name_in, "oslo--goteborg"),
    (fields.network_name_in, "1st-node"),
    (fields.identity_in, "9c4-1-0"),
    (fields.request_id_in, "A_b-9"),
    (fields.digest_in, DIGEST),
    (fields.model_in, "RTX 6000"),
    (fields.mig_profile_in, ""),
    (fields.mig_profile_in, "1g.10gb+me"),
    (fields.law_in, "US-CLOUD-ACT"),
    (fields.percent_in, "24.5"),
    (fields.percent_in, "100"),
    (fields.country_in, "NO"),
    (fields.percentile_in, 95),
    (fields.address_in, "127.0.0.1:862"),
    (fields.address_in, "[::1]:862"),
    (fields.url_in, "https://203.0.113.7:8443"),
    (fields.url_in, "https://edge.example:8443/v1"),
    (fields.spiffe_id_in, "spiffe://home.example/tenant/acme"),
]

REFUSED: list[tuple[Callable[[Any, str], Any], Any]] = [
    (fields.name_in, ""),
    (fields.name_in, "Oslo"),
    (fields.name_in, "1oslo"),
    (fields.name_in, "oslo-"),
    (fields.name_in, "a" * 64),
    (fields.name_in, "oslo\n"),
    (fields.name_in, "../etc"),
    (fields.network_name_in, "oslo/1"),
    (fields.identity_in, "x" * 81),
    (fields.request_id_in, ""),
    (fields.request_id_in, "a b"),
    (fields.request_id_in, "a" * 65),
    (fields.digest_in, "sha256:" + "A" * 64),
    (fields.digest_in, "sha256:" + "0" * 63),
    (fields.digest_in, "md5:" + "0" * 32),
    (fields.model_in, "nvidia/L4"),
    (fields.mig_profile_in, "huge"),
    (fields.percent_in, "100.1"),
    (fields.percent_in, "-1"),
    (fields.percentile_in, 90),
    (fields.address_in, "127.0.0.1"),
    (fields.address_in, "host:0"),
    (fields.address_in, "host:65536"),
    (fields.address_in, "a b:1"),
    (fields.address_in, "host:²"),
    (fields.url_in, "http://203.0.113.7:8443"),
    (fields.url_in, "https://203.0.113.7"),
    (fields.url_in, "https://user@host:1"),
    (fields.spiffe_id_in, "https://home.example/tenant/acme"),
    (fields.pem_in, b"not a certificate"),
    (fields.pem_in, b"-----BEGIN CERTIFICATE----- -----BEGIN PRIVATE KEY-----"),
    (fields.text_in, "bell\a"),
    (fields.text_in, "x" * 201),
    (fields.required_text_in, "  "),
    (fields.zone_id_in, "oslo-1"),
    (fields.zone_id_in, "nordfjord/oslo/1"),
    (fields.workload_id_in, "workloads/ocr"),
    (fields.workload_id_in, "tenants/Acme/workloads/ocr"),
    (fields.time_ms_in, -1),
    (fields.time_ms_in, 10**15),
]


@pytest.mark.parametrize(("read", "value"), TAKEN)
def test_a_good_value_is_taken_as_it_is(read: Callable[[Any, str], Any], value: Any) -> None:
    assert read(value, "here") == value


@pytest.mark.parametrize(("read", "value"), REFUSED)
def test_a_bad_value_is_refused_with_its_path(read: Callable[[Any, str], Any], value: Any) -> None:
    with pytest.raises(RefusalError) as refusal:
        read(value, "spec.here[3]")
    assert refusal.value.reason is Reason.INVALID_FIELD
    assert refusal.value.field.startswith("spec.here[3]")
    assert refusal.value.message


@pytest.mark.parametrize(
    ("read", "value", "hint"),
    [
        (fields.name_in, "Oslo 1", "did you mean 'oslo-1'"),
        (fields.country_in, "no", "did you mean 'NO'"),
        (fields.country_in, "Norway", "did you mean 'NO'"),
        (fields.country_in, "NOR", "did you mean 'NO'"),
        (fields.law_in, "us cloud act", "did you mean 'US-CLOUD-ACT'"),
        (fields.percentile_in, 90, "the nearest is 95"),
    ],
)
def test_a_refusal_names_the_nearest_valid_value(read: Callable[[Any, str], Any], value: Any, hint: str) -> None:
    with pytest.raises(RefusalError, match=hint):
        read(value, "field")


def test_a_number_out_of_range_is_refused_with_the_nearest_bound() -> None:
    with pytest.raises(RefusalError, match="1001 is not from 1 to 1000; the nearest is 1000"):
        fields.range_in(1001, (1, 1000), "replicas")


@pytest.mark.parametrize("angle", [90.1, -91.0, float("nan"), float("inf")])
def test_an_impossible_angle_is_refused(angle: float) -> None:
    with pytest.raises(RefusalError):
        fields.degrees_in(angle, 90.0, "latitude_deg")


def test_a_value_too_long_to_show_is_cut_in_the_message() -> None:
    with pytest.raises(RefusalError) as refusal:
        fields.name_in("X" * 5000, "name")
    assert len(refusal.value.message) < 300


def test_countries_are_sorted_and_given_once() -> None:
    assert fields.countries_in(["SE", "NO", "SE"], "countries") == ("NO", "SE")


def test_a_wrong_country_in_a_list_is_named_by_its_index() -> None:
    with pytest.raises(RefusalError) as refusal:
        fields.countries_in(["NO", "XX"], "countries_allowed")
    assert refusal.value.field == "countries_allowed[1]"


def test_a_line_end_in_a_message_becomes_a_space() -> None:
    assert fields.message_in("two\nlines", "message") == "two lines"


def test_the_second_of_two_equal_names_is_refused() -> None:
    with pytest.raises(RefusalError) as refusal:
        fields.distinct(["a", "b", "a"], "access")
    assert refusal.value.field == "access[2]"


# --- enumerations ---

KINDS = fields.EnumCodec(FactKind, common_pb2.FactKind, "FACT_KIND")


@pytest.mark.parametrize("member", FactKind)
def test_every_member_of_an_enumeration_comes_back_as_it_went(member: FactKind) -> None:
    assert KINDS.read(KINDS.out(member), "kind") is member


@pytest.mark.parametrize(("number", "said"), [(0, "is not set"), (99, "99 is not known")])
def test_an_unset_or_unknown_member_is_refused(number: int, said: str) -> None:
    with pytest.raises(RefusalError, match=said):
        KINDS.read(number, "kind")


def test_an_unknown_member_may_have_a_fallback() -> None:
    assert KINDS.read_or(99, FactKind.SITE_COUNTRY) is FactKind.SITE_COUNTRY


def test_an_enumeration_that_differs_from_the_wire_is_a_defect() -> None:
    class Drifted(StrEnum):
        SITE_COUNTRY = "SITE_COUNTRY"

    with pytest.raises(TypeError, match="ULTIMATE_PARENT_COUNTRY"):
        fields.EnumCodec(Drifted, common_pb2.FactKind, "FACT_KIND")

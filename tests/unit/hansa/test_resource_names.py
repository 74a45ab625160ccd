from __future__ import annotations

import pytest

from hansa.errors import HansaError
from hansa.names import (
    WorkloadName,
    ZoneName,
    checked_id,
    hint,
    nearest,
    parse_workload,
    parse_zone,
    short_workload,
    short_zone,
)


def test_a_short_workload_gets_the_tenant() -> None:
    assert parse_workload("yard-ocr", "havneby") == WorkloadName("havneby", "yard-ocr")


def test_a_full_workload_keeps_its_tenant() -> None:
    name = parse_workload("tenants/other/workloads/yard-ocr", "havneby")
    assert str(name) == "tenants/other/workloads/yard-ocr"
    assert name.short == "yard-ocr"


@pytest.mark.parametrize(
    "text", ["a/b", "tenants/t/workload/w", "tenants/t/workloads/", "tenants//workloads/w", "", "/"]
)
def test_what_is_no_workload_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(HansaError) as caught:
        parse_workload(text, "havneby")
    assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", "name")


def test_a_short_workload_without_a_tenant_is_refused() -> None:
    with pytest.raises(HansaError, match="tenants/TENANT/workloads/WORKLOAD"):
        parse_workload("yard-ocr")


@pytest.mark.parametrize("text", ["nordavind/oslo-1", "operators/nordavind/zones/oslo-1"])
def test_both_forms_of_a_zone_are_read(text: str) -> None:
    zone = parse_zone(text)
    assert zone == ZoneName("nordavind", "oslo-1")
    assert (str(zone), zone.short) == ("operators/nordavind/zones/oslo-1", "nordavind/oslo-1")


@pytest.mark.parametrize("text", ["oslo-1", "a/b/c", "operators/a/zone/b", "/", "a/", "Nordavind/oslo-1"])
def test_what_is_no_zone_is_refused(text: str) -> None:
    with pytest.raises(HansaError, match=r"INVALID_FIELD \(zone\)"):
        parse_zone(text)


@pytest.mark.parametrize(("wrong", "right"), [("Yard_OCR", "yard-ocr"), ("1st yard", "st-yard"), ("a" * 80, "a" * 63)])
def test_a_wrong_id_is_answered_with_the_nearest_right_one(wrong: str, right: str) -> None:
    with pytest.raises(HansaError, match=f"nearest valid: {right}$"):
        checked_id(wrong, "name")


def test_an_id_that_nothing_is_near_to_gets_the_rule_alone() -> None:
    with pytest.raises(HansaError) as caught:
        checked_id("!!!", "name")
    assert "nearest" not in caught.value.message


def test_nearest_ignores_case_and_is_empty_when_nothing_is_alike() -> None:
    assert nearest("l40s", ["L40S", "H100"]) == "L40S"
    assert nearest("zzz", ["L40S", "H100"]) == ""


def test_hint_names_the_nearest_or_lists_a_few() -> None:
    assert hint("trasnit", ["transit", "data"]) == "; did you mean transit?"
    assert hint("zzz", ["b", "a"]) == "; valid: a, b"
    assert hint("zzz", [f"word-{number}" for number in range(20)]) == ""


def test_short_forms_leave_what_they_do_not_know() -> None:
    assert short_workload("tenants/t/workloads/w") == "w"
    assert short_zone("operators/o/zones/z") == "o/z"
    assert short_zone("o/z") == "o/z"

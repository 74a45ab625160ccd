"""What those who keep a zone's machines refuse, as a hard filter with its own reasons."""

from __future__ import annotations

from typing import Any

import pytest
from deciding_world import LINKS, NODES, NOW_MS, spec, zone
from hansa_control.domain.disclosure import outward
from hansa_control.domain.feasibility import filter_zone
from hansa_control.domain.model import DataClass, DataSource, Reason, Refusals
from hansa_control.domain.refusals import minute_of_week
from hansa_control.domain.snapshot import build_snapshot

MINUTE_MS = 60_000
FRIDAY_MS = 1_800_000_000_000
"""2027-01-15 08:00 UTC."""


def refused(refusals: Refusals | None, now_ms: int = NOW_MS, **asked: Any) -> list[tuple[str, str, str]]:
    at = zone(inventory={"refusals": refusals})
    outcome = filter_zone(spec(**asked), build_snapshot(1, (at,), NODES, LINKS, NOW_MS), at, now_ms)
    return [(one.reason.value, one.result.constraint, one.result.measured) for one in outcome.rejections]


def source(data: DataClass) -> tuple[DataSource, ...]:
    return (DataSource("lake", "oslo", "NO", data),)


@pytest.mark.parametrize(
    ("allowed", "denied", "asker", "reason"),
    [
        ((), (), "", None),
        (("nordavind/harbour",), (), "nordavind/harbour", None),
        (("nordavind/harbour",), (), "nordavind/mill", Reason.TENANT_REFUSED),
        (("nordavind/*",), (), "nordavind/mill", None),
        (("nordavind/*",), (), "nordavind2/mill", Reason.TENANT_REFUSED),
        (("*",), ("skargard/*",), "skargard/mill", Reason.TENANT_REFUSED),
        ((), ("skargard/mill",), "nordavind/mill", None),
        ((), ("*",), "nordavind/mill", Reason.TENANT_REFUSED),
        (("nordavind/mill",), ("nordavind/mill",), "nordavind/mill", Reason.TENANT_REFUSED),
        ((), ("skargard/mill",), "", Reason.TENANT_UNKNOWN),
        (("*",), (), "", Reason.TENANT_UNKNOWN),
    ],
)
def test_a_tenant_is_taken_if_allowed_and_not_denied_and_nobody_unknown(
    allowed: tuple[str, ...], denied: tuple[str, ...], asker: str, reason: Reason | None
) -> None:
    found = refused(Refusals(allowed, denied), asker=asker)
    assert [one[0] for one in found] == ([reason.value] if reason else [])
    assert all(one[1] == "SiteConsent" for one in found)


def test_what_a_workload_brings_is_its_users_data_its_artefact_and_its_sources_data() -> None:
    for always in ("INPUT", "OUTPUT", "ARTEFACT"):
        assert refused(Refusals(data_denied=(always,))) == [("DATA_REFUSED", "SiteConsent", f"brings {always}")]
    backup = Refusals(data_denied=("BACKUP", "WEIGHTS"))
    assert refused(backup) == []
    assert refused(backup, data_sources=source(DataClass.BACKUP)) == [("DATA_REFUSED", "SiteConsent", "brings BACKUP")]


@pytest.mark.parametrize(("shift", "is_refused"), [(-1, False), (0, True), (59, True), (60, False)])
def test_nothing_starts_from_the_begin_of_a_time_to_the_minute_before_its_end(shift: int, is_refused: bool) -> None:
    begin = minute_of_week(FRIDAY_MS)
    assert begin == 4 * 1_440 + 8 * 60
    found = refused(Refusals(spans=((begin, begin + 60),)), FRIDAY_MS + shift * MINUTE_MS)
    assert found == ([("TIME_REFUSED", "SiteConsent", "in Fri 08:00 to Fri 09:00 UTC")] if is_refused else [])


def test_every_refusal_of_a_site_is_told_and_a_zone_that_refuses_nothing_of_it_says_so() -> None:
    everything = Refusals(("*",), (), ("INPUT",), ((0, 10_080),))
    assert [one[0] for one in refused(everything)] == ["TENANT_UNKNOWN", "DATA_REFUSED", "TIME_REFUSED"]
    at = zone(inventory={"refusals": Refusals(data_denied=("LOGS",))})
    passed = filter_zone(spec(), build_snapshot(1, (at,), NODES, LINKS, NOW_MS), at, NOW_MS).passed
    assert [one.measured for one in passed if one.constraint == "SiteConsent"] == ["not refused"]


def test_a_partner_is_shown_that_tenants_are_judged_and_not_which_and_its_filter_leaves_that_to_the_owner() -> None:
    refusals = Refusals(("nordavind/*",), ("skargard/mill",), ("LOGS",), ((0, 1),))
    seen = outward(zone(inventory={"refusals": refusals})).inventory.refusals
    assert seen == Refusals((), (), ("LOGS",), ((0, 1),), tenants_withheld=True)
    assert refused(seen) == []
    times = zone(inventory={"refusals": Refusals(spans=((0, 1),))})
    assert outward(times) is times

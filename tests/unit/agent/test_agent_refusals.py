"""What those who keep the machines refuse: the section, what is told of it, and that every order is held against it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_orders import DIGEST, desired, order
from hansa_agent.admission import judge
from hansa_agent.config_refusals import RefusalsSection
from hansa_agent.refusals import message_of, refused
from pydantic import ValidationError
from test_agent_admission import grounds
from test_agent_config import problems, write

from hansa.v1 import zone_pb2
from hansa.v1.common_pb2 import DATA_CLASS_BACKUP, DATA_CLASS_INPUT, ArtefactRef

FRIDAY_MS = 1_800_000_000_000
"""2027-01-15 08:00 UTC."""


def section(**content: Any) -> RefusalsSection:
    return RefusalsSection.model_validate(content)


def spans(*times: dict[str, Any]) -> list[tuple[int, int]]:
    told = message_of(section(times=list(times)))
    assert told is not None
    return [(one.from_minute, one.until_minute) for one in told.times]


def test_times_are_told_in_minutes_of_the_week_and_go_over_midnight_and_sunday() -> None:
    assert spans({"days": ["mon"], "from": "00:00", "to": "24:00"}) == [(0, 1_440)]
    assert spans({"days": ["fri"], "from": "22:00", "to": "04:00"}) == [(7_080, 7_440)]
    assert spans({"days": ["sun"], "from": "22:00", "to": "04:00"}) == [(0, 240), (9_960, 10_080)]
    assert len(spans({"from": "01:00", "to": "02:00"})) == 7


def test_times_that_overlap_or_meet_are_told_as_one_and_no_more_than_an_operator_takes() -> None:
    assert spans({"from": "20:00", "to": "06:00"}, {"from": "06:00", "to": "20:00"}) == [(0, 10_080)]
    assert spans(*[{"from": f"{hour:02}:00", "to": f"{hour:02}:30"} for hour in range(9)])[-1] == (9_120, 9_150)
    with pytest.raises(ValidationError, match="70 spells a week"):
        section(times=[{"from": f"{hour:02}:00", "to": f"{hour:02}:30"} for hour in range(10)])


def test_the_whole_section_is_told_and_an_empty_one_is_nothing() -> None:
    full = section(tenants={"allow": ["b/*", "a/x"], "deny": ["*"]}, data_classes={"deny": ["backup"]})
    assert message_of(full) == zone_pb2.SiteRefusals(
        tenants_allowed=["a/x", "b/*"], tenants_denied=["*"], data_denied=[DATA_CLASS_BACKUP]
    )
    assert message_of(section()) is None and message_of(None) is None


@pytest.mark.parametrize(
    ("refusals", "order_says", "field", "reason"),
    [
        ({"tenants": {"allow": ["a/x"]}}, {"asker": "a/y"}, "instance.asker", "TENANT_REFUSED"),
        ({"tenants": {"deny": ["a/*"]}}, {"asker": "a/y"}, "instance.asker", "TENANT_REFUSED"),
        ({"tenants": {"deny": ["a/x"]}}, {}, "instance.asker", "TENANT_UNKNOWN"),
        ({"data_classes": {"deny": ["backup"]}}, {}, "instance.data", "DATA_REFUSED"),
        ({"data_classes": {"deny": ["backup"]}}, {"data": [DATA_CLASS_BACKUP]}, "instance.data", "DATA_REFUSED"),
        ({"data_classes": {"deny": ["backup"]}}, {"data": [0]}, "instance.data", "DATA_REFUSED"),
        ({"data_classes": {"deny": ["backup"]}}, {"data": [DATA_CLASS_INPUT, 99]}, "instance.data", "DATA_REFUSED"),
        ({"times": [{"days": ["fri"], "from": "08:00", "to": "08:01"}]}, {}, "instance", "TIME_REFUSED"),
    ],
)
def test_an_order_that_the_site_refuses_is_not_taken_whatever_the_operator_says(
    refusals: dict[str, Any], order_says: dict[str, Any], field: str, reason: str
) -> None:
    complaint = refused(desired(**order_says), section(**refusals), FRIDAY_MS)
    assert complaint is not None
    assert (complaint[0], complaint[1].partition(":")[0]) == (field, reason)
    judging = replace(grounds(), refused=lambda one: refused(one, section(**refusals), FRIDAY_MS))
    assert judge(order(**order_says), {}, judging) == complaint
    held = {order().name: order()}
    assert judge(order(**order_says), held, judging) is None, "what is held goes on"


@pytest.mark.parametrize(
    "instead",
    [{"claim": "other"}, {"artefact": ArtefactRef(name="model", digest=DIGEST)}, {"asker": "a/y"}, {"data": [1, 6]}],
)
def test_what_is_new_under_the_name_of_what_is_held_is_judged_as_new(instead: dict[str, Any]) -> None:
    says: dict[str, Any] = {"asker": "a/x", "data": [DATA_CLASS_INPUT]}
    held = {order().name: order(**says)}
    closed = replace(grounds(), digests={"echo": DIGEST, "model": DIGEST}, closed="the site takes nothing new")
    assert judge(order(**(says | instead)), held, closed) == ("instance", "the site takes nothing new")


def test_what_is_held_may_be_told_anew() -> None:
    says: dict[str, Any] = {"asker": "a/x", "data": [DATA_CLASS_INPUT]}
    closed = replace(grounds(), closed="the site takes nothing new")
    for before, after in ((says, {}), ({}, says), (says, says | {"fencing_token": 8, "workload": "workloads/renamed"})):
        assert judge(order(**after), {order().name: order(**before)}, closed) is None


def test_an_order_that_says_what_is_asked_is_taken() -> None:
    refusals = section(
        tenants={"allow": ["a/*"]}, data_classes={"deny": ["backup"]}, times=[{"from": "09:00", "to": "10:00"}]
    )
    asking = desired(asker="a/y", data=[DATA_CLASS_INPUT])
    assert refused(asking, refusals, FRIDAY_MS) is None
    assert refused(asking, refusals, FRIDAY_MS + 3_600_000) is not None


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"tenants": {"allow": ["harbour"]}}, "tenants.allow.0"),
        ({"tenants": {"deny": ["*/harbour"]}}, "tenants.deny.0"),
        ({"data_classes": {"deny": ["secrets"]}}, "'secrets' is no kind of data"),
        ({"times": [{"from": "8:00", "to": "09:00"}]}, "times.0.from"),
        ({"times": [{"from": "08:00", "to": "08:00"}]}, "are the same"),
        ({"times": [{"days": [], "from": "08:00", "to": "09:00"}]}, "'days' is empty"),
        ({"times": [{"days": ["friday"], "from": "08:00", "to": "09:00"}]}, "times.0.days"),
        ({"times": [{"from": 1320, "to": "23:00"}]}, "in quotes"),
        ({"tenants": {"allow": []}}, "'allow' is empty"),
        ({"tenant": {}}, "tenant"),
    ],
)
def test_a_section_that_cannot_be_meant_is_an_error(content: dict[str, Any], where: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        section(**content)
    (tmp_path / "server.py").write_text("")
    assert where in " ".join(problems(write(tmp_path, {"refusals": content})))

"""What-if in words: what a planner reads, and what programs read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from estates import BODO, GOTEBORG, HELSINKI, OSLO, ask, asks, cores, estate
from hansa_control.domain.model import OnChange, ResidencyPolicy, SiteRule
from hansa_sim.what_if.answer import Answer
from hansa_sim.what_if.words import access_table, as_json, breaks, lines_of, table_of
from rich.console import Console
from rich.table import Table

IN_NORWAY = ResidencyPolicy(site=SiteRule(frozenset({"NO"})), on_change=OnChange.DRAIN)


def printed(table: Table | None) -> list[str]:
    console = Console(width=220)
    with console.capture() as capture:
        console.print(table if table is not None else "")
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


@pytest.fixture(scope="module")
def moved() -> Answer:
    return ask(estate([OSLO, GOTEBORG], app=asks(4), calm=asks(4, "goteborg", 12)), fail=("zone:nordavind/oslo-1",))


def test_only_what_changes_has_a_row(moved: Answer) -> None:
    header, *rows = printed(table_of(moved))
    assert header.split()[:4] == ["WORKLOAD", "WHAT", "FROM", "TO"]
    assert [row.split()[0] for row in rows] == ["app"]
    assert "nordavind/oslo-1 x 1" in rows[0]
    assert "skargard/goteborg-1 x 1" in rows[0]
    assert "7.1 -> 13.1" in rows[0]


def test_access_points_tell_by_how_much_their_way_is_longer(moved: Answer) -> None:
    assert [row.split() for row in printed(access_table(moved))[1:]] == [["oslo", "1", "7.1", "->", "13.1", "+6.0"]]


def test_where_nothing_changes_there_is_no_table() -> None:
    quiet = ask(estate([OSLO, GOTEBORG], app=asks(4)))
    assert table_of(quiet) is None
    assert access_table(quiet) is None
    assert list(lines_of(quiet))[:2] == ["what if: nothing", "1 workload: 1 stays"]
    assert list(lines_of(quiet))[-1] == "no promise is broken"


def test_users_who_are_cut_off_come_first_and_without_a_number() -> None:
    present = estate([OSLO, GOTEBORG], near=asks(4, residency=IN_NORWAY), far=asks(4, "goteborg", 12))
    found = ask(present, fail=("zone:nordavind/oslo-1",), cut=("link:oslo/goteborg",))
    assert [row.split()[0] for row in printed(access_table(found))[1:]] == ["oslo"]
    assert printed(access_table(found))[1].endswith("cut off")


def test_many_access_points_are_counted_and_not_all_named() -> None:
    spread = tuple(asks(1, at).access[0] for at in ("oslo", "goteborg", "umea", "bodo", "helsinki"))
    present = estate([OSLO], app=replace(asks(4), access=spread))
    found = ask(present, cut=("link:oslo/goteborg",))
    (change,) = found.changes
    assert next(iter(breaks(change))) == "no lawful way from goteborg, umea, bodo and 1 more"


def test_fallbacks_that_come_and_go_are_counted() -> None:
    lost = ask(estate([OSLO, GOTEBORG], app=asks(4)), fail=("zone:skargard/goteborg-1",))
    assert "fallbacks: 0 gained, 1 lost" in list(lines_of(lost))
    none = ask(estate([OSLO], app=asks(4)))
    assert not [line for line in lines_of(none) if line.startswith("fallbacks")]


def test_prices_are_told_before_and_after() -> None:
    found = ask(estate([OSLO, GOTEBORG], app=asks(4, residency=IN_NORWAY)), fail=("zone:nordavind/oslo-1",))
    assert "price: EUR 1.000/h before, EUR 0.000/h after (-1.000)" in list(lines_of(found))
    assert "zones in use: 1 before, 0 after" in list(lines_of(found))


def test_a_nearest_fix_is_told_where_production_knows_one() -> None:
    found = ask(estate([OSLO, HELSINKI], app=asks(4, rtt_ms_max=12)), fail=("zone:nordavind/oslo-1",))
    (change,) = found.changes
    assert change.nearest_fix
    assert list(breaks(change))[-1] == f"nearest fix: {change.nearest_fix}"


def test_who_stops_is_told_for_whom() -> None:
    zones = [cores(8, OSLO), cores(8, BODO)]
    present = estate(zones, high=asks(8, priority=10), low=asks(8, "bodo", priority=-10))
    found = ask(present, fail=("zone:nordavind/oslo-1",))
    assert list(breaks(found.changes[1])) == ["stops for high"]


def test_a_home_operator_that_is_silent_places_nobody() -> None:
    found = ask(estate([OSLO, GOTEBORG], app=asks(4)), fail=("operator:nordavind",))
    assert list(breaks(found.changes[0])) == ["its home operator is silent, and nobody else places it"]


def test_programs_get_both_sides_of_every_workload(moved: Answer) -> None:
    data = json.loads(json.dumps(as_json(moved), allow_nan=False))
    assert data["version"] == 1
    assert data["supposed"] == ["fail zone:nordavind/oslo-1"]
    assert [one["outcome"] for one in data["workloads"]] == ["moves", "stays"]
    first = data["workloads"][0]
    assert first["before"]["zones"] == [{"zone": "nordavind/oslo-1", "replicas": 1}]
    assert first["before"]["fallback"] == "skargard/goteborg-1"
    assert first["after"]["felt"] == [{"access_point": "oslo", "rtt_us": 13_128, "response_us": None}]
    assert (first["rtt_us_max"], first["percentile"]) == (60_000, 95)
    assert data["counts"]["moves"] == 1
    assert sum(data["counts"].values()) == 2

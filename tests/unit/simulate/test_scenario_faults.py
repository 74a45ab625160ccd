"""Scenarios in which something falls: who feels it, for how long, what moves, and that chance is the same for all."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hansa_sim.engines.model import AHEAD_NS_MAX, SECOND_NS
from hansa_sim.latency.fault_course import Epoch, FaultCourse, Spell, epochs
from hansa_sim.latency.fault_schedule import Fallen, Fault
from hansa_sim.latency.fault_worlds import FaultWorlds
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import FaultsFelt, Results, Row, as_json
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_faults import RecoveryPart
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.table import faults_table, words_of
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.views import ViewName, view_of
from hansa_sim.latency.world import World
from scenario_texts import world_of

RUN = ("run: {requests: 40000, replications: 4", "run: {duration_s: 60, replications: 3")
CUT = "{link: [oslo, stockholm], at_s: 20, for_s: 20}"
LEAVES = "{operator: nordavind, parts: zones, at_s: 30, notice_s: 10}"
GONE = "{operator: nordavind, parts: zones, at_s: 30}"
LESS = ("requests_per_s: 90", "requests_per_s: 30")
ROOM = ("model: L40S, count: 3", "model: L40S, count: 9")
DEAR = ("price_eur_per_hour: 1.5", "price_eur_per_hour: 9.5")
OSLO, STOCKHOLM = "nordavind/oslo-1", "skargard/stockholm-1"
RETRIES = "recovery: {detect_s: 2, replace_s: 1, fail_back_s: 5}"


def world(faults: str, policies: str = "nearest, least-latency, hansa", *changes: tuple[str, str]) -> World:
    head = f"faults: [{faults}]\n{RETRIES}\npolicies: [{policies}]"
    return world_of(Path(mkdtemp()), ("policies: [nearest]", head), RUN, LESS, ROOM, *changes)


@cache
def run(faults: str, policies: str = "nearest, least-latency, hansa", *changes: tuple[str, str]) -> Results:
    return run_scenario(world(faults, policies, *changes))


def row_of(results: Results, policy: str, view: str = "together") -> tuple[Row, FaultsFelt]:
    row = results.row(policy, view)
    assert row is not None
    assert row.faults is not None
    return row, row.faults


def lost_by_second(row: Row) -> list[int]:
    assert row.over_time is not None
    lost, bin_s = np.array(row.over_time.lost), row.over_time.bin_s
    return [int(lost[(np.arange(len(lost)) * bin_s // 1).astype(int) == second].sum()) for second in range(60)]


# --- what is known, and when ----------------------------------------------------------------------------------------


def test_what_has_fallen_is_known_later_and_planned_for_later_still() -> None:
    falls = Fallen(zones=frozenset({"a/b"}))
    spell = Spell.of(Fault("x", 10, 50, falls), RecoveryPart(detect_s=3e-9), is_sudden=False)
    nothing = Fallen()
    assert list(epochs([spell], 4)) == [
        Epoch(0),
        Epoch(10, falls, nothing, nothing),
        Epoch(13, falls, falls, nothing),
        Epoch(17, falls, falls, falls),
        Epoch(50, nothing, falls, falls),
        Epoch(53, nothing, nothing, falls),
        Epoch(57, nothing, nothing, nothing),
    ]


def test_notice_is_known_before_and_a_fault_without_end_stays() -> None:
    fault = Fault("x", 10, AHEAD_NS_MAX, Fallen(zones=frozenset({"a/b"})), notice_ns=7)
    told, sudden = (Spell.of(fault, RecoveryPart(detect_s=3e-9), is_sudden=one) for one in (False, True))
    assert (told.known_ns, sudden.known_ns) == (3, 13)
    assert [one.at_ns for one in epochs([told], 4)] == [0, 3, 7, 10]


def test_faults_that_overlap_end_one_after_the_other() -> None:
    one, other = Fallen(zones=frozenset({"a/b"})), Fallen(zones=frozenset({"a/b", "c/d"}))
    spells = [Spell(Fault("x", 0, 30, one), 0, 30), Spell(Fault("y", 10, 20, other), 10, 20)]
    found = [(epoch.at_ns, epoch.fallen) for epoch in epochs(spells, 0)]
    assert found[1:] == [(0, one), (10, other), (20, one), (30, Fallen())]


# --- worlds without what has fallen ---------------------------------------------------------------------------------


def test_ways_without_a_link_are_those_of_the_production_routing_without_it() -> None:
    whole = world(CUT)
    without = FaultWorlds(whole).views(Fallen(links=frozenset({"oslo--stockholm"})), ViewName.LAWLESS)[0]
    users, zones = [user.access_point for user in whole.users], [str(zone.id) for zone in whole.zones]
    way_ns = without.rtt_ns[users.index("oslo"), zones.index(STOCKHOLM)]
    before_ns = view_of(whole, ViewName.LAWLESS).rtt_ns[users.index("oslo"), zones.index(STOCKHOLM)]
    # by Hamburg and Malmo: 20 + 6 + 9 instead of 8
    assert way_ns - before_ns == pytest.approx((20 + 6 + 9 - 8) * 1e6, rel=0.1)
    lawful = FaultWorlds(whole).views(Fallen(links=frozenset({"oslo--stockholm"})), ViewName.TOGETHER)[0]
    assert lawful.rtt_ns[users.index("oslo"), zones.index(STOCKHOLM)] < 0  # through DE and DK


def test_zone_that_has_fallen_may_serve_nobody_and_says_so() -> None:
    whole = world(CUT)
    view = FaultWorlds(whole).views(Fallen(zones=frozenset({OSLO, STOCKHOLM})), ViewName.TOGETHER)[0]
    assert not view.lawful.any()
    assert len(view.why_not) == len(whole.users)


def test_ways_that_lead_over_a_link_are_broken_with_it_and_no_others() -> None:
    whole = world(CUT)
    crossings = FaultWorlds(whole).crossings(Fallen(), ViewName.TOGETHER)[0]
    broken = crossings.broken(Fallen(links=frozenset({"oslo--stockholm"})))
    users, zones = [user.access_point for user in whole.users], [str(zone.id) for zone in whole.zones]
    found = {(users[u], zones[z]) for u, z in zip(*np.nonzero(broken), strict=True)}
    assert found >= {("oslo", STOCKHOLM), ("bergen", STOCKHOLM), ("malmo", OSLO)}
    assert ("oslo", "nordavind/oslo-1") not in found
    assert ("malmo", "skargard/stockholm-1") not in found
    assert not crossings.broken(Fallen(links=frozenset({"bergen--oslo"})))[users.index("oslo")].any()


# --- what users feel ------------------------------------------------------------------------------------------------


def test_cut_way_loses_requests_until_it_is_known_and_no_longer() -> None:
    results = run(CUT, "hansa", DEAR)
    row, felt = row_of(results, "hansa")
    lost = lost_by_second(row)
    assert felt.cut > 0
    assert sum(lost[20:23]) > 0
    assert sum(lost[:19]) == 0  # what is sent just before is answered over nothing
    assert sum(lost[24:]) == 0
    unharmed = results.row("hansa", "unharmed")
    assert unharmed is not None
    assert unharmed.unserved_share == 0
    assert unharmed.faults is None


def test_partner_that_gives_notice_loses_nobody_a_request_and_without_it_does() -> None:
    results = run(LEAVES)
    for policy in ("nearest", "least-latency", "hansa"):
        _, felt = row_of(results, policy)
        assert (felt.lost, felt.cut, felt.struck, felt.retried) == (0, 0, 0, 0), policy
    _, sudden = row_of(results, "hansa", "sudden")
    assert sudden.struck > 0
    assert sudden.retried > 0
    price = next(one for one in results.prices if one.what == "no notice")
    assert price.unserved_share == pytest.approx(row_of(results, "hansa", "sudden")[0].unserved_share)


def test_zone_is_drained_before_it_goes_and_the_move_says_what_went_where() -> None:
    row, felt = row_of(run(LEAVES), "hansa")
    assert felt.moves[0].at_s == pytest.approx(30 - 10 + 1)
    assert felt.moves[0].replicas["nordavind/oslo-1"] < 0
    assert felt.moves[0].unserved_share == 0
    assert row.view == "together"
    what = [(event.at_s, event.what) for event in run(LEAVES).events]
    assert what == [(20.0, "notice"), (30.0, "begins")]


def test_faults_without_notice_are_known_after_detection_and_nobody_is_asked_twice_for_notice() -> None:
    results = run(GONE)
    assert [(event.at_s, event.what) for event in results.events] == [(30.0, "begins"), (32.0, "known")]
    assert results.row("hansa", "sudden") is None
    _, felt = row_of(results, "hansa")
    assert felt.lost > 0
    lost = lost_by_second(row_of(results, "hansa")[0])
    assert sum(lost[:29]) == 0
    assert sum(lost[34:]) == 0


def test_users_whom_a_fault_leaves_without_a_lawful_way_are_a_result() -> None:
    results = run("{node: oslo, parts: network, at_s: 20, for_s: 20}", "hansa")
    points = {point.access_point: point for point in row_of(results, "hansa")[0].points}
    assert points["bergen"].lost_share == pytest.approx(20 / 54, abs=0.08)
    assert points["malmo"].lost_share < points["bergen"].lost_share
    assert results.rows[0].unserved_share > 0


def test_hansa_keeps_what_still_stands_where_nothing_else_fits() -> None:
    heavy = ("requests_per_s: 60}", "requests_per_s: 110}")
    whole = world("{zone: skargard/stockholm-1, at_s: 20, for_s: 20}", "hansa", heavy)
    course, view = FaultCourse(whole), ViewName.TOGETHER
    traffic, spells = traffic_of(whole), FaultCourse(whole).spells(traffic_of(whole), 0, ViewName.TOGETHER)
    share = np.full((3, 3), 0.0)
    share[:2, 0], share[2, 1] = 1.0, 1.0
    plan = Plan(share, np.array([4, 3, 0]))
    stages = course.stages(PolicyName.HANSA, view, (plan,), spells)
    assert traffic.horizon_ns == 60 * SECOND_NS
    struck = next(stage for stage in stages if stage.planned)
    assert struck.plans[0].replicas[0] > 0
    assert struck.plans[0].replicas[1] == 0


def test_routes_that_hansa_can_keep_are_kept_and_it_is_asked_later_whether_to_go_back() -> None:
    whole = world("{zone: waldnetz/hamburg-1, at_s: 20, for_s: 20}", "hansa")
    course, traffic = FaultCourse(whole), traffic_of(whole)
    spells = course.spells(traffic, 0, ViewName.TOGETHER)
    share = np.zeros((3, 3))
    share[:2, 0], share[2, 1] = 1.0, 1.0
    plan = Plan(share, np.array([4, 3, 0]))
    stages = course.stages(PolicyName.HANSA, ViewName.TOGETHER, (plan,), spells)
    assert all(stage.plans[0] is plan for stage in stages)


def test_all_policies_meet_the_same_faults_and_each_replication_others() -> None:
    random = "{zone: nordavind/oslo-1, mtbf_s: 20, mttr_s: 5}"
    whole = world(random)
    course, traffic = FaultCourse(whole), traffic_of(whole)
    views = [ViewName.TOGETHER, ViewName.LAWLESS, ViewName.ALONE]
    assert len({course.spells(traffic, 0, view) for view in views}) == 1
    assert course.spells(traffic, 0, ViewName.UNHARMED) == ()
    assert len({course.spells(traffic, number, ViewName.TOGETHER) for number in range(3)}) == 3
    results = run(random)
    assert len({row.requests for row in results.rows}) == 1
    assert as_json(results) == as_json(run_scenario(whole))


# --- results --------------------------------------------------------------------------------------------------------


def test_series_hold_every_request_of_every_replication() -> None:
    results = run(LEAVES)
    for row in results.rows:
        assert row.over_time is not None
        assert sum(row.over_time.requests) >= row.requests
        assert len(row.over_time.p99_ms) == len(row.over_time.requests) == 120
        assert sum(row.over_time.requests) == pytest.approx(row.requests / 0.9, rel=0.05)


def test_table_words_and_report_tell_of_faults_and_moves() -> None:
    results = run(LEAVES)
    assert faults_table(results).row_count == 4
    assert any(words.startswith("Faults under hansa: 0 of") for words in words_of(results))
    page = report_of(results)
    assert "<h2>Over time</h2>" in page
    assert "operator nordavind is announced: users are moved away" in page
    assert 'class="fallen"' in page
    assert "hansa moves" in page


def test_surge_is_on_the_chart_and_in_the_series(tmp_path: Path) -> None:
    surge = ("malmo, requests_per_s: 30", "malmo, requests_per_s: 30, surges: [{at_s: 20, for_s: 20, times: 3}]")
    results = run_scenario(world_of(tmp_path, RUN, LESS, surge))
    series = results.rows[0].over_time
    assert series is not None
    rate = np.array(series.requests).reshape(6, 20).sum(axis=1) / 3 / 10
    assert rate[2:4].mean() == pytest.approx(60 + 50 + 90, rel=0.08)
    assert rate[[0, 1, 4, 5]].mean() == pytest.approx(60 + 50 + 30, rel=0.08)
    assert 'class="surge"' in report_of(results)
    assert results.rows[0].faults is None

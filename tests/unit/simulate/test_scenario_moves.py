"""Users that move: their requests come from where they are, and go where they looked up last."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hansa_sim.engines import event, static
from hansa_sim.engines.model import NOWHERE, SECOND_NS, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import Table
from hansa_sim.latency.journeys import Journey
from hansa_sim.latency.policies import plan_of
from hansa_sim.latency.results import Results, Row
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.table import words_of
from hansa_sim.latency.traffic import Traffic, paths_of, traffic_of, zones_of
from hansa_sim.latency.views import ViewName, view_of
from hypothesis import given
from hypothesis import strategies as st
from scenario_texts import world_of, written

MALMO = "  - {access_point: malmo, requests_per_s: 90}"
LASTS = ("requests: 40000, replications: 4", "duration_s: 240, replications: 4")
SHORT = ("times: [{mean_ms: 20}]", "times: [{mean_ms: 0.01}]")


def _moving(how: str, place: str = "access_point: oslo, ") -> tuple[str, str]:
    return (MALMO, f"  - {{{place}requests_per_s: 90, {how}}}")


TRAIN = _moving("moves: [{at_s: 60, access_point: malmo}], repeat_s: 120, lookup_s: 20")


def _nearest(results: Results) -> Row:
    row = results.row("nearest")
    assert row is not None
    return row


# --- journeys -------------------------------------------------------------------------------------------------------


def test_who_moves_keeps_the_zone_of_the_place_before_until_the_next_look_up() -> None:
    stops = ((0, "a"), (100, "b"), (300, "c"), (310, "a"))
    states = list(Journey(0, "app", 1.0, stops, lookup_ns=50, phase_ns=20).states())
    assert states == [
        (0, "a", "a"),
        (100, "b", "a"),
        (120, "b", "b"),
        (300, "c", "b"),
        (310, "a", "b"),
        (320, "a", "a"),
    ]
    at_once = list(Journey(0, "app", 1.0, stops, lookup_ns=0, phase_ns=0).states())
    assert at_once == [(at, here, here) for at, here in stops]


@given(
    moves=st.lists(st.tuples(st.integers(1, 5_000), st.sampled_from("abc")), max_size=12, unique_by=lambda one: one[0]),
    lookup=st.integers(0, 700),
    part=st.integers(0, 99),
)
def test_states_are_those_of_a_user_followed_step_by_step(moves: list[tuple[int, str]], lookup: int, part: int) -> None:
    stops = ((0, "a"), *sorted(moves))
    phase = lookup * (2 * part + 1) // 200
    states = list(Journey(0, "app", 1.0, stops, lookup, phase).states())
    assert [at for at, _, _ in states] == sorted(at for at, _, _ in states)
    here, asked, known = "a", "a", ("a", "a")
    told, where = {at: (place, of) for at, place, of in states}, dict(stops)
    for now in range(6_000):
        here = where.get(now, here)
        asked = here if not lookup or now == 0 or now % lookup == phase % lookup else asked
        known = told.get(now, known)
        assert known == (here, asked), now


def _stops(traffic_world: Path, how: str, place: str = "access_point: oslo, ") -> list[tuple[tuple[int, str], ...]]:
    world = world_of(traffic_world, _moving(how, place), LASTS)
    return [journey.stops for journey in world.journeys]


def test_a_route_is_gone_again_and_again_and_spread_over_time(tmp_path: Path) -> None:
    route = "moves: [{at_s: 60, access_point: malmo}, {at_s: 90, access_point: bergen}], repeat_s: 120"
    together = _stops(tmp_path, route)
    assert len(set(together)) == 1
    seconds = [(at / SECOND_NS, point) for at, point in together[0]]
    assert seconds == [(0, "oslo"), (60, "malmo"), (90, "bergen"), (120, "oslo"), (180, "malmo"), (210, "bergen")]
    spread = _stops(tmp_path, f"{route}, spread_s: 120")
    for now in (0, 31, 119, 200):
        share = Counter(_at(stops, now * SECOND_NS) for stops in spread)
        assert share == {"oslo": 50, "malmo": 25, "bergen": 25}, now


def _at(stops: tuple[tuple[int, str], ...], now_ns: int) -> str:
    return [point for at_ns, point in stops if at_ns <= now_ns][-1]


def test_commuters_are_away_in_the_share_that_the_hour_says(tmp_path: Path) -> None:
    away = "[{at_s: 20, percent: 0}, {at_s: 40, percent: 80}, {at_s: 60, percent: 80}, {at_s: 100, percent: 0}]"
    stops = _stops(tmp_path, f"commute: {{to: [malmo], away: {away}, period_s: 120}}")
    for now, percent in ((0, 0), (10, 0), (30, 40), (50, 80), (80, 40), (110, 0), (150, 40), (170, 80)):
        share = Counter(_at(one, now * SECOND_NS + 1) for one in stops)
        assert share["malmo"] == percent, now
        assert share["oslo"] == 100 - percent
    for one in stops:
        assert all(sooner[0] < later[0] for sooner, later in pairwise(one))


def test_a_trace_says_where_each_user_is(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("time_s,user,access_point\n30,b,malmo\n0,b,oslo\n5.5,a,bergen\n", "utf-8")
    stops = _stops(tmp_path, "trace: trace.csv", "")
    assert stops == [((0, "bergen"),), ((0, "oslo"), (30 * SECOND_NS, "malmo"))]


# --- requests -------------------------------------------------------------------------------------------------------


def test_moving_changes_no_request_but_where_it_comes_from(tmp_path: Path) -> None:
    world = world_of(tmp_path, TRAIN, LASTS)
    traffic = traffic_of(world)
    blocks = list(traffic.requests(0))
    at_ns, row = (np.concatenate([getattr(block, of) for block in blocks]) for of in ("at_ns", "user"))
    assert (row < traffic.rows).all()
    assert len(at_ns) == pytest.approx(200 * 240, rel=0.02)
    places = [world.users[at].access_point for at in traffic.places.here.tolist()]
    here = np.array(places)[row // traffic.groups]
    in_malmo = here == "malmo"
    assert set((at_ns[in_malmo] // (60 * SECOND_NS)).tolist()) == {1, 3}
    assert in_malmo.sum() == pytest.approx(90 * 120, rel=0.03)
    assert (here == "bergen").sum() == pytest.approx(50 * 240, rel=0.03)
    # Whoever moves: requests, their times and demands are those of users that stay.
    other = [("moves: [{at_s: 60, access_point: malmo}]", "moves: [{at_s: 110, access_point: bergen}]")]
    again = list(traffic_of(world_of(tmp_path, TRAIN, LASTS, *other)).requests(0))
    assert np.array_equal(at_ns, np.concatenate([block.at_ns for block in again]))
    demand = [np.concatenate([block.demand_ns for block in each]) for each in (blocks, again)]
    assert np.array_equal(*demand)


def _prepared(traffic: Traffic, folder: Path) -> tuple[Run, np.ndarray]:  # type: ignore[type-arg]
    world = world_of(folder, TRAIN, LASTS)
    view = view_of(world, ViewName.TOGETHER)
    plan = plan_of(world, view, PolicyName.NEAREST)
    zones = Zones.of(np.maximum(plan.replicas, 1), traffic.speed_permille)
    run = Run.of(traffic.classes, paths_of(view, plan, traffic.places), zones, traffic.window)
    return run, zones_of(view, plan, traffic.places)


def test_both_engines_agree_to_the_last_bit_on_users_that_move(tmp_path: Path) -> None:
    traffic = traffic_of(world_of(tmp_path, TRAIN, LASTS))
    run, zone_of = _prepared(traffic, tmp_path)
    fixed = static.serve(traffic.requests(0), zone_of, run)
    routed = event.serve(traffic.requests(0), Table(zone_of), run)
    assert np.array_equal(fixed.latency_counts, routed.latency_counts)
    assert np.array_equal(fixed.user_sum_ns, routed.user_sum_ns)
    assert fixed.latency_counts.shape[0] == 2  # those who are where they looked up, and those who are not


# --- what comes of it -----------------------------------------------------------------------------------------------


def test_the_mean_of_a_route_over_two_places_is_that_of_the_closed_form(tmp_path: Path) -> None:
    """A train, half of the time in each place, nobody else: ways of the table and what every way costs, no waits."""
    alone = [
        ("  - {access_point: oslo, requests_per_s: 60}\n", ""),
        ("  - {access_point: bergen, requests_per_s: 50}\n", ""),
    ]
    row = _nearest(run_scenario(world_of(tmp_path, TRAIN, *alone, LASTS, SHORT)))
    # The first 24 s are not measured; 10 s of each stay, in the mean, the zone is that of the place before.
    seconds = {"oslo": 96, "malmo": 120}
    stale = {"oslo": 10, "malmo": 20}
    new_ms, old_ms = {"oslo": 5.4, "malmo": 9 + 5.4}, {"oslo": 8 + 5.4, "malmo": 9 + 8 + 5.4}
    spent = sum(new_ms[at] * (seconds[at] - stale[at]) + old_ms[at] * stale[at] for at in seconds)
    assert row.mean_ms.mean == pytest.approx(spent / 216, rel=0.01)
    mobility = row.mobility
    assert mobility is not None
    assert mobility.moving_share == 1.0
    assert mobility.hand_overs_per_hour == pytest.approx(3 * 3_600 / 240)
    assert mobility.stale_share == pytest.approx(30 / 216, rel=0.05)
    assert mobility.stale_ms == pytest.approx((10 * old_ms["oslo"] + 20 * old_ms["malmo"]) / 30, rel=0.02)
    assert mobility.looked_up_ms == pytest.approx((10 * new_ms["oslo"] + 20 * new_ms["malmo"]) / 30, rel=0.02)
    assert mobility.lost_share == 0


def test_who_looks_up_at_every_request_or_is_routed_by_request_is_never_served_by_the_wrong_zone(
    tmp_path: Path,
) -> None:
    both = ("policies: [nearest]", "policies: [nearest, least-latency]")
    found = run_scenario(world_of(tmp_path, TRAIN, ("lookup_s: 20", "lookup_s: 0"), LASTS, both))
    nearest, routed = (row.mobility for row in found.rows)
    assert nearest is not None
    assert routed is not None
    assert (nearest.stale_share, routed.stale_share) == (0.0, 0.0)
    assert nearest.hand_overs_per_hour == pytest.approx(45)
    assert routed.hand_overs_per_hour is None


def test_who_crosses_a_border_that_the_law_closes_is_lost_until_the_next_look_up(tmp_path: Path) -> None:
    """From Hamburg the way to Stockholm leads through Denmark, which the law does not allow; Hamburg's zone it does."""
    law = ("{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", "{data: [NO, SE, DE], transit: [NO, SE, DE]}")
    train = _moving("moves: [{at_s: 120, access_point: hamburg}], lookup_s: 40", "access_point: malmo, ")
    found = run_scenario(world_of(tmp_path, law, train, LASTS))
    mobility = _nearest(found).mobility
    assert mobility is not None
    expected = 90 * 20 / (200 * 216)  # 20 s in the mean of a share of 90 of 200 requests a second
    assert mobility.lost_share == pytest.approx(expected, rel=0.05)
    assert _nearest(found).unserved_share == pytest.approx(expected, rel=0.05)
    assert mobility.hand_overs_per_hour == pytest.approx(15)
    assert any("are lost before they have" in words for words in words_of(found))


def test_plans_reckon_with_the_most_that_is_at_a_place_at_a_time(tmp_path: Path) -> None:
    world = world_of(tmp_path, TRAIN, LASTS)
    assert {user.access_point: user.millirps for user in world.users} == {
        "bergen": 50_000,
        "malmo": 90_000,
        "oslo": 150_000,
    }
    assert world.rate_rps == pytest.approx(200)
    spread = world_of(tmp_path, (TRAIN[0], TRAIN[1].replace("lookup_s", "spread_s: 120, lookup_s")), LASTS)
    assert {user.access_point: user.millirps for user in spread.users} == {
        "bergen": 50_000,
        "malmo": 45_000,
        "oslo": 105_000,
    }
    view = view_of(spread, ViewName.TOGETHER)
    plan = plan_of(spread, view, PolicyName.HANSA)
    assert plan.message == ""
    assert not (zones_of(view, plan, traffic_of(spread).places) == NOWHERE).any()


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "place", "said"),
    [
        ("moves: [{at_s: 60, access_point: malmoe}]", "access_point: oslo, ", "users[2].moves[0].access_point: no"),
        ("moves: [{at_s: 600, access_point: malmo}]", "access_point: oslo, ", "600 s is not before the end of a"),
        ("moves: [{at_s: 60, access_point: malmo}]", "countries: [NO], ", "a route begins at an access_point"),
        ("moves: [{at_s: 60, access_point: malmo}], repeat_s: 50", "access_point: oslo, ", "the last move is at 60"),
        ("repeat_s: 50", "access_point: oslo, ", "repeat_s and spread_s are of moves"),
        ("lookup_s: 50", "access_point: oslo, ", "lookup_s is of users that move"),
        ("trace: none.csv", "", "users[2].trace: none.csv: "),
        ("trace: trips.csv", "", "trips.csv:2: time_s from 0 on, user and access_point are needed"),
        ("trace: trips.csv", "access_point: oslo, ", "a trace says where its users are"),
        ("commute: {to: [reeef], away: [{at_s: 0, percent: 0}, {at_s: 9, percent: 9}]}", "countries: [NO], ",
         "users[2].commute.to[0]: no node 'reeef' in the network; did you mean reef?"),
        ("commute: {to: [reef], away: [{at_s: 9, percent: 0}, {at_s: 9, percent: 9}]}", "countries: [NO], ", "rise"),
    ],
)  # fmt: skip
def test_movements_that_cannot_be_are_said(tmp_path: Path, how: str, place: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        world_of(tmp_path, _moving(how, place), LASTS)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(written(tmp_path)))

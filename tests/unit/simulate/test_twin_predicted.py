"""What a twin's users send, what the engine says of exactly that, and how what came is read."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hansa_sim.engines.histogram import RELATIVE_ERROR
from hansa_sim.engines.model import Window
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.twin.choosing import chosen_part
from hansa_sim.latency.twin.placed import differences, placed_plan
from hansa_sim.latency.twin.predicted import (
    RATE_RPS_MAX,
    TooMany,
    asked_of,
    measured_of,
    predict,
    predicted_of,
    requests_of,
)
from hansa_sim.latency.twin.run import prepare_twin
from hansa_sim.latency.twin.server import Accelerator
from hansa_sim.latency.views import View
from hansa_sim.latency.world import World
from twin_worlds import FIXED, twin_world, viewed

MS_NS = 1_000_000
ZONES = ("nordavind/oslo-1", "skargard/stockholm-1", "waldnetz/hamburg-1")


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Every request takes 20 ms."""
    return twin_world(tmp_path_factory.mktemp("fixed"), FIXED)


def split(*rows: tuple[float, float, float], replicas: tuple[int, int, int] = (1, 1, 1)) -> Plan:
    """A plan of shares for bergen, malmo and oslo over the three zones."""
    return Plan(np.array(rows), np.array(replicas))


NEAREST = split((1, 0, 0), (0, 0, 1), (1, 0, 0))


# --- what is sent ---


def test_each_access_point_asks_as_often_as_the_scenario_says(fixed: World) -> None:
    asked = asked_of(fixed, NEAREST, 500.0)
    for at, (name, rate_rps) in enumerate((("bergen", 5), ("malmo", 9), ("oslo", 6))):
        requests = requests_of(asked, at)
        assert asked.classes[at].name == f"twin/{name}"
        assert len(requests) == pytest.approx(500 * rate_rps, abs=4 * (500 * rate_rps) ** 0.5)
        moments = [one.at_ns for one in requests]
        assert moments == sorted(moments) and moments[0] >= 0 and moments[-1] < 500 * 1_000 * MS_NS


def test_every_request_is_somebodys_and_goes_where_its_users_zone_is(fixed: World) -> None:
    asked = asked_of(fixed, NEAREST, 100.0)
    found = [requests_of(asked, at) for at in range(3)]
    assert sum(map(len, found)) == sum(map(len, asked.blocks))
    assert [{one.zone for one in requests} for requests in found] == [{0}, {2}, {0}]
    assert {one.demand_ns for requests in found for one in requests} == {20 * MS_NS}


def test_users_of_one_place_are_split_over_zones_as_the_plan_says(fixed: World) -> None:
    asked = asked_of(fixed, split((0.7, 0, 0.3), (0, 1, 0), (1, 0, 0)), 800.0)
    zones = [one.zone for one in requests_of(asked, 0)]
    share = zones.count(2) / len(zones)
    assert set(zones) == {0, 2}
    assert share == pytest.approx(0.3, abs=4 * (0.21 / len(zones)) ** 0.5)


def test_users_without_a_zone_send_nothing(fixed: World) -> None:
    asked = asked_of(fixed, split((1, 0, 0), (0, 0, 0), (1, 0, 0)), 50.0)
    assert [one.name for one in asked.classes] == ["twin/bergen", "twin/oslo"]


def test_what_one_place_sends_does_not_hang_on_who_else_is_driven(fixed: World) -> None:
    alone = asked_of(fixed, split((1, 0, 0), (0, 0, 0), (0, 0, 0)), 50.0)
    together = asked_of(fixed, NEAREST, 50.0)
    assert requests_of(alone, 0) == requests_of(together, 0)


def test_the_first_part_is_sent_and_not_measured(fixed: World) -> None:
    asked = asked_of(fixed, NEAREST, 50.0)
    percent = fixed.loaded.scenario.run.warm_up_percent
    assert asked.window == Window(50 * 1_000 * MS_NS, 50 * 1_000 * MS_NS * percent // 100)
    assert requests_of(asked, 0)[0].at_ns < asked.window.begin_ns


@pytest.mark.parametrize(("rate", "seconds"), [(RATE_RPS_MAX + 1, 2.0), (900.0, 600.0)])
def test_more_than_a_machine_can_send_is_refused_in_words(tmp_path: Path, rate: float, seconds: float) -> None:
    world = twin_world(tmp_path, ("requests_per_s: 6}", f"requests_per_s: {rate}}}"))
    with pytest.raises(TooMany, match=r"for .* s: a twin sends 1000 requests a second and 50000 in all at most"):
        asked_of(world, NEAREST, seconds)


# --- what is predicted ---


def test_where_nobody_waits_the_prediction_is_the_round_trip_and_the_service(tmp_path: Path) -> None:
    rare = tuple((f"requests_per_s: {rate}}}", "requests_per_s: 0.01}") for rate in (6, 5, 9))
    world = twin_world(tmp_path, FIXED, *rare)
    view, _ = viewed(world)
    asked = asked_of(world, NEAREST, 10_000.0)
    measured = predict(view, NEAREST, asked)
    for at, (row, zone) in enumerate(((0, 0), (1, 2), (2, 0))):
        expected_ms = view.rtt_ns[row, zone] / MS_NS + 20
        assert predicted_of(measured, at)[0] == pytest.approx(expected_ms, rel=RELATIVE_ERROR)


def test_the_engine_and_the_server_agree_on_every_request(fixed: World) -> None:
    """The server's accelerator, given what the engine is given at the same times, ends each request when it says."""
    crowded = replace(fixed, users=tuple(replace(user, millirps=user.millirps * 5) for user in fixed.users))
    view, _ = viewed(crowded)
    plan = split((1, 0, 0), (1, 0, 0), (1, 0, 0), replicas=(1, 0, 0))
    crowd = Crowd(crowded, view, plan)
    percentiles = [crowd.served(at) for at in range(3)]
    measured = predict(view, plan, crowd.asked)
    for at, latency_ns in enumerate(percentiles):
        came = measured_of(latency_ns, crowd.sent(at), crowd.asked.window)
        assert predicted_of(measured, at) == pytest.approx(came, rel=2 * RELATIVE_ERROR)
        assert came[-1] > came[0] + 5


class Crowd:
    """Requests of all places to one zone, through the server's accelerator and over ways that take their time."""

    def __init__(self, world: World, view: View, plan: Plan) -> None:
        self.asked = asked_of(world, plan, 60.0)
        accelerator = Accelerator(traffic_of(world).stations.concurrency, 1_000)
        reached = []
        for at in range(3):
            for number, one in enumerate(requests_of(self.asked, at)):
                reached.append((one.at_ns + int(view.there_ns[at, one.zone]), at, number, one))
        self._latency: list[dict[int, int]] = [{}, {}, {}]
        for reach_ns, at, number, one in sorted(reached, key=lambda each: each[0]):
            _, end_ns = accelerator.finish_ns(reach_ns, one.demand_ns)
            self._latency[at][number] = end_ns + int(view.back_ns[at, one.zone]) - one.at_ns

    def served(self, at: int) -> list[int]:
        return [self._latency[at][number] for number in range(len(self._latency[at]))]

    def sent(self, at: int) -> list[int]:
        return [one.at_ns for one in requests_of(self.asked, at)]


def test_a_slower_accelerator_takes_longer_and_several_at_once_do_not_wait() -> None:
    slow = Accelerator(2, 400)
    assert [slow.finish_ns(0, 10) for _ in range(3)] == [(0, 25), (0, 25), (25, 50)]
    assert slow.finish_ns(1_000, 10) == (1_000, 1_025)


# --- what came ---


def test_percentiles_are_nearest_ranks_of_what_was_sent_in_the_window_and_answered() -> None:
    sent_ns = list(range(300))
    latency_ns = [(n + 1) * MS_NS for n in range(100)] * 3
    assert measured_of(latency_ns, sent_ns, Window(200, 100)) == (50.0, 95.0, 99.0)
    with_failures = [-1 if 100 <= n < 150 else late for n, late in enumerate(latency_ns)]
    assert measured_of(with_failures, sent_ns, Window(200, 100)) == (75.0, 98.0, 100.0)


def test_where_nothing_was_answered_there_is_no_percentile() -> None:
    assert all(math.isnan(one) for one in measured_of([-1, -1], [1, 2], Window(10)))
    assert all(math.isnan(one) for one in measured_of([5], [20], Window(10)))


# --- what was placed ---


def answer(*zones: tuple[str, int, dict[str, int]]) -> dict[str, Any]:
    """What ``hansa endpoint`` says: zones with so many instances, and shares in thousandths."""
    return {
        "zones": [
            {
                "zone": zone,
                "endpoint_urls": [f"https://198.18.0.9:{8500 + n}" for n in range(count)],
                "shares": [{"access_point": point, "share_permille": share} for point, share in shares.items()],
            }
            for zone, count, shares in zones
        ]
    }


def test_what_the_operators_answer_is_read_as_a_plan(fixed: World) -> None:
    told = answer((ZONES[0], 2, {"bergen": 1_000, "oslo": 400}), (ZONES[2], 1, {"malmo": 1_000, "oslo": 600}))
    plan = placed_plan(fixed, {"bergen": told, "malmo": told, "oslo": told})
    assert plan.replicas.tolist() == [2, 0, 1]
    assert plan.share is not None
    assert plan.share.tolist() == [[1, 0, 0], [0, 0, 1], [0.4, 0, 0.6]]


def test_a_zone_that_stands_by_may_have_no_share_in_the_answer(fixed: World) -> None:
    told = answer((ZONES[0], 1, {"oslo": 1_000}), (ZONES[1], 1, {}))
    told["zones"][1]["shares"] = [{"access_point": "oslo"}]
    plan = placed_plan(fixed, {"oslo": told})
    assert plan.share is not None and plan.share[2].tolist() == [1, 0, 0]


def test_what_is_placed_as_planned_does_not_differ(fixed: World) -> None:
    thirds = split((1, 0, 0), (0, 0, 1), (0.3333, 0.3333, 0.3334))
    assert list(differences(fixed, thirds, split((1, 0, 0), (0, 0, 1), (0.333, 0.333, 0.334)))) == []


def test_differences_say_what_runs_and_what_was_planned(fixed: World) -> None:
    placed = split((1, 0, 0), (0, 0.25, 0.75), (1, 0, 0), replicas=(1, 1, 2))
    assert list(differences(fixed, NEAREST, placed)) == [
        "waldnetz/hamburg-1 runs 2 replicas, planned were 1",
        "users at malmo go to skargard/stockholm-1 25%, waldnetz/hamburg-1 75%, planned was waldnetz/hamburg-1 100%",
    ]


# --- a part of a scenario ---


def test_a_part_has_the_users_and_zones_that_were_chosen_and_nothing_else_changes(fixed: World) -> None:
    part = chosen_part(fixed, ["oslo", "malmo"], ["waldnetz/hamburg-1"])
    assert [(user.access_point, user.millirps) for user in part.users] == [("malmo", 9_000), ("oslo", 6_000)]
    assert [str(zone.id) for zone in part.zones] == ["waldnetz/hamburg-1"]
    assert part.ground is fixed.ground
    assert [demand.access_point for demand in part.spec.access] == ["malmo", "oslo"]
    assert prepare_twin(part, 5.0).network.hosts


def test_nothing_chosen_is_everything(fixed: World) -> None:
    part = chosen_part(fixed, [], [])
    assert (part.users, part.zones) == (fixed.users, fixed.zones)


@pytest.mark.parametrize(
    ("points", "zones", "message"),
    [
        (["olso"], [], r"--points: the scenario has no 'olso'.*oslo"),
        (["stockholm"], [], r"--points: the scenario has no 'stockholm'"),
        ([], ["nordavind/oslo-2"], r"--zones: the scenario has no 'nordavind/oslo-2'.*nordavind/oslo-1"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(fixed: World, points: list[str], zones: list[str], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        chosen_part(fixed, points, zones)

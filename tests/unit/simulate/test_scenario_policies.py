"""Policies are what their names say, and the optimum is one."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hansa_control.domain.queueing import erlang_c
from hansa_sim.engines.model import NOWHERE
from hansa_sim.latency.policies import plan_of, sized, stations_of
from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.traffic import grouped
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World, build_world
from numpy.typing import NDArray
from scenario_texts import world_of

EUROPE = Path(__file__).parents[3] / "simulations" / "scenarios" / "five-operators.yaml"

OPEN = ("{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", "none")


def _shares(world: World, policy: PolicyName) -> dict[str, dict[str, float]]:
    share = plan_of(world, view_of(world, ViewName.TOGETHER), policy).share
    assert share is not None
    names = [str(zone.id) for zone in world.zones]
    return {
        user.access_point: {names[at]: round(float(share[row, at]), 6) for at in np.flatnonzero(share[row])}
        for row, user in enumerate(world.users)
    }


def test_nearest_takes_the_least_round_trip_and_cheapest_the_least_price(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    oslo, stockholm = {"nordavind/oslo-1": 1.0}, {"skargard/stockholm-1": 1.0}
    assert _shares(world, PolicyName.NEAREST) == {"oslo": oslo, "bergen": oslo, "malmo": stockholm}
    # Stockholm is cheaper, but has room for 120 requests a second: malmo's 90 come first, and nobody else fits.
    assert _shares(world, PolicyName.CHEAPEST) == {"oslo": oslo, "bergen": oslo, "malmo": stockholm}
    hamburg = {"waldnetz/hamburg-1": 1.0}
    assert _shares(world_of(tmp_path, OPEN), PolicyName.CHEAPEST)["malmo"] == hamburg


def test_greenest_takes_the_least_carbon_that_has_room(tmp_path: Path) -> None:
    shares = _shares(world_of(tmp_path, OPEN), PolicyName.GREENEST)
    assert shares["malmo"] == {"nordavind/oslo-1": 1.0}
    assert shares["oslo"] == {"nordavind/oslo-1": 1.0} or shares["oslo"] == {"skargard/stockholm-1": 1.0}


def test_hansa_is_the_production_plan_with_its_own_prediction(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    plan = plan_of(world, view_of(world, ViewName.TOGETHER), PolicyName.HANSA)
    assert plan.share is not None
    assert plan.share.sum(axis=1).round(6).tolist() == [1.0, 1.0, 1.0]
    assert plan.predicted_ms is not None
    assert 20 < plan.predicted_ms["p50"] < plan.predicted_ms["p95"] <= 300
    assert (plan.replicas <= stations_of(world).replicas_max).all()


def test_where_the_production_finds_no_plan_there_is_none_and_its_words_are_kept(tmp_path: Path) -> None:
    world = world_of(tmp_path, ("requests_per_s: 90", "requests_per_s: 9000"))
    plan = plan_of(world, view_of(world, ViewName.TOGETHER), PolicyName.HANSA)
    assert plan.share is not None
    assert not plan.share.any()
    assert plan.message.startswith("nordavind: ")


def test_many_users_and_zones_of_unlike_room_get_a_plan_though_the_first_ones_lack_room(tmp_path: Path) -> None:
    text = EUROPE.read_text(encoding="utf-8")
    assert "zones: {min: 6, max: 24}" in text
    path = tmp_path / "europe.yaml"
    path.write_text(text.replace("zones: {min: 6, max: 24}", "zones: {min: 3, max: 24}"), encoding="utf-8")
    world = build_world(load_scenario(path))
    plan = plan_of(world, view_of(world, ViewName.TOGETHER), PolicyName.HANSA)
    assert plan.message == ""
    assert plan.share is not None
    served = plan.share.any(axis=1)
    assert served.sum() > 150
    assert plan.share[served].sum(axis=1).round(6).tolist() == [1.0] * int(served.sum())


def test_more_zones_than_there_are_is_refused_in_the_words_of_the_production(tmp_path: Path) -> None:
    world = world_of(tmp_path, ("    latency: {rtt", "    zones: {min: 9, max: 20}\n    latency: {rtt"))
    plan = plan_of(world, view_of(world, ViewName.TOGETHER), PolicyName.HANSA)
    assert plan.message == "nordavind: fewer than 9 zones are feasible"


def test_the_fewest_replicas_run_that_keep_the_bound_and_all_where_none_do(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    stations = stations_of(world)
    loads = [10.0, 60.0, 110.0, 150.0]
    replicas = [int(sized(world.spec, stations, np.array([load, 0.0, 0.0]))[0]) for load in loads]
    assert replicas == sorted(replicas)
    assert replicas[0] == 1
    assert replicas[-1] == 4
    assert sized(world.spec, stations, np.array([1e6, 0.0, 0.0])).tolist() == [4, 0, 0]


def _mean_ms(view: View, share: NDArray[np.float64], demand: NDArray[np.float64], servers: list[int]) -> float:
    """Mean response of a split by Erlang's formula, 20 ms of exponential service; infinite where it is unstable."""
    load = demand @ share * 0.020
    if (load >= np.array(servers)).any():
        return float("inf")
    waiting = [erlang_c(x, c) * x / (c - x) if x else 0.0 for x, c in zip(load.tolist(), servers, strict=True)]
    ways = float((demand[:, None] * share * view.rtt_ns / 1e9).sum())
    return 1_000 * (ways + sum(waiting) + float(load.sum())) / float(demand.sum())


def test_no_split_in_steps_of_a_tenth_beats_the_optimum(tmp_path: Path) -> None:
    world = world_of(tmp_path, OPEN, ("requests_per_s: 60", "requests_per_s: 150"))
    view = view_of(world, ViewName.TOGETHER)
    best = plan_of(world, view, PolicyName.OPTIMUM).share
    assert best is not None
    demand = np.array([user.millirps for user in world.users]) / 1_000
    servers = stations_of(world).replicas_max.tolist()
    found = _mean_ms(view, best, demand, servers)
    steps = [np.array(s) / 10 for s in product(range(11), repeat=3) if sum(s) == 10]
    rows = [[s for s in steps if s[0] in (0, 0.5, 1) or at == 2] for at in range(3)]
    tried = min(_mean_ms(view, np.array(split), demand, servers) for split in product(*rows))
    assert found <= tried * (1 + 1e-4)
    assert found == pytest.approx(tried, rel=0.02)


def test_users_who_may_go_nowhere_have_no_share(tmp_path: Path) -> None:
    law = ("{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", "{data: [FI]}")
    world = world_of(tmp_path, law)
    view = view_of(world, ViewName.TOGETHER)
    for policy in (PolicyName.NEAREST, PolicyName.CHEAPEST, PolicyName.GREENEST, PolicyName.HANSA, PolicyName.OPTIMUM):
        plan = plan_of(world, view, policy)
        assert plan.share is not None
        assert not plan.share.any()


def test_groups_of_users_get_shares_to_the_nearest_group() -> None:
    share = np.array([[0.26, 0.0, 0.74], [0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    table = grouped(share, 10).reshape(3, 10)
    assert np.bincount(table[0], minlength=3).tolist() == [3, 0, 7]
    assert set(table[1].tolist()) == {NOWHERE}
    assert np.bincount(table[2], minlength=3).tolist() == [4, 3, 3]

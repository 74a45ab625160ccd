"""Joint placement of one workload: what it chooses, what it refuses and why, and when it stops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hansa_control.domain.joint import (
    Bounds,
    Infeasible,
    JointPlan,
    JointProblem,
    Obstacle,
    SearchLimits,
    Spread,
    Stop,
    place_jointly,
)
from hansa_control.domain.transport import Start, cheapest_shares, round_shares

ENDLESS = 1 << 50


def problem(cost: list[list[float]], bounds: Bounds, *, per_replica: int = ENDLESS, free: int = 3) -> JointProblem:
    """Zones alike but for costs: demand 100 an access point, 1 a replica, 2 a zone."""
    table = np.array(cost, dtype=np.float64)
    zones = table.shape[1]
    return JointProblem(
        cost_of_share=table,
        admissible=np.ones(table.shape, dtype=np.bool_),
        demand_millirps=np.full(len(table), 100),
        load_max_millirps=np.tile(np.arange(4) * min(per_replica, ENDLESS), (zones, 1)),
        replicas_free=np.full(zones, free),
        replica_cost=np.ones(zones),
        open_cost=np.full(zones, 2.0),
        bounds=bounds,
    )


def planned(answer: JointPlan | Infeasible) -> JointPlan:
    assert isinstance(answer, JointPlan), answer
    return answer


NEAR_AND_FAR = [[1.0, 50.0, 9.0], [50.0, 1.0, 9.0]]


def test_one_zone_is_the_cheapest_sum_and_exact() -> None:
    plan = planned(place_jointly(problem(NEAR_AND_FAR, Bounds())))
    assert (plan.zones, plan.replicas, plan.objective, plan.stop) == ((2,), (1,), 21.0, Stop.EXACT)
    assert plan.share_permille.tolist() == [[1_000], [1_000]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("replicas_max", [1, 2])
def test_zones_that_pay_for_themselves_are_no_reason_for_more_replicas_than_may_be(
    seed: int, replicas_max: int
) -> None:
    stream = np.random.default_rng(seed)
    paying = replace(
        problem([[0.0] * 5] * 2, Bounds(1, replicas_max, 1, 3)),
        admissible=stream.random((2, 5)) < 0.7,
        replica_cost=np.zeros(5),
        open_cost=-stream.choice([0.0, 0.05], 5),
    )
    answer = place_jointly(paying)
    assert isinstance(answer, Infeasible) or sum(answer.replicas) <= replicas_max


def test_two_zones_serve_whom_they_are_near() -> None:
    plan = planned(place_jointly(problem(NEAR_AND_FAR, Bounds(zones_max=2))))
    assert (plan.zones, plan.objective) == ((0, 1), 8.0)
    assert plan.shares.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_bonus_for_a_zone_keeps_it_open() -> None:
    kept = replace(problem(NEAR_AND_FAR, Bounds(zones_max=3)), open_cost=np.array([2.0, 2.0, -5.0]))
    plan = planned(place_jointly(kept))
    assert plan.zones == (0, 1, 2) and plan.objective == pytest.approx(4.0)


def test_scarce_room_splits_an_access_point() -> None:
    tight = problem([[1.0, 2.0], [1.0, 9.0]], Bounds(zones_max=2), per_replica=150, free=1)
    plan = planned(place_jointly(tight))
    assert plan.share_permille.tolist() == [[500, 500], [1_000, 0]]
    assert plan.objective == pytest.approx(0.5 + 1.0 + 1.0 + 2 * 3)


def test_replicas_are_bought_where_that_is_cheaper_than_a_zone() -> None:
    plan = planned(place_jointly(problem([[1.0, 1.2], [1.0, 1.2]], Bounds(zones_max=2), per_replica=100)))
    assert (plan.zones, plan.replicas) == ((0,), (2,))


def test_least_numbers_of_replicas_and_zones_are_kept() -> None:
    plan = planned(place_jointly(problem(NEAR_AND_FAR, Bounds(replicas_min=5, zones_min=3, zones_max=3))))
    assert plan.zones == (0, 1, 2) and sum(plan.replicas) == 5


def test_spread_takes_a_dearer_zone_of_another_domain() -> None:
    asked = problem([[1.0, 1.1, 30.0]], Bounds(replicas_min=2, zones_max=2))
    asked = replace(asked, spreads=(Spread(np.array([7, 7, 4]), domains_min=2, replicas_per_domain_max=1),))
    assert planned(place_jointly(asked)).zones == (0, 2)


def test_ties_go_to_the_first_zones() -> None:
    plan = planned(place_jointly(problem([[3.0] * 6] * 4, Bounds(zones_min=2, zones_max=3))))
    assert plan.zones == (0, 1)


def without(asked: JointProblem, access_point: int) -> JointProblem:
    admissible = asked.admissible.copy()
    admissible[access_point] = False
    return replace(asked, admissible=admissible)


WIDE = Bounds(zones_max=2)
REFUSALS = {
    "nothing admissible": (without(problem(NEAR_AND_FAR, WIDE), 1), Infeasible(Obstacle.NO_ADMISSIBLE_ZONE, 1)),
    "nothing admissible for one zone": (
        without(problem(NEAR_AND_FAR, Bounds()), 1),
        Infeasible(Obstacle.NO_ADMISSIBLE_ZONE, 1),
    ),
    "no room": (problem(NEAR_AND_FAR, WIDE, per_replica=33, free=1), Infeasible(Obstacle.CAPACITY)),
    "no room in one": (problem(NEAR_AND_FAR, Bounds(), per_replica=60), Infeasible(Obstacle.CAPACITY)),
    "zones": (problem(NEAR_AND_FAR, Bounds(zones_min=4, zones_max=5)), Infeasible(Obstacle.ZONES_MIN)),
    "replicas": (problem(NEAR_AND_FAR, Bounds(replicas_min=7, zones_max=2)), Infeasible(Obstacle.REPLICAS)),
    "domains": (
        replace(problem(NEAR_AND_FAR, WIDE), spreads=(Spread(np.zeros(3, dtype=np.int64), 2),)),
        Infeasible(Obstacle.SPREAD),
    ),
    "domains of one zone": (
        replace(problem(NEAR_AND_FAR, Bounds()), spreads=(Spread(np.arange(3), 2),)),
        Infeasible(Obstacle.SPREAD),
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_met_is_named(case: str) -> None:
    asked, answer = REFUSALS[case]
    assert place_jointly(asked) == answer


def test_what_was_not_found_is_not_said_to_be_impossible() -> None:
    asked = problem([[1.0, 1.0, 1.0]] * 3, Bounds(zones_max=2), per_replica=100, free=2)
    admissible = np.eye(3, dtype=np.bool_)
    answer = place_jointly(replace(asked, admissible=admissible))
    assert isinstance(answer, Infeasible) and answer.obstacle is Obstacle.CAPACITY and not answer.proven


def random_problem(seed: int) -> JointProblem:
    stream = np.random.default_rng(seed)
    return problem(stream.random((12, 40)).tolist(), Bounds(zones_max=6), per_replica=400)


def test_work_bounds_the_search_and_more_of_it_is_never_worse() -> None:
    asked = random_problem(1)
    objectives = []
    for work in (3_000, 30_000, 120_000):
        plan = planned(place_jointly(asked, SearchLimits(work)))
        assert plan.moves <= work + 40_000
        objectives.append(plan.objective)
    assert objectives == sorted(objectives, reverse=True)


def test_who_asks_can_stop_the_search() -> None:
    calls = iter([False, False, True])
    plan = planned(place_jointly(random_problem(2), SearchLimits(should_stop=lambda: next(calls))))
    assert plan.stop is Stop.ASKED


def test_shape_that_does_not_fit_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match=r"replica_cost has shape \(2,\)"):
        replace(problem(NEAR_AND_FAR, WIDE), replica_cost=np.ones(2))
    with pytest.raises(ValueError, match="load_max_millirps"):
        replace(problem(NEAR_AND_FAR, WIDE), load_max_millirps=np.array([[0, 5, 4]] * 3))
    with pytest.raises(ValueError, match="zones_max is 0"):
        Bounds(zones_max=0)


def test_where_shares_start_changes_nothing() -> None:
    stream = np.random.default_rng(3)
    cost = np.column_stack((stream.random((20, 5)), np.full(20, 50.0)))
    demand = stream.integers(1, 50, 20).astype(np.float64)
    room = np.append(np.full(5, demand.sum() / 4.5), np.inf)
    cold = cheapest_shares(cost, demand, room)
    warm = cheapest_shares(cost, demand, room, Start(cold.price, cold.shares))
    assert warm.cost == pytest.approx(cold.cost)
    assert (cold.load <= room + 1e-6).all() and cold.shares.sum(axis=1) == pytest.approx(1.0)
    dual = (cost + demand[:, None] * cold.price).min(axis=1).sum() - float(cold.price[:-1] @ room[:-1])
    assert dual == pytest.approx(cold.cost)


def test_rounded_shares_keep_the_room_or_are_refused() -> None:
    shares, cost = np.array([[1 / 3, 2 / 3]]), np.ones((1, 2))
    assert round_shares(shares, cost, np.array([3_000]), np.array([1_002, 2_000])) is not None
    assert round_shares(shares, cost, np.array([3_000]), np.array([1_000, 2_000])) is None

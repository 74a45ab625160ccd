"""Re-packing: cheaper packings are found, capacity holds, who has no zone has a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hansa_control.domain.exact import solve_repacking
from hansa_control.domain.repacking import RepackingLimits, RepackingProblem, Unplaced, repack, repacking_objective


def random_packing(seed: int, workloads: int = 12, zones: int = 6) -> RepackingProblem:
    stream = np.random.default_rng(seed)
    demand = stream.integers(0, 9, (workloads, 2))
    capacity = np.maximum(np.ceil(demand.sum(axis=0) * 1.7 / zones), demand.max(axis=0)).astype(np.int64)
    return RepackingProblem(
        cost=stream.random((workloads, zones)) * 20 + 1,
        admissible=stream.random((workloads, zones)) < 0.9,
        demand=demand,
        capacity=np.tile(capacity, (zones, 1)),
        open_cost=stream.random(zones) * 10,
        move_cost=stream.random(workloads) * 3,
        current=stream.integers(-1, zones, workloads),
    )


def check(asked: RepackingProblem, zones: np.ndarray) -> None:
    """Admissible and within capacity, by loops."""
    for zone in range(len(asked.open_cost)):
        held = [w for w in range(len(zones)) if zones[w] == zone]
        assert all(asked.admissible[w, zone] for w in held)
        assert (sum(asked.demand[w] for w in held) <= asked.capacity[zone]).all() if held else True


@pytest.mark.parametrize("seed", range(8))
def test_small_packings_are_feasible_and_near_the_optimum(seed: int) -> None:
    asked = random_packing(seed)
    found, exact = repack(asked, RepackingLimits(3_000)), solve_repacking(asked)
    check(asked, found.zones)
    assert len(found.unplaced) == exact.unplaced
    assert found.objective == pytest.approx(repacking_objective(asked, found.zones))
    assert exact.lower_bound - 1e-6 <= found.objective
    assert exact.lower_bound >= 0.9 * found.objective


def test_same_packing_twice() -> None:
    first, second = (repack(random_packing(3), RepackingLimits(500)) for _ in range(2))
    assert first.zones.tolist() == second.zones.tolist() and first.work == second.work


def test_moving_costs_keep_a_workload_where_it_is() -> None:
    asked = RepackingProblem(
        np.array([[5.0, 4.0]]), np.ones((1, 2), dtype=np.bool_), np.array([[1]]), np.array([[1], [1]]),
        np.zeros(2), np.array([2.0]), np.array([0]),
    )  # fmt: skip
    stays = repack(asked, RepackingLimits(300))
    assert (stays.zones.tolist(), stays.objective, stays.moved) == ([0], 5.0, ())
    goes = repack(replace(asked, move_cost=np.array([0.5])), RepackingLimits(300))
    assert (goes.zones.tolist(), goes.objective, goes.moved) == ([1], 4.5, (0,))


def test_whoever_has_no_zone_has_a_reason_and_as_few_as_possible_have_none() -> None:
    admissible = np.array([[True], [False], [True], [True], [True]])
    asked = RepackingProblem(
        np.ones((5, 1)), admissible, np.array([[2], [1], [9], [2], [4]]), np.array([[4]]),
        np.zeros(1), np.zeros(5), np.full(5, -1),
    )  # fmt: skip
    found = repack(asked, RepackingLimits(300))
    assert found.unplaced == ((1, Unplaced.NO_ADMISSIBLE_ZONE), (2, Unplaced.TOO_LARGE), (4, Unplaced.CAPACITY))
    assert found.zones.tolist() == [0, -1, -1, 0, -1]


def test_a_zone_that_costs_more_to_open_than_it_saves_stays_closed() -> None:
    asked = replace(random_packing(1), capacity=np.full((6, 2), 1_000), open_cost=np.full(6, 1_000.0))
    asked = replace(asked, admissible=np.ones((12, 6), dtype=np.bool_))
    assert len(set(repack(asked, RepackingLimits(1_500)).zones.tolist())) == 1


def test_more_work_is_never_worse_and_who_asks_can_stop_it() -> None:
    asked = random_packing(5)
    none, some = (repack(asked, RepackingLimits(work)) for work in (0, 2_000))
    assert (len(some.unplaced), some.objective) <= (len(none.unplaced), none.objective)
    stopped = repack(asked, RepackingLimits(should_stop=lambda: True))
    assert stopped.work < 1_000


def test_shapes_and_negative_costs_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"move_cost has shape \(3,\)"):
        replace(random_packing(0), move_cost=np.zeros(3))
    with pytest.raises(ValueError, match="never negative"):
        replace(random_packing(0), open_cost=np.full(6, -1.0))
    with pytest.raises(ValueError, match="current holds zones 0 to 5"):
        replace(random_packing(0), current=np.full(12, 6))


def test_patterns_put_together_the_optimum_where_the_search_alone_misses_it() -> None:
    asked = random_packing(11, workloads=24, zones=10)
    exact = solve_repacking(asked)
    found = repack(asked, RepackingLimits(8_000))
    check(asked, found.zones)
    assert found.objective == pytest.approx(exact.objective, rel=2e-3)


def test_who_is_out_for_lack_of_room_does_not_stop_the_others_from_being_packed_well() -> None:
    asked = replace(random_packing(2), capacity=np.array([[9, 9]] * 4 + [[0, 0]] * 2))
    found, exact = repack(asked, RepackingLimits(3_000)), solve_repacking(asked)
    check(asked, found.zones)
    assert found.unplaced and len(found.unplaced) == exact.unplaced

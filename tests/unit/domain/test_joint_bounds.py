"""What joint search is told before it evaluates: bounds of moves, of sets, of exchanges, and which zones to try."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hansa_control.domain.joint import Bounds, JointPlan, JointProblem, SearchLimits, Spread, place_jointly
from hansa_control.domain.joint_arena import Arena, Position
from hansa_control.domain.joint_bounds import tighten
from hansa_control.domain.joint_moves import score_moves, targets_of
from hansa_control.domain.joint_pairs import better_exchanges
from hansa_control.domain.joint_relaxation import Relaxed, rank_zones

ENDLESS = 1 << 50


def scattered(seed: int, shape: tuple[int, int], *, room_of_all: float = 0.0) -> JointProblem:
    """Random costs; each replica has that part of the whole demand as room, endless room at none."""
    stream = np.random.default_rng(seed)
    count, zones = shape
    demand = stream.integers(50, 200, count)
    one = int(demand.sum() * room_of_all) or ENDLESS
    return JointProblem(
        cost_of_share=stream.random(shape) * 30 + 1,
        admissible=stream.random(shape) < 0.95,
        demand_millirps=demand,
        load_max_millirps=np.tile(np.arange(4) * one, (zones, 1)),
        replicas_free=np.full(zones, 3),
        replica_cost=stream.random(zones) * 4 + 1,
        open_cost=stream.random(zones) * 8 + 2,
        bounds=Bounds(zones_max=5),
    )


def opened(arena: Arena, *zones: int) -> Position:
    replicas = np.zeros(len(arena.fixed), dtype=np.int64)
    replicas[list(zones)] = 1
    return arena.evaluate(replicas)


def served_cost(arena: Arena, replicas: np.ndarray) -> float:
    zones = np.flatnonzero(replicas)
    return arena.shares_within(zones, arena.room[zones, replicas[zones]]).cost + arena.set_cost(replicas)


def test_bounds_of_moves_are_their_costs_where_no_room_is_scarce() -> None:
    arena = Arena(scattered(1, (12, 20)))
    position = opened(arena, 3, 8, 15)
    moves = score_moves(arena, position, targets_of(arena, np.arange(20)))
    finite = np.flatnonzero(np.isfinite(moves.bound.ravel())).tolist()
    assert len(finite) > 60
    for at in finite:
        assert arena.evaluate(moves.apply(at)).total == pytest.approx(float(moves.bound.ravel()[at]))


def test_bounds_of_moves_and_of_sets_are_never_above_the_cheapest_shares() -> None:
    arena = Arena(scattered(2, (12, 20), room_of_all=0.2))
    position = opened(arena, 3, 5, 8, 15)
    moves = score_moves(arena, position, targets_of(arena, np.arange(20)))
    lowest = np.argsort(moves.bound.ravel())[:12].tolist()
    sets = [moves.apply(at) for at in lowest]
    exact = np.array([served_cost(arena, replicas) for replicas in sets])
    bounds = tighten(arena, position, sets)
    assert (moves.bound.ravel()[lowest] <= exact + 1e-6).all() and (bounds <= exact + 1e-6).all()
    assert (exact - bounds).mean() < 0.7 * (exact - moves.bound.ravel()[lowest]).mean()


def test_relaxation_ranks_the_zones_of_the_best_plan_first() -> None:
    asked = scattered(3, (20, 300))
    best = place_jointly(asked, SearchLimits(600_000))
    assert isinstance(best, JointPlan)
    arena = Arena(asked)
    own = asked.open_cost + asked.replica_cost
    ranking = rank_zones(Relaxed(np.arange(300), arena.cost, own, None, arena.demand, 1, 5))
    assert set(best.zones) <= set(ranking.zones[:40].tolist())
    assert len(ranking.cheapest) <= 5 and ranking.work > 0


def test_exchange_of_two_zones_for_two_is_found_where_no_single_move_helps() -> None:
    # Pairs (0, 1) and (2, 3) each serve all; a mixed pair leaves somebody far away.
    far, near, nearer = 90.0, 5.0, 1.0
    table = np.array([[near, far, nearer, far], [near, far, far, nearer], [far, near, nearer, far]])
    table = np.vstack((table, [[far, near, far, nearer]]))
    asked = replace(
        scattered(4, (4, 4)), cost_of_share=table, admissible=np.ones((4, 4), dtype=np.bool_),
        bounds=Bounds(zones_max=2), open_cost=np.full(4, 2.0), replica_cost=np.ones(4),
    )  # fmt: skip
    arena = Arena(asked)
    position = opened(arena, 0, 1)
    moves = score_moves(arena, position, targets_of(arena, np.arange(4)))
    assert moves.bound.min() > position.total
    sets = better_exchanges(arena, position, np.arange(4))
    assert np.flatnonzero(sets[0]).tolist() == [2, 3]
    assert arena.evaluate(sets[0]).total == pytest.approx(4 * nearer + 2 * 3)


def test_exchanges_keep_the_most_replicas_of_a_domain() -> None:
    asked = scattered(5, (12, 20))
    spread = Spread(np.arange(20) % 3, replicas_per_domain_max=1)
    asked = replace(asked, spreads=(spread,), bounds=Bounds(zones_max=3))
    arena = Arena(asked)
    sets = better_exchanges(arena, opened(arena, 0, 1), np.arange(20))
    assert sets
    for replicas in sets:
        assert np.bincount(spread.labels, weights=replicas).max() <= 1


def test_work_of_a_search_is_kept_to_within_its_largest_part() -> None:
    for seed, room in ((6, 0.0), (7, 0.15)):
        plan = place_jointly(scattered(seed, (50, 1_000), room_of_all=room))
        assert isinstance(plan, JointPlan) and plan.moves <= 55_000

"""Many seeds of random faults, on the production control plane and agent: nothing that must hold may break.

A seed that once broke something stays here, with what it showed. ``make sim-sweep`` plays as many more as one likes.
"""

from __future__ import annotations

import pytest
from hansa_sim.drawn import SIZES, size_of
from hansa_sim.sweep import play

REGRESSIONS = {
    33: "an order went out before its confirmation was durable; after a crash it ran under a mere hold",
    80: "the same, with a single instance",
}
AWAITS = range(3, 4_000, 199)
"""Every 199th of the awaits: 199 has no factor in common with the number of processes, so that all have their turn."""


def play_soundly(scenario: str, seed: int) -> None:
    played = play(scenario, seed)
    assert not played.broken, "\n".join((played.command, *played.broken))


@pytest.mark.parametrize("seed", range(1, 201))
def test_a_drawn_world_survives_the_faults_that_were_drawn_for_it(seed: int) -> None:
    play_soundly("drawn", seed)


@pytest.mark.parametrize("seed", AWAITS)
def test_a_move_between_operators_survives_the_death_of_a_process_at_an_await(seed: int) -> None:
    play_soundly("awaits", seed)


@pytest.mark.parametrize("seed", [1, 2, *REGRESSIONS])
def test_two_operators_survive_a_storm(seed: int) -> None:
    play_soundly("storm", seed)


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_workload_in_two_zones_survives_a_storm(seed: int) -> None:
    play_soundly("two-zones", seed)


@pytest.mark.parametrize("seed", range(1, 3))
def test_three_operators_survive_a_storm(seed: int) -> None:
    play_soundly("three-operators-storm", seed)


def test_most_drawn_worlds_are_tiny_and_all_sizes_are_drawn() -> None:
    drawn = [size_of(seed) for seed in range(1, 201)]
    assert set(drawn) == set(SIZES)
    assert drawn.count("tiny") > 100
    assert drawn.count("large") < 20

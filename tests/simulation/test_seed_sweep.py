"""Many seeds of random faults, on the production control plane and agent: nothing that must hold may break.

A seed that once broke something stays here, with what it showed.
"""

from __future__ import annotations

import pytest
from hansa_sim.scenario import run_scenario
from hansa_sim.scenarios import SCENARIOS

REGRESSIONS = {
    33: "an order went out before its confirmation was durable; after a crash it ran under a mere hold",
    80: "the same, with a single instance",
}


@pytest.mark.parametrize("seed", [*range(1, 16), *REGRESSIONS])
def test_two_operators_survive_a_storm(seed: int) -> None:
    outcome = run_scenario(SCENARIOS["storm"], seed)
    assert outcome.broken == (), REGRESSIONS.get(seed, "")


@pytest.mark.parametrize("seed", range(1, 13))
def test_a_workload_in_two_zones_survives_a_storm(seed: int) -> None:
    assert run_scenario(SCENARIOS["two-zones"], seed).broken == ()


@pytest.mark.parametrize("seed", range(1, 7))
def test_three_operators_survive_a_storm(seed: int) -> None:
    assert run_scenario(SCENARIOS["three-operators-storm"], seed).broken == ()

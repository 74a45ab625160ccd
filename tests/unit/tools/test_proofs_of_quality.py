"""The proofs of the quality bench against HiGHS, on instances small enough for both."""

from __future__ import annotations

import numpy as np
import pytest
from hansa_control.domain.exact import solve_joint, solve_repacking
from hansa_control.domain.repacking import RepackingLimits, repack

from tools.bench import _patterns, _siting
from tools.bench.quality import joint_instance, repacking_instance


@pytest.mark.parametrize("seed", range(4))
def test_branch_and_bound_over_zones_has_the_optimum_of_the_integer_programme(seed: int) -> None:
    problem = joint_instance("matrix", seed, (6, 12))
    sites = _siting.sites_of(problem)
    assert sites is not None
    best, bound = _siting.prove(sites, 1e4)
    exact = solve_joint(problem)
    assert best == pytest.approx(exact.objective, rel=3e-4)
    assert bound <= exact.objective + 1e-6 and best - bound <= 1.1e-4 * best


def test_scarce_room_and_least_numbers_are_no_question_of_zones_alone() -> None:
    assert _siting.sites_of(joint_instance("tight", 0, (6, 20))) is None
    assert _siting.sites_of(joint_instance("spread", 0, (6, 20))) is None


@pytest.mark.parametrize("seed", range(3))
def test_sets_that_fill_a_zone_have_the_optimum_of_the_integer_programme(seed: int) -> None:
    problem = repacking_instance(seed, (12, 7), 0.6)
    found = repack(problem, RepackingLimits(work_max=0))
    assert not found.unplaced
    best, bound = _patterns.prove(problem, np.asarray(found.zones), 30.0)
    exact = solve_repacking(problem)
    assert best == pytest.approx(exact.objective, rel=3e-4)
    assert bound <= exact.objective + 1e-6 and best - bound <= 3e-4 * best

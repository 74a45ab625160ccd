"""Differences of two rows: signs, pairs, and that whom a row loses does not make it faster."""

from __future__ import annotations

import numpy as np
import pytest
from hansa_sim.latency.paired import MS_NS, PointSums


def sums(served: list[list[int]], means_ms: list[list[float]]) -> PointSums:
    """Replications by access points."""
    counts = np.array(served, dtype=np.int64)
    return PointSums(counts, np.rint(counts * np.array(means_ms) * MS_NS).astype(np.int64))


def test_a_row_that_loses_requests_from_far_away_has_not_become_faster() -> None:
    harmed = sums([[1_000, 500], [1_000, 250]], [[10.0, 90.0], [10.0, 90.0]])
    unharmed = sums([[1_000, 1_000], [1_000, 1_000]], [[10.0, 90.0], [10.0, 90.0]])
    assert harmed.differences_ms(unharmed) == pytest.approx([0.0, 0.0])
    assert unharmed.differences_ms(harmed) == pytest.approx([0.0, 0.0])


def test_where_both_serve_all_it_is_the_difference_of_the_plain_means_in_each_replication() -> None:
    one = sums([[300, 700], [400, 600]], [[12.0, 30.0], [14.0, 28.0]])
    other = sums([[300, 700], [400, 600]], [[10.0, 31.0], [10.0, 31.0]])
    plain = [(0.3 * 12 + 0.7 * 30) - (0.3 * 10 + 0.7 * 31), (0.4 * 14 + 0.6 * 28) - (0.4 * 10 + 0.6 * 31)]
    assert one.differences_ms(other) == pytest.approx(plain)
    assert other.differences_ms(one) == pytest.approx([-each for each in plain])


def test_users_that_only_one_serves_do_not_count() -> None:
    one, other = sums([[100, 0]], [[12.0, 0.0]]), sums([[100, 900]], [[10.0, 500.0]])
    assert one.differences_ms(other) == pytest.approx([2.0])


def test_nothing_is_known_of_a_replication_in_which_both_serve_nobody() -> None:
    one, other = sums([[5, 0], [0, 5]], [[1.0, 0.0], [0.0, 1.0]]), sums([[5, 5], [5, 0]], [[1.0, 1.0], [1.0, 0.0]])
    found = one.differences_ms(other)
    assert found[0] == pytest.approx(0.0) and np.isnan(found[1])


def test_the_mean_that_a_difference_is_a_part_of_has_its_weights() -> None:
    """Half of the requests from far away are lost: 20 ms more for each are 40 % of what those that count took."""
    harmed = sums([[100, 50], [100, 50]], [[30.0, 110.0], [30.0, 110.0]])
    unharmed = sums([[100, 100], [100, 100]], [[10.0, 90.0], [20.0, 90.0]])
    beside = unharmed.mean_beside_ms(harmed)
    assert beside == pytest.approx(((100 * 10 + 50 * 90) / 150 + (100 * 20 + 50 * 90) / 150) / 2)
    gap = harmed.mean_beside_ms(unharmed) - beside
    assert gap == pytest.approx(harmed.differences_ms(unharmed).mean())


def test_the_mean_beside_is_of_replications_and_places_that_both_serve() -> None:
    one, other = sums([[5, 0], [0, 5]], [[7.0, 0.0], [0.0, 9.0]]), sums([[5, 5], [5, 0]], [[1.0, 1.0], [1.0, 0.0]])
    assert one.mean_beside_ms(other) == pytest.approx(7.0)
    assert np.isnan(one.mean_beside_ms(sums([[0, 0], [0, 0]], [[0.0, 0.0], [0.0, 0.0]])))

"""What is held against a partner, and how it is forgotten: in integers, the same everywhere."""

from __future__ import annotations

import pytest
from hansa_control.domain.reputation import (
    BROKEN_MILLI_MAX,
    STEP_MILLI,
    WEIGHTS_MILLI,
    Breach,
    Reputation,
    after_breach,
    broken_milli,
    in_steps,
)
from hypothesis import given
from hypothesis import strategies as st

HALF_LIFE_MS = 21_600_000
NEW = Reputation("skargard")
weights = st.integers(0, BROKEN_MILLI_MAX)
times = st.integers(0, 200 * HALF_LIFE_MS)


def left(milli: int, after_ms: int) -> int:
    return broken_milli(Reputation("skargard", milli, 1_000), 1_000 + after_ms, HALF_LIFE_MS)


@pytest.mark.parametrize(("halves", "expected"), [(0, 1_000), (1, 500), (2, 250), (3, 125), (10, 0), (1_000_000, 0)])
def test_half_of_it_is_forgotten_after_each_half_life(halves: int, expected: int) -> None:
    assert left(1_000, halves * HALF_LIFE_MS) == expected


@given(weights, times)
def test_it_is_close_to_the_exponential_and_never_below_it_by_more_than_rounding(milli: int, after_ms: int) -> None:
    exact = milli * 2 ** (-after_ms / HALF_LIFE_MS)
    assert exact - 2 <= left(milli, after_ms) <= exact * 1.0615 + 2


@given(weights, times, times)
def test_what_is_held_against_a_partner_never_grows_by_waiting(milli: int, first_ms: int, second_ms: int) -> None:
    early, late = sorted((first_ms, second_ms))
    assert left(milli, late) <= left(milli, early)


def test_a_clock_that_was_set_back_forgets_nothing_and_counts_nothing_twice() -> None:
    held = after_breach(NEW, Breach.GRANT_INVALID, 5_000_000, HALF_LIFE_MS)
    assert broken_milli(held, 1, HALF_LIFE_MS) == 1_000
    again = after_breach(held, Breach.GRANT_INVALID, 1, HALF_LIFE_MS)
    assert (again.broken_milli, again.as_of_ms) == (2_000, 5_000_000)


def test_breaches_add_up_to_a_bound_and_are_counted_for_ever() -> None:
    held = NEW
    for _ in range(100):
        held = after_breach(held, Breach.GRANT_INVALID, 1_000, HALF_LIFE_MS)
    held = after_breach(held, Breach.CLAIM_LOST, 1_000, HALF_LIFE_MS)
    assert held.broken_milli == BROKEN_MILLI_MAX
    assert held.counts == ((Breach.CLAIM_LOST, 1), (Breach.GRANT_INVALID, 100))


def test_what_was_forgotten_does_not_come_back_with_the_next_breach() -> None:
    held = after_breach(NEW, Breach.GRANT_INVALID, 0, HALF_LIFE_MS)
    held = after_breach(held, Breach.CLAIM_LOST, HALF_LIFE_MS, HALF_LIFE_MS)
    assert held.broken_milli == 500 + WEIGHTS_MILLI[Breach.CLAIM_LOST]


def test_every_breach_weighs_something_and_is_read_in_steps() -> None:
    assert set(WEIGHTS_MILLI) == set(Breach)
    assert all(in_steps(weight) == weight > 0 for weight in WEIGHTS_MILLI.values())
    assert (in_steps(STEP_MILLI - 1), in_steps(STEP_MILLI)) == (0, STEP_MILLI)

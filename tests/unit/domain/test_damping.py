"""Whoever comes and goes repeatedly is held down, longer each time, within a bound, until it has been calm."""

from __future__ import annotations

from hansa_control.domain.damping import CALM_MS, HOLD_MS_MAX, Damping, come_back, is_held_down

LONG_AGO = Damping(until_ms=-(1 << 60))


def holds_ms(returns: int, apart_ms: int = 0) -> list[int]:
    """The hold-down after each of so many returns, each so long after the hold-down before."""
    damping, now_ms, found = LONG_AGO, 0, []
    for _ in range(returns):
        damping = come_back(damping, now_ms)
        found.append(damping.until_ms - now_ms)
        now_ms = damping.until_ms + apart_ms
    return found


def test_the_first_two_returns_cost_nothing_and_each_one_after_them_twice_as_much_within_a_bound() -> None:
    assert holds_ms(9) == [0, 0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]
    assert max(holds_ms(200)) == HOLD_MS_MAX


def test_calm_makes_good_again() -> None:
    assert holds_ms(6, CALM_MS) == [0] * 6
    assert holds_ms(4, CALM_MS - 1) == [0, 0, 10_000, 20_000]


def test_a_hold_down_ends_at_its_time() -> None:
    damping = Damping(3, 100)
    assert [is_held_down(damping, at) for at in (99, 100)] == [True, False]

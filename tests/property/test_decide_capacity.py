"""Capacity under any sequence of taking and giving back, against plain counters."""

from __future__ import annotations

from collections import Counter

from hansa_control.domain.capacity import add, fits, subtract
from hansa_control.domain.model import Capacity
from hypothesis import given, settings
from hypothesis import strategies as st

POOLS = ("nv/A", "nv/B", "nv/B/mig-1g")


def plain(amount: Capacity) -> Counter[str]:
    return Counter({"cpu": amount.cpu_millis, "memory": amount.memory_mib, **dict(amount.accelerators)})


amounts = st.builds(
    lambda cpu, memory, pools: Capacity(cpu, memory, tuple(sorted(pools.items()))),
    st.integers(0, 10),
    st.integers(0, 10),
    st.dictionaries(st.sampled_from(POOLS), st.integers(1, 5)),
)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(amounts, st.lists(st.tuples(st.booleans(), amounts), max_size=25))
def test_no_sequence_of_takes_and_returns_makes_capacity_negative_or_loses_any(
    start: Capacity, steps: list[tuple[bool, Capacity]]
) -> None:
    free, counters = start, plain(start)
    for give, amount in steps:
        counted = Counter(counters)
        counted.update(plain(amount)) if give else counted.subtract(plain(amount))
        possible = min(counted.values(), default=0) >= 0
        try:
            free = add(free, amount) if give else subtract(free, amount)
        except ValueError:
            assert not possible
            continue
        assert possible
        counters = counted
        assert +plain(free) == +counters
        assert all(count > 0 for _, count in free.accelerators)
        assert list(free.accelerators) == sorted(free.accelerators)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(amounts, amounts)
def test_what_fits_can_be_taken_and_what_does_not_cannot(amount: Capacity, free: Capacity) -> None:
    try:
        left = subtract(free, amount)
    except ValueError:
        assert not fits(amount, free)
    else:
        assert fits(amount, free)
        assert add(left, amount) == free

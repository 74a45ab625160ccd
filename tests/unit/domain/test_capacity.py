from __future__ import annotations

from dataclasses import replace

import pytest
from deciding_world import H100, L4, SLICE, spec
from hansa_control.domain.capacity import add, amount_for, choose_pool, count_of, fits, is_acceptable_model, subtract
from hansa_control.domain.model import AcceleratorNeed, Capacity

FREE = Capacity(8_000, 16_384, (("nvidia/H100", 2), ("nvidia/L4", 4)))


def test_what_is_added_can_be_taken_again() -> None:
    amount = Capacity(1_000, 1_024, (("nvidia/A100", 1), ("nvidia/L4", 1)))
    assert subtract(add(FREE, amount), amount) == FREE


def test_pools_that_are_used_up_leave_no_zero_behind() -> None:
    assert subtract(FREE, Capacity(0, 0, (("nvidia/L4", 4),))).accelerators == (("nvidia/H100", 2),)


@pytest.mark.parametrize(
    "amount",
    [Capacity(8_001), Capacity(0, 16_385), Capacity(0, 0, (("nvidia/L4", 5),)), Capacity(0, 0, (("nvidia/L40S", 1),))],
)
def test_taking_more_than_there_is_raises_and_does_not_fit(amount: Capacity) -> None:
    assert not fits(amount, FREE)
    with pytest.raises(ValueError, match="negative"):
        subtract(FREE, amount)


def test_everything_that_is_free_fits() -> None:
    assert fits(FREE, FREE)
    assert subtract(FREE, FREE) == Capacity()


def test_an_amount_covers_every_replica() -> None:
    assert amount_for(spec(replicas=3), L4.key) == Capacity(6_000, 12_288, (("nvidia/L4", 3),))


def test_an_amount_without_accelerators_names_no_pool() -> None:
    assert amount_for(spec(accelerator=None), "") == Capacity(4_000, 8_192)


def test_an_amount_with_accelerators_needs_a_pool() -> None:
    with pytest.raises(ValueError, match="pool"):
        amount_for(spec(), "")


def test_the_smallest_sufficient_pool_is_chosen_whatever_the_order_of_the_inventory() -> None:
    anything = spec(accelerator=AcceleratorNeed((), 1, 16_000))
    assert choose_pool(anything, (H100, L4, SLICE), FREE) is L4
    assert choose_pool(anything, (SLICE, L4, H100), FREE) is L4


def test_a_larger_pool_is_chosen_when_the_smaller_one_is_used_up() -> None:
    anything = spec(accelerator=AcceleratorNeed((), 1, 16_000), replicas=2)
    assert choose_pool(anything, (L4, H100), Capacity(0, 0, (("nvidia/H100", 2), ("nvidia/L4", 1)))) is H100


def test_pool_whose_machines_have_too_few_for_one_replica_is_not_chosen() -> None:
    anything = spec(accelerator=AcceleratorNeed((), 2, 16_000), replicas=1)
    assert choose_pool(anything, (replace(L4, node_count_max=1), H100), FREE) is H100
    assert choose_pool(anything, (replace(L4, node_count_max=2), H100), FREE) == replace(L4, node_count_max=2)


def test_replicas_are_not_spread_over_two_pools() -> None:
    anything = spec(accelerator=AcceleratorNeed((), 1, 16_000), replicas=5)
    assert choose_pool(anything, (L4, H100), FREE) is None


def test_models_match_by_name_or_key_and_case_does_not_count() -> None:
    assert is_acceptable_model(AcceleratorNeed(("l4",), 1, 0), L4)
    assert is_acceptable_model(AcceleratorNeed(("nvidia/L4",), 1, 0), L4)
    assert is_acceptable_model(AcceleratorNeed(("nvidia/H100/mig-1g.10gb",), 1, 0), SLICE)
    assert not is_acceptable_model(AcceleratorNeed(("nvidia/H100/mig-1g.10gb",), 1, 0), H100)
    assert not is_acceptable_model(AcceleratorNeed(("L40S",), 1, 0), L4)


def test_a_pool_that_is_not_there_counts_nothing() -> None:
    assert count_of(FREE, "nvidia/L40S") == 0
    assert choose_pool(spec(), (replace(L4, model="L40S"),), FREE) is None

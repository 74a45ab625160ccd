"""Whatever a carrier loses, doubles or reorders: what is taken over is a beginning of what was sent, in its order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.errors import ProtocolViolation
from hansa.numbered import Numbers


@given(st.lists(st.integers(1, 12), max_size=40))
def test_what_is_taken_over_is_a_beginning_in_order_each_once(arrivals: list[int]) -> None:
    numbers, taken = Numbers(), []
    for sequence in arrivals:
        try:
            if numbers.take(sequence, 0):
                taken.append(sequence)
        except ProtocolViolation:
            assert sequence > len(taken) + 1
            break
    assert taken == list(range(1, len(taken) + 1))
    assert numbers.taken == len(taken)


def test_doubled_messages_are_counted() -> None:
    numbers = Numbers()
    assert [numbers.take(sequence, 0) for sequence in (1, 1, 2, 1, 2)] == [True, False, True, False, False]
    assert numbers.doubled_count == 3


def test_a_gap_says_which_message_was_lost() -> None:
    numbers = Numbers()
    numbers.take(1, 0)
    with pytest.raises(ProtocolViolation, match="message 2 was lost on the way; 4 came"):
        numbers.take(4, 0)


def test_a_side_that_is_not_heard_of_is_not_sent_more_than_the_limit() -> None:
    numbers = Numbers(unacknowledged_max=3)
    assert [numbers.next() for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ProtocolViolation, match="has not taken over the last 3"):
        numbers.next()
    numbers.take(1, 2)
    assert numbers.next() == 4


@pytest.mark.parametrize("acknowledged", [-1, 2])
def test_an_acknowledgement_of_what_was_never_sent_breaks_the_rules(acknowledged: int) -> None:
    numbers = Numbers()
    numbers.next()
    with pytest.raises(ProtocolViolation, match="acknowledges"):
        numbers.take(1, acknowledged)


def test_an_older_acknowledgement_takes_nothing_back() -> None:
    numbers = Numbers(unacknowledged_max=2)
    numbers.next(), numbers.next()
    numbers.take(1, 2)
    numbers.take(2, 0)
    assert numbers.next() == 3

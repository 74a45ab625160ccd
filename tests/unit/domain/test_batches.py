"""Which batch users are sent to, and which are given up."""

from __future__ import annotations

from hansa_control.domain.batches import LIVE, batch_number, batches_of, serving, without_superseded
from hansa_control.domain.model import Placement, PlacementState, ZoneId

S = PlacementState
_STATES = {"s": S.STARTING, "r": S.READY, "l": S.LOST, "f": S.STARTING, "x": S.RELEASING, "h": S.HELD}


def batch(number: int, parts: str, of: int = 0) -> list[Placement]:
    """Parts by letter: r ready, s starting, f starting after it was ready, l lost, x releasing, h held."""
    return [
        Placement(
            f"c-{number + n}",
            ZoneId("nordavind", f"z{n}"),
            1,
            _STATES[state],
            (),
            batch=number,
            batch_parts=of or len(parts),
            has_answered=state in "rf",
        )
        for n, state in enumerate(parts)
    ]


def kept(*placements: Placement) -> str:
    """The states afterwards, by letter."""
    letters = {S.STARTING: "s", S.READY: "r", S.LOST: "l", S.RELEASING: "x", S.HELD: "h"}
    return "".join(letters[one.state] for one in without_superseded(placements))


def test_users_are_with_the_newest_batch_that_answers_wholly() -> None:
    found = serving([*batch(1, "rr"), *batch(3, "rr"), *batch(5, "rs")])
    assert found is not None
    assert found.number == 3


def test_where_none_answers_wholly_users_stay_where_they_were_first() -> None:
    found = serving([*batch(1, "rl"), *batch(3, "rs")])
    assert found is not None
    assert found.number == 1
    assert serving(batch(1, "sl")) is None


def test_an_older_batch_is_given_up_only_when_the_newest_answers_wholly() -> None:
    assert kept(*batch(1, "rr"), *batch(3, "rs")) == "rrrs"
    assert kept(*batch(1, "rl"), *batch(3, "rr")) == "xxrr"


def test_a_batch_that_breaks_before_it_answered_is_given_up() -> None:
    assert kept(*batch(1, "s", of=2)) == "x"
    assert kept(*batch(1, "rr"), *batch(3, "s", of=2)) == "rrx"


def test_a_broken_batch_that_answers_or_answered_is_kept_for_want_of_a_better() -> None:
    assert kept(*batch(1, "r", of=2)) == "r"
    assert kept(*batch(1, "f", of=2)) == "s"
    assert kept(*batch(1, "f", of=2), *batch(3, "ss")) == "sss"


def test_a_lost_part_may_come_back_so_its_batch_is_not_broken() -> None:
    assert kept(*batch(1, "sl")) == "sl"
    (found,) = batches_of(batch(1, "sl"))
    assert (found.is_torn, found.is_broken) == (True, False)


def test_between_where_users_are_and_the_newest_nothing_is_kept() -> None:
    assert kept(*batch(1, "rr"), *batch(3, "ss"), *batch(5, "ss")) == "rrxxss"


def test_held_and_releasing_parts_are_left_alone_and_belong_to_no_batch() -> None:
    assert kept(*batch(1, "xh"), *batch(3, "r")) == "xhr"
    assert batches_of(batch(1, "xh")) == []
    assert batches_of(batch(1, "ll"), LIVE) == []


def test_placements_from_before_there_were_batches_are_each_alone() -> None:
    old = Placement("cabc-7", ZoneId("a", "b"), 1, S.READY, ())
    new = Placement("cabc-8", ZoneId("a", "c"), 1, S.READY, ())
    assert (batch_number(old), batch_number(new)) == (7, 8)
    assert [one.state for one in without_superseded((old, new))] == [S.RELEASING, S.READY]

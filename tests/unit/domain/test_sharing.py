"""Who gets which share of an access point's requests while all answer, and while some do not."""

from __future__ import annotations

from hansa_control.domain.model import AccessLatency, Placement, PlacementState, ZoneId
from hansa_control.domain.sharing import planned_shares, shares_now
from hypothesis import given
from hypothesis import strategies as st


def part(names: str, *shares: int, replicas: int = 1) -> Placement:
    """A placement that serves access points named by single letters."""
    latencies = tuple(AccessLatency(name, 1, (name,), (), ()) for name in names)
    zone = ZoneId("nordavind", f"z{names}")
    return Placement("c-1", zone, replicas, PlacementState.READY, latencies, share_permille=shares)


def test_alone_it_gets_everything_of_all_that_it_serves() -> None:
    assert shares_now([part("ab")]) == [{"a": 1_000, "b": 1_000}]


def test_shares_are_named_by_the_paths_and_not_by_their_place_in_a_spec() -> None:
    assert planned_shares(part("ac", 300, 0, 1_000)) == {"a": 300, "c": 1_000}
    assert planned_shares(part("ac", 0, 0, 0)) == {"a": 0, "c": 0}


def test_while_all_answer_shares_are_as_planned() -> None:
    assert shares_now([part("ab", 700, 1_000), part("a", 300, 0)]) == [{"a": 700, "b": 1_000}, {"a": 300}]


def test_a_missing_part_is_made_up_for_in_proportion_by_those_that_serve_the_access_point() -> None:
    assert shares_now([part("a", 200, 0), part("ab", 400, 1_000)]) == [{"a": 333}, {"a": 667, "b": 1_000}]


def test_what_stands_by_takes_over_only_where_nobody_serves_any_more() -> None:
    serving, standby = part("a", 1_000, 0), part("ab", 0, 0)
    assert shares_now([serving, standby]) == [{"a": 1_000}, {"a": 0, "b": 1_000}]


def test_those_that_stand_by_take_over_by_their_replicas() -> None:
    assert shares_now([part("a", 0), part("a", 0, replicas=3)]) == [{"a": 250}, {"a": 750}]


def test_nobody_gets_an_access_point_that_it_was_not_planned_for() -> None:
    assert shares_now([part("a", 1_000, 0)]) == [{"a": 1_000}]


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), min_size=1, max_size=6))
def test_shares_of_an_access_point_that_somebody_answers_add_up(planned: list[tuple[int, int]]) -> None:
    parts = [part("".join(n for n, share in zip("ab", s, strict=True) if share or not any(s)), *s) for s in planned]
    now = shares_now(parts)
    for name in {name for shares in now for name in shares}:
        assert sum(shares.get(name, 0) for shares in now) == 1_000

"""Engines at the edges of what they are for: nothing to do, one user, one server, demands near what 64 bits hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from engine_worlds import MS, by_hand, differences, one_station
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.analytic import Station, lost_share, mean_wait_deterministic_ns, mean_wait_ns
from hansa_sim.engines.analytic import sojourn_percentile_ns as sojourn
from hansa_sim.engines.analytic import wait_percentile_ns as wait
from hansa_sim.engines.arrivals import PORTION, blocks, expected_requests
from hansa_sim.engines.confidence import paired
from hansa_sim.engines.histogram import BUCKETS, RELATIVE_ERROR, bounds_ns, buckets_of, percentiles_ns, share_at_most
from hansa_sim.engines.measured import Measured, Stability
from hansa_sim.engines.model import (
    ANY_WAIT,
    DEMAND_NS_MAX,
    SECOND_NS,
    Block,
    Outages,
    Paths,
    Profile,
    Recorded,
    UserClass,
    Window,
    Zones,
)
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import Table
from hansa_sim.engines.service import Deterministic, Empirical, Exponential, Gamma, Lognormal

HERE = np.zeros(1, np.int32)
SPEEDS = (Speed.PLAIN, Speed.COMPILED)


def served_by_all(run: Run, requests: list[Block], table: np.ndarray = HERE) -> Measured:
    """What every engine in both forms says, which is one thing."""
    first, *others = (
        found
        for speed in SPEEDS
        for found in (
            static.serve(requests, table, run, speed),
            event.serve(requests, Table(table), run, speed=speed),
        )
    )
    assert [differences(first, other) for other in others] == [[], [], []]
    return first


def station(servers: int = 1, speed_permille: int = 1_000, wait_ns_max: int = ANY_WAIT, end_ns: int = SECOND_NS) -> Run:
    way = np.zeros((1, 1), np.int64)
    classes = [UserClass("all", HERE, 1.0, Deterministic(1.0))]
    return Run.of(classes, Paths(way, way, way == 0), Zones.of([servers], speed_permille, wait_ns_max), Window(end_ns))


# --- nothing, or one ---


def test_a_window_in_which_nobody_asks_measures_nothing_and_says_so() -> None:
    found = served_by_all(station(), [])
    assert found.stability == (Stability.IDLE,)
    assert (found.busy_ns.tolist(), found.utilisation.tolist(), found.mean_in_system.tolist()) == ([0], [0.0], [0.0])
    assert np.isnan([found.mean_latency_ns(), found.mean_wait_ns[0], *found.latency_percentiles_ns([50.0])]).all()
    assert len(found.series_served) == 0


def test_a_window_may_be_one_nanosecond_long() -> None:
    found = served_by_all(station(end_ns=1), by_hand([0, 0, 1], [0, 0, 0], [3, 3, 3]))
    assert (found.served.tolist(), found.latency_sum_ns.tolist()) == ([2], [3 + 6])
    assert found.utilisation.tolist() == [1.0]
    assert found.mean_in_system.tolist() == [2.0]


def test_requests_of_before_the_window_take_their_time_in_it_and_have_no_latency() -> None:
    way = np.zeros((1, 1), np.int64)
    classes = [UserClass("all", HERE, 1.0, Deterministic(1.0))]
    run = Run.of(classes, Paths(way, way, way == 0), Zones.of([1]), Window(200, 100))
    found = served_by_all(run, by_hand([90, 110], [0, 0], [30, 10]))
    assert (found.served.tolist(), found.latency_sum_ns.tolist()) == ([1], [20])
    assert (found.busy_ns.tolist(), found.area_ns.tolist()) == ([30], [20 + 20])
    assert (found.joined.tolist(), found.offered_ns.tolist()) == ([1], [10])


@pytest.mark.parametrize(("servers", "expected"), [(1, 6 + 12 + 18), (2, 6 + 6 + 12), (3, 18), (1_000, 18)])
def test_as_many_are_served_at_once_as_there_are_servers(servers: int, expected: int) -> None:
    found = served_by_all(station(servers), by_hand([5, 5, 5], [0, 0, 0], [6, 6, 6]))
    assert found.latency_sum_ns.tolist() == [expected]


def test_where_none_may_wait_the_second_of_one_moment_is_turned_away() -> None:
    found = served_by_all(station(wait_ns_max=0), by_hand([5, 5, 11], [0, 0, 0], [6, 6, 6]))
    assert (found.served.tolist(), found.failed.tolist(), found.turned_away.tolist()) == ([2], [1], [1])
    assert found.wait_sum_ns.tolist() == [0]


def test_who_waits_exactly_as_long_as_is_allowed_is_served() -> None:
    requests = by_hand([0, 0], [0, 0], [7, 1])
    assert served_by_all(station(wait_ns_max=7), requests).served.tolist() == [2]
    assert served_by_all(station(wait_ns_max=6), requests).served.tolist() == [1]


def test_a_demand_of_nothing_is_served_at_once_also_by_a_slow_server() -> None:
    found = served_by_all(station(speed_permille=1), by_hand([3, 3], [0, 0], [0, 1]))
    assert (found.latency_sum_ns.tolist(), found.busy_ns.tolist()) == ([1_000], [1_000])


def test_a_fast_server_takes_whole_nanoseconds_and_less_than_one_is_none() -> None:
    found = served_by_all(station(speed_permille=3_000), by_hand([0, 0, 0], [0, 0, 0], [2, 3, 4]))
    assert found.latency_sum_ns.tolist() == [0 + 1 + 2]


# --- near what 64 bits hold ---


def test_the_longest_demand_is_counted_exactly_by_all() -> None:
    found = served_by_all(station(servers=2), by_hand([0, 0], [0, 0], [DEMAND_NS_MAX, DEMAND_NS_MAX - 1]))
    assert found.latency_sum_ns.tolist() == [2 * DEMAND_NS_MAX - 1]
    assert found.latency_max_ns.tolist() == [DEMAND_NS_MAX]
    assert found.latency_squares[0] == pytest.approx(2.0 * DEMAND_NS_MAX**2, rel=1e-12)
    assert found.busy_ns.tolist() == [2 * SECOND_NS]
    assert found.stability == (Stability.UNSTABLE,)


def test_a_slow_server_takes_longer_over_a_long_demand_and_nothing_wraps() -> None:
    found = served_by_all(station(speed_permille=500), by_hand([0], [0], [DEMAND_NS_MAX]))
    assert found.latency_sum_ns.tolist() == [2 * DEMAND_NS_MAX]
    assert found.latency_squares[0] == pytest.approx((2.0 * DEMAND_NS_MAX) ** 2, rel=1e-12)


@pytest.mark.parametrize("demand_ns", [-1, DEMAND_NS_MAX + 1, 2**62])
def test_a_demand_that_cannot_be_counted_is_refused_before_it_is_counted_wrong(demand_ns: int) -> None:
    with pytest.raises(ValueError, match=rf"demand_ns is {demand_ns}; it is from 0 to {DEMAND_NS_MAX}"):
        by_hand([0, 1], [0, 0], [5, demand_ns])


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_timeline_is_the_event_engines_and_never_an_empty_one_of_the_static(speed: Speed) -> None:
    run = replace(station(), bin_ns=SECOND_NS)
    with pytest.raises(ValueError, match="bin_ns is 1000000000; the static engine keeps no timeline"):
        static.serve(by_hand([0], [0], [MS]), HERE, run, speed)


def test_a_distribution_that_draws_years_is_refused_in_the_run() -> None:
    run, classes = one_station(10.0, Exponential(2.0**56), 1, 1)
    with pytest.raises(ValueError, match="demand_ns is"):
        static.serve(blocks(classes, 1, SECOND_NS), HERE, run)


def test_times_beyond_the_last_bucket_are_counted_in_it_and_nowhere_else() -> None:
    counts = np.bincount(buckets_of(np.array([5, 2**43, 2**50, 2**62], np.int64)), minlength=BUCKETS)
    assert len(counts) == BUCKETS
    assert counts[-1] == 3
    assert percentiles_ns(counts, [25.0]) == pytest.approx(5, rel=RELATIVE_ERROR)
    assert percentiles_ns(counts, [100.0])[0] >= 2**43
    assert share_at_most(counts, 2**42) == 0.25
    assert (np.diff(bounds_ns()) > 0).all()


def test_percentiles_never_fall_as_more_is_asked() -> None:
    times = np.array([0, 1, 1, 7, 900, 10**6, 10**9], np.int64)
    counts = np.bincount(buckets_of(times), minlength=BUCKETS)
    found = percentiles_ns(counts, np.linspace(0, 100, 41))
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0.0


# --- who asks ---


def sent_at(*classes: UserClass, horizon_ns: int = 20 * SECOND_NS) -> np.ndarray:
    found = [one.at_ns for one in blocks(list(classes), 1, horizon_ns)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def test_a_class_asks_from_its_beginning_on_and_before_its_end() -> None:
    one = UserClass("late", HERE, 400.0, Deterministic(1.0), begin_ns=3 * SECOND_NS, end_ns=5 * SECOND_NS)
    at = sent_at(one)
    assert 3 * SECOND_NS <= at[0] <= at[-1] < 5 * SECOND_NS
    assert len(at) == pytest.approx(800, rel=0.15)
    assert expected_requests([one], 20 * SECOND_NS) == pytest.approx(800)
    assert expected_requests([one], 4 * SECOND_NS) == pytest.approx(400)
    assert expected_requests([one], 2 * SECOND_NS) == 0
    assert len(sent_at(one, horizon_ns=2 * SECOND_NS)) == 0


def test_classes_that_end_do_not_hold_up_the_others() -> None:
    short = UserClass("short", HERE, 50.0, Deterministic(1.0), end_ns=SECOND_NS)
    never = UserClass("never", np.ones(1, np.int32), 50.0, Deterministic(1.0), begin_ns=99 * SECOND_NS)
    steady = UserClass("steady", np.full(1, 2, np.int32), 50.0, Deterministic(1.0))
    together = sent_at(short, never, steady)
    assert together.tolist() == sorted([*sent_at(short), *sent_at(steady)])


def test_of_requests_at_one_nanosecond_the_one_of_the_earlier_class_comes_first() -> None:
    at = np.array([5, 5, 9], np.int64)
    ones = [
        UserClass(f"at {row}", np.array([row], np.int32), 1.0, Deterministic(1.0), recorded=Recorded(at))
        for row in (1, 0)
    ]
    found = [int(user) for block in blocks(ones, 1, 100) for user in block.user]
    assert sorted(found[:4]) == [0, 0, 1, 1]
    assert found[:4] == [1, 1, 0, 0]


def test_records_longer_than_a_portion_come_whole_and_in_order() -> None:
    at = np.arange(2 * PORTION + 3, dtype=np.int64)
    one = UserClass("trace", HERE, 1.0, Deterministic(1.0), recorded=Recorded(at, at % 7 + 1))
    found = list(blocks([one], 1, 10**9))
    assert np.array_equal(np.concatenate([each.at_ns for each in found]), at)
    assert np.array_equal(np.concatenate([each.demand_ns for each in found]), at % 7 + 1)
    assert len(found) == 3


@pytest.mark.timeout(20)
def test_more_requests_at_one_moment_than_a_portion_come_whole_and_end() -> None:
    at = np.repeat(np.array([0, 5], np.int64), PORTION + 3)
    ones = [
        UserClass(f"at {row}", np.array([row], np.int32), 1.0, Deterministic(1.0), recorded=Recorded(at))
        for row in (1, 0)
    ]
    found = list(blocks(ones, 1, 100))
    assert np.array_equal(np.concatenate([each.at_ns for each in found]), np.repeat([0, 5], 2 * (PORTION + 3)))
    assert np.concatenate([each.user for each in found])[: PORTION + 3].all(), "the earlier class first"


def test_one_row_with_all_the_weight_sends_everything() -> None:
    one = UserClass(
        "all", np.arange(4, dtype=np.int32), 500.0, Deterministic(1.0), weights=np.array([0.0, 0, 1e-300, 0])
    )
    rows = {int(user) for block in blocks([one], 1, SECOND_NS) for user in block.user}
    assert rows == {2}


def class_of(**changes: object) -> UserClass:
    return UserClass(**({"name": "x", "users": HERE, "rate_rps": 1.0, "demand": Deterministic(1.0)} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: class_of(rate_rps=float("inf")), "rate_rps of class 'x' is inf; it is above 0 and finite"),
        (lambda: class_of(rate_rps=float("nan")), "rate_rps of class 'x' is nan"),
        (lambda: class_of(weights=np.array([0.0])), "weights of class 'x' sum to 0.0"),
        (lambda: class_of(weights=np.array([np.inf])), "weights of class 'x' sum to inf"),
        (lambda: class_of(weights=np.array([np.nan])), "weights of class 'x' are one for each user"),
        (lambda: Profile(1, np.array([1_000, -1])), "share_permille is -1 in a step"),
        (lambda: Profile(0, np.array([1])), "step_ns is 0; the least is 1"),
        (lambda: Profile(1, np.array([0, 0])), "one share above 0"),
        (lambda: Recorded(np.array([1, 2]), np.array([1])), "demand_ns has 1 requests, at_ns 2"),
        (lambda: list(blocks([], 1, 1)), "classes need one at least"),
        (lambda: list(blocks([class_of(), class_of()], 1, 1)), "a name of its own each"),
        (lambda: Empirical(np.array([3, 0])), "none below 1 ns"),
        (lambda: Gamma(1.0, 0.0), "scv is 0.0; it is above 0"),
        (lambda: Lognormal(1.0, float("nan")), "scv is nan"),
        (lambda: Station(0.0, 1.0), "no station has 0.0 rps"),
        (lambda: Run.of([class_of(users=np.array([1]))], *one_way(), Window(1)), "rows of users that the paths do not"),
        (lambda: Run.of([class_of(), class_of()], *one_way(), Window(1)), "shares rows of users with another"),
        (lambda: Run.of([class_of()], one_way()[0], Zones.of([1, 1]), Window(1)), "zones are 2, the paths lead to 1"),
    ],
)
def test_what_would_run_for_ever_or_mean_nothing_is_refused_in_words(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def one_way() -> tuple[Paths, Zones]:
    way = np.zeros((1, 1), np.int64)
    return Paths(way, way, way == 0), Zones.of([1])


def test_outages_that_touch_or_overlap_are_one_and_empty_ones_none() -> None:
    down, up = np.array([50, 10, 20, 30, 70, 99]), np.array([60, 20, 30, 25, 70, 98])
    found = Outages(np.array([0, 0, 0, 0, 0, 1], np.int32), down, up)
    assert found.of_zone(0) == [(10, 30), (50, 60)]
    assert found.of_zone(1) == []


# --- figures that are put side by side ---


def test_runs_with_series_of_other_sizes_are_paired_request_by_request() -> None:
    """Many requests make a series coarser; the difference is by batch, whatever the sizes were."""
    run, classes = one_station(2_000.0, Deterministic(0.1 * MS), 1, 45)
    whole = static.serve(blocks(classes, 1, run.window.end_ns), HERE, run)
    fine = static.serve(_first(blocks(classes, 1, run.window.end_ns), 20 * 1_600), HERE, run)
    assert whole.series_size > fine.series_size
    found = paired(whole, fine)
    assert (found.mean, found.half_width) == (0.0, 0.0)
    assert paired(fine, whole) == found


def _first(found: Iterator[Block], count: int) -> Iterator[Block]:
    """So many requests, which fill whole batches."""
    for block in found:
        part = slice(0, max(0, count))
        yield Block(block.at_ns[part], block.user[part], block.demand_ns[part])
        count -= len(block)


# --- closed forms at their edges ---


def test_two_servers_on_the_edge_of_the_formula_wait_as_those_beside_it() -> None:
    """With one server to spare besides the load the general form divides by zero; the limit is taken."""
    at, near = (sojourn(Station(rate, 1e9, servers=2), 95) for rate in (1.0, 1.0 + 1e-6))
    assert at == pytest.approx(near, rel=1e-5)


def test_where_hardly_anybody_comes_nobody_waits_and_service_is_all() -> None:
    for servers in (1, 2, 7):
        rare = Station(1e-6, 5e6, servers)
        assert mean_wait_ns(rare) == pytest.approx(0, abs=1.0)
        assert mean_wait_deterministic_ns(rare) == pytest.approx(0, abs=1.0)
        assert wait(rare, 99) == 0.0
        assert sojourn(rare, 95) == pytest.approx(-np.log(0.05) * 5e6, rel=1e-6)


def test_what_never_varies_waits_half_as_long_as_what_has_no_memory_at_one_server() -> None:
    for load in (0.1, 0.5, 0.9, 0.99):
        assert mean_wait_deterministic_ns(Station(load, 1e9)) == pytest.approx(mean_wait_ns(Station(load, 1e9)) / 2)


def test_waits_grow_with_load_and_fall_with_servers() -> None:
    for form in (mean_wait_ns, mean_wait_deterministic_ns, lost_share, lambda one: sojourn(one, 99)):
        by_load = [form(Station(rate, 1e9, servers=3)) for rate in (0.5, 1.0, 1.5, 2.0, 2.5, 2.9)]
        by_servers = [form(Station(0.9, 1e9, servers=count)) for count in (1, 2, 3, 4)]
        assert all(low < high for low, high in pairwise(by_load))
        assert all(many < few for few, many in pairwise(by_servers))


@pytest.mark.parametrize(
    "form", [mean_wait_ns, mean_wait_deterministic_ns, lambda one: wait(one, 50), lambda one: sojourn(one, 50)]
)
def test_a_station_that_is_asked_for_all_it_has_is_refused(form: Callable[[Station], float]) -> None:
    with pytest.raises(ValueError, match=r"2\.0 erlangs at 2 servers: the queue grows without bound"):
        form(Station(2.0, 1e9, servers=2))
    assert 0 < lost_share(Station(2.0, 1e9, servers=2)) < 1

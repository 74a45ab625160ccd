"""What happens to requests when zones go down, turn them away, or are not open, in worlds to be followed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from engine_worlds import MS, by_hand
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import (
    ANY_WAIT,
    SECOND_NS,
    UNREACHABLE,
    Faults,
    Outages,
    Paths,
    Retries,
    UserClass,
    Window,
    Zones,
)
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, Router, Table
from hansa_sim.engines.service import Deterministic

BOTH = Table(np.array([[0, 1]], np.int32))
FIRST = Table(np.array([[0]], np.int32))
NEAREST = LeastLatency(np.array([1], np.int64))


def small_run(there: list[int], servers: int = 1, wait_ns_max: int = ANY_WAIT) -> Run:
    """One row of users, zones at these distances there and as much back."""
    way = np.array([there], np.int64)
    classes = [UserClass("all", np.zeros(1, np.int32), 1.0, Deterministic(1.0))]
    zones = Zones.of([servers] * len(there), wait_ns_max=wait_ns_max)
    return Run.of(classes, Paths(way, way, way >= 0), zones, Window(SECOND_NS))


def down(zone: int, down_ns: int, up_ns: int, retries: Retries) -> Faults:
    return Faults(Outages(np.array([zone], np.int32), np.array([down_ns]), np.array([up_ns])), retries)


@pytest.fixture(params=[Speed.PLAIN, Speed.COMPILED])
def speed(request: pytest.FixtureRequest) -> Speed:
    return Speed(request.param)


def latency_ns(measured: Measured) -> int:
    assert measured.served[0] == 1
    return int(measured.latency_sum_ns[0])


def test_request_in_service_when_its_zone_goes_down_is_served_by_the_next_place(speed: Speed) -> None:
    run, faults = small_run([10, 30]), down(0, 50, 5000, Retries(2, backoff_ns=7))
    measured = event.serve(by_hand([0], [0], [100]), BOTH, run, faults, speed)
    # there 10, cut at 50, heard at 60, pause 7, there 30, service 100, back 30
    assert latency_ns(measured) == 60 + 7 + 30 + 100 + 30
    assert measured.joined.tolist() == [1, 1]
    assert measured.busy_ns.tolist() == [40, 100]
    assert measured.failed[0] == 0


def test_request_that_gives_up_has_failed_and_has_no_latency(speed: Speed) -> None:
    measured = event.serve(by_hand([0], [0], [100]), BOTH, small_run([10, 30]), down(0, 50, 5000, Retries(1)), speed)
    assert (int(measured.served[0]), int(measured.failed[0])) == (0, 1)
    assert np.isnan(measured.mean_latency_ns())


def test_only_place_is_tried_again_until_it_is_up(speed: Speed) -> None:
    faults = down(0, 50, 120, Retries(9, backoff_ns=5, detect_ns=10_000))
    measured = event.serve(by_hand([0], [0], [100]), FIRST, small_run([10]), faults, speed)
    # cut at 50, heard 60, sent 65, refused 75, heard 85, sent 90, refused 100, heard 110, sent 115, taken 125
    assert latency_ns(measured) == 125 + 100 + 10


def test_zone_that_is_known_to_be_down_is_not_asked(speed: Speed) -> None:
    faults = down(0, 50, 5000, Retries(2, detect_ns=20))
    for router in (BOTH, NEAREST):
        measured = event.serve(by_hand([69, 70], [0, 0], [5, 5]), router, small_run([10, 30]), faults, speed)
        # the first still goes to zone 0, and is back at 89; the second goes to zone 1 at once
        assert int(measured.latency_sum_ns[0]) == (20 + 30 + 5 + 30) + (30 + 5 + 30)
    late = event.serve(by_hand([5020], [0], [5]), BOTH, small_run([10, 30]), faults, speed)
    assert latency_ns(late) == 25


def test_queue_of_a_zone_is_gone_when_it_comes_up(speed: Speed) -> None:
    blocks = by_hand([0, 0, 0, 200], [0] * 4, [1000] * 4)
    measured = event.serve(blocks, FIRST, small_run([10]), down(0, 100, 150, Retries(1)), speed)
    assert latency_ns(measured) == 1020
    assert int(measured.failed[0]) == 3
    assert int(measured.busy_ns[0]) == 90 + 1000
    assert int(measured.area_ns[0]) == 3 * 90 + 1000
    assert int(measured.up_ns[0]) == SECOND_NS - 50


def test_service_that_ends_when_the_zone_goes_down_is_done(speed: Speed) -> None:
    run = small_run([10])
    assert latency_ns(event.serve(by_hand([0], [0], [40]), FIRST, run, down(0, 50, 60, Retries(1)), speed)) == 60
    cut = event.serve(by_hand([0], [0], [41]), FIRST, run, down(0, 50, 60, Retries(1)), speed)
    assert int(cut.failed[0]) == 1


def test_request_that_would_wait_too_long_goes_elsewhere(speed: Speed) -> None:
    run = small_run([10, 30], wait_ns_max=50)
    faults = Faults(retries=Retries(2))
    measured = event.serve(by_hand([0, 1], [0, 0], [100, 100]), BOTH, run, faults, speed)
    assert measured.turned_away.tolist() == [1, 0]
    assert int(measured.latency_sum_ns[0]) == 120 + (20 + 160)


def test_law_and_distance_are_told_apart(speed: Speed) -> None:
    way = np.array([[5], [5], [UNREACHABLE]], np.int64)
    classes = [UserClass("all", np.arange(3, dtype=np.int32), 1.0, Deterministic(1.0))]
    paths = Paths(way, way, np.array([[True], [False], [True]]))
    run = Run.of(classes, paths, Zones.of([1]), Window(SECOND_NS))
    table = np.array([0, -1, -1], np.int32)
    requests = by_hand([0, 1, 2], [0, 1, 2], [1, 1, 1])
    routers: list[Router] = [Table(table), LeastLatency(np.ones(3, np.int64))]
    results = [event.serve(requests, router, run, speed=speed) for router in routers]
    for measured in [*results, static.serve(requests, table, run, speed)]:
        counts = (measured.served[0], measured.unlawful[0], measured.unreachable[0], measured.failed[0])
        assert [int(one) for one in counts] == [1, 1, 1, 0]


def test_row_that_could_go_somewhere_and_is_sent_nowhere_has_failed() -> None:
    measured = static.serve(by_hand([0], [0], [1]), np.array([-1], np.int32), small_run([10]))
    assert (int(measured.failed[0]), int(measured.unlawful[0])) == (1, 0)


@pytest.mark.parametrize("allowed", [True, False])
def test_table_that_breaks_the_law_is_refused(allowed: bool) -> None:
    way = np.array([[5 if allowed is False else UNREACHABLE]], np.int64)
    classes = [UserClass("all", np.zeros(1, np.int32), 1.0, Deterministic(1.0))]
    run = Run.of(classes, Paths(way, way, np.array([[allowed]])), Zones.of([1]), Window(SECOND_NS))
    for serving in (lambda: static.serve([], np.zeros(1, np.int32), run), lambda: event.serve([], FIRST, run)):
        with pytest.raises(ValueError, match="users 0 go to zone 0, which is not open to them"):
            serving()


def test_stale_router_follows_what_was_true_before() -> None:
    run = small_run([10, 20])
    fresh = event.serve(by_hand([0, 100], [0, 0], [1000, 5]), NEAREST, run)
    assert fresh.joined.tolist() == [1, 1]
    stale = event.serve(by_hand([0, 100], [0, 0], [1000, 5]), LeastLatency(np.array([1]), stale_ns=1 * MS), run)
    assert stale.joined.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Zones.of([1, 0]), "servers of zone 1 is below 1"),
        (lambda: Zones.of([1], wait_ns_max=-2), "wait_ns_max of zone 0 is below -1"),
        (lambda: Window(5, 5), "holds no time"),
        (lambda: Retries(0), "tries_max is 0; the least is 1"),
        (lambda: UserClass("x", np.zeros(0, np.int32), 1.0, Deterministic(1.0)), "'x' has no users"),
        (lambda: UserClass("x", np.zeros(1, np.int32), 0.0, Deterministic(1.0)), "rate_rps of class 'x' is 0.0"),
        (lambda: event.serve([], LeastLatency(np.ones(1, np.int64), -1), small_run([1])), "stale_ns is -1"),
    ],
)
def test_value_that_means_nothing_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]

"""Ways that break and mend, tables and servers that change while requests are on the way, in both forms of the loop."""

from __future__ import annotations

import numpy as np
import pytest
from engine_worlds import MS, World, by_hand, differences, drawn_world, nearest
from hansa_sim.engines import event
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import (
    SECOND_NS,
    UNREACHABLE,
    Change,
    Faults,
    Outages,
    Paths,
    Retries,
    UserClass,
    Window,
    Zones,
)
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, Table
from hansa_sim.engines.service import Deterministic, Exponential

FIRST = Table(np.array([[0]], np.int32))


@pytest.fixture(params=[Speed.PLAIN, Speed.COMPILED])
def speed(request: pytest.FixtureRequest) -> Speed:
    return Speed(request.param)


def paths(*there: int) -> Paths:
    """One row of users, ways there and as much back; ``UNREACHABLE`` is no way."""
    way = np.array([there], np.int64)
    return Paths(way, way, way >= 0)


def run_over(*there: int, servers: int = 1) -> Run:
    classes = [UserClass("all", np.zeros(1, np.int32), 1.0, Deterministic(1.0))]
    return Run.of(classes, paths(*there), Zones.of([servers] * len(there)), Window(SECOND_NS))


def serve_at(at_ns: list[int], demand: int, run: Run, faults: Faults, speed: Speed) -> Measured:
    return event.serve(by_hand(at_ns, [0] * len(at_ns), [demand] * len(at_ns)), FIRST, run, faults, speed)


def lost(measured: Measured) -> tuple[int, int, int, int]:
    """Served, given up, cut and sent again."""
    return tuple(int(one[0]) for one in (measured.served, measured.failed, measured.cut, measured.retried))  # type: ignore[return-value]


def test_request_sent_into_a_way_that_is_no_more_is_sent_again_after_the_timeout(speed: Speed) -> None:
    changes = [Change(50, ways=paths(UNREACHABLE)), Change(300, ways=paths(10))]
    faults = Faults(retries=Retries(3, backoff_ns=7, timeout_ns=100), changes=changes)
    measured = serve_at([100], 20, run_over(10), faults, speed)
    # sent 100 and 207 into nothing, again at 314: there 10, service 20, back 10
    assert int(measured.latency_sum_ns[0]) == 2 * 107 + 40
    assert lost(measured) == (1, 0, 2, 2)
    assert measured.joined.tolist() == [1]


def test_what_was_sent_before_the_cut_arrives_and_its_answer_is_lost(speed: Speed) -> None:
    faults = Faults(retries=Retries(1, timeout_ns=100), changes=[Change(5, ways=paths(UNREACHABLE))])
    measured = serve_at([0], 20, run_over(10), faults, speed)
    assert lost(measured) == (0, 1, 1, 0)
    assert measured.joined.tolist() == [1]
    assert measured.busy_ns.tolist() == [20]


@pytest.mark.parametrize(("cut_ns", "served"), [(29, 0), (30, 0), (31, 1)])
def test_answer_that_set_out_before_the_cut_arrives(speed: Speed, cut_ns: int, served: int) -> None:
    """There 10, service 20: the answer sets out at 30, and would arrive at 40."""
    faults = Faults(changes=[Change(cut_ns, ways=paths(UNREACHABLE))])
    assert lost(serve_at([0], 20, run_over(10), faults, speed))[0] == served


def test_lost_answer_is_missed_after_the_timeout_and_not_before_it_could_come(speed: Speed) -> None:
    for timeout_ns, again_ns in ((100, 100), (5, 30)):
        changes = [Change(20, ways=paths(UNREACHABLE)), Change(31, ways=paths(10))]
        faults = Faults(retries=Retries(2, timeout_ns=timeout_ns, backoff_ns=1), changes=changes)
        measured = serve_at([0], 20, run_over(10), faults, speed)
        assert int(measured.latency_sum_ns[0]) == max(again_ns, 30) + 1 + 40
        assert measured.joined.tolist() == [2]


def test_answer_takes_the_way_that_there_is_when_it_sets_out(speed: Speed) -> None:
    measured = serve_at([0], 20, run_over(10), Faults(changes=[Change(25, ways=paths(50))]), speed)
    assert int(measured.latency_sum_ns[0]) == 10 + 20 + 50


def test_users_go_where_the_table_says_from_a_change_on(speed: Speed) -> None:
    change = Change(100, believed=paths(10, 30), table=np.array([[1]], np.int32))
    measured = serve_at([99, 100], 5, run_over(10, 30), Faults(changes=[change]), speed)
    assert measured.joined.tolist() == [1, 1]
    assert int(measured.latency_sum_ns[0]) == 25 + 65


def test_router_goes_by_the_ways_that_it_believes_in(speed: Speed) -> None:
    changes = [Change(100, ways=paths(UNREACHABLE, 30)), Change(200, believed=paths(UNREACHABLE, 30))]
    faults = Faults(retries=Retries(1, timeout_ns=1), changes=changes)
    requests = by_hand([99, 150, 250], [0] * 3, [0] * 3)
    measured = event.serve(requests, LeastLatency(np.ones(1, np.int64)), run_over(10, 30), faults, speed)
    assert measured.joined.tolist() == [1, 1]
    assert lost(measured) == (1, 2, 2, 0)  # what came to zone 0 at 109 finds no way back, as does the second


def test_users_who_lose_every_lawful_way_are_told_from_those_without_any(speed: Speed) -> None:
    nothing, forbidden = paths(UNREACHABLE), Paths(*(np.array([[10]], np.int64),) * 2, np.array([[False]]))
    nowhere = np.array([[-1]], np.int32)
    changes = [Change(10, nothing, nothing, nowhere), Change(20, forbidden, forbidden, nowhere)]
    measured = serve_at([0, 12, 15, 25], 1, run_over(1), Faults(changes=changes), speed)
    counts = [int(one[0]) for one in (measured.served, measured.unreachable, measured.unlawful, measured.failed)]
    assert counts == [1, 2, 1, 0]
    assert measured.user_lost.tolist() == [3]


def test_new_servers_are_free_and_those_that_go_finish_what_they_took(speed: Speed) -> None:
    changes = [Change(100, servers=np.array([3])), Change(200, servers=np.array([1]))]
    at_ns = [0, 90, 100, 101, 250, 251]
    measured = serve_at(at_ns, 1000, run_over(0), Faults(changes=changes), speed)
    # one server: 0-1000, then 1000-2000; two new ones at 100: 100-1100, 101-1101; from 200 on the one free last is left
    assert int(measured.latency_sum_ns[0]) == 1000 + (2000 - 90) + 1000 + 1000 + (3000 - 250) + (4000 - 251)
    assert measured.servers.tolist() == [3]
    assert int(measured.up_ns[0]) == (100 * 1 + 100 * 3 + (SECOND_NS - 200)) // 3


def drawn_changes(world: World, seed: int) -> list[Change]:
    """Changes of every kind at drawn times: some ways break, tables and servers are others."""
    rng = np.random.default_rng(seed)
    base, end_ns, changes = world.run.paths, world.run.window.end_ns, []
    for at_ns in sorted(rng.integers(0, end_ns + SECOND_NS, int(rng.integers(1, 7))).tolist()):
        gone = rng.random(base.there_ns.shape) < 0.2
        ways = Paths(*(np.where(gone, UNREACHABLE, one) for one in (base.there_ns, base.back_ns)), base.allowed)
        believed = ways if rng.random() < 0.5 else base
        servers = np.maximum(1, world.run.zones.servers + rng.integers(-2, 3, world.run.zones.count))
        changes.append(
            Change(
                at_ns // world.coarse_ns * world.coarse_ns,
                ways if rng.random() < 0.8 else None,
                believed if rng.random() < 0.5 else None,
                None,
                servers if rng.random() < 0.5 else None,
            )
        )
    return changes


def with_tables(changes: list[Change]) -> list[Change]:
    """The same with a table for every set of believed ways."""
    return [
        one
        if one.believed is None
        else Change(one.at_ns, one.ways, one.believed, nearest(one.believed, 2), one.servers)
        for one in changes
    ]


@pytest.mark.parametrize("seed", range(6))
def test_both_forms_agree_to_the_last_bit_whatever_changes_and_however_blocks_are_cut(seed: int) -> None:
    world = drawn_world(seed)
    retries = Retries(
        world.faults.retries.tries_max, world.faults.retries.backoff_ns, world.faults.retries.detect_ns, 50 * MS
    )
    for name, router in world.routers.items():
        changes = drawn_changes(world, seed)
        changes = with_tables(changes) if name == "table" else changes
        faults = Faults(world.faults.outages, retries, changes)
        plain = event.serve(world.blocks(), router, world.run, faults, Speed.PLAIN)
        for portion in (None, 7):
            compiled = event.serve(world.blocks(portion=portion), router, world.run, faults, Speed.COMPILED)
            assert differences(plain, compiled) == [], f"{name}, blocks of {portion}"
    assert int(plain.cut.sum()) > 0 or not any(change.ways for change in changes)


@pytest.mark.parametrize("seed", range(4))
def test_change_that_changes_nothing_changes_nothing(seed: int, speed: Speed) -> None:
    world = drawn_world(seed)
    paths_, servers = world.run.paths, world.run.zones.servers
    for name, router in world.routers.items():
        table = nearest(paths_, 2) if name == "table" else None
        changes = [Change(at_ns, paths_, paths_, table, servers) for at_ns in (SECOND_NS, SECOND_NS, 2 * SECOND_NS)]
        without = event.serve(world.blocks(), router, world.run, world.faults, speed)
        same = Faults(world.faults.outages, world.faults.retries, changes)
        assert differences(without, event.serve(world.blocks(), router, world.run, same, speed)) == [], name


def steady(seed: int, faults: Faults, bin_ns: int = 0) -> Measured:
    """100 requests a second over 2,000 s to one zone with room, 5 ms away, each 10 ms in the mean."""
    classes = [UserClass("all", np.zeros(1, np.int32), 100.0, Exponential(10.0 * MS))]
    way = np.full((1, 1), 5 * MS)
    run = Run(Paths(way, way, way > 0), Zones.of([8]), np.zeros(1, np.int32), Window(2000 * SECOND_NS), bin_ns)
    return event.serve(blocks(classes, seed, run.window.end_ns), FIRST, run, faults)


def test_lost_requests_are_as_many_as_come_while_the_way_is_down_and_each_is_tried_as_often_as_it_may() -> None:
    """A way that is down for 40 of every 200 s, and tries within 1 s: 1 in 5 requests, less those whose tries outlive
    the cut; Poisson arrivals see time averages, so the share is within 4 standard deviations of the binomial.
    """
    none = Paths(np.full((1, 1), UNREACHABLE), np.full((1, 1), UNREACHABLE), np.ones((1, 1), np.bool_))
    way = np.full((1, 1), 5 * MS)
    whole = Paths(way, way, way > 0)
    changes = [
        Change((200 * n + at) * SECOND_NS, ways=ways) for n in range(10) for at, ways in ((100, none), (140, whole))
    ]
    tries, pause_s = 3, 0.5
    measured = steady(1, Faults(retries=Retries(tries, 0, timeout_ns=SECOND_NS // 2), changes=changes))
    total = int((measured.served + measured.failed)[0])
    expected = (40 - (tries - 1) * pause_s) / 200
    assert int(measured.failed[0]) / total == pytest.approx(expected, abs=4 * (expected / total) ** 0.5)
    in_cut = 40 / 200 * total
    # All tries but the last are sent again; in the last second before it is mended, the second or third arrives.
    sent_again = in_cut * (tries - 1) - 100 * 10 * pause_s
    assert int(measured.retried[0]) == pytest.approx(sent_again, rel=0.02)
    assert int(measured.cut[0]) == pytest.approx(int(measured.retried[0]) + int(measured.failed[0]), abs=60)


def test_zone_that_fails_by_chance_serves_the_share_of_time_that_it_is_up() -> None:
    """Without a second try, requests are served in the share MTBF / (MTBF + MTTR) of the time, less those that are in
    the zone when it goes down."""
    rng, at_s, outages = np.random.default_rng(5), 0.0, []
    while at_s < 2000:
        begin_s = at_s + rng.exponential(18)
        at_s = begin_s + rng.exponential(2)
        outages.append((round(begin_s * SECOND_NS), round(at_s * SECOND_NS)))
    down, up = (np.array(one, np.int64) for one in zip(*outages, strict=True))
    measured = steady(2, Faults(Outages(np.zeros(len(down), np.int32), down, up)))
    served, total = int(measured.served[0]), int((measured.served + measured.failed)[0])
    truly_up = 1 - float((np.minimum(up, 2000 * SECOND_NS) - down).clip(0).sum()) / (2000 * SECOND_NS)
    assert served / total == pytest.approx(truly_up, abs=0.004)
    # Over T the share of time down has about the variance 2 (MTBF MTTR)^2 / (MTBF + MTTR)^3 / T (Cox, 1962).
    assert served / total == pytest.approx(18 / 20, abs=3 * (2 * 36**2 / 20**3 / 2000) ** 0.5)


def test_timeline_holds_every_request_once_in_the_bin_in_which_it_was_sent(speed: Speed) -> None:
    changes = [Change(400, ways=paths(UNREACHABLE)), Change(600, ways=paths(10))]
    run = run_over(10)
    binned = Run(run.paths, run.zones, run.class_of, Window(1000), bin_ns=300)
    measured = serve_at([0, 299, 300, 450, 599, 900], 5, binned, Faults(changes=changes), speed)
    assert measured.timeline is not None
    assert measured.timeline.latency.sum(axis=1).tolist() == [2, 1, 0, 1]
    assert measured.timeline.lost.tolist() == [0, 2, 0, 0]

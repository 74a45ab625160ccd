"""The engines reproduce what mathematics knows exactly, within their confidence interval and never far off."""

from __future__ import annotations

import numpy as np
import pytest
from engine_worlds import MS, by_hand, one_station, sent
from hansa_sim.engines import analytic, event, static
from hansa_sim.engines.confidence import interval
from hansa_sim.engines.histogram import RELATIVE_ERROR
from hansa_sim.engines.measured import Measured, Stability
from hansa_sim.engines.model import SECOND_NS, Paths, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLoaded, Table
from hansa_sim.engines.service import Demand, Deterministic, Exponential, Gamma, Lognormal

REPLICATIONS = 8
HORIZON_S = 400
LEVEL = 0.999
"""Of a thousand right engines one fails; seeds are fixed, so that it is always the same one."""

Seen = list[Measured]


def replications(rate_rps: float, demand: Demand, servers: int, horizon_s: int = HORIZON_S) -> Seen:
    """Independent runs of one station; each begins empty, which at these lengths is far below the noise."""
    run, classes = one_station(rate_rps, demand, servers, horizon_s)
    return [static.serve(sent(run, classes, seed), np.zeros(1, np.int32), run) for seed in range(REPLICATIONS)]


def assert_mean(values: list[float], exact: float) -> None:
    found = interval(values, LEVEL)
    assert found.holds(exact), f"{found} does not hold {exact}"
    assert found.half_width < 0.08 * exact, "the interval is too wide to show anything"


@pytest.mark.parametrize(("servers", "use"), [(1, 0.5), (1, 0.8), (3, 0.7), (8, 0.85)])
def test_wait_of_many_servers_is_that_of_erlang(servers: int, use: float) -> None:
    rate_rps = use * servers * 100
    seen = replications(rate_rps, Exponential(10.0 * MS), servers)
    exact_ns = analytic.mean_wait_ns(analytic.Station(rate_rps, 10.0 * MS, servers))
    assert_mean([float(one.mean_wait_ns[0]) for one in seen], exact_ns)
    assert_mean([float(one.utilisation[0]) for one in seen], use)


@pytest.mark.parametrize(("servers", "use"), [(1, 0.8), (4, 0.8)])
def test_wait_for_a_service_that_never_varies_is_that_of_crommelin(servers: int, use: float) -> None:
    rate_rps = use * servers * 100
    seen = replications(rate_rps, Deterministic(10.0 * MS), servers)
    exact_ns = analytic.mean_wait_deterministic_ns(analytic.Station(rate_rps, 10.0 * MS, servers, scv=0.0))
    assert_mean([float(one.mean_wait_ns[0]) for one in seen], exact_ns)


@pytest.mark.parametrize("demand", [Lognormal(10.0 * MS, 2.0), Gamma(10.0 * MS, 0.25), Gamma(10.0 * MS, 3.0)])
def test_wait_at_one_server_is_that_of_pollaczek_and_khinchine(demand: Demand) -> None:
    exact_ns = analytic.mean_wait_ns(analytic.Station(70.0, 10.0 * MS, 1, demand.scv))
    assert_mean([float(one.mean_wait_ns[0]) for one in replications(70.0, demand, 1, 4 * HORIZON_S)], exact_ns)


@pytest.mark.parametrize("demand", [Exponential(10.0 * MS), Deterministic(10.0 * MS), Lognormal(10.0 * MS, 3.0)])
def test_share_that_is_lost_without_a_queue_is_erlangs_for_any_service(demand: Demand) -> None:
    run, classes = one_station(400.0, demand, 5, HORIZON_S // 4)
    run = Run.of(classes, run.paths, Zones.of([5], wait_ns_max=0), run.window)
    lost = []
    for seed in range(REPLICATIONS):
        measured = event.serve(sent(run, classes, seed), Table(np.zeros(1, np.int32)), run)
        lost.append(int(measured.turned_away[0]) / int(measured.served[0] + measured.failed[0]))
        assert measured.failed[0] == measured.turned_away[0]
    assert_mean(lost, analytic.lost_share(analytic.Station(400.0, 10.0 * MS, 5)))


@pytest.mark.parametrize(("servers", "rate_rps"), [(1, 70.0), (4, 300.0)])
def test_percentiles_of_sojourn_are_those_of_the_closed_form(servers: int, rate_rps: float) -> None:
    station = analytic.Station(rate_rps, 10.0 * MS, servers)
    seen = replications(rate_rps, Exponential(10.0 * MS), servers, 4 * HORIZON_S)
    for percent in (50.0, 90.0, 99.0):
        found = interval([float(one.latency_percentiles_ns([percent])[0]) for one in seen], LEVEL)
        exact_ns = analytic.sojourn_percentile_ns(station, percent)
        assert abs(found.mean - exact_ns) <= found.half_width + RELATIVE_ERROR * exact_ns
        assert found.half_width < 0.12 * exact_ns


def test_mean_number_present_is_rate_times_mean_stay() -> None:
    for one in replications(80.0, Exponential(10.0 * MS), 1):
        stay_ns = int(one.sojourn_sum_ns[0]) / int(one.joined[0])
        rate = int(one.joined[0]) / one.window.length_ns
        assert float(one.mean_in_system[0]) == pytest.approx(rate * stay_ns, rel=1e-3)
        assert float(one.backlog[0].mean()) == pytest.approx(float(one.mean_in_system[0]), rel=0.5)


@pytest.mark.parametrize("rate_rps", [5.0, 20.0, 100.0, 200.0])
@pytest.mark.parametrize("engine", ["static", "event"])
def test_ten_milliseconds_of_way_stay_ten_however_many_are_on_it(rate_rps: float, engine: str) -> None:
    classes = [UserClass("cars", np.zeros(1, np.int32), rate_rps, Deterministic(1.0))]
    way = np.full((1, 1), 10 * MS)
    run = Run.of(classes, Paths(way, way * 0, way > 0), Zones.of([1]), Window(60 * SECOND_NS))
    table = np.zeros(1, np.int32)
    requests = sent(run, classes)
    measured = static.serve(requests, table, run) if engine == "static" else event.serve(requests, Table(table), run)
    assert measured.served[0] > 4 * rate_rps * 10
    assert measured.latency_max_ns[0] <= 10 * MS + 10
    assert measured.mean_latency_ns() == pytest.approx(10 * MS, rel=1e-6)


def test_whole_network_mean_is_the_sum_over_ways_and_stations() -> None:
    rng = np.random.default_rng(4)
    users, zones = 40, 5
    there = rng.integers(1 * MS, 30 * MS, (users, zones))
    table = there.argmin(axis=1).astype(np.int32)
    classes = [UserClass("all", np.arange(users, dtype=np.int32), 800.0, Exponential(5.0 * MS))]
    servers = np.bincount(table, minlength=zones) // 7 + 1
    run = Run.of(classes, Paths(there, there, there > 0), Zones.of(servers), Window(HORIZON_S * SECOND_NS))
    each = np.bincount(table, minlength=zones) * 20.0
    exact = float(2 * there[np.arange(users), table].mean())
    for zone in np.flatnonzero(each):
        station = analytic.Station(float(each[zone]), 5.0 * MS, int(servers[zone]))
        exact += (analytic.mean_wait_ns(station) + 5.0 * MS) * each[zone] / 800.0
    seen = [static.serve(sent(run, classes, seed), table, run).mean_latency_ns() for seed in range(REPLICATIONS)]
    assert_mean(seen, exact)
    assert interval(seen).half_width < 0.005 * exact


def test_overloaded_zone_is_unstable_whoever_else_is_well() -> None:
    classes = [
        UserClass("calm", np.array([0], np.int32), 50.0, Exponential(10.0 * MS)),
        UserClass("flood", np.array([1], np.int32), 120.0, Exponential(10.0 * MS)),
    ]
    way = np.zeros((2, 3), np.int64)
    run = Run.of(classes, Paths(way, way, way == 0), Zones.of([1, 1, 1]), Window(60 * SECOND_NS))
    measured = static.serve(sent(run, classes), np.array([0, 1], np.int32), run)
    assert measured.stability == (Stability.STABLE, Stability.UNSTABLE, Stability.IDLE)
    assert float(measured.utilisation[1]) == pytest.approx(1.0, abs=0.01)
    assert float(measured.offered_load[1]) > 1.1


@pytest.mark.parametrize(
    ("calm_s", "flood_s", "after_s", "label"),
    [(20, 20, 0, Stability.UNSTABLE), (0, 20, 20, Stability.STABLE), (40, 0, 0, Stability.STABLE)],
)
def test_backlog_that_grows_at_the_end_is_unstable_though_less_is_asked_than_can_be_done(
    calm_s: int, flood_s: int, after_s: int, label: Stability
) -> None:
    # 10 requests a second, or 150, of 10 ms each.
    gaps_ms = [100] * (10 * calm_s) + [7] * (1000 * flood_s // 7) + [100] * (10 * after_s)
    classes = [UserClass("all", np.zeros(1, np.int32), 1.0, Deterministic(10.0 * MS))]
    way = np.zeros((1, 1), np.int64)
    run = Run.of(classes, Paths(way, way, way == 0), Zones.of([1]), Window((calm_s + flood_s + after_s) * SECOND_NS))
    at = (np.cumsum(gaps_ms) * MS).tolist()
    measured = static.serve(by_hand(at, [0] * len(at), [10 * MS] * len(at)), np.zeros(1, np.int32), run)
    assert measured.offered_load[0] < 1.0
    assert measured.stability == (label,)


def test_more_asked_than_can_be_done_is_unstable_however_short_the_run() -> None:
    classes = [UserClass("all", np.zeros(1, np.int32), 1.0, Deterministic(1.0))]
    way = np.zeros((1, 1), np.int64)
    run = Run.of(classes, Paths(way, way, way == 0), Zones.of([2]), Window(SECOND_NS))
    blocks = by_hand([999 * MS] * 3, [0] * 3, [700 * MS] * 3)
    assert static.serve(blocks, np.zeros(1, np.int32), run).stability == (Stability.UNSTABLE,)


def test_least_load_among_equal_zones_at_no_distance_waits_less_than_zones_apart() -> None:
    classes = [UserClass("all", np.arange(4, dtype=np.int32), 320.0, Exponential(10.0 * MS))]
    way = np.zeros((4, 4), np.int64)
    run = Run.of(classes, Paths(way, way, way == 0), Zones.of([1] * 4), Window(60 * SECOND_NS))
    apart = event.serve(sent(run, classes), Table(np.arange(4, dtype=np.int32)), run)
    together = event.serve(sent(run, classes), LeastLoaded(), run)
    pooled_ns = analytic.mean_wait_ns(analytic.Station(320.0, 10.0 * MS, 4))
    single_ns = analytic.mean_wait_ns(analytic.Station(80.0, 10.0 * MS))
    waits_ns = [float(one.mean_latency_ns()) - 10 * MS for one in (together, apart)]
    assert pooled_ns < waits_ns[0] < 0.5 * waits_ns[1]
    assert waits_ns[1] == pytest.approx(single_ns, rel=0.25)

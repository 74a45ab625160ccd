"""Queueing formulas against direct birth-death sums, textbook values and a simulated queue."""

from __future__ import annotations

from math import exp, factorial

import numpy as np
import pytest
from hansa_control.domain.queueing import (
    MILLIRPS_US,
    Station,
    WaitBound,
    erlang_b,
    erlang_c,
    erlang_c_each,
    is_stable,
    late_share,
    load_max_millirps,
    load_max_table,
    mean_wait_us,
    wait_percentile_us,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SECOND_US = 1_000_000


def birth_death_wait_share(load: float, servers: int) -> float:
    """Probability that all servers are busy, by summing the states of the birth-death process."""
    below = [load**n / factorial(n) for n in range(servers)]
    full = load**servers / factorial(servers) / (1 - load / servers)
    return full / (sum(below) + full)


def simulated_waits_us(services_us: np.ndarray, gaps_us: np.ndarray, servers: int) -> np.ndarray:
    """Kiefer and Wolfowitz' recursion on the sorted vector of work before each server."""
    work, waits = [0.0] * servers, []
    for service, gap in zip(services_us.tolist(), gaps_us.tolist(), strict=True):
        waits.append(work[0])
        work[0] += service
        work = sorted(max(0.0, left - gap) for left in work)
    return np.array(waits[len(waits) // 10 :])


@pytest.mark.parametrize(("load", "servers"), [(0.5, 1), (2.0, 3), (7.5, 8), (0.01, 5), (19.0, 20)])
def test_erlang_c_is_the_sum_over_the_states(load: float, servers: int) -> None:
    assert erlang_c(load, servers) == pytest.approx(birth_death_wait_share(load, servers), rel=1e-12)


def test_published_values_are_met() -> None:
    assert erlang_b(2.0, 3) == pytest.approx(4 / 19)
    assert erlang_c(2.0, 3) == pytest.approx(4 / 9)
    assert erlang_b(10.0, 10) == pytest.approx(0.21458, abs=1e-5)


def test_one_server_waits_as_pollaczek_and_khinchine_say() -> None:
    assert mean_wait_us(500, Station(SECOND_US, 1)) == 1_000_000
    assert mean_wait_us(500, Station(SECOND_US, 1, 0.0)) == 500_000
    assert mean_wait_us(800, Station(SECOND_US, 1, 3.0)) == pytest.approx(8_000_000, abs=1)


def test_percentile_inverts_the_share_of_the_late() -> None:
    station = Station(20_000, 4)
    wait_us = wait_percentile_us(180_000, station, 95)
    assert late_share(180_000, station, wait_us) <= 0.05 < late_share(180_000, station, wait_us - 1)
    assert late_share(180_000, station, 0) == pytest.approx(birth_death_wait_share(3.6, 4))
    assert wait_percentile_us(10_000, station, 50) == 0


def test_stability_ends_exactly_where_every_server_is_busy() -> None:
    station = Station(3, 1)
    bound = station.saturation_millirps
    assert is_stable(bound - 1, station) and not is_stable(bound, station)
    with pytest.raises(ValueError, match=f"from {bound} on"):
        mean_wait_us(bound, station)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Station(0, 1), "service_us is 0; the least is 1"),
        (lambda: Station(1, 0), "servers is 0"),
        (lambda: Station(1, 1, float("nan")), "scv is nan"),
        (lambda: WaitBound(100, 1), "percentile is 100"),
        (lambda: WaitBound(95, -1), "wait_us_max is -1"),
        (lambda: mean_wait_us(-1, Station(1, 1)), "arrival_millirps is -1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("servers", [1, 3])
def test_simulated_queue_waits_as_long_as_the_formula_says(servers: int) -> None:
    stream, runs = np.random.default_rng(5), []
    arrival = int(0.7 * servers * 1_000)
    for _ in range(20):
        services = stream.exponential(SECOND_US, 8_000)
        gaps = stream.exponential(MILLIRPS_US / arrival, 8_000)
        waits = simulated_waits_us(services, gaps, servers)
        runs.append((waits.mean(), np.percentile(waits, 95), (waits > 0).mean()))
    mean, error = np.mean(runs, axis=0), 3.5 * np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    station = Station(SECOND_US, servers)
    expected = (
        mean_wait_us(arrival, station),
        wait_percentile_us(arrival, station, 95),
        erlang_c(0.7 * servers, servers),
    )
    assert (np.abs(mean - expected) <= error).all(), (mean, expected, error)


def test_constant_service_waits_about_as_approximated() -> None:
    stream = np.random.default_rng(6)
    gaps = stream.exponential(MILLIRPS_US / 2_400, 60_000)
    waits = simulated_waits_us(np.full(60_000, SECOND_US), gaps, 3)
    assert waits.mean() == pytest.approx(mean_wait_us(2_400, Station(SECOND_US, 3, 0.0)), rel=0.15)


def test_a_thousand_servers_neither_overflow_nor_vanish() -> None:
    assert 0 < erlang_c(990.0, 1_000) < 1
    assert erlang_b(1e-9, 1_000) == 0.0
    assert erlang_c(999.999, 1_000) == pytest.approx(1.0, abs=1e-3)
    table = load_max_table(Station(20_000, 1), WaitBound(99, 5_000), 1_000)
    assert 49_000_000 < table[1_000] < 50_000_000


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200_000), st.integers(1, 12), st.floats(0, 4), st.floats(0.05, 0.95))
def test_more_load_waits_longer_and_more_servers_shorter(service_us: int, servers: int, scv: float, use: float) -> None:
    station = Station(service_us, servers, scv)
    low = int(use * station.saturation_millirps * 0.9)
    high = min(low + max(low // 20, 1), station.saturation_millirps - 1)
    wider = Station(service_us, servers + 1, scv)
    assert mean_wait_us(low, station) <= mean_wait_us(high, station)
    assert mean_wait_us(high, wider) <= mean_wait_us(high, station)
    assert wait_percentile_us(high, wider, 95) <= wait_percentile_us(high, station, 95)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(100, 500_000),
    st.integers(1, 6),
    st.floats(0, 3),
    st.integers(0, 300_000),
    st.sampled_from((50, 95, 99)),
)
def test_load_max_keeps_the_bound_and_one_more_does_not(
    service_us: int, servers: int, scv: float, wait_us: int, percentile: int
) -> None:
    station, bound = Station(service_us, servers, scv), WaitBound(percentile, wait_us)
    most = load_max_millirps(station, bound)
    assert most < station.saturation_millirps
    assert most == 0 or wait_percentile_us(most, station, percentile) <= wait_us
    more = most + 1
    assert not is_stable(more, station) or wait_percentile_us(more, station, percentile) > wait_us
    table = load_max_table(station, bound, 4)
    assert table[0] == 0 and table[1] == most and (np.diff(table) >= 0).all()


def test_many_stations_at_once_are_as_one_by_one() -> None:
    loads, servers = np.array([0.5, 2.0, 9.0, 3.0]), np.array([1, 3, 10, 3])
    each = [erlang_c(float(a), int(c)) for a, c in zip(loads, servers, strict=True)]
    assert erlang_c_each(loads, servers).tolist() == pytest.approx(each)


def test_the_tail_of_one_server_is_the_exponential() -> None:
    assert late_share(500, Station(SECOND_US, 1), 2 * SECOND_US) == pytest.approx(0.5 * exp(-1))

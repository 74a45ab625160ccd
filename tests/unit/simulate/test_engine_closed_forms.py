"""Closed forms against published values and against one another."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hansa_sim.engines.analytic import (
    Station,
    lost_share,
    mean_wait_deterministic_ns,
    mean_wait_ns,
    sojourn_percentile_ns,
    wait_percentile_ns,
)
from scipy.special import pdtr

MS = 1_000_000.0


@pytest.mark.parametrize("use", [0.1, 0.5, 0.9, 0.99])
def test_one_deterministic_server_waits_half_of_an_exponential_one(use: float) -> None:
    exact = use / (2 * (1 - use)) * MS
    assert mean_wait_deterministic_ns(Station(use * 1000, MS)) == pytest.approx(exact, rel=1e-6)
    assert mean_wait_ns(Station(use * 1000, MS, 1, 0.0)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("servers", "use"), [(2, 0.5), (5, 0.8), (10, 0.9)])
def test_deterministic_servers_wait_as_the_chain_of_their_numbers_present_says(servers: int, use: float) -> None:
    # One service time later, up to c of those present have left, and a Poisson number has come.
    load = use * servers
    chain, states = np.zeros((1, 400)), np.arange(400)
    chain[0, 0] = 1.0
    coming = pdtr(states, load) - np.concatenate([[0.0], pdtr(states[:-1], load)])
    for _ in range(2000):
        left = np.concatenate([[chain[0, : servers + 1].sum()], chain[0, servers + 1 :]])
        chain[0] = np.convolve(left, coming)[:400]
    waiting = float((np.maximum(states - servers, 0) * chain[0]).sum())
    assert mean_wait_deterministic_ns(Station(load * 1000, MS, servers)) == pytest.approx(waiting / load * MS, rel=1e-5)


def test_published_loss_is_met() -> None:
    assert lost_share(Station(2000.0, MS, 3)) == pytest.approx(4 / 19)
    assert lost_share(Station(10_000.0, MS, 10)) == pytest.approx(0.21458, abs=1e-5)


def test_percentiles_of_one_server_are_exponential() -> None:
    station = Station(800.0, MS)
    assert sojourn_percentile_ns(station, 99) == pytest.approx(log(100) * 5 * MS)
    assert wait_percentile_ns(station, 99) == pytest.approx(log(80) * 5 * MS)
    assert wait_percentile_ns(Station(100.0, MS), 50) == 0.0


@pytest.mark.parametrize("servers", [2, 3, 10])
def test_percentiles_of_sojourn_at_many_servers_lie_between_service_and_service_and_wait(servers: int) -> None:
    station = Station(700.0 * servers, MS, servers)
    found = sojourn_percentile_ns(station, 99)
    assert log(100) * MS < found < log(100) * MS + wait_percentile_ns(station, 99.9)
    spare_is_one = Station((servers - 1) * 1000.0, MS, servers)
    near = Station((servers - 1) * 1000.001, MS, servers)
    assert sojourn_percentile_ns(spare_is_one, 95) == pytest.approx(sojourn_percentile_ns(near, 95), rel=1e-4)


@pytest.mark.parametrize("form", [mean_wait_ns, mean_wait_deterministic_ns])
def test_overload_has_no_mean(form: object) -> None:
    with pytest.raises(ValueError, match="grows without bound"):
        form(Station(1000.0, MS))  # type: ignore[operator]


@pytest.mark.parametrize("bad", [(0.0, MS, 1, 1.0), (1.0, 0.0, 1, 1.0), (1.0, MS, 0, 1.0), (1.0, MS, 1, -1.0)])
def test_station_without_meaning_is_refused(bad: tuple[float, float, int, float]) -> None:
    with pytest.raises(ValueError, match="no station has"):
        Station(*bad)

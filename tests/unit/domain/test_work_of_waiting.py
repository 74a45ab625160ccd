"""Requests at the limits of servers are worked out with little work, and with the answers of the plain formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from deciding_world import LINKS, NODES, NOW_MS, spec, zone
from hansa_control.domain import planning, queueing
from hansa_control.domain.model import ServiceProfile, ServiceTime, ZoneBounds
from hansa_control.domain.network import build_network
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.queueing import (
    Station,
    erlang_b,
    erlang_c_each,
    is_stable,
    mean_wait_us,
    wait_percentile_us,
    waits_us,
)
from hansa_control.domain.snapshot import Measured, assemble_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st


class Counted(float):
    """A load that counts how often it is multiplied with, twice in each step of the recursion."""

    times = 0

    def __mul__(self, other: Any) -> float:
        Counted.times += 1
        return float(self) * float(other)


def plain_erlang_b(load: float, servers: int) -> float:
    blocked = 1.0
    for busy in range(1, servers + 1):
        blocked = load * blocked / (busy + load * blocked)
    return blocked


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12_000), st.floats(1e-6, 1.2))
def test_beginning_late_changes_no_digit(servers: int, use: float) -> None:
    load = use * servers
    assert erlang_b(load, servers) == plain_erlang_b(load, servers)
    each = erlang_c_each(np.array([load]), np.array([servers]))[0]
    assert each == queueing.erlang_c(load, servers)


def test_ten_thousand_servers_take_few_steps() -> None:
    Counted.times = 0
    erlang_b(Counted(9_900.0), 10_000)
    assert 0 < Counted.times <= 2 * 2_000


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 900), st.integers(1, 10), st.floats(0.01, 1.5), st.sampled_from((None, 97.5, 99.5)))
def test_waits_of_many_stations_are_those_of_each(least: int, each: int, use: float, percentile: float | None) -> None:
    stations = [Station(20_000, replicas * each, 0.4) for replicas in range(least, least + 30)]
    arrival = int(use * stations[0].saturation_millirps)

    def alone(station: Station) -> int | None:
        if not is_stable(arrival, station):
            return None
        if percentile is None:
            return mean_wait_us(arrival, station)
        return wait_percentile_us(arrival, station, percentile)

    assert waits_us(arrival, stations, percentile) == [alone(station) for station in stations]


def test_waits_of_many_stations_take_one_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = queueing.offered_load
    monkeypatch.setattr(queueing, "offered_load", lambda *given: Counted(plain(*given)))
    Counted.times = 0
    waits_us(300_000_000, [Station(20_000, replicas * 10) for replicas in range(744, 1_001)], 97.5)
    assert 0 < Counted.times <= 2 * 10_000


def test_no_more_replicas_are_tabulated_than_a_zone_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = planning.load_max_table

    def watched(replica: Station, bound: queueing.WaitBound, most: int) -> Any:
        sizes.append(most)
        return plain(replica, bound, most)

    monkeypatch.setattr(planning, "load_max_table", watched)
    zones = (zone(), zone("skargard/gbg-1", "goteborg"))
    service = ServiceProfile((ServiceTime("", 50_000, 90_000, 120_000, 500),), 10)
    asked = replace(spec(), replicas_max=1_000, zones=ZoneBounds(1, 2), service=service)
    world = assemble_snapshot(1, zones, build_network(1, NODES, LINKS), Measured.between((), zones), NOW_MS)
    decision = decide(PlacementRequest(asked, "nordavind"), world, NOW_MS)
    assert decision.plan is not None
    assert sizes == [4]

"""Whole networks: simulated means against closed forms that are worked out here, from the scenario's own numbers.

Nothing of the product is used for what is expected: ways are those of networkx over the table of round trips, less what
the law forbids, the law is read off the scenario by eye, and Erlang's formula is written out.
"""

from __future__ import annotations

import sys
from math import factorial
from pathlib import Path

import networkx as nx
import pytest
from hansa_sim.latency.results import Row
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.world import World

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "simulate"))
from scenario_texts import world_of

FIXED_MS = 5.4
"""What every way costs whatever its length, by the calibrated model's documentation."""

LAWFUL = nx.Graph()
LAWFUL.add_weighted_edges_from(
    [("oslo", "stockholm", 8.0), ("oslo", "bergen", 7.0), ("stockholm", "malmo", 9.0)], weight="ms"
)
ZONES = {"nordavind/oslo-1": "oslo", "skargard/stockholm-1": "stockholm"}
DEMAND_RPS = {"oslo": 60.0, "bergen": 50.0, "malmo": 90.0}


def _erlang_wait_ms(rate_rps: float, mean_ms: float, servers: int) -> float:
    """Mean wait of M/M/c: P(wait) / (c mu - lambda)."""
    load = rate_rps * mean_ms / 1_000
    top = load**servers / factorial(servers) * servers / (servers - load)
    return top / (sum(load**k / factorial(k) for k in range(servers)) + top) / (servers / mean_ms - rate_rps / 1_000)


def _expected(servers: dict[str, int]) -> tuple[float, dict[str, float]]:
    """Mean over all requests and by access point, ms, when each goes to the nearest lawful zone."""
    ways = dict(nx.all_pairs_dijkstra_path_length(LAWFUL, weight="ms"))
    nearest = {user: min(ZONES, key=lambda zone: ways[user][ZONES[zone]]) for user in DEMAND_RPS}
    load = {zone: sum(rate for user, rate in DEMAND_RPS.items() if nearest[user] == zone) for zone in ZONES}
    felt = {
        user: ways[user][ZONES[zone]] + FIXED_MS + 20 + _erlang_wait_ms(load[zone], 20, servers[zone])
        for user, zone in nearest.items()
    }
    total = sum(DEMAND_RPS.values())
    return sum(felt[user] * rate for user, rate in DEMAND_RPS.items()) / total, felt


def _nearest(world: World) -> Row:
    row = run_scenario(world).row("nearest")
    assert row is not None
    return row


def test_the_mean_of_nearest_routing_over_a_network_is_that_of_the_closed_form(tmp_path: Path) -> None:
    row = _nearest(world_of(tmp_path, ("requests: 40000, replications: 4", "requests: 400000, replications: 10")))
    servers = {zone.zone: zone.servers for zone in row.zones}
    mean_ms, by_user = _expected(servers)
    assert row.mean_ms.mean is not None
    assert row.mean_ms.half_width is not None
    assert abs(row.mean_ms.mean - mean_ms) < 1.5 * row.mean_ms.half_width
    assert row.mean_ms.mean == pytest.approx(mean_ms, rel=0.01)
    for point in row.points:
        assert point.mean_ms == pytest.approx(by_user[point.access_point], rel=0.015)


def test_utilisation_and_shares_of_zones_are_those_of_the_demand(tmp_path: Path) -> None:
    row = _nearest(world_of(tmp_path, ("requests: 40000", "requests: 200000")))
    zones = {zone.zone: zone for zone in row.zones}
    for name, rate in (("nordavind/oslo-1", 110.0), ("skargard/stockholm-1", 90.0)):
        assert zones[name].utilisation == pytest.approx(rate * 0.020 / zones[name].servers, rel=0.02)
        assert zones[name].request_share == pytest.approx(rate / 200.0, rel=0.02)
    assert zones["waldnetz/hamburg-1"].servers == 0


def test_the_price_of_law_is_the_difference_of_two_closed_forms_where_zones_never_fill(tmp_path: Path) -> None:
    world = world_of(
        tmp_path,
        ("{law: false, federation: false}", "{law: true, federation: false, policy: nearest}"),
        ("[{mean_ms: 20}]", "[{mean_ms: 0.05}]"),
    )
    results = run_scenario(world)
    price = next(price for price in results.prices if price.what == "law")
    # malmo's users go to hamburg over 6 ms instead of to stockholm over 9 ms; nobody else moves.
    assert price.mean_ms.mean == pytest.approx(3.0 * 90 / 200, rel=0.02)
    assert price.unserved_share == 0

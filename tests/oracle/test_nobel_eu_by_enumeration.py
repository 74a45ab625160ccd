"""sndlib's ``nobel-eu``, 28 cities and 41 links: what users may use, and which zones are best, against enumeration.

Ways are found here by walking every simple path from every zone, without any search for shortest ones; placements by
trying every set of zones. The law is read off the drawn rules. Nothing of the product is used for what is expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import topohub
from hansa_sim.latency.policies import plan_of
from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World, build_world

FIXED_NS = 5_400_000
"""What every way costs whatever its length, by the calibrated model's documentation."""

COUNTRY_OF = {
    "amsterdam": "NL", "athens": "GR", "barcelona": "ES", "belgrade": "RS", "berlin": "DE", "bordeaux": "FR",
    "brussels": "BE", "budapest": "HU", "copenhagen": "DK", "dublin": "IE", "frankfurt": "DE", "glasgow": "GB",
    "hamburg": "DE", "london": "GB", "lyon": "FR", "madrid": "ES", "milan": "IT", "munich": "DE", "oslo": "NO",
    "paris": "FR", "prague": "CZ", "rome": "IT", "stockholm": "SE", "strasbourg": "FR", "vienna": "AT",
    "warsaw": "PL", "zagreb": "HR", "zurich": "CH",
}  # fmt: skip
CITIES = sorted(COUNTRY_OF)
COUNTRIES = sorted(set(COUNTRY_OF.values()))
CARRIERS = ("nordavind", "skargard", "waldnetz")

Link = tuple[str, str, int, str]
"""Two cities, round trip in ms, carrier."""


def _some(drawn: np.random.Generator, whole: Sequence[str], count: int) -> list[str]:
    return sorted(str(one) for one in drawn.choice(whole, count, replace=False))


def _links(drawn: np.random.Generator) -> list[Link]:
    """The topology's links, longer ones slower, each carried by somebody drawn."""
    graph = topohub.get("sndlib/nobel-eu")
    names = {node["id"]: node["name"].lower() for node in graph["nodes"]}
    return [
        (names[edge["source"]], names[edge["target"]], 1 + round(edge["dist"] / 50), str(drawn.choice(CARRIERS)))
        for edge in graph["edges"]
    ]


def _world(folder: Path, links: list[Link], zones: list[str], app: str) -> World:
    """A scenario with one operator that has every city, a zone in some, and users in all."""
    rows = "".join(f"{a},{b},{rtt_ms},-,{carrier}\n" for a, b, rtt_ms, carrier in links)
    (folder / "trips.csv").write_text("a,b,rtt_ms,countries,carrier\n" + rows, encoding="utf-8")
    countries = ", ".join(f'{city}: "{code}"' for city, code in COUNTRY_OF.items())
    places = ", ".join(f"{{name: {city}-1, node: {city}, accelerators: {{model: L40S, count: 64}}}}" for city in zones)
    users = ", ".join(f"{{access_point: {city}, requests_per_s: {1 + at % 5}}}" for at, city in enumerate(CITIES))
    file = folder / "scenario.yaml"
    file.write_text(
        f"""version: 1
name: nobel-eu
title: sndlib's nobel-eu
as_of: 2026-11-01
network: {{round_trips: trips.csv, node_countries: {{{countries}}}}}
operators: [{{name: everywhere, nodes: [{", ".join(CITIES)}], zones: [{places}]}}]
apps: [{{name: app, home: everywhere, service: {{times: [{{mean_ms: 1}}]}}, {app}}}]
users: [{users}]
""",
        encoding="utf-8",
    )
    return build_world(load_scenario(file))


def _least_ms(links: list[Link], source: str, allowed: frozenset[str], denied: frozenset[str]) -> dict[str, int]:
    """The least sum over all simple paths from a city to each, within allowed countries, by carriers not denied."""
    beside: dict[str, list[tuple[str, int]]] = {city: [] for city in CITIES}
    for a, b, rtt_ms, carrier in links:
        if carrier not in denied:
            beside[a].append((b, rtt_ms))
            beside[b].append((a, rtt_ms))
    least: dict[str, int] = {}

    def walk(city: str, rtt_ms: int, seen: frozenset[str]) -> None:
        least[city] = min(rtt_ms, least.get(city, rtt_ms))
        for other, more_ms in beside[city]:
            if other not in seen and COUNTRY_OF[other] in allowed:
                walk(other, rtt_ms + more_ms, seen | {other})

    if COUNTRY_OF[source] in allowed:
        walk(source, 0, frozenset({source}))
    return least


@pytest.mark.parametrize("seed", range(12))
def test_lawful_ways_are_the_shortest_of_all_simple_paths(seed: int, tmp_path: Path) -> None:
    drawn = np.random.default_rng(seed)
    links, zones = _links(drawn), _some(drawn, CITIES, 2)
    allowed = frozenset(COUNTRIES) - frozenset(_some(drawn, COUNTRIES, int(drawn.integers(1, 8))))
    allowed |= {COUNTRY_OF[zones[0]]}
    denied = frozenset(_some(drawn, CARRIERS, seed % 2))
    law = "transit: [" + ", ".join(sorted(allowed)) + "]"
    law += f", deny_carriers: [{', '.join(sorted(denied))}]" if denied else ""
    app = f"latency: {{rtt_ms_max: 1000, response_ms_max: 2000}}, residency: {{{law}}}"
    world = _world(tmp_path, links, zones, app)
    view = view_of(world, ViewName.TOGETHER)
    assert [user.access_point for user in world.users] == CITIES
    assert [zone.inventory.node for zone in world.zones] == zones
    for column, zone in enumerate(zones):
        least = _least_ms(links, zone, allowed, denied)
        for row, city in enumerate(CITIES):
            assert view.lawful[row, column] == (city in least), (city, zone)
            if city in least:
                assert view.rtt_ns[row, column] == least[city] * 1_000_000 + FIXED_NS, (city, zone)
    assert 0 < view.lawful.sum() < view.lawful.size


def _mean_rtt_ns(view: View, demand: np.ndarray, zones: tuple[int, ...]) -> float:
    return float((view.rtt_ns[:, zones].min(axis=1) * demand).sum() / demand.sum())


@pytest.mark.parametrize(("seed", "count"), [(seed, count) for seed in range(4) for count in (1, 2, 3)])
def test_planned_zones_are_the_best_of_all_sets_of_as_many(seed: int, count: int, tmp_path: Path) -> None:
    drawn = np.random.default_rng(seed)
    links, zones = _links(drawn), _some(drawn, CITIES, 9)
    app = (
        "latency: {percentile: 50, rtt_ms_max: 200, response_ms_max: 400}, residency: none, "
        f"zones: {{min: {count}, max: {count}}}, objective: {{latency: 1, price: 0}}"
    )
    world = _world(tmp_path, links, zones, app)
    view = view_of(world, ViewName.TOGETHER)
    demand = np.array([user.millirps for user in world.users], dtype=np.float64)
    best_ns = min(_mean_rtt_ns(view, demand, some) for some in combinations(range(len(zones)), count))
    plan = plan_of(world, view, PolicyName.HANSA)
    assert plan.share is not None, plan.message
    assert int((plan.replicas > 0).sum()) == count
    planned_ns = float((view.rtt_ns * plan.share * demand[:, None]).sum() / demand.sum())
    assert best_ns * (1 - 1e-9) <= planned_ns <= best_ns * 1.001, "shares are in thousandths"


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_sends_everybody_to_the_nearest_lawful_zone_where_nobody_waits(seed: int, tmp_path: Path) -> None:
    drawn = np.random.default_rng(seed)
    links, zones = _links(drawn), _some(drawn, CITIES, 5)
    world = _world(tmp_path, links, zones, "latency: {rtt_ms_max: 200, response_ms_max: 400}, residency: none")
    view = view_of(world, ViewName.TOGETHER)
    share = plan_of(world, view, PolicyName.OPTIMUM).share
    assert share is not None
    felt_ns = (view.rtt_ns * share).sum(axis=1)
    assert felt_ns == pytest.approx(view.rtt_ns.min(axis=1), rel=1e-4)

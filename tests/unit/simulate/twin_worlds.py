"""Worlds for the tests of the twin: the small scenario, with a law under which all three operators may serve."""

from __future__ import annotations

from pathlib import Path

from hansa_sim.latency.policies import Plan, plan_of
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.twin.plan import Host, Network, Part, network_of
from hansa_sim.latency.twin.under_way import Way
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World
from scenario_texts import ROUND_TRIPS, world_of

EVERYBODY = (
    "residency: {data: [NO, SE], control: [NO, SE], transit: [NO, SE]}",
    "residency: {data: [NO, SE, DE], control: [NO, SE, DE], transit: [NO, SE, DE, DK]}",
)
FIXED = ("service: {times: [{mean_ms: 20}]}", "service: {distribution: fixed, times: [{mean_ms: 20}]}")
CALM = ("requests_per_s: 60}", "requests_per_s: 6}")
ALL_CALM = (CALM, ("requests_per_s: 50}", "requests_per_s: 5}"), ("requests_per_s: 90}", "requests_per_s: 9}"))


def twin_world(folder: Path, *changes: tuple[str, str], trips: str = ROUND_TRIPS) -> World:
    """The small world with few requests and a law that lets everybody serve."""
    return world_of(folder, EVERYBODY, *ALL_CALM, *changes, trips=trips)


def viewed(world: World) -> tuple[View, Plan]:
    """The view of the law, and the control plane's plan."""
    view = view_of(world, ViewName.TOGETHER)
    return view, plan_of(world, view, PolicyName.HANSA)


def hosts_of(world: World) -> Network:
    return network_of(world, viewed(world)[0])


def way_between(network: Network, one: Host, other: Host) -> Way | None:
    return network.ways[network.hosts.index(one)][network.hosts.index(other)]


def host(network: Network, part: Part, name: str) -> Host:
    [found] = network.of(part, name)
    return found

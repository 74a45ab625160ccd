"""The engines' world: topohub's European backbone of 852 nodes, through the product's own ground, law and routing.

100 zones stand at evenly spaced access points in the order of names, 10,000 rows of users are dealt to all access
points in turn, and every zone has the servers that seven tenths of the load on it would keep busy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hansa_sim.engines import analytic
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.model import SECOND_NS, Block, Faults, Outages, Paths, Retries, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.service import Exponential
from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import build_world
from hansa_sim.topology import load_topology

USERS, ZONES, RATE_RPS, SERVICE_NS = 10_000, 100, 10_000.0, 10e6
SEED = 1

SCENARIO = """
version: 1
name: backbone
title: 100 zones on the European backbone
as_of: 2026-11-01
network: {{topohub: backbone/europe, other_carrier: elsewhere}}
operators: [{{name: everywhere, countries: [{countries}], zones: [{zones}]}}]
apps: [{{name: app, home: everywhere, residency: none, service: {{times: [{{mean_ms: 10}}]}},
         latency: {{rtt_ms_max: 1000, response_ms_max: 2000}}}}]
users: [{users}]
"""
ZONE = "{{name: z{at}, node: {node}, accelerators: {{model: L40S, count: 1}}}}"
USER = "{{access_point: {node}, requests_per_s: 1}}"


class Backbone:
    """Ways, zones at seven tenths of what they can do, and users."""

    def __init__(self) -> None:
        view = _view()
        row = np.arange(USERS) % len(view.rtt_ns)
        self.paths = Paths(view.there_ns[row], view.back_ns[row], view.lawful[row])
        self.nearest = np.where(view.lawful, view.rtt_ns, np.iinfo(np.int64).max).argmin(axis=1)[row].astype(np.int32)
        self.load = np.bincount(self.nearest, minlength=ZONES) / USERS * RATE_RPS * SERVICE_NS / SECOND_NS
        self.zones = Zones.of(np.ceil(self.load / 0.7).astype(np.int64).clip(1))
        self.classes = [UserClass("all", np.arange(USERS, dtype=np.int32), RATE_RPS, Exponential(SERVICE_NS))]

    def run(self, requests: int) -> Run:
        return Run.of(self.classes, self.paths, self.zones, Window(self.horizon_ns(requests)))

    def blocks(self, requests: int) -> Iterator[Block]:
        return blocks(self.classes, SEED, self.horizon_ns(requests))

    def faults(self, requests: int) -> Faults:
        """Each zone is down for a hundredth of the time, in two outages."""
        rng, horizon_ns = np.random.default_rng(SEED), self.horizon_ns(requests)
        down = rng.integers(0, horizon_ns, 2 * ZONES)
        zone = np.repeat(np.arange(ZONES, dtype=np.int32), 2)
        return Faults(Outages(zone, down, down + horizon_ns // 200), Retries(3, 1_000_000, SECOND_NS))

    def exact_mean_ns(self) -> float:
        """Mean latency by the closed forms: users' ways, and M/M/c at every zone."""
        rows = np.arange(USERS), self.nearest
        way_ns = float((self.paths.there_ns[rows] + self.paths.back_ns[rows]).mean())
        waits = sum(
            erlangs
            * analytic.mean_wait_ns(analytic.Station(erlangs * SECOND_NS / SERVICE_NS, SERVICE_NS, int(servers)))
            for erlangs, servers in zip(self.load, self.zones.servers, strict=True)
            if erlangs
        )
        return way_ns + SERVICE_NS + float(waits / self.load.sum())

    @staticmethod
    def horizon_ns(requests: int) -> int:
        return int(requests / RATE_RPS * SECOND_NS)


def _view() -> View:
    """What users at each access point may use, and how far it is, as a scenario has it."""
    nodes = load_topology().nodes
    points = sorted(node.name for node in nodes if node.access_point)
    zones = (ZONE.format(at=at, node=points[at * len(points) // ZONES]) for at in range(ZONES))
    countries = sorted({f'"{node.country}"' for node in nodes if node.country})
    text = SCENARIO.format(
        countries=", ".join(countries),
        zones=", ".join(zones),
        users=", ".join(USER.format(node=node) for node in points),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "backbone.yaml"
        file.write_text(text)
        return view_of(build_world(load_scenario(file)), ViewName.TOGETHER)

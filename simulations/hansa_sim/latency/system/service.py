"""What users get at any time of the day: which endpoints they were told, whether these answer, over which way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hansa_control.application.queries import Endpoint

from hansa_sim.engines.analytic import Station, mean_wait_ns
from hansa_sim.engines.model import SECOND_NS
from hansa_sim.latency.system.bridge import Asked
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.views import Ints
from hansa_sim.latency.world import World
from hansa_sim.world import World as Platform

Key = tuple[int, int, int]
"""A row of users, a column of zones, and the mean wait there in ns."""

UNSTABLE_NS = -1
"""The wait where more is asked than can be done."""

PERMILLE = 1_000
WHOLE = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class Flow:
    """What one workload's users get for a while: requests a second that are served, by ``Key``, and those that are
    lost, by row; where the users were told to go, and replicas that run there, by column.
    """

    served_rps: Mapping[Key, float]
    lost_rps: Mapping[int, float]
    told: tuple[int, ...]
    replicas: Mapping[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether every request of the workload is served."""
        return not self.lost_rps


@dataclass(slots=True)
class Sums:
    """Requests and replica seconds of a day so far."""

    served: dict[Key, float] = field(default_factory=dict)
    lost: dict[int, float] = field(default_factory=dict)
    replica_s: dict[int, float] = field(default_factory=dict)

    def add(self, flow: Flow, seconds: float) -> None:
        """A flow has lasted so long."""
        for key, rate in flow.served_rps.items():
            self.served[key] = self.served.get(key, 0.0) + rate * seconds
        for row, rate in flow.lost_rps.items():
            self.lost[row] = self.lost.get(row, 0.0) + rate * seconds
        for column, count in flow.replicas.items():
            self.replica_s[column] = self.replica_s.get(column, 0.0) + count * seconds


class Service:
    """Works out flows of one app. ``rtt_ns`` (U, Z) is how far zones are now, negative where nothing leads there."""

    def __init__(self, world: World, platform: Platform, rtt_ns: Ints) -> None:
        self.rtt_ns = rtt_ns
        self._platform = platform
        self.traffic = traffic_of(world)
        self._stations, self._scv = self.traffic.stations, self.traffic.demand.scv
        self._row_of = {user.access_point: row for row, user in enumerate(world.users)}
        self._column_of = {str(zone.id): column for column, zone in enumerate(world.zones)}
        self._waits: dict[tuple[int, int, float], int] = {}

    def flow(self, asked: Asked) -> Flow:
        """What the users of a workload get now."""
        endpoint = self._platform.endpoint(asked.home, asked.id)
        demand = {row: at.demand_millirps / PERMILLE for row, at in zip(asked.points, asked.spec.access, strict=True)}
        parts = [] if endpoint is None else list(self._parts(endpoint, demand))
        served: dict[Key, float] = {}
        left = dict(demand)
        for part in parts:
            wait_ns = self._wait_ns(part.column, part.answering, sum(part.rates.values()))
            for row, rate in part.rates.items():
                served[row, part.column, wait_ns] = rate
                left[row] -= rate
        lost = {row: rate for row, rate in left.items() if rate > demand[row] * (1 - WHOLE)}
        told = tuple(part.column for part in parts)
        return Flow(served, lost, told, {part.column: part.answering for part in parts})

    def _parts(self, endpoint: Endpoint, demand: Mapping[int, float]) -> Iterator[_Part]:
        for zone in endpoint.zones:
            column = self._column_of[zone.zone]
            answering = self._answering(zone.zone, zone.urls)
            share = answering / len(zone.urls) / PERMILLE
            shares = ((self._row_of[point], permille) for point, permille in zone.shares)
            rates = {row: demand[row] * permille * share for row, permille in shares if self.rtt_ns[row, column] >= 0}
            yield _Part(column, answering, {row: rate for row, rate in rates.items() if rate > 0})

    def _answering(self, zone: str, urls: Iterable[str]) -> int:
        ready = {
            instance.url for instance in self._platform.zones[zone].machine.instances.values() if instance.is_ready
        }
        return sum(url in ready for url in urls)

    def _wait_ns(self, column: int, replicas: int, rate_rps: float) -> int:
        if not rate_rps:
            return 0
        key = (column, replicas, rate_rps)
        if key not in self._waits:
            mean_ns = float(self._stations.mean_us[column]) * 1_000
            servers = replicas * self._stations.concurrency
            is_stable = rate_rps * mean_ns < servers * SECOND_NS
            station = Station(rate_rps, mean_ns, servers, self._scv)
            self._waits[key] = round(mean_wait_ns(station)) if is_stable else UNSTABLE_NS
        return self._waits[key]


@dataclass(frozen=True, slots=True)
class _Part:
    column: int
    answering: int
    rates: Mapping[int, float]

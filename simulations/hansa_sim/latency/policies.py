"""Policies: who is served where. Each is a split of users over zones, or a router that looks at the zones' state.

A split also says how many replicas run. All splits but the optimum run the fewest that keep the response budget by the
production's own rule for waits (``planning``), so that latency is compared at what each policy costs; routers and the
optimum have every device of the zones that they may use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from hansa_control.adapters.codec_workload import ACCESS_COUNT_MAX
from hansa_control.domain.capacity import is_acceptable_model
from hansa_control.domain.model import FactKind, ResidencyPolicy, ServiceTime, WorkloadSpec, Zone, ZoneBounds
from hansa_control.domain.placement import PlacementRequest
from hansa_control.domain.placement import judge as decide_among
from hansa_control.domain.planning import WAIT_SHARE_PERCENT, NoPlan
from hansa_control.domain.queueing import WaitBound, load_max_table
from hansa_control.domain.scoring import CARBON_UNKNOWN_GCO2_PER_KWH, DEVICE_UNKNOWN_WATTS
from hansa_control.domain.service import HALF_TAIL, matching_time, service_us_at, station_of
from hansa_control.domain.snapshot import Snapshot
from numpy.typing import NDArray

from hansa_sim.latency.optimum import best_split
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.views import View, ViewName
from hansa_sim.latency.world import World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FULL_PERCENT = 80
"""Cheapest and greenest fill a zone up to this utilisation and go on to the next."""

PERMILLE = 1_000

ROUTED = frozenset({PolicyName.LEAST_LOADED, PolicyName.LEAST_LATENCY})
"""Policies that decide for each request, by what they know of zones."""


@dataclass(frozen=True, slots=True, eq=False)
class Stations:
    """Zones as servers of the app. replicas_max (Z,) is how many fit, servers how many requests each serves at once,
    mean_us (Z,) the mean service time, devices those of one replica; a zone that cannot run the app has none.
    """

    replicas_max: Ints
    concurrency: int
    devices: int
    mean_us: Ints
    times: tuple[ServiceTime | None, ...]

    def capacity_rps(self, replicas: Ints) -> Floats:
        """(Z,): the rate at which so many replicas are always busy."""
        return np.asarray(replicas * self.concurrency * 1e6 / np.maximum(self.mean_us, 1), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a policy comes to. share is (U, Z), rows sum to 1 or, for users that are not served, to 0; None for a router
    that decides request by request. replicas (Z,) run. message says why there is none, where that is so; predicted_ms
    is the control plane's own prediction at percentile 50, 95 and 99 of the slowest access point, where it made one.
    """

    share: Floats | None
    replicas: Ints
    message: str = ""
    predicted_ms: Mapping[str, float] | None = None

    @property
    def is_routed(self) -> bool:
        """Whether a router decides by the state of zones."""
        return self.share is None


def stations_of(world: World) -> Stations:
    """The zones of a world as servers of its app."""
    spec, service = world.spec, world.spec.service
    need = spec.accelerator
    if service is None or need is None:
        raise ValueError("a scenario's app has a service profile and accelerators")
    times = []
    for zone in world.zones:
        pool = zone.inventory.pools[0]
        fits = is_acceptable_model(need, pool) and pool.memory_mib >= need.memory_mib_min
        times.append(matching_time(service, pool) if fits else None)
    room = [free // need.count if time else 0 for free, time in zip(world.devices.tolist(), times, strict=True)]
    means = [time.mean_us if time else 1 for time in times]
    return Stations(np.array(room), service.concurrency, need.count, np.array(means), tuple(times))


def plan_of(world: World, view: View, policy: PolicyName) -> Plan:
    """What a policy makes of a view."""
    stations = stations_of(world)
    if policy is PolicyName.HANSA:
        return _hansa(world, view)
    if policy in ROUTED:
        return Plan(None, np.where(view.lawful.any(axis=0), stations.replicas_max, 0))
    demand = np.array([user.millirps for user in world.users], dtype=np.float64) / PERMILLE
    if policy is PolicyName.OPTIMUM:
        share = best_split(view, demand, stations.mean_us, (stations.replicas_max * stations.concurrency, _scv(world)))
        return Plan(share, np.where(share.any(axis=0), stations.replicas_max, 0))
    share = _SPLITS[policy](world, view, stations, demand)
    return Plan(share, sized(world.spec, stations, demand @ share))


def sized(spec: WorkloadSpec, stations: Stations, load_rps: Floats) -> Ints:
    """(Z,): the fewest replicas that keep waits within the production's bound at this load; all where none do."""
    replicas = np.zeros(len(load_rps), dtype=np.int64)
    for at in np.flatnonzero(load_rps > 0).tolist():
        time, most = stations.times[at], int(stations.replicas_max[at])
        replicas[at] = most if time is None else _fewest(spec, time, most, float(load_rps[at]))
    return replicas


def _fewest(spec: WorkloadSpec, time: ServiceTime, most: int, load_rps: float) -> int:
    percentile, budget = spec.latency.percentile, spec.latency.response_us_max
    wait_us = max(0, (budget - service_us_at(time, percentile)) * WAIT_SHARE_PERCENT // 100)
    if spec.service is None or most == 0:
        return most
    loads = load_max_table(station_of(spec.service, time, 1), WaitBound(HALF_TAIL.get(percentile, 75), wait_us), most)
    return min(int(np.searchsorted(loads, load_rps * PERMILLE)), most)


def _scv(world: World) -> float:
    return world.planned.scv


def _nearest(world: World, view: View, stations: Stations, demand: Floats) -> Floats:
    """Each user to the lawful zone with the least round trip, however full it is; ties by the zone's id."""
    usable = view.lawful & (stations.replicas_max > 0)
    far = np.where(usable, view.rtt_ns, np.iinfo(np.int64).max)
    return _whole(far.argmin(axis=1), usable)


def _cheapest(world: World, view: View, stations: Stations, demand: Floats) -> Floats:
    price = np.array([zone.inventory.price_millieur_per_hour for zone in world.zones], dtype=np.float64)
    return _filled(view, stations, demand, price * stations.mean_us)


def _greenest(world: World, view: View, stations: Stations, demand: Floats) -> Floats:
    grams = np.array([carbon_of(zone) for zone in world.zones]) * np.array([watts_of(zone) for zone in world.zones])
    return _filled(view, stations, demand, grams * stations.mean_us)


def _filled(view: View, stations: Stations, demand: Floats, cost: Floats) -> Floats:
    """Users with most demand first, each to the zone of least cost that keeps the bound on round trips and has room up
    to ``FULL_PERCENT``; where none has, to the one with most room left. Ties by round trip, then by the zone's id.
    """
    room = stations.capacity_rps(stations.replicas_max) * FULL_PERCENT / 100
    usable = view.lawful & (stations.replicas_max > 0)
    at = np.zeros(len(demand), dtype=np.int64)
    for user in np.lexsort((np.arange(len(demand)), -demand)).tolist():
        zones = np.flatnonzero(usable[user] & view.in_time[user])
        zones = zones if len(zones) else np.flatnonzero(usable[user])
        if not len(zones):
            continue
        order = zones[np.lexsort((zones, view.rtt_ns[user, zones], cost[zones]))]
        fitting = order[room[order] >= demand[user]]
        at[user] = fitting[0] if len(fitting) else order[room[order].argmax()]
        room[at[user]] -= demand[user]
    return _whole(at, usable)


def _whole(at: Ints, usable: NDArray[np.bool_]) -> Floats:
    share = np.zeros(usable.shape)
    share[np.arange(len(at)), at] = 1.0
    share[~usable.any(axis=1)] = 0.0
    return share


_SPLITS: Mapping[PolicyName, Callable[[World, View, Stations, Floats], Floats]] = {
    PolicyName.NEAREST: _nearest,
    PolicyName.CHEAPEST: _cheapest,
    PolicyName.GREENEST: _greenest,
}


def _hansa(world: World, view: View) -> Plan:
    """The production decision on users that have a lawful place in time; alone, each operator decides for its own."""
    shape = (len(world.users), len(world.zones))
    share, replicas, messages = np.zeros(shape), np.zeros(shape[1], dtype=np.int64), []
    worst: dict[str, float] = {}
    for home, rows, snapshot in _deciders(world, view):
        if len(rows) > ACCESS_COUNT_MAX:
            messages.append(f"{home}: {len(rows)} access points; a request may name {ACCESS_COUNT_MAX}")
            continue
        spec = _spec_of(world, view, rows, snapshot)
        found = decide_among(
            PlacementRequest(spec, home, with_fix=False, current=world.current), snapshot, world.loaded.now_ms
        ).planned
        if found is None or isinstance(found, NoPlan):
            messages.append(f"{home}: {found.message if found else 'no zone is feasible'}")
            continue
        at = {zone.id: n for n, zone in enumerate(world.zones)}
        for part in found.assignments:
            share[rows, at[part.zone]] = np.array(part.share_permille) / PERMILLE
            replicas[at[part.zone]] += part.replicas
        for name, of in (("p50", "p50_us"), ("p95", "p95_us"), ("p99", "p99_us")):
            worst[name] = max(worst.get(name, 0.0), *(getattr(one, of) / 1_000 for one in found.predicted))
    return Plan(share, replicas, "; ".join(messages), worst or None)


def _deciders(world: World, view: View) -> list[tuple[str, list[int], Snapshot]]:
    """Who decides for which users, on what: home for all, or each operator for its own."""
    able = np.flatnonzero(view.in_time.any(axis=1)).tolist()
    if view.name is not ViewName.ALONE:
        return [(world.loaded.scenario.app.home, able, world.snapshot)] if able else []
    operators = sorted({world.users[row].operator for row in able})
    return [(op, [row for row in able if world.users[row].operator == op], world.snapshot_of(op)) for op in operators]


def _spec_of(world: World, view: View, rows: list[int], snapshot: Snapshot) -> WorkloadSpec:
    """The request for these users; of an operator alone with no more zones and replicas than it has."""
    spec = replace(world.spec, access=tuple(world.spec.access[row] for row in rows))
    if view.name is ViewName.LAWLESS:
        return replace(spec, residency=ResidencyPolicy())
    if view.name is not ViewName.ALONE:
        return spec
    most = min(spec.zones.maximum, len(snapshot.zones))
    least = min(spec.zones.minimum, most)
    return replace(spec, zones=ZoneBounds(least, most), replicas=min(spec.replicas, most))


def carbon_of(zone: Zone) -> float:
    """Grams of CO2 equivalent a kWh; what is unknown counts as the production counts it."""
    values = [float(fact.value) for fact in zone.facts if fact.kind is FactKind.CARBON_GCO2_PER_KWH]
    return values[0] if values else float(CARBON_UNKNOWN_GCO2_PER_KWH)


def watts_of(zone: Zone) -> float:
    """Of one device under load; what is unknown counts as the production counts it."""
    return float(zone.inventory.device_watts or DEVICE_UNKNOWN_WATTS)

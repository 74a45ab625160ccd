"""How many replicas each app has in each zone under the optimum, where apps share accelerators.

A mixed-integer programme, solved by HiGHS: users' shares of zones as in ``optimum``, and for each app and zone one of
the counts of replicas that it may have there, with the waits at that count as tangents. Once the counts are known, the
split of each app is the convex problem of ``optimum`` again and exact. Only zones that several apps may use are in
question. Tangents lie below the waits, so the programme's bound is one on the best; it is solved within ``GAP``, unless
the search ends at ``NODES_MAX``. In zones of more than ``COUNTS_MAX`` replicas not every count is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix

from hansa_sim.latency.optimum import FULL, OVERLOAD_COST_S, waiting_at
from hansa_sim.latency.policies import Stations, stations_of
from hansa_sim.latency.views import View
from hansa_sim.latency.world import World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GAP = 1e-3
NODES_MAX = 200
"""Nodes and not seconds, so that the same scenario has the same optimum on every machine."""

COUNTS_MAX = 24
TANGENTS_AT = (0.2, 0.3, 0.4, 0.48, 0.55, 0.61, 0.67, 0.72, 0.77, 0.81, 0.85, 0.88, 0.91, 0.94, 0.96, 0.98)
"""Utilisations at which waits are touched."""


def best_replicas(worlds: Sequence[World], views: Sequence[View], order: Sequence[int]) -> list[Ints]:
    """Devices (Z,) for each app. What the best leaves over goes to the apps that use the zone, in ``order``."""
    stations = [stations_of(world) for world in worlds]
    most = np.array(
        [np.where(view.lawful.any(axis=0), one.replicas_max, 0) for one, view in zip(stations, views, strict=True)]
    )
    needs = np.array([one.devices for one in stations])
    free = worlds[0].devices
    replicas = most.copy()
    contested = (most > 0).sum(axis=0) > 1
    if contested.any():
        replicas[:, contested] = 0
        apps = [_App(*one) for one in zip(worlds, views, stations, most, strict=True)]
        used = _Programme(apps, np.flatnonzero(contested), free, replicas).solved()
        for app in order:
            left = free - needs @ replicas
            more = np.minimum(most[app] - replicas[app], np.maximum(left, 0) // needs[app])
            replicas[app] += np.where(contested & used[app], more, 0)
    return [count * need for count, need in zip(replicas, needs, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _App:
    world: World
    view: View
    stations: Stations
    most: Ints

    @property
    def demand_rps(self) -> Floats:
        return np.array([user.millirps for user in self.world.users], dtype=np.float64) / 1_000

    def full_rps(self, zone: int, replicas: int) -> float:
        """The load up to which a zone with so many replicas is filled."""
        return FULL * replicas * self.stations.concurrency * 1e6 / float(self.stations.mean_us[zone])

    def counts(self, zone: int) -> list[int]:
        """Counts of replicas that are tried; all where there are few."""
        most = int(self.most[zone])
        return sorted({round(at) for at in np.linspace(1, most, min(most, COUNTS_MAX))})


class _Programme:
    """Rows and columns of the programme, added one after the other."""

    def __init__(self, apps: Sequence[_App], zones: Ints, free: Ints, replicas: NDArray[np.int64]) -> None:
        """``zones`` are those in question, ``free`` their devices, ``replicas`` (A, Z) what is given already."""
        self._apps, self._contested, self._free, self._replicas = apps, set(zones.tolist()), free, replicas
        self._cost: list[float] = []
        self._whole: list[int] = []
        self._above: list[float] = []
        self._entries: list[tuple[int, int, float]] = []
        self._low: list[float] = []
        self._high: list[float] = []
        self._choices: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, app in enumerate(apps):
            self._add_app(number, app)
        for zone in sorted(self._contested):
            chosen = [(choice, at) for choice, at in self._choices.items() if choice[1] == zone]
            terms = [(column, count * apps[a].stations.devices) for (a, _), each in chosen for column, count in each]
            self._row(terms, -np.inf, float(free[zone]))

    def _column(self, cost: float, above: float = np.inf, whole: bool = False) -> int:  # noqa: FBT001, FBT002
        self._cost.append(cost)
        self._above.append(above)
        self._whole.append(int(whole))
        return len(self._cost) - 1

    def _row(self, terms: Sequence[tuple[int, float]], low: float, high: float) -> None:
        self._entries += [(len(self._low), column, float(value)) for column, value in terms]
        self._low.append(low)
        self._high.append(high)

    def _add_app(self, number: int, app: _App) -> None:
        seconds = app.view.rtt_ns / 1e9 + app.stations.mean_us[None, :] / 1e6
        usable, demand = app.view.lawful & (app.most > 0), app.demand_rps
        came: dict[int, list[tuple[int, float]]] = {}
        for user in np.flatnonzero(usable.any(axis=1)).tolist():
            rate, once = float(demand[user]), []
            for zone in np.flatnonzero(usable[user]).tolist():
                column = self._column(float(seconds[user, zone]) * rate)
                once.append((column, 1.0))
                came.setdefault(zone, []).append((column, rate))
            self._row(once, 1.0, 1.0)
        for zone, terms in came.items():
            self._add_station(number, zone, terms)

    def _add_station(self, number: int, zone: int, came: Sequence[tuple[int, float]]) -> None:
        """A choice of counts, each with the load that it bears and the waits of it."""
        app = self._apps[number]
        is_contested = zone in self._contested
        counts = app.counts(zone) if is_contested else [int(app.most[zone])]
        loads, chosen = [(self._column(OVERLOAD_COST_S), -1.0)], []
        for count in counts:
            chooses = self._column(0.0, 1.0, whole=is_contested)
            load, waits = self._column(0.0), self._column(1.0)
            self._row([(load, 1.0), (chooses, -app.full_rps(zone, count))], -np.inf, 0.0)
            self._add_tangents((load, waits, chooses), app, zone, count)
            loads.append((load, -1.0))
            chosen.append((chooses, count))
        self._row([*came, *loads], 0.0, 0.0)
        self._row([(column, 1.0) for column, _ in chosen], -np.inf, 1.0)
        if is_contested:
            self._choices[number, zone] = chosen

    def _add_tangents(self, columns: tuple[int, int, int], app: _App, zone: int, count: int) -> None:
        load, waits, chooses = columns
        servers = np.array([count * app.stations.concurrency])
        service_s = np.array([float(app.stations.mean_us[zone]) / 1e6])
        scv = app.world.planned.scv
        for share in TANGENTS_AT:
            at = np.array([share * float(servers[0]) / float(service_s[0])])
            step = at * 1e-5
            here = float(waiting_at(at, servers, service_s, scv)[0])
            slope = (float(waiting_at(at + step, servers, service_s, scv)[0]) - here) / float(step[0])
            self._row([(load, slope), (waits, -1.0), (chooses, here - slope * float(at[0]))], -np.inf, 0.0)

    def solved(self) -> NDArray[np.bool_]:
        """(A, Z): who uses which of the zones in question; their counts of replicas are written down."""
        rows, columns, values = zip(*self._entries, strict=True)
        matrix = coo_matrix((values, (rows, columns)), shape=(len(self._low), len(self._cost))).tocsr()
        found = milp(
            np.array(self._cost),
            integrality=np.array(self._whole),
            bounds=Bounds(np.zeros(len(self._cost)), np.array(self._above)),
            constraints=LinearConstraint(matrix, np.array(self._low), np.array(self._high)),
            options={"mip_rel_gap": GAP, "node_limit": NODES_MAX},
        )
        if found.x is None:
            raise ValueError(f"the offline optimum was not found: {found.message}")
        used = np.zeros(self._replicas.shape, dtype=np.bool_)
        for (app, zone), each in self._choices.items():
            count = sum(count for column, count in each if found.x[column] > 0.5)
            self._replicas[app, zone], used[app, zone] = count, count > 0
        return used

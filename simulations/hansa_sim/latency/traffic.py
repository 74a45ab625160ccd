"""The requests of a scenario as the engines read them: users in groups, when they ask, what a request demands.

Users of an access point are so many groups of equal size, and a policy sends each group to one zone: so a split of an
access point's users is what it would be with real users, each of whom has one endpoint, and requests, their users and
their demands are the same whatever the policy (common random numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.model import (
    AHEAD_NS_MAX,
    NOWHERE,
    SECOND_NS,
    SPEED_PERMILLE,
    Block,
    Paths,
    Profile,
    Recorded,
    UserClass,
    Window,
)
from hansa_sim.engines.service import Demand, Deterministic, Exponential, Gamma, Lognormal
from hansa_sim.engines.streams import generator
from hansa_sim.engines.token_model import TokenModel, packed
from hansa_sim.latency.movement import Movement, Places, movement_of, places_of
from hansa_sim.latency.policies import Plan, Stations, stations_of
from hansa_sim.latency.scenario_schema import Scenario
from hansa_sim.latency.token_service import models_by_accelerator, token_demand, trace_of
from hansa_sim.latency.trace_file import Trace
from hansa_sim.latency.views import View
from hansa_sim.latency.world import World, demand_of

DAY_STEPS = 96
US_NS, MS_NS = 1_000, 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Recorded requests. Of R replications the first begins with the first request, the others with those that are an
    R-th of the record further on each; after its end the record begins again."""

    trace: Trace
    replications: int
    has_tokens: bool

    def of(self, replication: int, horizon_ns: int) -> Recorded:
        """The requests of one replication; who sends each is drawn."""
        part = self.trace.part(self._first(replication), horizon_ns)
        return Recorded(part.at_ns, packed(part.prompt, part.generated) if self.has_tokens else None)

    def shared_share(self, replications: int, horizon_ns: int) -> float:
        """Of the requests that so many replications play, the share that is played more than once."""
        length, times = len(self.trace), np.zeros(len(self.trace), np.int64)
        for replication in range(replications):
            first = self._first(replication)
            rounds, rest = divmod(self.trace.count(first, horizon_ns), length)
            times += rounds
            times[first : first + rest] += 1
            times[: max(0, first + rest - length)] += 1
        return float(times[times > 1].sum() / max(int(times.sum()), 1))

    def _first(self, replication: int) -> int:
        return len(self.trace) * replication // self.replications % len(self.trace)


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """``places`` of groups of users, and the ``movement`` of those who do not stay; ``speed_permille`` (Z,) against the
    fastest zone, whose mean demand has; ``classes`` are measured, of ``sources`` requests are drawn. ``horizon_ns`` of
    one replication, ``window`` what is measured of it. ``seed`` is that of requests, ``common_seed`` of what befalls
    all apps.
    """

    places: Places
    movement: Movement
    stations: Stations
    speed_permille: NDArray[np.int64]
    demand: Demand
    classes: tuple[UserClass, ...]
    sources: tuple[UserClass, ...]
    surges: tuple[UserClass, ...]
    horizon_ns: int
    window: Window
    seed: int
    common_seed: int
    is_eventful: bool
    """Whether something falls or surges, so that what users feel over time is worth counting."""
    models: tuple[TokenModel | None, ...] | None = None
    """(Z,) where the app serves tokens."""
    record: Record | None = None
    bound_ns: int = AHEAD_NS_MAX
    """The app's bound on the response."""

    @property
    def groups(self) -> int:
        """Groups of users at each place."""
        return self.places.groups

    @property
    def rows(self) -> int:
        """Rows of users: groups of all places."""
        return self.movement.first

    @property
    def rate_rps(self) -> float:
        """Requests a second of all users, in the mean and without surges."""
        return sum(one.rate_rps for one in self.sources)

    @property
    def rate_share(self) -> float | None:
        """The mean rate in what is measured against that of a day; None where the rate does not go with the day."""
        profile = self.sources[0].profile
        return None if profile is None else profile.mean_share(self.window.begin_ns, self.window.end_ns)

    def requests(self, replication: int) -> Iterator[Block]:
        """The requests of one replication: the same whenever they are asked for."""
        sources = (*self.sources, *self.surges)
        if self.record is not None:
            sources = (replace(self.sources[0], recorded=self.record.of(replication, self.horizon_ns)),)
        drawn = blocks(sources, self._seed(f"replication/{replication}"), self.horizon_ns)
        return self.movement.settled(drawn)

    def seed_of(self, replication: int) -> int:
        """The seed of what befalls all apps in a replication."""
        return _seed(self.common_seed, f"replication/{replication}")

    def pilot(self, number: int) -> Iterator[Block]:
        """Requests of a run that only finds the warm-up: none of them is in a replication, and nobody surges."""
        return self.movement.settled(blocks(self.sources, self._seed(f"pilot/{number}"), self.horizon_ns))

    def pilot_ns(self, number: int, requests: int) -> int:
        """When so many requests of a pilot have been sent; its end where there are not so many."""
        if not requests:
            return 0
        for block in self.pilot(number):
            if requests < len(block):
                return int(block.at_ns[requests])
            requests -= len(block)
        return self.horizon_ns

    def _seed(self, name: str) -> int:
        return _seed(self.seed, name)


def _seed(seed: int, name: str) -> int:
    return int(generator(seed, name).integers(0, 2**63 - 1))


def traffic_of(world: World) -> Traffic:
    """The requests of a world."""
    scenario, stations = world.loaded.scenario, stations_of(world)
    places, timelines = places_of(world)
    movement = movement_of(world.journeys, places, timelines)
    fastest_us = min((time.mean_us for time in stations.times if time), default=1)
    demand = _demand(world, fastest_us * US_NS)
    tokens, trace = scenario.app.service.tokens, trace_of(world.loaded)
    run = scenario.run
    horizon_ns = max(1, round(world.replication_s * SECOND_NS))
    sources = _sources(world, (places, movement), demand)
    return Traffic(
        places=places,
        movement=movement,
        stations=stations,
        speed_permille=np.maximum(np.rint(SPEED_PERMILLE * fastest_us / stations.mean_us), 1).astype(np.int64),
        demand=demand,
        classes=tuple(_classes(places, sources[0])),
        sources=sources,
        surges=tuple(_surges(world, sources[0], (places, movement))),
        horizon_ns=horizon_ns,
        window=Window(horizon_ns, horizon_ns * run.warm_up_percent // 100),
        seed=world.request_seed,
        common_seed=run.seed,
        is_eventful=bool(scenario.faults or any(part.surges for part in scenario.users)),
        models=None if tokens is None else _models(stations, models_by_accelerator(tokens)),
        record=None if trace is None else Record(trace, run.replications, tokens is not None),
        bound_ns=round(scenario.app.latency.response_ms_max * MS_NS),
    )


def _models(stations: Stations, by_accelerator: dict[str, TokenModel]) -> tuple[TokenModel | None, ...]:
    """(Z,) the token model of each zone's replicas; None where the app does not run."""
    return tuple(by_accelerator[time.model] if time else None for time in stations.times)


def _sources(world: World, where: tuple[Places, Movement], demand: Demand) -> tuple[UserClass, ...]:
    """Who asks: all that stay are one process, those of each entry that moves another."""
    (places, movement), profile = where, _profile(world.loaded.scenario)
    rates = np.array([user.staying_millirps for user in world.users], dtype=np.float64) / 1_000
    rows = np.arange(len(rates) * places.groups, dtype=np.int32)
    found = []
    if rates.any():
        weights = np.repeat(rates, places.groups)
        found.append(UserClass("users", rows, float(rates.sum()), demand, weights, profile))
    for entry in np.unique(movement.entries).tolist():
        rate = float(movement.rates_rps[movement.entries == entry].sum())
        found.append(UserClass(f"moving/{entry}", movement.rows_of(entry), rate, demand, None, profile))
    return tuple(found)


def _classes(places: Places, of: UserClass) -> Iterator[UserClass]:
    """What is measured apart: who is served by what was looked up where they are, and who is not."""
    rows = np.arange(len(places.here) * places.groups, dtype=np.int32)
    settled = rows < places.points * places.groups
    yield of if len(of.users) == len(rows) else replace(of, name="users", users=rows[settled], weights=None)
    if places.is_moving:
        yield replace(of, name="on the move", users=rows[~settled], weights=None)


def _surges(world: World, users: UserClass, where: tuple[Places, Movement]) -> Iterator[UserClass]:
    """What comes besides the usual: each surge is a process of its own, from the same rows of users."""
    movement, groups = where[1], where[0].groups
    point_of = {user.access_point: at for at, user in enumerate(world.users)}
    for at, part in enumerate(world.loaded.scenario.users):
        if not part.surges:
            continue
        weights: NDArray[np.float64] | None = None
        if part.is_moving:
            rows = movement.rows_of(at)
        else:
            shares = demand_of(world.ground, part)
            rows = np.concatenate([np.arange(groups, dtype=np.int32) + point_of[point] * groups for point in shares])
            weights = np.repeat(np.array(list(shares.values()), dtype=np.float64), groups)
        for n, surge in enumerate(part.surges):
            begin_ns = round(surge.at_s * SECOND_NS)
            yield replace(
                users,
                name=f"surge/{at}/{n}",
                users=rows,
                weights=weights,
                rate_rps=part.requests_per_s * (surge.times - 1),
                profile=None,
                begin_ns=begin_ns,
                end_ns=begin_ns + round(surge.for_s * SECOND_NS),
            )


def grouped(share: NDArray[np.float64], groups: int) -> NDArray[np.int32]:
    """(U x groups,) the zone of each group of users, ``NOWHERE`` for users without a share: shares in whole groups, the
    rest to the largest remainders, ties to the lower zone.
    """
    table = np.full((len(share), groups), NOWHERE, dtype=np.int32)
    for user in np.flatnonzero(share.sum(axis=1) > 0).tolist():
        wanted = share[user] / share[user].sum() * groups
        whole = np.floor(wanted + 1e-9).astype(np.int64)
        rest = groups - int(whole.sum())
        whole[np.argsort(-(wanted - whole), kind="stable")[:rest]] += 1
        table[user] = np.repeat(np.arange(len(whole)), whole)
    return table.ravel()


def paths_of(view: View, plan: Plan, places: Places) -> Paths:
    """Ways of every row from where it is, and where it may go: a router keeps to zones in time where its users have
    any."""
    usable = view.lawful & (plan.replicas > 0)
    if plan.is_routed:
        timely = usable & view.in_time
        has_any = timely.any(axis=1, keepdims=True)
        usable = (timely & has_any) | (usable & ~has_any)
    there_ns, back_ns = (np.repeat(way[places.here], places.groups, axis=0) for way in (view.there_ns, view.back_ns))
    return Paths(there_ns, back_ns, np.repeat(usable[places.here], places.groups, axis=0))


def zones_of(view: View, plan: Plan, places: Places) -> NDArray[np.int32]:
    """The zone of every row of users under a plan with shares: that which its group has where it last looked up, and
    ``NOWHERE`` where the law or the network lets it not go there from where it is.
    """
    if plan.share is None:
        raise ValueError("a router has no shares")
    table = grouped(plan.share, places.groups).reshape(-1, places.groups)[places.asked]
    usable = view.lawful & (plan.replicas > 0)
    is_open = usable[places.here[:, None], np.maximum(table, 0)] | (places.here == places.asked)[:, None]
    return np.where(is_open, table, np.int32(NOWHERE)).ravel()


def _profile(scenario: Scenario) -> Profile | None:
    """The day's rate: least when it begins, greatest in its middle."""
    arrivals = scenario.arrivals
    if arrivals.kind != "diurnal":
        return None
    angles = (np.arange(DAY_STEPS) + 0.5) * 2 * np.pi / DAY_STEPS
    shares = np.rint((1 - arrivals.swing * np.cos(angles)) * 1_000).astype(np.int64)
    return Profile(max(1, round(arrivals.period_s * SECOND_NS / DAY_STEPS)), shares)


def _demand(world: World, mean_ns: float) -> Demand:
    service = world.loaded.scenario.app.service
    if service.tokens is not None:
        return token_demand(service.tokens, world.planned)
    if service.distribution == "fixed":
        return Deterministic(mean_ns)
    if service.distribution == "exponential":
        return Exponential(mean_ns)
    return (Lognormal if service.distribution == "lognormal" else Gamma)(mean_ns, service.scv)

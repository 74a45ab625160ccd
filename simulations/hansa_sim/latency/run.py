"""Runs a scenario: every policy on the same requests, in independent replications, by the static or the event engine.

Users of an access point are so many groups of equal size, and a policy sends each group to one zone: so a split of an
access point's users is what it would be with real users, each of whom has one endpoint, and requests, their users and
their demands are the same whatever the policy (common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines import event, static
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.histogram import percentiles_ns, share_at_most
from hansa_sim.engines.measured import Measured, Stability
from hansa_sim.engines.model import NOWHERE, SECOND_NS, SPEED_PERMILLE, Block, Paths, Profile, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, LeastLoaded
from hansa_sim.engines.service import Demand, Deterministic, Exponential, Gamma, Lognormal
from hansa_sim.engines.streams import generator
from hansa_sim.latency.policies import Plan, Stations, carbon_of, plan_of, stations_of, watts_of
from hansa_sim.latency.report_map import map_of
from hansa_sim.latency.results import CDF_PERCENTS, VIEW_WORDS, Interval, PointResult, Price, Results, Row, ZoneResult
from hansa_sim.latency.scenario_file import as_document
from hansa_sim.latency.scenario_schema import PolicyName, Scenario
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World

GROUPS_MAX = 100
ROWS_WANTED = 10_000
DAY_STEPS = 96
MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the row, its requests so far and in all, simulated seconds, p99 of the last replication."""

    row: str
    done: int
    total: int
    simulated_s: float
    p99_ms: float | None


Watch = Callable[[Progress], None]


def run_scenario(world: World, watch: Watch = lambda _: None) -> Results:
    """Everything that the scenario asks for, row by row."""
    scenario = world.loaded.scenario
    stage = _Stage(world)
    base = _base(scenario)
    wanted = [(policy, ViewName.TOGETHER) for policy in scenario.policies]
    if base not in scenario.policies:
        wanted.append((base, ViewName.TOGETHER))
    wanted += [(base, ViewName.LAWLESS)] if scenario.compare.law else []
    wanted += [(base, ViewName.ALONE)] if scenario.compare.federation else []
    ran = {key: stage.run(*key, watch) for key in wanted}
    against, optimum = ran[base, ViewName.TOGETHER], ran.get((PolicyName.OPTIMUM, ViewName.TOGETHER))
    rows = [_compared(stage, one, against, optimum) for one in ran.values()]
    prices = [
        _price(stage, what, ran[key], ran[other]) for what, key, other in _pairs(base) if key in ran and other in ran
    ]
    seconds = stage.horizon_ns / SECOND_NS * scenario.run.replications
    return Results(
        as_document(scenario),
        scenario.run.seed,
        seconds,
        base.value,
        tuple(rows),
        tuple(prices),
        map_of(world, against.row),
    )


def _base(scenario: Scenario) -> PolicyName:
    if scenario.compare.policy is not None:
        return scenario.compare.policy
    return PolicyName.HANSA if PolicyName.HANSA in scenario.policies else scenario.policies[0]


def _pairs(base: PolicyName) -> list[tuple[str, tuple[PolicyName, ViewName], tuple[PolicyName, ViewName]]]:
    together = (base, ViewName.TOGETHER)
    return [("law", together, (base, ViewName.LAWLESS)), ("not federating", (base, ViewName.ALONE), together)]


@dataclass(frozen=True, slots=True, eq=False)
class _Ran:
    """A row with what pairs it to others: by replication, served and latency sum of every access point."""

    row: Row
    served: NDArray[np.int64]
    sums_ns: NDArray[np.int64]


class _Stage:
    """What all rows share: users in groups, their requests, zones as stations, and the views as they are needed."""

    def __init__(self, world: World) -> None:
        self.world, self.scenario = world, world.loaded.scenario
        self.stations: Stations = stations_of(world)
        users = len(world.users)
        self.groups = max(1, min(GROUPS_MAX, ROWS_WANTED // users))
        self.rates = np.array([user.millirps for user in world.users], dtype=np.float64) / 1_000
        reference = min((t for t in self.stations.times if t), key=lambda t: t.mean_us, default=None)
        self.demand = _demand(self.scenario, (reference.mean_us if reference else 1) * 1_000)
        self.speed = np.array(
            [self._speed(at, reference.mean_us if reference else 1) for at in range(len(world.zones))], dtype=np.int64
        )
        run = self.scenario.run
        self.horizon_ns = max(1, round(run.requests / run.replications / self.rates.sum() * SECOND_NS))
        self.window = Window(self.horizon_ns, self.horizon_ns * run.warm_up_percent // 100)
        self.classes = (self._class(),)
        self._views: dict[ViewName, View] = {}

    def _speed(self, at: int, reference_us: int) -> int:
        return max(1, round(SPEED_PERMILLE * reference_us / int(self.stations.mean_us[at])))

    def _class(self) -> UserClass:
        arrivals = self.scenario.arrivals
        profile = None
        if arrivals.kind == "diurnal":
            angles = (np.arange(DAY_STEPS) + 0.5) * 2 * np.pi / DAY_STEPS
            shares = np.rint((1 - arrivals.swing * np.cos(angles)) * 1_000).astype(np.int64)
            profile = Profile(max(1, round(arrivals.period_s * SECOND_NS / DAY_STEPS)), shares)
        rows = np.arange(len(self.rates) * self.groups, dtype=np.int32)
        weights = np.repeat(self.rates, self.groups)
        return UserClass("users", rows, float(self.rates.sum()), self.demand, weights, profile)

    def view(self, name: ViewName) -> View:
        """The view, made when it is first asked for."""
        if name not in self._views:
            self._views[name] = view_of(self.world, name)
        return self._views[name]

    def run(self, policy: PolicyName, name: ViewName, watch: Watch) -> _Ran:
        """One row: all replications of a policy in a view."""
        view = self.view(name)
        plan = plan_of(self.world, view, policy)
        usable = _usable(view, plan)
        zones = Zones.of(np.maximum(plan.replicas * self.stations.concurrency, 1), self.speed)
        ways = (np.repeat(one, self.groups, axis=0) for one in (view.there_ns, view.back_ns, usable))
        prepared = Run.of(self.classes, Paths(*ways), zones, self.window)
        zone_of = None if plan.share is None else grouped(plan.share, self.groups)
        measured: list[Measured] = []
        for number in range(self.scenario.run.replications):
            seed = int(generator(self.scenario.run.seed, f"replication/{number}").integers(0, 2**63 - 1))
            requests = _watched(
                blocks(self.classes, seed, self.horizon_ns), self._teller(_name(policy, name), measured, watch)
            )
            if zone_of is None:
                measured.append(event.serve(requests, self._router(policy), prepared))
            else:
                measured.append(static.serve(requests, zone_of, prepared))
        return self._ran((policy, name), (view, plan), measured)

    def _router(self, policy: PolicyName) -> LeastLatency | LeastLoaded:
        stale_ns = round(self.scenario.run.router_stale_ms * MS_NS)
        if policy is PolicyName.LEAST_LOADED:
            return LeastLoaded(stale_ns)
        rows = len(self.rates) * self.groups
        return LeastLatency(np.full(rows, round(self.demand.mean_ns), dtype=np.int64), stale_ns)

    def _teller(self, row: str, measured: list[Measured], watch: Watch) -> Callable[[int, int], None]:
        total, each = self.scenario.run.requests, self.scenario.run.requests // self.scenario.run.replications

        def tell(done: int, at_ns: int) -> None:
            p99 = float(measured[-1].latency_percentiles_ns([99])[0]) / MS_NS if measured else None
            so_far = len(measured) * each + done
            seconds = (len(measured) * self.horizon_ns + at_ns) / SECOND_NS
            watch(Progress(row, min(so_far, total), total, seconds, p99))

        return tell

    def _ran(self, key: tuple[PolicyName, ViewName], made: tuple[View, Plan], measured: list[Measured]) -> _Ran:
        policy, name = key
        view, plan = made
        confidence = self.scenario.run.confidence_percent
        points = (len(measured), len(self.rates), self.groups)
        served = np.array([one.user_served for one in measured]).reshape(points).sum(axis=2)
        sums_ns = np.array([one.user_sum_ns for one in measured]).reshape(points).sum(axis=2)
        bound_ns = round(self.scenario.app.latency.response_ms_max * MS_NS)
        percentiles = np.array([one.latency_percentiles_ns([50, 95, 99, 99.9]) for one in measured]) / MS_NS
        counts = np.sum([one.latency_counts.sum(axis=0) for one in measured], axis=0)
        lost = [int((one.failed + one.unlawful + one.unreachable).sum()) for one in measured]
        got = [int(one.served.sum()) for one in measured]
        means = [one.mean_latency_ns() / MS_NS for one in measured]
        waits = [_ratio(one.wait_sum_ns.sum(), one.wait_counts.sum()) / MS_NS for one in measured]
        missed = [_missed(one, bound_ns, n, gone) for one, n, gone in zip(measured, got, lost, strict=True)]
        cost, power, carbon = running(self.world, plan, self.stations.devices)
        row = Row(
            policy=policy.value,
            view=name.value,
            engine="event" if plan.is_routed else "static",
            requests=sum(got) + sum(lost),
            mean_ms=Interval.of(means, confidence),
            p50_ms=Interval.of(percentiles[:, 0].tolist(), confidence),
            p95_ms=Interval.of(percentiles[:, 1].tolist(), confidence),
            p99_ms=Interval.of(percentiles[:, 2].tolist(), confidence),
            p999_ms=Interval.of(percentiles[:, 3].tolist(), confidence),
            miss_share=Interval.of(missed, confidence),
            wait_ms=Interval.of(waits, confidence),
            unserved_share=_ratio(sum(lost), sum(got) + sum(lost)),
            cost_eur_per_hour=cost,
            power_kw=power,
            carbon_g_per_hour=carbon,
            unstable=self._unstable(measured),
            message=plan.message,
            predicted_ms=dict(plan.predicted_ms) if plan.predicted_ms else None,
            zones=self._zones(plan, measured),
            points=self._points(view, plan, (served, sums_ns)),
            cdf_ms=tuple((percentiles_ns(counts, CDF_PERCENTS) / MS_NS).round(4).tolist()) if counts.any() else (),
        )
        return _Ran(row, served, sums_ns)

    def _unstable(self, measured: list[Measured]) -> tuple[str, ...]:
        bad = np.array([[label is Stability.UNSTABLE for label in one.stability] for one in measured]).any(axis=0)
        return tuple(str(self.world.zones[at].id) for at in np.flatnonzero(bad).tolist())

    def _zones(self, plan: Plan, measured: list[Measured]) -> tuple[ZoneResult, ...]:
        joined = np.sum([one.joined for one in measured], axis=0)
        waits = np.sum([one.wait_sum_ns for one in measured], axis=0)
        counted = np.sum([one.wait_counts.sum(axis=1) for one in measured], axis=0)
        use = np.mean([one.utilisation for one in measured], axis=0)
        labels = [{one.stability[at] for one in measured} for at in range(len(self.world.zones))]
        worst = [
            next(s for s in (Stability.UNSTABLE, Stability.STABLE, Stability.IDLE) if s in each) for each in labels
        ]
        return tuple(
            ZoneResult(
                zone=str(zone.id),
                replicas=int(plan.replicas[at]),
                servers=int(plan.replicas[at]) * self.stations.concurrency,
                request_share=_ratio(joined[at], joined.sum()) if joined.sum() else 0.0,
                utilisation=float(use[at]),
                wait_ms=_known(_ratio(waits[at], counted[at]) / MS_NS),
                stability=worst[at].value,
            )
            for at, zone in enumerate(self.world.zones)
        )

    def _points(
        self, view: View, plan: Plan, felt: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> tuple[PointResult, ...]:  # fmt: skip
        served, sums_ns = (one.sum(axis=0) for one in felt)
        return tuple(
            PointResult(
                access_point=user.access_point,
                requests_per_s=user.millirps / 1_000,
                zone=self._main_zone(plan, at),
                mean_ms=_known(_ratio(sums_ns[at], served[at]) / MS_NS),
                why_not=view.why_not.get(at, "") or _not_planned(view, plan, at),
            )
            for at, user in enumerate(self.world.users)
        )

    def _main_zone(self, plan: Plan, at: int) -> str:
        if plan.share is None or not plan.share[at].any():
            return ""
        return str(self.world.zones[int(plan.share[at].argmax())].id)


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


def running(world: World, plan: Plan, devices: int) -> tuple[float, float, float]:
    """What a plan's replicas cost in EUR an hour, draw in kW under load, and emit in g CO2 equivalent an hour."""
    count = plan.replicas * devices
    price = np.array([zone.inventory.price_millieur_per_hour for zone in world.zones])
    kw = count * np.array([watts_of(zone) for zone in world.zones]) / 1_000
    grams = kw * np.array([carbon_of(zone) for zone in world.zones])
    return float((count * price).sum()) / 1_000, float(kw.sum()), float(grams.sum())


def _name(policy: PolicyName, view: ViewName) -> str:
    return f"{policy.value}{VIEW_WORDS[view.value]}"


def _usable(view: View, plan: Plan) -> NDArray[np.bool_]:
    """Where users may go: a router keeps to zones in time where a user has any, a split goes where it says."""
    able = view.lawful & (plan.replicas > 0)
    if plan.share is not None:
        return able
    timely = able & view.in_time
    return np.where(timely.any(axis=1)[:, None], timely, able)


def _not_planned(view: View, plan: Plan, at: int) -> str:
    if plan.share is None or plan.share[at].any():
        return ""
    return (
        "no lawful zone within the bound on round trips"
        if not view.in_time[at].any()
        else plan.message or "not planned"
    )


def _watched(requests: Iterable[Block], tell: Callable[[int, int], None]) -> Iterator[Block]:
    done = 0
    for block in requests:
        yield block
        done += len(block)
        tell(done, int(block.at_ns[-1]))


def _missed(one: Measured, bound_ns: int, served: int, lost: int) -> float:
    in_time = share_at_most(one.latency_counts.sum(axis=0), bound_ns) * served if served else 0.0
    return _ratio(served - in_time + lost, served + lost)


def _compared(stage: _Stage, one: _Ran, base: _Ran, optimum: _Ran | None) -> Row:
    differs = None if one is base else _difference(stage, one, base)
    regret = None if optimum is None or one is optimum else _difference(stage, one, optimum)
    return replace(one.row, differs_ms=differs, regret_ms=regret)


def _means(one: _Ran, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    served = one.served[:, which].sum(axis=1)
    return np.asarray(
        np.divide(one.sums_ns[:, which].sum(axis=1) / MS_NS, served, where=served > 0, out=np.full(len(served), np.nan))
    )


def _both(one: _Ran, other: _Ran) -> NDArray[np.bool_]:
    """Access points that both serve, in every replication or nowhere near it."""
    return np.asarray((one.served.sum(axis=0) > 0) & (other.served.sum(axis=0) > 0))


def _difference(stage: _Stage, one: _Ran, other: _Ran) -> Interval:
    """The mean of one less that of the other, paired by replication, over users that both serve."""
    if not (one.row.is_sound and other.row.is_sound):
        return Interval(None, None)
    which = _both(one, other)
    return Interval.of((_means(one, which) - _means(other, which)).tolist(), stage.scenario.run.confidence_percent)


def _price(stage: _Stage, what: str, one: _Ran, against: _Ran) -> Price:
    differs = _difference(stage, one, against)
    which = _both(one, against)
    mean = float(_means(against, which).mean()) if which.any() else float("nan")
    percent = None if differs.mean is None or isnan(mean) else 100 * differs.mean / mean
    unserved = one.row.unserved_share - against.row.unserved_share
    return Price(what, one.row.name, against.row.name, differs, percent, unserved)


def _demand(scenario: Scenario, mean_ns: float) -> Demand:
    service = scenario.app.service
    if service.distribution == "fixed":
        return Deterministic(mean_ns)
    if service.distribution == "exponential":
        return Exponential(mean_ns)
    return (Lognormal if service.distribution == "lognormal" else Gamma)(mean_ns, service.scv)


def _ratio(amount: float, count: float) -> float:
    return float(amount) / float(count) if count else float("nan")


def _known(value: float) -> float | None:
    return None if isnan(value) else value

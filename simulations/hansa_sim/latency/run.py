"""Runs a scenario: each policy on the same requests, in independent replications, by the static or the event engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hansa_sim.engines import event, static
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import SECOND_NS, Block, Paths, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, LeastLoaded
from hansa_sim.latency.map_ground import map_of
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.results import VIEW_WORDS, AppRows, Interval, Price, Results, Row
from hansa_sim.latency.rows import MS_NS, Part, Played, Ran, ran, total
from hansa_sim.latency.scenario_file import as_document
from hansa_sim.latency.scenario_schema import PolicyName, Scenario
from hansa_sim.latency.sharing import plans_of
from hansa_sim.latency.traffic import Traffic, grouped, traffic_of
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World

Key = tuple[PolicyName, ViewName]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the row, its requests so far and in all, simulated seconds, p99 of the last replication."""

    row: str
    done: int
    total: int
    simulated_s: float
    p99_ms: float | None


Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A policy in a view: the row of all apps together, and that of each app."""

    whole: Ran
    apps: tuple[Ran, ...]


def run_scenario(world: World, watch: Watch = lambda _: None) -> Results:
    """Everything that the scenario asks for, row by row; ``watch`` hears how far it is."""
    scenario = world.loaded.scenario
    traffics = [traffic_of(part) for part in world.parts]
    views: dict[ViewName, list[View]] = {}
    outcomes: dict[Key, Outcome] = {}
    for key in wanted_rows(scenario):
        if key[1] not in views:
            views[key[1]] = [view_of(part, key[1]) for part in world.parts]
        outcomes[key] = _outcome(world.parts, traffics, _play(world, traffics, (key[0], views[key[1]]), watch))
    base, percent = base_policy(scenario), scenario.run.confidence_percent
    found = {key: one.whole for key, one in outcomes.items()}
    apps = [{key: one.apps[at] for key, one in outcomes.items()} for at in range(len(world.parts))]
    return Results(
        scenario=as_document(scenario),
        seed=scenario.run.seed,
        simulated_s=traffics[0].horizon_ns / SECOND_NS * scenario.run.replications,
        base=base.value,
        rows=_all_compared(found, base, percent),
        prices=tuple(_prices(found, base, percent)),
        map=map_of(world, [one[base, ViewName.TOGETHER].row for one in apps]),
        apps=tuple(
            AppRows(app.name, app.latency.response_ms_max, _all_compared(mine, base, percent))
            for app, mine in zip(scenario.apps, apps, strict=True)
        )
        if len(apps) > 1
        else (),
    )


def _outcome(worlds: Sequence[World], traffics: Sequence[Traffic], played: Sequence[Played]) -> Outcome:
    parts = [Part(*one) for one in zip(worlds, traffics, played, strict=True)]
    apps = tuple(ran(part.world, part.traffic, part.played) for part in parts)
    return Outcome(total(parts, apps), apps)


def base_policy(scenario: Scenario) -> PolicyName:
    """The policy that others are compared with: as the scenario says, else hansa, else the first."""
    if scenario.compare.policy is not None:
        return scenario.compare.policy
    return PolicyName.HANSA if PolicyName.HANSA in scenario.policies else scenario.policies[0]


def wanted_rows(scenario: Scenario) -> list[Key]:
    """The rows of the table, in their order."""
    base = base_policy(scenario)
    rows = [(policy, ViewName.TOGETHER) for policy in scenario.policies]
    rows += [(base, ViewName.TOGETHER)] if base not in scenario.policies else []
    rows += [(base, ViewName.LAWLESS)] if scenario.compare.law else []
    return rows + ([(base, ViewName.ALONE)] if scenario.compare.federation else [])


def _play(
    world: World, traffics: Sequence[Traffic], what: tuple[PolicyName, Sequence[View]], watch: Watch
) -> list[Played]:
    """All replications of a policy in a view, by app: apps have replicas of their own, so that none waits for another
    once it is known which replicas there are."""
    policy, views = what
    plans, run = plans_of(world.parts, views, policy), world.loaded.scenario.run
    name = f"{policy.value}{VIEW_WORDS[views[0].name.value]}"
    so_far = SoFar(name, run.requests, run.replications, watch)
    played = []
    for traffic, view, plan in zip(traffics, views, plans, strict=True):
        serve = _server(policy, traffic, (view, plan), run.router_stale_ms)
        measured = [so_far.end(serve(so_far.watched(traffic.requests(at)))) for at in range(run.replications)]
        played.append(Played(policy, view, plan, tuple(measured)))
    return played


def _server(
    policy: PolicyName, traffic: Traffic, what: tuple[View, Plan], stale_ms: float
) -> Callable[[Iterable[Block]], Measured]:
    """What serves the requests of an app by a plan."""
    view, plan = what
    zones = Zones.of(np.maximum(plan.replicas * traffic.stations.concurrency, 1), traffic.speed_permille)
    prepared = Run.of(traffic.classes, _paths(view, plan, traffic.groups), zones, traffic.window)
    if plan.share is None:
        router = _router(policy, traffic, stale_ms)
        return lambda requests: event.serve(requests, router, prepared)
    zone_of = grouped(plan.share, traffic.groups)
    return lambda requests: static.serve(requests, zone_of, prepared)


def _router(policy: PolicyName, traffic: Traffic, stale_ms: float) -> LeastLatency | LeastLoaded:
    stale_ns = round(stale_ms * MS_NS)
    if policy is PolicyName.LEAST_LOADED:
        return LeastLoaded(stale_ns)
    return LeastLatency(np.full(traffic.rows, round(traffic.demand.mean_ns), dtype=np.int64), stale_ns)


def _paths(view: View, plan: Plan, groups: int) -> Paths:
    """Ways of every group, and where it may go: a router keeps to zones in time where its users have any."""
    usable = view.lawful & (plan.replicas > 0)
    if plan.is_routed:
        timely = usable & view.in_time
        has_any = timely.any(axis=1, keepdims=True)
        usable = (timely & has_any) | (usable & ~has_any)
    there_ns, back_ns = (np.repeat(way, groups, axis=0) for way in (view.there_ns, view.back_ns))
    return Paths(there_ns, back_ns, np.repeat(usable, groups, axis=0))


@dataclass(slots=True)
class SoFar:
    """Tells how far a row is, while requests go by; ``ended`` are the runs that are whole."""

    row: str
    total: int
    replications: int
    watch: Watch
    done: int = 0
    ended: list[Measured] = field(default_factory=list)

    def watched(self, requests: Iterable[Block]) -> Iterator[Block]:
        """The same requests, told of as they are served."""
        for block in requests:
            yield block
            self.done += len(block)
            p99 = float(self.ended[-1].latency_percentiles_ns([99])[0]) / MS_NS if self.ended else None
            seconds = sum(one.window.end_ns for one in self.ended) + int(block.at_ns[-1])
            self.watch(Progress(self.row, min(self.done, self.total), self.total, seconds / SECOND_NS, p99))

    def end(self, measured: Measured) -> Measured:
        """A run is whole."""
        self.ended.append(measured)
        return measured


def _all_compared(found: dict[Key, Ran], base: PolicyName, percent: int) -> tuple[Row, ...]:
    against, optimum = found[base, ViewName.TOGETHER], found.get((PolicyName.OPTIMUM, ViewName.TOGETHER))
    return tuple(_compared(one, against, optimum, percent) for one in found.values())


def _compared(one: Ran, base: Ran, optimum: Ran | None, percent: int) -> Row:
    differs = None if one is base else _difference(one, base, percent)
    regret = None if optimum is None or one is optimum else _difference(one, optimum, percent)
    return replace(one.row, differs_ms=differs, regret_ms=regret)


def _difference(one: Ran, other: Ran, percent: int) -> Interval:
    """The mean of one less that of the other, paired by replication, over users that both serve."""
    if not (one.row.is_sound and other.row.is_sound):
        return Interval(None, None)
    which = one.both(other)
    return Interval.of((one.means_ms(which) - other.means_ms(which)).tolist(), percent)


def _prices(found: dict[Key, Ran], base: PolicyName, percent: int) -> Iterator[Price]:
    together = found[base, ViewName.TOGETHER]
    if (lawless := found.get((base, ViewName.LAWLESS))) is not None:
        yield _price("law", together, lawless, percent)
    if (alone := found.get((base, ViewName.ALONE))) is not None:
        yield _price("not federating", alone, together, percent)


def _price(what: str, one: Ran, against: Ran, percent: int) -> Price:
    differs, which = _difference(one, against, percent), one.both(against)
    mean_ms = float(against.means_ms(which).mean()) if which.any() else 0.0
    share = 100 * differs.mean / mean_ms if differs.mean is not None and mean_ms > 0 else None
    unserved = one.row.unserved_share - against.row.unserved_share
    cost = one.row.cost_eur_per_hour - against.row.cost_eur_per_hour
    return Price(what, one.row.name, against.row.name, differs, share, unserved, cost)

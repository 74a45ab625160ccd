"""Runs a scenario: each policy on the same requests, in independent replications, by the static or the event engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from hansa_sim.engines import event, static
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import SECOND_NS, Block, Paths, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, LeastLoaded
from hansa_sim.latency.map_ground import map_of
from hansa_sim.latency.policies import Plan, plan_of
from hansa_sim.latency.results import VIEW_WORDS, Interval, Price, Results, Row
from hansa_sim.latency.rows import MS_NS, Played, Ran, ran
from hansa_sim.latency.scenario_file import as_document
from hansa_sim.latency.scenario_schema import PolicyName, Scenario
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


def run_scenario(world: World, watch: Watch = lambda _: None) -> Results:
    """Everything that the scenario asks for, row by row; ``watch`` hears how far it is."""
    scenario, traffic = world.loaded.scenario, traffic_of(world)
    views: dict[ViewName, View] = {}
    found: dict[Key, Ran] = {}
    for key in wanted_rows(scenario):
        policy, name = key
        view = views.setdefault(name, views.get(name) or view_of(world, name))
        found[key] = ran(world, traffic, _play(world, traffic, (policy, view), watch))
    base = base_policy(scenario)
    against, optimum = found[base, ViewName.TOGETHER], found.get((PolicyName.OPTIMUM, ViewName.TOGETHER))
    percent = scenario.run.confidence_percent
    return Results(
        scenario=as_document(scenario),
        seed=scenario.run.seed,
        simulated_s=traffic.horizon_ns / SECOND_NS * scenario.run.replications,
        base=base.value,
        rows=tuple(_compared(one, against, optimum, percent) for one in found.values()),
        prices=tuple(_prices(found, base, percent)),
        map=map_of(world, against.row),
    )


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


def _play(world: World, traffic: Traffic, what: tuple[PolicyName, View], watch: Watch) -> Played:
    """All replications of a policy in a view."""
    policy, view = what
    plan, run = plan_of(world, view, policy), world.loaded.scenario.run
    zones = Zones.of(np.maximum(plan.replicas * traffic.stations.concurrency, 1), traffic.speed_permille)
    prepared = Run.of(traffic.classes, _paths(view, plan, traffic.groups), zones, traffic.window)
    zone_of = None if plan.share is None else grouped(plan.share, traffic.groups)
    measured: list[Measured] = []
    tell = _teller(f"{policy.value}{VIEW_WORDS[view.name.value]}", (run.requests, run.replications), measured, watch)
    for number in range(run.replications):
        requests = _watched(traffic.requests(number), tell)
        if zone_of is None:
            measured.append(event.serve(requests, _router(policy, traffic, run.router_stale_ms), prepared))
        else:
            measured.append(static.serve(requests, zone_of, prepared))
    return Played(policy, view, plan, tuple(measured))


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


def _watched(requests: Iterable[Block], tell: Callable[[int, int], None]) -> Iterator[Block]:
    done = 0
    for block in requests:
        yield block
        done += len(block)
        tell(done, int(block.at_ns[-1]))


def _teller(row: str, size: tuple[int, int], measured: list[Measured], watch: Watch) -> Callable[[int, int], None]:
    total, replications = size

    def tell(done: int, at_ns: int) -> None:
        p99 = float(measured[-1].latency_percentiles_ns([99])[0]) / MS_NS if measured else None
        so_far = len(measured) * total // replications + done
        seconds = sum(one.window.end_ns for one in measured) + at_ns
        watch(Progress(row, min(so_far, total), total, seconds / SECOND_NS, p99))

    return tell


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

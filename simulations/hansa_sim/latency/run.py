"""Runs a scenario: plans its rows, plays them, and compares what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hansa_sim.engines.model import SECOND_NS
from hansa_sim.latency.map_ground import map_of
from hansa_sim.latency.policies import plan_of
from hansa_sim.latency.replications import Contender, Watch, replicate, warmed_up
from hansa_sim.latency.results import Interval, Price, Results, Row
from hansa_sim.latency.rows import Played, Ran, ran
from hansa_sim.latency.scenario_file import as_document
from hansa_sim.latency.scenario_schema import PolicyName, Scenario
from hansa_sim.latency.stopping import StoppingRule
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World

Key = tuple[PolicyName, ViewName]


def run_scenario(world: World, watch: Watch = lambda _: None) -> Results:
    """Everything that the scenario asks for, row by row; ``watch`` hears how far it is."""
    scenario = world.loaded.scenario
    planned, base = _planned(world), base_policy(scenario)
    rows = list(planned.values())
    traffic, is_short = warmed_up(traffic_of(world), scenario.run, rows, watch)
    rule = StoppingRule(scenario.run, planned[base, ViewName.TOGETHER].name, traffic.groups)
    effort = replicate(traffic, rows, rule, watch)
    found = {
        key: ran(world, traffic, Played(row.policy, row.view, row.plan, tuple(row.measured)))
        for key, row in planned.items()
    }
    against, optimum = found[base, ViewName.TOGETHER], found.get((PolicyName.OPTIMUM, ViewName.TOGETHER))
    percent = scenario.run.confidence_percent
    return Results(
        scenario=as_document(scenario),
        seed=scenario.run.seed,
        simulated_s=traffic.horizon_ns / SECOND_NS * effort.replications,
        base=base.value,
        rows=tuple(_compared(one, against, optimum, percent) for one in found.values()),
        prices=tuple(_prices(found, base, percent)),
        map=map_of(world, against.row),
        effort=replace(effort, warm_up_is_short=is_short),
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


def _planned(world: World) -> dict[Key, Contender]:
    """The rows of the table, planned and not yet played."""
    views: dict[ViewName, View] = {}
    rows: dict[Key, Contender] = {}
    for policy, name in wanted_rows(world.loaded.scenario):
        view = views.setdefault(name, views.get(name) or view_of(world, name))
        rows[policy, name] = Contender(policy, view, plan_of(world, view, policy), [])
    return rows


def _compared(one: Ran, base: Ran, optimum: Ran | None, percent: int) -> Row:
    differs = None if one is base else _difference(one, base, percent)
    regret = None if optimum is None or one is optimum else _difference(one, optimum, percent)
    return replace(one.row, differs_ms=differs, regret_ms=regret)


def _difference(one: Ran, other: Ran, percent: int) -> Interval:
    """The mean of one less that of the other, paired by replication, over users that both serve."""
    if not (one.row.is_sound and other.row.is_sound):
        return Interval(None, None)
    return Interval.of(one.differences_ms(other).tolist(), percent)


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

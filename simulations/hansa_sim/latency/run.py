"""Runs a scenario: plans its rows, plays them, and compares what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hansa_sim.engines.model import SECOND_NS
from hansa_sim.latency.fault_course import FaultCourse, Faulted
from hansa_sim.latency.faults_felt import events_of
from hansa_sim.latency.map_ground import map_of
from hansa_sim.latency.replications import Contender, Contest, Watch, replicate, warmed_up
from hansa_sim.latency.results import AppRows, Interval, Price, Results, Row
from hansa_sim.latency.rows import Part, Played, Ran, ran, total
from hansa_sim.latency.scenario_file import Loaded, as_document
from hansa_sim.latency.scenario_schema import PolicyName, Scenario
from hansa_sim.latency.sharing import plans_of
from hansa_sim.latency.stopping import StoppingRule
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World, inhabited_world

Key = tuple[PolicyName, ViewName]


def runnable_world(loaded: Loaded) -> World:
    """The world of a scenario that can be run; ScenarioError where it cannot be had, or says too little."""
    world = inhabited_world(loaded)
    if loaded.scenario.faults and any(app.service.tokens for app in loaded.scenario.apps):
        raise loaded.problem("faults", "apps that serve tokens are not simulated under faults")
    return world


def run_scenario(world: World, watch: Watch = lambda _: None) -> Results:
    """Everything that the scenario asks for, row by row; ``watch`` hears how far it is."""
    scenario = world.loaded.scenario
    contests, is_short = warmed_up(_contests(world), scenario.run, watch)
    effort = replicate(contests, StoppingRule(scenario.run), watch)
    outcomes = {key: _outcome(world, contests, at) for at, key in enumerate(wanted_rows(scenario))}
    found = {key: one.whole for key, one in outcomes.items()}
    base, percent = base_policy(scenario), scenario.run.confidence_percent
    return Results(
        scenario=as_document(scenario),
        seed=scenario.run.seed,
        simulated_s=contests[0].traffic.horizon_ns / SECOND_NS * effort.replications,
        base=base.value,
        rows=_all_compared(found, base, percent),
        prices=tuple(_prices(found, base, percent)),
        map=map_of(world, [one.row for one in outcomes[base, ViewName.TOGETHER].apps]),
        effort=replace(effort, warm_up_is_short=is_short),
        apps=tuple(_app_rows(scenario, outcomes)),
        events=() if (faulted := contests[0].base.faulted) is None else events_of(faulted),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A policy in a view: the row of all apps together, and that of each app."""

    whole: Ran
    apps: tuple[Ran, ...]


def _outcome(world: World, contests: Sequence[Contest], at: int) -> Outcome:
    """Of the row at a place in the table."""
    parts = []
    for part, contest in zip(world.parts, contests, strict=True):
        row = contest.rows[at]
        played = Played(row.policy, row.view, row.plan, tuple(row.measured), row.over_time, row.faulted)
        parts.append(Part(part, contest.traffic, played))
    apps = tuple(ran(part.world, part.traffic, part.played) for part in parts)
    return Outcome(total(parts, apps), apps)


def _app_rows(scenario: Scenario, outcomes: dict[Key, Outcome]) -> Iterator[AppRows]:
    """The rows of each app, where there are several."""
    for at, app in enumerate(scenario.apps if len(scenario.apps) > 1 else ()):
        mine = {key: one.apps[at] for key, one in outcomes.items()}
        rows = _all_compared(mine, base_policy(scenario), scenario.run.confidence_percent)
        yield AppRows(app.name, app.latency.response_ms_max, rows)


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
    rows += [(base, ViewName.ALONE)] if scenario.compare.federation else []
    rows += [(base, ViewName.UNHARMED)] if scenario.compare.faults and scenario.faults else []
    has_notice = any(fault.notice_s for fault in scenario.faults)
    return rows + ([(base, ViewName.SUDDEN)] if scenario.compare.notice and has_notice else [])


def _contests(world: World) -> list[Contest]:
    """Each app with the rows of the table, planned and not yet played."""
    views: dict[ViewName, list[View]] = {}
    rows: list[list[Contender]] = [[] for _ in world.parts]
    names = [part.loaded.scenario.app.name if len(world.parts) > 1 else "" for part in world.parts]
    wanted, traffics = wanted_rows(world.loaded.scenario), [traffic_of(part) for part in world.parts]
    course = FaultCourse(world) if world.loaded.scenario.faults else None
    for policy, name in wanted:
        views[name] = views.get(name) or [view_of(part, name) for part in world.parts]
        plans = plans_of(world.parts, views[name], policy)
        for at, (view, plan) in enumerate(zip(views[name], plans, strict=True)):
            faulted = None
            if course is not None and name is not ViewName.UNHARMED:
                faulted = Faulted(course, traffics[at], policy, name, at, plans)
            rows[at].append(Contender(policy, view, plan, [], names[at], faulted))
    base = wanted.index((base_policy(world.loaded.scenario), ViewName.TOGETHER))
    return [Contest(traffic, tuple(mine), mine[base]) for traffic, mine in zip(traffics, rows, strict=True)]


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
    return Interval.of(one.differences_ms(other).tolist(), percent)


def _prices(found: dict[Key, Ran], base: PolicyName, percent: int) -> Iterator[Price]:
    together = found[base, ViewName.TOGETHER]
    if (lawless := found.get((base, ViewName.LAWLESS))) is not None:
        yield _price("law", together, lawless, percent)
    if (alone := found.get((base, ViewName.ALONE))) is not None:
        yield _price("not federating", alone, together, percent)
    if (unharmed := found.get((base, ViewName.UNHARMED))) is not None:
        yield _price("faults", together, unharmed, percent)
    if (sudden := found.get((base, ViewName.SUDDEN))) is not None:
        yield _price("no notice", sudden, together, percent)


def _price(what: str, one: Ran, against: Ran, percent: int) -> Price:
    differs, mean_ms = _difference(one, against, percent), against.mean_beside_ms(one)
    share = 100 * differs.mean / mean_ms if differs.mean is not None and mean_ms > 0 else None
    unserved = one.row.unserved_share - against.row.unserved_share
    cost = one.row.cost_eur_per_hour - against.row.cost_eur_per_hour
    return Price(what, one.row.name, against.row.name, differs, share, unserved, cost)

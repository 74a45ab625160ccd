"""Many decisions on large living worlds, and how many of their choices break the law. There must be none.

Every choice, every part of a plan and every fallback is judged by the oracle: facts, place, data sources, and the paths
there and back link by link. python tests/oracle/law_breaches.py --decisions 100000 prints the count and the rate.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hansa_control.domain.model import (
    AccessLatency,
    Choice,
    DataClass,
    Plan,
    ResidencyPolicy,
    TransitRule,
    Zone,
    ZoneId,
)
from hansa_control.domain.placement import decide, judge
from hansa_control.domain.snapshot import Snapshot
from living_world import LivingWorld
from oracle_compare import path_breaches
from oracle_law import fact_faults, location_faults
from oracle_paths import ENDLESS, Graph, kbps_of
from oracle_worlds import OPERATORS, Stream, World, large_world, random_policy, random_spec

DECISIONS_A_WORLD = 400
DECISIONS_A_STEP = 20
ROUND = 2_000
EXPLAINED_EVERY = 16
"""Reasons in words cost most of a decision and are the oracle's to check; placing asks for choices and plan alone."""

SIZES = ((50, 200), (100, 300), (200, 500))


@dataclass
class Count:
    """How much was decided (placed: with a choice) and checked, and the breaches in words."""

    worlds: int = 0
    decisions: int = 0
    placed: int = 0
    zones: int = 0
    paths: int = 0
    breaches: list[str] = field(default_factory=list)


class Checker:
    """The law on one world between two changes of it; what was judged of the same immutable values is kept."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._graphs: dict[tuple[TransitRule | None, int, int], Graph] = {}
        self._facts: dict[tuple[ResidencyPolicy, tuple[object, ...], ZoneId], bool] = {}
        self._paths: dict[tuple[int, int], tuple[AccessLatency, Zone]] = {}
        self._ends: dict[tuple[Graph, str, str], bool] = {}
        self.zones = {zone.id: zone for zone in world.zones}

    def breaches(self, choices: tuple[Choice, ...], plan: Plan | None, count: Count) -> Iterator[str]:
        """Every breach of the law in a decision."""
        lawful = {choice.zone for choice in choices}
        for choice in choices:
            count.zones += 1
            yield from self._zone(self.zones[choice.zone])
            yield from self._latencies(self.zones[choice.zone], choice.latencies, count)
        for part in plan.assignments if plan else ():
            yield from self._latencies(self.zones[part.zone], part.latencies, count)
            if not {part.zone, part.fallback} <= lawful | {None}:
                yield f"plan: {part.zone} with fallback {part.fallback} is not among the choices"

    def _zone(self, zone: Zone) -> Iterator[str]:
        policy, sources = self.world.spec.residency, self.world.spec.data_sources
        key = (policy, (self.world.home, *sources), zone.id)
        known = self._facts.get(key)
        if known is None:
            found = fact_faults(self.world.spec, zone, self.world.now_ms) | location_faults(self.world, zone)
            known = self._facts[key] = not found
        if not known:
            yield f"{zone.id} is chosen against its facts"
        rule = policy.transit
        for source in sources if rule is not None else ():
            if rule is not None and source.data in policy.applies_to and not self._leads(rule, source.node, zone):
                yield f"{zone.id} has no lawful path to data source {source.name}"

    def _leads(self, rule: TransitRule, start: str, zone: Zone) -> bool:
        graph, node = self._graph(rule, 0), zone.inventory.node
        key = (graph, start, node)
        if key not in self._ends:
            self._ends[key] = _reaches(graph, start, node) and _reaches(graph, node, start)
        return self._ends[key] and zone.id.operator not in rule.carriers_denied

    def _latencies(self, zone: Zone, latencies: tuple[AccessLatency, ...], count: Count) -> Iterator[str]:
        spec = self.world.spec
        bears = spec.residency.applies_to & {DataClass.INPUT, DataClass.OUTPUT}
        rule = spec.residency.transit if bears else None
        demand = {at.access_point: at for at in spec.access}
        for found in latencies:
            count.paths += 1
            graph = self._graph(rule, kbps_of(spec, demand[found.access_point]))
            if self._paths.get((id(found), id(graph))) is None:
                problems = list(path_breaches(graph, rule, zone, found))
                yield from problems
                if not problems:
                    self._paths[id(found), id(graph)] = (found, zone)

    def _graph(self, rule: TransitRule | None, kbps: int) -> Graph:
        key = (rule, self.world.spec.latency.percentile, kbps)
        if key not in self._graphs:
            self._graphs[key] = Graph(self.world, rule, ["good"], kbps)
        return self._graphs[key]


def _reaches(graph: Graph, start: str, end: str) -> bool:
    if start not in graph.open or end not in graph.open:
        return False
    seen, front = {start}, [start]
    while front and end not in seen:
        front = [to for at in front for to in graph.next[at] if to not in seen and graph.way[at, to] < ENDLESS]
        seen.update(front)
    return end in seen


def count_breaches(decisions: int, seed: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> Count:
    """Decides so often on worlds of these sizes (zones, nodes), which change every few decisions."""
    count = Count()
    while count.decisions < decisions:
        number = seed * 1_000_003 + count.worlds
        chance = Stream(number)
        living = LivingWorld(large_world(number, *sizes[count.worlds % len(sizes)]), chance)
        count.worlds += 1
        policies = [random_policy(chance, is_mild=True) for _ in range(24)]
        entries = [node for node in living.world.nodes if node.access_point][::11]
        checker = Checker(living.world)
        for turn in range(min(DECISIONS_A_WORLD, decisions - count.decisions)):
            if turn and turn % DECISIONS_A_STEP == 0:
                living.step()
                checker = Checker(living.world)
            spec = replace(random_spec(chance, entries, is_mild=True), residency=chance.pick(policies))
            asked = replace(living.world, spec=spec, home=chance.pick(OPERATORS))
            checker.world = asked
            made = _decided(asked, living.snapshot, is_explained=turn % EXPLAINED_EVERY == 0)
            count.decisions += 1
            count.placed += bool(made[0])
            count.breaches += [f"{asked.note}, turn {turn}: {words}" for words in checker.breaches(*made, count)]
    return count


def _decided(world: World, snapshot: Snapshot, *, is_explained: bool) -> tuple[tuple[Choice, ...], Plan | None]:
    if is_explained:
        decision = decide(world.request(), snapshot, world.now_ms)
        return decision.choices, decision.plan
    judgement = judge(world.request(), snapshot, world.now_ms)
    return judgement.choices(len(snapshot.zones)), judgement.plan


def main() -> int:
    """0 if no law was broken, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began, total, turn = time.perf_counter(), Count(), 0
    while total.decisions < options.decisions:
        count = count_breaches(min(ROUND, options.decisions - total.decisions), options.seed * 1_000 + turn)
        for name in ("worlds", "decisions", "placed", "zones", "paths", "breaches"):
            setattr(total, name, getattr(total, name) + getattr(count, name))
        turn += 1
        print(_told(total, time.perf_counter() - began), flush=True)
        print(*count.breaches[:20], sep="\n", end="")
    return 1 if total.breaches else 0


def _told(count: Count, seconds: float) -> str:
    return (
        f"{count.decisions} decisions on {count.worlds} worlds ({count.placed} with a choice), {count.zones} zones and "
        f"{count.paths} paths checked, {len(count.breaches)} breaches; {count.decisions / seconds:.0f} decisions/s"
    )


if __name__ == "__main__":
    sys.exit(main())

"""Holds a decision of the engine against what the documents say, and makes a disagreement small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import isclose
from typing import Any, NamedTuple

from hansa_control.domain.model import AccessLatency, Choice, Decision, TransitRule, Zone, ZoneId
from hansa_control.domain.placement import decide
from oracle_law import Fault
from oracle_passed import PLACE, holding
from oracle_paths import ATTACHED_US, ENDLESS, Graph, Paths, kbps_of, up
from oracle_worlds import World
from oracle_zones import Verdict, expected

CLOSE = 1e-7


class Answers(NamedTuple):
    """What the oracle says of a world. The paths that were looked for are kept, so that asking again costs little."""

    verdicts: dict[ZoneId, Verdict]
    paths: Paths


def answers(world: World) -> Answers:
    """The oracle's verdicts on the zones that take part."""
    verdicts = expected(world)
    return Answers({zone: verdict for zone, verdict in verdicts.items() if zone not in world.exclude}, Paths(world))


def disagreements(world: World) -> list[str]:
    """Everything in which the engine's decision differs from the oracle's, in words."""
    return differences(world, decide(world.request(), world.snapshot(), world.now_ms), answers(world))


def differences(world: World, decision: Decision, known: Answers) -> list[str]:
    """Everything in which a decision differs from what is known to be right."""
    return [
        *_faults(decision, known.verdicts),
        *_choices(world, decision, known),
        *_order(decision, known.verdicts),
        *_plan(world, decision, known),
    ]


def _faults(decision: Decision, verdicts: dict[ZoneId, Verdict]) -> Iterator[str]:
    found: dict[ZoneId, set[Fault]] = {}
    for rejection in decision.rejections:
        found.setdefault(rejection.zone, set()).add((rejection.result.constraint, rejection.reason))
    for zone, verdict in verdicts.items():
        told = found.pop(zone, set())
        if told != verdict.faults:
            missing = sorted(f"{x}: {y.value}" for x, y in verdict.faults - told)
            too_many = sorted(f"{x}: {y.value}" for x, y in told - verdict.faults)
            yield f"{zone}: the engine does not say {missing}, and says {too_many}"
    if found:
        yield f"rejections of zones that do not take part: {sorted(map(str, found))}"
    if decision.zones_evaluated != len(verdicts):
        yield f"{decision.zones_evaluated} zones evaluated, not {len(verdicts)}"


def _choices(world: World, decision: Decision, known: Answers) -> Iterator[str]:
    verdicts, paths = known
    feasible = {zone for zone, verdict in verdicts.items() if not verdict.faults}
    if {choice.zone for choice in decision.choices} != feasible or len(decision.choices) != len(feasible):
        yield f"chosen {sorted(str(x.zone) for x in decision.choices)}, feasible {sorted(map(str, feasible))}"
        return
    zones = {zone.id: zone for zone in reversed(world.zones)}
    for choice in decision.choices:
        verdict = verdicts[choice.zone]
        if choice.pool != verdict.pool:
            yield f"{choice.zone}: pool {choice.pool!r}, not {verdict.pool!r}"
        told = {term.name: term.value for term in choice.terms}
        if told.keys() != verdict.terms.keys():
            yield f"{choice.zone}: terms {sorted(told)}, not {sorted(verdict.terms)}"
        for name, value in verdict.terms.items():
            if not isclose(told.get(name, 0.0), value, abs_tol=CLOSE, rel_tol=1e-9):
                yield f"{choice.zone}: term {name} is {told.get(name)}, not {value}"
        if not isclose(choice.score, verdict.score, abs_tol=CLOSE, rel_tol=1e-9):
            yield f"{choice.zone}: score {choice.score}, not {verdict.score}"
        told_to_hold = Counter(x.constraint for x in choice.passed if x.constraint != PLACE)
        if told_to_hold != holding(world, zones[choice.zone], paths):
            yield f"{choice.zone}: passed {told_to_hold}, not {holding(world, zones[choice.zone], paths)}"
        yield from _latencies(world, paths, zones[choice.zone], choice)


def _latencies(world: World, paths: Paths, zone: Zone, choice: Choice) -> Iterator[str]:
    told = {found.access_point: found for found in choice.latencies}
    for at in world.spec.access:
        rtt_us, found = paths.rtt_us(at, zone), told.pop(at.access_point, None)
        if (found is None) != (rtt_us is None):
            yield f"{choice.zone} from {at.access_point}: {found}, not {rtt_us}"
        elif found is not None and rtt_us is not None:
            if found.rtt_us != rtt_us:
                yield f"{choice.zone} from {at.access_point}: {found.rtt_us} us, not {rtt_us}"
            graph = paths.graph(paths.user_rule, "lawful", kbps_of(world.spec, at))
            yield from path_breaches(graph, paths.user_rule, zone, found)
    if told:
        yield f"{choice.zone}: paths from {sorted(told)}, which nobody asked for"


def path_breaches(graph: Graph, rule: TransitRule | None, zone: Zone, found: AccessLatency) -> Iterator[str]:
    """What is wrong with a reported path on the graph of what is lawful: ends, steps that are not lawful, and a cost
    that is not that of its steps.
    """
    there, back = found.path, found.return_path or found.path[::-1]
    ends, name = (found.access_point, zone.inventory.node), f"{zone.id} from {found.access_point}"
    if (there[0], there[-1]) != ends or (back[-1], back[0]) != ends:
        yield f"{name}: the path {there} and back {back} has other ends"
    cost = graph.cost(there) + graph.cost(back)
    if cost >= ENDLESS:
        yield f"{name}: the path {there} and back {back} is not lawful"
    total = up(cost, 1_000) + ATTACHED_US[graph.percentile]
    if total > found.rtt_us or (total != found.rtt_us and "measured" not in found.bases):
        yield f"{name}: the path {there} and back {back} takes {total} us, not {found.rtt_us}"
    countries = {graph.names[node].country for node in (*there, *back)} - {None}
    if not countries <= set(found.countries):
        yield f"{name}: countries {found.countries} lack some of {sorted(map(str, countries))}"
    if rule is not None and (rule.countries.refused(found.countries) or zone.id.operator in rule.carriers_denied):
        yield f"{name}: crosses {found.countries} and is attached by {zone.id.operator}"


def _order(decision: Decision, verdicts: dict[ZoneId, Verdict]) -> Iterator[str]:
    for first, second in zip(decision.choices, decision.choices[1:], strict=False):
        ahead = verdicts[first.zone].score - verdicts[second.zone].score
        if ahead < -CLOSE or (first.score == second.score and first.zone > second.zone):
            yield f"{first.zone} comes before {second.zone}"
    if len(decision.choices) > 1:
        margin = decision.choices[0].score - decision.choices[1].score
        if not isclose(decision.margin, margin, abs_tol=CLOSE):
            yield f"margin {decision.margin}, not {margin}"


def _plan(world: World, decision: Decision, known: Answers) -> Iterator[str]:
    (verdicts, paths), plan, spec = known, decision.plan, world.spec
    if plan is None:
        if decision.choices and spec.zones.maximum == 1:
            yield "no plan for one zone, although there is a choice"
        return
    zones = {zone.id: zone for zone in reversed(world.zones)}
    used = [part.zone for part in plan.assignments]
    for part in plan.assignments:
        others = [part.zone] if part.fallback is None else [part.zone, part.fallback]
        if any(zone not in verdicts or verdicts[zone].faults for zone in others) or part.fallback in used:
            yield f"plan: {part.zone} with fallback {part.fallback} is not lawful"
        if spec.zones.maximum == 1 and part.replicas != verdicts[part.zone].replicas:
            yield f"plan: {part.replicas} replicas, not {verdicts[part.zone].replicas}"
        yield from _room(world, zones[part.zone], part.replicas, part.pool)
    if spec.zones.maximum == 1 and used != [decision.choices[0].zone]:
        yield f"plan: {used} is not the first choice"
    for n, at in enumerate(spec.access):
        shares = {part.zone: part.share_permille[n] for part in plan.assignments}
        if sum(shares.values()) != 1_000 or min(shares.values()) < 0:
            yield f"plan: shares of {at.access_point} are {shares}"
        for zone, share in shares.items():
            rtt_us = paths.rtt_us(at, zones[zone])
            if share and (rtt_us is None or rtt_us > spec.latency.rtt_us_max):
                yield f"plan: {at.access_point} is served by {zone} in {rtt_us} us"
    devices = spec.accelerator.count if spec.accelerator else 1
    price = sum(zones[x.zone].inventory.price_millieur_per_hour * devices * x.replicas for x in plan.assignments)
    if price != plan.price_millieur_per_hour or 0 < spec.price_millieur_per_hour_max < price:
        yield f"plan: price {plan.price_millieur_per_hour}, not {price}"
    total = sum(part.replicas for part in plan.assignments)
    if not spec.replicas <= total <= max(spec.replicas, spec.replicas_max):
        yield f"plan: {total} replicas"
    if not spec.zones.minimum <= len(used) <= spec.zones.maximum or len(set(used)) < len(used):
        yield f"plan: zones {used}"


def _room(world: World, zone: Zone, replicas: int, pool: str) -> Iterator[str]:
    spec, free = world.spec, zone.free
    need = spec.accelerator.count * replicas if spec.accelerator else 0
    short = (
        spec.cpu_millis * replicas > free.cpu_millis
        or spec.memory_mib * replicas > free.memory_mib
        or (need and need > dict(free.accelerators).get(pool, 0))
    )
    if short:
        yield f"plan: {replicas} replicas do not fit into {zone.id}"


# --- making a disagreement small -------------------------------------------------------------------------------------


def smallest(world: World, is_wrong: Callable[[World], bool]) -> World:
    """The world with everything left out that the disagreement does not need."""
    while True:
        for smaller in _smaller(world):
            try:
                if is_wrong(smaller):
                    world = smaller
                    break
            except (ValueError, KeyError, StopIteration, IndexError, ZeroDivisionError):
                continue
        else:
            return world


def _smaller(world: World) -> Iterator[World]:
    for name in ("zones", "links", "nodes", "probes"):
        items = getattr(world, name)
        if len(items) > (name == "zones"):
            for n in range(len(items)):
                yield replace(world, **{name: items[:n] + items[n + 1 :]})
    for name in ("exclude", "current"):
        if getattr(world, name):
            yield replace(world, **{name: frozenset()})
    for n, zone in enumerate(world.zones):
        for smaller in _without(zone, "facts"):
            yield replace(world, zones=(*world.zones[:n], smaller, *world.zones[n + 1 :]))
        for inventory in _without(zone.inventory, "pools"):
            yield replace(world, zones=(*world.zones[:n], replace(zone, inventory=inventory), *world.zones[n + 1 :]))
    yield from (replace(world, spec=spec) for spec in _smaller_spec(world.spec))


def _smaller_spec(spec: Any) -> Iterator[Any]:
    if len(spec.access) > 1:
        yield from _without(spec, "access")
    yield from _without(spec, "data_sources")
    yield from _without(spec, "spread")
    plain = type(spec)(spec.artefact, None, 0, 0, 1, spec.access, spec.latency, spec.residency)
    for name in ("service", "accelerator", "preferences", "objective", "price_millieur_per_hour_max", "zones"):
        if getattr(spec, name) != getattr(plain, name):
            yield replace(spec, **{name: getattr(plain, name)})
    for name in ("replicas_max", "cpu_millis", "memory_mib"):
        if getattr(spec, name):
            yield replace(spec, **{name: 0})
    if spec.latency.response_us_max:
        yield replace(spec, latency=replace(spec.latency, response_us_max=0))
    policy = spec.residency
    for name in ("site", "legal", "transit", "personnel", "attestation", "certification", "energy"):
        if getattr(policy, name) is not None:
            yield replace(spec, residency=replace(policy, **{name: None}))
    if policy.predicates:
        yield replace(spec, residency=replace(policy, predicates=()))


def _without(value: Any, name: str) -> Iterator[Any]:
    items = getattr(value, name)
    for n in range(len(items)):
        yield replace(value, **{name: items[:n] + items[n + 1 :]})

"""What a policy makes of a replication's faults: what has fallen, what is known of it, who is sent where from when on.

Whatever falls is known ``detect_s`` later, and so is its end; a fault with notice is known that long before. From then
on ways lead around what is known to have fallen, and ``replace_s`` later the policy's plan for that world is in force.
Routers that decide for each request do so by what is known, at once. ``hansa`` keeps its plan where that still fits,
keeps what still stands of it where there is no other, and is asked ``fail_back_s`` later whether to go back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hansa_sim.engines.model import AHEAD_NS_MAX, SECOND_NS, UNREACHABLE, Change, Faults, Outages, Paths, Retries
from hansa_sim.engines.timeline import Spells
from hansa_sim.latency.fault_schedule import Fallen, Fault, causes_of, schedule
from hansa_sim.latency.fault_worlds import FaultWorlds
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.scenario_faults import RecoveryPart
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.sharing import plans_of
from hansa_sim.latency.traffic import Traffic, paths_of, zones_of
from hansa_sim.latency.views import View, ViewName
from hansa_sim.latency.world import World

MS_NS = 1_000_000
COURSES_KEPT = 64
NOTHING = Fallen()
Plans = tuple[Plan, ...]
"""A plan for each app."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """From ``at_ns`` on: what has fallen, what of it is known, and what plans are made for."""

    at_ns: int
    fallen: Fallen = NOTHING
    known: Fallen = NOTHING
    planned: Fallen = NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """From ``at_ns`` on these plans are in force, made for a world without what had fallen."""

    at_ns: int
    planned: Fallen
    plans: Plans


@dataclass(frozen=True, slots=True)
class Spell:
    """A fault with when it is known, and when its end is, ns."""

    fault: Fault
    known_ns: int
    over_ns: int

    @classmethod
    def of(cls, fault: Fault, recovery: RecoveryPart, *, is_sudden: bool) -> Spell:
        detect_ns = round(recovery.detect_s * SECOND_NS)
        known_ns = fault.begin_ns + detect_ns
        if fault.notice_ns and not is_sudden:
            known_ns = max(0, fault.begin_ns - fault.notice_ns)
        return cls(fault, known_ns, min(fault.end_ns + detect_ns, AHEAD_NS_MAX))


def epochs(spells: Iterable[Spell], replace_ns: int) -> Iterator[Epoch]:
    """The times between which nothing falls, is mended, or becomes known; the first is the beginning."""
    turns: list[tuple[int, int, int, int]] = []
    falls: list[Fallen] = []
    for number, spell in enumerate(spells):
        falls.append(spell.fault.falls)
        begins = (spell.fault.begin_ns, spell.known_ns, spell.known_ns + replace_ns)
        ends = (spell.fault.end_ns, spell.over_ns, min(spell.over_ns + replace_ns, AHEAD_NS_MAX))
        for which, (begin_ns, end_ns) in enumerate(zip(begins, ends, strict=True)):
            turns += [(begin_ns, which, number, 1), (end_ns, which, number, 0)]
    turns.sort()
    active: list[set[int]] = [set(), set(), set()]
    at = 0
    yield Epoch(0)
    while at < len(turns) and turns[at][0] < AHEAD_NS_MAX:
        now_ns = turns[at][0]
        while at < len(turns) and turns[at][0] == now_ns:
            _, which, number, begins_now = turns[at]
            (active[which].add if begins_now else active[which].discard)(number)
            at += 1
        yield Epoch(now_ns, *(_union(falls[number] for number in one) for one in active))


def _union(falls: Iterable[Fallen]) -> Fallen:
    whole = NOTHING
    for one in falls:
        whole = whole | one
    return whole


class FaultCourse:
    """The faults of a world, and what policies make of them."""

    def __init__(self, world: World) -> None:
        scenario = world.loaded.scenario
        self.recovery = scenario.recovery
        self._worlds, self._causes = FaultWorlds(world), causes_of(world.loaded, world.ground)
        self.replace_ns = round(self.recovery.replace_s * SECOND_NS)
        self._planned = lru_cache(COURSES_KEPT)(self._plan)
        self._decided = lru_cache(COURSES_KEPT)(self._decide_again)

    def spells(self, traffic: Traffic, number: int, name: ViewName) -> tuple[Spell, ...]:
        """The faults of a replication, as they are known in a view."""
        faults = schedule(self._causes, traffic.seed_of(number), traffic.horizon_ns)
        faults = () if name is ViewName.UNHARMED else faults
        return tuple(Spell.of(one, self.recovery, is_sudden=name is ViewName.SUDDEN) for one in faults)

    def stages(self, policy: PolicyName, name: ViewName, plans: Plans, spells: Sequence[Spell]) -> list[Stage]:
        """The plans of a policy over a replication, from those without a fault on."""
        stages = [Stage(0, NOTHING, plans)]
        fail_back_ns = round(self.recovery.fail_back_s * SECOND_NS)
        asked_ns = AHEAD_NS_MAX
        for epoch in [*epochs(spells, self.replace_ns), Epoch(AHEAD_NS_MAX)]:
            if asked_ns < epoch.at_ns:
                stages.append(self._next(policy, name, stages[-1], (asked_ns, stages[-1].planned)))
                asked_ns = AHEAD_NS_MAX
            if epoch.at_ns == AHEAD_NS_MAX or epoch.planned == stages[-1].planned:
                continue
            kept = policy is PolicyName.HANSA and self._fits(stages[-1].plans, epoch.planned, name)
            if kept:
                stages.append(replace(stages[-1], at_ns=epoch.at_ns, planned=epoch.planned))
            else:
                stages.append(self._next(policy, name, stages[-1], (epoch.at_ns, epoch.planned)))
            moved = any(one is not other for one, other in zip(stages[-1].plans, plans, strict=True))
            asked_ns = epoch.at_ns + fail_back_ns if policy is PolicyName.HANSA and moved else AHEAD_NS_MAX
        return stages

    def faults(self, policy: PolicyName, traffic: Traffic, spells: Sequence[Spell]) -> Faults:
        """What falls and how users retry, without what changes."""
        ids = {str(zone.id): at for at, zone in enumerate(self._worlds.parts(NOTHING)[0].zones)}
        down = [(ids[zone], one.fault) for one in spells for zone in sorted(one.fault.falls.zones)]
        columns = ([zone for zone, _ in down], [one.begin_ns for _, one in down], [one.end_ns for _, one in down])
        is_routed = policy in (PolicyName.LEAST_LOADED, PolicyName.LEAST_LATENCY)
        retries = Retries(
            tries_max=self.recovery.retries + 1,
            backoff_ns=round(self.recovery.backoff_ms * MS_NS),
            # A fixed table knows nothing until it is another one.
            detect_ns=round(self.recovery.detect_s * SECOND_NS) if is_routed else AHEAD_NS_MAX,
            timeout_ns=round(self.recovery.timeout_ms * MS_NS),
        )
        zone, *times = columns
        return Faults(Outages(np.array(zone, np.int32), *(np.array(one, np.int64) for one in times)), retries)

    def changes(
        self, app: int, traffic: Traffic, name: ViewName, spells: Sequence[Spell], stages: Sequence[Stage]
    ) -> Iterator[Change]:
        """What becomes other than before for an app, in the order of time."""
        last, current, left = Epoch(0), stages[0], list(stages[1:])
        moments = {one.at_ns: one for one in epochs(spells, self.replace_ns)}
        for at_ns in sorted({*moments, *(stage.at_ns for stage in left)}):
            now = moments.get(at_ns, replace(last, at_ns=at_ns))
            change = Change(at_ns)
            if now.known != last.known or now.fallen.links != last.fallen.links:
                change = replace(change, ways=self._ways(app, traffic, name, now))
            if current.plans[app].is_routed and now.known != last.known:
                view = self._worlds.views(now.known, name)[app]
                change = replace(change, believed=paths_of(view, current.plans[app], traffic.places))
            while left and left[0].at_ns <= at_ns:
                former, current = current, left.pop(0)
                if not current.plans[app].is_routed and current.plans[app] is not former.plans[app]:
                    change = self._with_table(change, traffic, self._view(current, name, app), current.plans[app])
            last = now
            yield change

    def _view(self, stage: Stage, name: ViewName, app: int) -> View:
        return self._worlds.views(stage.planned, name)[app]

    def _with_table(self, change: Change, traffic: Traffic, view: View, plan: Plan) -> Change:
        return replace(
            change,
            believed=paths_of(view, plan, traffic.places),
            table=zones_of(view, plan, traffic.places),
            servers=np.maximum(plan.replicas * traffic.stations.concurrency, 1),
        )

    def _ways(self, app: int, traffic: Traffic, name: ViewName, epoch: Epoch) -> Paths:
        """The ways that are known, without those that lead over what has fallen since."""
        view = self._worlds.views(epoch.known, name)[app]
        there_ns, back_ns = view.there_ns, view.back_ns
        if not epoch.fallen.links <= epoch.known.links:
            broken = self._worlds.crossings(epoch.known, name)[app].broken(epoch.fallen)
            there_ns, back_ns = (np.where(broken, UNREACHABLE, one) for one in (there_ns, back_ns))
        places = traffic.places
        ways = [np.repeat(one[places.here], places.groups, axis=0) for one in (there_ns, back_ns)]
        return Paths(ways[0], ways[1], np.repeat(view.lawful[places.here], places.groups, axis=0))

    def _next(self, policy: PolicyName, name: ViewName, former: Stage, then: tuple[int, Fallen]) -> Stage:
        at_ns, planned = then
        if former.plans[0].is_routed:
            return Stage(at_ns, planned, former.plans)
        if policy is PolicyName.HANSA:
            return Stage(at_ns, planned, self._decided(name, planned, former.plans))
        found = self._planned(policy, name, planned)
        same = [one if _is_same(one, other) else other for one, other in zip(former.plans, found, strict=True)]
        return Stage(at_ns, planned, tuple(same))

    def _plan(self, policy: PolicyName, name: ViewName, planned: Fallen) -> Plans:
        return plans_of(self._worlds.parts(planned), self._worlds.views(planned, name), policy)

    def _decide_again(self, name: ViewName, planned: Fallen, former: Plans) -> Plans:
        """The decision where the app runs already, from which a move must gain more than it costs."""
        worlds = []
        for world, plan in zip(self._worlds.parts(planned), former, strict=True):
            runs = [zone.id for zone, count in zip(world.zones, plan.replicas.tolist(), strict=True) if count]
            left = frozenset(zone for zone in runs if str(zone) not in planned.zones)
            worlds.append(replace(world, current=left))
        views = self._worlds.views(planned, name)
        found = plans_of(worlds, views, PolicyName.HANSA)
        return tuple(_same_or_new(*one) for one in zip(former, found, views, strict=True))

    def _fits(self, plans: Plans, planned: Fallen, name: ViewName) -> bool:
        """Whether everybody is still served lawfully and in time, and nobody could be who is not."""
        for plan, view in zip(plans, self._worlds.views(planned, name), strict=True):
            if plan.share is None:
                return True
            fitting = view.lawful & view.in_time
            if (plan.share[~fitting] > 0).any() or (fitting.any(axis=1) & ~plan.share.any(axis=1)).any():
                return False
        return True


def _same_or_new(former: Plan, found: Plan, view: View) -> Plan:
    """The former plan where the new one is the same; what still stands of it where there is none."""
    if former.share is None or found.share is None:
        return found
    if not found.share.any():
        left = np.where(view.lawful & view.in_time, former.share, 0.0)
        return replace(former, share=left, replicas=np.where(left.any(axis=0), former.replicas, 0))
    return former if _is_same(former, found) else found


def _is_same(one: Plan, other: Plan) -> bool:
    if one.share is None or other.share is None:
        return one.share is other.share
    return np.array_equal(one.share, other.share) and np.array_equal(one.replicas, other.replicas)


@dataclass(frozen=True, slots=True, eq=False)
class Faulted:
    """A row of the table under faults, for one app: ``plans`` are those of all apps while nothing has fallen."""

    course: FaultCourse
    traffic: Traffic
    policy: PolicyName
    view: ViewName
    app: int
    plans: Plans

    def faults(self, number: int) -> Faults:
        """What the engine is told of a replication."""
        spells = self.course.spells(self.traffic, number, self.view)
        stages = self.course.stages(self.policy, self.view, self.plans, spells)
        changes = self.course.changes(self.app, self.traffic, self.view, spells, stages)
        return replace(self.course.faults(self.policy, self.traffic, spells), changes=changes)

    def stages(self, number: int) -> list[Stage]:
        """The plans of a replication, for all apps."""
        spells = self.course.spells(self.traffic, number, self.view)
        return self.course.stages(self.policy, self.view, self.plans, spells)

    def down(self, number: int) -> Spells:
        """When, in what is measured of a replication, something has fallen, or its place is not taken yet."""
        spells = self.course.spells(self.traffic, number, self.view)
        stretches = ((one.fault.begin_ns, one.over_ns + self.course.replace_ns) for one in spells)
        return Spells.of(stretches, self.traffic.window)

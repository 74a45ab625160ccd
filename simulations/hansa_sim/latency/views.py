"""What users may use and how far it is, as arrays, in three views of a world: under the law, without it, each operator
alone. Law and ways are the production filters' and routing's; nothing of them is written here again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from hansa_control.domain.feasibility import Verdicts, judge_zones
from hansa_control.domain.model import Reason, ResidencyPolicy, WorkloadSpec, ZoneId
from hansa_control.domain.network import ATTACHMENT_RTT
from hansa_control.domain.round_trips import CUT_OFF
from hansa_control.domain.routing import NO_PATH_US, RouteKey, costs_for
from hansa_control.domain.snapshot import Snapshot
from numpy.typing import NDArray

from hansa_sim.latency.world import World

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

US_NS = 1_000
MEDIAN = 50


class ViewName(StrEnum):
    """TOGETHER: all operators federate, under the law. LAWLESS: the same without residency. ALONE: users may use what
    the operator of their access point has, over its own network. UNHARMED: together, and nothing falls. SUDDEN:
    together, and nothing that falls gives notice.
    """

    TOGETHER = "together"
    LAWLESS = "lawless"
    ALONE = "alone"
    UNHARMED = "unharmed"
    SUDDEN = "sudden"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Users (U,) and zones (Z,) in the order of the world. rtt_ns is the median round trip of the lawful way, (U, Z),
    ``CUT_OFF`` without one; lawful says where the law and the app's needs allow a user in a zone; in_time where the
    round trip also keeps the app's bound at its percentile. why_not names, for users with no lawful zone, the reason.
    """

    name: ViewName
    rtt_ns: Ints
    lawful: Flags
    in_time: Flags
    why_not: Mapping[int, str]

    @property
    def there_ns(self) -> Ints:
        """One way; the other takes the rest."""
        return np.where(self.rtt_ns < 0, -1, self.rtt_ns // 2)

    @property
    def back_ns(self) -> Ints:
        """The way back; with the way there it is the whole round trip to the last nanosecond."""
        return np.where(self.rtt_ns < 0, -1, self.rtt_ns - self.rtt_ns // 2)

    @property
    def served(self) -> Flags:
        """(U,): users with at least one lawful zone."""
        return np.asarray(self.lawful.any(axis=1))


def view_of(world: World, name: ViewName) -> View:
    """What users may use in a view."""
    return _alone(world) if name is ViewName.ALONE else _judged(world, world.snapshot, spec_in(world, name), name)


def spec_in(world: World, name: ViewName) -> WorkloadSpec:
    """What is asked for in a view."""
    return replace(world.spec, residency=ResidencyPolicy()) if name is ViewName.LAWLESS else world.spec


def judge(spec: WorkloadSpec, snapshot: Snapshot, now_ms: int) -> Verdicts:
    """What the production filters say of all zones; a spec for one zone is judged as if it could be spread, because
    here each access point chooses for itself.
    """
    spread = replace(spec, zones=replace(spec.zones, maximum=max(spec.zones.maximum, 2)))
    return judge_zones(spread, snapshot, now_ms)


def _judged(world: World, snapshot: Snapshot, spec: WorkloadSpec, name: ViewName) -> View:
    """Zones that any filter but the ones on latency refuses are refused to all; users without a lawful way to a zone
    are refused there."""
    now_ms = world.loaded.now_ms
    bound = judge(spec, snapshot, now_ms)
    median = judge(replace(spec, latency=replace(spec.latency, percentile=MEDIAN)), snapshot, now_ms)
    refused = np.zeros(len(snapshot.zones), dtype=np.bool_)
    for one in bound.filters:
        if one is not bound.reach:
            refused |= one.failing
    rtt_ns = np.where(median.reach.rtt_us == CUT_OFF, CUT_OFF, median.reach.rtt_us * US_NS)
    lawful = (rtt_ns >= 0) & ~refused[None, :]
    in_time = lawful & bound.reach.admissible
    reasons = _reasons(bound, snapshot, np.flatnonzero(~lawful.any(axis=1)).tolist())
    return _in_world(world, snapshot, View(name, rtt_ns, lawful, in_time, reasons))


def _in_world(world: World, snapshot: Snapshot, view: View) -> View:
    """The same with a column for every zone of the world, cut off where the snapshot has it not."""
    if len(snapshot.zones) == len(world.zones):
        return view
    at = {zone.id: n for n, zone in enumerate(world.zones)}
    columns = [at[zone.id] for zone in snapshot.zones]
    shape = (len(view.rtt_ns), len(world.zones))
    rtt_ns, lawful, in_time = np.full(shape, CUT_OFF, np.int64), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    rtt_ns[:, columns], lawful[:, columns], in_time[:, columns] = view.rtt_ns, view.lawful, view.in_time
    return View(view.name, rtt_ns, lawful, in_time, view.why_not)


def _alone(world: World) -> View:
    """Each user in the world of the operator that has its access point; carriers' users have nobody."""
    shape = (len(world.users), len(world.zones))
    rtt_ns, lawful, in_time = np.full(shape, CUT_OFF, np.int64), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    why_not: dict[int, str] = {}
    for operator in sorted({user.operator for user in world.users}):
        rows = [n for n, user in enumerate(world.users) if user.operator == operator]
        snapshot = world.snapshot_of(operator)
        if not snapshot.zones:
            why_not |= dict.fromkeys(rows, f"{operator} has no zone")
            continue
        spec = replace(world.spec, access=tuple(world.spec.access[row] for row in rows))
        mine = _judged(world, snapshot, spec, ViewName.ALONE)
        rtt_ns[rows], lawful[rows], in_time[rows] = mine.rtt_ns, mine.lawful, mine.in_time
        why_not |= {rows[row]: why for row, why in mine.why_not.items()}
    return View(ViewName.ALONE, rtt_ns, lawful, in_time, why_not)


def _reasons(verdicts: Verdicts, snapshot: Snapshot, users: list[int]) -> dict[int, str]:
    """Why users have no lawful zone: no way at all, no lawful way, or no zone that may, with the commonest refusal."""
    if not users:
        return {}
    spec = verdicts.question.spec
    keys = [RouteKey(None, MEDIAN, spec.access[user].access_point) for user in users]
    index = snapshot.network.node_index
    nodes = [index[zone.inventory.node] for zone in snapshot.zones if zone.inventory.node in index]
    found: dict[int, str] = {}
    refusal = _commonest(verdicts)
    for user, cost in zip(users, costs_for(snapshot.network, keys), strict=True):
        if (cost.rtt_us[nodes] >= NO_PATH_US).all():
            found[user] = "unreachable: no way in the network leads to any zone"
        elif (verdicts.reach.rtt_us[user] == CUT_OFF).all():
            found[user] = "no lawful path to any zone"
        else:
            found[user] = f"no zone may serve: {refusal}"
    return found


def _commonest(verdicts: Verdicts) -> str:
    """The reason that refuses most zones, and how many."""
    reach = {Reason.LATENCY_EXCEEDED, Reason.NOT_EVALUATED}
    zones: dict[Reason, set[ZoneId]] = {}
    for rejection in verdicts.rejections():
        if rejection.reason not in reach:
            zones.setdefault(rejection.reason, set()).add(rejection.zone)
    counted = Counter({reason.value: len(which) for reason, which in zones.items()})
    if not counted:
        return "refused"
    reason, count = max(sorted(counted.items()), key=lambda one: one[1])
    return f"{reason} in {count} of {len(verdicts.columns)} zones"


ATTACHMENT_NS = ATTACHMENT_RTT.p50_us * US_NS
"""What every way has once, whatever its length: part of every round trip above."""

"""Several apps on the same accelerators: who may have which, under every policy. No zone gives more than it has.

Fixed policies and ``hansa`` go through the apps one after the other, the highest priority first and equals in the order
of the scenario, as a control plane does that places them as they come; each has what those before it left. A router
decides by request and the optimum for all together, so both need the devices divided beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hansa_sim.latency.joint_optimum import best_replicas
from hansa_sim.latency.policies import ROUTED, Plan, plan_of, stations_of
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.views import View
from hansa_sim.latency.world import World

Ints = NDArray[np.int64]


def plans_of(worlds: Sequence[World], views: Sequence[View], policy: PolicyName) -> tuple[Plan, ...]:
    """What a policy makes of each app's view, by app; one app has all that there is."""
    if len(worlds) == 1:
        return (plan_of(worlds[0], views[0], policy),)
    if policy in ROUTED or policy is PolicyName.OPTIMUM:
        devices = divided(worlds, views) if policy in ROUTED else best_replicas(worlds, views, in_order(worlds))
        parts = zip(worlds, views, devices, strict=True)
        return tuple(plan_of(world.with_free(mine), view, policy) for world, view, mine in parts)
    return _one_after_the_other(worlds, views, policy)


def in_order(worlds: Sequence[World]) -> list[int]:
    """The apps in the order in which they are placed: the highest priority first, equals as the scenario has them."""
    return sorted(range(len(worlds)), key=lambda at: (-worlds[at].loaded.scenario.app.priority, at))


def divided(worlds: Sequence[World], views: Sequence[View]) -> list[Ints]:
    """Devices (Z,) for each app: of every zone in proportion to the load that each app which may use it would be for
    all zones that it may use. Whole replicas; what is left goes in the order of placing, first to who has nothing.
    """
    stations = [stations_of(world) for world in worlds]
    most = [np.where(view.lawful.any(axis=0), one.replicas_max, 0) for one, view in zip(stations, views, strict=True)]
    weights = [_load(*one) for one in zip(worlds, views, most, strict=True)]
    free, needs, order = worlds[0].devices, [one.devices for one in stations], in_order(worlds)
    given = [np.zeros(len(free), dtype=np.int64) for _ in worlds]
    for zone, count in enumerate(free.tolist()):
        those = [app for app in order if most[app][zone]]
        whole = sum(weights[app] for app in those)
        for app in those:
            part = int(count * weights[app] / whole) if whole else 0
            given[app][zone] = part // needs[app] * needs[app]
        left = count - sum(int(given[app][zone]) for app in those)
        for app, most_now in [(app, 1) for app in those if not given[app][zone]] + [(app, left) for app in those]:
            more = min(left // needs[app], most_now) * needs[app]
            given[app][zone] += more
            left -= more
    return given


def _load(world: World, view: View, most: Ints) -> float:
    """What an app would be for the zones that it may use, had it all of them: its demand over their capacity."""
    rate = sum(user.millirps for user, is_served in zip(world.users, view.served, strict=True) if is_served) / 1_000
    capacity = float(stations_of(world).capacity_rps(most).sum())
    return rate / capacity if capacity else 0.0


def _one_after_the_other(worlds: Sequence[World], views: Sequence[View], policy: PolicyName) -> tuple[Plan, ...]:
    free = worlds[0].devices.copy()
    plans: dict[int, Plan] = {}
    for app in in_order(worlds):
        plans[app] = plan_of(worlds[app].with_free(free), views[app], policy)
        free -= plans[app].replicas * worlds[app].loaded.scenario.app.accelerators.count
    return tuple(plans[app] for app in range(len(worlds)))

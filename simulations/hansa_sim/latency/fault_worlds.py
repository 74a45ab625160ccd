"""A world in which parts have fallen: what users may use then by the production's law and routing, and which of the
ways that they use lead over what has fallen meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from hansa_control.domain.round_trips import route_key
from hansa_control.domain.routing import paths_of
from numpy.typing import NDArray

from hansa_sim.latency.fault_schedule import Fallen
from hansa_sim.latency.views import MEDIAN, View, ViewName, view_of
from hansa_sim.latency.views import spec_in as spec_of_view
from hansa_sim.latency.world import World

WORLDS_KEPT, VIEWS_KEPT = 8, 256


@dataclass(frozen=True, slots=True, eq=False)
class Crossings:
    """Which links each way leads over, there or back: ``links[begin[n]:begin[n + 1]]`` are those of pair n of U x Z."""

    names: Sequence[str]
    begin: NDArray[np.int64]
    links: NDArray[np.int32]
    shape: tuple[int, int]

    def broken(self, fallen: Fallen) -> NDArray[np.bool_]:
        """(U, Z): the ways that lead over one of these links."""
        down = np.array([name in fallen.links for name in self.names], dtype=np.int64)
        sums = np.concatenate([[0], np.cumsum(down[self.links])]) if len(self.links) else np.zeros(1, np.int64)
        return np.asarray(sums[self.begin[1:]] > sums[self.begin[:-1]]).reshape(self.shape)


class FaultWorlds:
    """The worlds of a scenario by what of it has fallen; the last of them are kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.parts = lru_cache(WORLDS_KEPT)(self._parts)
        self.views = lru_cache(VIEWS_KEPT)(self._views)
        self.crossings = lru_cache(VIEWS_KEPT)(self._crossings)

    def _parts(self, fallen: Fallen) -> tuple[World, ...]:
        """A world of each app."""
        return self._world.without(fallen.zones, fallen.links).parts if fallen else self._world.parts

    def _views(self, fallen: Fallen, name: ViewName) -> tuple[View, ...]:
        """What users of each app may use, by what is known to have fallen."""
        return tuple(view_of(part, name) for part in self.parts(fallen))

    def _crossings(self, fallen: Fallen, name: ViewName) -> tuple[Crossings, ...]:
        """The links of the ways that are in use, for each app."""
        pairs = zip(self.parts(fallen), self.views(fallen, name), strict=True)
        return tuple(_crossings_of(part, view) for part, view in pairs)


def _crossings_of(world: World, view: View) -> Crossings:
    shape, found = view.rtt_ns.shape, dict[tuple[int, int], list[str]]()
    for at, user in enumerate(world.users):
        snapshot = world.snapshot_of(user.operator) if view.name is ViewName.ALONE else world.snapshot
        network, spec = snapshot.network, spec_of_view(world, view.name)
        key = route_key(replace(spec, latency=replace(spec.latency, percentile=MEDIAN)), user.access_point)
        paths = paths_of(network, key)
        for zone in np.flatnonzero(view.rtt_ns[at] >= 0).tolist():
            route = paths.to(network, world.zones[zone].inventory.node)
            if route is not None:
                found[at, zone] = [network.links[link].name for link in {*route.links, *route.back_links}]
    names = sorted({name for links in found.values() for name in links})
    number = {name: n for n, name in enumerate(names)}
    each = [found.get((at, zone), []) for at in range(shape[0]) for zone in range(shape[1])]
    begin = np.concatenate([[0], np.cumsum([len(one) for one in each])]).astype(np.int64)
    links = np.array([number[name] for one in each for name in one], dtype=np.int32)
    return Crossings(names, begin, links, (shape[0], shape[1]))

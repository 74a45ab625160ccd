"""A part of a world: some of its access points and zones, everything else as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from hansa.names import hint
from hansa_sim.latency.scenario_file import Loaded, ScenarioError
from hansa_sim.latency.world import World


def chosen_part(world: World, points: Sequence[str], zones: Sequence[str]) -> World:
    """The world with users at these access points and these zones ("operator/zone") alone, all where nothing is given;
    ScenarioError, with the nearest name, for one that is not there.
    """
    _check("--points", points, [user.access_point for user in world.users])
    _check("--zones", zones, [str(zone.id) for zone in world.zones])
    users = tuple(user for user in world.users if not points or user.access_point in points)
    return replace(world, users=users, loaded=_with_zones(world.loaded, zones) if zones else world.loaded)


def _check(option: str, wanted: Sequence[str], known: Collection[str]) -> None:
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ScenarioError([f"{option}: the scenario has no {name!r}{hint(name, known)}" for name in unknown])


def _with_zones(loaded: Loaded, zones: Sequence[str]) -> Loaded:
    operators = [
        part.model_copy(update={"zones": [zone for zone in part.zones if f"{part.name}/{zone.name}" in zones]})
        for part in loaded.scenario.operators
    ]
    return replace(loaded, scenario=loaded.scenario.model_copy(update={"operators": operators}))

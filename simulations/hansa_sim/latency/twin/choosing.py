"""A part of a world: some of its access points and zones, everything else as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from hansa.names import hint
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.scenario_schema import OperatorPart, UsersPart
from hansa_sim.latency.world import World


def chosen_part(world: World, points: Sequence[str], zones: Sequence[str]) -> World:
    """The world with users at these access points and these zones ("operator/zone") alone, all where nothing is given;
    ScenarioError, with the nearest name, for one that is not there.
    """
    _check("--points", points, [user.access_point for user in world.users])
    _check("--zones", zones, [str(zone.id) for zone in world.zones])
    users = tuple(user for user in world.users if not points or user.access_point in points)
    asking = [UsersPart(access_point=user.access_point, requests_per_s=user.millirps / 1_000) for user in users]
    scenario = world.loaded.scenario.model_copy(update={"users": asking, "operators": _with(world, zones)})
    return replace(world, users=users, loaded=replace(world.loaded, scenario=scenario))


def _check(option: str, wanted: Sequence[str], known: Collection[str]) -> None:
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ScenarioError([f"{option}: the scenario has no {name!r}{hint(name, known)}" for name in unknown])


def _with(world: World, zones: Sequence[str]) -> list[OperatorPart]:
    return [
        part.model_copy(
            update={"zones": [one for one in part.zones if not zones or f"{part.name}/{one.name}" in zones]}
        )
        for part in world.loaded.scenario.operators
    ]

"""Whose nodes zones stand at: in a scenario another operator's, too, which no real control plane takes."""

from __future__ import annotations

from collections.abc import Iterator

from hansa_sim.latency.world import World


def zones_elsewhere(world: World) -> Iterator[tuple[str, str]]:
    """Each zone at a node that is not of its operator's own network: the key of its node in the scenario, and in words
    where it stands and what a real operator has.
    """
    for zone in world.zones:
        owner = world.ground.owners[zone.inventory.node]
        if owner != zone.id.operator:
            what = f"{zone.id} stands at {zone.inventory.node}, a node of {owner}"
            yield _key(world, str(zone.id)), f"{what}; a real operator has zones at nodes of its own"


def _key(world: World, name: str) -> str:
    for at, operator in enumerate(world.loaded.scenario.operators):
        for n, zone in enumerate(operator.zones):
            if f"{operator.name}/{zone.name}" == name:
                return f"operators[{at}].zones[{n}].node"
    return "network.snapshot"

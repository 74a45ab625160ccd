"""What a map of a scenario needs: places, owners, what the law closes to traffic, and the ways that are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hansa_control.domain.round_trips import USER_DATA, transit_rule
from hansa_control.domain.routing import RouteKey, find_route
from hansa_control.domain.transit import node_fault

from hansa_sim.latency.results import Row
from hansa_sim.latency.world import World


def map_of(world: World, rows: Sequence[Row]) -> dict[str, Any]:
    """Places, owners, what the law closes to traffic, and the way from every access point to its zone, as plain values.

    ``rows`` are those of the world's apps. Nodes are [longitude, latitude, owner, closed]: closed to all of them. Ways
    are those of the production routing under the residency.
    """
    rules = [transit_rule(part.spec, *USER_DATA) for part in world.parts]
    nodes = {
        node.name: [
            round(node.longitude_deg, 3),
            round(node.latitude_deg, 3),
            world.ground.owners[node.name],
            all(rule is not None and node_fault(rule, node) is not None for rule in rules),
        ]
        for node in world.ground.nodes
    }
    at_node = {str(zone.id): zone.inventory.node for zone in world.zones}
    network, ways = world.snapshot.network, {}
    for part, rule, row in zip(world.parts, rules, rows, strict=True):
        of = f"{part.loaded.scenario.app.name}: " if len(rows) > 1 else ""
        for point in row.points:
            if point.zone:
                route = find_route(network, RouteKey(rule, 50, point.access_point), at_node[point.zone])
                ways[of + point.access_point] = list(route.names) if route else []
    links = [[link.node_a, link.node_b] for link in world.ground.links]
    unserved = sorted({point.access_point for row in rows for point in row.points if point.why_not})
    return {"nodes": nodes, "links": links, "zones": at_node, "ways": ways, "unserved": unserved}

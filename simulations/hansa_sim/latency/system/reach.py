"""Who still reaches whom when parts of the network have fallen: users their zones, control planes one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import networkx as nx

from hansa_sim.latency.views import Ints, ViewName, view_of
from hansa_sim.latency.world import World
from hansa_sim.network import Network

Links = frozenset[str]
Pair = tuple[str, str]


class Reach:
    """A world's network less what has fallen. Hosts are operators and zones by name; an operator's control plane stands
    at the node of the first of its zones.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._ways: dict[Links, list[Ints]] = {}
        self._apart: frozenset[Pair] = frozenset()
        self._node_of = {str(zone.id): zone.inventory.node for zone in world.zones}
        for zone in reversed(world.zones):
            self._node_of[zone.id.operator] = zone.inventory.node
        operators = sorted({zone.id.operator for zone in world.zones})
        self._pairs = [*combinations(operators, 2), *((str(zone.id), zone.id.operator) for zone in world.zones)]

    def rtt_ns(self, fallen: Links) -> list[Ints]:
        """(U, Z) of each part of the world: the median round trip of the lawful way that is left, negative where there
        is none.
        """
        if fallen not in self._ways:
            ground = self._world.ground
            left = replace(ground, links=tuple(link for link in ground.links if link.name not in fallen))
            parts = replace(self._world, ground=left).parts
            self._ways[fallen] = [view_of(part, ViewName.TOGETHER).rtt_ns for part in parts]
        return self._ways[fallen]

    def follow(self, fallen: Links, network: Network) -> None:
        """Cuts hosts off from one another that nothing joins any more, and heals what is joined again."""
        apart = frozenset(self._parted(fallen)) if fallen else frozenset()
        for one, other in sorted(apart - self._apart):
            network.cut(one, other)
            network.cut(other, one)
        for one, other in sorted(self._apart - apart):
            network.heal(one, other)
            network.heal(other, one)
        self._apart = apart

    def _parted(self, fallen: Links) -> Iterator[Pair]:
        graph = nx.Graph()
        graph.add_nodes_from(node.name for node in self._world.ground.nodes)
        graph.add_edges_from((link.node_a, link.node_b) for link in self._world.ground.links if link.name not in fallen)
        part = {node: number for number, nodes in enumerate(nx.connected_components(graph)) for node in nodes}
        for one, other in self._pairs:
            if part[self._node_of[one]] != part[self._node_of[other]]:
                yield one, other

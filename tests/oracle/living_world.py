"""A world that changes step by step, as an operator's does, and the engine's snapshot that follows it cheaply."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.model import Capacity, NetworkLink, NetworkNode, Zone
from hansa_control.domain.network import NetworkChange
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot, build_network
from oracle_worlds import (
    COUNTRIES,
    DAY_MS,
    NOW_MS,
    Stream,
    World,
    random_facts,
    random_link,
    random_probe,
    random_promises,
    random_zone,
)

STEPS = (
    "capacity",
    "capacity",
    "facts",
    "inventory",
    "link",
    "link",
    "links",
    "node",
    "probes",
    "promises",
    "time",
    "time",
    "zone_away",
    "zone_new",
    "link_away",
    "link_new",
)


class LivingWorld:
    """``world`` is the truth, ``snapshot`` what was reached step by step; ``rebuilt`` makes the same from nothing."""

    def __init__(self, world: World, chance: Stream) -> None:
        self.world, self.chance = world, chance
        self.generation, self.names = 1, 0
        self.snapshot: Snapshot = world.snapshot()

    def rebuilt(self) -> Snapshot:
        """The snapshot of the same world and generation without any history."""
        world, network = self.world, build_network(self.snapshot.network.generation, self.world.nodes, self.world.links)
        measured = Measured.between(world.probes, world.zones)
        built = assemble_snapshot(self.snapshot.generation, world.zones, network, measured, self.snapshot.taken_at_ms)
        return replace(built, promises=world.promises)

    def step(self, kind: str = "") -> str:
        """One change, of a kind or of any; says which."""
        kind = kind or self.chance.pick(STEPS)
        self.generation += 1
        getattr(self, f"_{kind}")()
        return kind

    def _set_zones(self, zones: tuple[Zone, ...], *, measured: bool = False) -> None:
        self.world = replace(self.world, zones=zones)
        probed = Measured.between(self.world.probes, zones) if measured else None
        at_ms = self.snapshot.taken_at_ms + 1
        if not measured and self.chance.one_in(2):
            self.snapshot = self.snapshot.with_zones(self.generation, zones, at_ms)
        else:
            self.snapshot = self.snapshot.updated(self.generation, zones, at_ms, measured=probed)

    def _some_zones(self) -> list[int]:
        count = len(self.world.zones)
        return sorted({self.chance.below(count) for _ in range(1 + self.chance.below(3))})

    def _capacity(self) -> None:
        zones = list(self.world.zones)
        for row in self._some_zones():
            free = zones[row].free
            less = tuple((key, n) for key, n in free.accelerators if not self.chance.one_in(3))
            amount = Capacity(self.chance.pick((16_000, 0, 3_000)), self.chance.pick((64_000, 0, 5_000)), less)
            state = self.chance.pick((zones[row].state, type(zones[row].state).AVAILABLE, zones[row].state))
            zones[row] = replace(zones[row], free=amount, generation=zones[row].generation + 1, state=state)
        changed = [new for new, old in zip(zones, self.world.zones, strict=True) if new is not old]
        self.world = replace(self.world, zones=tuple(zones))
        self.snapshot = self.snapshot.with_changed(self.generation, changed, self.snapshot.taken_at_ms + 1)

    def _promises(self) -> None:
        promises = random_promises(self.chance)
        self.world = replace(self.world, promises=promises)
        self.snapshot = replace(self.snapshot, generation=self.generation, promises=promises)

    def _facts(self) -> None:
        zones = list(self.world.zones)
        for row in self._some_zones():
            country = self.chance.pick(COUNTRIES)
            zones[row] = replace(zones[row], facts=random_facts(self.chance, country, self.chance.one_in(2)))
        self._set_zones(tuple(zones))

    def _inventory(self) -> None:
        zones = list(self.world.zones)
        for row in self._some_zones():
            other = random_zone(self.chance, "x", (zones[row].inventory.node, "NO"), self.chance.one_in(2))
            free = tuple((pool.key, self.chance.below(9)) for pool in other.inventory.pools)
            free = tuple(sorted(entry for entry in free if entry[1]))
            zones[row] = replace(
                zones[row], inventory=other.inventory, free=replace(zones[row].free, accelerators=free)
            )
        if self.chance.one_in(3):  # a zone that moves takes its measurements with it
            row = self._some_zones()[0]
            node = self.chance.pick(self.world.nodes).name
            zones[row] = replace(zones[row], inventory=replace(zones[row].inventory, node=node))
        self._set_zones(tuple(zones), measured=True)

    def _zone_away(self) -> None:
        if len(self.world.zones) > 1:
            row = self.chance.below(len(self.world.zones))
            self._set_zones(self.world.zones[:row] + self.world.zones[row + 1 :], measured=True)

    def _zone_new(self) -> None:
        self.names += 1
        node = self.chance.pick(self.world.nodes)
        made = random_zone(self.chance, f"new{self.names}", (node.name, node.country), is_mild=True)
        self._set_zones((*self.world.zones, made), measured=True)

    def _probes(self) -> None:
        if len(self.world.zones) < 2:
            return
        kept = tuple(self.chance.some(self.world.probes, 0.7))
        self.world = replace(self.world, probes=(*kept, random_probe(self.chance, self.world.zones)))
        measured = Measured.between(self.world.probes, self.world.zones)
        self.snapshot = self.snapshot.updated(
            self.generation, self.world.zones, self.snapshot.taken_at_ms + 1, measured=measured
        )

    def _time(self) -> None:
        """Over an edge of validity, and back: a question may be asked of any time."""
        edges = (NOW_MS, NOW_MS - 1, NOW_MS + 1, NOW_MS + 2, NOW_MS + DAY_MS, NOW_MS - DAY_MS, NOW_MS - DAY_MS - 1)
        self.world = replace(self.world, now_ms=self.chance.pick(edges))

    # --- the network --------------------------------------------------------------------------------------------------

    def _change(self, change: NetworkChange) -> None:
        world = self.world
        nodes = {node.name: node for node in world.nodes} | {node.name: node for node in change.nodes}
        links = {link.name: link for link in world.links} | {link.name: link for link in change.links}
        links = {name: link for name, link in links.items() if name not in change.links_removed}
        self.world = replace(world, nodes=tuple(nodes.values()), links=tuple(links.values()))
        network = self.snapshot.network.with_changes(self.generation, change)
        self.snapshot = self.snapshot.updated(self.generation, world.zones, self.snapshot.taken_at_ms + 1, network)

    def _other(self, link: NetworkLink) -> NetworkLink:
        even = all(known.forward_permille == 500 and not known.one_way for known in self.world.links)
        kind = (not even or self.chance.one_in(6), self.chance.one_in(2))
        return random_link(self.chance, link.name, (link.node_a, link.node_b), kind)

    def _link(self) -> None:
        if self.world.links:
            self._change(NetworkChange(links=(self._other(self.chance.pick(self.world.links)),)))

    def _links(self) -> None:
        several = {link.name: self._other(link) for link in self.chance.some(self.world.links, 0.3)}
        self._change(NetworkChange(links=tuple(several.values())))

    def _node(self) -> None:
        node = self.chance.pick(self.world.nodes)
        self._change(NetworkChange(nodes=(self._other_node(node),)))

    def _other_node(self, node: NetworkNode) -> NetworkNode:
        country = self.chance.pick((*COUNTRIES, None))
        place = self.chance.pick(self.world.nodes)
        return replace(
            node,
            country=country,
            at_sea=country is None and self.chance.one_in(2),
            access_point=not self.chance.one_in(3),
            latitude_deg=place.latitude_deg,
            longitude_deg=place.longitude_deg,
        )

    def _link_away(self) -> None:
        if self.world.links:
            self._change(NetworkChange(links_removed=frozenset({self.chance.pick(self.world.links).name})))

    def _link_new(self) -> None:
        self.names += 1
        ends = (self.chance.pick(self.world.nodes).name, self.chance.pick(self.world.nodes).name)
        even = all(known.forward_permille == 500 and not known.one_way for known in self.world.links)
        self._change(NetworkChange(links=(random_link(self.chance, f"m{self.names}", ends, (not even, True)),)))

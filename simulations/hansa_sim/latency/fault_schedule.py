"""Which parts of a world a scenario's faults take, and when: as scheduled, or drawn from named streams of chance.

A fault is drawn for a replication and knows nothing of policies, so that all of them meet the same faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from hansa.names import hint
from hansa_sim.engines.model import AHEAD_NS_MAX, SECOND_NS
from hansa_sim.engines.streams import generator
from hansa_sim.latency.ground import Ground
from hansa_sim.latency.scenario_faults import FaultPart
from hansa_sim.latency.scenario_file import Loaded
from hansa_sim.latency.scenario_schema import OperatorPart, Scenario, ZonePart


@dataclass(frozen=True, slots=True)
class Fallen:
    """Parts of a world: zones as ``operator/zone``, links by name. A node falls as its links and the zones at it."""

    zones: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    def __or__(self, other: Fallen) -> Fallen:
        return Fallen(self.zones | other.zones, self.links | other.links)

    def __bool__(self) -> bool:
        return bool(self.zones or self.links)

    def apart(self) -> Iterator[tuple[str, Fallen]]:
        """Each part by itself, by name."""
        for zone in sorted(self.zones):
            yield zone, Fallen(zones=frozenset({zone}))
        for link in sorted(self.links):
            yield link, Fallen(links=frozenset({link}))


@dataclass(frozen=True, slots=True)
class Fault:
    """One fall: down from ``begin_ns`` on and before ``end_ns``; known ``notice_ns`` before, or as it is detected."""

    title: str
    begin_ns: int
    end_ns: int
    falls: Fallen
    notice_ns: int = 0


@dataclass(frozen=True, slots=True)
class Cause:
    """A scenario's fault with what it takes; where each part falls by itself, there is a cause for each."""

    part: FaultPart
    title: str
    falls: Fallen

    def faults(self, seed: int, horizon_ns: int) -> Iterator[Fault]:
        """Its faults before the horizon, in the order of time, of a seed."""
        if self.part.at_s is not None:
            begin_ns = round(self.part.at_s * SECOND_NS)
            end_ns = AHEAD_NS_MAX if self.part.for_s is None else begin_ns + max(1, round(self.part.for_s * SECOND_NS))
            yield Fault(self.title, begin_ns, end_ns, self.falls, round(self.part.notice_s * SECOND_NS))
            return
        stream = generator(seed, f"fault/{self.title}")
        up_ns, down_ns = (float(mean or 0) * SECOND_NS for mean in (self.part.mtbf_s, self.part.mttr_s))
        end_ns = 0
        while True:
            begin_ns = end_ns + max(1, round(stream.standard_exponential() * up_ns))
            end_ns = begin_ns + max(1, round(stream.standard_exponential() * down_ns))
            if begin_ns >= horizon_ns:
                return
            yield Fault(self.title, begin_ns, end_ns, self.falls)


def schedule(causes: Iterable[Cause], seed: int, horizon_ns: int) -> tuple[Fault, ...]:
    """All faults of a replication, in the order in which they begin."""
    found = [fault for cause in causes for fault in cause.faults(seed, horizon_ns)]
    return tuple(sorted(found, key=lambda fault: (fault.begin_ns, fault.title)))


def causes_of(loaded: Loaded, ground: Ground) -> tuple[Cause, ...]:
    """A scenario's faults with what they take. Raises ScenarioError where a fault or a cable names what is not there,
    takes nothing, or shares a stream of chance.
    """
    cables = cables_of(loaded, ground)
    causes: list[Cause] = []
    for at, part in enumerate(loaded.scenario.faults):
        falls = _falls(_Place(loaded, ground, f"faults[{at}].{part.target}", cables), part)
        if not falls:
            raise loaded.problem(f"faults[{at}]", f"{part.title} has no {part.parts} that could fall")
        each = [(f"{part.title}: {name}", one) for name, one in falls.apart()] if part.each else [(part.title, falls)]
        known = {cause.title for cause in causes if cause.part.mtbf_s is not None}
        if part.mtbf_s is not None and known & {title for title, _ in each}:
            what = f"a second random fault of {part.title!r}; give it a name of its own"
            raise loaded.problem(f"faults[{at}]", what)
        causes += (Cause(part, title, one) for title, one in each)
    return tuple(causes)


def check_faults(loaded: Loaded, ground: Ground, length_s: float) -> None:
    """Raises ScenarioError where the faults cannot be, or one comes after the end of replications of that length."""
    causes_of(loaded, ground)
    moments = [(f"faults[{at}].at_s", part.at_s) for at, part in enumerate(loaded.scenario.faults)]
    for at, users in enumerate(loaded.scenario.users):
        moments += [(f"users[{at}].surges[{n}].at_s", surge.at_s) for n, surge in enumerate(users.surges)]
    for key, at_s in moments:
        if at_s is not None and at_s >= length_s:
            how = "write run.duration_s, or more run.requests"
            raise loaded.problem(key, f"{at_s:g} s is not before the end of a replication, {length_s:.6g} s; {how}")


def _falls(place: _Place, part: FaultPart) -> Fallen:
    whole = _FALLS[part.target](place, part)
    return Fallen(
        whole.zones if part.parts != "network" else frozenset(), whole.links if part.parts != "zones" else frozenset()
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name of a fault is looked up, and the key that an error is about."""

    loaded: Loaded
    ground: Ground
    key: str
    cables: Mapping[str, frozenset[str]]

    @property
    def scenario(self) -> Scenario:
        return self.loaded.scenario

    def known(self, name: str, names: Iterable[str], what: str) -> str:
        """The name, if it is one of these."""
        valid = list(names)
        if name not in valid:
            raise self.loaded.problem(self.key, f"no {what} {name!r} here{hint(name, valid)}")
        return name

    def zones(self, wanted: Callable[[OperatorPart, ZonePart], bool]) -> frozenset[str]:
        return frozenset(
            f"{operator.name}/{zone.name}"
            for operator in self.scenario.operators
            for zone in operator.zones
            if wanted(operator, zone)
        )

    def links_at(self, nodes: set[str]) -> frozenset[str]:
        return frozenset(link.name for link in self.ground.links if {link.node_a, link.node_b} & nodes)


def cables_of(loaded: Loaded, ground: Ground) -> dict[str, frozenset[str]]:
    """Names of links by cable."""
    links = {frozenset((link.node_a, link.node_b)): link.name for link in ground.links}
    found: dict[str, frozenset[str]] = {}
    for at, cable in enumerate(loaded.scenario.network.cables):
        key = f"network.cables[{at}]"
        if cable.name in found:
            raise loaded.problem(f"{key}.name", f"cable {cable.name!r} is there twice")
        pairs = [pair for chain in cable.links for pair in pairwise(chain)]
        found[cable.name] = frozenset(_link(loaded, ground, (f"{key}.links", links), pair) for pair in pairs)
    return found


def _link(loaded: Loaded, ground: Ground, where: tuple[str, Mapping[frozenset[str], str]], ends: Iterable[str]) -> str:
    """The name of the link between two nodes; an error has the nearest node, or who its neighbours are."""
    key, links = where
    one, other = ends
    nodes = {node.name for node in ground.nodes}
    for node in (one, other):
        if node not in nodes:
            raise loaded.problem(key, f"no node {node!r} in the network{hint(node, nodes)}")
    if frozenset((one, other)) not in links:
        near = sorted(next(iter(pair - {one})) for pair in links if one in pair and len(pair) > 1)
        raise loaded.problem(
            key, f"no link between {one} and {other}; {one} has links to {', '.join(near) or 'nobody'}"
        )
    return links[frozenset((one, other))]


def _of_zone(place: _Place, part: FaultPart) -> Fallen:
    zones = place.zones(lambda operator, zone: True)
    return Fallen(zones=frozenset({place.known(str(part.zone), sorted(zones), "zone")}))


def _of_operator(place: _Place, part: FaultPart) -> Fallen:
    """Its zones, the links that it carries, and those at its nodes."""
    name = place.known(str(part.operator), (operator.name for operator in place.scenario.operators), "operator")
    nodes = {node for node, owner in place.ground.owners.items() if owner == name}
    carried = frozenset(link.name for link in place.ground.links if link.carrier == name)
    return Fallen(place.zones(lambda operator, _: operator.name == name), carried | place.links_at(nodes))


def _of_country(place: _Place, part: FaultPart) -> Fallen:
    country_of = {node.name: node.country for node in place.ground.nodes}
    place.known(str(part.country), sorted({str(one) for one in country_of.values() if one}), "country")
    nodes = {node for node, country in country_of.items() if country == part.country}
    zones = place.zones(lambda _, zone: (zone.country or country_of.get(zone.node)) == part.country)
    return Fallen(zones, place.links_at(nodes))


def _of_link(place: _Place, part: FaultPart) -> Fallen:
    links = {frozenset((link.node_a, link.node_b)): link.name for link in place.ground.links}
    return Fallen(links=frozenset({_link(place.loaded, place.ground, (place.key, links), part.link or ())}))


def _of_cable(place: _Place, part: FaultPart) -> Fallen:
    return Fallen(links=place.cables[place.known(str(part.cable), place.cables, "cable")])


def _of_node(place: _Place, part: FaultPart) -> Fallen:
    name = place.known(str(part.node), sorted(node.name for node in place.ground.nodes), "node")
    return Fallen(place.zones(lambda _, zone: zone.node == name), place.links_at({name}))


_FALLS: Mapping[str, Callable[[_Place, FaultPart], Fallen]] = {
    "zone": _of_zone,
    "operator": _of_operator,
    "country": _of_country,
    "link": _of_link,
    "cable": _of_cable,
    "node": _of_node,
}

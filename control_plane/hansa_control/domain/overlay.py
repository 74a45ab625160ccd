"""What if: a snapshot with links, nodes, zones and facts that are other than they are, and a policy added to the law.

An overlay is applied to an immutable snapshot and gives another one by the same code that follows real changes, so
deciding on it is deciding, and nothing that is true loses anything. What an overlay takes away must be there, and what
it adds must fit; otherwise a misspelt name would answer a question that nobody asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import NamedTuple

from hansa_control.domain.merging import merge
from hansa_control.domain.model import (
    Fact,
    FactKind,
    NetworkLink,
    NetworkNode,
    ResidencyPolicy,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from hansa_control.domain.network import Network, NetworkChange
from hansa_control.domain.snapshot import Measured, Snapshot

SLIP_ALIKE_MIN = 0.85
"""How much alike, of 1, a name is before that of a link with its ends in the other order is thought of."""


class OverlayInvalid(ValueError):
    """An overlay that does not fit the world; ``field`` is the path to what is wrong in it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class FactGiven(NamedTuple):
    """A fact that a zone has besides its own, or instead of all its own of that kind."""

    zone: ZoneId
    fact: Fact
    instead: bool = False


class FactTaken(NamedTuple):
    """Facts that a zone does not have any more: those of a kind with this value, or all of the kind if it is empty."""

    zone: ZoneId
    kind: FactKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is other than it is. Links, nodes and zones are new or, where the name is known, as they would be instead.

    Facts are taken before they are given, and both after zones have changed. policy is merged into the workload's.
    """

    links: tuple[NetworkLink, ...] = ()
    links_removed: tuple[str, ...] = ()
    nodes: tuple[NetworkNode, ...] = ()
    nodes_removed: tuple[str, ...] = ()
    zones: tuple[Zone, ...] = ()
    zones_removed: tuple[ZoneId, ...] = ()
    facts: tuple[FactGiven, ...] = ()
    facts_removed: tuple[FactTaken, ...] = ()
    policy: ResidencyPolicy | None = None


def apply_overlay(snapshot: Snapshot, overlay: Overlay, generation: int | None = None) -> Snapshot:
    """The snapshot as it would be: equal to one that is built from scratch of the same parts.

    It keeps the time and, unless another is given, the generation of the snapshot. OverlayInvalid names what does not
    fit, and the nearest name that there is.
    """
    network = _network(snapshot.network, overlay, snapshot.network.generation)
    zones = _zones(snapshot, overlay, network)
    moved = bool(overlay.zones or overlay.zones_removed)
    measured = Measured.between(snapshot.probes, zones) if moved else snapshot.measured
    later = snapshot.generation if generation is None else generation
    return snapshot.updated(later, zones, snapshot.taken_at_ms, network, measured)


def spec_under(overlay: Overlay, spec: WorkloadSpec) -> WorkloadSpec:
    """The workload under the policy that an overlay adds."""
    if overlay.policy is None:
        return spec
    return replace(spec, residency=merge([spec.residency, overlay.policy]))


# --- network --------------------------------------------------------------------------------------------------------


def _network(network: Network, overlay: Overlay, generation: int) -> Network:
    links, nodes = {link.name for link in overlay.links}, {node.name for node in overlay.nodes}
    links_removed = [_as_named(network, name) for name in overlay.links_removed]
    _require_known("links_removed", "link", links_removed, _link_names(network))
    _require_known("nodes_removed", "node", overlay.nodes_removed, network.node_index)
    _require_not_both("links_removed", links_removed, links)
    _require_not_both("nodes_removed", overlay.nodes_removed, nodes)
    change = NetworkChange(overlay.nodes, overlay.links, frozenset(overlay.nodes_removed), frozenset(links_removed))
    changed = network.with_changes(generation, change)
    for index, link in enumerate(overlay.links):
        _require_node(f"links[{index}].node_a", link.node_a, changed)
        _require_node(f"links[{index}].node_b", link.node_b, changed)
    return changed


def _as_named(network: Network, name: str) -> str:
    """The link's own name where a person gave its ends in the other order and it carries both ways; else the same."""
    at = None if name in _link_names(network) else network.link_index.get(_turned(name))
    if at is None:
        return name
    link = network.links[at]
    is_named_by_ends = set(name.split("--")) == {link.node_a, link.node_b}
    return link.name if is_named_by_ends and not link.one_way else name


def _turned(name: str) -> str:
    """``goteborg--oslo`` for ``oslo--goteborg``; empty for what is not two names."""
    first, dashes, second = name.partition("--")
    return f"{second}--{first}" if dashes and "--" not in second else ""


def _link_names(network: Network) -> set[str]:
    return {*network.link_index, *network.dangling}


def _require_known(field: str, what: str, names: Iterable[str], valid: Collection[str]) -> None:
    for index, name in enumerate(names):
        if name not in valid:
            raise OverlayInvalid(f"{field}[{index}]", f"there is no {what} {name!r}{_nearest(name, valid)}")


def _require_not_both(field: str, removed: Iterable[str], given: Collection[str]) -> None:
    for index, name in enumerate(removed):
        if name in given:
            raise OverlayInvalid(f"{field}[{index}]", f"{name!r} is removed and given in one overlay; do one of them")


def _require_node(field: str, name: str, network: Network) -> None:
    if name not in network.node_index:
        raise OverlayInvalid(field, f"there is no node {name!r}{_nearest(name, network.node_index)}")


def _nearest(name: str, valid: Collection[str]) -> str:
    """What was meant, in the order in which it is written or, of the two ends of a link, in the other one."""
    names = sorted(valid)
    near = get_close_matches(name, names, n=1, cutoff=SLIP_ALIKE_MIN) or get_close_matches(_turned(name), names, n=1)
    near = near or get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


# --- zones ----------------------------------------------------------------------------------------------------------


def _zones(snapshot: Snapshot, overlay: Overlay, network: Network) -> list[Zone]:
    """The zones as they would be; those that stay as they are stay the same values."""
    zones = {zone.id: zone for zone in snapshot.zones}
    removed = [str(zone) for zone in overlay.zones_removed]
    _require_known("zones_removed", "zone", removed, {str(zone) for zone in zones})
    _require_not_both("zones_removed", removed, {str(zone.id) for zone in overlay.zones})
    for zone in overlay.zones_removed:
        zones.pop(zone, None)
    for index, given in enumerate(overlay.zones):
        _require_node(f"zones[{index}].inventory.node", given.inventory.node, network)
        zones[given.id] = given
    _take_facts(zones, overlay)
    _give_facts(zones, overlay)
    return list(zones.values())


def _take_facts(zones: dict[ZoneId, Zone], overlay: Overlay) -> None:
    for index, taken in enumerate(overlay.facts_removed):
        zone = _zone_of(f"facts_removed[{index}].zone", taken.zone, zones)
        of_kind = [fact.value for fact in zone.facts if fact.kind is taken.kind]
        if not of_kind:
            has = sorted({fact.kind.value for fact in zone.facts})
            message = f"{zone.id} has no fact {taken.kind.value}{_nearest(taken.kind.value, has)}"
            raise OverlayInvalid(f"facts_removed[{index}].kind", message)
        if taken.value and taken.value not in of_kind:
            message = f"{zone.id} has no {taken.kind.value} {taken.value!r}; it has {', '.join(sorted(of_kind))}"
            raise OverlayInvalid(f"facts_removed[{index}].value", message)
        left = (x for x in zone.facts if x.kind is not taken.kind or (taken.value and x.value != taken.value))
        zones[zone.id] = replace(zone, facts=tuple(left))


def _give_facts(zones: dict[ZoneId, Zone], overlay: Overlay) -> None:
    for index, given in enumerate(overlay.facts):
        zone = _zone_of(f"facts[{index}].zone", given.zone, zones)
        kept = (fact for fact in zone.facts if not given.instead or fact.kind is not given.fact.kind)
        zones[zone.id] = replace(zone, facts=(*kept, given.fact))


def _zone_of(field: str, zone: ZoneId, zones: dict[ZoneId, Zone]) -> Zone:
    found = zones.get(zone)
    if found is None:
        raise OverlayInvalid(field, f"there is no zone {str(zone)!r}{_nearest(str(zone), [str(x) for x in zones])}")
    return found

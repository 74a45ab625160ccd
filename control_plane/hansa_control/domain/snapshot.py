"""The immutable world that a decision is made on.

A ``Snapshot`` is rebuilt at every change of capacity, so it is thin: zones and a reference to a ``Network``. The
network (nodes, links and their arrays) changes rarely, is costly to build, and is shared by all snapshots between two
changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hansa_control.domain.containers import Memo
from hansa_control.domain.graphs import from_networkx, to_networkx
from hansa_control.domain.model import NetworkLink, NetworkNode, ProbeResult, RoundTrip, Zone, ZoneId
from hansa_control.domain.network import Network, attachment_of, build_network, effective_rtt, slower

__all__ = [
    "Measured",
    "Memo",
    "Network",
    "Snapshot",
    "assemble_snapshot",
    "attachment_of",
    "build_network",
    "build_snapshot",
    "effective_rtt",
    "from_networkx",
    "to_networkx",
]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What agents probed, and what follows for paths: by zone, the slowest round trip from a zone at each node."""

    probes: tuple[ProbeResult, ...] = ()
    floors: Mapping[ZoneId, Mapping[str, RoundTrip]] = field(default_factory=dict)

    @classmethod
    def between(cls, probes: Iterable[ProbeResult], zones: Iterable[Zone]) -> Measured:
        """Probes between these zones; a round trip bounds both directions. Others are kept and bound nothing."""
        kept = tuple(probes)
        node_of = {zone.id: zone.inventory.node for zone in zones}
        floors: dict[ZoneId, dict[str, RoundTrip]] = {}
        for probe in kept:
            pairs = ((probe.source_zone, probe.target_zone), (probe.target_zone, probe.source_zone))
            for near, far in pairs if probe.source_zone in node_of and probe.target_zone in node_of else ():
                known = floors.setdefault(far, {})
                former = known.get(node_of[near])
                known[node_of[near]] = slower(former, probe.rtt) if former else probe.rtt
        return cls(kept, floors)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Zones sorted by id on a network, with what agents measured, as of taken_at_ms (wall clock, UTC)."""

    generation: int
    zones: tuple[Zone, ...]
    network: Network
    measured: Measured
    taken_at_ms: int
    zone_index: Mapping[ZoneId, Zone] = field(repr=False)

    @property
    def probes(self) -> tuple[ProbeResult, ...]:
        return self.measured.probes

    @property
    def nodes(self) -> tuple[NetworkNode, ...]:
        return tuple(self.network.nodes)

    @property
    def links(self) -> tuple[NetworkLink, ...]:
        return tuple(self.network.links)

    def zone(self, zone_id: ZoneId) -> Zone | None:
        """The zone of that id, or None."""
        return self.zone_index.get(zone_id)

    def with_zones(self, generation: int, zones: Iterable[Zone], taken_at_ms: int) -> Snapshot:
        """A later snapshot with other zones on the same network and probes; cheap, for every change of capacity."""
        return assemble_snapshot(generation, zones, self.network, self.measured, taken_at_ms)


def build_snapshot(
    generation: int,
    zones: Iterable[Zone],
    nodes: Iterable[NetworkNode],
    links: Iterable[NetworkLink],
    taken_at_ms: int,
) -> Snapshot:
    """A snapshot from its parts, without probes (``assemble_snapshot`` takes them, on a network that is kept).

    Of things with the same name the first given stays, so give your own first.
    """
    return assemble_snapshot(generation, zones, build_network(generation, nodes, links), Measured(), taken_at_ms)


def assemble_snapshot(
    generation: int, zones: Iterable[Zone], network: Network, measured: Measured, taken_at_ms: int
) -> Snapshot:
    """A snapshot on a network that is already built, with what was probed."""
    index: dict[ZoneId, Zone] = {}
    for zone in zones:
        index.setdefault(zone.id, zone)
    ordered = dict(sorted(index.items()))
    return Snapshot(generation, tuple(ordered.values()), network, measured, taken_at_ms, ordered)

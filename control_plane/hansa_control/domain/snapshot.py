"""The immutable world that a decision is made on.

A ``Snapshot`` is rebuilt at every change of capacity, so it is thin: zones and a reference to a ``Network``. The
network (nodes, links and their arrays) changes rarely, is costly to build, and is shared by all snapshots between two
changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.columns import Columns, build_columns, changed_rows, patch_columns
from hansa_control.domain.memo import Memo as Memo
from hansa_control.domain.model import (
    LatencyBasis,
    LinkKind,
    NetworkLink,
    NetworkNode,
    ProbeResult,
    RoundTrip,
    Zone,
    ZoneId,
)
from hansa_control.domain.units import (
    PERCENTILES,
    attachment_rtt,
    great_circle_km,
    modelled_link_rtt,
    physical_link_rtt,
)

KNOWLEDGE_WEIGHT_MAX = 2_000_000
MEASURED_WEIGHT_MAX = 2_000_000

LENGTH_TOLERANCE = 0.99
"""A stated length may fall short of the great circle by this factor, for rounding of coordinates."""


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The network graph: nodes and links sorted by name, and the same as arrays.

    generation is that of the snapshot for which it was built. ends is (links, 2) indexes into nodes; rtt_us is
    (links, 3), columns as in ``PERCENTILES``. dangling names links that were left out because an end is not known or
    both ends are the same. routes, laws and verdicts hold what was worked out about paths, facts and whole zones while
    this network lasts.
    """

    generation: int
    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]
    node_index: Mapping[str, int]
    ends: NDArray[np.int64]
    rtt_us: NDArray[np.int64]
    dangling: tuple[str, ...] = ()
    routes: Memo = field(default_factory=lambda: Memo(weight_max=1_000_000), repr=False)
    laws: Memo = field(default_factory=lambda: Memo(weight_max=40_000), repr=False)
    verdicts: Memo = field(default_factory=lambda: Memo(weight_max=40_000), repr=False)

    def node(self, name: str) -> NetworkNode | None:
        """The node of that name, or None."""
        at = self.node_index.get(name)
        return None if at is None else self.nodes[at]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What agents probed, and what follows for paths: by zone, the slowest round trip from a zone at each node."""

    probes: tuple[ProbeResult, ...] = ()
    floors: Mapping[ZoneId, Mapping[str, RoundTrip]] = field(default_factory=dict)
    kept: Memo = field(default_factory=lambda: Memo(MEASURED_WEIGHT_MAX), repr=False)

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
                known[node_of[near]] = _slower(former, probe.rtt) if former else probe.rtt
        return cls(kept, floors)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Zones sorted by id on a network, with what agents measured, as of taken_at_ms (wall clock, UTC).

    columns are the zones once more, as arrays. knowledge holds what was worked out about law and facts; it outlives
    the snapshot, because facts change far less often than capacity or links.
    """

    generation: int
    network: Network
    measured: Measured
    taken_at_ms: int
    columns: Columns = field(repr=False)
    index: Mapping[ZoneId, int] = field(repr=False)
    knowledge: Memo = field(repr=False)

    @property
    def zones(self) -> tuple[Zone, ...]:
        return self.columns.zones

    @property
    def probes(self) -> tuple[ProbeResult, ...]:
        return self.measured.probes

    @property
    def nodes(self) -> tuple[NetworkNode, ...]:
        return self.network.nodes

    @property
    def links(self) -> tuple[NetworkLink, ...]:
        return self.network.links

    def zone(self, zone_id: ZoneId) -> Zone | None:
        """The zone of that id, or None."""
        row = self.index.get(zone_id)
        return None if row is None else self.columns.zones[row]

    def with_zones(self, generation: int, zones: Iterable[Zone], taken_at_ms: int) -> Snapshot:
        """A later snapshot with other zones on the same network and probes; cheap where few of them are new values."""
        return self.updated(generation, zones, taken_at_ms)

    def with_changed(self, generation: int, changed: Iterable[Zone], taken_at_ms: int) -> Snapshot:
        """A later snapshot in which these zones, all of them known, have changed; the cheapest way."""
        rows = {self.index[zone.id]: zone for zone in changed}
        columns = patch_columns(self.columns, rows)
        return replace(self, generation=generation, columns=columns, taken_at_ms=taken_at_ms)

    def updated(
        self,
        generation: int,
        zones: Iterable[Zone],
        taken_at_ms: int,
        network: Network | None = None,
        measured: Measured | None = None,
    ) -> Snapshot:
        """A later snapshot; what is not given stays, and so does what is known of zones that are the same value."""
        ordered = _by_id(zones)
        changed = changed_rows(self.columns, ordered)
        later = replace(
            self,
            generation=generation,
            network=network or self.network,
            measured=measured or self.measured,
            taken_at_ms=taken_at_ms,
        )
        if changed is None:
            return replace(later, columns=build_columns(ordered), index=_index(ordered))
        return replace(later, columns=patch_columns(self.columns, changed))


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
    ordered = _by_id(zones)
    columns = build_columns(ordered)
    return Snapshot(generation, network, measured, taken_at_ms, columns, _index(ordered), Memo(KNOWLEDGE_WEIGHT_MAX))


def _by_id(zones: Iterable[Zone]) -> list[Zone]:
    """Zones in the order of their ids; of those with the same id the first."""
    ordered = sorted(zones, key=attrgetter("id"))
    return [zone for n, zone in enumerate(ordered) if not n or zone.id != ordered[n - 1].id]


def _index(zones: list[Zone]) -> dict[ZoneId, int]:
    return {zone.id: row for row, zone in enumerate(zones)}


def build_network(generation: int, nodes: Iterable[NetworkNode], links: Iterable[NetworkLink]) -> Network:
    """A network from nodes and links in any order. Of things with the same name the first given stays."""
    kept_nodes = _first_by_name(nodes)
    index = {node.name: at for at, node in enumerate(kept_nodes)}
    by_name = {link.name: link for link in reversed(tuple(links))}
    ordered = [by_name[name] for name in sorted(by_name)]
    usable = [link for link in ordered if link.node_a in index and link.node_b in index and link.node_a != link.node_b]
    kept = tuple(_checked(link, kept_nodes[index[link.node_a]], kept_nodes[index[link.node_b]]) for link in usable)
    usable_names = {link.name for link in usable}
    return Network(
        generation=generation,
        nodes=kept_nodes,
        links=kept,
        node_index=index,
        ends=_frozen([(index[x.node_a], index[x.node_b]) for x in kept], columns=2),
        rtt_us=_frozen([[x.rtt.at(p) for p in PERCENTILES] for x in kept], columns=3),
        dangling=tuple(link.name for link in ordered if link.name not in usable_names),
    )


def effective_rtt(link: NetworkLink, measured: RoundTrip | None = None) -> RoundTrip:
    """The round-trip time that deciding counts with: the slowest of what is measured, modelled and physically possible.

    The one place of the rule that a measurement makes a link slower, never faster, than its model (the link's own, or
    the calibrated one where the link comes with nothing but a measurement), and that nothing is faster than light in
    fibre of the link's length. A probe that is too fast took another way or is a lie, and believing it would admit
    what the budget forbids. The basis names what the result rests on; PHYSICAL where a claim was lifted to the bound.
    """
    claimed = link.rtt
    if claimed.basis is LatencyBasis.MEASURED:
        claimed = _slower(modelled_link_rtt(link.length_m), claimed)
    if measured is not None:
        claimed = _slower(claimed, measured)
    return _slower(claimed, physical_link_rtt(link.length_m))


ATTACHMENT_RTT = attachment_rtt()


def attachment_of(zone: Zone) -> NetworkLink:
    """The link from a zone's network node to the zone: the fixed part of the latency model, carried by its owner."""
    name = str(zone.id)
    return NetworkLink(
        name=f"{zone.inventory.node}--{name}",
        node_a=zone.inventory.node,
        node_b=name,
        length_m=0,
        rtt=ATTACHMENT_RTT,
        countries=(),
        carrier=zone.id.operator,
        kind=LinkKind.ATTACHMENT,
    )


def to_networkx(network: Network, zones: Iterable[Zone] = ()) -> nx.MultiGraph:
    """The network, and the zones at their attachments, as a networkx multigraph.

    Node attribute ``node`` (NetworkNode) or ``zone`` (Zone); edges are keyed by link name and have ``link``
    (NetworkLink) and ``p50_us``, ``p95_us``, ``p99_us`` as weights. A zone at an unknown node stays unconnected.
    """
    graph = nx.MultiGraph()
    for node in network.nodes:
        graph.add_node(node.name, node=node)
    attached = []
    for zone in zones:
        graph.add_node(str(zone.id), zone=zone)
        attached.append(attachment_of(zone))
    for link in (*network.links, *attached):
        if link.node_a in graph:
            weights = {f"p{p}_us": link.rtt.at(p) for p in PERCENTILES}
            graph.add_edge(link.node_a, link.node_b, key=link.name, link=link, **weights)
    return graph


def from_networkx(graph: nx.Graph, generation: int) -> Network:
    """The network in a graph as ``to_networkx`` writes it; zones and their attachments are left out."""
    nodes = [data["node"] for _, data in graph.nodes(data=True) if "node" in data]
    links = [data["link"] for *_, data in graph.edges(data=True)]
    names = {node.name for node in nodes}
    return build_network(generation, nodes, (x for x in links if x.node_a in names and x.node_b in names))


def _frozen(rows: Sequence[Sequence[int]], columns: int) -> NDArray[np.int64]:
    array = np.array(rows, dtype=np.int64).reshape(-1, columns)
    array.setflags(write=False)
    return array


def _first_by_name(nodes: Iterable[NetworkNode]) -> tuple[NetworkNode, ...]:
    by_name: dict[str, NetworkNode] = {}
    for node in nodes:
        by_name.setdefault(node.name, node)
    return tuple(by_name[name] for name in sorted(by_name))


def _checked(link: NetworkLink, node_a: NetworkNode, node_b: NetworkNode) -> NetworkLink:
    """The link with a length and a round-trip time that the places of its ends allow."""
    shortest_m = _great_circle_m(node_a, node_b)
    length_m = shortest_m if link.length_m < shortest_m * LENGTH_TOLERANCE else link.length_m
    sound = link if length_m == link.length_m else replace(link, length_m=length_m)
    rtt = effective_rtt(sound)
    return sound if rtt == sound.rtt else replace(sound, rtt=rtt)


def _great_circle_m(node_a: NetworkNode, node_b: NetworkNode) -> int:
    """Metres between two nodes; 0 when a place is not given (a node at exactly 0, 0 has none)."""
    places = [(node.latitude_deg, node.longitude_deg) for node in (node_a, node_b)]
    if (0.0, 0.0) in places:
        return 0
    return int(great_circle_km(*places[0], *places[1]) * 1_000)


def _slower(left: RoundTrip, right: RoundTrip) -> RoundTrip:
    """The slower of two at each percentile; ``left`` itself where it is nowhere faster."""
    if left.p50_us >= right.p50_us and left.p95_us >= right.p95_us and left.p99_us >= right.p99_us:
        return left
    basis = right.basis
    source = right if basis is LatencyBasis.MEASURED else left
    return RoundTrip(
        max(left.p50_us, right.p50_us),
        max(left.p95_us, right.p95_us),
        max(left.p99_us, right.p99_us),
        basis,
        source.sample_count,
        source.observed_at_ms,
    )

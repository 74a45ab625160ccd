"""The network graph that paths are searched in: nodes and links by name, and the same as arrays.

A network is immutable, costly to build, and shared by all snapshots between two changes. Where only attributes of its
links and nodes change, the next one is made from it: arrays are patched, the rest is shared, and what was searched is
carried over with a record of what has changed since (``lineage``), so that it is mended when it is next asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from hansa_control.domain.arcs import Arcs, Codes, LinkColumns, frozen, path_columns
from hansa_control.domain.containers import Memo, overlaid
from hansa_control.domain.lineage import Lineage, Touched
from hansa_control.domain.model import LatencyBasis, LinkKind, NetworkLink, NetworkNode, RoundTrip, Zone
from hansa_control.domain.units import attachment_rtt, great_circle_km, modelled_link_rtt, physical_link_rtt

LENGTH_TOLERANCE = 0.99
"""A stated length may fall short of the great circle by this factor, for rounding of coordinates."""


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """Nodes and links that are new or other than before, and names of those that are no more."""

    nodes: tuple[NetworkNode, ...] = ()
    links: tuple[NetworkLink, ...] = ()
    nodes_removed: frozenset[str] = frozenset()
    links_removed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Nodes and links sorted by name, with a length and a round-trip time that physics allows, and the same as arrays.

    generation is that of the snapshot for which it was built. given holds, by index, links that were given otherwise
    than they are counted; adrift those left out because an end is not known or both ends are the same. searches is
    carried over from network to network; routes and paths hold what was worked out about paths and whole zones
    while this one lasts.
    """

    generation: int
    nodes: Sequence[NetworkNode]
    links: Sequence[NetworkLink]
    node_index: Mapping[str, int]
    link_index: Mapping[str, int]
    arcs: Arcs
    columns: LinkColumns
    node_codes: Codes
    link_codes: Codes
    is_symmetric: bool
    given: Mapping[int, NetworkLink] = field(default_factory=dict, repr=False)
    adrift: tuple[NetworkLink, ...] = ()
    lineage: Lineage = field(default_factory=Lineage)
    searches: Memo = field(default_factory=lambda: Memo(weight_max=4_000_000), repr=False)
    routes: Memo = field(default_factory=lambda: Memo(weight_max=5_000_000), repr=False)

    @property
    def dangling(self) -> tuple[str, ...]:
        """Names of the links that were left out."""
        return tuple(link.name for link in self.adrift)

    def node(self, name: str) -> NetworkNode | None:
        """The node of that name, or None."""
        at = self.node_index.get(name)
        return None if at is None else self.nodes[at]

    def with_changes(self, generation: int, change: NetworkChange) -> Network:
        """The network after a change: what ``build_network`` makes of the same nodes and links, but sooner.

        Where only attributes differ, arrays are patched and searches carried over; a new, removed or re-laid node or
        link has everything built afresh. The network itself where nothing differs.
        """
        nodes = {node.name: node for node in reversed(change.nodes)}
        links = {link.name: link for link in reversed(change.links)}
        removed = (change.nodes_removed - nodes.keys(), change.links_removed - links.keys())
        if not self._has_same_names(nodes, links, removed):
            return self._rebuilt(generation, nodes, links, removed)
        node_changes = {self.node_index[name]: x for name, x in nodes.items() if self.nodes[self.node_index[name]] != x}
        link_changes = {self.link_index[name]: link for name, link in links.items()}
        link_changes = {at: link for at, link in link_changes.items() if self._link_as_given(at) != link}
        return self._patched(generation, node_changes, link_changes) if node_changes or link_changes else self

    def _link_as_given(self, at: int) -> NetworkLink:
        return self.given.get(at, self.links[at])

    def _has_same_names(
        self,
        nodes: Mapping[str, NetworkNode],
        links: Mapping[str, NetworkLink],
        removed: tuple[frozenset[str], frozenset[str]],
    ) -> bool:
        """Whether the change leaves all names and the ends of all links as they are."""
        adrift = self.dangling
        if not nodes.keys() <= self.node_index.keys() or any(name in self.node_index for name in removed[0]):
            return False
        if any(name in self.link_index or name in adrift for name in removed[1]):
            return False
        for name, link in links.items():
            at = self.link_index.get(name)
            if at is None or (link.node_a, link.node_b) != (self.links[at].node_a, self.links[at].node_b):
                return False
        return True

    def _rebuilt(
        self,
        generation: int,
        nodes: Mapping[str, NetworkNode],
        links: Mapping[str, NetworkLink],
        removed: tuple[frozenset[str], frozenset[str]],
    ) -> Network:
        all_nodes = {node.name: node for node in self.nodes} | dict(nodes)
        as_given = (self._link_as_given(at) for at in range(len(self.links)))
        all_links = {link.name: link for link in chain(as_given, self.adrift)} | dict(links)
        return _built(
            generation,
            [node for name, node in all_nodes.items() if name not in removed[0]],
            [link for name, link in all_links.items() if name not in removed[1]],
            self._checked_again,
        )

    def _checked_again(self, link: NetworkLink, node_a: NetworkNode, node_b: NetworkNode) -> NetworkLink:
        """The link as it counts; known where neither it nor its ends have changed, which is nearly everywhere."""
        at = self.link_index.get(link.name)
        if at is None or self._link_as_given(at) is not link:
            return _checked(link, node_a, node_b)
        same_ends = self.node(link.node_a) is node_a and self.node(link.node_b) is node_b
        return self.links[at] if same_ends else _checked(link, node_a, node_b)

    def _patched(
        self, generation: int, node_changes: Mapping[int, NetworkNode], link_changes: Mapping[int, NetworkLink]
    ) -> Network:
        """The network with other attributes of some nodes and links, by index."""
        nodes = overlaid(self.nodes, node_changes)
        at_nodes = {int(self.arcs.link[arc]) for node in node_changes for arc in self.arcs.leaving(node)}
        touched = Touched(tuple(sorted(at_nodes | link_changes.keys())), tuple(sorted(node_changes)))
        raw = {at: link_changes.get(at) or self._link_as_given(at) for at in touched.links}
        sound = {at: _checked(link, *(nodes[x] for x in self.arcs.ends[at])) for at, link in raw.items()}
        columns = self.columns
        if sound:
            columns = columns.with_rows(touched.links, _columns(list(sound.values())))
        is_symmetric = columns.is_symmetric
        # Costs are counted in other units where the way back is a way of its own, so nothing can be carried over.
        keeps = is_symmetric == self.is_symmetric
        return replace(
            self,
            generation=generation,
            nodes=nodes,
            links=overlaid(self.links, sound),
            columns=columns,
            node_codes=self.node_codes.with_items({at: (x, _node_code(x)) for at, x in node_changes.items()}),
            link_codes=self.link_codes.with_items({at: (x, _link_code(x)) for at, x in sound.items()}),
            is_symmetric=is_symmetric,
            given=_with_given(self.given, raw, sound),
            lineage=self.lineage.after(touched),
            searches=self.searches.copied() if keeps else Memo(self.searches.weight_max),
            routes=Memo(self.routes.weight_max),
        )


def build_network(generation: int, nodes: Iterable[NetworkNode], links: Iterable[NetworkLink]) -> Network:
    """A network from nodes and links in any order. Of things with the same name the first given stays."""
    return _built(generation, nodes, links, _checked)


def _built(
    generation: int,
    nodes: Iterable[NetworkNode],
    links: Iterable[NetworkLink],
    check: Callable[[NetworkLink, NetworkNode, NetworkNode], NetworkLink],
) -> Network:
    kept_nodes = _first_by_name(nodes)
    index = {node.name: at for at, node in enumerate(kept_nodes)}
    by_name = {link.name: link for link in reversed(tuple(links))}
    ordered = [by_name[name] for name in sorted(by_name)]
    usable = [link for link in ordered if link.node_a in index and link.node_b in index and link.node_a != link.node_b]
    kept = tuple(check(link, kept_nodes[index[link.node_a]], kept_nodes[index[link.node_b]]) for link in usable)
    usable_names = {link.name for link in usable}
    ends = np.array([(index[x.node_a], index[x.node_b]) for x in kept], dtype=np.int32).reshape(-1, 2)
    columns = _columns(kept)
    return Network(
        generation=generation,
        nodes=kept_nodes,
        links=kept,
        node_index=index,
        link_index={link.name: at for at, link in enumerate(kept)},
        arcs=Arcs.between(ends, len(kept_nodes)),
        columns=columns,
        node_codes=Codes.of(kept_nodes, [_node_code(node) for node in kept_nodes]),
        link_codes=Codes.of(kept, [_link_code(link) for link in kept]),
        is_symmetric=columns.is_symmetric,
        given=_with_given({}, dict(enumerate(usable)), dict(enumerate(kept))),
        adrift=tuple(link for link in ordered if link.name not in usable_names),
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
        claimed = slower(modelled_link_rtt(link.length_m), claimed)
    if measured is not None:
        claimed = slower(claimed, measured)
    return slower(claimed, physical_link_rtt(link.length_m))


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


def slower(left: RoundTrip, right: RoundTrip) -> RoundTrip:
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


def _columns(links: Sequence[NetworkLink]) -> LinkColumns:
    return LinkColumns(
        path_us=path_columns([link.rtt for link in links]),
        share_permille=frozen(np.array([link.forward_permille for link in links], dtype=np.int16)),
        one_way=frozen(np.array([link.one_way for link in links], dtype=np.bool_)),
        bandwidth_kbps=frozen(np.array([link.bandwidth_kbps for link in links], dtype=np.int64)),
    )


def _node_code(node: NetworkNode) -> Hashable:
    return node.country, node.at_sea


def _link_code(link: NetworkLink) -> Hashable:
    return link.countries, link.carrier, link.encryption


def _with_given(
    given: Mapping[int, NetworkLink], raw: Mapping[int, NetworkLink], sound: Mapping[int, NetworkLink]
) -> Mapping[int, NetworkLink]:
    """The links that were given otherwise than they are counted, after some have changed."""
    lifted = {at: link for at, link in raw.items() if sound[at] is not link}
    if not lifted and not any(at in given for at in raw):
        return given
    return {at: link for at, link in given.items() if at not in raw} | lifted


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

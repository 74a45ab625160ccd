"""An operator's network without its inside: the nodes that a partner may see, and virtual links for the paths between.

A virtual link stands for one real path within the network, carried by one carrier, and says of it what the rules about
paths ask: every country that the path's inner nodes and links cross, the carrier, the weakest encryption, the least
known bandwidth, the length, and a round trip that adds to a longer path exactly what the real links add. So whatever is
lawful and in time over virtual links is so over the real ones. The reverse does not hold: a real path of which no
virtual link tells is a refusal more, never a breach.

Between two nodes there is one virtual link for the fastest path, and others for the fastest paths that avoid what the
ones before cross: a country, what is unknown, or links that are not encrypted. What is unknown of a part of a path is
unknown of all of it, and nothing else of it is shown then that could lift a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import combinations
from typing import NamedTuple

import numpy as np

from hansa_control.domain.arcs import HALF_PERMILLE, SPREAD_SHARE
from hansa_control.domain.canonical import canonical
from hansa_control.domain.inner_paths import InnerPath, Pair, paths_between
from hansa_control.domain.model import (
    LatencyBasis,
    LinkEncryption,
    LinkKind,
    NetworkLink,
    NetworkNode,
    RoundTrip,
)
from hansa_control.domain.network import Network, build_network

LENGTH_M_MAX, RTT_US_MAX = 100_000_000, 3_600_000_000
"""The longest and slowest link that partners take over."""

NAME_PART_MAX = 48


class _Way(NamedTuple):
    """A path in one direction, as indexes of nodes and links; both_ways if it leads back as well, in the same time."""

    nodes: tuple[int, ...]
    links: tuple[int, ...]
    both_ways: bool


class _Identity(NamedTuple):
    """What tells virtual links apart."""

    operator: str
    node_a: str
    node_b: str
    carrier: str
    countries: tuple[str, ...] | None
    encryption: LinkEncryption
    one_way: bool


def leaving(nodes: Iterable[NetworkNode], links: Iterable[NetworkLink]) -> tuple[NetworkLink, ...]:
    """The links of which an end is none of the nodes: they lead to other operators."""
    own = {node.name for node in nodes}
    return tuple(link for link in links if not {link.node_a, link.node_b} <= own)


def gateways(nodes: Iterable[NetworkNode], links: Iterable[NetworkLink]) -> frozenset[str]:
    """The nodes at which links to other operators end."""
    own = frozenset(node.name for node in nodes)
    return own.intersection(end for link in leaving(nodes, links) for end in (link.node_a, link.node_b))


class Inside:
    """An operator's own network, and the virtual links that stand for paths through it.

    What was found between two nodes is kept, so that another node that is to be shown costs its own searches alone, and
    links stay the same objects.
    """

    def __init__(self, operator: str, nodes: Sequence[NetworkNode], links: Sequence[NetworkLink]) -> None:
        own = {node.name for node in nodes}
        inside = [link for link in links if {link.node_a, link.node_b} <= own]
        carriers = sorted({link.carrier for link in inside} - {""})
        self._own = frozenset(own)
        self._parts = [
            _OneCarrier(operator, build_network(0, nodes, (x for x in inside if x.carrier == carrier)))
            for carrier in carriers
        ]

    def virtual_links(self, shown: frozenset[str]) -> tuple[NetworkLink, ...]:
        """Links between shown nodes in the place of the network between them, sorted by name.

        A path over a third shown node is not among them, since its parts are. Nor is one over links of several
        carriers: show a node at which they meet. Names say the ends and nothing of the inside, and stay while what is
        shown of the path besides its length and times stays.
        """
        names = sorted(shown & self._own)
        links: dict[str, NetworkLink] = {}
        for part in self._parts:
            for link in part.virtual_links(names):
                # Of the same name are paths that nothing tells apart: each avoids what the other does, so both are the
                # fastest.
                links.setdefault(link.name, link)
        return tuple(links[name] for name in sorted(links))


class _OneCarrier:
    """The links of one carrier, and what was found in them."""

    def __init__(self, operator: str, network: Network) -> None:
        self._operator, self._network = operator, network
        self._ways: dict[Pair, tuple[_Way, ...]] = {}
        self._links: dict[_Way, NetworkLink] = {}

    def virtual_links(self, names: Sequence[str]) -> Iterator[NetworkLink]:
        """Links between nodes, by pairs of these."""
        pairs = list(combinations(names, 2))
        found = paths_between(self._network, (pair for pair in pairs if pair not in self._ways))
        for pair, paths in found.items():
            self._ways[pair] = tuple(way for path in paths for way in _ways(self._network, path))
        shown = frozenset(self._network.node_index[name] for name in names)
        for pair in pairs:
            for way in self._ways[pair]:
                if shown.isdisjoint(way.nodes[1:-1]):
                    link = self._link(way)
                    if link.length_m <= LENGTH_M_MAX and link.rtt.p99_us <= RTT_US_MAX:
                        yield link

    def _link(self, way: _Way) -> NetworkLink:
        link = self._links.get(way)
        if link is None:
            link = self._links[way] = _virtual(self._operator, self._network, way)
        return link


def _ways(network: Network, path: InnerPath) -> tuple[_Way, ...]:
    """A path there and back as one, where it is the same both ways, else as two that are apart."""
    if network.is_symmetric:
        return (_Way(path.nodes, path.links, both_ways=True),)
    nodes, links = path.back_nodes or path.nodes[::-1], path.back_links or path.links[::-1]
    return _Way(path.nodes, path.links, both_ways=False), _Way(nodes, links, both_ways=False)


def _virtual(operator: str, network: Network, way: _Way) -> NetworkLink:
    """The link that stands for a path."""
    links = [network.links[at] for at in way.links]
    known, is_known = _crossed(network, way.nodes, way.links)
    encryption = _weakest(network, way.links)
    if not is_known and encryption is LinkEncryption.ENCRYPTED and (known or _is_on_land(network, way)):
        # A rule may accept a link of unknown countries that is encrypted. It would accept with it what is known of the
        # path, and inner nodes in unknown countries, which no encryption of links protects.
        encryption = LinkEncryption.UNKNOWN
    identity = _Identity(
        operator,
        network.nodes[way.nodes[0]].name,
        network.nodes[way.nodes[-1]].name,
        links[0].carrier,
        tuple(sorted(known)) if is_known else None,
        encryption,
        not way.both_ways,
    )
    is_wet = any(link.kind is LinkKind.SEA_CABLE for link in links)
    return NetworkLink(
        name=_name(identity),
        node_a=identity.node_a,
        node_b=identity.node_b,
        length_m=sum(link.length_m for link in links),
        rtt=_round_trip(network, way),
        countries=identity.countries,
        carrier=identity.carrier,
        kind=LinkKind.SEA_CABLE if is_wet else LinkKind.TERRESTRIAL,
        one_way=identity.one_way,
        bandwidth_kbps=min((link.bandwidth_kbps for link in links if link.bandwidth_kbps), default=0),
        encryption=encryption,
    )


def _crossed(network: Network, nodes: Sequence[int], links: Sequence[int]) -> tuple[frozenset[str], bool]:
    """The countries that links and inner nodes are known to be in, and whether all are known.

    Those of the ends are among them where something between is there, too: a partner may know the ends otherwise.
    """
    inner = [network.nodes[at] for at in nodes[1:-1]]
    crossed = [network.links[at].countries for at in links]
    known = {node.country for node in inner if node.country is not None}.union(*(each or () for each in crossed))
    is_known = None not in crossed and all(node.country is not None or node.at_sea for node in inner)
    return frozenset(known), is_known


def _is_on_land(network: Network, way: _Way) -> bool:
    return not all(network.nodes[at].at_sea for at in way.nodes[1:-1])


def _weakest(network: Network, links: Sequence[int]) -> LinkEncryption:
    found = {network.links[at].encryption for at in links}
    weakest = (LinkEncryption.NONE, LinkEncryption.UNKNOWN, LinkEncryption.ENCRYPTED)
    return next((one for one in weakest if one in found), LinkEncryption.ENCRYPTED)


def _round_trip(network: Network, way: _Way) -> RoundTrip:
    """A round trip that adds to a path what the links of the way add, at every percentile.

    A one-way link is said to spend half of it there, so it has twice the time of the way, rounded up to a microsecond.
    """
    columns, at = network.columns, np.array(way.links, dtype=np.int64)
    if way.both_ways:
        times_us = columns.path_us[:, at].sum(axis=1)
    else:
        share = columns.share_permille[at].astype(np.int64)
        forward = network.arcs.ends[at, 0] == np.array(way.nodes[:-1])
        times_ns = columns.path_us[:, at] @ np.where(forward, share, 2 * HALF_PERMILLE - share)
        times_us = -(-times_ns // HALF_PERMILLE)
    added_us, p95_us, p99_us = (int(time_us) for time_us in times_us)
    # What adds p50 + (p95 - p50) / 5, rounded up, adds p95 less four fifths of the spread, rounded down.
    spread_us = -(-SPREAD_SHARE * (p95_us - added_us) // (SPREAD_SHARE - 1))
    rtts = [network.links[link].rtt for link in way.links]
    counts, seen_ms = (min(rtt.sample_count for rtt in rtts), min(rtt.observed_at_ms for rtt in rtts))
    return RoundTrip(p95_us - spread_us, p95_us, p99_us, _basis({rtt.basis for rtt in rtts}), counts, seen_ms)


def _basis(bases: set[LatencyBasis]) -> LatencyBasis:
    """That of all parts, and a model where they differ."""
    return next(iter(bases)) if len(bases) == 1 else LatencyBasis.MODELLED


def _name(identity: _Identity) -> str:
    """Ends for people, and a digest of what tells the link apart, all of which is shown."""
    ends = "--".join(end[:NAME_PART_MAX].rstrip("-") for end in (identity.node_a, identity.node_b))
    return f"{ends}-{sha256(canonical(list(identity))).hexdigest()[:12]}"

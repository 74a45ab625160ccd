"""Paths between many nodes of one network: of each pair the fastest, and the fastest that avoid what those cross.

All pairs are searched together, one set of things to avoid after the other: what a set leaves of the network is worked
out once, and a search from a node serves every pair that begins there. Per pair remains reading a path back from a
tree and a few operations on bits, for what a path crosses is a number with a bit for each country, for what is unknown
and for what is not encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from hansa_control.domain.model import LinkEncryption, TransitRule
from hansa_control.domain.network import Network
from hansa_control.domain.repair import items_of
from hansa_control.domain.route_graph import GraphKey, Strictness, graph_key, graph_of
from hansa_control.domain.route_tree import Tree, TreeKey, trees_of, walk_back

PATHS_MAX = 8
"""Different paths between two nodes that are found at most."""

SEARCHES_MAX = 32
"""Searches for them at most: sets of things to avoid could be exponentially many."""

SEARCH_PERCENTILE = 95
"""The percentile at which the fastest path is sought: the one that budgets have unless they say another."""

UNKNOWN, PLAIN = "unknown", "not encrypted"
"""What a path may avoid besides countries. Countries are in capitals, so that these are none."""

Pair = tuple[str, str]


class InnerPath(NamedTuple):
    """A path there and back, as indexes of nodes and links; the way back is empty where it is the way there."""

    nodes: tuple[int, ...]
    links: tuple[int, ...]
    back_nodes: tuple[int, ...] = ()
    back_links: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class _Sought:
    """How far the search for the paths of a pair is. Things to avoid are bits, of ends that are never to be avoided."""

    pair: Pair
    start: int
    goal: int
    ends: int
    met: set[int] = field(default_factory=set)
    cut_off: list[int] = field(default_factory=list)
    searches: int = 0
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], InnerPath] = field(default_factory=dict)

    def goes_on(self, avoided: int) -> bool:
        """Whether it is to be searched for a path that avoids this; where less cuts both ends off, more does."""
        is_open = self.searches < SEARCHES_MAX and len(self.found) < PATHS_MAX
        return is_open and not any(less & avoided == less for less in self.cut_off)


class _Crossed:
    """What nodes and links are crossed for, as bits in the order of the words."""

    def __init__(self, network: Network) -> None:
        countries = {node.country for node in network.nodes} | {
            x for link in network.links for x in link.countries or ()
        }
        self.words = sorted({word for word in countries if word is not None} | {UNKNOWN, PLAIN})
        self._bit = {word: 1 << at for at, word in enumerate(self.words)}
        self.unknown = self._bit[UNKNOWN]
        self._has_encrypted = any(x.encryption is LinkEncryption.ENCRYPTED for x in network.link_codes.samples)
        self.nodes = [self._of_node(node.country, at_sea=node.at_sea) for node in network.nodes]
        self.links = [self._of_link(link.countries, link.encryption) for link in network.links]
        self.lands = [self._bit[node.country] if node.country is not None else 0 for node in network.nodes]

    def _of_node(self, country: str | None, *, at_sea: bool) -> int:
        if country is not None:
            return self._bit[country]
        return 0 if at_sea else self.unknown

    def _of_link(self, countries: Iterable[str] | None, encryption: LinkEncryption) -> int:
        bits = self.unknown if countries is None else sum(self._bit[country] for country in set(countries))
        # Where no link is encrypted there is no path to be found that is.
        is_plain = self._has_encrypted and encryption is not LinkEncryption.ENCRYPTED
        return bits | self._bit[PLAIN] if is_plain else bits

    def along(self, nodes: Sequence[int], links: Sequence[int]) -> int:
        """What a way crosses between its ends."""
        bits = 0
        for node in nodes[1:-1]:
            bits |= self.nodes[node]
        for link in links:
            bits |= self.links[link]
        return bits

    def said(self, bits: int) -> tuple[str, ...]:
        """The words of some bits, sorted."""
        return tuple(word for at, word in enumerate(self.words) if bits >> at & 1)


def paths_between(network: Network, pairs: Iterable[Pair]) -> dict[Pair, tuple[InnerPath, ...]]:
    """Of each pair of different nodes that the network has the fastest path there and back, then those that avoid more
    and more of what was crossed, as far as the bounds go.

    The paths are those that ``routing.find_route`` finds under a rule that denies what is to be avoided: what it would
    avoid besides one thing that was crossed is also what is unknown.
    """
    crossed = _Crossed(network)
    index = network.node_index
    sought = [
        _Sought(pair, a, b, crossed.lands[a] | crossed.lands[b])
        for pair in pairs
        for a, b in [(index[pair[0]], index[pair[1]])]
    ]
    # Fewer things first, then by word: the order in which each pair alone would be searched.
    waiting: list[tuple[int, tuple[str, ...], int]] = [(0, (), 0)]
    wanting: dict[int, list[_Sought]] = {0: sought}
    while waiting:
        _, words, avoided = heappop(waiting)
        for one, path in _found(network, words, [one for one in wanting.pop(avoided) if one.goes_on(avoided)]):
            if path is None:
                one.cut_off.append(avoided)
                continue
            one.found.setdefault((path.links, path.back_links), path)
            for more in _to_avoid(crossed, one, path, avoided):
                if more not in wanting:
                    wanting[more] = []
                    heappush(waiting, (more.bit_count(), crossed.said(more), more))
                wanting[more].append(one)
    return {one.pair: tuple(one.found.values()) for one in sought}


def _to_avoid(crossed: _Crossed, one: _Sought, path: InnerPath, avoided: int) -> Iterator[int]:
    """What to avoid next: one thing more that this path crosses and another between the same ends need not cross."""
    bits = crossed.along(path.nodes, path.links) | crossed.along(path.back_nodes, path.back_links)
    bits &= ~(one.ends | avoided)
    while bits:
        lowest = bits & -bits
        bits ^= lowest
        more = avoided | lowest | crossed.unknown
        if more not in one.met:
            one.met.add(more)
            yield more


def _found(
    network: Network, avoided: Sequence[str], sought: Sequence[_Sought]
) -> Iterator[tuple[_Sought, InnerPath | None]]:
    """Of each that is sought the fastest path there and back that avoids something; None if there is none."""
    if not sought:
        return
    key, turned = _graph_key(network, avoided), not network.is_symmetric
    starts = dict.fromkeys(one.start for one in sought)
    there = {start: TreeKey(key, start, is_turned=False) for start in starts}
    back = {start: TreeKey(key, start, is_turned=turned) for start in starts}
    trees = trees_of(network, [*there.values(), *back.values()])
    for one in sought:
        one.searches += 1
        yield one, _read_back(network, key, (trees[there[one.start]], trees[back[one.start]]), one.goal)


def _graph_key(network: Network, avoided: Sequence[str]) -> GraphKey:
    """Whoever avoids anything also avoids what is unknown."""
    if not avoided:
        return graph_key(network, None, Strictness.ANY, SEARCH_PERCENTILE, 0)
    countries = frozenset(avoided) - {UNKNOWN, PLAIN}
    rule = TransitRule(None, countries_denied=countries, encryption_required=PLAIN in avoided)
    return graph_key(network, rule, Strictness.LAWFUL, SEARCH_PERCENTILE, 0)


def _read_back(network: Network, key: GraphKey, trees: tuple[Tree, Tree], goal: int) -> InnerPath | None:
    there, back = trees
    if items_of(there.cost)[goal] == inf or items_of(back.cost)[goal] == inf:
        return None
    graph = graph_of(network, key)
    nodes, links = walk_back(network, graph, there, goal, is_turned=False)
    way = InnerPath(tuple(reversed(nodes)), tuple(reversed(links)))
    if back is there:
        return way
    back_nodes, back_links = walk_back(network, graph, back, goal, is_turned=True)
    is_same = back_links == links
    return way if is_same else way._replace(back_nodes=tuple(back_nodes), back_links=tuple(back_links))

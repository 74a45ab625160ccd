"""Links as arrays: both directions of every link in one order, and what deciding needs to know of each link.

An **arc** is a link in one direction. Arcs are sorted by the node they leave, the node they enter and the link, so the
arcs that leave a node are one slice, and read backwards the same slice is the arcs that enter it: the graph with all
directions turned round is the same arrays with other costs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.model import RoundTrip
from hansa_control.domain.units import PERCENTILES

SPREAD_SHARE = 5
"""A link adds a fifth of the distance from its median to its 95th percentile to a path's median.

Sums of medians fall short where delays are skewed: ten links of exponential delay have a median of 9.67 means, their
medians add up to 6.93. The missing part grows to ``mean - median`` a link, which is at most a fifth of ``p95 - p50``
for the exponential, gamma (shape 1 and above) and lognormal (sigma up to 1.5) families; docs/latency.md.
"""

HALF_PERMILLE = 500


class Arcs(NamedTuple):
    """Both directions of every link. start is (nodes + 1), the others are (2 x links): the node that is entered, the
    link, and the place of its cost in (costs from node_a to node_b, costs back) laid end to end. of_link is (links, 2):
    the arc from node_a to node_b and the one back; ends is (links, 2): indexes of node_a and node_b.
    """

    start: NDArray[np.int32]
    target: NDArray[np.int32]
    link: NDArray[np.int32]
    pair: NDArray[np.int32]
    of_link: NDArray[np.int32]
    ends: NDArray[np.int32]

    @classmethod
    def between(cls, ends: NDArray[np.int32], nodes: int) -> Arcs:
        """The arcs of links with these (links, 2) ends, which are indexes of nodes."""
        count = len(ends)
        source, target = np.concatenate([ends, ends[:, ::-1]]).T
        link = np.tile(np.arange(count, dtype=np.int32), 2)
        order = np.lexsort((link, target, source)).astype(np.int32)
        start = np.zeros(nodes + 1, dtype=np.int32)
        np.cumsum(np.bincount(source, minlength=nodes), out=start[1:])
        place = np.empty(2 * count, dtype=np.int32)
        place[order] = np.arange(2 * count, dtype=np.int32)
        arrays = (start, target[order], link[order], order, place.reshape(2, count).T.copy(), ends)
        return cls(*(frozen(np.ascontiguousarray(array)) for array in arrays))

    def leaving(self, node: int) -> range:
        """The arcs that leave a node."""
        return range(int(self.start[node]), int(self.start[node + 1]))


class Codes(NamedTuple):
    """What rules look at, as small integers: few countries and carriers serve many nodes and links.

    values is one code an item; samples holds one item of each code, for which a rule is asked once; book is the code
    of each combination. Codes that no item has any more stay in the book, which does no harm.
    """

    values: NDArray[np.int32]
    samples: tuple[Any, ...]
    book: Mapping[Hashable, int]

    @classmethod
    def of(cls, items: Sequence[Any], combinations: Sequence[Hashable]) -> Codes:
        book: dict[Hashable, int] = {}
        values = [book.setdefault(combination, len(book)) for combination in combinations]
        samples: list[Any] = [None] * len(book)
        for item, code in zip(items, values, strict=True):
            samples[code] = item
        return cls(frozen(np.array(values, dtype=np.int32)), tuple(samples), book)

    def with_items(self, changed: Mapping[int, tuple[Any, Hashable]]) -> Codes:
        """The codes after items at some indexes have changed, each given with its combination."""
        book, samples, values = self.book, self.samples, self.values
        for item, combination in changed.values():
            if combination not in book:
                book, samples = {**book, combination: len(book)}, (*samples, item)
        codes = np.array([book[combination] for _, combination in changed.values()], dtype=np.int32)
        return Codes(patched(values, list(changed), codes), samples, book)


class LinkColumns(NamedTuple):
    """What a search needs to know of each link: path_us is (percentiles, links), what it adds to a path there and
    back; share_permille of that is spent from node_a to node_b; the others are as in ``NetworkLink``.
    """

    path_us: NDArray[np.int64]
    share_permille: NDArray[np.int16]
    one_way: NDArray[np.bool_]
    bandwidth_kbps: NDArray[np.int64]

    @property
    def is_symmetric(self) -> bool:
        """Whether the way back always takes as long as the way there, so that one search serves both."""
        return not self.one_way.any() and bool((self.share_permille == HALF_PERMILLE).all())

    def with_rows(self, at: Sequence[int], rows: LinkColumns) -> LinkColumns:
        """The columns with those of some links in the place of theirs; what does not change is shared."""
        pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(self, rows, strict=True)
        return LinkColumns(*(patched(old, at, new) for old, new in pairs))


def added_to_path(rtt: RoundTrip) -> RoundTrip:
    """What a link with this round-trip time adds to that of a path, at each percentile; integer microseconds.

    The one place of the rule by which percentiles are composed: the sum of what the links add, plus the attachment's
    own percentile, is the path's. p95 and p99 add up as they are; the median is lifted by a fifth of ``p95 - p50``,
    rounded up, for every link besides the attachment.
    """
    lift_us = -(-max(0, rtt.p95_us - rtt.p50_us) // SPREAD_SHARE)
    if not lift_us:
        return rtt
    return RoundTrip(rtt.p50_us + lift_us, rtt.p95_us, rtt.p99_us, rtt.basis, rtt.sample_count, rtt.observed_at_ms)


def path_columns(rtts: Sequence[RoundTrip]) -> NDArray[np.int64]:
    """``added_to_path`` of many links, as (percentiles, links)."""
    flat = np.array([(rtt.p50_us, rtt.p95_us, rtt.p99_us) for rtt in rtts], dtype=np.int64)
    columns = flat.reshape(-1, len(PERCENTILES)).T.copy()
    columns[0] += -(-np.maximum(0, columns[1] - columns[0]) // SPREAD_SHARE)
    return frozen(columns)


def patched(array: NDArray[Any], at: Sequence[int], values: NDArray[Any]) -> NDArray[Any]:
    """The array with other values at some indexes of its last axis; itself where they are the same."""
    if np.array_equal(array[..., at], values):
        return array
    changed = array.copy()
    changed[..., at] = values
    return frozen(changed)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself, which nobody can write to any more."""
    array.setflags(write=False)
    return array

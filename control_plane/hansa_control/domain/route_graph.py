"""What a rule leaves of the network, as costs of arcs.

A cost counts time first and links second: ``time x scale + 1`` an arc, with a scale above the number of nodes, so that
no cost is zero and of equally fast paths the one with fewer links is cheaper. Time is microseconds there and back in a
symmetric network, and nanoseconds one way (microseconds x permille) in any other. All sums are integers below 2^53 and
so exact in a double; what lies beyond (152 hours, or 9 minutes one way, at 10,000 nodes) counts as not reachable.

A graph is built once for a rule, percentile and bandwidth, stays with the network and goes over to the networks made
from it, where the costs of changed links are put in when it is next asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded when they are first used: a start does without
from numpy.typing import NDArray

from hansa_control.domain.arcs import Codes
from hansa_control.domain.lineage import Touched
from hansa_control.domain.model import Reason, TransitRule
from hansa_control.domain.network import Network
from hansa_control.domain.residency import TransitFault, link_faults, node_fault
from hansa_control.domain.units import PERCENTILES

COST_MAX = float(2**53 - 1)
"""The largest cost of a path; all sums up to here are exact."""

BANDWIDTH_MAX_KBPS = 1 << 62


class Strictness(StrEnum):
    """Which paths a search may take under a transit rule."""

    LAWFUL = "LAWFUL"
    """Only what is known to be allowed. The one that placement uses."""
    NOT_DENIED = "NOT_DENIED"
    """The unknown too: tells whether a rejection rests on ignorance or on a denial."""
    ANY = "ANY"
    """Everything: finds the evidence of a rejection, never a placement."""


class GraphKey(NamedTuple):
    """What is left of the network and at which percentile: rule None takes nothing away; of links with a known
    bandwidth those below kbps_min are taken away.
    """

    rule: TransitRule | None
    strictness: Strictness
    percentile: int
    kbps_min: int


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What a rule leaves: which nodes may be crossed, the cost of each arc, and that of the same link taken the other
    way; infinite where an arc may not be taken. One array for both if the network is symmetric.
    """

    epoch: int
    node_ok: NDArray[np.bool_]
    there: NDArray[np.float64]
    back: NDArray[np.float64]
    built: dict[bool, scipy.sparse.csr_array] = field(default_factory=dict, repr=False)

    def ways(self, *, is_turned: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """By arc, in the direction of search: cost of leaving a node by it, and of entering the node it leaves."""
        return (self.back, self.there) if is_turned else (self.there, self.back)


def scale_of(network: Network) -> int:
    """What a unit of time is multiplied with in a cost; a power of two above the number of nodes."""
    return 1 << len(network.nodes).bit_length()


def graph_key(
    network: Network, rule: TransitRule | None, strictness: Strictness, percentile: int, kbps_min: int
) -> GraphKey:
    """The key under which a graph is kept: what takes the same away shares one."""
    if rule is None or strictness is Strictness.ANY:
        rule, strictness = None, Strictness.ANY
    return GraphKey(rule, strictness, percentile, _bandwidth_class(network, kbps_min))


def _bandwidth_class(network: Network, kbps_min: int) -> int:
    """The least known bandwidth that suffices, as it takes the same links away; 0 if none is taken away."""
    if kbps_min <= 0:
        return 0
    steps = _bandwidth_steps(network)
    at = bisect_left(steps, kbps_min)
    known_below = at - int(bool(steps) and steps[0] == 0)
    if known_below <= 0:
        return 0
    return steps[at] if at < len(steps) else BANDWIDTH_MAX_KBPS


def _bandwidth_steps(network: Network) -> list[int]:
    """The bandwidths that links have, ascending; kept for as long as none changes."""
    each = network.columns.bandwidth_kbps
    known: tuple[NDArray[np.int64], list[int]] | None = network.searches.get("bandwidth steps")
    if known is None or known[0] is not each:
        known = (each, np.unique(each).tolist())
        network.searches.keep("bandwidth steps", known, weight=len(each))
    return known[1]


def graph_of(network: Network, key: GraphKey) -> Graph:
    """What a rule leaves of the network now."""
    known: Graph | None = network.searches.get(key)
    if known is not None and known.epoch == network.lineage.epoch:
        return known
    touched = network.lineage.since(known.epoch) if known is not None else None
    graph = _build(network, key) if known is None or touched is None else _patch(network, key, known, touched)
    network.searches.keep(key, graph, weight=4 * len(network.links) + 100)
    return graph


def _build(network: Network, key: GraphKey) -> Graph:
    node_ok = _nodes_allowed(network, key)
    there, back = _link_costs(network, key, node_ok, slice(None))
    if network.is_symmetric:
        by_arc = by_turned = there.take(network.arcs.link)
    else:
        pair = network.arcs.pair
        by_arc, by_turned = np.concatenate([there, back])[pair], np.concatenate([back, there])[pair]
    return Graph(network.lineage.epoch, node_ok, by_arc, by_turned)


def _patch(network: Network, key: GraphKey, former: Graph, touched: Touched) -> Graph:
    node_ok = _nodes_allowed(network, key) if touched.nodes else former.node_ok
    at = np.array(touched.links, dtype=np.int64)
    there, back = _link_costs(network, key, node_ok, at)
    arcs = network.arcs.of_link[at].T.ravel()
    by_arc = _with_costs(former.there, arcs, np.concatenate([there, back]))
    turned = by_arc if network.is_symmetric else _with_costs(former.back, arcs, np.concatenate([back, there]))
    built = former.built if by_arc is former.there and turned is former.back else {}
    return Graph(network.lineage.epoch, node_ok, by_arc, turned, built)


def _with_costs(
    costs: NDArray[np.float64], arcs: NDArray[np.int32], changed: NDArray[np.float64]
) -> NDArray[np.float64]:
    if np.array_equal(costs[arcs], changed):
        return costs
    other = costs.copy()
    other[arcs] = changed
    return other


def _link_costs(
    network: Network, key: GraphKey, node_ok: NDArray[np.bool_], at: slice | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of some links, the cost from node_a to node_b and back; infinite where they may not be taken."""
    columns = network.columns
    ends = network.arcs.ends[at]
    is_open = node_ok[ends[:, 0]] & node_ok[ends[:, 1]]
    if key.rule is not None:
        is_open &= _codes_allowed(network, key, network.link_codes)[network.link_codes.values[at]]
    if key.kbps_min:
        kbps = columns.bandwidth_kbps[at]
        is_open &= (kbps == 0) | (kbps >= key.kbps_min)
    scale = float(scale_of(network))
    us = columns.path_us[PERCENTILES.index(key.percentile)][at].astype(np.float64)
    if network.is_symmetric:
        costs = np.where(is_open, us * scale + 1.0, inf)
        return costs, costs
    share = columns.share_permille[at].astype(np.float64)
    there = np.where(is_open, us * share * scale + 1.0, inf)
    back = np.where(is_open & ~columns.one_way[at], us * (1_000.0 - share) * scale + 1.0, inf)
    return there, back


def _nodes_allowed(network: Network, key: GraphKey) -> NDArray[np.bool_]:
    if key.rule is None:
        return np.ones(len(network.nodes), dtype=np.bool_)
    return _codes_allowed(network, key, network.node_codes)[network.node_codes.values]


def _codes_allowed(network: Network, key: GraphKey, codes: Codes) -> NDArray[np.bool_]:
    """By code of nodes or links, whether a rule allows it: each combination is judged once."""
    rule, of_nodes = key.rule, codes is network.node_codes
    kept = (rule, key.strictness, of_nodes)
    known: NDArray[np.bool_] | None = network.searches.get(kept)
    if known is not None and len(known) == len(codes.samples):
        return known
    forbidding = {Reason.TRANSIT_DENIED}
    if key.strictness is Strictness.LAWFUL:
        forbidding.add(Reason.TRANSIT_UNKNOWN)
    if rule is None:
        return np.ones(len(codes.samples), dtype=np.bool_)
    faults: Iterable[tuple[TransitFault | None, ...]] = (
        (node_fault(rule, sample),) if of_nodes else link_faults(rule, sample) for sample in codes.samples
    )
    allowed = np.array([_is_allowed(found, forbidding) for found in faults], dtype=np.bool_)
    network.searches.keep(kept, allowed, weight=len(allowed) + 1)
    return allowed


def _is_allowed(faults: tuple[TransitFault | None, ...], forbidding: set[Reason]) -> bool:
    return all(fault is None or fault.reason not in forbidding for fault in faults)

"""Routing at 10,000 nodes: costs under a rule never seen, and a link update until costs are right again.

Cold is two access points under a new transit rule: masks, filtered graph, one search. An update changes the round trip
of one link, makes the next network and asks for the costs of the same two access points; in ``near`` the link is one
that leaves an access point, half of the time on the tree of least costs, where most is affected. The floor of each row
is scipy's bare Dijkstra from the same two nodes on a graph that is ready; the row of networkx is what a plain
``single_source_dijkstra_path_length`` takes for both on a graph from which the forbidden was removed beforehand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import networkx as nx
import numpy as np
from hansa_control.domain.arcs import added_to_path
from hansa_control.domain.model import NetworkLink, TransitRule
from hansa_control.domain.network import Network, NetworkChange
from hansa_control.domain.routing import RouteKey, costs_for
from hansa_control.domain.units import modelled_link_rtt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from tools.bench.decide import COUNTRIES, Row, build_world

POINTS = ("n00003", "n00013")
RULE = TransitRule(frozenset(COUNTRIES[:8]))
COLD_P99_TARGET_US = 12_000.0
UPDATE_P99_TARGET_US = 3_000.0
PERCENTILE = 95


def rows(updates: int = 600) -> list[dict[str, object]]:
    """Cold costs, link updates anywhere and near the access points, and networkx."""
    network = build_world(1_000).network
    bare = _taken(_bare_search(network), 60)
    floor = float(np.percentile(bare, 50))
    cold = _taken(_cold_costs(network), 40)
    anywhere = _taken(_updates(network, np.arange(len(network.links))), updates)
    near = _taken(_updates(network, _links_near(network)), updates)
    removed = _taken(_networkx_search(network), 3)
    return [
        *_rows("routing.cold_costs", cold, floor, COLD_P99_TARGET_US),
        *_rows("routing.link_update", anywhere, floor, UPDATE_P99_TARGET_US),
        *_rows("routing.link_update.near", near, floor, None),
        _row("routing.networkx.p50", float(np.percentile(removed, 50)), floor, None),
    ]


def _rows(name: str, taken_us: np.ndarray, floor_us: float, target_us: float | None) -> Iterator[dict[str, object]]:
    for percentile in (50, 95, 99):
        value = float(np.percentile(taken_us, percentile))
        yield _row(f"{name}.p{percentile}", value, floor_us, target_us if percentile == 99 else None)


def _row(name: str, value_us: float, floor_us: float, target_us: float | None) -> dict[str, object]:
    met = None if target_us is None else value_us <= target_us
    row = Row(
        name=name, value=value_us, unit="us", floor=floor_us, ratio=value_us / floor_us, target=target_us, met=met
    )
    return dict(row)


def _taken(call: Callable[[int], object], times: int) -> np.ndarray:
    """Microseconds of each of so many calls, after one that is not counted."""
    call(0)
    taken = []
    for at in range(1, times + 1):
        began = time.perf_counter_ns()
        call(at)
        taken.append((time.perf_counter_ns() - began) / 1_000)
    return np.array(taken)


def _keys(rule: TransitRule) -> list[RouteKey]:
    return [RouteKey(rule, PERCENTILE, point) for point in POINTS]


def _cold_costs(network: Network) -> Callable[[int], object]:
    """Each call asks under a rule of its own, which allows the same."""
    rules = [TransitRule(RULE.countries_allowed, frozenset({f"carrier-{at}"})) for at in range(100)]
    return lambda at: costs_for(network, _keys(rules[at]))


def _updates(network: Network, candidates: np.ndarray) -> Callable[[int], object]:
    stream = np.random.default_rng(5)
    now = network
    costs_for(now, _keys(RULE))

    def update(at: int) -> object:
        nonlocal now
        link = now.links[int(stream.choice(candidates))]
        changed = replace(link, rtt=modelled_link_rtt(int(link.length_m * stream.uniform(1.0, 3.0))))
        now = now.with_changes(at + 2, NetworkChange(links=(changed,)))
        return costs_for(now, _keys(RULE))

    return update


def _links_near(network: Network, hops: int = 3) -> np.ndarray:
    """Links within so many hops of an access point."""
    reached = {network.node_index[point] for point in POINTS}
    found: set[int] = set()
    for _ in range(hops):
        arcs = [arc for node in reached for arc in network.arcs.leaving(node)]
        found |= {int(network.arcs.link[arc]) for arc in arcs}
        reached |= {int(network.arcs.target[arc]) for arc in arcs}
    return np.array(sorted(found))


def _is_open(network: Network, link: NetworkLink) -> bool:
    ends = (network.node(link.node_a), network.node(link.node_b))
    return all(node is not None and node.country in COUNTRIES[:8] for node in ends)


def _bare_search(network: Network) -> Callable[[int], object]:
    best: dict[tuple[int, int], int] = {}
    for link in network.links:
        if _is_open(network, link):
            a, b = network.node_index[link.node_a], network.node_index[link.node_b]
            us = added_to_path(link.rtt).at(PERCENTILE)
            for pair in ((a, b), (b, a)):
                best[pair] = min(us, best.get(pair, us))
    pairs = np.array(list(best), dtype=np.int32).T
    size = len(network.nodes)
    graph = csr_array((np.array(list(best.values()), dtype=np.float64), (pairs[0], pairs[1])), shape=(size, size))
    sources = [network.node_index[point] for point in POINTS]
    return lambda _: dijkstra(graph, directed=True, indices=sources)


def _networkx_search(network: Network) -> Callable[[int], object]:
    graph = nx.Graph()
    for link in network.links:
        if _is_open(network, link):
            us = added_to_path(link.rtt).at(PERCENTILE)
            former = graph.get_edge_data(link.node_a, link.node_b, {"us": us})["us"]
            graph.add_edge(link.node_a, link.node_b, us=min(us, former))
    return lambda _: [nx.single_source_dijkstra_path_length(graph, point, weight="us") for point in POINTS]


if __name__ == "__main__":
    for row in rows():
        print(row)

"""Times along a path at other percentiles than the one that was searched, whichever way its links are drawn."""

from __future__ import annotations

import pytest
from hansa_control.domain.model import LatencyBasis, LinkKind, NetworkLink, NetworkNode, RoundTrip
from hansa_control.domain.network import build_network
from hansa_control.domain.routing import RouteKey, find_route, round_trips_us
from hansa_control.domain.units import PERCENTILES

NODES = [NetworkNode(name, "", "NO", 60.0 + at / 100, 10.0, True) for at, name in enumerate("abcd")]


def link(name: str, ends: str, ms: int, forward_permille: int = 500, *, one_way: bool = False) -> NetworkLink:
    rtt = RoundTrip(ms * 1_000, ms * 1_100, ms * 1_300, LatencyBasis.MODELLED, 0, 0)
    return NetworkLink(
        name, ends[0], ends[1], 2_000, rtt, (), "op", LinkKind.TERRESTRIAL,
        forward_permille=forward_permille, one_way=one_way,
    )  # fmt: skip


@pytest.mark.parametrize("drawn", ["ab", "ba"])
@pytest.mark.parametrize("forward_permille", [100, 500, 900])
@pytest.mark.parametrize("target", ["b", "c"])
def test_every_percentile_is_what_a_search_for_it_finds_on_the_same_path(
    drawn: str, forward_permille: int, target: str
) -> None:
    links = [
        link("slow", drawn, 100, forward_permille),
        link("fast", "ab", 2, one_way=True),
        link("on", "cb", 7, 300),
    ]
    network = build_network(0, NODES, links)
    searched = [find_route(network, RouteKey(None, percentile, "a"), target) for percentile in PERCENTILES]
    assert all(route is not None for route in searched)
    found = [route for route in searched if route is not None]
    assert len({(route.links, route.back_links) for route in found}) == 1, "the same path at each"
    assert round_trips_us(network, found[0]) == tuple(route.rtt_us for route in found)

"""The paths that users of a workload take, link by link, each with the countries and the carrier that it crosses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from hansa_control.domain.model import WorkloadSpec, Zone, ZoneId
from hansa_control.domain.network import Network
from hansa_control.domain.round_trips import route_key
from hansa_control.domain.routing import find_route


class Segment(NamedTuple):
    """One link of a path in the direction in which it is taken.

    countries are those that are known of the link and of both its ends, sorted; is_known says whether that is all.
    """

    start: str
    end: str
    link: str
    carrier: str
    countries: tuple[str, ...]
    is_known: bool


class UsedPath(NamedTuple):
    """A path from an access point to a zone; the way back is empty where it is the way there."""

    zone: ZoneId
    access_point: str
    there: tuple[Segment, ...]
    back: tuple[Segment, ...]


def used_paths(network: Network, spec: WorkloadSpec, zones: Sequence[Zone]) -> tuple[UsedPath, ...]:
    """The fastest lawful path from every access point to each of some zones, as the network is now; where there is
    none, there is nothing to be told of it.

    It is the path that deciding finds. From the zone's node to the zone leads its owner's own link, in one country.
    """
    return tuple(_used(network, spec, zones))


def _used(network: Network, spec: WorkloadSpec, zones: Sequence[Zone]) -> Iterator[UsedPath]:
    for zone in zones:
        for at in spec.access:
            route = find_route(network, route_key(spec, at.access_point), zone.inventory.node)
            if route is not None:
                there = _segments(network, route.nodes, route.links)
                back = _segments(network, route.back_nodes, route.back_links)
                yield UsedPath(zone.id, at.access_point, there, back)


def _segments(network: Network, nodes: Sequence[int], links: Sequence[int]) -> tuple[Segment, ...]:
    return tuple(_segment(network, *ends, link) for ends, link in zip(pairwise(nodes), links, strict=True))


def _segment(network: Network, start: int, end: int, at: int) -> Segment:
    link, ends = network.links[at], (network.nodes[start], network.nodes[end])
    countries = {node.country for node in ends if node.country is not None}.union(link.countries or ())
    is_known = link.countries is not None and all(node.country is not None or node.at_sea for node in ends)
    return Segment(ends[0].name, ends[1].name, link.name, link.carrier, tuple(sorted(countries)), is_known)

"""Which hosts a twin has, and how long each way between two of them is. Pure: a world in, hosts and delays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from hansa_control.domain.network import ATTACHMENT_RTT
from hansa_control.domain.round_trips import route_key
from hansa_control.domain.routing import Route, RouteKey, Strictness, find_route

from hansa_sim.latency.twin.under_way import Way
from hansa_sim.latency.views import MEDIAN, US_NS, View
from hansa_sim.latency.world import World

HOSTS_MAX = 32
"""Each host is some processes of Python: 50 to 150 MiB, and seconds of a processor to start."""

NETWORK = "198.18.0."
"""Of the block for measurements between devices (RFC 2544); it leads nowhere outside of the twin."""


class Part(StrEnum):
    """What a host is: users of an access point, a zone with its agent and instances, an operator's control plane."""

    USERS = "users"
    ZONE = "zone"
    OPERATOR = "op"


@dataclass(frozen=True, slots=True)
class Host:
    """A place with a network namespace of its own. name is that of the access point, of the zone ("operator/zone"), or
    of the operator; node is where it stands in the network.
    """

    part: Part
    name: str
    node: str
    address: str

    @property
    def label(self) -> str:
        """Its name among all hosts."""
        return f"{self.part.value}/{self.name}"


@dataclass(frozen=True, slots=True)
class Network:
    """Hosts, and the way from each to each in the same order; None where there is none."""

    hosts: tuple[Host, ...]
    ways: tuple[tuple[Way | None, ...], ...]

    def of(self, part: Part, name: str = "") -> list[Host]:
        """The hosts of a part, or the one of that name."""
        return [host for host in self.hosts if host.part is part and name in ("", host.name)]


class TooLarge(ValueError):
    """More than one machine can show; the text says what there is, how much may be, and how to take a part."""


def network_of(world: World, view: View) -> Network:
    """The hosts of a world, without users whom nobody may serve in time, and the ways between them; TooLarge."""
    hosts = _hosts(world, view)
    ways = tuple(tuple(_way(world, view, one, other) for other in hosts) for one in hosts)
    return Network(hosts, ways)


def _hosts(world: World, view: View) -> tuple[Host, ...]:
    named = [(Part.OPERATOR, name, node) for name, node in sorted(_seats(world).items())]
    named += [(Part.ZONE, str(zone.id), zone.inventory.node) for zone in world.zones]
    able = np.flatnonzero(view.in_time.any(axis=1)).tolist()
    named += [(Part.USERS, world.users[row].access_point, world.users[row].access_point) for row in able]
    if len(named) > HOSTS_MAX:
        counts = f"{len(able)} access points, {len(world.zones)} zones and {len(_seats(world))} operators"
        what = f"{world.loaded.scenario.name} has {counts}, {len(named)} hosts; a twin has {HOSTS_MAX} at most"
        raise TooLarge(f"{what}: choose a part with --points and --zones")
    return tuple(Host(*host, f"{NETWORK}{at}") for at, host in enumerate(named, start=1))


def _seats(world: World) -> dict[str, str]:
    """Where the control plane of each operator stands: at its first zone, else at its first node, both by name."""
    seats = {}
    for operator in (part.name for part in world.loaded.scenario.operators):
        zones = [zone.inventory.node for zone in world.zones if zone.id.operator == operator]
        nodes = [node.name for node in world.ground.nodes if world.ground.owners[node.name] == operator]
        if zones or nodes:
            seats[operator] = (zones or nodes)[0]
    return seats


def _way(world: World, view: View, one: Host, other: Host) -> Way | None:
    """Half of the round trip. Users and zones meet on the lawful way, at the median, that production routing gives; all
    else takes the fastest way there is.
    """
    if one == other:
        return Way(0)
    there = one.part is Part.USERS or (other.part is not Part.USERS and one.label < other.label)
    near, far = (one, other) if there else (other, one)
    rtt_ns, route = _lawful(world, view, near, far) or _fastest(world, near, far) or (-1, None)
    if rtt_ns < 0:
        return None
    return Way(rtt_ns // 2 if there else rtt_ns - rtt_ns // 2, _loss(world, route))


def _lawful(world: World, view: View, users: Host, zone: Host) -> tuple[int, Route | None] | None:
    if (users.part, zone.part) != (Part.USERS, Part.ZONE):
        return None
    row = [user.access_point for user in world.users].index(users.name)
    column = [str(one.id) for one in world.zones].index(zone.name)
    if not view.lawful[row, column]:
        return None
    key = route_key(world.spec, users.node)._replace(percentile=MEDIAN)
    return int(view.rtt_ns[row, column]), find_route(world.snapshot.network, key, zone.node)


def _fastest(world: World, one: Host, other: Host) -> tuple[int, Route | None] | None:
    route = find_route(world.snapshot.network, RouteKey(None, MEDIAN, one.node, Strictness.ANY), other.node)
    return None if route is None else ((route.rtt_us + ATTACHMENT_RTT.p50_us) * US_NS, route)


def _loss(world: World, route: Route | None) -> float:
    """The share of packets that a route loses, one way: its links lose independently."""
    lost = world.loaded.scenario.network.loss_percent
    links = world.snapshot.network.links
    names: Sequence[str] = [links[at].name for at in route.links] if route else ()
    return 1.0 - float(np.prod([1.0 - lost.get(name, 0.0) / 100 for name in names]))

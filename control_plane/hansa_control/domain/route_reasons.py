"""Why no lawful path leads to a zone, and what is along the one that does: faults, bottlenecks, bandwidth."""

from __future__ import annotations

from hansa_control.domain.model import (
    NetworkLink,
    Reason,
    TransitRule,
    Zone,
)
from hansa_control.domain.residency import TransitFault, link_faults, node_fault
from hansa_control.domain.route_graph import Strictness
from hansa_control.domain.routing import Route, RouteKey, find_latency, find_route
from hansa_control.domain.snapshot import Network, attachment_of


def explain_no_route(network: Network, key: RouteKey, zone: Zone) -> tuple[Reason, tuple[TransitFault, ...]]:
    """Why no lawful path leads to a zone: the reason, and what is wrong along the fastest path that is there.

    BANDWIDTH_EXCEEDED without faults if there is a lawful path that is merely too narrow (``find_bottleneck`` names
    the link); UNREACHABLE without faults if there is no path at all; TRANSIT_UNKNOWN if a path is merely unknown
    somewhere, with what is unknown along the fastest such path; TRANSIT_DENIED otherwise, with all faults of the
    fastest path.
    """
    rule, key = key.rule, key._replace(kbps_min=0) if find_bottleneck(network, key, zone) is None else key
    if key.kbps_min:
        return Reason.BANDWIDTH_EXCEEDED, ()
    fastest = find_route(network, key._replace(strictness=Strictness.ANY), zone.inventory.node)
    if fastest is None or rule is None:
        return Reason.UNREACHABLE, ()
    at_zone = link_faults(rule, attachment_of(zone))
    undenied = find_route(network, key._replace(strictness=Strictness.NOT_DENIED), zone.inventory.node)
    if undenied is not None and not any(fault.reason is Reason.TRANSIT_DENIED for fault in at_zone):
        return Reason.TRANSIT_UNKNOWN, (*route_faults(network, rule, undenied), *at_zone)
    return Reason.TRANSIT_DENIED, (*route_faults(network, rule, fastest), *at_zone)


def find_bottleneck(network: Network, key: RouteKey, zone: Zone) -> NetworkLink | None:
    """If bandwidth alone keeps a path from a zone, the narrowest link (of those the first by name) on the path that
    would be taken without it; None if there is a path, or none even so.
    """
    if not key.kbps_min or find_latency(network, key, zone) is not None:
        return None
    freely = key._replace(kbps_min=0)
    route = find_route(network, freely, zone.inventory.node)
    if route is None or find_latency(network, freely, zone) is None:
        return None
    known = (network.links[at] for at in (*route.links, *route.back_links) if network.links[at].bandwidth_kbps)
    return min(known, key=lambda link: (link.bandwidth_kbps, link.name))


def bandwidth_along(network: Network, route: Route) -> tuple[int, tuple[str, ...]]:
    """The least known bandwidth along a path, kbit/s, 0 if none is known; and the links of which it is not known."""
    crossed = [network.links[at] for at in dict.fromkeys((*route.links, *route.back_links))]
    known = [link.bandwidth_kbps for link in crossed if link.bandwidth_kbps]
    return min(known, default=0), tuple(link.name for link in crossed if not link.bandwidth_kbps)


def route_faults(network: Network, rule: TransitRule, route: Route) -> tuple[TransitFault, ...]:
    """Everything along a path that the rule forbids, in the order of travel, each once: there, then back."""
    there = _way_faults(network, rule, route.nodes, route.links)
    back = _way_faults(network, rule, route.back_nodes, route.back_links)
    # The way back begins at the zone's node, which the way there has entered.
    known = {*there, *((node_fault(rule, network.nodes[route.back_nodes[0]]),) if route.back_nodes else ())}
    return (*there, *(fault for fault in back if fault not in known))


def _way_faults(
    network: Network, rule: TransitRule, nodes: tuple[int, ...], links: tuple[int, ...]
) -> list[TransitFault]:
    faults: list[TransitFault] = []
    for step, node in enumerate(nodes):
        if step:
            faults.extend(link_faults(rule, network.links[links[step - 1]]))
        at_node = node_fault(rule, network.nodes[node])
        if at_node is not None:
            link = network.links[links[step - 1]] if step else None
            faults.append(_entered_by(at_node, link))
    return faults


def _entered_by(fault: TransitFault, link: NetworkLink | None) -> TransitFault:
    """A node's fault with the link by which the path enters it, as that is what an operator can change."""
    return fault if link is None else fault._replace(place=f"link {link.name}, carrier {link.carrier or 'unknown'}")

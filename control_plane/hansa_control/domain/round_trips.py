"""Round trips from access points to all zones at once: of the lawful paths, and never below what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import NamedTuple

import numpy as np

from hansa_control.domain.columns import Columns, Standing
from hansa_control.domain.filters import Ints, Mask, Question
from hansa_control.domain.model import (
    DataClass,
    NetworkLink,
    TransitRule,
    WorkloadSpec,
)
from hansa_control.domain.network import ATTACHMENT_RTT
from hansa_control.domain.residency import link_faults
from hansa_control.domain.routing import (
    NO_PATH_US,
    RouteKey,
    costs_for,
)
from hansa_control.domain.snapshot import Measured, Network, attachment_of

CUT_OFF = -1
USER_DATA = (DataClass.INPUT, DataClass.OUTPUT)


def route_key(spec: WorkloadSpec, access_point: str) -> RouteKey:
    """What a search for a workload's paths from an access point depends on."""
    rule = transit_rule(spec, *USER_DATA)
    return RouteKey(rule, spec.latency.percentile, access_point, kbps_min=_kbps(spec, access_point))


def route_keys(question: Question) -> tuple[RouteKey, ...]:
    """``route_key`` of every access point of a request, in its order; kept with what zones are."""
    kept, key = question.columns.standing.asked, ("route keys", question.spec)
    known: tuple[RouteKey, ...] | None = kept.get(key)
    if known is None:
        known = tuple(route_key(question.spec, at.access_point) for at in question.spec.access)
        kept.keep(key, known, weight=len(known))
    return known


def transit_rule(spec: WorkloadSpec, *data: DataClass) -> TransitRule | None:
    """The transit rule if it applies to one of some kinds of data, else none."""
    return spec.residency.transit if spec.residency.applies_to & set(data) else None


def _kbps(spec: WorkloadSpec, access_point: str) -> int:
    """What an access point sends or gets, whichever is more, kbit/s; 0 where requests have no size."""
    if spec.service is None:
        return 0
    largest_bytes = max(spec.service.request_bytes, spec.service.response_bytes)
    demand = next(at.demand_millirps for at in spec.access if at.access_point == access_point)
    return -(-largest_bytes * 8 * demand // 1_000_000)


def lawful_trips(question: Question) -> Ints:
    """Round trips over lawful paths alone, whatever was measured; (access points, zones), ``CUT_OFF`` without one."""
    keys = route_keys(question)
    key = ("zones", question.columns.standing, keys)
    known: Ints | None = question.network.routes.get(key)
    if known is None:
        known = _as_before(question, keys)
        question.network.routes.keep(key, known, weight=known.size)
    return known


def round_trips(question: Question) -> Ints:
    """Round trips at the budget's percentile: of the lawful paths, never below what zones measured to one another."""
    spec, columns, measured = question.spec, question.columns, question.snapshot.measured
    known = lawful_trips(question)
    if not measured.floors:
        return known
    points = tuple(at.access_point for at in spec.access)
    floors = floors_of(measured, columns, points, spec.latency.percentile)
    return np.where(known < 0, known, np.maximum(known, floors))


class _Table(NamedTuple):
    """Round trips of some keys to all zones, and what they were made of: times at nodes by key, places of zones."""

    at_node: Ints
    times_us: list[Ints | None]
    rtt_us: Ints


def _as_before(question: Question, keys: tuple[RouteKey, ...]) -> Ints:
    """The table that was found for these keys before if it says the same, so that what follows from it stays."""
    kept, at_node = question.columns.standing.asked, _at_nodes(question.network, question.columns.standing)
    former: _Table | None = kept.get(("zones", keys))
    times_us = _at_all_nodes(question.network, keys, only_access_points=True)
    if former is not None and former.at_node is at_node and all(map(is_, times_us, former.times_us)):
        return former.rtt_us
    rtt_us = _at_zones(question, keys, times_us)
    if former is not None and np.array_equal(former.rtt_us, rtt_us):
        rtt_us = former.rtt_us
    kept.keep(("zones", keys), _Table(at_node, times_us, rtt_us), weight=rtt_us.size)
    return rtt_us


def to_zones(question: Question, keys: Sequence[RouteKey], *, only_access_points: bool) -> Ints:
    """Round trips over the network and the zones' attachments; (keys, zones)."""
    return _at_zones(question, keys, _at_all_nodes(question.network, keys, only_access_points=only_access_points))


def _at_all_nodes(network: Network, keys: Sequence[RouteKey], *, only_access_points: bool) -> list[Ints | None]:
    """By key the round trips to all nodes; None where it starts from nowhere that it may start from."""
    start = is_access_point if only_access_points else _is_known
    usable = [key for key in dict.fromkeys(keys) if start(network, key.access_point)]
    found = dict(zip(usable, costs_for(network, usable), strict=True))
    return [found[key].rtt_us if key in found else None for key in keys]


def _at_zones(question: Question, keys: Sequence[RouteKey], times_us: Sequence[Ints | None]) -> Ints:
    """Round trips to all zones from those to all nodes; (keys, zones)."""
    columns = question.columns
    at_node = _at_nodes(question.network, columns.standing)
    table = np.full((len(keys), len(columns)), CUT_OFF, dtype=np.int64)
    for n, (key, at_nodes_us) in enumerate(zip(keys, times_us, strict=True)):
        if at_nodes_us is not None:
            times = at_nodes_us[at_node]
            reached = (at_node >= 0) & _lawful_attachments(key.rule, columns) & (times < NO_PATH_US)
            table[n] = np.where(reached, times + ATTACHMENT_RTT.at(key.percentile), CUT_OFF)
    table.setflags(write=False)
    return table


def _at_nodes(network: Network, standing: Standing) -> Ints:
    """The network node of each zone, -1 where it is not known; kept with what zones are for the same set of nodes."""
    known: tuple[Mapping[str, int], Ints] | None = standing.kept.get("nodes")
    if known is None or known[0] is not network.node_index:
        index = network.node_index
        known = (index, np.array([index.get(name, -1) for name in standing.nodes], dtype=np.int64))
        standing.kept.keep("nodes", known)
    return known[1]


def _lawful_attachments(rule: TransitRule | None, columns: Columns) -> Mask:
    """Whether a zone's attachment, which its owner carries, may be crossed."""
    if rule is None:
        return np.ones(len(columns), dtype=np.bool_)
    standing = columns.standing
    known: Mask | None = standing.kept.get(("attachments", rule))
    if known is None:
        lawful = np.array([not link_faults(rule, attachment) for attachment in _attachments(standing)], np.bool_)
        known = lawful[standing.operator_of]
        standing.kept.keep(("attachments", rule), known)
    return known


def _attachments(standing: Standing) -> list[NetworkLink]:
    """An attachment of each owner, which a rule tells apart by its carrier alone; kept with what zones are."""
    known: list[NetworkLink] | None = standing.kept.get("attachments")
    if known is None:
        sample = {zone.id.operator: zone for zone in standing.zones}
        known = [attachment_of(sample[name]) for name in standing.owners]
        standing.kept.keep("attachments", known)
    return known


def floors_of(measured: Measured, columns: Columns, points: tuple[str, ...], percentile: int) -> Ints:
    """What zones at the access points measured to each zone, 0 where nothing was; (access points, zones).

    A probe tells the time but not the way, so it bounds the lawful path from below and proves nothing else; one that is
    faster than the model changes nothing.
    """
    key = (columns.standing, points, percentile)
    known: Ints | None = measured.kept.get(key)
    if known is None:
        column = {point: n for n, point in enumerate(points)}
        known = np.zeros((len(points), len(columns)), dtype=np.int64)
        for row, zone in enumerate(columns.standing.zones):
            for node, rtt in measured.floors.get(zone.id, {}).items():
                if node in column:
                    known[column[node], row] = rtt.at(percentile)
        measured.kept.keep(key, known, weight=known.size)
    return known


def _is_known(network: Network, name: str) -> bool:
    return name in network.node_index


def is_access_point(network: Network, name: str) -> bool:
    node = network.node(name)
    return node is not None and node.access_point

"""Overlays on the wire: what is other than it is, for a plan in a world that is not. Only app teams send them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hansa.v1 import overlay_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_network import link_in, node_in
from hansa_control.adapters.codec_residency import policy_in
from hansa_control.adapters.codec_zone import FACT_COUNT_MAX, FACT_KINDS, fact_in, zone_in
from hansa_control.domain.model import ZoneId
from hansa_control.domain.overlay import FactGiven, FactTaken, Overlay

COUNT_MAX = 1_000
BYTES_MAX = 256 * 1024
"""Of a whole overlay: to read, apply and seal it takes a fifth of a second, and nobody else is served meanwhile."""

T = TypeVar("T")


def overlay_in(wire: overlay_pb2.Overlay, path: str) -> Overlay:
    """An overlay that changes something and names nothing twice; whether it fits the world is for the core to say."""
    size = wire.ByteSize()
    if not size:
        raise fields.refused(path, "changes nothing; leave it out to plan in the world as it is")
    if size > BYTES_MAX:
        raise fields.refused(path, f"has {size} bytes; at most {BYTES_MAX} are taken, so suppose less at a time")
    return Overlay(
        links=_each(wire.links, link_in, f"{path}.links"),
        links_removed=_names(wire.links_removed, fields.network_name_in, f"{path}.links_removed"),
        nodes=_each(wire.nodes, node_in, f"{path}.nodes"),
        nodes_removed=_names(wire.nodes_removed, fields.network_name_in, f"{path}.nodes_removed"),
        zones=_each(wire.zones, zone_in, f"{path}.zones"),
        zones_removed=_names(wire.zones_removed, fields.zone_id_in, f"{path}.zones_removed"),
        facts=_facts_in(wire.facts, f"{path}.facts"),
        facts_removed=_all(wire.facts_removed, _taken_in, f"{path}.facts_removed"),
        policy=policy_in(wire.policy, f"{path}.policy") if wire.HasField("policy") else None,
    )


def _all(wires: Sequence[Any], read: Callable[[Any, str], T], path: str) -> tuple[T, ...]:
    fields.bounded(wires, COUNT_MAX, path)
    return tuple(read(wire, f"{path}[{index}]") for index, wire in enumerate(wires))


def _each(wires: Sequence[Any], read: Callable[[Any, str], T], path: str) -> tuple[T, ...]:
    """Things that have a name, none twice."""
    found = _all(wires, read, path)
    fields.distinct([wire.name for wire in wires], path)
    return found


def _names(values: Sequence[str], read: Callable[[str, str], T], path: str) -> tuple[T, ...]:
    found = _all(values, read, path)
    fields.distinct(values, path)
    return found


def _facts_in(wires: Sequence[overlay_pb2.FactGiven], path: str) -> tuple[FactGiven, ...]:
    """No more for one zone than a zone may advertise."""
    given, count = _all(wires, _given_in, path), Counter[ZoneId]()
    for index, one in enumerate(given):
        count[one.zone] += 1
        if count[one.zone] > FACT_COUNT_MAX:
            raise fields.refused(f"{path}[{index}].zone", f"{one.zone} gets more than {FACT_COUNT_MAX} facts")
    return given


def _given_in(wire: overlay_pb2.FactGiven, path: str) -> FactGiven:
    return FactGiven(fields.zone_id_in(wire.zone, f"{path}.zone"), fact_in(wire.fact, f"{path}.fact"), wire.instead)


def _taken_in(wire: overlay_pb2.FactTaken, path: str) -> FactTaken:
    value = wire.value and fields.text_in(wire.value, f"{path}.value")
    return FactTaken(fields.zone_id_in(wire.zone, f"{path}.zone"), FACT_KINDS.read(wire.kind, f"{path}.kind"), value)

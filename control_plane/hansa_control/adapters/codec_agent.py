"""The agent's stream: what an agent says and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hansa.delta import Delta, etag_of
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_delta import (
    Ack,
    Heartbeat,
    ResourceDelta,
    ack_in,
    ack_out,
    heartbeat_in,
    held_in,
    held_out,
    removed_in,
    updated_in,
)
from hansa_control.adapters.codec_network import probe_in
from hansa_control.adapters.codec_zone import (
    desired_instance_out,
    fact_in,
    instance_in,
    inventory_in,
    probe_target_out,
)
from hansa_control.application.ports import AdvertBody, StoredAdvert
from hansa_control.domain.model import DesiredInstance, ProbeTarget, ZoneId

OrderBody: TypeAlias = DesiredInstance | ProbeTarget


@dataclass(frozen=True, slots=True)
class Hello:
    """How an agent opens its stream."""

    zone: ZoneId
    boot_id: str
    wall_clock_ms: int
    order_etags: Mapping[str, str]
    version: str


def session_request_in(
    wire: agent_pb2.SessionRequest, zone: str
) -> Hello | ResourceDelta[StoredAdvert] | Ack | Heartbeat:
    """One message of the agent of ``zone``; the zone's name is what its certificate says."""
    match wire.WhichOneof("body"):
        case "hello":
            return _hello_in(wire.hello)
        case "adverts":
            return _adverts_in(wire.adverts, zone)
        case "order_ack":
            return ack_in(wire.order_ack, "order_ack")
        case "heartbeat":
            return heartbeat_in(wire.heartbeat)
    raise fields.refused("body", "is missing; one of hello, adverts, order_ack, heartbeat")


def _hello_in(wire: agent_pb2.AgentHello) -> Hello:
    return Hello(
        zone=fields.zone_id_in(wire.zone, "hello.zone"),
        boot_id=fields.boot_id_in(wire.boot_id, "hello.boot_id"),
        wall_clock_ms=fields.time_ms_in(wire.wall_clock_ms, "hello.wall_clock_ms"),
        order_etags=held_in(wire.order_etags, "hello.order_etags"),
        version=fields.text_in(wire.version, "hello.version"),
    )


def _adverts_in(wire: agent_pb2.AdvertDelta, zone: str) -> ResourceDelta[StoredAdvert]:
    def read(advert: agent_pb2.Advert, path: str) -> StoredAdvert:
        return StoredAdvert(zone, advert.name, fields.token_in(advert.etag, "etag"), _advert_body_in(advert))

    updated, refusals = updated_in(wire.updated, "adverts.updated", read, lambda advert: advert.name)
    removed = removed_in(wire.removed_names, "adverts.removed_names")
    return ResourceDelta(fields.token_in(wire.nonce, "adverts.nonce"), updated, removed, refusals)


def _advert_body_in(wire: agent_pb2.Advert) -> AdvertBody:
    match wire.WhichOneof("body"):
        case "inventory":
            return inventory_in(wire.inventory, "inventory")
        case "fact":
            return fact_in(wire.fact, "fact")
        case "probe":
            return probe_in(wire.probe, "probe")
        case "instance":
            return instance_in(wire.instance, "instance")
    raise fields.refused("body", "is missing; one of inventory, fact, probe, instance")


def welcome_out(held: Mapping[str, str], intervals_ms: tuple[int, int], wall_ms: int) -> agent_pb2.SessionResponse:
    """``intervals_ms`` is how often the agent is to be heard, and the silence after which it is given up."""
    heartbeat_interval_ms, lost_after_ms = intervals_ms
    welcome = agent_pb2.AgentWelcome(
        advert_etags=held_out(held),
        heartbeat_interval_ms=heartbeat_interval_ms,
        lost_after_ms=lost_after_ms,
        wall_clock_ms=wall_ms,
    )
    return agent_pb2.SessionResponse(welcome=welcome)


def advert_ack_out(ack: Ack) -> agent_pb2.SessionResponse:
    return agent_pb2.SessionResponse(advert_ack=ack_out(ack))


def agent_heartbeat_out(wall_ms: int) -> agent_pb2.SessionResponse:
    return agent_pb2.SessionResponse(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=wall_ms))


def order_out(name: str, body: OrderBody) -> agent_pb2.Order:
    """An order with the digest of its content as etag."""
    if isinstance(body, DesiredInstance):
        instance = desired_instance_out(body)
        return agent_pb2.Order(name=name, etag=etag_of(instance), instance=instance)
    target = probe_target_out(body)
    return agent_pb2.Order(name=name, etag=etag_of(target), probe_target=target)


def orders_out(delta: Delta, orders: Mapping[str, agent_pb2.Order]) -> agent_pb2.SessionResponse:
    updated = [orders[name] for name in delta.updated]
    wire = agent_pb2.OrderDelta(updated=updated, removed_names=delta.removed, nonce=delta.nonce)
    return agent_pb2.SessionResponse(orders=wire)

"""The agent's stream without a wire."""

from __future__ import annotations

from typing import Any

import pytest
from adapter_doubles import ClockByHand, RememberingIngest
from hansa_control.adapters.agent_link import AgentLink, AgentLinks, LinkLimits
from hansa_control.application.ports import RefusalError
from hansa_control.application.settings import Settings
from hansa_control.domain.model import ProbeTarget, Reason, ZoneId

from hansa.delta import etag_of
from hansa.errors import ProtocolViolation
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import common_pb2, zone_pb2

OSLO = ZoneId("nordfjord", "oslo-1")
TARGET = ProbeTarget(ZoneId("fjordby", "sto-1"), "127.0.0.1:862")


class World:
    def __init__(self, **limits: int) -> None:
        self.ingest = RememberingIngest()
        self.clock = ClockByHand()
        self.links = AgentLinks(self.ingest, Settings("nordfjord"), self.clock, LinkLimits(**limits))

    async def greeted(self, boot_id: str = "b1", **etags: str) -> AgentLink:
        link = self.links.open(OSLO)
        await link.receive(hello(boot_id=boot_id, etags=etags))
        return link


def hello(zone: str = str(OSLO), boot_id: str = "b1", etags: dict[str, str] | None = None) -> agent_pb2.SessionRequest:
    held = [agent_pb2.NamedEtag(name=name, etag=etag) for name, etag in (etags or {}).items()]
    body = agent_pb2.AgentHello(zone=zone, boot_id=boot_id, wall_clock_ms=1, order_etags=held)
    return agent_pb2.SessionRequest(hello=body)


def heartbeat() -> agent_pb2.SessionRequest:
    return agent_pb2.SessionRequest(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=1))


def order_ack(nonce: str, *refused: str) -> agent_pb2.SessionRequest:
    refusals = [agent_pb2.DeltaRefusal(name=name, message="no") for name in refused]
    return agent_pb2.SessionRequest(order_ack=agent_pb2.DeltaAck(nonce=nonce, refusals=refusals))


def fact_advert(index: int, value: str = "NO") -> agent_pb2.Advert:
    evidence = common_pb2.Evidence(kind=common_pb2.EVIDENCE_KIND_DECLARATION, issuer="n", scheme="s")
    fact = common_pb2.Fact(kind=common_pb2.FACT_KIND_SITE_COUNTRY, value=value, evidence=evidence)
    return agent_pb2.Advert(name=f"facts/SITE_COUNTRY/{index}", etag=etag_of(fact), fact=fact)


def inventory_advert(node: str = "oslo") -> agent_pb2.Advert:
    body = zone_pb2.Inventory(node=node)
    return agent_pb2.Advert(name="inventory", etag=etag_of(body), inventory=body)


def adverts(*updated: agent_pb2.Advert, nonce: str = "n1", removed: tuple[str, ...] = ()) -> agent_pb2.SessionRequest:
    delta = agent_pb2.AdvertDelta(updated=updated, removed_names=removed, nonce=nonce)
    return agent_pb2.SessionRequest(adverts=delta)


async def refused_with(reason: Reason, link: AgentLink, message: Any) -> RefusalError:
    with pytest.raises(RefusalError) as refusal:
        await link.receive(message)
    assert refusal.value.reason is reason
    return refusal.value


# --- greeting ---


async def test_a_greeting_is_answered_with_the_adverts_that_are_held() -> None:
    world = World()
    world.ingest.held = {"inventory": "e1"}
    link = world.links.open(OSLO)
    (answer,) = await link.receive(hello())
    assert [(held.name, held.etag) for held in answer.welcome.advert_etags] == [("inventory", "e1")]
    assert answer.welcome.lost_after_ms == 4_000
    assert answer.welcome.wall_clock_ms == world.clock.wall_ms()


async def test_a_greeting_for_another_zone_is_an_identity_mismatch() -> None:
    world = World()
    refusal = await refused_with(Reason.IDENTITY_MISMATCH, world.links.open(OSLO), hello(zone="nordfjord/bergen-1"))
    assert refusal.field == "hello.zone"
    assert not world.ingest.calls


async def test_a_greeting_for_a_zone_of_another_operator_is_an_identity_mismatch() -> None:
    world = World()
    await refused_with(Reason.IDENTITY_MISMATCH, world.links.open(OSLO), hello(zone="fjordby/oslo-1"))


async def test_a_stream_that_does_not_begin_with_a_greeting_breaks_the_protocol() -> None:
    world = World()
    await refused_with(Reason.PROTOCOL_VIOLATION, world.links.open(OSLO), heartbeat())


async def test_a_second_greeting_breaks_the_protocol() -> None:
    link = await World().greeted()
    await refused_with(Reason.PROTOCOL_VIOLATION, link, hello())


async def test_an_empty_message_is_refused() -> None:
    link = await World().greeted()
    refusal = await refused_with(Reason.INVALID_FIELD, link, agent_pb2.SessionRequest())
    assert refusal.field == "body"


# --- adverts ---


async def test_adverts_are_handed_on_and_acknowledged() -> None:
    world = World()
    link = await world.greeted()
    (answer,) = await link.receive(adverts(inventory_advert(), removed=("facts/SITE_COUNTRY/9",)))
    assert answer.advert_ack.nonce == "n1"
    assert not answer.advert_ack.refusals
    assert ("adverts", "oslo-1", ("inventory",), ("facts/SITE_COUNTRY/9",)) in world.ingest.calls


async def test_an_advert_that_cannot_be_read_is_refused_beside_those_that_can() -> None:
    world = World()
    link = await world.greeted()
    (answer,) = await link.receive(adverts(inventory_advert(), fact_advert(1, value="norway")))
    (refusal,) = answer.advert_ack.refusals
    assert (refusal.name, refusal.field) == ("facts/SITE_COUNTRY/1", "fact.value")
    assert "did you mean 'NO'" in refusal.message
    assert ("adverts", "oslo-1", ("inventory",), ()) in world.ingest.calls


async def test_what_the_application_refuses_is_told_to_the_agent() -> None:
    world = World()
    world.ingest.refuse = {"inventory"}
    link = await world.greeted()
    (answer,) = await link.receive(adverts(inventory_advert()))
    assert [(one.name, one.field) for one in answer.advert_ack.refusals] == [("inventory", "node")]


async def test_a_nonce_is_used_once() -> None:
    link = await World().greeted()
    await link.receive(adverts(inventory_advert(), nonce="n1"))
    await refused_with(Reason.PROTOCOL_VIOLATION, link, adverts(inventory_advert(), nonce="n1"))


async def test_facts_beyond_the_limit_are_refused_and_known_ones_may_change() -> None:
    world = World(facts_max=2)
    link = await world.greeted()
    (first,) = await link.receive(adverts(fact_advert(1), fact_advert(2), fact_advert(3), nonce="n1"))
    assert [one.name for one in first.advert_ack.refusals] == ["facts/SITE_COUNTRY/3"]
    (second,) = await link.receive(adverts(fact_advert(1, "SE"), nonce="n2"))
    assert not second.advert_ack.refusals


async def test_a_fact_that_was_removed_makes_room_for_another() -> None:
    link = await World(facts_max=1).greeted()
    await link.receive(adverts(fact_advert(1), nonce="n1"))
    await link.receive(adverts(nonce="n2", removed=("facts/SITE_COUNTRY/1",)))
    (answer,) = await link.receive(adverts(fact_advert(2), nonce="n3"))
    assert not answer.advert_ack.refusals


async def test_two_adverts_of_the_same_name_in_one_message_are_refused() -> None:
    link = await World().greeted()
    refusal = await refused_with(Reason.INVALID_FIELD, link, adverts(fact_advert(1), fact_advert(1)))
    assert refusal.field == "adverts.updated[1]"


async def test_every_message_shows_that_the_agent_is_there() -> None:
    world = World()
    link = await world.greeted()
    (answer,) = await link.receive(heartbeat())
    assert answer.heartbeat.wall_clock_ms == world.clock.wall_ms()
    assert ("heard", "oslo-1") in world.ingest.calls


async def test_more_messages_than_allowed_end_the_stream() -> None:
    world = World(messages_per_s=1, messages_burst=2)
    link = await world.greeted()
    await link.receive(heartbeat())
    await refused_with(Reason.LIMIT_EXCEEDED, link, heartbeat())
    world.clock.now_ms += 1_000
    await link.receive(heartbeat())


# --- orders ---


async def test_orders_go_down_with_the_welcome_and_once_only() -> None:
    world = World()
    world.ingest.orders_now = {"probe-targets/fjordby/sto-1": TARGET}
    link = world.links.open(OSLO)
    _, orders = await link.receive(hello())
    assert [order.name for order in orders.orders.updated] == ["probe-targets/fjordby/sto-1"]
    assert link.next_orders() is None
    await link.receive(order_ack(orders.orders.nonce))
    assert link.next_orders() is None


async def test_orders_that_the_agent_holds_already_are_not_sent_again() -> None:
    world = World()
    world.ingest.orders_now = {"probe-targets/fjordby/sto-1": TARGET}
    _, orders = await world.links.open(OSLO).receive(hello())
    etag = orders.orders.updated[0].etag
    answers = await world.links.open(OSLO).receive(hello(etags={"probe-targets/fjordby/sto-1": etag}))
    assert [answer.WhichOneof("body") for answer in answers] == ["welcome"]


async def test_an_order_that_is_gone_is_withdrawn() -> None:
    world = World()
    link = world.links.open(OSLO)
    _, orders = await link.receive(hello(etags={"instances/c1-0": "e"}))
    assert list(orders.orders.removed_names) == ["instances/c1-0"]


async def test_orders_on_their_way_count_as_held_until_they_are_taken_back() -> None:
    world = World()
    world.ingest.orders_now = {"probe-targets/fjordby/sto-1": TARGET}
    link = world.links.open(OSLO)
    _, orders = await link.receive(hello())
    assert world.ingest.orders_held == ["probe-targets/fjordby/sto-1"]
    world.ingest.orders_now = {}
    (withdrawal,) = await link.receive(order_ack(orders.orders.nonce))
    assert world.ingest.orders_held == ["probe-targets/fjordby/sto-1"]
    await link.receive(order_ack(withdrawal.orders.nonce))
    assert world.ingest.orders_held == []


async def test_refused_orders_are_told_to_the_application_and_not_repeated() -> None:
    world = World()
    world.ingest.orders_now = {"probe-targets/fjordby/sto-1": TARGET}
    link = world.links.open(OSLO)
    _, orders = await link.receive(hello())
    assert await link.receive(order_ack(orders.orders.nonce, "probe-targets/fjordby/sto-1")) == ()
    assert world.ingest.orders_held == []
    assert any(call[0] == "orders_refused" for call in world.ingest.calls)


async def test_an_acknowledgement_of_something_else_breaks_the_protocol() -> None:
    link = await World().greeted()
    with pytest.raises(ProtocolViolation):
        await link.receive(order_ack("77"))


# --- superseding ---


async def test_a_newer_stream_of_the_zone_supersedes_the_older() -> None:
    world = World()
    old = await world.greeted("b1")
    new = await world.greeted("b1")
    assert old.superseded.is_set()
    assert not new.superseded.is_set()
    assert old.next_orders() is None
    await refused_with(Reason.FENCED, old, heartbeat())


async def test_the_end_of_a_superseded_stream_does_not_disconnect_the_zone() -> None:
    world = World()
    old = await world.greeted("b1")
    new = await world.greeted("b1")
    old.close()
    assert not any(call[0] == "disconnected" for call in world.ingest.calls)
    new.close()
    new.close()
    assert world.ingest.calls.count(("disconnected", "oslo-1", "b1")) == 1
    assert world.links.live_count == 0


async def test_a_stream_that_never_greeted_disconnects_nobody() -> None:
    world = World()
    await world.greeted()
    world.links.open(OSLO).close()
    assert world.links.live_count == 1

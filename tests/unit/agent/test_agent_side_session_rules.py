"""The agent's side of the session, rule by rule."""

from __future__ import annotations

import pytest
from agent_orders import at, order
from hansa_agent.session import TRANSITIONS, AgentSession, Event, Identity, State

from hansa.delta import etag_of
from hansa.errors import ProtocolViolation
from hansa.v1.agent_service_pb2 import (
    AgentWelcome,
    DeltaAck,
    DeltaRefusal,
    Heartbeat,
    NamedEtag,
    Order,
    OrderDelta,
    SessionResponse,
)
from hansa.v1.common_pb2 import Fact
from hansa.v1.zone_pb2 import Inventory

IDENTITY = Identity("nordfjell/osl-1", "boot-1", "0.1.0")
BODIES = {"inventory": Inventory(node="oslo"), "facts/SITE_COUNTRY/0": Fact(value="NO")}


class TakesAll:
    def refusal(self, order: Order, held: object) -> None:
        return None


class RefusesTokens:
    def refusal(self, order: Order, held: object) -> DeltaRefusal | None:
        if order.instance.fencing_token < 5:
            return DeltaRefusal(name=order.name, field="instance.fencing_token", message="stale")
        return None


def welcome(held: dict[str, str] | None = None, interval_ms: int = 1_000, wall_ms: int = 0) -> SessionResponse:
    etags = [NamedEtag(name=name, etag=etag) for name, etag in (held or {}).items()]
    body = AgentWelcome(advert_etags=etags, heartbeat_interval_ms=interval_ms, wall_clock_ms=wall_ms)
    return SessionResponse(welcome=body)


def ack(nonce: str, *refused: str) -> SessionResponse:
    return SessionResponse(advert_ack=DeltaAck(nonce=nonce, refusals=[DeltaRefusal(name=name) for name in refused]))


def orders(*updated: Order, removed: tuple[str, ...] = (), nonce: str = "1") -> SessionResponse:
    return SessionResponse(orders=OrderDelta(updated=updated, removed_names=removed, nonce=nonce))


def synced(held: dict[str, str] | None = None) -> AgentSession:
    session = AgentSession(IDENTITY, TakesAll())
    session.on_connected(at(0))
    session.on_message(welcome(held), at(0))
    return session


def test_table_names_every_state_and_event_once() -> None:
    keys = [(row.state, row.event) for row in TRANSITIONS]
    assert len(set(keys)) == len(keys)
    assert {row.event for row in TRANSITIONS} == set(Event) and {row.state for row in TRANSITIONS} == set(State)


def test_hello_names_zone_boot_clock_and_the_orders_held() -> None:
    held = order()
    output = AgentSession(IDENTITY, TakesAll(), [held]).on_connected(at(5))
    hello = output.send[0].hello
    assert (hello.zone, hello.boot_id, hello.version) == ("nordfjell/osl-1", "boot-1", "0.1.0")
    assert hello.wall_clock_ms == at(5).wall_ms
    assert [(each.name, each.etag) for each in hello.order_etags] == [(held.name, held.etag)]


def test_nothing_but_hello_is_sent_before_the_welcome() -> None:
    session = AgentSession(IDENTITY, TakesAll())
    assert session.on_adverts(BODIES).send == ()
    session.on_connected(at(0))
    assert session.on_adverts(BODIES).send == ()
    assert len(session.on_message(welcome(), at(1)).send) == 1


def test_only_differences_from_what_the_operator_holds_are_sent() -> None:
    session = AgentSession(IDENTITY, TakesAll())
    session.on_adverts(BODIES)
    session.on_connected(at(0))
    held = {"inventory": etag_of(BODIES["inventory"]), "facts/SITE_COUNTRY/0": "old", "instances/gone-0": "x"}
    delta = session.on_message(welcome(held), at(1)).send[0].adverts
    assert [advert.name for advert in delta.updated] == ["facts/SITE_COUNTRY/0"]
    assert list(delta.removed_names) == ["instances/gone-0"]


def test_change_while_a_delta_is_in_flight_waits_for_the_acknowledgement() -> None:
    session = synced()
    nonce = session.on_adverts(BODIES).send[0].adverts.nonce
    changed = {**BODIES, "inventory": Inventory(node="bergen")}
    assert session.on_adverts({**BODIES, "inventory": Inventory(node="x")}).send == ()
    assert session.on_adverts(changed).send == ()
    delta = session.on_message(ack(nonce), at(2)).send[0].adverts
    assert [advert.inventory.node for advert in delta.updated] == ["bergen"], "the newest state, not the history"
    assert delta.nonce != nonce


def test_refused_advert_is_told_and_sent_again_only_when_it_changed() -> None:
    session = synced()
    nonce = session.on_adverts(BODIES).send[0].adverts.nonce
    output = session.on_message(ack(nonce, "inventory"), at(2))
    assert [refusal.name for refusal in output.adverts_refused] == ["inventory"] and output.send == ()
    assert session.on_adverts(BODIES).send == ()
    assert len(session.on_adverts({**BODIES, "inventory": Inventory(node="y")}).send) == 1


def test_acknowledgement_of_another_nonce_breaks_the_protocol() -> None:
    session = synced()
    session.on_adverts(BODIES)
    with pytest.raises(ProtocolViolation, match="not in flight"):
        session.on_message(ack("99"), at(2))


def test_orders_are_taken_over_and_acknowledged() -> None:
    session = synced()
    output = session.on_message(orders(order("c1-0"), order("c1-1")), at(1))
    assert output.orders_changed and set(session.orders) == {"instances/c1-0", "instances/c1-1"}
    assert output.send[0].order_ack.nonce == "1" and not output.send[0].order_ack.refusals
    output = session.on_message(orders(removed=("instances/c1-0",), nonce="2"), at(2))
    assert output.orders_changed and set(session.orders) == {"instances/c1-1"}


def test_refused_order_leaves_the_former_one_in_force() -> None:
    session = AgentSession(IDENTITY, RefusesTokens())
    session.on_connected(at(0))
    session.on_message(welcome(), at(0))
    session.on_message(orders(order(fencing_token=7)), at(1))
    output = session.on_message(orders(order(fencing_token=3), order("c2-0"), nonce="2"), at(2))
    assert [refusal.field for refusal in output.send[0].order_ack.refusals] == ["instance.fencing_token"]
    assert session.orders["instances/c1-0"].instance.fencing_token == 7
    assert "instances/c2-0" in session.orders


def test_orders_survive_a_broken_stream() -> None:
    session = synced()
    session.on_message(orders(order()), at(1))
    session.on_disconnected()
    hello = session.on_connected(at(9)).send[0].hello
    assert [held.name for held in hello.order_etags] == ["instances/c1-0"]


@pytest.mark.parametrize(
    "message",
    [
        orders(order(), order()),
        orders(order(), removed=("instances/c1-0",)),
        orders(order(), nonce=""),
        welcome(),
        SessionResponse(),
    ],
    ids=["twice", "updated and removed", "no nonce", "second welcome", "no body"],
)
def test_malformed_message_breaks_the_protocol(message: SessionResponse) -> None:
    with pytest.raises(ProtocolViolation):
        synced().on_message(message, at(1))


@pytest.mark.parametrize("message", [orders(order()), ack("1"), SessionResponse(heartbeat=Heartbeat())])
def test_operator_that_does_not_welcome_first_breaks_the_protocol(message: SessionResponse) -> None:
    session = AgentSession(IDENTITY, TakesAll())
    session.on_connected(at(0))
    with pytest.raises(ProtocolViolation, match="GREETING"):
        session.on_message(message, at(1))
    assert session.orders == {}


def test_heartbeats_go_out_at_the_interval_asked_for() -> None:
    session = synced()
    beats = []
    for now_ms in range(0, 5_000, 100):
        session.on_message(SessionResponse(heartbeat=Heartbeat()), at(now_ms))
        beats += [now_ms for message in session.on_tick(at(now_ms)).send if message.HasField("heartbeat")]
    assert beats == [1_000, 2_000, 3_000, 4_000]


def test_no_heartbeat_goes_out_within_an_interval_of_an_acknowledged_delta() -> None:
    session = synced()
    (sent,) = session.on_adverts(BODIES).send
    beats = []
    for now_ms in range(0, 4_000, 100):
        if now_ms == 700:
            session.on_message(ack(sent.adverts.nonce), at(now_ms))
        session.on_message(SessionResponse(heartbeat=Heartbeat()), at(now_ms))
        beats += [now_ms for message in session.on_tick(at(now_ms)).send if message.HasField("heartbeat")]
    assert beats == [1_700, 2_700, 3_700]


def test_a_delta_that_is_not_acknowledged_spares_no_heartbeat() -> None:
    session = synced()
    session.on_adverts(BODIES)
    assert [message.HasField("heartbeat") for message in session.on_tick(at(1_000)).send] == [True]


@pytest.mark.parametrize(("asked_ms", "kept_ms"), [(0, 1_000), (1, 100), (250, 250), (10**9, 60_000), (-5, 100)])
def test_senseless_intervals_are_bounded(asked_ms: int, kept_ms: int) -> None:
    session = AgentSession(IDENTITY, TakesAll())
    session.on_connected(at(0))
    session.on_message(welcome(interval_ms=asked_ms), at(0))
    assert session.interval_ms == kept_ms


def test_silent_operator_is_left_after_three_intervals() -> None:
    session = synced()
    assert session.on_tick(at(2_999)).close == ""
    assert "silent" in session.on_tick(at(3_000)).close


def test_missing_welcome_closes_the_stream() -> None:
    session = AgentSession(IDENTITY, TakesAll())
    session.on_connected(at(0))
    assert session.on_tick(at(4_999)).close == ""
    assert "no welcome" in session.on_tick(at(5_000)).close


def test_difference_of_the_clocks_is_told_with_the_welcome() -> None:
    session = AgentSession(IDENTITY, TakesAll())
    session.on_connected(at(0))
    output = session.on_message(welcome(wall_ms=at(0).wall_ms + 3_600_000), at(0))
    assert output.operator_clock_ahead_ms == 3_600_000

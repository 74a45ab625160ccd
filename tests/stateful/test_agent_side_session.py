"""The agent's session against a model operator: whatever is dropped, both sides end up with the same."""

from __future__ import annotations

import hypothesis.strategies as st
from hansa_agent.ports import Instant
from hansa_agent.session import AgentSession, Identity, Output, State
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hansa.delta import DeltaReceiver, DeltaSender, etag_of
from hansa.v1.agent_service_pb2 import (
    AgentWelcome,
    DeltaAck,
    DeltaRefusal,
    NamedEtag,
    Order,
    OrderDelta,
    SessionRequest,
    SessionResponse,
)
from hansa.v1.common_pb2 import Fact
from hansa.v1.instance_pb2 import ProbeTarget

NAMES = [f"facts/SITE_COUNTRY/{number}" for number in range(4)]
TARGETS = [f"operator/zone-{number}" for number in range(4)]


class EvenPortsOnly:
    """Refuses every order whose address ends in an odd digit."""

    def refusal(self, order: Order, held: object) -> DeltaRefusal | None:
        if int(order.probe_target.address[-1]) % 2:
            return DeltaRefusal(name=order.name, field="probe_target.address", message="odd")
        return None


class SessionMachine(RuleBasedStateMachine):
    """The operator keeps its view over streams, as its store does; the wire loses everything when it breaks."""

    @initialize()
    def begin(self) -> None:
        self.session = AgentSession(Identity("operator/zone", "boot"), EvenPortsOnly())
        self.now_ms = 1_000
        self.to_operator: list[SessionRequest] = []
        self.to_agent: list[SessionResponse] = []
        self.view: dict[str, Fact] = {}
        self.receiver = DeltaReceiver()
        self.sender = DeltaSender()
        self.orders: dict[str, Order] = {}
        self.bodies: dict[str, Fact] = {}
        self.operator_greeted = False
        self.unacknowledged = 0

    def _now(self) -> Instant:
        return Instant(self.now_ms, self.now_ms)

    def _emit(self, output: Output) -> None:
        for message in output.send:
            self.to_operator.append(message)
            self.unacknowledged += message.HasField("adverts")
        if output.close:
            self.drop()

    @precondition(lambda self: self.session.state is State.DISCONNECTED)
    @rule()
    def connect(self) -> None:
        self._emit(self.session.on_connected(self._now()))

    @precondition(lambda self: self.session.state is not State.DISCONNECTED)
    @rule()
    def drop(self) -> None:
        self.session.on_disconnected()
        self.to_operator, self.to_agent = [], []
        self.operator_greeted = False
        self.unacknowledged = 0

    @rule(values=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["NO", "SE", "DE"])))
    def adverts_change(self, values: dict[str, str]) -> None:
        self.bodies = {name: Fact(value=value) for name, value in values.items()}
        self._emit(self.session.on_adverts(self.bodies))

    @rule(ports=st.dictionaries(st.sampled_from(TARGETS), st.integers(10, 19)))
    def orders_change(self, ports: dict[str, int]) -> None:
        self.orders = {}
        for zone, port in ports.items():
            target = ProbeTarget(zone=zone, address=f"host:{port}")
            name = f"probe-targets/{zone}"
            self.orders[name] = Order(name=name, etag=etag_of(target), probe_target=target)
        self._order()

    @rule(passed_ms=st.sampled_from([50, 400, 1_200]))
    def time_passes(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self._emit(self.session.on_tick(self._now()))

    @precondition(lambda self: self.to_operator)
    @rule(refused=st.sets(st.sampled_from(NAMES)))
    def operator_reads(self, refused: set[str]) -> None:
        message = self.to_operator.pop(0)
        body = message.WhichOneof("body")
        if body == "hello":
            self.sender.start({held.name: held.etag for held in message.hello.order_etags})
            self.operator_greeted = True
            etags = [NamedEtag(name=name, etag=etag) for name, etag in self.receiver.held.items()]
            self.to_agent.append(SessionResponse(welcome=AgentWelcome(advert_etags=etags, heartbeat_interval_ms=500)))
            self._order()
        elif body == "adverts":
            taken = [advert for advert in message.adverts.updated if advert.name not in refused]
            turned = [advert.name for advert in message.adverts.updated if advert.name in refused]
            self.view.update({advert.name: advert.fact for advert in taken})
            for name in message.adverts.removed_names:
                self.view.pop(name, None)
            self.receiver.on_delta({a.name: a.etag for a in taken}, message.adverts.removed_names)
            refusals = [DeltaRefusal(name=name) for name in turned]
            self.to_agent.append(SessionResponse(advert_ack=DeltaAck(nonce=message.adverts.nonce, refusals=refusals)))
        elif body == "order_ack":
            self.sender.on_ack(message.order_ack.nonce, [refusal.name for refusal in message.order_ack.refusals])
            self._order()
        else:
            self.to_agent.append(SessionResponse(heartbeat=message.heartbeat))

    @precondition(lambda self: self.to_agent)
    @rule()
    def agent_reads(self) -> None:
        message = self.to_agent.pop(0)
        self.unacknowledged -= message.HasField("advert_ack")
        self._emit(self.session.on_message(message, self._now()))

    def _order(self) -> None:
        if not self.operator_greeted:
            return
        delta = self.sender.next_delta({name: order.etag for name, order in self.orders.items()})
        if delta is not None:
            updated = [self.orders[name] for name in delta.updated]
            message = OrderDelta(updated=updated, removed_names=delta.removed, nonce=delta.nonce)
            self.to_agent.append(SessionResponse(orders=message))

    @invariant()
    def never_more_than_one_delta_in_flight(self) -> None:
        assert 0 <= self.unacknowledged <= 1

    @invariant()
    def agent_holds_no_order_that_it_refuses(self) -> None:
        for order in self.session.orders.values():
            assert int(order.probe_target.address[-1]) % 2 == 0

    @invariant()
    def what_is_advertised_is_what_was_last_said(self) -> None:
        assert {name: advert.fact for name, advert in self.session.adverts.items()} == self.bodies

    def teardown(self) -> None:
        """From wherever it is: one clean stream, nothing refused, and both sides agree."""
        if self.session.state is not State.DISCONNECTED:
            self.drop()
        self.connect()
        for _ in range(40):
            if self.to_operator:
                self.operator_reads(set())
            elif self.to_agent:
                self.agent_reads()
        assert self.view == self.bodies
        wanted = {name: order for name, order in self.orders.items() if not int(order.probe_target.address[-1]) % 2}
        kept = {name: order for name, order in self.session.orders.items() if name in wanted}
        assert kept == wanted
        assert set(self.session.orders) <= set(self.orders), "what is not ordered is not held"
        seen = self.unacknowledged
        self._emit(self.session.on_adverts(self.bodies))
        assert self.unacknowledged == seen == 0, "once agreed, nothing more is sent"


SessionMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAgentSideSession = SessionMachine.TestCase

"""The agent's side of the session with its operator, without input or output.

Events go in (connected, a message, other adverts, a moment, disconnected), an ``Output`` comes out: messages to send,
whether the orders changed, why the stream must be closed. ``TRANSITIONS`` is the whole protocol as data; a message
that it does not list for the present state is a ``ProtocolViolation``. What is buffered while there is no stream is
state, not history: the newest adverts. After a reconnect only what differs from what the operator holds is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hansa.delta import DeltaReceiver, DeltaSender, etag_of
from hansa.errors import ProtocolViolation
from hansa.v1.agent_service_pb2 import (
    Advert,
    AdvertDelta,
    AgentHello,
    DeltaAck,
    DeltaRefusal,
    Heartbeat,
    NamedEtag,
    Order,
    SessionRequest,
    SessionResponse,
)
from hansa.v1.common_pb2 import Fact
from hansa.v1.instance_pb2 import InstanceStatus
from hansa.v1.network_pb2 import ProbeResult
from hansa.v1.zone_pb2 import Inventory
from hansa_agent.ports import Instant

GREETING_TIMEOUT_MS = 5_000
SILENT_INTERVALS = 3
SILENCE_MS_MIN = 2_000
HEARTBEAT_MS_BOUNDS = (100, 60_000)
HEARTBEAT_MS_DEFAULT = 1_000

AdvertBody = Inventory | Fact | ProbeResult | InstanceStatus
"""What an advert may carry; its version is ``hansa.delta.etag_of`` of this message."""


class State(StrEnum):
    """Where the session is."""

    DISCONNECTED = "DISCONNECTED"
    GREETING = "GREETING"
    SYNCED = "SYNCED"


class Event(StrEnum):
    """What may happen to it."""

    CONNECTED = "CONNECTED"
    WELCOME = "WELCOME"
    ADVERT_ACK = "ADVERT_ACK"
    ORDERS = "ORDERS"
    HEARTBEAT = "HEARTBEAT"
    ADVERTS_CHANGED = "ADVERTS_CHANGED"
    TICK = "TICK"
    DISCONNECTED = "DISCONNECTED"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the protocol: in ``state`` upon ``event`` go to ``target`` and do what ``action`` says."""

    state: State
    event: Event
    target: State
    action: str


TRANSITIONS: tuple[Transition, ...] = (
    Transition(State.DISCONNECTED, Event.CONNECTED, State.GREETING, "send hello with the etags of the orders held"),
    Transition(State.DISCONNECTED, Event.ADVERTS_CHANGED, State.DISCONNECTED, "keep the newest adverts"),
    Transition(State.DISCONNECTED, Event.TICK, State.DISCONNECTED, "nothing"),
    Transition(State.DISCONNECTED, Event.DISCONNECTED, State.DISCONNECTED, "nothing"),
    Transition(State.GREETING, Event.WELCOME, State.SYNCED, "send the adverts that differ from the etags told"),
    Transition(State.GREETING, Event.ADVERTS_CHANGED, State.GREETING, "keep the newest adverts"),
    Transition(State.GREETING, Event.TICK, State.GREETING, "close the stream if no welcome came in time"),
    Transition(State.GREETING, Event.DISCONNECTED, State.DISCONNECTED, "keep orders and adverts"),
    Transition(State.SYNCED, Event.ADVERT_ACK, State.SYNCED, "note what was refused; send the next difference"),
    Transition(State.SYNCED, Event.ORDERS, State.SYNCED, "take over what is admitted; acknowledge, refuse the rest"),
    Transition(State.SYNCED, Event.HEARTBEAT, State.SYNCED, "note that the operator was heard"),
    Transition(State.SYNCED, Event.ADVERTS_CHANGED, State.SYNCED, "send the difference unless a delta is in flight"),
    Transition(State.SYNCED, Event.TICK, State.SYNCED, "send a heartbeat when due; close if the operator is silent"),
    Transition(State.SYNCED, Event.DISCONNECTED, State.DISCONNECTED, "keep orders and adverts"),
)
_TARGETS: Mapping[tuple[State, Event], State] = {(row.state, row.event): row.target for row in TRANSITIONS}
_EVENT_OF_BODY: Mapping[str, Event] = {
    "welcome": Event.WELCOME,
    "advert_ack": Event.ADVERT_ACK,
    "orders": Event.ORDERS,
    "heartbeat": Event.HEARTBEAT,
}


class Admission(Protocol):
    """Decides whether an order may be taken over."""

    def refusal(self, order: Order, held: Mapping[str, Order]) -> DeltaRefusal | None:
        """Why not, or None. ``held`` is what is held beside it, by name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the agent is: ``zone`` as "operator/zone", ``boot_id`` new with every start of the process."""

    zone: str
    boot_id: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What follows from an event."""

    send: tuple[SessionRequest, ...] = ()
    orders_changed: bool = False
    close: str = ""
    """Why the stream must be closed; empty to keep it."""
    adverts_refused: tuple[DeltaRefusal, ...] = ()
    orders_refused: tuple[DeltaRefusal, ...] = ()
    operator_clock_ahead_ms: int | None = None
    """With the welcome: how far the operator's wall clock is ahead of ours, transit included."""


class AgentSession:
    """One zone's session, over any number of streams.

    ``held_orders`` are the orders of instances that a former agent process left running. Raises ``ProtocolViolation``
    from ``on_message`` when the operator breaks the rules; the stream must then be closed.
    """

    def __init__(self, identity: Identity, admission: Admission, held_orders: Iterable[Order] = ()) -> None:
        self._identity = identity
        self._admission = admission
        self._orders: dict[str, Order] = {order.name: order for order in held_orders}
        self._receiver = DeltaReceiver({order.name: order.etag for order in self._orders.values()})
        self._sender = DeltaSender()
        self._adverts: dict[str, Advert] = {}
        self._state = State.DISCONNECTED
        self._heard_ms = 0
        self._beat_ms = 0
        self._interval_ms = HEARTBEAT_MS_DEFAULT

    @property
    def state(self) -> State:
        return self._state

    @property
    def orders(self) -> Mapping[str, Order]:
        """What the agent is to do, by name."""
        return self._orders

    @property
    def adverts(self) -> Mapping[str, Advert]:
        """The newest adverts, by name, sent or not."""
        return self._adverts

    @property
    def interval_ms(self) -> int:
        """After how long a heartbeat is sent if no delta was acknowledged meanwhile, as the operator asked."""
        return self._interval_ms

    @property
    def waits_for_ack(self) -> bool:
        """Whether an advert delta is in flight."""
        return self._state is State.SYNCED and self._sender.waits_for_ack

    def on_connected(self, now: Instant) -> Output:
        """A stream was opened: greet."""
        self._move(Event.CONNECTED)
        self._heard_ms = now.monotonic_ms
        etags = [NamedEtag(name=name, etag=etag) for name, etag in sorted(self._receiver.held.items())]
        hello = AgentHello(
            zone=self._identity.zone,
            boot_id=self._identity.boot_id,
            wall_clock_ms=now.wall_ms,
            order_etags=etags,
            version=self._identity.version,
        )
        return Output(send=(SessionRequest(hello=hello),))

    def on_disconnected(self) -> None:
        """The stream is gone. Orders go on, adverts are kept."""
        self._move(Event.DISCONNECTED)

    def on_adverts(self, bodies: Mapping[str, AdvertBody]) -> Output:
        """``bodies`` is everything that is to be advertised from now on, by name."""
        self._move(Event.ADVERTS_CHANGED)
        self._adverts = {name: _advert(name, body) for name, body in sorted(bodies.items())}
        return Output(send=self._difference()) if self._state is State.SYNCED else Output()

    def on_tick(self, now: Instant) -> Output:
        """Time has passed; call it several times per heartbeat interval."""
        self._move(Event.TICK)
        if self._state is State.DISCONNECTED:
            return Output()
        silent_ms = now.monotonic_ms - self._heard_ms
        if self._state is State.GREETING:
            return Output(close=f"no welcome within {silent_ms} ms") if silent_ms >= GREETING_TIMEOUT_MS else Output()
        if silent_ms >= max(SILENT_INTERVALS * self._interval_ms, SILENCE_MS_MIN):
            return Output(close=f"the operator has been silent for {silent_ms} ms")
        return self._beat(now)

    def rest_ms(self, now: Instant) -> int:
        """For how long ticks change nothing, if nothing else happens; 0 if the next one may."""
        if self._state is not State.SYNCED:
            return 0
        silent_at_ms = self._heard_ms + max(SILENT_INTERVALS * self._interval_ms, SILENCE_MS_MIN)
        return max(0, min(self._beat_ms + self._interval_ms, silent_at_ms) - now.monotonic_ms)

    def on_message(self, message: SessionResponse, now: Instant) -> Output:
        """The operator said something."""
        event = _EVENT_OF_BODY.get(message.WhichOneof("body") or "")
        if event is None:
            raise ProtocolViolation("a message without a body")
        self._move(event)
        self._heard_ms = now.monotonic_ms
        if event is Event.WELCOME:
            return self._on_welcome(message, now)
        if event is Event.ADVERT_ACK:
            self._beat_ms = now.monotonic_ms  # both sides have heard one another, as by a heartbeat
            return self._on_ack(message.advert_ack)
        return self._on_orders(message) if event is Event.ORDERS else Output()

    def _move(self, event: Event) -> None:
        target = _TARGETS.get((self._state, event))
        if target is None:
            raise ProtocolViolation(f"{event} is not expected while {self._state}")
        self._state = target

    def _beat(self, now: Instant) -> Output:
        if now.monotonic_ms - self._beat_ms < self._interval_ms:
            return Output()
        self._beat_ms = now.monotonic_ms
        return Output(send=(SessionRequest(heartbeat=Heartbeat(wall_clock_ms=now.wall_ms)),))

    def _on_welcome(self, message: SessionResponse, now: Instant) -> Output:
        welcome = message.welcome
        low, high = HEARTBEAT_MS_BOUNDS
        self._interval_ms = min(max(welcome.heartbeat_interval_ms or HEARTBEAT_MS_DEFAULT, low), high)
        self._beat_ms = now.monotonic_ms
        self._sender.start({held.name: held.etag for held in welcome.advert_etags})
        return Output(send=self._difference(), operator_clock_ahead_ms=welcome.wall_clock_ms - now.wall_ms)

    def _on_ack(self, ack: DeltaAck) -> Output:
        refused = set(self._sender.on_ack(ack.nonce, [refusal.name for refusal in ack.refusals]))
        refusals = tuple(refusal for refusal in ack.refusals if refusal.name in refused)
        return Output(send=self._difference(), adverts_refused=refusals)

    def _on_orders(self, message: SessionResponse) -> Output:
        delta = message.orders
        _check_delta([order.name for order in delta.updated], list(delta.removed_names), delta.nonce)
        held = {name: order for name, order in self._orders.items() if name not in delta.removed_names}
        accepted: dict[str, str] = {}
        refusals: list[DeltaRefusal] = []
        for order in delta.updated:
            refusal = self._admission.refusal(order, held)
            if refusal is not None:
                refusals.append(refusal)
                continue
            held[order.name] = order
            accepted[order.name] = order.etag
        changed = held != self._orders
        self._orders = held
        self._receiver.on_delta(accepted, delta.removed_names)
        ack = SessionRequest(order_ack=DeltaAck(nonce=delta.nonce, refusals=refusals))
        return Output(send=(ack,), orders_changed=changed, orders_refused=tuple(refusals))

    def _difference(self) -> tuple[SessionRequest, ...]:
        delta = self._sender.next_delta({name: advert.etag for name, advert in self._adverts.items()})
        if delta is None:
            return ()
        updated = [self._adverts[name] for name in delta.updated]
        message = AdvertDelta(updated=updated, removed_names=delta.removed, nonce=delta.nonce)
        return (SessionRequest(adverts=message),)


def _check_delta(updated: list[str], removed: list[str], nonce: str) -> None:
    names = updated + removed
    if not nonce:
        raise ProtocolViolation("a delta without a nonce")
    if len(set(names)) != len(names):
        raise ProtocolViolation("a delta names a resource twice")


def _advert(name: str, body: AdvertBody) -> Advert:
    etag = etag_of(body)
    if isinstance(body, Inventory):
        return Advert(name=name, etag=etag, inventory=body)
    if isinstance(body, Fact):
        return Advert(name=name, etag=etag, fact=body)
    if isinstance(body, ProbeResult):
        return Advert(name=name, etag=etag, probe=body)
    return Advert(name=name, etag=etag, instance=body)

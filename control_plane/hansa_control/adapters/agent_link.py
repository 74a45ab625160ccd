"""One agent's stream without the wire: messages in, messages out. gRPC drives it, and so does the simulation.

A link is opened for the zone that the agent's certificate names. ``receive`` takes each message and returns what to
send; ``next_orders`` returns the orders that differ from what the agent holds, whenever it is asked. A newer link of
the same zone supersedes an older one: the older one's ``superseded`` is set and it has no say any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import structlog

from hansa.delta import DeltaReceiver, DeltaSender
from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa_control.adapters.codec_agent import (
    Hello,
    OrderBody,
    advert_ack_out,
    agent_heartbeat_out,
    order_out,
    orders_out,
    session_request_in,
    welcome_out,
)
from hansa_control.adapters.codec_delta import Ack, EtagMemo, Heartbeat, Refusal, ResourceDelta
from hansa_control.adapters.codec_zone import FACT_COUNT_MAX
from hansa_control.adapters.rates import TokenBucket
from hansa_control.application.ports import Clock, RefusalError, StoredAdvert
from hansa_control.application.settings import Settings
from hansa_control.application.signals import Signal
from hansa_control.domain.model import Reason, ZoneId

NONCES_REMEMBERED = 256

log = structlog.get_logger(__name__)


class AgentIngest(Protocol):
    """What the link needs of the application; see ``application.ingest.AgentIngest``."""

    def welcome(self, zone: str, boot_id: str, wall_clock_ms: int) -> Mapping[str, str]: ...

    async def adverts(
        self, zone: str, updated: Sequence[StoredAdvert], removed: Sequence[str]
    ) -> tuple[Refusal, ...]: ...

    def heard(self, zone: str) -> None: ...

    def disconnected(self, zone: str, boot_id: str) -> None: ...

    def orders(self, zone: str) -> Mapping[str, OrderBody]: ...

    def order_acked(self, zone: str, held: Collection[str]) -> None: ...

    def orders_refused(self, zone: str, refusals: tuple[tuple[str, str, str], ...]) -> None: ...

    def orders_signal(self, zone: str) -> Signal: ...


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """How much one stream may send."""

    messages_per_s: int = 500
    messages_burst: int = 1_000
    facts_max: int = FACT_COUNT_MAX


class AgentLinks:
    """The live link of each zone."""

    def __init__(self, ingest: AgentIngest, settings: Settings, clock: Clock, limits: LinkLimits | None = None) -> None:
        self.ingest = ingest
        self.settings = settings
        self.clock = clock
        self.limits = limits or LinkLimits()
        self._live: dict[str, AgentLink] = {}

    def open(self, zone: ZoneId) -> AgentLink:
        """A link for the zone that a certificate names; it is live once the agent has greeted."""
        return AgentLink(self, zone)

    def greeted(self, link: AgentLink) -> None:
        """Makes a link the live one of its zone; the one before has no say any more."""
        before = self._live.get(link.zone.zone)
        self._live[link.zone.zone] = link
        if before is not None and before is not link:
            log.info("agent_superseded", zone=link.zone.zone, boot_id=before.boot_id, by_boot_id=link.boot_id)
            before.superseded.set()

    def is_live(self, link: AgentLink) -> bool:
        return self._live.get(link.zone.zone) is link

    def ended(self, link: AgentLink) -> None:
        """Forgets a link, and tells the application if it was the live one."""
        if self.is_live(link):
            del self._live[link.zone.zone]
            self.ingest.disconnected(link.zone.zone, link.boot_id)

    @property
    def live_count(self) -> int:
        return len(self._live)


class AgentLink:
    """One stream of one agent. Every refusal is raised as ``RefusalError`` or ``ProtocolViolation`` and ends it."""

    def __init__(self, links: AgentLinks, zone: ZoneId) -> None:
        self.zone = zone
        self.boot_id = ""
        self.superseded = asyncio.Event()
        self._links = links
        self._ingest = links.ingest
        self._rate = TokenBucket(links.clock, links.limits.messages_per_s, links.limits.messages_burst)
        self._adverts = DeltaReceiver()
        self._orders = DeltaSender()
        self._etags: EtagMemo[OrderBody] = EtagMemo()
        self._nonces: deque[str] = deque(maxlen=NONCES_REMEMBERED)

    @property
    def orders_signal(self) -> Signal:
        """Notified whenever ``next_orders`` may have something to say."""
        return self._ingest.orders_signal(self.zone.zone)

    async def receive(self, message: SessionRequest) -> tuple[SessionResponse, ...]:
        """Takes one message; returns what to send, in order. What adverts changed is durable on return."""
        self._rate.take()
        said = session_request_in(message, self.zone.zone)
        if isinstance(said, Hello):
            return self._greet(said)
        self._check_live()
        self._ingest.heard(self.zone.zone)
        if isinstance(said, Heartbeat):
            return (agent_heartbeat_out(self._links.clock.wall_ms()),)
        if isinstance(said, Ack):
            return self._order_ack(said)
        return await self._take_adverts(said)

    def next_orders(self) -> SessionResponse | None:
        """The next delta of orders; None before the greeting, while one is in flight, or when nothing differs."""
        if not self._links.is_live(self) or self._orders.waits_for_ack:
            return None
        orders = self._ingest.orders(self.zone.zone)
        written = cache(lambda name: order_out(name, orders[name]))
        etags = self._etags.of(orders, lambda name: written(name).etag)
        delta = self._orders.next_delta(etags, lambda name: written(name).ByteSize())
        if delta is None:
            return None
        self._tell_held()
        return orders_out(delta, {name: written(name) for name in delta.updated})

    def close(self) -> None:
        """The stream ended, for whatever reason. Idempotent."""
        self._links.ended(self)

    # --- parts ---

    def _check_live(self) -> None:
        if not self.boot_id:
            raise RefusalError(Reason.PROTOCOL_VIOLATION, "the first message of a stream must be a hello", "hello")
        if not self._links.is_live(self):
            raise RefusalError(Reason.FENCED, "a newer stream of this zone has taken over")

    def _greet(self, hello: Hello) -> tuple[SessionResponse, ...]:
        if self.boot_id:
            raise RefusalError(Reason.PROTOCOL_VIOLATION, "a stream has one hello", "hello")
        if hello.zone != self.zone:
            message = f"the certificate is that of the agent of {self.zone}, not of {hello.zone}"
            raise RefusalError(Reason.IDENTITY_MISMATCH, message, "hello.zone")
        held = self._ingest.welcome(self.zone.zone, hello.boot_id, hello.wall_clock_ms)
        self.boot_id = hello.boot_id
        self._adverts = DeltaReceiver(held)
        self._orders.start(hello.order_etags)
        self._links.greeted(self)
        self._tell_held()
        log.info(
            "agent_connected",
            zone=self.zone.zone,
            boot_id=hello.boot_id,
            version=hello.version,
            adverts_held=len(held),
            orders_held=len(hello.order_etags),
        )
        settings = self._links.settings
        intervals_ms = (settings.heartbeat_interval_ms, settings.lost_after_ms)
        return self._with_orders(welcome_out(held, intervals_ms, self._links.clock.wall_ms()))

    def _with_orders(self, *responses: SessionResponse) -> tuple[SessionResponse, ...]:
        orders = self.next_orders()
        return responses if orders is None else (*responses, orders)

    def _order_ack(self, ack: Ack) -> tuple[SessionResponse, ...]:
        self._orders.on_ack(ack.nonce, [name for name, _, _ in ack.refusals])
        self._tell_held()
        self._ingest.orders_refused(self.zone.zone, ack.refusals)
        _log_refusals("orders_refused_by_agent", self.zone, ack.refusals)
        return self._with_orders()

    def _tell_held(self) -> None:
        self._ingest.order_acked(self.zone.zone, self._orders.held_or_in_flight)

    async def _take_adverts(self, delta: ResourceDelta[StoredAdvert]) -> tuple[SessionResponse, ...]:
        if delta.nonce in self._nonces:
            raise RefusalError(Reason.PROTOCOL_VIOLATION, f"nonce {delta.nonce!r} was used before", "adverts.nonce")
        self._nonces.append(delta.nonce)
        known, surplus = self._within_fact_limit(delta.updated)
        late = await self._ingest.adverts(self.zone.zone, known, delta.removed)
        refusals = (*delta.refusals, *surplus, *late)
        refused = {name for name, _, _ in refusals}
        self._adverts.on_delta({one.name: one.etag for one in known if one.name not in refused}, delta.removed)
        _log_refusals("adverts_refused", self.zone, refusals)
        return (advert_ack_out(Ack(delta.nonce, refusals)),)

    def _within_fact_limit(
        self, updated: Sequence[StoredAdvert]
    ) -> tuple[tuple[StoredAdvert, ...], tuple[Refusal, ...]]:
        """Facts beyond the limit of a zone are refused; those that are held may change."""
        if not any(one.name.startswith("facts/") for one in updated):
            return tuple(updated), ()
        held = self._adverts.held
        limit = self._links.limits.facts_max
        room = limit - sum(1 for name in held if name.startswith("facts/"))
        fresh = [one.name for one in updated if one.name.startswith("facts/") and one.name not in held]
        surplus = frozenset(fresh[max(0, room) :])
        taken = tuple(one for one in updated if one.name not in surplus)
        return taken, tuple((name, "name", f"more than {limit} facts in a zone") for name in sorted(surplus))


def _log_refusals(event: str, zone: ZoneId, refusals: Sequence[Refusal]) -> None:
    if refusals:
        name, field, message = refusals[0]
        log.warning(event, zone=str(zone), count=len(refusals), name=name, field=field, reason=message)

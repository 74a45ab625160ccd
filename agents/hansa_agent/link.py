"""Keeps a session going over whatever streams there are: dials, drives the pure session, dials again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from hansa.errors import ProtocolViolation
from hansa.v1.agent_service_pb2 import Order, SessionRequest
from hansa_agent.ports import Clock, Connection, Random, Uplink, UplinkLost
from hansa_agent.session import AdvertBody, AgentSession, Output, State

_log = structlog.get_logger(__name__)
BACKOFF_MS_MIN = 50
BACKOFF_MS_MAX = 1_000
TICK_MS = 100
CLOCK_SKEW_MS_MAX = 60_000


def backoff_ms(failures: int, random: Random) -> int:
    """Pause before the next dial: doubled with each failure in a row, 1 s at most, times a number in [0.5, 1]."""
    longest_ms = min(BACKOFF_MS_MIN << min(failures, 10), BACKOFF_MS_MAX)
    return int(longest_ms * random.uniform(0.5, 1.0))


class SessionLink:
    """One agent's way to its operator. ``on_orders`` gets all orders, by name, whenever they changed."""

    def __init__(
        self, session: AgentSession, uplink: Uplink, clock: Clock, on_orders: Callable[[Mapping[str, Order]], None]
    ) -> None:
        self._session = session
        self._uplink = uplink
        self._clock = clock
        self._on_orders = on_orders
        self._outbox: asyncio.Queue[SessionRequest] = asyncio.Queue()
        self._trouble = ""

    def advertise(self, bodies: Mapping[str, AdvertBody]) -> None:
        """``bodies`` is everything that is to be advertised from now on, by name; kept while there is no stream."""
        self._take(self._session.on_adverts(bodies))

    async def run(self, random: Random) -> None:
        """Dials until it is cancelled: the endpoints in turn, staying with one that answered."""
        turn = failures = 0
        endpoints = self._uplink.endpoints
        while True:
            if await self._one_stream(endpoints[turn % len(endpoints)]):
                failures = 0
            else:
                turn, failures = turn + 1, failures + 1
            await self._clock.sleep(backoff_ms(failures, random) / 1_000)

    async def _one_stream(self, endpoint: str) -> bool:
        """Holds one stream until it ends; whether the operator welcomed us on it."""
        welcomed, why = False, "closed"
        connection: Connection | None = None
        try:
            connection = self._uplink.connect(endpoint)
            self._outbox = asyncio.Queue()
            self._take(self._session.on_connected(self._clock.now()))
            await self._drive(connection)
        except* (UplinkLost, ProtocolViolation) as errors:
            why = str(errors.exceptions[0])
        finally:
            welcomed = self._session.state is State.SYNCED
            self._session.on_disconnected()
            if connection is not None:
                await connection.close()
        self._note_loss(endpoint, why, welcomed=welcomed)
        return welcomed

    async def _drive(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(connection))
            group.create_task(self._tick())
            group.create_task(self._read(connection))

    async def _write(self, connection: Connection) -> None:
        while True:
            await connection.send(await self._outbox.get())

    async def _tick(self) -> None:
        """Ticks that would change nothing are passed over: an agent at rest wakes to say something."""
        while True:
            rest_ms = self._session.rest_ms(self._clock.now())
            await self._clock.sleep((rest_ms or TICK_MS) / 1_000)
            self._take(self._session.on_tick(self._clock.now()))

    async def _read(self, connection: Connection) -> None:
        while True:
            message = await connection.receive()
            if message.HasField("welcome"):
                self._trouble = ""
                _log.info("session begun", adverts_held=len(message.welcome.advert_etags))
            self._take(self._session.on_message(message, self._clock.now()))

    def _take(self, output: Output) -> None:
        for message in output.send:
            self._outbox.put_nowait(message)
        for refusal in output.adverts_refused:
            _log.warning("advert refused", name=refusal.name, field=refusal.field, message=refusal.message)
        for refusal in output.orders_refused:
            _log.warning("order refused", name=refusal.name, field=refusal.field, message=refusal.message)
        ahead_ms = output.operator_clock_ahead_ms
        if ahead_ms is not None and abs(ahead_ms) > CLOCK_SKEW_MS_MAX:
            _log.error("clocks differ", operator_ahead_ms=ahead_ms)
        if output.orders_changed:
            self._on_orders(self._session.orders)
        if output.close:
            raise UplinkLost(output.close)

    def _note_loss(self, endpoint: str, why: str, *, welcomed: bool) -> None:
        """Says so once, and again only when the reason is another one."""
        if why != self._trouble:
            _log.warning("session lost" if welcomed else "operator not reached", endpoint=endpoint, message=why)
        self._trouble = why

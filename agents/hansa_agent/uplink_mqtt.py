"""The stream to the operator over an MQTT broker with mutual TLS, for zones that can speak nothing else.

A stream is one connection to the broker. Its frames are numbered in both directions; what is doubled is passed over,
and a gap, silence or the broker's end is the end of the stream. The session then begins another and tells only what
differs, so nothing that a broker forgets is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from hansa.errors import ProtocolViolation
from hansa.mqtt_client import BrokerTls, MqttClient, MqttLost, Will, connected
from hansa.mqtt_topics import Way, ZoneTopic
from hansa.numbered import Numbers
from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa.v1.mqtt_pb2 import SessionFrame, StreamEnd
from hansa.v1.reason_pb2 import Reason
from hansa_agent.ports import UplinkLost

FAREWELL_S = 1.0
REPEAT_S = 0.3


@dataclass(frozen=True, slots=True)
class MqttIdentity:
    """The zone as "operator/zone", and the name of this process, new with every start."""

    zone: str
    boot_id: str

    def topic(self, way: Way) -> str:
        operator, _, zone = self.zone.partition("/")
        return str(ZoneTopic(operator, zone, way))


@dataclass(frozen=True, slots=True)
class MqttBrokers:
    """Where brokers are, tried in turn; ``new_id`` gives each connection a name that nobody can guess."""

    addresses: tuple[str, ...]
    tls: BrokerTls
    new_id: Callable[[], str]


class MqttUplink:
    """Dials brokers."""

    def __init__(self, brokers: MqttBrokers, identity: MqttIdentity) -> None:
        self._brokers = brokers
        self._identity = identity
        self._streams = itertools.count(1)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._brokers.addresses

    def connect(self, endpoint: str) -> MqttConnection:
        dial = Dial(endpoint, self._brokers.tls, self._brokers.new_id())
        return MqttConnection(dial, self._identity, next(self._streams))


@dataclass(frozen=True, slots=True)
class Dial:
    """Which broker, with which certificate, under which name."""

    broker: str
    tls: BrokerTls
    client_id: str


class MqttConnection:
    """One stream. It dials when it is first used; whatever ends it becomes ``UplinkLost``."""

    def __init__(self, dial: Dial, identity: MqttIdentity, stream: int) -> None:
        self._dial = dial
        self._identity = identity
        self._stream = stream
        self._numbers = Numbers()
        self._operator_boot_id = ""
        self._opened: asyncio.Future[MqttClient] = asyncio.get_running_loop().create_future()
        self._received: asyncio.Queue[SessionResponse] = asyncio.Queue()
        self._over = asyncio.Event()
        self._answered = asyncio.Event()
        self._repeating: asyncio.Future[None] | None = None
        self._lost: UplinkLost | None = None
        self._task = asyncio.ensure_future(self._run())

    async def send(self, message: SessionRequest) -> None:
        client = await self._client()
        try:
            frame = self._frame(self._numbers.next(), request=message)
            if self._repeating is None:
                self._repeating = asyncio.ensure_future(self._repeat_until_answered(client, frame))
            else:
                await client.publish(self._identity.topic(Way.UP), frame)
        except (MqttLost, ProtocolViolation) as error:
            raise UplinkLost(self._why(error)) from error

    async def receive(self) -> SessionResponse:
        taking = asyncio.ensure_future(self._received.get())
        try:
            await asyncio.wait((taking, self._task), return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
        finally:
            taking.cancel()
        raise self._lost or UplinkLost("the stream is closed")

    async def close(self) -> None:
        """Says farewell if there is anybody to say it to: then the operator need not wait for the broker to notice."""
        self._over.set()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(FAREWELL_S):
                await asyncio.shield(self._task)
        self._task.cancel()

    async def _repeat_until_answered(self, client: MqttClient, hello: bytes) -> None:
        """A broker forgets what comes while nobody has subscribed, as when we are back before the operator is."""
        with contextlib.suppress(MqttLost):
            while not self._answered.is_set():
                await client.publish(self._identity.topic(Way.UP), hello)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REPEAT_S):
                        await self._answered.wait()

    async def _client(self) -> MqttClient:
        await asyncio.wait((self._opened, self._task), return_when=asyncio.FIRST_COMPLETED)
        if self._opened.done() and not self._opened.cancelled():
            return self._opened.result()
        raise self._lost or UplinkLost("the stream is closed")

    async def _run(self) -> None:
        """Holds the connection; sets ``_lost`` to why it ended."""
        topic, will = self._identity.topic(Way.UP), self._frame(0, end=StreamEnd(message="the connection broke"))
        down = [self._identity.topic(Way.DOWN)]
        try:
            async with connected(
                self._dial.broker, self._dial.tls, self._dial.client_id, down, Will(topic, will)
            ) as client:
                self._opened.set_result(client)
                await self._read_until_over(client)
                await client.publish(topic, self._frame(0, end=StreamEnd(message="the agent ended the stream")))
        except (MqttLost, ProtocolViolation, UplinkLost) as error:
            self._lost = error if isinstance(error, UplinkLost) else UplinkLost(str(error))
        finally:
            self._opened.cancel()
            if self._repeating is not None:
                self._repeating.cancel()

    async def _read_until_over(self, client: MqttClient) -> None:
        reading = asyncio.ensure_future(self._read(client))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((reading, over), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            over.cancel()

    async def _read(self, client: MqttClient) -> None:
        while True:
            frame = _frame_in((await client.receive()).payload)
            if (frame.boot_id, frame.stream) != (self._identity.boot_id, self._stream):
                continue
            if frame.HasField("end"):
                raise UplinkLost(f"{Reason.Name(frame.end.reason).removeprefix('REASON_')}: {frame.end.message}")
            if self._is_of_our_operator(frame) and self._numbers.take(frame.sequence, frame.acknowledged):
                self._answered.set()
                self._received.put_nowait(frame.response)

    def _is_of_our_operator(self, frame: SessionFrame) -> bool:
        """The process that answered first is the one; another that also believes to be in charge is not listened to."""
        if not self._operator_boot_id:
            self._operator_boot_id = frame.operator_boot_id
        return frame.operator_boot_id == self._operator_boot_id

    def _frame(self, sequence: int, *, request: SessionRequest | None = None, end: StreamEnd | None = None) -> bytes:
        return SessionFrame(
            boot_id=self._identity.boot_id,
            stream=self._stream,
            operator_boot_id=self._operator_boot_id,
            sequence=sequence,
            acknowledged=self._numbers.taken,
            request=request,
            end=end,
        ).SerializeToString()

    def _why(self, error: Exception) -> str:
        return str(self._lost or error)


def _frame_in(payload: bytes) -> SessionFrame:
    try:
        return SessionFrame.FromString(payload)
    except DecodeError as error:
        raise UplinkLost("the operator sent what is no frame") from error

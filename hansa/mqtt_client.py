"""A connection to an MQTT broker with mutual TLS. ``aiomqtt`` is loaded when the first one is made.

MQTT 5 with a clean start: the broker keeps nothing for a client that is away, because nobody could say whether it is
still wanted when it comes back. Retained messages are passed over for the same reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

MESSAGE_BYTES_MAX = 4 << 20
_PACKET_BYTES_MAX = MESSAGE_BYTES_MAX + (64 << 10)
QUEUED_MAX = 2_000
GREETING_S = 2.0
CONFIRMATION_S = 5.0
KEEPALIVE_S = 10
_REFUSED = 0x80
_PENDING_CALLS_UNREMARKABLE = 1_000_000

_abandoned: set[asyncio.Future[None]] = set()


class MqttLost(Exception):
    """The connection to the broker ended or never began; the text says why, for a person."""


class MqttMissing(Exception):
    """The package that speaks MQTT is not installed."""


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """PEM files, read anew at every dial; ``server_name`` if the broker's certificate does not name its host."""

    ca: Path
    cert: Path
    key: Path
    server_name: str = ""


class Will(NamedTuple):
    """What the broker publishes if the connection breaks."""

    topic: str
    payload: bytes


class Incoming(NamedTuple):
    """A message from the broker."""

    topic: str
    payload: bytes


def check_installed() -> None:
    """Raises ``MqttMissing`` with the way to mend it."""
    try:
        import aiomqtt  # noqa: F401
    except ImportError as error:
        raise MqttMissing("MQTT is configured, but its package is not installed: pip install 'hansa[mqtt]'") from error


class MqttClient:
    """An open connection."""

    def __init__(self, client: Any, lost: type[Exception]) -> None:
        self._client = client
        self._lost = lost
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hands a message to the broker, which confirms it (QoS 1); raises ``MqttLost``.

        A broker that does not permit it confirms it all the same, and forgets it.
        """
        if len(payload) > MESSAGE_BYTES_MAX:
            raise MqttLost(f"a message of {len(payload)} bytes; at most {MESSAGE_BYTES_MAX} are sent")
        publishing = asyncio.ensure_future(self._client.publish(topic, payload, qos=1, timeout=CONFIRMATION_S))
        try:
            await asyncio.wait((publishing, self._gone), return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise MqttLost("the broker has gone")
            publishing.result()
        except (self._lost, OSError, ValueError) as error:
            raise MqttLost(str(error)) from error
        finally:
            publishing.cancel()

    async def receive(self) -> Incoming:
        """The next message; raises ``MqttLost``."""
        while True:
            try:
                message = await anext(self._client.messages)
            except (self._lost, OSError, ValueError) as error:
                self.give_up()
                raise MqttLost(str(error)) from error
            if not message.retain and isinstance(message.payload, bytes):
                return Incoming(str(message.topic), message.payload)

    def give_up(self) -> None:
        """Nobody waits for a confirmation any more: the connection has gone."""
        if not self._gone.done():
            self._gone.set_result(None)

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Raises ``MqttLost``, also where the broker permits one of them not."""
        if not topics:
            return
        try:
            codes = await self._client.subscribe([(topic, 1) for topic in topics], timeout=CONFIRMATION_S)
        except (self._lost, OSError, ValueError) as error:
            raise MqttLost(str(error)) from error
        for topic, code in zip(topics, codes, strict=True):
            if getattr(code, "value", code) >= _REFUSED:
                raise MqttLost(f"the broker refuses the subscription to {topic}")


@contextlib.asynccontextmanager
async def connected(
    address: str, tls: BrokerTls, identifier: str, topics: Sequence[str], will: Will | None = None
) -> AsyncIterator[MqttClient]:
    """Dials "host:port" and subscribes; raises ``MqttLost``. ``identifier`` must be one that nobody can guess, since a
    broker lets the newer of two clients of one name take over.
    """
    aiomqtt, lost = _library()
    host, _, port = address.rpartition(":")
    client = aiomqtt.Client(
        host.strip("[]"),
        int(port),
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5,
        will=None if will is None else aiomqtt.Will(will.topic, will.payload, qos=1),
        properties=_properties(),
        tls_context=await asyncio.to_thread(_context, tls),
        timeout=GREETING_S,
        keepalive=KEEPALIVE_S,
        max_queued_incoming_messages=QUEUED_MAX,
        logger=_quiet(),
    )
    client.pending_calls_threshold = _PENDING_CALLS_UNREMARKABLE
    await _open(client, lost)
    opened = MqttClient(client, lost)
    try:
        await opened.subscribe(topics)
        yield opened
    finally:
        opened.give_up()
        with contextlib.suppress(lost, OSError, ValueError):
            await client.__aexit__(None, None, None)


async def _open(client: Any, lost: type[Exception]) -> None:
    """Dials. A dial is under way in a thread and cannot be broken off: whoever ends waiting leaves it to be closed."""
    dialling = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(dialling)
    except asyncio.CancelledError:
        abandoned = asyncio.ensure_future(_close_once_open(client, dialling))
        _abandoned.add(abandoned)
        abandoned.add_done_callback(_abandoned.discard)
        raise
    except (lost, OSError, ValueError) as error:
        raise MqttLost(str(error)) from error


async def _close_once_open(client: Any, dialling: asyncio.Future[Any]) -> None:
    with contextlib.suppress(Exception):
        await dialling
        await client.__aexit__(None, None, None)


def _library() -> tuple[Any, type[Exception]]:
    check_installed()
    import aiomqtt

    return aiomqtt, aiomqtt.MqttError


def _properties() -> Any:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = _PACKET_BYTES_MAX
    return properties


def _context(tls: BrokerTls) -> ssl.SSLContext:
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.expected_name = tls.server_name
    try:
        context.load_verify_locations(str(tls.ca))
        context.load_cert_chain(str(tls.cert), str(tls.key))
    except OSError as error:
        raise MqttLost(f"{tls.cert}, {tls.key} or {tls.ca}: {error.strerror or error}") from error
    return context


class _NamedContext(ssl.SSLContext):
    """Expects another name than the host's, if one is given."""

    expected_name = ""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        if self.expected_name:
            options["server_hostname"] = self.expected_name
        return super().wrap_socket(*args, **options)


def _quiet() -> logging.Logger:
    logger = logging.getLogger("hansa.mqtt")
    logger.setLevel(logging.CRITICAL)
    return logger

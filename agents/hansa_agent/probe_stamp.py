"""Round-trip probes over UDP: a session-reflector and a session-sender (STAMP, RFC 8762), authenticated or not.

A round-trip time is taken on the sender's own monotonic clock and the reflector's residence time is not subtracted:
a reflector could claim any residence and so appear nearer than it is. It cannot answer early either, because the
sequence begins at random and the low bits of the timestamp, which it has to repeat, are random.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import structlog

from hansa_agent import stamp_auth
from hansa_agent.ports import Clock, Random
from hansa_agent.probe_keys import NO_KEYS, ProbeKeys
from hansa_agent.probe_socket import open_probe_socket
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.stamp_auth import StrangerPacket
from hansa_agent.stamp_packet import (
    RANDOM_BITS,
    MalformedPacket,
    ReflectorPacket,
    SenderPacket,
    ntp_of,
    parse_reflector,
    parse_sender,
)

_log = structlog.get_logger(__name__)
SEQUENCE_MAX = 0xFFFF_FFFF


class Reflector(asyncio.DatagramProtocol):
    """Answers every request that it may with as many bytes, as long as its source does not ask too often."""

    def __init__(self, clock: Clock, limit: RateLimit, keys: ProbeKeys = NO_KEYS) -> None:
        self._clock = clock
        self._limit = limit
        self._keys = keys
        self._transport: asyncio.DatagramTransport | None = None
        self.reflected_count = 0
        self.dropped_count = 0
        self.stranger_count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        answer = self.answer(data, str(addr[0]))
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)

    def answer(self, data: bytes, source: str) -> bytes | None:
        """What ``source`` is answered, by whatever way it asked; None if it is not."""
        now = self._clock.now()
        try:
            answer = reflect(data, now.wall_ms * 1_000_000, self._keys)
        except StrangerPacket:
            self._refuse_stranger(source)
            return None
        if answer is None or not self._limit.allows(source, now.monotonic_ms):
            self.dropped_count += 1
            return None
        self.reflected_count += 1
        return answer

    def _refuse_stranger(self, source: str) -> None:
        """Says so, ever more rarely: at the first, the second, the fourth, the eighth."""
        self.stranger_count += 1
        if self.stranger_count & (self.stranger_count - 1) == 0:
            _log.warning("probes of strangers refused", count=self.stranger_count, last_source=source)


def reflect(request: bytes, wall_ns: int, keys: ProbeKeys = NO_KEYS) -> bytes | None:
    """The answer to a request, stateless (the sequence is the sender's), in the mode of the request; None if the
    request is malformed. Raises ``StrangerPacket``.
    """
    ntp = ntp_of(wall_ns)
    try:
        if len(request) == stamp_auth.PACKET_BYTES:
            packet, key = stamp_auth.parse_sender(request, keys.known)
            return stamp_auth.pack_reflector(ReflectorPacket(packet.sequence, ntp, ntp, packet), key)
        packet = parse_sender(request)
    except MalformedPacket:
        return None
    if not keys.strangers:
        raise StrangerPacket("not authenticated")
    return ReflectorPacket(packet.sequence, ntp, ntp, packet).pack()


async def open_reflector(
    address: str, clock: Clock, limit: RateLimit, keys: ProbeKeys = NO_KEYS
) -> tuple[asyncio.DatagramTransport, Reflector]:
    """Listens on ``address`` (host:port, port 0 for any); raises OSError if that is not possible."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(
        lambda: Reflector(clock, limit, keys), local_addr=(host.strip("[]"), int(port))
    )


class _Round:
    """The probes of one round that are under way."""

    def __init__(self, clock: Clock, key: bytes = b"") -> None:
        self._clock = clock
        self._key = key
        self._sent: dict[int, tuple[SenderPacket, int]] = {}
        self.rtts_us: dict[int, int] = {}
        self.complete = asyncio.Event()
        self.expected_count = 0

    def expect(self, packet: SenderPacket) -> None:
        self._sent[packet.sequence] = (packet, self._clock.monotonic_ns())

    def receive(self, data: bytes, late_ns: int = 0) -> None:
        """An answer, which had waited ``late_ns`` on this host."""
        received_ns = self._clock.monotonic_ns() - late_ns
        try:
            answer = stamp_auth.parse_reflector(data, self._key) if self._key else parse_reflector(data)
        except (MalformedPacket, StrangerPacket):
            return
        sent = self._sent.get(answer.sender.sequence)
        if sent is None or sent[0] != answer.sender or answer.sender.sequence in self.rtts_us:
            return
        self.rtts_us[answer.sender.sequence] = max((received_ns - sent[1]) // 1_000, 1)
        if len(self.rtts_us) == self.expected_count:
            self.complete.set()


class Sender:
    """Measures the way to a reflector, round by round. The sequence goes on from round to round."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._sequence = random.integer(0, SEQUENCE_MAX)

    async def measure(
        self, address: str, *, count: int, spacing_ms: int, timeout_ms: int, key: bytes = b""
    ) -> list[int | None]:
        """Round-trip times of ``count`` probes in microseconds, in order of sending; None for a lost one.

        With a ``key`` they are authenticated, and so must be the answers.
        """
        probes = _Round(self._clock, key)
        probes.expected_count = count
        try:
            way = await open_probe_socket(address, self._clock, probes.receive)
        except (OSError, ValueError):
            # ValueError: a name that cannot be encoded for a resolver is as good as one that has no address.
            return [None] * count
        try:
            sequences = []
            for index in range(count):
                if index:
                    await self._clock.sleep(spacing_ms / 1_000)
                packet = self.next_packet()
                sequences.append(packet.sequence)
                content = stamp_auth.pack_sender(packet, key) if key else packet.pack()
                probes.expect(packet)
                way.send(content)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_ms / 1_000):
                    await probes.complete.wait()
            return [probes.rtts_us.get(sequence) for sequence in sequences]
        finally:
            way.close()

    def next_packet(self) -> SenderPacket:
        """The next request, which nobody can answer before having seen it."""
        packet = SenderPacket(self._sequence, self._timestamp())
        self._sequence = (self._sequence + 1) & SEQUENCE_MAX
        return packet

    def _timestamp(self) -> int:
        ntp = ntp_of(self._clock.now().wall_ms * 1_000_000)
        return ntp >> RANDOM_BITS << RANDOM_BITS | self._random.integer(0, (1 << RANDOM_BITS) - 1)

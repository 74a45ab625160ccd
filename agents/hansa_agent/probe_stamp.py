"""Round-trip probes over UDP: a session-reflector and a session-sender (STAMP, RFC 8762, unauthenticated mode).

A round-trip time is taken on the sender's own monotonic clock and the reflector's residence time is not subtracted:
a reflector could claim any residence and so appear nearer than it is. It cannot answer early either, because the
sequence begins at random and the low bits of the timestamp, which it has to repeat, are random.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

from hansa_agent.ports import Clock, Random
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.stamp_packet import (
    PACKET_BYTES,
    RANDOM_BITS,
    MalformedPacket,
    ReflectorPacket,
    SenderPacket,
    ntp_of,
    parse_reflector,
    parse_sender,
)

SEQUENCE_MAX = 0xFFFF_FFFF


class Reflector(asyncio.DatagramProtocol):
    """Answers every well-formed request with as many bytes, as long as its source does not ask too often."""

    def __init__(self, clock: Clock, limit: RateLimit) -> None:
        self._clock = clock
        self._limit = limit
        self._transport: asyncio.DatagramTransport | None = None
        self.reflected_count = 0
        self.dropped_count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        now = self._clock.now()
        answer = reflect(data, now.wall_ms * 1_000_000)
        if answer is None or self._transport is None or not self._limit.allows(str(addr[0]), now.monotonic_ms):
            self.dropped_count += 1
            return
        self.reflected_count += 1
        self._transport.sendto(answer, addr)


def reflect(request: bytes, wall_ns: int) -> bytes | None:
    """The answer to a request, stateless (the sequence is the sender's); None if the request is malformed."""
    try:
        packet = parse_sender(request)
    except MalformedPacket:
        return None
    ntp = ntp_of(wall_ns)
    answer = ReflectorPacket(packet.sequence, ntp, ntp, packet).pack()
    return answer if len(answer) == len(request) == PACKET_BYTES else None


async def open_reflector(address: str, clock: Clock, limit: RateLimit) -> tuple[asyncio.DatagramTransport, Reflector]:
    """Listens on ``address`` (host:port, port 0 for any); raises OSError if that is not possible."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(
        lambda: Reflector(clock, limit), local_addr=(host.strip("[]"), int(port))
    )


class _Round(asyncio.DatagramProtocol):
    """The probes of one round that are under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: dict[int, tuple[SenderPacket, int]] = {}
        self.rtts_us: dict[int, int] = {}
        self.complete = asyncio.Event()
        self.expected_count = 0

    def expect(self, packet: SenderPacket) -> None:
        self._sent[packet.sequence] = (packet, self._clock.monotonic_ns())

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        received_ns = self._clock.monotonic_ns()
        try:
            answer = parse_reflector(data)
        except MalformedPacket:
            return
        sent = self._sent.get(answer.sender.sequence)
        if sent is None or sent[0] != answer.sender or answer.sender.sequence in self.rtts_us:
            return
        self.rtts_us[answer.sender.sequence] = max((received_ns - sent[1]) // 1_000, 1)
        if len(self.rtts_us) == self.expected_count:
            self.complete.set()

    def error_received(self, exc: Exception) -> None:
        """A port that is closed (ICMP) is a lost probe like any other."""


class Sender:
    """Measures the way to a reflector, round by round. The sequence goes on from round to round."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._sequence = random.integer(0, SEQUENCE_MAX)

    async def measure(self, address: str, *, count: int, spacing_ms: int, timeout_ms: int) -> list[int | None]:
        """Round-trip times of ``count`` probes in microseconds, in order of sending; None for a lost one."""
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            transport, probes = await loop.create_datagram_endpoint(
                lambda: _Round(self._clock), remote_addr=(host.strip("[]"), int(port))
            )
        except OSError:
            return [None] * count
        probes.expected_count = count
        try:
            sequences = await self._send(transport, probes, count, spacing_ms)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_ms / 1_000):
                    await probes.complete.wait()
            return [probes.rtts_us.get(sequence) for sequence in sequences]
        finally:
            transport.close()

    async def _send(
        self, transport: asyncio.DatagramTransport, probes: _Round, count: int, spacing_ms: int
    ) -> list[int]:
        sequences = []
        for index in range(count):
            if index:
                await self._clock.sleep(spacing_ms / 1_000)
            packet = SenderPacket(self._sequence, self._timestamp())
            self._sequence = (self._sequence + 1) & SEQUENCE_MAX
            sequences.append(packet.sequence)
            probes.expect(packet)
            transport.sendto(packet.pack())
        return sequences

    def _timestamp(self) -> int:
        ntp = ntp_of(self._clock.now().wall_ms * 1_000_000)
        return ntp >> RANDOM_BITS << RANDOM_BITS | self._random.integer(0, (1 << RANDOM_BITS) - 1)

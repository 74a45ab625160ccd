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
from hansa_agent.clock_error import ClockError, unknown_error
from hansa_agent.ports import Clock, Random
from hansa_agent.probe_keys import NO_KEYS, ProbeKeys
from hansa_agent.probe_one_way import OneWaySample, sample_of
from hansa_agent.probe_socket import open_probe_socket
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.stamp_auth import StrangerPacket
from hansa_agent.stamp_packet import (
    ERROR_ESTIMATE,
    RANDOM_BITS,
    RANDOM_BITS_US,
    MalformedPacket,
    ReflectorPacket,
    SenderPacket,
    estimate_of,
    ntp_of,
    parse_reflector,
    parse_sender,
)

_log = structlog.get_logger(__name__)
SEQUENCE_MAX = 0xFFFF_FFFF


class Reflector(asyncio.DatagramProtocol):
    """Answers every request that it may with as many bytes, as long as its source does not ask too often."""

    def __init__(
        self, clock: Clock, limit: RateLimit, keys: ProbeKeys = NO_KEYS, clock_error: ClockError = unknown_error
    ) -> None:
        self._clock = clock
        self._clock_error = clock_error
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
            answer = reflect(data, self._clock.wall_ns(), self._keys, estimate_of(self._clock_error()))
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


def reflect(request: bytes, wall_ns: int, keys: ProbeKeys = NO_KEYS, estimate: int = ERROR_ESTIMATE) -> bytes | None:
    """The answer to a request, stateless (the sequence is the sender's), in the mode of the request; None if the
    request is malformed. ``estimate`` is that of the clock ``wall_ns`` is of. Raises ``StrangerPacket``.
    """
    ntp = ntp_of(wall_ns)
    try:
        if len(request) == stamp_auth.PACKET_BYTES:
            packet, key = stamp_auth.parse_sender(request, keys.known)
            answer = ReflectorPacket(packet.sequence, ntp, ntp, packet, error_estimate=estimate)
            return stamp_auth.pack_reflector(answer, key)
        packet = parse_sender(request)
    except MalformedPacket:
        return None
    if not keys.strangers:
        raise StrangerPacket("not authenticated")
    return ReflectorPacket(packet.sequence, ntp, ntp, packet, error_estimate=estimate).pack()


async def open_reflector(
    address: str, clock: Clock, limit: RateLimit, keys: ProbeKeys = NO_KEYS, clock_error: ClockError = unknown_error
) -> tuple[asyncio.DatagramTransport, Reflector]:
    """Listens on ``address`` (host:port, port 0 for any); raises OSError if that is not possible."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(
        lambda: Reflector(clock, limit, keys, clock_error), local_addr=(host.strip("[]"), int(port))
    )


class _Round:
    """The probes of one round that are under way."""

    def __init__(self, clock: Clock, key: bytes = b"", error_us: int | None = None) -> None:
        self._clock = clock
        self._key = key
        self._error_us = error_us
        self._sent: dict[int, tuple[SenderPacket, int, int]] = {}
        self.one_way: list[OneWaySample | None] = []
        self.rtts_us: dict[int, int] = {}
        self.complete = asyncio.Event()
        self.expected_count = 0

    def expect(self, packet: SenderPacket) -> None:
        self._sent[packet.sequence] = (packet, self._clock.monotonic_ns(), ntp_of(self._clock.wall_ns()))

    def receive(self, data: bytes, late_ns: int = 0) -> None:
        """An answer, which had waited ``late_ns`` on this host."""
        received_ns, received_ntp = self._clock.monotonic_ns() - late_ns, ntp_of(self._clock.wall_ns() - late_ns)
        try:
            answer = stamp_auth.parse_reflector(data, self._key) if self._key else parse_reflector(data)
        except (MalformedPacket, StrangerPacket):
            return
        sent = self._sent.get(answer.sender.sequence)
        if sent is None or sent[0] != answer.sender or answer.sender.sequence in self.rtts_us:
            return
        rtt_us = self.rtts_us[answer.sender.sequence] = max((received_ns - sent[1]) // 1_000, 1)
        self.one_way.append(sample_of(answer, (sent[2], received_ntp), rtt_us, self._error_us))
        if len(self.rtts_us) == self.expected_count:
            self.complete.set()


class Sender:
    """Measures the way to a reflector, round by round. The sequence goes on from round to round."""

    def __init__(self, clock: Clock, random: Random, clock_error: ClockError = unknown_error) -> None:
        self._clock = clock
        self._random = random
        self._clock_error = clock_error
        self._sequence = random.integer(0, SEQUENCE_MAX)

    async def measure(
        self, address: str, *, count: int, spacing_ms: int, timeout_ms: int, key: bytes = b""
    ) -> list[int | None]:
        """Round-trip times of ``count`` probes in microseconds, in order of sending; None for a lost one.

        With a ``key`` they are authenticated, and so must be the answers.
        """
        probes, _ = await self.measure_both(address, count=count, spacing_ms=spacing_ms, timeout_ms=timeout_ms, key=key)
        return probes

    async def measure_both(
        self, address: str, *, count: int, spacing_ms: int, timeout_ms: int, key: bytes = b""
    ) -> tuple[list[int | None], list[OneWaySample | None]]:
        """The same, and the one-way delays of the probes that were answered; None where the clocks do not allow it."""
        probes = _Round(self._clock, key, self._clock_error())
        probes.expected_count = count
        try:
            way = await open_probe_socket(address, self._clock, probes.receive)
        except (OSError, ValueError):
            # ValueError: a name that cannot be encoded for a resolver is as good as one that has no address.
            return [None] * count, []
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
            return [probes.rtts_us.get(sequence) for sequence in sequences], probes.one_way
        finally:
            way.close()

    def next_packet(self) -> SenderPacket:
        """The next request, which nobody can answer before having seen it."""
        error_us = self._clock_error()
        told_us = None if error_us is None else error_us + RANDOM_BITS_US
        packet = SenderPacket(self._sequence, self._timestamp(), estimate_of(told_us))
        self._sequence = (self._sequence + 1) & SEQUENCE_MAX
        return packet

    def _timestamp(self) -> int:
        ntp = ntp_of(self._clock.wall_ns())
        return ntp >> RANDOM_BITS << RANDOM_BITS | self._random.integer(0, (1 << RANDOM_BITS) - 1)

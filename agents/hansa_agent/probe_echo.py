"""Round-trip probes over gRPC, for ways on which nobody answers UDP: the same packets, over one stream.

In the clear, since a packet holds no secret, and its HMAC is what a stranger cannot make. A round trip includes what
TCP and HTTP/2 add on both hosts, a few tenths of a millisecond; a packet lost on the way shows as a late one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from hansa.v1.echo_service_pb2 import ExchangeRequest, ExchangeResponse
from hansa.v1.echo_service_pb2_grpc import EchoServiceServicer, EchoServiceStub, add_EchoServiceServicer_to_server
from hansa_agent import stamp_auth
from hansa_agent.ports import Clock
from hansa_agent.probe_stamp import Reflector, Sender
from hansa_agent.stamp_auth import StrangerPacket
from hansa_agent.stamp_packet import MalformedPacket, ReflectorPacket, SenderPacket, parse_reflector

STREAMS_MAX = 64
MESSAGE_BYTES_MAX = 1_024
SILENCE_S_MAX = 5.0


class EchoServicer(EchoServiceServicer):
    """Answers as the reflector does, within the same rates, and refuses the same strangers."""

    def __init__(self, reflector: Reflector) -> None:
        self._reflector = reflector

    async def Exchange(
        self, request_iterator: AsyncIterator[ExchangeRequest], context: Any
    ) -> AsyncIterator[ExchangeResponse]:
        source = _host_of(context.peer())
        while (packet := await _next_in_time(request_iterator)) is not None:
            answer = self._reflector.answer(packet.content, source)
            if answer is None:
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not answered")
                return
            yield ExchangeResponse(content=answer)


async def _next_in_time(packets: AsyncIterator[ExchangeRequest]) -> ExchangeRequest | None:
    """The next packet; None where the stream has ended, or is held open without a word."""
    try:
        async with asyncio.timeout(SILENCE_S_MAX):
            return await anext(packets, None)
    except TimeoutError:
        return None


async def open_echo(address: str, reflector: Reflector) -> grpc.aio.Server:
    """Listens on ``address`` (host:port, TCP); raises OSError if that is not possible."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(maximum_concurrent_rpcs=STREAMS_MAX, options=options)
    add_EchoServiceServicer_to_server(EchoServicer(reflector), server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"{address}: cannot be listened on over TCP") from error
    await server.start()
    return server


class EchoPinger:
    """Measures the way to a reflector over a stream of its own for each round; the first exchange does not count."""

    def __init__(self, clock: Clock, packets: Sender) -> None:
        self._clock = clock
        self._packets = packets

    async def measure(
        self, address: str, *, count: int, spacing_ms: int, timeout_ms: int, key: bytes = b""
    ) -> list[int | None]:
        """Round-trip times of ``count`` probes in microseconds, in order of sending; None for one without an answer."""
        rtts_us: list[int | None] = []
        async with grpc.aio.insecure_channel(address, options=[("grpc.enable_retries", 0)]) as channel:
            call = EchoServiceStub(channel).Exchange()
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError, TimeoutError):
                for index in range(count + 1):
                    async with asyncio.timeout(timeout_ms / 1_000):
                        rtt_us = await self._exchange(call, key)
                    if index:
                        rtts_us.append(rtt_us)
                    await self._clock.sleep(spacing_ms / 1_000)
            call.cancel()
        return rtts_us + [None] * (count - len(rtts_us))

    async def _exchange(self, call: Any, key: bytes) -> int | None:
        packet = self._packets.next_packet()
        sent_ns = self._clock.monotonic_ns()
        await call.write(ExchangeRequest(content=stamp_auth.pack_sender(packet, key) if key else packet.pack()))
        answer = await call.read()
        received_ns = self._clock.monotonic_ns()
        return max((received_ns - sent_ns) // 1_000, 1) if _answers(answer, packet, key) else None


def _answers(answer: object, packet: SenderPacket, key: bytes) -> bool:
    if not isinstance(answer, ExchangeResponse):
        return False
    try:
        found: ReflectorPacket = (
            stamp_auth.parse_reflector(answer.content, key) if key else parse_reflector(answer.content)
        )
    except (MalformedPacket, StrangerPacket):
        return False
    return found.sender == packet


def _host_of(peer: str) -> str:
    """The host in gRPC's name of a peer, such as "ipv4:192.0.2.1:4711"."""
    return peer.partition(":")[2].rpartition(":")[0]

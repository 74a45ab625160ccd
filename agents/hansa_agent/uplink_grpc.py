"""The stream to the operator over gRPC with mutual TLS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import grpc.aio

from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa.v1.agent_service_pb2_grpc import AgentServiceStub
from hansa_agent.ports import UplinkLost

MESSAGE_BYTES_MAX = 4 << 20
WRITE_TIMEOUT_S = 5.0
KEEPALIVE_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 3_000


@dataclass(frozen=True, slots=True)
class TlsContent:
    """Certificate authority, certificate chain and private key, PEM."""

    ca: bytes
    cert: bytes
    key: bytes

    def __repr__(self) -> str:
        return "TlsContent(...)"


class GrpcUplink:
    """Dials the operator. ``read_tls`` is called for every dial, so that a renewed certificate is used."""

    def __init__(self, endpoints: tuple[str, ...], read_tls: Callable[[], TlsContent], server_name: str = "") -> None:
        self._endpoints = endpoints
        self._read_tls = read_tls
        self._server_name = server_name

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._endpoints

    def connect(self, endpoint: str) -> GrpcConnection:
        try:
            tls = self._read_tls()
        except OSError as error:
            raise UplinkLost(f"{error.filename}: {error.strerror}") from error
        credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.cert)
        channel = grpc.aio.secure_channel(endpoint, credentials, options=_options(self._server_name))
        return GrpcConnection(channel)


class GrpcConnection:
    """One stream on its own channel. Errors of gRPC become ``UplinkLost``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._call = AgentServiceStub(channel).Session()

    async def send(self, message: SessionRequest) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._call.write(message)
        except TimeoutError as error:
            raise UplinkLost(f"the operator took no message for {WRITE_TIMEOUT_S:.0f} s") from error
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise UplinkLost(await self._why(error)) from error

    async def receive(self) -> SessionResponse:
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            raise UplinkLost(await self._why(error)) from error
        if isinstance(message, SessionResponse):
            return message
        raise UplinkLost(await self._why(None))

    async def close(self) -> None:
        self._call.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.RpcError):
            await self._channel.close()

    async def _why(self, error: BaseException | None) -> str:
        if isinstance(error, grpc.aio.AioRpcError):
            return f"{error.code().name}: {error.details()}"
        if not self._call.done():
            return str(error)
        code = await self._call.code()
        return f"{code.name}: {await self._call.details() or 'the operator ended the stream'}"


def _options(server_name: str) -> list[tuple[str, str | int]]:
    """Channel options.

    The subchannel pool is local because a shared one would remember gRPC's own back-off over our dials. Keepalive is
    slow: heartbeats of the session notice silence sooner, and servers punish pings that come more often.
    """
    options: list[tuple[str, str | int]] = [
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    return [*options, ("grpc.ssl_target_name_override", server_name)] if server_name else options

"""The three listeners of a control plane: app teams, agents and partners, each with a trust of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Never

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from hansa_control.adapters.authority import KeyPair
from hansa_control.adapters.grpc_calls import CallGuard, Handler
from hansa_control.adapters.grpc_options import server_options
from hansa_control.application.ports import Clock


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a server listens ("host:port", port 0 for any), whom TLS lets in, and what it offers to them.

    ``add_services`` adds the servicers; ``service_names`` are their full names, for reflection and health.
    """

    name: str
    address: str
    client_ca_pem: bytes
    service_names: Sequence[str]
    add_services: Callable[[grpc.aio.Server], None]


class _Guarded:
    """A server as generated code sees it that adds a service's methods: each is added with its guard."""

    def __init__(self, server: grpc.aio.Server, guard: CallGuard) -> None:
        self._server = server
        self._guard = guard

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Nothing: generated code gives each method twice, and the other time by its name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Added, but not registered: grpc.aio keeps a pending request for every registered method, and waits for all of
        them anew after every call.
        """
        guarded = {name: self._guard.guarded(f"{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))


class _Health(health.aio.HealthServicer):
    """What the library offers for all services of a listener, the list of them too, which it leaves to others."""

    def __init__(self, service_names: Sequence[str]) -> None:
        super().__init__()
        self.service_names = ("", *service_names)  # "" is the listener as a whole

    async def List(self, request: Any, context: Any) -> Any:
        """A HealthListResponse, which is newer than the library's type stubs."""
        asked = ((name, health_pb2.HealthCheckRequest(service=name)) for name in self.service_names)
        statuses = {name: await self.Check(one, context) for name, one in asked}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]


class GrpcServer:
    """One listener, with mutual TLS, health and reflection."""

    def __init__(self, listener: Listener, certificate: KeyPair, guard: CallGuard, concurrent_calls_max: int) -> None:
        self.listener = listener
        self.port = 0
        self._certificate = certificate
        self._health = _Health(listener.service_names)
        options = server_options(concurrent_calls_max)
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=concurrent_calls_max)
        self._guarded: Any = _Guarded(self._server, guard)

    async def start(self) -> None:
        """Listens; RuntimeError if the address is taken."""
        self.listener.add_services(self._guarded)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._guarded)
        names = (*self.listener.service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        servicer = reflection.aio.ReflectionServicer(names)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self._guarded)  # type: ignore[no-untyped-call]
        pairs = [(self._certificate.key_pem, self._certificate.cert_pem)]
        credentials = grpc.ssl_server_credentials(pairs, self.listener.client_ca_pem, require_client_auth=True)
        self.port = self._server.add_secure_port(self.listener.address, credentials)
        await self._server.start()
        await self.tell_health(is_serving=True)

    async def tell_health(self, *, is_serving: bool) -> None:
        """What whoever asks for the health of this listener or of a service of it is told from now on."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._health.service_names:
            await self._health.set(name, status)

    async def drain(self) -> None:
        """Tells whoever asks that this server is going; calls are still answered."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """Takes no new calls; what runs may go on for so long."""
        await self._server.stop(grace_s)


async def tell_health(
    servers: Sequence[GrpcServer], trouble: Callable[[], str], clock: Clock, interval_ms: int
) -> Never:
    """Who can promise nothing, for want of room or database, is not healthy; it still answers what it knows."""
    told = ""
    while True:
        if bool(told) is not bool(now := trouble()):
            for server in servers:
                await server.tell_health(is_serving=not now)
        told = now
        await clock.sleep_ms(interval_ms)

"""AgentService over gRPC: carries messages between the wire and an ``AgentLink``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hansa.v1 import agent_service_pb2_grpc
from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa_control.adapters.agent_link import AgentLink, AgentLinks
from hansa_control.adapters.authority import Role
from hansa_control.adapters.grpc_streams import HELLO_TIMEOUT_S, Downstream, first_message
from hansa_control.adapters.identity import PeerVerifier
from hansa_control.adapters.task_scope import first_to_end, to_the_end
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason, ZoneId


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """One stream a zone. The zone is that of the certificate; a newer stream of the same zone ends the older."""

    hello_timeout_s = HELLO_TIMEOUT_S

    def __init__(self, links: AgentLinks, peers: PeerVerifier) -> None:
        self._links = links
        self._peers = peers

    async def Session(  # type: ignore[override]
        self, request_iterator: AsyncIterator[SessionRequest], context: Any
    ) -> None:
        peer = self._peers.peer(context, Role.AGENT)
        link = self._links.open(ZoneId(peer.operator, peer.name))
        stream: Downstream[SessionResponse] = Downstream(context)
        try:
            hello = await first_message(request_iterator, self.hello_timeout_s)
            if hello is None:
                return
            await stream.send(*await to_the_end(link.receive(hello)))
            await first_to_end(
                _read(link, request_iterator, stream), _push_orders(link, stream), _until_superseded(link)
            )
        finally:
            link.close()


async def _read(link: AgentLink, messages: AsyncIterator[SessionRequest], stream: Downstream[SessionResponse]) -> None:
    # What a message changes is in memory before anything is waited for, and is committed even if nobody waits any more.
    async for message in messages:
        await stream.send(*await link.receive(message))


async def _push_orders(link: AgentLink, stream: Downstream[SessionResponse]) -> None:
    signal = link.orders_signal
    seen = signal.version
    while True:
        orders = link.next_orders()
        if orders is not None:
            await stream.send(orders)
        seen = await signal.wait(seen)


async def _until_superseded(link: AgentLink) -> None:
    await link.superseded.wait()
    raise RefusalError(Reason.FENCED, "a newer stream of this zone has taken over")

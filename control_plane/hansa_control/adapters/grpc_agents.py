"""AgentService over gRPC: carries messages between the wire and an ``AgentLink``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hansa.v1 import agent_service_pb2_grpc
from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa_control.adapters.agent_link import AgentLinks
from hansa_control.adapters.agent_stream import hold_stream
from hansa_control.adapters.authority import Role
from hansa_control.adapters.grpc_streams import HELLO_TIMEOUT_S, Downstream, first_message
from hansa_control.adapters.identity import PeerVerifier
from hansa_control.domain.model import ZoneId


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
            await hold_stream(link, hello, request_iterator, stream)
        finally:
            link.close()

"""FederationService over gRPC, the owner's side: the home operator is whom the certificate names."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import structlog

from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import federation_service_pb2_grpc, usage_pb2
from hansa_control.adapters import codec_federation as codec
from hansa_control.adapters import codec_usage
from hansa_control.adapters.authority import Role
from hansa_control.adapters.grpc_streams import HELLO_TIMEOUT_S, Downstream, first_message
from hansa_control.adapters.identity import PeerVerifier
from hansa_control.adapters.offers_link import OffersLink
from hansa_control.adapters.rates import PartnerRates
from hansa_control.adapters.task_scope import first_to_end, to_the_end
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import Clock, RefusalError
from hansa_control.domain.model import Reason

CALLS_PER_S = 2_000
CALLS_BURST = 4_000
"""Of one partner. Holding, confirming and releasing at the rate that hansa aims at takes less than half of it."""

log = structlog.get_logger(__name__)


class FederationServicer(federation_service_pb2_grpc.FederationServiceServicer):
    """Partners ask for offers and capacity; the context of the federation is checked at every call."""

    def __init__(
        self, control_plane: ControlPlane, peers: PeerVerifier, clock: Clock, rates: PartnerRates | None = None
    ) -> None:
        self._owner = control_plane.owner
        self._partners = control_plane.partners
        self._settlement = control_plane.settlement
        self._heartbeat_interval_ms = control_plane.settings.heartbeat_interval_ms
        self._peers = peers
        self._clock = clock
        self._rates = rates or PartnerRates(clock, CALLS_PER_S, CALLS_BURST)
        self._offers_refused: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """For metrics: calls refused for their rate, and offers that partners refused, by partner."""
        limited = {f"limited|{home}": count for home, count in sorted(self._rates.refused.items())}
        refused = {f"offers_refused|{home}|by_partner": count for home, count in sorted(self._offers_refused.items())}
        return {**limited, **refused}

    async def Propose(self, request: federation_pb2.ProposeRequest, context: Any) -> federation_pb2.ProposeResponse:
        home = self._home(context)
        proposal = codec.propose_request_in(request)
        if proposal.home != home:
            message = f"the certificate is that of {home}, not of {proposal.home}"
            raise RefusalError(Reason.IDENTITY_MISMATCH, message, "home_operator")
        proposed = self._partners.propose(home, proposal.wall_clock_ms, proposal.capabilities)
        federation = await to_the_end(proposed)
        log.info("federated", home=home, context_id=federation.context_id, capabilities=federation.capabilities)
        return codec.propose_response_out(federation)

    async def Hold(self, request: federation_pb2.HoldRequest, context: Any) -> federation_pb2.HoldResponse:
        home = self._home(context)
        call = codec.hold_request_in(request)
        self._partners.check_context(home, call.context_id)
        outcome = await to_the_end(self._owner.hold(home, call.request))
        log.info("hold_answered", home=home, claim=call.request.claim, zone=call.request.zone, outcome=_kind(outcome))
        return codec.hold_response_out(outcome)

    async def Confirm(self, request: federation_pb2.ConfirmRequest, context: Any) -> federation_pb2.ConfirmResponse:
        home = self._home(context)
        call = codec.confirm_request_in(request)
        self._partners.check_context(home, call.context_id)
        status = await to_the_end(self._owner.confirm(home, call.claim, call.fencing_token, call.manifest))
        log.info("claim_confirmed", home=home, claim=call.claim, fencing_token=call.fencing_token)
        return codec.confirm_response_out(status)

    async def Release(self, request: federation_pb2.ReleaseRequest, context: Any) -> federation_pb2.ReleaseResponse:
        home = self._home(context)
        call = codec.release_request_in(request)
        self._partners.check_context(home, call.context_id, takes=False)
        status = await to_the_end(self._owner.release(home, call.claim, call.reason))
        log.info("claim_released", home=home, claim=call.claim, reason=call.reason.value)
        return codec.release_response_out(status)

    async def ListUsage(self, request: usage_pb2.ListUsageRequest, context: Any) -> usage_pb2.ListUsageResponse:
        """Lines between the caller and this operator only, so that the certificate says enough."""
        caller = self._home(context)
        page = await to_the_end(self._settlement.tell(caller, codec_usage.usage_request_in(request)))
        return codec_usage.usage_response_out(page)

    async def Offers(  # type: ignore[override]
        self, request_iterator: AsyncIterator[federation_pb2.OffersRequest], context: Any
    ) -> None:
        home = self._home(context)
        link = OffersLink(self._partners, self._clock, home)
        link.on_refused = lambda count: self._offers_refused.update({home: count})
        stream: Downstream[federation_pb2.OffersResponse] = Downstream(context)
        hello = await first_message(request_iterator, HELLO_TIMEOUT_S)
        if hello is not None:
            first = link.receive(hello)
            await self._partners.kept()
            await stream.send(*first)
            await first_to_end(
                self._read(link, _heard(request_iterator, partial(self._owner.heard_home, home)), stream),
                self._push(link, stream),
                self._beat(link, stream),
            )

    async def _read(
        self,
        link: OffersLink,
        messages: AsyncIterator[federation_pb2.OffersRequest],
        stream: Downstream[federation_pb2.OffersResponse],
    ) -> None:
        async for message in messages:
            if answers := link.receive(message):
                await self._partners.kept()
                await stream.send(*answers)

    async def _push(self, link: OffersLink, stream: Downstream[federation_pb2.OffersResponse]) -> None:
        signal = self._partners.offers_signal
        seen = signal.version
        while True:
            delta = link.next_delta()
            if delta is not None:
                await self._partners.kept()
                await stream.send(delta)
            seen = await signal.wait(seen)

    async def _beat(self, link: OffersLink, stream: Downstream[federation_pb2.OffersResponse]) -> None:
        while True:
            await self._clock.sleep_ms(self._heartbeat_interval_ms)
            await stream.send(link.heartbeat())

    def _home(self, context: Any) -> str:
        """The operator that calls, within its rate; RefusalError if it is none or calls too often."""
        home = self._peers.peer(context, Role.CONTROL_PLANE).operator
        self._rates.take(home)
        return home


async def _heard(
    messages: AsyncIterator[federation_pb2.OffersRequest], hear: Callable[[], None]
) -> AsyncIterator[federation_pb2.OffersRequest]:
    """The messages, of each of which note is taken before it is read."""
    async for message in messages:
        hear()
        yield message


def _kind(outcome: object) -> str:
    return type(outcome).__name__

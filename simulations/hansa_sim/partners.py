"""Two control planes joined without gRPC: calls to owners, and the stream of offers, both through the wire's codecs.

What decides is production code (OffersLink, OffersFollower, Circuit, the codecs); what carries it is the simulated
network.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hansa_control.adapters import codec_federation as codec
from hansa_control.adapters import codec_usage
from hansa_control.adapters.circuit import Circuit
from hansa_control.adapters.offers_follower import OffersFollower
from hansa_control.adapters.offers_link import OffersLink
from hansa_control.adapters.task_scope import first_to_end, to_the_end
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import Clock, HoldRequest, OwnerUnreachable, RefusalError, Refused, StoreFailed
from hansa_control.application.usage_ports import UsageCall, UsagePage
from hansa_control.domain.model import ClaimStatus, Federation, HoldGrant, Manifest, Reason

from hansa.errors import ProtocolViolation
from hansa_sim.kernel import Process
from hansa_sim.network import ConnectionBroken, End, Network, Unreachable
from hansa_sim.streams import Stream

OFFERS = "offers"
CALL_TIMEOUT_MS = 2_000
BACKOFF_MS = (200, 5_000)


class PartnerWay:
    """The way to one partner: the ``Owner`` of its zones, and its offers, followed as long as the process lives.

    ``bind`` it to the control plane before ``run`` or any call.
    """

    def __init__(self, network: Network, path: tuple[str, str], clock: Clock, chance: Stream) -> None:
        self._network = network
        self._path = path
        self._owner = path[1]
        self._clock = clock
        self._chance = chance
        self._circuit = Circuit(clock, path[1])
        self._plane: ControlPlane | None = None
        self._backoff_ms = BACKOFF_MS[0]

    def bind(self, plane: ControlPlane) -> None:
        self._plane = plane

    # --- owner ---

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        wire = codec.hold_request_out(codec.HoldCall(self._context_id(), request))

        async def work(owner: ControlPlane) -> Any:
            call = codec.hold_request_in(wire)
            owner.partners.check_context(self._path[0], call.context_id)
            return codec.hold_response_out(await to_the_end(owner.owner.hold(self._path[0], call.request)))

        return codec.hold_response_in(await self._call(work, min(CALL_TIMEOUT_MS, request.answer_within_ms)))

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        wire = codec.confirm_request_out(codec.ConfirmCall(self._context_id(), claim, fencing_token, manifest))

        async def work(owner: ControlPlane) -> Any:
            call = codec.confirm_request_in(wire)
            owner.partners.check_context(self._path[0], call.context_id)
            done = owner.owner.confirm(self._path[0], call.claim, call.fencing_token, call.manifest)
            return codec.confirm_response_out(await to_the_end(done))

        return codec.confirm_response_in(await self._call(work))

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        wire = codec.release_request_out(codec.ReleaseCall(self._context_id(), claim, reason))

        async def work(owner: ControlPlane) -> Any:
            call = codec.release_request_in(wire)
            owner.partners.check_context(self._path[0], call.context_id, takes=False)
            done = owner.owner.release(self._path[0], call.claim, call.reason)
            return codec.release_response_out(await to_the_end(done))

        return codec.release_response_in(await self._call(work))

    async def usage(self, call: UsageCall) -> UsagePage:
        wire = codec_usage.usage_request_out(call)

        async def work(owner: ControlPlane) -> Any:
            asked = codec_usage.usage_request_in(wire)
            return codec_usage.usage_response_out(await to_the_end(owner.settlement.tell(self._path[0], asked)))

        return codec_usage.usage_response_in(await self._call(work))

    def _context_id(self) -> str:
        federation = self._bound.partners.context(self._owner)
        if federation is None:
            raise OwnerUnreachable(f"no federation with {self._owner} yet")
        return federation.context_id

    async def _call(self, work: Any, within_ms: int = CALL_TIMEOUT_MS) -> Any:
        self._circuit.check()
        try:
            answer = await self._network.call(self._path, work, within_ms)
        except RefusalError:
            self._circuit.succeeded()
            raise
        except Exception as error:
            self._circuit.failed()
            raise OwnerUnreachable(f"{self._owner}: {error}") from error
        self._circuit.succeeded()
        return answer

    @property
    def _bound(self) -> ControlPlane:
        if self._plane is None:
            raise RuntimeError("bind the way before it is used")
        return self._plane

    # --- offers ---

    async def run(self, process: Process) -> None:
        """Follows the partner's offers until the process dies."""
        while True:
            end = self._network.connect(self._path[0], process, f"{self._owner}:{OFFERS}")
            try:
                await self._follow(end, await self._propose())
            except (ConnectionBroken, Unreachable, RefusalError, TimeoutError):
                pass
            finally:
                end.close()
            self._bound.partners.disconnected(self._owner)
            await self._clock.sleep_ms(self._next_backoff_ms())

    async def _propose(self) -> Federation:
        wire = codec.propose_request_out(codec.Proposal(self._path[0], self._clock.wall_ms()))

        async def work(owner: ControlPlane) -> Any:
            proposal = codec.propose_request_in(wire)
            done = owner.partners.propose(proposal.home, proposal.wall_clock_ms, proposal.capabilities)
            return codec.propose_response_out(await to_the_end(done))

        try:
            answer = await self._network.call(self._path, work, CALL_TIMEOUT_MS)
        except StoreFailed as failure:  # the owner's, of which the caller sees that there is no answer
            raise Unreachable(str(failure)) from failure
        federation = codec.propose_response_in(answer, self._path[0])
        await to_the_end(self._bound.partners.federated(federation))
        return federation

    async def _follow(self, end: End, federation: Federation) -> None:
        follower = OffersFollower(self._bound.partners, self._clock, self._owner, federation.offer_ttl_ms)
        end.send(follower.hello(federation.context_id))
        while True:
            async with asyncio.timeout(federation.offer_ttl_ms / 1_000):
                message = await end.receive()
            self._circuit.succeeded()
            self._backoff_ms = BACKOFF_MS[0]
            for answer in await to_the_end(follower.receive(message)):
                end.send(answer)

    def _next_backoff_ms(self) -> int:
        backoff_ms = self._backoff_ms
        self._backoff_ms = min(backoff_ms * 2, BACKOFF_MS[1])
        return self._chance.integer(backoff_ms // 2, backoff_ms)


# --- the owner's end of the stream ----------------------------------------------------------------------------------


async def serve_offers(end: End, plane: ControlPlane, clock: Clock) -> None:
    """Offers what there is to whoever connected, until the connection breaks or the federation ends."""
    link = OffersLink(plane.partners, clock, end.peer_host)
    try:
        await _answer(end, link, plane)
        await first_to_end(_read(end, link, plane), _push(end, link, plane), _beat(end, link, plane, clock))
    except (ConnectionBroken, RefusalError, ProtocolViolation, StoreFailed):
        pass
    finally:
        end.close()


async def _read(end: End, link: OffersLink, plane: ControlPlane) -> None:
    while True:
        await _answer(end, link, plane)


async def _answer(end: End, link: OffersLink, plane: ControlPlane) -> None:
    """Nothing is told that a crash could take back."""
    if answers := link.receive(await end.receive()):
        await plane.partners.kept()
        for message in answers:
            end.send(message)


async def _push(end: End, link: OffersLink, plane: ControlPlane) -> None:
    signal = plane.partners.offers_signal
    seen = signal.version
    while True:
        delta = link.next_delta()
        if delta is not None:
            await plane.partners.kept()
            end.send(delta)
        seen = await signal.wait(seen)


async def _beat(end: End, link: OffersLink, plane: ControlPlane, clock: Clock) -> None:
    while True:
        await clock.sleep_ms(plane.settings.heartbeat_interval_ms)
        end.send(link.heartbeat())

"""Two control planes joined without gRPC: calls to owners, and the stream of offers, both through the wire's codecs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hansa.delta import DeltaSender
from hansa_control.adapters import codec_federation as codec
from hansa_control.adapters.codec_delta import Ack, Memo, ResourceDelta, etags_of
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import (
    Clock,
    HoldRequest,
    OwnerUnreachable,
    RefusalError,
    Refused,
    StoredOffer,
)
from hansa_control.domain.model import ClaimStatus, Federation, HoldGrant, Manifest, Reason

from hansa_sim.network import ConnectionBroken, End, Network

OFFERS = "offers"


class PartnerOwner:
    """A partner as owner of zones, called across the simulated network."""

    def __init__(self, network: Network, home: str, owner: str, context: Callable[[], Federation | None]) -> None:
        self._network = network
        self._home = home
        self._owner = owner
        self._context = context

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        wire = codec.hold_request_out(codec.HoldCall(self._context_id(), request))

        async def work(owner: ControlPlane) -> Any:
            call = codec.hold_request_in(wire)
            owner.partners.check_context(self._home, call.context_id)
            return codec.hold_response_out(await owner.owner.hold(self._home, call.request))

        return codec.hold_response_in(await self._call(work))

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        wire = codec.confirm_request_out(codec.ConfirmCall(self._context_id(), claim, fencing_token, manifest))

        async def work(owner: ControlPlane) -> Any:
            call = codec.confirm_request_in(wire)
            owner.partners.check_context(self._home, call.context_id)
            status = await owner.owner.confirm(self._home, call.claim, call.fencing_token, call.manifest)
            return codec.confirm_response_out(status)

        return codec.confirm_response_in(await self._call(work))

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        wire = codec.release_request_out(codec.ReleaseCall(self._context_id(), claim, reason))

        async def work(owner: ControlPlane) -> Any:
            call = codec.release_request_in(wire)
            owner.partners.check_context(self._home, call.context_id)
            return codec.release_response_out(await owner.owner.release(self._home, call.claim, call.reason))

        return codec.release_response_in(await self._call(work))

    def _context_id(self) -> str:
        federation = self._context()
        if federation is None:
            raise OwnerUnreachable(f"no federation with {self._owner} yet")
        return federation.context_id

    async def _call(self, work: Any) -> Any:
        try:
            return await self._network.call((self._home, self._owner), work)
        except RefusalError:
            raise
        except Exception as error:
            raise OwnerUnreachable(f"{self._owner}: {error}") from error


# --- the owner's end of the stream ----------------------------------------------------------------------------------


async def serve_offers(end: End, plane: ControlPlane, clock: Clock) -> None:
    """Offers what there is to whoever connected, until the connection breaks."""
    try:
        hello = codec.offers_request_in(await end.receive())
        if not isinstance(hello, codec.OffersHello):
            raise RefusalError(Reason.PROTOCOL_VIOLATION, "the first message of a stream must be a hello", "hello")
        plane.partners.check_context(end.peer_host, hello.context_id)
        await _OffersServer(end, plane, hello).run(clock)
    except (ConnectionBroken, RefusalError) as error:
        end.break_off(str(error))
        end.close()


class _OffersServer:
    def __init__(self, end: End, plane: ControlPlane, hello: codec.OffersHello) -> None:
        self._end = end
        self._plane = plane
        self._sender = DeltaSender()
        self._sender.start(hello.offer_etags)
        self._memo = Memo(codec.offer_out)
        self._acked = asyncio.Event()

    async def run(self, clock: Clock) -> None:
        tasks = [asyncio.create_task(work) for work in (self._send(), self._receive(), self._beat(clock))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._end.close()

    async def _send(self) -> None:
        signal = self._plane.partners.offers_signal
        while True:
            seen = signal.version
            await self._plane.state.commit()
            wires = self._memo.of(self._plane.partners.offers(self._end.peer_host))
            delta = self._sender.next_delta(etags_of(wires))
            if delta is not None:
                self._end.send(codec.offer_delta_out(delta, wires))
                await self._acked.wait()
                self._acked.clear()
            else:
                await signal.wait(seen)

    async def _receive(self) -> None:
        while True:
            said = codec.offers_request_in(await self._end.receive())
            if isinstance(said, Ack):
                self._sender.on_ack(said.nonce, [name for name, _, _ in said.refusals])
                self._acked.set()

    async def _beat(self, clock: Clock) -> None:
        while True:
            await clock.sleep_ms(self._plane.settings.heartbeat_interval_ms)
            self._end.send(codec.owner_heartbeat_out(clock.wall_ms()))


# --- the home operator's end ----------------------------------------------------------------------------------------


async def use_offers(end: End, plane: ControlPlane, owner: str) -> None:
    """Takes over what ``owner`` offers on a fresh connection, until it breaks."""
    try:
        federation = plane.partners.context(owner)
        if federation is None:
            raise ConnectionBroken("no federation")
        held = plane.partners.held_offers(owner)
        end.send(codec.offers_hello_out(codec.OffersHello(federation.context_id, held)))
        while True:
            said = codec.offers_response_in(await end.receive(), owner)
            plane.partners.heard(owner)
            if isinstance(said, ResourceDelta):
                end.send(codec.offers_ack_out(await _take_over(plane, owner, said)))
    except ConnectionBroken:
        end.close()
        plane.partners.disconnected(owner)


async def _take_over(plane: ControlPlane, owner: str, delta: ResourceDelta[StoredOffer]) -> Ack:
    refused = await plane.partners.offered(owner, delta.updated, delta.removed)
    return Ack(delta.nonce, (*delta.refusals, *refused))


async def propose(network: Network, plane: ControlPlane, owner: str, clock: Clock) -> None:
    """Asks for the federation; Unreachable or RefusalError if it does not come about."""
    home = plane.settings.operator
    wire = codec.propose_request_out(codec.Proposal(home, clock.wall_ms()))

    async def work(other: ControlPlane) -> Any:
        proposal = codec.propose_request_in(wire)
        return codec.propose_response_out(await other.partners.propose(proposal.home, proposal.wall_clock_ms))

    answer = codec.propose_response_in(await network.call((home, owner), work), home)
    await plane.partners.federated(answer)


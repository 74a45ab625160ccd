"""A partner as this operator dials it: its offers, followed as long as the process lives, and its zones, held by call.

``run`` proposes the federation, follows the offers, and begins again with back-off and jitter whenever the partner is
not there. The same object is the ``Owner`` of the partner's zones. Whatever goes wrong on the way is
``OwnerUnreachable``: the partner may or may not have acted; what the partner itself refuses is ``RefusalError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc
import structlog

from hansa.errors import HansaError, from_rpc_error
from hansa.targets import target_of
from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import federation_service_pb2_grpc
from hansa_control.adapters import codec_federation as codec
from hansa_control.adapters import codec_usage
from hansa_control.adapters.authority import KeyPair, control_plane_host
from hansa_control.adapters.circuit import Circuit, CircuitLimits
from hansa_control.adapters.codec_fields import MESSAGE_LENGTH_MAX
from hansa_control.adapters.grpc_options import REQUEST_ID_KEY, channel_options
from hansa_control.adapters.offers_follower import OfferIngest, OffersFollower
from hansa_control.adapters.task_scope import to_the_end
from hansa_control.application.ports import (
    Clock,
    HoldRequest,
    IdSource,
    OwnerUnreachable,
    RefusalError,
    Refused,
    StoreFailed,
)
from hansa_control.application.usage_ports import UsageCall, UsagePage
from hansa_control.domain.model import ClaimStatus, Federation, HoldGrant, Manifest, Reason

CALL_TIMEOUT_S = 2.0
BACKOFF_MS = (200, 2_000)
_SILENT_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)

log = structlog.get_logger(__name__)

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ResultT = TypeVar("ResultT")


class PartnerIngest(OfferIngest, Protocol):
    """What the link needs of the application; see ``application.partners.PartnerIngest``."""

    async def federated(self, federation: Federation) -> None: ...

    def context(self, owner: str) -> Federation | None: ...

    def disconnected(self, owner: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Partner:
    """Where a partner is dialled ("host:port") and by which authority it is believed."""

    operator: str
    trust_domain: str
    endpoint: str
    ca_pem: bytes


@dataclass(frozen=True, slots=True)
class Home:
    """This operator as partners see it."""

    operator: str
    certificate: KeyPair


class PartnerLink:
    """The way to one partner. ``bind`` it to the application before ``run`` or any call."""

    def __init__(
        self, partner: Partner, home: Home, clock: Clock, ids: IdSource, circuit: CircuitLimits | None = None
    ) -> None:
        self._partner = partner
        self._home = home
        self._clock = clock
        self._ids = ids
        limits = circuit or CircuitLimits()
        self._circuit = Circuit(clock, partner.operator, limits.failures_max, limits.pause_ms)
        self._offers_refused = 0
        self.on_defect: Callable[[str, Exception], None] = lambda owner, defect: None
        self._ingest: PartnerIngest | None = None
        self._channel: grpc.aio.Channel | None = None
        self._known_stub: federation_service_pb2_grpc.FederationServiceAsyncStub | None = None
        self._backoff_ms = BACKOFF_MS[0]
        self._last_failure = ""

    def bind(self, ingest: PartnerIngest) -> None:
        """Tells where offers go; the application is made after its partners, hence apart from the constructor."""
        self._ingest = ingest

    def counts(self) -> Mapping[str, int]:
        """For metrics: the circuit of this partner, and its offers that were refused."""
        name, circuit = self._partner.operator, self._circuit
        return {
            f"circuit_open|{name}": int(circuit.is_open),
            f"circuit_opened|{name}": circuit.opened_count,
            f"circuit_spared|{name}": circuit.spared_count,
            f"offers_refused|{name}|by_us": self._offers_refused,
        }

    # --- offers ---

    async def run(self) -> None:
        """Follows the partner's offers until cancelled; StoreFailed. Nothing that a partner says ends more than its
        stream: a defect that it meets is told to ``on_defect``, and the partner is tried again as after a failure.
        """
        while True:
            try:
                await self._follow(await self._propose())
                self._failed("the partner ended the stream")
            except grpc.aio.AioRpcError as error:
                self._failed(_told(error))
            except (RefusalError, HansaError, TimeoutError) as error:
                self._failed(str(error) or type(error).__name__)
            except StoreFailed:
                raise
            except Exception as defect:
                self.on_defect(self._partner.operator, defect)
                self._failed(f"a defect of this operator: {type(defect).__name__}")
            self._bound.disconnected(self._partner.operator)
            await self._clock.sleep_ms(self._next_backoff_ms())

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _propose(self) -> Federation:
        proposal = codec.Proposal(self._home.operator, self._clock.wall_ms())
        response = await self._stub().Propose(codec.propose_request_out(proposal), timeout=CALL_TIMEOUT_S)
        federation = codec.propose_response_in(_readable(response), self._home.operator)
        if federation.owner != self._partner.operator:
            message = f"dialled {self._partner.operator}, answered by {federation.owner}"
            raise RefusalError(Reason.IDENTITY_MISMATCH, message, "owner_operator")
        await to_the_end(self._bound.federated(federation))
        return federation

    async def _follow(self, federation: Federation) -> None:
        follower = OffersFollower(self._bound, self._clock, self._partner.operator, federation.offer_ttl_ms)
        follower.on_refused = self._count_refused
        call = self._stub().Offers()
        try:
            await call.write(follower.hello(federation.context_id))
            async for message in _in_time(call, federation.offer_ttl_ms / 1000):
                answers = await to_the_end(follower.receive(_readable(message)))
                self._heard()
                for answer in answers:
                    await call.write(answer)
        except asyncio.InvalidStateError:
            raise await _ending_of(call) from None
        finally:
            call.cancel()

    def _count_refused(self, count: int) -> None:
        self._offers_refused += count

    def _heard(self) -> None:
        """A partner that is back may be asked at once; while its stream lives, only its answers close its circuit."""
        if self._last_failure or self._backoff_ms != BACKOFF_MS[0]:
            log.info("partner_reached", owner=self._partner.operator)
            self._circuit.succeeded()
        self._backoff_ms = BACKOFF_MS[0]
        self._last_failure = ""

    def _failed(self, why: str) -> None:
        """Says once why the partner is not followed, and again only if the reason changes."""
        if why != self._last_failure:
            log.warning("partner_lost", owner=self._partner.operator, reason=why)
        self._last_failure = why

    def _next_backoff_ms(self) -> int:
        """Doubles up to the maximum; half of it is chance, so that restarted partners do not come all at once."""
        backoff_ms = self._backoff_ms
        self._backoff_ms = min(backoff_ms * 2, BACKOFF_MS[1])
        return round(backoff_ms * (0.5 + self._ids.fraction() / 2))

    # --- owner ---

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        message = codec.hold_request_out(codec.HoldCall(self._context_id(), request))
        within_s = min(CALL_TIMEOUT_S, request.answer_within_ms / 1000)
        outcome = await self._ask(self._stub().Hold, message, codec.hold_response_in, within_s)
        if isinstance(outcome, HoldGrant):
            self._check_claim(request.claim, outcome.claim)
        return outcome

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        call = codec.ConfirmCall(self._context_id(), claim, fencing_token, manifest)
        status = await self._ask(self._stub().Confirm, codec.confirm_request_out(call), codec.confirm_response_in)
        self._check_claim(claim, status.claim)
        return status

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        message = codec.release_request_out(codec.ReleaseCall(self._context_id(), claim, reason))
        status = await self._ask(self._stub().Release, message, codec.release_response_in)
        self._check_claim(claim, status.claim)
        return status

    async def usage(self, call: UsageCall) -> UsagePage:
        """Lines of the partner's book between it and this operator; see ``application.ports.UsageSource``."""
        request = codec_usage.usage_request_out(call)
        return await self._ask(self._stub().ListUsage, request, codec_usage.usage_response_in)

    async def _ask(
        self,
        method: Callable[..., Awaitable[ResponseT]],
        request: RequestT,
        read: Callable[[ResponseT], ResultT],
        within_s: float = 0.0,
    ) -> ResultT:
        self._circuit.check()
        timeout_s = within_s or CALL_TIMEOUT_S
        try:
            response = await method(request, timeout=timeout_s, metadata=((REQUEST_ID_KEY, self._ids.new_id()),))
        except grpc.aio.AioRpcError as error:
            raise self._explained(error) from error
        self._circuit.succeeded()
        try:
            return read(_readable(response))
        except RefusalError as error:
            raise OwnerUnreachable(f"{self._partner.operator} answered nonsense: {error.field} {error}") from error

    def _explained(self, error: grpc.aio.AioRpcError) -> RefusalError | OwnerUnreachable:
        if error.code() in _SILENT_CODES:
            self._circuit.failed()
            return OwnerUnreachable(f"{self._partner.operator}: {_told(error)}")
        self._circuit.succeeded()
        told = from_rpc_error(error)
        message = f"{self._partner.operator}: {_printable(told.message)}"
        return RefusalError(Reason(told.reason), message, _printable(told.field))

    def _check_claim(self, asked: str, answered: str) -> None:
        if asked != answered:
            raise OwnerUnreachable(f"{self._partner.operator} was asked for claim {asked} and answered {answered}")

    def _context_id(self) -> str:
        federation = self._bound.context(self._partner.operator)
        if federation is None:
            raise OwnerUnreachable(f"no federation with {self._partner.operator} yet", was_asked=False)
        return federation.context_id

    # --- parts ---

    @property
    def _bound(self) -> PartnerIngest:
        if self._ingest is None:
            raise RuntimeError("bind the link before it is used")
        return self._ingest

    def _stub(self) -> federation_service_pb2_grpc.FederationServiceAsyncStub:
        if self._channel is None:
            certificate = self._home.certificate
            credentials = grpc.ssl_channel_credentials(self._partner.ca_pem, certificate.key_pem, certificate.cert_pem)
            options = channel_options(control_plane_host(self._partner.trust_domain))
            self._channel = grpc.aio.secure_channel(target_of(self._partner.endpoint), credentials, options=options)
            self._known_stub = None
        if self._known_stub is None:
            self._known_stub = federation_service_pb2_grpc.FederationServiceStub(self._channel)
        return self._known_stub


def _told(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {_printable(error.details() or '')}"


def _printable(text: str) -> str:
    """What a partner says of an error ends in logs, events and terminals: one line of it, without control codes."""
    return "".join(char if char.isprintable() else " " for char in text[:MESSAGE_LENGTH_MAX])


def _readable(message: ResponseT | None) -> ResponseT:
    """The message; RefusalError for None, which is what gRPC hands out for bytes that are no message of their type."""
    if message is None:
        raise RefusalError(Reason.PROTOCOL_VIOLATION, "the answer cannot be read: truncated, or of another type")
    return message


async def _ending_of(call: Any) -> grpc.aio.AioRpcError:
    """Why a stream ended that was still being written to."""
    return grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


async def _in_time(call: Any, silence_s: float) -> AsyncIterator[federation_pb2.OffersResponse]:
    """The messages of a stream; TimeoutError when none comes for so long."""
    while True:
        async with asyncio.timeout(silence_s):
            message = await call.read()
        if message is grpc.aio.EOF:
            return
        yield message

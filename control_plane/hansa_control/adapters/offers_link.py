"""One partner's stream of offers, the owner's side, without the wire: messages in, messages out."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from hansa.delta import DeltaSender
from hansa.v1.federation_service_pb2 import Offer, OffersRequest, OffersResponse
from hansa_control.adapters.codec_agreement import StandingTold
from hansa_control.adapters.codec_delta import Ack, Refusal, is_part_of_map
from hansa_control.adapters.codec_federation import (
    OffersHello,
    offer_delta_out,
    offer_out,
    offers_request_in,
    owner_heartbeat_out,
    owner_standing_out,
)
from hansa_control.adapters.rates import TokenBucket
from hansa_control.application.ports import Clock, RefusalError, ShownBody
from hansa_control.domain.model import Reason, Standing

OFFERS_PER_DELTA = 512
MESSAGES_PER_S = 500
MESSAGES_BURST = 1_000

log = structlog.get_logger(__name__)


class OfferSource(Protocol):
    """What the link needs of the application; see ``application.partners.PartnerIngest``."""

    def check_context(self, home: str, context_id: str) -> None: ...

    def offers(self, home: str) -> Mapping[str, ShownBody] | None: ...

    def offers_changed(self, home: str, version: int) -> tuple[int, list[str] | None]: ...

    def standing(self, home: str) -> Standing | None: ...


class OffersLink:
    """What one home operator is shown. Refusals are raised and end the stream."""

    def __init__(self, source: OfferSource, clock: Clock, home: str) -> None:
        self._source = source
        self._clock = clock
        self._home = home
        self._context_id = ""
        self._sender = DeltaSender(OFFERS_PER_DELTA, is_part=is_part_of_map)
        self._wires: dict[str, Offer] = {}
        # What was shown when the change began that is being sent, where it is otherwise by now.
        self._former: dict[str, Offer] = {}
        self._etags: dict[str, str] = {}
        self._version = -1
        self._unsettled: set[str] = set()
        self._told: Standing | None = None
        self._rate = TokenBucket(clock, MESSAGES_PER_S, MESSAGES_BURST)
        self.on_refused: Callable[[int], None] = lambda count: None

    @property
    def is_open(self) -> bool:
        return bool(self._context_id)

    def receive(self, message: OffersRequest) -> tuple[OffersResponse, ...]:
        """Takes one message of the home operator; returns what to send, in order."""
        self._rate.take()
        said = offers_request_in(message)
        if isinstance(said, OffersHello):
            return self._greet(said)
        self._check_context()
        if isinstance(said, Ack):
            self._sender.on_ack(said.nonce, [name for name, _, _ in said.refusals])
            self._tell_refusals(said.refusals)
        return self._next()

    def next_delta(self) -> OffersResponse | None:
        """How the agreement stands if that was not told yet, else the next delta of offers; None while one is in
        flight, nothing differs, or it is not known yet what may be shown.
        """
        self._check_context()
        standing = self._source.standing(self._home)
        if standing is not None and standing != self._told:
            self._told = standing
            return owner_standing_out(StandingTold(standing))
        if self._sender.waits_for_ack or not self._look_again():
            return None
        wires = ChainMap(self._former, self._wires)
        delta = self._sender.next_delta(self._etags, lambda name: wires[name].ByteSize(), self._unsettled)
        if delta is None:
            return None
        message = offer_delta_out(delta, wires)
        for name in delta.updated:
            self._former.pop(name, None)
        return message

    def _look_again(self) -> bool:
        """Writes what changed, and notes what the partner may hold otherwise: the cost is that of the change. Whether
        it is known what may be shown now.
        """
        offers = self._source.offers(self._home)
        if offers is None:
            return False
        self._version, names = self._source.offers_changed(self._home, self._version)
        for name in [*offers, *(self._wires.keys() - offers.keys())] if names is None else names:
            body = offers.get(name)
            if self._sender.rest.get(name) is not None and name in self._wires:
                self._former.setdefault(name, self._wires[name])
            if body is None:
                self._wires.pop(name, None)
                self._etags.pop(name, None)
            else:
                self._wires[name] = offer_out(name, body)
                self._etags[name] = self._wires[name].etag
            self._unsettled.add(name)
        self._unsettled = set(self._sender.differing(self._etags, self._unsettled))
        return True

    def heartbeat(self) -> OffersResponse:
        """A sign of life; RefusalError when the federation is no longer in force."""
        self._check_context()
        return owner_heartbeat_out(self._clock.wall_ms())

    def _greet(self, hello: OffersHello) -> tuple[OffersResponse, ...]:
        if self._context_id:
            raise RefusalError(Reason.PROTOCOL_VIOLATION, "a stream has one hello", "hello")
        self._source.check_context(self._home, hello.context_id)
        self._context_id = hello.context_id
        self._sender.start(hello.offer_etags)
        self._former = {}
        self._unsettled = {*hello.offer_etags, *self._etags}
        log.info("partner_connected", home=self._home, offers_held=len(hello.offer_etags))
        return self._next() or (self.heartbeat(),)

    def _check_context(self) -> None:
        if not self._context_id:
            raise RefusalError(Reason.PROTOCOL_VIOLATION, "the first message of a stream must be a hello", "hello")
        self._source.check_context(self._home, self._context_id)

    def _next(self) -> tuple[OffersResponse, ...]:
        return tuple(iter(self.next_delta, None))

    def _tell_refusals(self, refusals: Sequence[Refusal]) -> None:
        """A partner that does not take an offer does not see it until it changes: somebody should look."""
        if refusals:
            name, field, reason = refusals[0]
            count = len(refusals)
            log.warning(
                "offers_refused_by_partner", home=self._home, count=count, name=name, field=field, reason=reason
            )
            self.on_refused(count)

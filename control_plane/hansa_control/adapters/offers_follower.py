"""One partner's stream of offers, the home operator's side, without the wire: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from hansa.v1.federation_service_pb2 import OffersRequest, OffersResponse
from hansa_control.adapters.codec_agreement import StandingTold
from hansa_control.adapters.codec_delta import HELD_COUNT_MAX, Ack, Heartbeat, Refusal, ResourceDelta, is_part_of_map
from hansa_control.adapters.codec_federation import (
    OffersHello,
    home_heartbeat_out,
    offers_ack_out,
    offers_hello_out,
    offers_response_in,
)
from hansa_control.application.ports import Clock, RefusalError, StoredOffer
from hansa_control.application.strays import Stray
from hansa_control.domain.model import Reason, Standing

log = structlog.get_logger(__name__)


def tell_strays(owner: str, count: int) -> None:
    """An owner keeps claims of ours that nobody here knows; somebody has a while to find out why."""
    log.warning("claims_unknown", owner=owner, count=count)


def tell_stray_given_back(stray: Stray) -> None:
    """Nobody came to know it: the owner is to stop it."""
    log.warning("unknown_claim_given_back", owner=stray.owner, claim=stray.claim)


OFFER_TTL_MS = 6_000
# What is kept aside of a change that is not whole, as it came in: 58,000 nodes that are signed once, of 1.1 kB, or
# 24,000 zones that are passed on, of 2.7 kB.
ASIDE_BYTES_MAX = 64 * 1024 * 1024
# How much longer than offers live a change may take for each offer that has come of it; 512 of them, a delta, get 2 s.
MS_PER_OFFER = 4


class OfferIngest(Protocol):
    """What the follower needs of the application; see ``application.partners.PartnerIngest``."""

    def held_offers(self, owner: str) -> Mapping[str, str]: ...

    async def vet(self, owner: str, offers: Sequence[StoredOffer]) -> tuple[Refusal, ...]: ...

    async def take_over(
        self, owner: str, updated: Sequence[StoredOffer], removed: Sequence[str]
    ) -> tuple[Refusal, ...]: ...

    async def told(self, owner: str, standing: Standing | None) -> None: ...

    def heard(self, owner: str) -> None: ...


class OffersFollower:
    """What one partner shows. A message that cannot be read is raised as ``RefusalError`` and ends the stream."""

    def __init__(self, ingest: OfferIngest, clock: Clock, owner: str, offer_ttl_ms: int = OFFER_TTL_MS) -> None:
        self._ingest = ingest
        self._clock = clock
        self._owner = owner
        self._offer_ttl_ms = offer_ttl_ms
        self.on_refused: Callable[[int], None] = lambda count: None
        # What has come of a change that is not whole, and its size on the wire; None is a name that is gone.
        self._partly: dict[str, StoredOffer | None] = {}
        self._sizes: dict[str, int] = {}
        self._aside_bytes = 0
        self._since_ms = 0

    def hello(self, context_id: str) -> OffersRequest:
        """Opens the stream with what is held already, so that only differences come."""
        return offers_hello_out(OffersHello(context_id, self._ingest.held_offers(self._owner)))

    async def receive(self, message: OffersResponse) -> tuple[OffersRequest, ...]:
        """Takes one message; returns what to answer. Offers are durable on return."""
        said = offers_response_in(message, self._owner)
        self._ingest.heard(self._owner)
        self._check_duration()
        if isinstance(said, StandingTold):
            await self._ingest.told(self._owner, said.standing)
        if isinstance(said, Heartbeat | StandingTold):
            return (home_heartbeat_out(self._clock.wall_ms()),)
        wrong = (*said.refusals, *await self._ingest.vet(self._owner, said.updated))
        ready = self._whole(said, {name for name, _, _ in wrong}, message)
        refusals = (*wrong, *await self._ingest.take_over(self._owner, *ready))
        if refusals:
            name, field, reason = refusals[0]
            log.warning("offers_refused", owner=self._owner, count=len(refusals), name=name, field=field, reason=reason)
            self.on_refused(len(refusals))
        return (offers_ack_out(Ack(said.nonce, refusals)),)

    def _whole(
        self, said: ResourceDelta[StoredOffer], wrong: Collection[str], message: OffersResponse
    ) -> tuple[list[StoredOffer], list[str]]:
        """What may be taken over now. Half of a change of the network may allow a path that neither the former nor the
        new one allows, as where a link no longer crosses a country and a node of it comes to stand in another.
        """
        came: dict[str, StoredOffer | None] = {**dict.fromkeys(said.removed), **{one.name: one for one in said.updated}}
        if not self._partly:
            self._since_ms = self._clock.monotonic_ms()
        self._put_aside({name: body for name, body in came.items() if name not in wrong}, message)
        for name in wrong:
            self._take_out(name)
        ready = [name for name in self._partly if not (said.more and is_part_of_map(name))]
        bodies = [(name, self._take_out(name)) for name in ready]
        return [body for _, body in bodies if body is not None], [name for name, body in bodies if body is None]

    def _put_aside(self, came: Mapping[str, StoredOffer | None], message: OffersResponse) -> None:
        """RefusalError if it is more than anybody's network."""
        sizes = {offer.name: offer.ByteSize() for offer in message.delta.updated}
        for name, body in came.items():
            self._take_out(name)
            self._partly[name] = body
            self._sizes[name] = len(name) if body is None else sizes[name]
            self._aside_bytes += self._sizes[name]
        if len(self._partly) > HELD_COUNT_MAX:
            raise RefusalError(Reason.LIMIT_EXCEEDED, f"a change of more than {HELD_COUNT_MAX} offers", "delta.more")
        if self._aside_bytes > ASIDE_BYTES_MAX:
            raise RefusalError(Reason.LIMIT_EXCEEDED, f"a change of more than {ASIDE_BYTES_MAX} bytes", "delta.more")

    def _take_out(self, name: str) -> StoredOffer | None:
        self._aside_bytes -= self._sizes.pop(name, 0)
        return self._partly.pop(name, None)

    def _check_duration(self) -> None:
        """RefusalError if a change takes so long that what is held has been overtaken."""
        if not self._partly:
            return
        limit_ms = self._offer_ttl_ms + MS_PER_OFFER * len(self._partly)
        if self._clock.monotonic_ms() - self._since_ms > limit_ms:
            why = f"a change of {len(self._partly)} offers is not whole after {limit_ms} ms"
            raise RefusalError(Reason.LIMIT_EXCEEDED, why, "delta.more")

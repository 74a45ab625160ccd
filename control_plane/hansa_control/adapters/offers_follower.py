"""One partner's stream of offers, the home operator's side, without the wire: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


class OfferIngest(Protocol):
    """What the follower needs of the application; see ``application.partners.PartnerIngest``."""

    def held_offers(self, owner: str) -> Mapping[str, str]: ...

    async def offered(
        self, owner: str, updated: Sequence[StoredOffer], removed: Sequence[str]
    ) -> tuple[Refusal, ...]: ...

    async def told(self, owner: str, standing: Standing | None) -> None: ...

    def heard(self, owner: str) -> None: ...


class OffersFollower:
    """What one partner shows. A message that cannot be read is raised as ``RefusalError`` and ends the stream."""

    def __init__(self, ingest: OfferIngest, clock: Clock, owner: str) -> None:
        self._ingest = ingest
        self._clock = clock
        self._owner = owner
        self.on_refused: Callable[[int], None] = lambda count: None
        # What has come of a change that is not whole; None is a name that is gone.
        self._partly: dict[str, StoredOffer | None] = {}

    def hello(self, context_id: str) -> OffersRequest:
        """Opens the stream with what is held already, so that only differences come."""
        return offers_hello_out(OffersHello(context_id, self._ingest.held_offers(self._owner)))

    async def receive(self, message: OffersResponse) -> tuple[OffersRequest, ...]:
        """Takes one message; returns what to answer. Offers are durable on return."""
        said = offers_response_in(message, self._owner)
        self._ingest.heard(self._owner)
        if isinstance(said, StandingTold):
            await self._ingest.told(self._owner, said.standing)
        if isinstance(said, Heartbeat | StandingTold):
            return (home_heartbeat_out(self._clock.wall_ms()),)
        late = await self._ingest.offered(self._owner, *self._whole(said))
        refusals = (*said.refusals, *late)
        if refusals:
            name, field, reason = refusals[0]
            log.warning("offers_refused", owner=self._owner, count=len(refusals), name=name, field=field, reason=reason)
            self.on_refused(len(refusals))
        return (offers_ack_out(Ack(said.nonce, refusals)),)

    def _whole(self, said: ResourceDelta[StoredOffer]) -> tuple[list[StoredOffer], list[str]]:
        """What may be taken over now. Half of a change of the network may allow a path that neither the former nor the
        new one allows, as where a link no longer crosses a country and a node of it comes to stand in another.
        """
        came: dict[str, StoredOffer | None] = {**dict.fromkeys(said.removed), **{one.name: one for one in said.updated}}
        self._partly.update(came)
        if len(self._partly) > HELD_COUNT_MAX:
            raise RefusalError(Reason.LIMIT_EXCEEDED, f"a change of more than {HELD_COUNT_MAX} offers", "delta.more")
        ready = {name: body for name, body in self._partly.items() if not (said.more and is_part_of_map(name))}
        for name in ready:
            del self._partly[name]
        return [body for body in ready.values() if body is not None], [name for name in ready if ready[name] is None]

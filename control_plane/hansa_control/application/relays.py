"""What becomes of claims behind claims of partners: the latter follow it, and what is given up is given back behind.

Between the two is a record, kept before anybody is asked and until the operator behind has said that it has taken its
claim back. What is done follows from that record, from the claim here and from what is told of the one behind, whatever
has happened in between; so a crash loses nothing and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from hansa_control.application.owner import OwnerService
from hansa_control.application.partners import PartnerIngest
from hansa_control.application.ports import (
    Clock,
    IdSource,
    Owner,
    OwnerUnreachable,
    RefusalError,
    Relay,
    StoreFailed,
)
from hansa_control.application.relay_book import RelayBook, relay_key
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.waking import Wakes, at_once
from hansa_control.application.world import World
from hansa_control.domain import ledger
from hansa_control.domain.ledger import ClaimEvent
from hansa_control.domain.model import Claim, ClaimState, OnPartition, Reason

_GIVEN_UP = frozenset({ClaimState.RELEASING, ClaimState.RELEASED})
_EVENT_OF: Mapping[ClaimState, ClaimEvent] = {
    ClaimState.SERVING: ClaimEvent.READY,
    ClaimState.ALLOCATED: ClaimEvent.NOT_READY,
    ClaimState.HELD: ClaimEvent.NOT_READY,
    ClaimState.FAILED: ClaimEvent.FAIL,
    ClaimState.LOST: ClaimEvent.ZONE_LOST,
}


class Relays:
    """Follows claims behind those of partners, and gives them back."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, World, PartnerIngest, RelayBook],
        sides: tuple[OwnerService, Mapping[str, Owner]],
        sources: tuple[Clock, IdSource],
    ) -> None:
        self._settings = settings
        self._state, self._world, self._partners, self._book = records
        self._owner, self._owners = sides
        self._wakes = Wakes(settings, sources)
        self._gone: set[str] = set()
        self.on_given_back: Callable[[str], None] = lambda owner: None
        self.on_defect: Callable[[str, Exception], None] = lambda key, defect: None

    def recover(self) -> None:
        """After loading: every claim behind another gets a look. What was behind at an operator that is no partner any
        more is given up: nobody can be asked there.
        """
        self._book.recover()
        for key, relay in list(self._book.all().items()):
            self._wakes.wake(key)
            if relay.owner not in self._owners:
                self._book.forget(key)
                claim = self._give_up(self._world.claim(relay.home, relay.claim), f"{relay.owner} is no partner")
                if claim is not None:
                    self._owner.put(ledger.advance(claim, ClaimEvent.STOPPED))

    def wake(self, key: str) -> None:
        """Something is to be looked at."""
        self._wakes.wake(key)

    # --- what is told of the claims behind ---

    def told(self, owner: str, name: str) -> None:
        """An operator has said something of a claim of ours, or it has come back."""
        key = relay_key(owner, name)
        if key in self._book.all():
            self._gone.discard(key)
            self._wakes.wake(key)

    def gone(self, owner: str, name: str) -> None:
        """An operator does not know a claim of ours any more."""
        key = relay_key(owner, name)
        if key in self._book.all():
            self._gone.add(key)
            self._wakes.wake(key)

    def changed(self, claim: Claim) -> None:
        """A claim here is another now; if there is one behind it, that is to follow."""
        key = self._book.key_of(claim.home, claim.name)
        if key is not None:
            self._wakes.wake(key)

    def tick(self) -> None:
        """Wakes what asked to be looked at by now, and what only time changes."""
        self._wakes.tick()
        for key, relay in self._book.all().items():
            if relay.spec.on_partition.action is OnPartition.REPLACE:
                self._wakes.wake(key)

    # --- looking ---

    async def run(self) -> None:
        """Looks at claims behind others until cancelled; an operator that is slow keeps few of the others waiting."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.reconcilers):
                group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            key = await self._wakes.next(at_once, is_fresh=False)
            try:
                await self.look(key)
            except StoreFailed:
                raise
            except Exception as defect:
                self.on_defect(key, defect)
                self._wakes.retry_later(key)
            finally:
                self._wakes.done(key)

    async def look(self, key: str) -> None:
        """One look at a claim behind another: give it back if that is over, else tell what has become of it."""
        relay = self._book.all().get(key)
        if relay is None or key in self._book.asking:
            return
        claim = self._world.claim(relay.home, relay.claim)
        if claim is not None and claim.state not in _GIVEN_UP:
            claim = self._followed(key, relay, claim)
        if claim is None or claim.state in _GIVEN_UP:
            await self._give_back(key, relay)
        await self._state.commit()

    def _followed(self, key: str, relay: Relay, claim: Claim) -> Claim | None:
        """The claim as what is behind it has made it."""
        if claim.state is ClaimState.HELD:
            # A crash has come between asking and the answer: whatever was granted is not known here.
            return claim if relay.grant is not None else self._give_up(claim)
        status = self._world.claim_status(relay.owner, relay.name)
        if key in self._gone or status is None or status.state in _GIVEN_UP:
            return self._give_up(claim, f"{relay.owner}, which is behind the zone, has it no longer")
        if self._is_cut_off(relay):
            return self._give_up(claim, f"cut off: {relay.owner}, which is behind the zone, is not heard")
        seen = claim
        if claim.state is ClaimState.LOST and status.state is not ClaimState.LOST:
            seen = ledger.advance(seen, ClaimEvent.ZONE_BACK)
        seen = ledger.advance(seen, _EVENT_OF[status.state])
        answers = seen.state in {ClaimState.ALLOCATED, ClaimState.SERVING}
        ready, urls = (status.replicas_ready, status.endpoint_urls) if answers else (0, ())
        seen = replace(seen, replicas_ready=ready, endpoint_urls=urls, message=status.message)
        if seen != claim:
            self._owner.put(seen)
        return seen

    def _is_cut_off(self, relay: Relay) -> bool:
        """Whether the operator behind has stopped it by itself, since it has not heard of us for so long."""
        rule = relay.spec.on_partition
        bound_ms = rule.after_ms + self._settings.offer_ttl_ms
        return rule.action is OnPartition.REPLACE and self._world.unheard_ms(relay.owner) > bound_ms

    def _give_up(self, claim: Claim | None, message: str = "nothing is held behind it") -> Claim | None:
        """Gives up a claim here; what is behind it follows."""
        if claim is None or claim.state in _GIVEN_UP:
            return claim
        self._owner.put(replace(ledger.advance(claim, ClaimEvent.RELEASE), message=message))
        return self._world.claim(claim.home, claim.name)

    async def _give_back(self, key: str, relay: Relay) -> None:
        """Gives back what is behind; once its owner has taken note, stopping it is its duty, and this is over."""
        await self._state.commit()
        try:
            await self._owners[relay.owner].release(relay.name, Reason.WORKLOAD_MOVED)
        except (OwnerUnreachable, RefusalError):
            self._wakes.retry_later(key)
            return
        self._partners.forget_if_never_offered(relay.owner, relay.name)
        self._wakes.succeeded(key)
        self._gone.discard(key)
        self._book.forget(key)
        claim = self._world.claim(relay.home, relay.claim)
        if claim is not None:
            self._owner.put(ledger.advance(claim, ClaimEvent.STOPPED))
        self.on_given_back(relay.owner)

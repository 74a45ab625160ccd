"""Which chains of origin of partners are believed, until when, and what gives way to what its owner itself offers."""

from __future__ import annotations

from typing import NamedTuple

from hansa_control.application.ports import Clock, Counter, SealBroken, Seals, StoredOffer, Table
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.model import ClaimStatus, Zone
from hansa_control.domain.origin import (
    LIFE_MS_MAX,
    Chain,
    Receiver,
    alias_of,
    ends_ms,
    fault_of,
    is_passed_on,
    operators_of,
    owned_by,
    signed_bytes,
)

_NEWEST = "origin|"


class Fault(NamedTuple):
    """Why an offer is not taken: the field, and what is wrong with it."""

    field: str
    why: str


class ChainChecks:
    """Checks what partners pass on. Without ``seals`` no chain is believed."""

    def __init__(self, settings: Settings, records: tuple[State, World], clock: Clock) -> None:
        self.seals: Seals | None = None
        self._settings = settings
        self._state, self._world = records
        self._clock = clock
        self._ends: dict[tuple[str, str], int] = {}
        self._sweep_at_ms = 0

    def recover(self) -> None:
        """After loading: until when what partners pass on holds."""
        for stored in self._state.offers.values():
            self.took(stored)

    def fault(self, offer: StoredOffer) -> Fault | None:
        """Why a partner's offer is not believed to come from where it says, whatever else is offered; None if it is."""
        if not offer.chain:
            is_of_another = isinstance(offer.body, Zone) and offer.body.origin is not None
            return Fault("zone.origin", "is set, and there is no chain of origin") if is_of_another else None
        if isinstance(offer.body, ClaimStatus):
            return Fault("chain", "is set on a claim, which comes from nobody else")
        skew_ms, own = self._settings.clock_skew_ms_max, self._settings.operator
        at = Receiver(own, offer.operator, self._clock.wall_ms(), skew_ms)
        if (found := fault_of(offer.chain, offer.name, offer.body, at)) is not None:
            return Fault(*found)
        return self._stranger(offer.chain) or self._broken(offer.chain, at.now_ms)

    def _stranger(self, chain: Chain) -> Fault | None:
        known = self._settings.partners | self._settings.known_operators
        for index, operator in enumerate(operators_of(chain)):
            if operator not in known:
                return Fault(f"chain[{index}].by", f"{operator} is not known here; name it under known_operators")
        return None

    def superseded(self, offer: StoredOffer) -> Fault | None:
        """Why an offer that is believed is not taken beside what is held already; None if it is."""
        if not offer.chain:
            return None
        first = offer.chain[0].terms
        if is_passed_on(offer.chain) and first.name in self._world.offered.of(first.by):
            return Fault("name", f"{first.by} itself offers {first.name}")
        if first.signed_at_ms < self._state.count(_newest(offer)):
            return Fault("chain[0].signed_at_ms", f"{first.by} has signed {first.name} anew since")
        return None

    def _broken(self, chain: Chain, now_ms: int) -> Fault | None:
        if self.seals is None:
            return Fault("chain", "signatures cannot be checked here")
        for index, link in enumerate(chain):
            try:
                self.seals.check(link.terms.by, signed_bytes(link.terms), link.signed, now_ms)
            except SealBroken as broken:
                return Fault(f"chain[{index}].signature", str(broken))
        return None

    def took(self, offer: StoredOffer) -> None:
        """A partner's offer is taken; of its chain is kept how new it is, so that none that is older is taken again."""
        if not offer.chain:
            self._ends.pop((offer.operator, offer.name), None)
            return
        self._ends[offer.operator, offer.name] = ends_ms(offer.chain)
        signed_at_ms = offer.chain[0].terms.signed_at_ms
        if self._state.count(_newest(offer)) < signed_at_ms:
            self._state.put(Table.COUNTER, _newest(offer), Counter(signed_at_ms))

    def is_still_signed(self, offer: StoredOffer, owner: str, node: str | None) -> bool:
        """Whether an owner has signed what a partner offers under a name within the longest time that a permission may
        hold; where the name is that of a node, also for as long as the partner passes on anything of the owner's there.
        """
        signed_at_ms = self._state.count(_key(offer, owner))
        if not signed_at_ms:
            return False
        there = self._world.offered.passed_on_at(node) if node else ()
        is_there = any(one.operator == offer.operator and owned_by(one.chain) == owner for one in there)
        return is_there or self._clock.wall_ms() < signed_at_ms + LIFE_MS_MAX

    def overtaken(self, offer: StoredOffer) -> list[StoredOffer]:
        """What partners have passed on of that which its owner itself offers now: it gives way."""
        if is_passed_on(offer.chain) or isinstance(offer.body, ClaimStatus):
            return []
        name = offer.name
        if isinstance(offer.body, Zone):
            name = f"zones/{alias_of(offer.body.id)}"
        others = sorted(self._settings.partners - {offer.operator})
        held = (self._world.offered.of(other).get(name) for other in others)
        return [one for one in held if one is not None and _is_from(one.chain, offer.operator)]

    def sweep(self) -> None:
        """Forgets how new the chains of old were, once in a while: what is older still has ended by itself."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._sweep_at_ms:
            return
        self._sweep_at_ms = now_ms + self._settings.sweep_interval_ms
        over_ms = self._clock.wall_ms() - self._settings.clock_skew_ms_max - LIFE_MS_MAX
        for name, signed_at_ms in self._state.counts(_NEWEST):
            if signed_at_ms < over_ms:
                self._state.delete(Table.COUNTER, name)

    def ended(self) -> list[StoredOffer]:
        """Offers that are passed on and whose chain has ended: nobody vouches for them any more."""
        now_ms = self._clock.wall_ms()
        over = [key for key, end_ms in self._ends.items() if end_ms <= now_ms]
        for key in over:
            del self._ends[key]
        held = (self._world.offered.of(operator).get(name) for operator, name in sorted(over))
        return [one for one in held if one is not None and is_passed_on(one.chain) and ends_ms(one.chain) <= now_ms]


def _is_from(chain: Chain, owner: str) -> bool:
    return is_passed_on(chain) and owned_by(chain) == owner


def _newest(offer: StoredOffer) -> str:
    """The counter of when an owner last signed what a partner offers under a name, wall clock."""
    return _key(offer, owned_by(offer.chain))


def _key(offer: StoredOffer, owner: str) -> str:
    return f"{_NEWEST}{offer.operator}|{owner}|{offer.name}"

"""Doubles for tests of the adapters: a clock by hand and an application that remembers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hansa_control.adapters.codec_agent import OrderBody
from hansa_control.adapters.codec_delta import Refusal
from hansa_control.application.changes import Changes
from hansa_control.application.ports import OfferBody, RefusalError, StoredAdvert, StoredOffer
from hansa_control.application.signals import Signal
from hansa_control.domain.model import Federation, Reason, Standing


class ClockByHand:
    """Time passes when told."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    def elapsed_us(self) -> int:
        return self.now_ms * 1000

    async def sleep_ms(self, duration_ms: int) -> None:
        self.now_ms += duration_ms


class RememberingIngest:
    """Takes everything but what it is told to refuse, and writes down what it was told."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.orders_now: dict[str, OrderBody] = {}
        self.calls: list[tuple[object, ...]] = []
        self.refuse: set[str] = set()
        self.signal = Signal()
        self.orders_held: Collection[str] = ()

    def welcome(self, zone: str, boot_id: str, wall_clock_ms: int) -> Mapping[str, str]:
        self.calls.append(("welcome", zone, boot_id))
        return dict(self.held)

    async def adverts(self, zone: str, updated: Sequence[StoredAdvert], removed: Sequence[str]) -> tuple[Refusal, ...]:
        self.calls.append(("adverts", zone, tuple(one.name for one in updated), tuple(removed)))
        return tuple((one.name, "node", "unknown") for one in updated if one.name in self.refuse)

    def heard(self, zone: str) -> None:
        self.calls.append(("heard", zone))

    def disconnected(self, zone: str, boot_id: str) -> None:
        self.calls.append(("disconnected", zone, boot_id))

    def orders(self, zone: str) -> Mapping[str, OrderBody]:
        return dict(self.orders_now)

    def order_acked(self, zone: str, held: Collection[str]) -> None:
        self.orders_held = sorted(held)

    def orders_refused(self, zone: str, refusals: tuple[Refusal, ...]) -> None:
        self.calls.append(("orders_refused", zone, refusals))

    def orders_signal(self, zone: str) -> Signal:
        return self.signal


class RememberingPartners:
    """Both sides of a federation, as the links see the application."""

    def __init__(self, context_id: str = "ctx") -> None:
        self.context_id = context_id
        self.active = True
        self.offers_now: dict[str, OfferBody] = {}
        self.offers_before: dict[str, OfferBody] = {}
        self.changes = Changes()
        self.taken: dict[str, StoredOffer] = {}
        self.refuse: set[str] = set()
        self.disbelieve: set[str] = set()
        self.vetted: list[str] = []
        self.heard_count = 0
        self.standing_now: Standing | None = None
        self.standing_told: list[Standing | None] = []
        self.federation: Federation | None = None

    def check_context(self, home: str, context_id: str) -> None:
        if not self.active or context_id != self.context_id:
            raise RefusalError(Reason.FEDERATION_INACTIVE, "no federation", "context_id")

    def offers(self, home: str) -> Mapping[str, OfferBody]:
        for name in sorted({*self.offers_now, *self.offers_before}):
            if self.offers_now.get(name) != self.offers_before.get(name):
                self.changes.note(name)
        self.offers_before = dict(self.offers_now)
        return self.offers_before

    def offers_changed(self, home: str, version: int) -> tuple[int, list[str] | None]:
        return self.changes.version, self.changes.since(version)

    def standing(self, home: str) -> Standing | None:
        return self.standing_now

    async def told(self, owner: str, standing: Standing | None) -> None:
        self.standing_told.append(standing)

    def held_offers(self, owner: str) -> Mapping[str, str]:
        return {name: offer.etag for name, offer in self.taken.items()}

    async def vet(self, owner: str, offers: Sequence[StoredOffer]) -> tuple[Refusal, ...]:
        self.vetted += [offer.name for offer in offers]
        return tuple((offer.name, "chain", "no") for offer in offers if offer.name in self.disbelieve)

    async def take_over(
        self, owner: str, updated: Sequence[StoredOffer], removed: Sequence[str]
    ) -> tuple[Refusal, ...]:
        for offer in updated:
            if offer.name not in self.refuse:
                self.taken[offer.name] = offer
        for name in removed:
            self.taken.pop(name, None)
        return tuple((offer.name, "x", "no") for offer in updated if offer.name in self.refuse)

    def heard(self, owner: str) -> None:
        self.heard_count += 1

    async def federated(self, federation: Federation) -> None:
        self.federation = federation

    def context(self, owner: str) -> Federation | None:
        return self.federation

    def disconnected(self, owner: str) -> None:
        pass

"""What an operator has agreed with a partner that may use its zones: as data, with a digest, and how it stands now.

An agreement has one direction: the owner of the zones keeps it, the home operator places under it. What is agreed
(``Agreement``) is apart from what the owner wants of it today (``Wish``) and from where it is in its life
(``Standing``, moved by ``agreement_life``), so that suspending it changes neither its version nor its digest.

Money is thousandths of the currency's unit. Times are milliseconds since the Unix epoch, UTC; 0 is without bound.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from hansa_control.domain.canonical import PREFIX, canonical

DIGESTS_KEPT_MAX = 1_024

EVERYWHERE = ("*",)
ANYBODY = ("*",)


class PlaceShown(StrEnum):
    """How exactly a partner is shown where a zone is; its country is always exact."""

    EXACT = "EXACT"
    COARSE = "COARSE"


class RoomShown(StrEnum):
    """How exactly a partner is shown what is free; BANDS rounds down to powers of two."""

    EXACT = "EXACT"
    BANDS = "BANDS"


class NetworkShown(StrEnum):
    """What a partner is shown of the network; ABSTRACT is gateways, zones' nodes, and virtual links between them."""

    FULL = "FULL"
    ABSTRACT = "ABSTRACT"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Bounds on capacity, each None where there is none; accelerators counts devices of whatever model."""

    accelerators: int | None = None
    cpu_millis: int | None = None
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is shown of the zones that the patterns name; ``most`` is what is shown to be free at most."""

    zones: tuple[str, ...] = EVERYWHERE
    place: PlaceShown = PlaceShown.EXACT
    room: RoomShown = RoomShown.EXACT
    most: Amounts = Amounts()


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a partner may have at one time in the zones that the patterns name: in each, or in all together."""

    zones: tuple[str, ...] = EVERYWHERE
    each: bool = False
    most: Amounts = Amounts()
    claims: int | None = None

    def bounds(self) -> tuple[int | None, int | None, int | None, int | None]:
        """Its bounds on devices, CPU, memory and number of claims; None where there is none."""
        return (self.most.accelerators, self.most.cpu_millis, self.most.memory_mib, self.claims)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices of an hour: of one accelerator by pool key or model, and of one CPU core."""

    currency: str
    accelerator_milli: tuple[tuple[str, int], ...] = ()
    cpu_core_milli: int = 0
    valid_from_ms: int = 0
    valid_until_ms: int = 0

    def is_valid(self, now_ms: int) -> bool:
        return self.valid_from_ms <= now_ms and not 0 < self.valid_until_ms <= now_ms


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """The prices of one version of an agreement, and from when on that version has held, on the owner's wall clock."""

    version: int
    digest: str
    since_ms: int
    prices: PriceList | None = None


PRICE_VERSIONS_MAX = 256
"""How many versions of its prices a federation keeps: two amendments a day for four months."""

PRICES_MAX = 8_192
"""How many prices of accelerators all those versions have together: a federation's record is written as a whole."""


@dataclass(frozen=True, slots=True)
class Terms:
    """When the agreement holds, and how long a partner has to leave once it ends."""

    valid_from_ms: int = 0
    valid_until_ms: int = 0
    notice_ms: int = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Reoffer:
    """Which of the owner's zones the partner may offer on in its own name, and to whom; nothing and nobody by default.

    ``zones`` are patterns, ``to`` names of operators, or ANYBODY.
    """

    zones: tuple[str, ...] = ()
    to: tuple[str, ...] = ()

    def permits(self, zone: str, operator: str) -> bool:
        return names(self.zones, zone) and (self.to == ANYBODY or operator in self.to)


ADDED = frozenset({"network", "gateways", "reoffer", "passes_on"})
"""Fields of an agreement that came later."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is agreed. ``reference`` is the operators' own name of the contract; of disclosures the first that names a
    zone counts, of quotas all that do. ``gateways`` are nodes that an abstract network shows besides those that it
    shows anyway. ``reoffer`` is what the partner may offer on; ``passes_on`` are patterns of other operators' zones
    (``waldnetz/berlin-*``) that this operator offers on to the partner, as far as their owners permit.
    """

    reference: str = ""
    zones: tuple[str, ...] = EVERYWHERE
    disclosures: tuple[Disclosure, ...] = ()
    quotas: tuple[Quota, ...] = ()
    prices: PriceList | None = None
    terms: Terms = Terms()
    network: NetworkShown = NetworkShown.FULL
    gateways: tuple[str, ...] = ()
    reoffer: Reoffer = Reoffer()
    passes_on: tuple[str, ...] = ()

    def digest(self) -> str:
        """The digest of what is agreed: equal for both sides exactly if they agreed on the same."""
        return _digest(self)

    def offers(self, zone: str) -> bool:
        """Whether the partner may use a zone of the owner."""
        return names(self.zones, zone)

    def disclosure(self, zone: str) -> Disclosure:
        """What is shown of a zone."""
        return next((one for one in self.disclosures if names(one.zones, zone)), Disclosure())


OPEN = Agreement()
"""Every zone, exactly as it is, without quota or end."""


@lru_cache(maxsize=DIGESTS_KEPT_MAX)
def _digest(agreement: Agreement) -> str:
    """Kept, for it is asked at every tick of every partner's agreement."""
    agreed, unsaid = json.loads(canonical(agreement)), json.loads(canonical(OPEN))
    # What came later is left out where it says nothing: who agreed before it has agreed on the same.
    said = {name: value for name, value in agreed.items() if name not in ADDED or value != unsaid[name]}
    return PREFIX + sha256(canonical(said)).hexdigest()


class Wish(StrEnum):
    """What the owner wants of an agreement now."""

    IN_FORCE = "IN_FORCE"
    SUSPENDED = "SUSPENDED"
    TERMINATED = "TERMINATED"


@dataclass(frozen=True, slots=True)
class Stance:
    """An agreement as its owner's configuration has it."""

    agreement: Agreement = OPEN
    wish: Wish = Wish.IN_FORCE


class AgreementState(StrEnum):
    """Where an agreement is in its life: only IN_FORCE takes anything new, DRAINING and EXPIRED are to be left."""

    PROPOSED = "PROPOSED"
    IN_FORCE = "IN_FORCE"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    DRAINING = "DRAINING"
    TERMINATED = "TERMINATED"


ENDING = frozenset({AgreementState.DRAINING, AgreementState.EXPIRED})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agreement is in its life. version counts what the owner has changed of it since it was first proposed.

    deadline_ms is until when what runs may go on, 0 while there is no end in sight.
    """

    state: AgreementState = AgreementState.PROPOSED
    version: int = 1
    digest: str = ""
    deadline_ms: int = 0
    valid_until_ms: int = 0


def names(patterns: Sequence[str], zone: str) -> bool:
    """Whether any pattern names the zone; ``*`` stands for any characters, also none."""
    return any(_fits(pattern.split("*"), zone) for pattern in patterns)


def _fits(parts: list[str], text: str) -> bool:
    first, *others = parts
    if not others:
        return text == first
    if not text.startswith(first):
        return False
    at = len(first)
    for part in others[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(others[-1]) and len(text) - len(others[-1]) >= at

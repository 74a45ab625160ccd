"""What is written into a book of usage and read from it, here and at partners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hansa_control.domain.agreement import PriceVersion
from hansa_control.domain.usage import Period, UsageLine


@dataclass(frozen=True, slots=True)
class Enter:
    """Writes a line into the book of usage, in the place of one with the same key."""

    line: UsageLine


@dataclass(frozen=True, slots=True)
class Strike:
    """Takes settled lines out of the book: final ones between two operators that ended before a moment, and that the
    owner has told up to a sequence."""

    owner: str
    home: str
    before_ms: int
    upto_sequence: int


@dataclass(frozen=True, slots=True)
class LineQuery:
    """Lines of an owner's zones, of one home operator or (empty) of any, beyond a sequence, at most so many.

    In the order of their sequence, of which an owner gives each once. period: those that overlap it; tenant: those of
    its workloads; unfinished: those that are not final.
    """

    owner: str
    home: str = ""
    after: int = 0
    limit: int = 500
    period: Period | None = None
    tenant: str = ""
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class UsageCall:
    """Asks a partner for lines of its book between itself and the caller, of zones that ``owner`` owns.

    after: the last sequence that is known. kept: up to which sequence the caller, if it is the home operator, has every
    line on disk. With a period, only lines that overlap it. prices_after_ms: prices that came into force later are
    asked for; None asks for none.
    """

    owner: str
    after: int
    kept: int = 0
    limit: int = 500
    period: Period | None = None
    prices_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Lines in the order of their sequence; more says whether there are others after them.

    last_sequence is the newest change in the owner's book, or the newest that the home operator has taken over. prices
    are those that were asked for, oldest first.
    """

    lines: tuple[UsageLine, ...]
    more: bool
    last_sequence: int
    prices: tuple[PriceVersion, ...] = ()


class UsageSource(Protocol):
    """A partner's book of usage across the wire. OwnerUnreachable when it does not answer, RefusalError."""

    async def usage(self, call: UsageCall) -> UsagePage: ...

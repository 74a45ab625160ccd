"""What usage costs by the prices that two operators agreed on, worked out alike by both from their own books.

A price holds from when a version of the agreement came into force, on the owner's clock, until the next did, and only
while its list is valid. A run of a meter that spans a change is split there. What is alike (tenant, zone, pool, unit,
version and price) is one line of the bill: its seconds are added up first, and its amount is rounded once, to a
thousandth of the currency's unit, half to even. So an amount does not depend on how runs were cut into lines, and
splitting a line of the bill in two moves the sum by a thousandth at most.

Use without a valid price is said to be unpriced and has no amount, which is not the same as one of zero.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from hansa_control.domain.agreement import PRICE_VERSIONS_MAX, PRICES_MAX, PriceList, PriceVersion
from hansa_control.domain.usage import Period, UsageLine, counted_ms

HOUR_MS = 3_600_000


BEFORE = PriceVersion(0, "", 0)
"""From before anything was agreed."""


class Unit(StrEnum):
    """What is counted: accelerators times milliseconds, or thousandths of a core times milliseconds."""

    ACCELERATOR = "ACCELERATOR"
    CORE = "CORE"


class ChargeKey(NamedTuple):
    """A line of the bill. version 0 is from before anything was agreed; no currency means that there is no price."""

    tenant: str
    zone: str
    pool: str
    unit: Unit
    in_force_since_ms: int
    version: int
    digest: str
    currency: str
    price_milli_per_hour: int

    @property
    def is_priced(self) -> bool:
        return bool(self.currency)

    def amount_milli(self, used: int) -> int:
        """Thousandths of the currency's unit for what was used in all of the line; 0 if it is unpriced."""
        per_hour = HOUR_MS * (1_000 if self.unit is Unit.CORE else 1)
        return half_even(used * self.price_milli_per_hour, per_hour)


Charges = Mapping[ChargeKey, int]
"""By line of the bill what was used: accelerators (thousandths of a core) times milliseconds."""


class _Span(NamedTuple):
    """A time with the same prices throughout; prices None where none are valid. listed are those of accelerators."""

    period: Period
    of: PriceVersion
    prices: PriceList | None
    listed: Mapping[str, int]


def half_even(dividend: int, divisor: int) -> int:
    """The nearest integer to the quotient of two integers, the divisor above 0; of two as near the even one."""
    quotient, rest = divmod(dividend, divisor)
    return quotient + (2 * rest > divisor or (2 * rest == divisor and quotient % 2 == 1))


class Tariff:
    """The prices of a period, cut where they change; versions are oldest first. Made once, as there may be many."""

    def __init__(self, versions: Sequence[PriceVersion], period: Period) -> None:
        self._spans = list(_spans(versions, period))
        self._ends_ms = [span.period.until_ms for span in self._spans]
        self._period = period

    def add(self, charges: dict[ChargeKey, int], line: UsageLine) -> None:
        """Adds what a line used in the period to lines of the bill."""
        for span in self._spans[bisect_right(self._ends_ms, line.from_ms) :]:
            # As long as the meter runs nobody knows its end: it is counted to the end of the period, in each span.
            if line.until_ms and span.period.since_ms >= line.until_ms:
                break
            counted = counted_ms(line, span.period)
            if counted:
                for unit, amount in _amounts(line, span.prices):
                    key = _key(line, unit, span)
                    charges[key] = charges.get(key, 0) + amount * counted


def charge(
    used: Charges, lines: Iterable[UsageLine], versions: Sequence[PriceVersion], period: Period
) -> dict[ChargeKey, int]:
    """What was used by line of the bill, with more lines of a book in a period; versions are oldest first."""
    summed = dict(used)
    tariff = Tariff(versions, period)
    for line in lines:
        tariff.add(summed, line)
    return summed


def amounts(charges: Charges) -> dict[str, int]:
    """By currency the sum of the rounded lines, thousandths of its unit; without what is unpriced."""
    sums: dict[str, int] = {}
    for key, used in sorted(charges.items()):
        if key.is_priced:
            sums[key.currency] = sums.get(key.currency, 0) + key.amount_milli(used)
    return sums


def noted(known: tuple[PriceVersion, ...], now: PriceVersion, kept_since_ms: int = 0) -> tuple[PriceVersion, ...]:
    """The owner's versions with the one that holds from now on, unless it held before. Time does not go back.

    One beyond what can be kept is not noted, as no home operator would take it: the price before it goes on.
    """
    if known and (known[-1].version, known[-1].digest) == (now.version, now.digest):
        return known
    since_ms = max(now.since_ms, known[-1].since_ms + 1) if known else now.since_ms
    return _kept((*known, replace(now, since_ms=since_ms)), kept_since_ms) or known


class Learnt(NamedTuple):
    """A home operator's versions after it was told some, and which of those it does not take, each with the reason."""

    versions: tuple[PriceVersion, ...]
    refused: tuple[tuple[PriceVersion, str], ...] = ()


def learnt(
    known: tuple[PriceVersion, ...], told: Sequence[PriceVersion], *, least_ms: int = 0, kept_since_ms: int = 0
) -> Learnt:
    """A home operator's versions with those that the owner tells: what it said once it cannot take back.

    least_ms: what came into force earlier would have been told before, and is refused: no price changes afterwards.
    kept_since_ms: from when on use is kept in the book.
    """
    versions = known
    refused = []
    for one in sorted((one for one in told if one not in known), key=lambda one: one.since_ms):
        why = _objection(versions, one, least_ms)
        if not why:
            grown = _kept((*versions, one), kept_since_ms)
            why = "" if grown else f"more than {PRICE_VERSIONS_MAX} versions or {PRICES_MAX} prices, all of them in use"
            versions = grown or versions
        if why:
            refused.append((one, why))
    return Learnt(versions, tuple(refused))


def _objection(known: tuple[PriceVersion, ...], one: PriceVersion, least_ms: int) -> str:
    if known and one.since_ms <= known[-1].since_ms:
        return f"it is not after version {known[-1].version}, which was told before it"
    if one.since_ms < least_ms:
        return f"it is told after prices until {least_ms} were: it would change those of use that is over"
    return ""


def _kept(versions: tuple[PriceVersion, ...], kept_since_ms: int) -> tuple[PriceVersion, ...]:
    """As many of the versions as are kept; none if that would be too many. The oldest go, and only if all use under
    them ended before the book begins."""
    while len(versions) > PRICE_VERSIONS_MAX or sum(map(_size, versions)) > PRICES_MAX:
        if len(versions) < 2 or versions[1].since_ms > kept_since_ms:
            return ()
        versions = versions[1:]
    return versions


def _size(version: PriceVersion) -> int:
    return len(version.prices.accelerator_milli) if version.prices is not None else 0


def _spans(versions: Sequence[PriceVersion], period: Period) -> Iterator[_Span]:
    """The period cut where prices change; without gaps."""
    ends_ms = [one.since_ms for one in versions]
    for one, until_ms in zip((BEFORE, *versions), (*ends_ms, period.until_ms), strict=True):
        held = Period(max(one.since_ms, period.since_ms), min(until_ms, period.until_ms))
        inside = (at_ms for at_ms in _validity(one.prices) if held.since_ms < at_ms < held.until_ms)
        listed = dict(one.prices.accelerator_milli) if one.prices is not None else {}
        for since_ms, ends in pairwise(sorted({*held, *inside}) if held.since_ms < held.until_ms else ()):
            is_valid = one.prices is not None and one.prices.is_valid(since_ms)
            yield _Span(Period(since_ms, ends), one, one.prices if is_valid else None, listed)


def _validity(prices: PriceList | None) -> tuple[int, ...]:
    return (prices.valid_from_ms, prices.valid_until_ms) if prices is not None else ()


def _amounts(line: UsageLine, prices: PriceList | None) -> Iterator[tuple[Unit, int]]:
    """What of a line is charged for. Cores that have no price of their own come with the accelerators."""
    if line.accelerators:
        yield Unit.ACCELERATOR, line.accelerators
    has_price = prices is not None and prices.cpu_core_milli > 0
    if line.cpu_millis and (has_price or not line.accelerators):
        yield Unit.CORE, line.cpu_millis


def _key(line: UsageLine, unit: Unit, span: _Span) -> ChargeKey:
    price_milli = _price_milli(line.pool, unit, span)
    currency = span.prices.currency if span.prices is not None and price_milli is not None else ""
    where = (line.tenant, line.zone, line.pool, unit)
    return ChargeKey(*where, span.of.since_ms, span.of.version, span.of.digest, currency, price_milli or 0)


def _price_milli(pool: str, unit: Unit, span: _Span) -> int | None:
    """The price of an hour; None if the list has none. A pool's own comes before its model's."""
    if span.prices is None:
        return None
    if unit is Unit.CORE:
        return span.prices.cpu_core_milli or None
    return span.listed.get(pool, span.listed.get(pool.rpartition("/")[2]))

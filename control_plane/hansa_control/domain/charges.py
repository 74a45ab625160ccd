"""What usage costs by the prices that two operators agreed on, worked out alike by both from their own books.

A price holds from when a version of the agreement came into force, on the owner's clock, until the next did, and only
while its list is valid. A run of a meter that spans a change is split there. What is alike (tenant, zone, pool, unit,
version and price) is one line of the bill: its seconds are added up first, and its amount is rounded once, to a
thousandth of the currency's unit, half to even. So an amount does not depend on how runs were cut into lines, and
splitting a line of the bill in two moves the sum by a thousandth at most.

Use without a valid price is said to be unpriced and has no amount, which is not the same as one of zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from hansa_control.domain.agreement import PRICE_VERSIONS_MAX, PriceList, PriceVersion
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
    """A time with the same prices throughout; prices None where none are valid."""

    period: Period
    in_force_since_ms: int
    version: int
    digest: str
    prices: PriceList | None


def half_even(dividend: int, divisor: int) -> int:
    """The nearest integer to the quotient of two integers, the divisor above 0; of two as near the even one."""
    quotient, rest = divmod(dividend, divisor)
    return quotient + (2 * rest > divisor or (2 * rest == divisor and quotient % 2 == 1))


def charge(
    used: Charges, lines: Iterable[UsageLine], versions: Sequence[PriceVersion], period: Period
) -> dict[ChargeKey, int]:
    """What was used by line of the bill, with more lines of a book in a period; versions are oldest first."""
    summed = dict(used)
    spans = list(_spans(versions, period))
    for line in lines:
        for span in spans:
            # As long as the meter runs nobody knows its end: it is counted to the end of the period, in each span.
            counted = counted_ms(line, span.period)
            if counted:
                for unit, amount in _amounts(line, span.prices):
                    key = _key(line, unit, span)
                    summed[key] = summed.get(key, 0) + amount * counted
    return summed


def amounts(charges: Charges) -> dict[str, int]:
    """By currency the sum of the rounded lines, thousandths of its unit; without what is unpriced."""
    sums: dict[str, int] = {}
    for key, used in sorted(charges.items()):
        if key.is_priced:
            sums[key.currency] = sums.get(key.currency, 0) + key.amount_milli(used)
    return sums


def noted(known: tuple[PriceVersion, ...], now: PriceVersion) -> tuple[PriceVersion, ...]:
    """The owner's versions with the one that holds from now on, unless it held before. Time does not go back."""
    if known and (known[-1].version, known[-1].digest) == (now.version, now.digest):
        return known
    since_ms = max(now.since_ms, known[-1].since_ms + 1) if known else now.since_ms
    return (*known, replace(now, since_ms=since_ms))[-PRICE_VERSIONS_MAX:]


def learnt(known: tuple[PriceVersion, ...], told: Sequence[PriceVersion]) -> tuple[PriceVersion, ...]:
    """A home operator's versions with those that the owner tells: what it said once it cannot take back."""
    last_ms = known[-1].since_ms if known else 0
    later = sorted((one for one in told if one.since_ms > last_ms), key=lambda one: one.since_ms)
    return (*known, *later)[-PRICE_VERSIONS_MAX:]


def _spans(versions: Sequence[PriceVersion], period: Period) -> Iterator[_Span]:
    """The period cut where prices change; without gaps."""
    edges = sorted({period.since_ms, period.until_ms, *_changes(versions)})
    for since_ms, until_ms in pairwise(edges):
        if period.since_ms <= since_ms < period.until_ms:
            one = next((one for one in reversed(versions) if one.since_ms <= since_ms), BEFORE)
            prices = one.prices if one.prices is not None and one.prices.is_valid(since_ms) else None
            yield _Span(Period(since_ms, until_ms), one.since_ms, one.version, one.digest, prices)


def _changes(versions: Sequence[PriceVersion]) -> Iterator[int]:
    for one in versions:
        yield one.since_ms
        if one.prices is not None:
            yield from (one.prices.valid_from_ms, one.prices.valid_until_ms)


def _amounts(line: UsageLine, prices: PriceList | None) -> Iterator[tuple[Unit, int]]:
    """What of a line is charged for. Cores that have no price of their own come with the accelerators."""
    if line.accelerators:
        yield Unit.ACCELERATOR, line.accelerators
    has_price = prices is not None and prices.cpu_core_milli > 0
    if line.cpu_millis and (has_price or not line.accelerators):
        yield Unit.CORE, line.cpu_millis


def _key(line: UsageLine, unit: Unit, span: _Span) -> ChargeKey:
    price_milli = _price_milli(line.pool, unit, span.prices)
    currency = span.prices.currency if span.prices is not None and price_milli is not None else ""
    where = (line.tenant, line.zone, line.pool, unit)
    return ChargeKey(*where, span.in_force_since_ms, span.version, span.digest, currency, price_milli or 0)


def _price_milli(pool: str, unit: Unit, prices: PriceList | None) -> int | None:
    """The price of an hour; None if the list has none. A pool's own comes before its model's."""
    if prices is None:
        return None
    if unit is Unit.CORE:
        return prices.cpu_core_milli or None
    listed = dict(prices.accelerator_milli)
    return listed.get(pool, listed.get(pool.rpartition("/")[2]))

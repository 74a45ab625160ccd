"""What usage costs, for people: the bill by both books, line by line, with the price and the agreement that held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hansa.cli.documents import Cell, Line, Styled, Table, line
from hansa.cli.figures import seconds, timestamp
from hansa.v1 import usage_pb2

CORE_MILLIS = 1_000
_WHAT = ("TENANT", "ZONE", "POOL", "V")


class _Key(NamedTuple):
    """A line of the bill, in the order in which it is shown."""

    tenant: str
    zone: str
    pool: str
    unit: int
    since_ms: int
    version: int
    digest: str
    currency: str
    price_milli: int


def charges_document(settlement: usage_pb2.UsageSettlement, *, wide: bool) -> list[Line | Table]:
    """The bill of one direction; empty where nothing was used."""
    home, owner = _by_key(settlement.home_charges), _by_key(settlement.owner_charges)
    keys = sorted({*home, *owner})
    if not keys:
        return []
    sides = (settlement.home_operator, settlement.owner_operator) if wide else ("AMOUNT",)
    rows = tuple(_row(key, home.get(key), owner.get(key), wide=wide) for key in keys)
    headers = (*_WHAT, "PRICE/H", "SECONDS", *sides)
    table = Table(headers, rows, right=frozenset(range(4, len(headers))))
    document: list[Line | Table] = [line(), line(Styled("Amounts", "bold")), table]
    document += [line(text) for text in _sums(settlement)]
    document += [line(Styled(text, "dim")) for text in _agreements(keys)]
    differing = tuple(
        _difference(key, home.get(key), owner.get(key)) for key in keys if home.get(key) != owner.get(key)
    )
    if differing:
        document += [line(), line(Styled(f"More by {settlement.owner_operator}'s book", "bold"))]
        document.append(Table((*_WHAT, "SECONDS", "AMOUNT"), differing, right=frozenset({4, 5})))
    return document


def has_same_bill(settlement: usage_pb2.UsageSettlement) -> bool:
    """Whether both books charge the same. An older control plane tells of no charges and has none to differ in."""
    return _by_key(settlement.home_charges) == _by_key(settlement.owner_charges)


def _by_key(charges: Iterable[usage_pb2.UsageCharge]) -> dict[_Key, usage_pb2.UsageCharge]:
    return {
        _Key(
            one.tenant,
            one.zone,
            one.pool,
            one.unit,
            one.in_force_since_ms,
            one.agreement_version,
            one.agreement_digest,
            one.currency,
            one.price_milli_per_hour,
        ): one
        for one in charges
    }


def _row(
    key: _Key, home: usage_pb2.UsageCharge | None, owner: usage_pb2.UsageCharge | None, *, wide: bool
) -> tuple[Cell, ...]:
    told = owner if owner is not None else home
    shown = (_amount(home), _amount(owner)) if wide else (_amount(told),)
    price = f"{money(key.price_milli)} {key.currency}" if key.currency else "unpriced"
    return (*_what(key), price, seconds(told.used if told is not None else 0, _divisor(key)), *shown)


def _what(key: _Key) -> tuple[Cell, ...]:
    is_core = key.unit == usage_pb2.USAGE_UNIT_CORE
    pool = f"{key.pool} cores".strip() if is_core else key.pool
    return key.tenant, key.zone, pool, f"v{key.version}" if key.version else "-"


def _divisor(key: _Key) -> int:
    return CORE_MILLIS if key.unit == usage_pb2.USAGE_UNIT_CORE else 1


def _amount(charge: usage_pb2.UsageCharge | None) -> Cell:
    if charge is None:
        return Styled("none", "red")
    return Styled("unpriced", "yellow") if charge.unpriced else money(charge.amount_milli)


def _difference(key: _Key, home: usage_pb2.UsageCharge | None, owner: usage_pb2.UsageCharge | None) -> tuple[Cell, ...]:
    """What the owner counts more, in seconds and in money; what has no price has no amount."""
    by_home, by_owner = home or usage_pb2.UsageCharge(), owner or usage_pb2.UsageCharge()
    more = money(by_owner.amount_milli - by_home.amount_milli, signed=True) if key.currency else "unpriced"
    used = seconds(by_owner.used - by_home.used, _divisor(key), signed=True)
    return (*_what(key), Styled(used, "red"), Styled(more, "red"))


def _sums(settlement: usage_pb2.UsageSettlement) -> list[str]:
    home = {one.currency: one.amount_milli for one in settlement.home_amounts}
    owner = {one.currency: one.amount_milli for one in settlement.owner_amounts}
    texts = []
    for currency in sorted({*home, *owner}):
        less, more = home.get(currency, 0), owner.get(currency, 0)
        told = f"{settlement.home_operator} {money(less)}, {settlement.owner_operator} {money(more)}"
        texts.append(f"total {currency}: {told}, difference {money(more - less, signed=True)}")
    for unit, name, divisor in (
        (usage_pb2.USAGE_UNIT_ACCELERATOR, "accelerator-s", 1),
        (usage_pb2.USAGE_UNIT_CORE, "core-s", CORE_MILLIS),
    ):
        used = sum(one.used for one in settlement.owner_charges if one.unpriced and one.unit == unit)
        if used:
            texts.append(f"unpriced: {seconds(used, divisor)} {name} by {settlement.owner_operator}'s book")
    return texts


def _agreements(keys: Iterable[_Key]) -> list[str]:
    """Which agreement each version was; the digest in full is in -o json."""
    known: Mapping[tuple[int, int, str], None] = dict.fromkeys(
        (key.since_ms, key.version, key.digest) for key in sorted(keys, key=lambda key: key.since_ms) if key.version
    )
    return [f"v{version}: in force from {timestamp(since)}, {digest[:19]}" for since, version, digest in known]


def money(milli: int, *, signed: bool = False) -> str:
    """Thousandths of a currency's unit, for example "1,204.500"; "0" is exactly that where it is signed."""
    if not milli and signed:
        return "0"
    sign = "-" if milli < 0 else "+" if signed else ""
    whole, rest = divmod(abs(milli), 1_000)
    return f"{sign}{whole:,}.{rest:03d}"

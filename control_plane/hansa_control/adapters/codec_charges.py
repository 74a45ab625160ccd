"""Prices between operators on the wire, both ways, and what usage costs, outward."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from hansa.v1 import usage_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.application.ports import RefusalError
from hansa_control.domain.agreement import PRICE_VERSIONS_MAX, PriceList, PriceVersion
from hansa_control.domain.charges import ChargeKey, Charges, Unit, amounts
from hansa_control.domain.model import Reason

MODELS_MAX = 100
MODEL_LENGTH_MAX = 127
MILLI_MAX = 10**9
"""As the owner's own agreements file has it: a million units of the currency an hour."""
VERSION_MAX = 2**31 - 1
NUMBER_MAX = 2**63 - 1

_CURRENCY = re.compile(r"[A-Z]{3}")

UNITS = fields.EnumCodec(Unit, usage_pb2.UsageUnit, "USAGE_UNIT")


def prices_in(wires: Sequence[usage_pb2.UsagePrices], path: str) -> tuple[PriceVersion, ...]:
    """The versions that a partner tells; refused unless each came into force after the one before."""
    fields.bounded(wires, PRICE_VERSIONS_MAX, path)
    versions = tuple(_version_in(wire, f"{path}[{at}]") for at, wire in enumerate(wires))
    for at, (before, after) in enumerate(pairwise(versions)):
        if after.since_ms <= before.since_ms:
            least = before.since_ms + 1
            message = f"{after.since_ms} is not after the version before; the nearest is {least}"
            raise fields.refused(f"{path}[{at + 1}].in_force_since_ms", message)
    return versions


def _version_in(wire: usage_pb2.UsagePrices, path: str) -> PriceVersion:
    return PriceVersion(
        version=fields.range_in(wire.agreement_version, (1, VERSION_MAX), f"{path}.agreement_version"),
        digest=fields.digest_in(wire.agreement_digest, f"{path}.agreement_digest"),
        since_ms=fields.range_in(wire.in_force_since_ms, (1, fields.TIME_MS_MAX), f"{path}.in_force_since_ms"),
        prices=_list_in(wire, path) if wire.currency else None,
    )


def _list_in(wire: usage_pb2.UsagePrices, path: str) -> PriceList:
    fields.bounded(wire.accelerators, MODELS_MAX, f"{path}.accelerators")
    listed = [
        (
            _model_in(one.model, f"{path}.accelerators[{at}].model"),
            fields.range_in(one.milli_per_hour, (0, MILLI_MAX), f"{path}.accelerators[{at}].milli_per_hour"),
        )
        for at, one in enumerate(wire.accelerators)
    ]
    fields.distinct([model for model, _ in listed], f"{path}.accelerators")
    return PriceList(
        currency=_currency_in(wire.currency, f"{path}.currency"),
        accelerator_milli=tuple(sorted(listed)),
        cpu_core_milli=fields.range_in(wire.cpu_core_milli_per_hour, (0, MILLI_MAX), f"{path}.cpu_core_milli_per_hour"),
        valid_from_ms=fields.time_ms_in(wire.valid_from_ms, f"{path}.valid_from_ms"),
        valid_until_ms=fields.time_ms_in(wire.valid_until_ms, f"{path}.valid_until_ms"),
    )


def _model_in(value: str, path: str) -> str:
    if len(value) > MODEL_LENGTH_MAX:
        raise fields.refused(path, f"has {len(value)} characters; at most {MODEL_LENGTH_MAX} are taken")
    return fields.required_text_in(value, path)


def _currency_in(value: str, path: str) -> str:
    if not _CURRENCY.fullmatch(value):
        raise fields.refused(path, f"{value[:60]!r} is no currency of ISO 4217, for example EUR")
    return value


def prices_out(versions: Iterable[PriceVersion]) -> list[usage_pb2.UsagePrices]:
    return [_version_out(version) for version in versions]


def _version_out(version: PriceVersion) -> usage_pb2.UsagePrices:
    wire = usage_pb2.UsagePrices(
        agreement_version=version.version,
        agreement_digest=version.digest,
        in_force_since_ms=version.since_ms,
    )
    if version.prices is not None:
        prices = version.prices
        wire.currency, wire.cpu_core_milli_per_hour = prices.currency, prices.cpu_core_milli
        wire.valid_from_ms, wire.valid_until_ms = prices.valid_from_ms, prices.valid_until_ms
        for model, milli in prices.accelerator_milli:
            wire.accelerators.add(model=model, milli_per_hour=milli)
    return wire


def charges_out(charges: Charges, path: str) -> list[usage_pb2.UsageCharge]:
    """Lines of the bill; refused with its name if one is of a number that the wire does not have."""
    return [_charge_out(key, used, f"{path}[{at}]") for at, (key, used) in enumerate(sorted(charges.items()))]


def _charge_out(key: ChargeKey, used: int, path: str) -> usage_pb2.UsageCharge:
    line = f"{key.tenant}, {key.zone}, {key.pool} by version {key.version}"
    return usage_pb2.UsageCharge(
        tenant=key.tenant,
        zone=key.zone,
        pool=key.pool,
        unit=UNITS.out(key.unit),
        used=told(used, f"{path}.used", line),
        agreement_version=key.version,
        agreement_digest=key.digest,
        in_force_since_ms=key.in_force_since_ms,
        unpriced=not key.is_priced,
        currency=key.currency,
        price_milli_per_hour=key.price_milli_per_hour,
        amount_milli=told(key.amount_milli(used), f"{path}.amount_milli", line) if key.is_priced else None,
    )


def amounts_out(charges: Charges, path: str) -> list[usage_pb2.UsageAmount]:
    """By currency the sum of the bill; refused with the currency if the wire does not have the number."""
    sums = sorted(amounts(charges).items())
    return [
        usage_pb2.UsageAmount(currency=currency, amount_milli=told(milli, f"{path}[{at}].amount_milli", currency))
        for at, (currency, milli) in enumerate(sums)
    ]


def told(number: int, path: str, line: str) -> int:
    """A number of 64 bits. What a partner tells may add up to more: that is refused with what it is a number of."""
    if abs(number) > NUMBER_MAX:
        raise RefusalError(Reason.UNAVAILABLE, f"{line}: {number} is beyond {NUMBER_MAX}; take a shorter period", path)
    return number

"""The operator's agreements with those who may use its zones, as it writes them: YAML in, domain values out, strictly.

    kind: Agreements
    partners:
      fjordby:
        standing: in-force                  # or suspended; or terminated: the partner must leave within the notice
        reference: contract 2026-17         # the operators' own name of it
        zones: ["oslo-*", bergen-1]         # that the partner may use; all if it is left out
        disclose:                           # the first that names a zone counts; what none names is shown as it is
          - {zones: ["*"], place: coarse, room: bands, most: {accelerators: 4, cpu_cores: 32, memory_gib: 128}}
        network: abstract                   # gateways, zones and virtual links alone; full if it is left out
        gateways: [oslo-gw]                 # nodes that an abstract network shows besides those where links leave it
        quotas:                             # all that name a zone count
          - {zones: ["*"], of: all, accelerators: 8, cpu_cores: 64, memory_gib: 256, claims: 20}
          - {zones: ["oslo-*"], of: each, accelerators: 2}
        reoffer: {zones: ["oslo-*"], to: [nordavind]}   # what it may offer on, and to whom (or: any)
        passes_on: ["waldnetz/berlin-*"]    # other operators' zones that are offered on to the partner; else none
        prices: {currency: EUR, accelerator_hour: {L40S: 1.2, nvidia/H100: 3}, cpu_core_hour: 0.03}
        terms: {valid_from: 2026-01-01, valid_until: 2027-01-01, notice: 48h}

A day stands for its first moment, UTC; a moment may be written 2026-11-01T18:00:00Z. Prices may have a validity, too.
A partner that is not in the file has no agreement: it gets nothing new, and what it has is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from hansa.names import hint
from hansa.yaml_tree import YamlValue, read_yaml_file
from hansa_control.domain.agreement import (
    ANYBODY,
    EVERYWHERE,
    Agreement,
    Amounts,
    Disclosure,
    NetworkShown,
    PlaceShown,
    PriceList,
    Quota,
    Reoffer,
    RoomShown,
    Stance,
    Terms,
    Wish,
)

_AGREED = (
    *("reference", "zones", "disclose", "network", "gateways", "quotas", "prices", "terms"),
    *("reoffer", "passes_on"),
)
_AMOUNTS = ("accelerators", "cpu_cores", "memory_gib")
_PATTERN = re.compile(r"[a-z0-9*-]{1,63}")
_OPERATOR = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_ZONE_ELSEWHERE = re.compile(r"[a-z0-9*-]{1,63}/[a-z0-9*-]{1,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_POOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/ +-]{0,126}")
_NOTICE = re.compile(r"([0-9]{1,6})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")
_COUNT_MAX, _CORES_MAX, _GIB_MAX, _PRICE_MAX = 1_000_000, 1_000_000, 1_000_000, 1_000_000
_NOTICE_DAYS_MAX = 3_650
_LISTED_MAX = 100
_REFERENCE_LENGTH_MAX = 200

WordT = TypeVar("WordT", bound=StrEnum)


def load_agreements(path: Path, partners: Collection[str], nodes: Collection[str] = ()) -> Mapping[str, Stance]:
    """Reads an agreements file; ``partners`` are those of the configuration, and no other may be in it; ``nodes`` are
    those of the operator's network, and no other may be a gateway.

    Raises HansaError NOT_FOUND, or INVALID_FIELD with file, line and field.
    """
    parts = read_yaml_file(path).mapping(("kind", "partners"))
    parts["kind"].one_of(("Agreements",))
    found: dict[str, Stance] = {}
    for name, value in parts["partners"].named():
        if name not in partners:
            raise value.error(f"{name!r} is no partner of the configuration{hint(name, partners)}")
        found[name] = stance_in(value, nodes)
    return MappingProxyType(found)


def stance_in(value: YamlValue, nodes: Collection[str]) -> Stance:
    """What is agreed with one partner, as it stands in the file; ``nodes`` are those that may be gateways."""
    parts = value.mapping(("standing",), _AGREED)
    network = _word(parts["network"], NetworkShown) if "network" in parts else NetworkShown.FULL
    agreement = Agreement(
        reference=_reference(parts["reference"]) if "reference" in parts else "",
        zones=_zones(parts.get("zones")),
        disclosures=tuple(_disclosure(one) for one in _several(parts.get("disclose"))),
        quotas=tuple(_quota(one) for one in _several(parts.get("quotas"))),
        prices=_prices(parts["prices"]) if "prices" in parts else None,
        terms=_terms(parts["terms"]) if "terms" in parts else Terms(),
        network=network,
        gateways=_gateways(parts["gateways"], network, nodes) if "gateways" in parts else (),
        reoffer=_reoffer(parts["reoffer"]) if "reoffer" in parts else Reoffer(),
        passes_on=_passes_on(parts["passes_on"]) if "passes_on" in parts else (),
    )
    return Stance(agreement, _word(parts["standing"], Wish))


def _reoffer(value: YamlValue) -> Reoffer:
    """Both must be said: what may be offered on is nothing that anybody should get by leaving something out."""
    parts = value.mapping(("zones", "to"))
    if parts["to"].is_scalar and parts["to"].text() == "any":
        return Reoffer(_zones(parts["zones"]), ANYBODY)
    found = [(one, one.text()) for one in _several(parts["to"])]
    for one, text in found:
        if not _OPERATOR.fullmatch(text):
            raise one.error(f"{text!r} is no operator's name; nearest valid: names of operators, or to: any")
    return Reoffer(_zones(parts["zones"]), tuple(sorted({text for _, text in found})))


def _passes_on(value: YamlValue) -> tuple[str, ...]:
    found = [(one, one.text()) for one in _several(value)]
    for one, text in found:
        if not _ZONE_ELSEWHERE.fullmatch(text):
            raise one.error(f"{text!r} is no zone of another operator, for example waldnetz/berlin-*")
    return tuple(text for _, text in found)


def _reference(value: YamlValue) -> str:
    text = value.text()
    if len(text) > _REFERENCE_LENGTH_MAX or not text.isprintable():
        raise value.error(f"must be at most {_REFERENCE_LENGTH_MAX} characters that can be printed")
    return text


def _several(value: YamlValue | None) -> list[YamlValue]:
    found = [] if value is None else list(value.items())
    if value is not None and not 0 < len(found) <= _LISTED_MAX:
        raise value.error(f"must have 1 to {_LISTED_MAX} elements, or be left out")
    return found


def _zones(value: YamlValue | None) -> tuple[str, ...]:
    """Names of zones and patterns; an empty list would offer nothing, which is what suspending is for."""
    if value is None:
        return EVERYWHERE
    found = [(one, one.text()) for one in _several(value)]
    for one, text in found:
        if not _PATTERN.fullmatch(text):
            raise one.error(f"{text!r} is no zone name, nor one with * in it, for example oslo-*")
    return tuple(text for _, text in found)


def _gateways(value: YamlValue, network: NetworkShown, nodes: Collection[str]) -> tuple[str, ...]:
    if network is not NetworkShown.ABSTRACT:
        raise value.error(
            "says nothing where the whole network is shown; nearest valid: network: abstract, or no gateways"
        )
    found = [(one, one.text()) for one in _several(value)]
    for one, text in found:
        if text not in nodes:
            raise one.error(f"{text!r} is no node of the network{hint(text, nodes)}")
    return tuple(sorted({text for _, text in found}))


def _disclosure(value: YamlValue) -> Disclosure:
    parts = value.mapping((), ("zones", "place", "room", "most"))
    return Disclosure(
        zones=_zones(parts.get("zones")),
        place=_word(parts["place"], PlaceShown) if "place" in parts else PlaceShown.EXACT,
        room=_word(parts["room"], RoomShown) if "room" in parts else RoomShown.EXACT,
        most=_amounts(parts["most"].mapping((), _AMOUNTS)) if "most" in parts else Amounts(),
    )


def _quota(value: YamlValue) -> Quota:
    parts = value.mapping((), ("zones", "of", *_AMOUNTS, "claims"))
    if not parts.keys() & {*_AMOUNTS, "claims"}:
        raise value.error(f"bounds nothing; name at least one of {', '.join((*_AMOUNTS, 'claims'))}")
    return Quota(
        zones=_zones(parts.get("zones")),
        each="of" in parts and parts["of"].one_of(("all", "each")) == "each",
        most=_amounts(parts),
        claims=parts["claims"].integer(0, _COUNT_MAX) if "claims" in parts else None,
    )


def _amounts(parts: Mapping[str, YamlValue]) -> Amounts:
    return Amounts(
        accelerators=parts["accelerators"].integer(0, _COUNT_MAX) if "accelerators" in parts else None,
        cpu_millis=parts["cpu_cores"].scaled(1_000, most=_CORES_MAX, least=0) if "cpu_cores" in parts else None,
        memory_mib=parts["memory_gib"].scaled(1_024, most=_GIB_MAX, least=0) if "memory_gib" in parts else None,
    )


def _prices(value: YamlValue) -> PriceList:
    parts = value.mapping(("currency",), ("accelerator_hour", "cpu_core_hour", "valid_from", "valid_until"))
    currency = parts["currency"].text()
    if not _CURRENCY.fullmatch(currency):
        raise parts["currency"].error(f"{currency!r} is no currency of ISO 4217, for example EUR")
    listed = tuple(parts["accelerator_hour"].named()) if "accelerator_hour" in parts else ()
    if len(listed) > _LISTED_MAX:
        raise parts["accelerator_hour"].error(f"has {len(listed)} elements; at most {_LISTED_MAX} are taken")
    valid_from_ms, valid_until_ms = _validity(parts)
    return PriceList(
        currency=currency,
        accelerator_milli=tuple(sorted(_price(name, price) for name, price in listed)),
        cpu_core_milli=_milli(parts["cpu_core_hour"]) if "cpu_core_hour" in parts else 0,
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_until_ms,
    )


def _price(name: str, value: YamlValue) -> tuple[str, int]:
    if not _POOL.fullmatch(name):
        raise value.error(f"{name!r} is no accelerator, for example L40S or nvidia/H100")
    return name, _milli(value)


def _milli(value: YamlValue) -> int:
    return value.scaled(1_000, most=_PRICE_MAX, least=0)


def _terms(value: YamlValue) -> Terms:
    parts = value.mapping((), ("valid_from", "valid_until", "notice"))
    valid_from_ms, valid_until_ms = _validity(parts)
    notice_ms = _notice_ms(parts["notice"]) if "notice" in parts else Terms().notice_ms
    return Terms(valid_from_ms, valid_until_ms, notice_ms)


def _notice_ms(value: YamlValue) -> int:
    found = _NOTICE.fullmatch(value.text())
    if found is None:
        raise value.error(f"{value.text()!r} is no notice, for example 48h, 30d, 90m or 600s")
    notice_ms = int(found[1]) * _UNIT_MS[found[2]]
    if notice_ms > _NOTICE_DAYS_MAX * _UNIT_MS["d"]:
        raise value.error(f"{found[0]} is longer than ten years; nearest valid: {_NOTICE_DAYS_MAX}d")
    return notice_ms


def _validity(parts: Mapping[str, YamlValue]) -> tuple[int, int]:
    """From when until when, milliseconds; 0 where it is not said."""
    from_ms, until_ms = (_moment_ms(parts[key]) if key in parts else 0 for key in ("valid_from", "valid_until"))
    if until_ms and until_ms <= from_ms:
        raise parts["valid_until"].error("is not after valid_from")
    return from_ms, until_ms


def _moment_ms(value: YamlValue) -> int:
    text = value.text()
    if not _MOMENT.fullmatch(text):
        raise value.error(f"{text!r} is no moment, for example 2026-11-01 or 2026-11-01T18:00:00Z")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise value.error(f"{text!r} is no moment: {error}") from error
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1_000


def _word(value: YamlValue, words: type[WordT]) -> WordT:
    """A word of an enumeration, as it is written in files: in lower case with hyphens."""
    return words(value.one_of(_written(words)).upper().replace("-", "_"))


def _written(words: Iterable[StrEnum]) -> list[str]:
    return [word.value.lower().replace("_", "-") for word in words]

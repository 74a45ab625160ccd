"""What a fact may say, by its kind, so that a wrong one is found at the agent's start and not by the operator."""

from __future__ import annotations

import re

from hansa.countries import COUNTRIES, nearest_country

CARBON_GCO2_PER_KWH_MAX = 10_000
_COUNTRY_KINDS = frozenset(
    {
        "SITE_COUNTRY",
        "HEADQUARTERS_COUNTRY",
        "ULTIMATE_PARENT_COUNTRY",
        "OPERATION_COUNTRY",
        "SUPPORT_COUNTRY",
    }
)
_WHOLE_NUMBERS = {"CARBON_GCO2_PER_KWH": CARBON_GCO2_PER_KWH_MAX, "RENEWABLE_PERCENT": 100}
_PERCENT = re.compile(r"100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?")
_LAW = re.compile(r"[A-Z0-9][A-Z0-9.-]{0,62}")
_TECHNOLOGY = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,62}")


def problem_of(kind: str, value: str) -> str:
    """What is wrong with a fact's value, with the nearest valid one; empty if nothing is."""
    if kind in _COUNTRY_KINDS:
        return _country_problem(value)
    if kind in _WHOLE_NUMBERS:
        return _number_problem(value, _WHOLE_NUMBERS[kind])
    if kind == "FOREIGN_SHARE_PERCENT":
        return (
            "" if _PERCENT.fullmatch(value) else f"{value!r} is no percentage from 0 to 100 with at most two decimals"
        )
    if kind == "EXTRATERRITORIAL_LAW":
        return "" if value == "none" else _folded_problem(value, _LAW, value.upper(), "the name of a law, or none")
    if kind == "ATTESTATION":
        return _folded_problem(value, _TECHNOLOGY, value.lower(), "a technology, for example intel-tdx")
    return "" if _NAME.fullmatch(value) else f"{value!r} is no name of 1 to 63 letters, digits, blanks and . _ : / -"


def _country_problem(value: str) -> str:
    if value in COUNTRIES:
        return ""
    near = nearest_country(value)
    return f"{value!r} is no country code of ISO 3166-1 alpha-2{f'; did you mean {near}?' if near else ''}"


def _number_problem(value: str, most: int) -> str:
    if not (value.isascii() and value.isdigit()):
        return f"{value!r} is no whole number from 0 to {most}"
    return "" if len(value) <= 9 and int(value) <= most else f"{value} is more than {most}; nearest valid: {most}"


def _folded_problem(value: str, pattern: re.Pattern[str], cased: str, what: str) -> str:
    if pattern.fullmatch(value):
        return ""
    folded = re.sub(r"[ _]+", "-", cased.strip())
    return f"{value!r} is not {what}{f'; did you mean {folded}?' if pattern.fullmatch(folded) else ''}"

"""The words that parts of a scenario file are made of: names, countries, days, rates, times."""

from __future__ import annotations

from datetime import date
from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hansa.countries import COUNTRIES, country_hint


def known_country(code: str) -> str:
    """The code, if it is one; ValueError with the nearest otherwise."""
    if code not in COUNTRIES:
        raise ValueError(f"{code!r} is not an ISO 3166-1 alpha-2 country code such as NO{country_hint(code)}")
    return code


def _day(value: object) -> object:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is not a day such as 2026-11-01") from None


_WHOLE_MAX = 1e15
"""Below it, a whole number is written with all its digits."""

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]+(-+[a-z0-9]+)*$")]
Country = Annotated[str, AfterValidator(known_country)]
Day = Annotated[date, BeforeValidator(_day)]
Rate = Annotated[float, Field(ge=0.001, le=10_000_000, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0.001, le=3_600_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)]
Percent = Annotated[int, Field(ge=0, le=100)]


def number_meant(text: str) -> str | None:
    """How YAML 1.1 wants the number written that a text says, such as ``1000000`` for ``1e6``, which it takes for a
    text; None where the text says none.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    if not isfinite(value):
        return None
    if value.is_integer() and abs(value) < _WHOLE_MAX:
        return str(int(value))
    digits, _, exponent = repr(value).partition("e")
    return digits if not exponent else f"{digits if '.' in digits else digits + '.0'}e{int(exponent):+d}"


class Part(BaseModel):
    """A part of a scenario: unknown keys are errors, numbers are numbers, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

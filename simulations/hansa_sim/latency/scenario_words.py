"""The words that parts of a scenario file are made of: names, countries, days, rates, times."""

from __future__ import annotations

from datetime import date
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


Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]+(-+[a-z0-9]+)*$")]
Country = Annotated[str, AfterValidator(known_country)]
Day = Annotated[date, BeforeValidator(_day)]
Rate = Annotated[float, Field(ge=0.001, le=10_000_000, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0.001, le=3_600_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)]
Percent = Annotated[int, Field(ge=0, le=100)]


class Part(BaseModel):
    """A part of a scenario: unknown keys are errors, numbers are numbers, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

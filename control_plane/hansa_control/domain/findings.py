"""What a check says: a finding for each constraint, in words, and sets of countries in words."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from hansa_control.domain.model import ConstraintResult, Reason
from hansa_control.domain.policy import Countries
from hansa_control.domain.units import format_set

NO_COUNTRY = "no country"


class Finding(NamedTuple):
    """A constraint as evaluated; reason is None where it holds."""

    reason: Reason | None
    result: ConstraintResult


def finding(reason: Reason | None, constraint: str, measured: str, bound: str, evidence: str) -> Finding:
    """A finding from its words."""
    return Finding(reason, ConstraintResult(constraint, measured, bound, evidence))


@lru_cache(maxsize=1_024)
def format_countries(countries: Countries) -> str:
    """A set of countries for people: ``{NO,SE}``, ``any but {RU}``, ``{NO,SE} but {SE}``; ``no country`` if empty."""
    if countries.allowed is not None and not countries.allowed - countries.denied:
        return NO_COUNTRY
    allowed = "any" if countries.allowed is None else format_set(countries.allowed)
    return f"{allowed} but {format_set(countries.denied)}" if countries.denied else allowed

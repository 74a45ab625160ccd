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
    """A set of countries for people: ``{NO,SE}``, ``any but {RU}``, ``{NO,SE} but not {SE}``; ``no country`` if empty.

    What is denied beside an allow-list is told where the list has it; elsewhere it is not allowed anyhow.
    """
    if countries.allowed is None:
        return f"any but {format_set(countries.denied)}" if countries.denied else "any"
    if not countries.allowed - countries.denied:
        return NO_COUNTRY
    denied = countries.allowed & countries.denied
    return f"{format_set(countries.allowed)} but not {format_set(denied)}" if denied else format_set(countries.allowed)

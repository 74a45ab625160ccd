"""Figures as facts state them, in text."""

from __future__ import annotations

from decimal import Decimal

NUMBER_LENGTH_MAX = 9


def whole_number(value: str) -> int | None:
    """The whole number, zero or more, that a text says; None where it says none."""
    is_number = value.isascii() and value.isdigit() and len(value) <= NUMBER_LENGTH_MAX
    return int(value) if is_number else None


def percentage(value: str) -> Decimal | None:
    """The percentage from 0 to 100 with at most two decimals that a text says; None where it says none."""
    whole, point, decimals = value.partition(".")
    digits = whole + decimals
    if not (whole and digits.isascii() and digits.isdigit() and bool(point) == bool(decimals)):
        return None
    if len(whole) > 3 or len(decimals) > 2:
        return None
    share = Decimal(value)
    return share if share <= 100 else None

"""Durations and moments as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hansa.errors import invalid_field

_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str, field: str) -> int:
    """``90s``, ``10m``, ``2h`` or ``1d``, milliseconds; raises HansaError INVALID_FIELD."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise invalid_field(field, f"{text!r} is no duration; expected a number and s, m, h or d, for example 10m")
    return int(found[1]) * _UNIT_MS[found[2]]


def moment_ms(text: str, field: str) -> int:
    """ISO 8601, UTC where no offset is given, milliseconds since the Unix epoch; raises HansaError INVALID_FIELD."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid_field(field, f"{text!r} is no time; expected ISO 8601, for example 2026-11-30T02:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)

"""Moments as people write them on the command line, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hansa.errors import HansaError

_MONTH = re.compile(r"(\d{4})-(\d{2})")


def moment_ms(text: str, option: str) -> int:
    """A month (2026-11), a day (2026-11-22) or a time (2026-11-22T10:30, or with an offset) as Unix milliseconds; its
    first moment. HansaError INVALID_FIELD with the option's name.
    """
    written = f"{text}-01" if _MONTH.fullmatch(text) else text
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        message = f"{text!r} is no moment; write a month (2026-11), a day (2026-11-22) or a time (2026-11-22T10:30Z)"
        raise HansaError("INVALID_FIELD", message, field=option) from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def month_began_ms(now_ms: int) -> int:
    """The first moment of the present month."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return round(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1000)

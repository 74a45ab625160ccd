"""By how much this machine's clock may be off, as the kernel says or as somebody vouches for it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_TIMEX_BYTES = 256
_TIME_ERROR = 5
_MAXERROR_AT = 3
"""The fourth long of struct timex: modes (padded to a long), offset, freq, maxerror (microseconds). adjtimex(2)."""

ClockError = Callable[[], int | None]
"""Microseconds that the clock may be off at most; None where it follows no time source, or nobody says."""


def unknown_error() -> int | None:
    """Nobody says."""
    return None


def kernel_error_us() -> int | None:
    """What the kernel says (adjtimex(2)); None also where it may not be asked, as in a unit with ProtectClock."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = getattr(ctypes.CDLL(None), "adjtimex", lambda _: -1)(buffer)
    if state in (-1, _TIME_ERROR):
        return None
    error_us = int((ctypes.c_long * (_MAXERROR_AT + 1)).from_buffer(buffer)[_MAXERROR_AT])
    return error_us if error_us > 0 else None


def vouched(error_us: int) -> ClockError:
    """What the configuration says."""
    return lambda: error_us

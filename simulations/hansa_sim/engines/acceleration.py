"""Whether loops over requests are compiled: with numba (``pip install 'hansa[sim-fast]'``) they are, and take a tenth
of the time or less; the results are the same to the last bit.

Functions marked ``jitted`` are written in the part of Python that numba compiles, and run as they are without it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar, cast

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Speed(StrEnum):
    """Which form of the loops a run takes; AUTO is COMPILED where numba is installed, else PLAIN.

    COMPILED without numba interprets the same loops: slower than PLAIN, and for tests only.
    """

    AUTO = "AUTO"
    PLAIN = "PLAIN"
    COMPILED = "COMPILED"


try:
    from numba import njit
except ImportError:
    HAS_NUMBA = False
else:
    HAS_NUMBA = True


def jitted(function: FunctionT) -> FunctionT:
    """Compiles a function when it is first called, keeping the outcome on disk where there is a place for it."""
    if not HAS_NUMBA:
        return function
    compiled: Any
    try:
        compiled = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder may be written to: compiled anew in every process
        compiled = njit(nogil=True)(function)
    return cast(FunctionT, compiled)


def is_compiled(speed: Speed) -> bool:
    """Whether a run at that speed takes the loops for compiling."""
    return speed == Speed.COMPILED or (speed == Speed.AUTO and HAS_NUMBA)

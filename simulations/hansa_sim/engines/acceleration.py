"""Whether loops over requests are compiled: with numba (``pip install 'hansa[sim-fast]'``) they are, and take a tenth
of the time or less; the results are the same to the last bit.

Functions marked ``jitted`` are written in the part of Python that numba compiles, and run as they are without it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
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
    from numba import config, njit
except ImportError:
    HAS_NUMBA = False
else:
    HAS_NUMBA = True


def jitted(function: FunctionT) -> FunctionT:
    """Compiles a function when it is first called, keeping the outcome on disk where there is a place for it.

    numba keeps it as long as the file of the function stays the same; but it contains what the function calls and the
    constants that it reads, too. So outcomes lie in a folder of their own for every state of all files beside this.
    """
    if not HAS_NUMBA:
        return function
    compiled: Any
    settings: Any = config
    elsewhere, settings.CACHE_DIR = settings.CACHE_DIR, kept_in(settings.CACHE_DIR)
    try:
        compiled = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder may be written to: compiled anew in every process
        compiled = njit(nogil=True)(function)
    finally:
        settings.CACHE_DIR = elsewhere
    return cast(FunctionT, compiled)


def kept_in(wanted: str, sources: Path = Path(__file__).parent) -> str:
    """The folder for what is compiled of ``sources``: in the one that is wanted, else beside them."""
    state = _digest(sources)
    return str(Path(wanted or sources / "__pycache__") / f"compiled-{state}")


@cache
def _digest(sources: Path) -> str:
    each = sha256()
    for file in sorted(sources.glob("*.py")):
        each.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return each.hexdigest()[:16]


def is_compiled(speed: Speed) -> bool:
    """Whether a run at that speed takes the loops for compiling."""
    return speed == Speed.COMPILED or (speed == Speed.AUTO and HAS_NUMBA)

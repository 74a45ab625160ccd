"""Memory that a process no longer needs once it has started."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

_MADV_DONTNEED = 4
"""madvise(2) on Linux: what is mapped here is not needed for now."""


def give_back() -> None:
    """Gives the system what starting took and nothing needs any more: freed memory (malloc_trim(3), where the C library
    has it), and the code that has run so far. What of it is still needed is found again in the system's cache of files.
    """
    gc.collect()
    library = ctypes.CDLL(None)
    trim = getattr(library, "malloc_trim", None)
    if trim is not None:
        trim(0)
    give_back_code()


def give_back_code() -> None:
    """The second half of ``give_back``, in a millisecond. Nothing where the system is not Linux."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    except OSError:
        return
    library = ctypes.CDLL(None)
    for start, end in code_in(mapped):
        library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def code_in(maps: str) -> list[tuple[int, int]]:
    """Where code is mapped from files, by the lines of proc(5) maps: addresses from and to. Nothing writes there, so
    that it is the same again when it is next read from its file; data, which the loader has changed, is not among it.
    """
    found = []
    for line in maps.splitlines():
        span, access, _offset, _device, inode, *_path = line.split()
        if access == "r-xp" and inode != "0":
            start, _, end = span.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found

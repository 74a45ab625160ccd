"""Reads a small file that others may have put there: a pipe holds nobody, and a huge one fills nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotPlain(Exception):
    """No plain file, or a larger one than is read; the text says which."""


def read_plain(path: Path, bytes_max: int) -> bytes:
    """All of the file, links followed. Raises ``NotPlain`` and OSError."""
    # Without O_NONBLOCK a FIFO would hold the reader, and with it the agent, until somebody writes to it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotPlain("it is no plain file")
        content = stream.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise NotPlain(f"more than {bytes_max} bytes")
    return content

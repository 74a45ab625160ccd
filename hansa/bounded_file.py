"""Files of others, read no further than they may go: a device or a pipe that never ends must not fill the memory."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import TextIO


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """The content of a file, of a pipe, too. Raises OSError (EFBIG) where it has more than ``bytes_max`` bytes."""
    with path.open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise OSError(errno.EFBIG, f"larger than {bytes_max} bytes", str(path))
    return content


def open_table(path: Path) -> TextIO:
    """A file of lines, open for reading as UTF-8 with its line ends as they are, without the byte order mark that
    spreadsheets write. Raises OSError (EINVAL) for devices, pipes and sockets, whose lines need not end.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open(encoding="utf-8-sig", newline="")

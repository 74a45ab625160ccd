"""What happened, line by line, and the digest by which two runs are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from hansa_sim.kernel import VirtualLoop


class Trace:
    """Virtual time, node, event. ``on_line`` is told of each line as it comes."""

    def __init__(self, loop: VirtualLoop, on_line: Callable[[str], None] | None = None) -> None:
        self._loop = loop
        self._on_line = on_line
        self.lines: list[str] = []
        self._is_closed = False

    def close(self) -> None:
        """What comes later does not belong to the run."""
        self._is_closed = True

    def add(self, node: str, event: str) -> None:
        if self._is_closed:
            return
        line = f"{self._loop.day_us / 1_000_000:12.6f} {node} {event}"
        self.lines.append(line)
        if self._on_line is not None:
            self._on_line(line)

    def digest(self) -> str:
        """SHA-256 over all lines, hex."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

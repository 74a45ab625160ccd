"""Finished points of a sweep on disk, one JSON line each, so that a crash costs the points that were being played.

A line is on the disk before its point counts as finished. The last line may be torn: it is cut off. Points of another
scenario or other code stay in the file and are not used.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hansa_sim.latency.sweeps.playing import Outcome, Status


class JournalBusy(RuntimeError):
    """Another sweep writes to the same journal."""


class Journal:
    """Points that are finished, by digest; use it as a context, which holds the file for this process alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.finished: dict[str, Outcome] = {}

    def __enter__(self) -> Self:
        self._file = self._path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise JournalBusy(f"another sweep is writing to {self._path}") from error
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        self.finished = {one.digest: one for one in _outcomes(content[:whole])}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Keeps a finished point; one that failed is not, so that it is tried again."""
        if outcome.status is Status.FAILED:
            return
        self._file.write(json.dumps(asdict(outcome), allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.finished[outcome.digest] = outcome


def _outcomes(content: bytes) -> Iterator[Outcome]:
    """The outcomes that can be read; a damaged line is a point to be played again."""
    for line in content.splitlines():
        try:
            found: dict[str, Any] = json.loads(line)
            yield Outcome(found["digest"], Status(found["status"]), found["error"], tuple(found["rows"]), found["code"])
        except (ValueError, KeyError, TypeError):
            continue

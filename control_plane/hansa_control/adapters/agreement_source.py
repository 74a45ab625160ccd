"""Agreements from the operator's file, read again when it has changed.

A file that cannot be read then leaves the agreements as they were and says so once in the log, as with the law: a slip
of the pen neither opens nor stops anything. A change is told as ``law_source`` tells it: by length, times and inode.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from hansa.errors import HansaError
from hansa_control.adapters.agreement_file import load_agreements
from hansa_control.domain.agreement import Stance, Standing
from hansa_control.domain.agreement_life import AgreementEvent

log = structlog.get_logger(__name__)

Stamp = tuple[int, int, int, int]

RETRY_MS = 5_000
"""After so long a file that could not be read is tried again though it looks the same."""


class AgreementFiles:
    """The agreements file of a path. Raises HansaError or OSError where it cannot be read at first."""

    def __init__(self, path: Path, partners: Collection[str], now_ms: int, nodes: Collection[str] = ()) -> None:
        self._path = path
        self._partners, self._nodes = frozenset(partners), frozenset(nodes)
        self._stances: Mapping[str, Stance] = {}
        self._tried: Stamp | None = None
        self._failure = ""
        self._retry_at_ms = 0
        self._read(self._stamp())

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        """What the file says, by partner; now_ms is any clock that grows."""
        try:
            stamp = self._stamp()
            if stamp != self._tried or (self._failure and now_ms >= self._retry_at_ms):
                self._read(stamp)
                log.info("agreements_read", path=str(self._path))
        except (HansaError, OSError) as error:
            self._fail(str(error), now_ms)
        return self._stances

    def _read(self, stamp: Stamp) -> None:
        self._tried = stamp
        self._stances = load_agreements(self._path, self._partners, self._nodes)
        self._failure = ""

    def _fail(self, failure: str, now_ms: int) -> None:
        self._retry_at_ms = now_ms + RETRY_MS
        if failure != self._failure:
            log.error("agreements_not_read", path=str(self._path), error=failure)
        self._failure = failure

    def _stamp(self) -> Stamp:
        status = self._path.stat()
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def agreements_of(
    path: Path | None, partners: Collection[str], now_ms: int, nodes: Collection[str] = ()
) -> AgreementFiles | None:
    """The agreements of a file; None where none is named, and each partner may use every zone. ``nodes`` are the names
    of those of the operator's network.
    """
    return None if path is None else AgreementFiles(path, partners, now_ms, nodes)


def tell_agreement(home: str, event: AgreementEvent, standing: Standing) -> None:
    """Writes a step in the life of an agreement into the log."""
    told = {"state": standing.state.value, "version": standing.version, "digest": standing.digest}
    log.info("agreement", home=home, change=event.value, deadline_ms=standing.deadline_ms, **told)

"""The law from files: presets and country groups as hansa ships them, and the operator's own law file.

The file is looked at again when it has changed; one that cannot be read then leaves the law as it was and says so once,
so that a slip of the pen neither opens nor stops anything. A change is told by length, times and inode: the time of the
last change of the inode is nobody's to set, so that an edit that keeps length and date is seen, too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog

from hansa.errors import HansaError
from hansa.law.expansion import expand
from hansa.law.law_file import LawFile, load_law_file
from hansa.system import utc_date
from hansa.v1 import residency_pb2
from hansa_control.adapters.codec_residency import policy_in
from hansa_control.application.lawbook import LawBook, PresetUnknown
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import ResidencyPolicy

log = structlog.get_logger(__name__)

Stamp = tuple[str, int, int, int, int]

RETRY_MS = 5_000
"""After so long a file that could not be read is tried again though it looks the same."""


class LawFiles:
    """Presets, and the law file of a path if there is one. Raises HansaError where it cannot be read at first."""

    def __init__(self, path: Path | None, now_ms: int) -> None:
        self._path = path
        self._tried: Stamp | None = None
        self._read: Stamp | None = None
        self._failure = ""
        self._retry_at_ms: int | None = None
        self._book = LawBook()
        self._look(now_ms, first=True)

    def version(self, now_ms: int) -> Hashable:
        """Another one on another day, as presets and groups have dates, and after the file has changed."""
        self._look(now_ms, first=False)
        return (str(utc_date(now_ms)), self._read)

    def book(self, now_ms: int) -> LawBook:
        """What the operator's file demands."""
        self._look(now_ms, first=False)
        return self._book

    def expand(self, preset: str, now_ms: int) -> ResidencyPolicy:
        """The explicit policy of a preset; one that says nothing on change leaves that to the others."""
        try:
            wire = expand(preset, utc_date(now_ms))
            wire.on_change = wire.on_change or residency_pb2.ON_CHANGE_KEEP_AND_ALERT
            return policy_in(wire, f"presets[{preset}]")
        except (HansaError, RefusalError) as error:
            raise PresetUnknown(error.message) from error

    def _look(self, now_ms: int, *, first: bool) -> None:
        if self._path is None:
            return
        try:
            stamp = self._stamp(self._path, now_ms)
            waited = self._retry_at_ms is not None and now_ms >= self._retry_at_ms
            if stamp == self._tried and not waited:
                return
            self._tried = stamp
            self._book = _book(load_law_file(self._path, utc_date(now_ms)))
        except (HansaError, RefusalError, OSError) as error:
            if first:
                raise
            self._fail(str(error), now_ms)
            return
        self._failure, self._retry_at_ms, self._read = "", None, stamp
        if not first:
            log.info("law_read", path=str(self._path))

    def _fail(self, failure: str, now_ms: int) -> None:
        self._retry_at_ms = now_ms + RETRY_MS
        if failure != self._failure:
            log.error("law_not_read", path=str(self._path), error=failure)
        self._failure = failure

    @staticmethod
    def _stamp(path: Path, now_ms: int) -> Stamp:
        status = path.stat()
        return (str(utc_date(now_ms)), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _book(file: LawFile) -> LawBook:
    tenants: Mapping[str, ResidencyPolicy] = {
        name: policy_in(policy, f"tenants.{name}") for name, policy in file.tenants.items()
    }
    return LawBook(
        nation=policy_in(file.nation, "nation") if file.nation is not None else None,
        tenants=MappingProxyType(tenants),
        owner=policy_in(file.owner, "owner") if file.owner is not None else None,
    )

"""Writes down what is about to be done and knows what could not be: on a full disk nothing new is begun."""

from __future__ import annotations

import errno
from collections.abc import Iterable

import structlog

from hansa_agent.instance_store import InstanceRecord, InstanceStore

_log = structlog.get_logger(__name__)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def is_no_room(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the disk takes nothing at present."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return True
        error = error.__cause__
    return False


class Journal:
    """The store as the supervisor uses it. ``trouble`` says for a person why something could not be written."""

    def __init__(self, store: InstanceStore) -> None:
        self._store = store
        self.trouble = ""

    def write(self, records: Iterable[InstanceRecord]) -> frozenset[str]:
        """The instances whose records could not be written; what is on the disk of them is what was there before."""
        unwritten, why = [], ""
        for record in records:
            try:
                self._store.put(record)
            except OSError as error:
                unwritten.append(record.instance)
                why = why or error.strerror or type(error).__name__
        if why:
            self.failed(why)
        return frozenset(unwritten)

    def failed(self, why: str) -> None:
        """Something could not be written."""
        if not self.trouble:
            _log.error("orders cannot be written down", message=why)
        self.trouble = f"orders cannot be written down: {why}"

    def has_recovered(self) -> bool:
        """Whether there is room again, as a file shows that is written for it; to be asked where there is trouble."""
        try:
            self._store.try_to_write()
        except OSError:
            return False
        _log.info("orders can be written down again")
        self.trouble = ""
        return True
